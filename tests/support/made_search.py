"""A finished search as `popbench optimize` leaves it: optimize.json by hand, and a small run as its proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import popbench
from popbench_runs import FAST

TEMPLATE = (Path(__file__).parents[2] / "tasks/popcorn/templates/basic.j2").read_text(encoding="utf-8")
HOOK = "Let the first frame already show what is surprising."
SHORT = "Keep the title under six words."


def with_sentence(*sentences: str) -> str:
    """Return the template with sentences at the end of its block for the system."""
    head, block, rest = TEMPLATE.partition("{%- endblock %}")
    return head + "".join(f"{sentence}\n" for sentence in sentences) + block + rest


def candidate(number: int, parents: list[int], round_: int, status: str, **fields: Any) -> dict[str, Any]:
    """Return a row of `candidates`."""
    value = fields.pop("value", None)
    rate = None if value is None else {
        "value": value, "low": round(max(0, value - 0.17), 4), "high": round(min(1, value + 0.14), 4), "n": 24,
        "wins": round(24 * value), "losses": 24 - round(24 * value), "ties": 0,
    }  # fmt: skip
    return {
        "id": f"c{number}",
        "parents": [f"c{parent}" for parent in parents],
        "by": "edit",
        "round": round_,
        "changes": {},
        "template": f"candidates/c{number}.j2",
        "text": TEMPLATE,
        "options": "",
        "llm": "shotlist",
        "status": status,
        "prompts": 24,
        "win_rate": rate,
        "by_category": {},
        "why": None,
        "spent": 24.0 * (round_ + 1),
        **fields,
    }


def content(systems: dict[str, str], n: int) -> dict[str, Any]:
    """Return optimize.json of a search that the proof, by two predictors, judges in two ways."""
    hook, short = {"sentence.hook": HOOK}, {"sentence.short": SHORT}
    candidates = [
        candidate(0, [], 0, "start", by="start"),
        candidate(1, [0], 1, "lost", value=0.42, changes={"option.tone": "dry"}, options="tone=dry"),
        candidate(2, [0], 1, "kept", value=0.58, changes=hook, text=with_sentence(HOOK)),
        candidate(3, [0], 1, "lost", value=0.375, changes={"llm.temperature": 1.3}, llm="shotlist,temperature=1.3"),
        candidate(4, [2], 2, "selected", value=0.667, changes={**hook, **short}, text=with_sentence(HOOK, SHORT)),
        candidate(5, [2], 2, "lost", value=0.5, by="reflection", changes={"template": TEMPLATE.upper()},
                  text=TEMPLATE.upper(), why="Capitals <b>draw</b> the eye."),
        candidate(6, [2, 4], 3, "best", value=0.708, by="merge", changes={**hook, **short, "option.tone": "dry"},
                  text=with_sentence(HOOK, SHORT), options="tone=dry"),
        candidate(7, [4], 3, "lost", value=0.583, changes=short, text=with_sentence(SHORT)),
    ]  # fmt: skip
    rounds = [
        {"round": number, "candidates": ids, "prompts": dict.fromkeys(ids, 24), "looks": 3, "stop": stop,
         "incumbent": leads, "gain": candidates[int(leads[1:])]["win_rate"], "spent": spent}
        for number, ids, stop, leads, spent in [
            (1, ["c0", "c1", "c2", "c3"], "one is left", "c2", 96.0),
            (2, ["c2", "c4", "c5"], "one is left", "c4", 168.0),
            (3, ["c4", "c6", "c7"], "no more prompts", "c6", 240.0),
        ]
    ]  # fmt: skip
    proved = {"n": n, "wins": n - 2, "losses": 2, "ties": 0, "p": 0.0004, "proved": True,
              "win_rate": {"value": 0.8, "low": 0.61, "high": 0.93}}  # fmt: skip
    not_proved = {**proved, "wins": 5, "losses": 5, "p": 0.9, "proved": False,
                  "win_rate": {"value": 0.5, "low": 0.24, "high": 0.76}}  # fmt: skip
    split = {"n": 24, "categories": {"all": 24}, "prompts": []}
    about = {
        "n": n,
        "invalid": 0,
        "compliance": 1.0,
        "copy_rate": None,
        "title_chars": 30.0,
        "video_prompt_chars": 310.5,
    }
    return {
        "schema": 1,
        "demo": True,
        "state": "finished",
        "options": {
            "llm": "shotlist", "gen": "kinetic", "predictor": "demo", "judge": ["faulty"], "task": ["popcorn_concrete"],
            "start": "basic", "reflect": "talking", "budget": "clips=400", "seed": 42, "corpus": None, "embedder": None,
        },
        "splits": {"search": split, "selection": {**split, "n": 10}, "proof": {**split, "n": n}},
        "budget": {"kind": "clips", "limit": 400, "reserved": 160, "spent": 380.0},
        "candidates": candidates,
        "rounds": rounds,
        "selection": {"candidates": ["c0", "c4", "c6"], "n": 10, "win_rates": {"c0": 0.3, "c4": 0.55, "c6": 0.65},
                      "chosen": "c6", "spent": 280.0},
        "proof": {
            "run": "proof",
            "uses": 1,
            "candidate": "c6",
            "systems": systems,
            "predictors": [
                {"predictor": "demo", "role": "P", **proved},
                {"predictor": "faulty", "role": "Q", **not_proved},
            ],
            "audits": {
                "demo": {
                    "equal_titles": {"win_rate": {"value": 0.7, "low": 0.5, "high": 0.85}, "n": 10},
                    "title_share": {"value": 0.2, "low": 0.1, "high": 0.34},
                }
            },
            "drafts": {"start": about, "best": {**about, "title_chars": 24.0}},
        },
        "verdict": "proved for P, not for Q: the search exploited the predictor",
        "remarks": ["faulty was not audited, since it sees titles alone"],
        "best": {"id": "c6", "template": "best.j2", "mode": "best-of-search", "llm": "shotlist"},
        "reflection": {"asked": 6, "answered": 5, "used": 1, "refused": {"no usable change": 4}},
    }  # fmt: skip


def made_search(folder: Path, prompts: int = 10, generator: str = "faulty") -> Path:
    """Write a finished search into a folder, with a run of so many prompts as its proof."""
    settings: dict[str, Any] = {
        **FAST,
        "llm": "shotlist",
        "gen": generator,
        "predictor": ["demo", "faulty"],
        "mode": ["basic", "pe,label=best-of-search"],
        "limit": prompts,
        "out": folder / "proof",
    }
    run = popbench.evaluate(**settings)
    systems = sorted({sample.system for sample in run.samples()})
    best, start = systems if "best-of" in systems[0] else systems[::-1]
    (folder / "optimize.json").write_text(
        json.dumps(content({"start": start, "best": best}, prompts)), encoding="utf-8"
    )
    return folder
