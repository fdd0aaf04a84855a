"""The page of a search: verdict and proof, what changed, drafts before and after, gain by budget, and the lineage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from popbench.errors import UsageError, damage
from popbench.files import read_json, write_files
from popbench.leaderboard.shown import number, p_value
from popbench.optimize.differences import differences, folded
from popbench.optimize.tree import tree_of
from popbench.records import JSON, Sample
from popbench.report import charts
from popbench.report.clips import PageClip, page_clips
from popbench.report.html import environment, inert, policy
from popbench.report.numbers import DASH, rate
from popbench.runs.samples import read_jsonl
from popbench.text import counted, dollars
from popbench.versions import __version__

PAGE, SOURCE = "index.html", "optimize.json"
_TEMPLATES = Path(__file__).parent / "templates"
_SHARED = Path(__file__).parents[1] / "report" / "templates"
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
_PAIRS = 5
"""Prompts of which the page shows the drafts before and after."""
_SHORT = 60
_STATES = {
    "search": "The search goes on: nothing is selected or proved yet.",
    "selection": "The search is over, the selection among its best candidates is not: nothing is proved yet.",
    "proof": "The proof is not finished: there is no verdict yet.",
}


def write_page(folder: Path) -> Path:
    """Write the page of a search into its folder; returns its path.

    Raises UsageError if optimize.json is missing or damaged, RunError if the disk refuses.
    """
    write_files(folder, {PAGE: optimize_page(folder)})
    return folder / PAGE


def optimize_page(folder: Path) -> str:
    """Return the page of a search, for its folder: one file that asks nothing of the network.

    Raises UsageError if optimize.json is missing or damaged.
    """
    try:
        content = read_json(folder / SOURCE)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{folder / SOURCE}: cannot be read ({damage(error)})") from error
    try:
        return _page(content, folder)
    except _DAMAGE as error:
        raise UsageError(f"{folder / SOURCE}: it makes no page ({damage(error)})") from error


def _page(content: Mapping[str, Any], folder: Path) -> str:
    candidates = {one["id"]: one for one in content["candidates"]}
    start = next(iter(candidates.values()))
    proof, best = content["proof"], content["best"]
    chosen = candidates[best["id"]] if best else candidates.get((content["selection"] or {}).get("chosen"))
    if chosen is start:
        chosen = None
    pairs, clips = _pairs(folder, proof)
    gain = charts.gain("GPU-hours" if content["budget"]["kind"] == "gpu-hours" else str(content["budget"]["kind"]))
    data = {"specifications": {"gain": gain}, "row": {}, "charts": {"gain": _gain(content)}}
    early = Markup(_text(_SHARED / "theme.js"))
    bridge = Markup(_text(_TEMPLATES / "charts_data.js"))
    scripts = [_text(_SHARED / "player.js"), charts.javascript(), _text(_SHARED / "charts.js")]
    code = [bridge, *map(Markup, scripts)]
    styles = (*(_SHARED / name for name in ("page.css", "tables.css")), _TEMPLATES / "optimize.css")
    options = content["options"]
    context = {
        "version": __version__,
        "title": Path(folder).resolve().name,
        "verdict": content["verdict"],
        "state": _STATES.get(content["state"]),
        "told": _told(content, chosen, start),
        "facts": _facts(content),
        "demo": content["demo"],
        "remarks": content["remarks"],
        "options": options,
        "proof": None if proof is None else _proof(proof),
        "best": best,
        "chosen": chosen,
        "start": start,
        "changes": [] if chosen is None else [(name, _value(value)) for name, value in chosen["changes"].items()],
        "why": None if chosen is None else chosen["why"],
        "pieces": [] if chosen is None else folded(differences(start["text"] or "", chosen["text"] or "")),
        "settings": [] if chosen is None else _settings(start, chosen),
        "drawn": bool(data["charts"]["gain"]["data"]["rounds"]),
        "rounds": [_round(row, content["budget"]["kind"]) for row in content["rounds"]],
        "tree": tree_of(content["candidates"], chosen["id"] if chosen else start["id"], _tips(content["candidates"])),
        "candidates": [_candidate(one, content["budget"]["kind"]) for one in content["candidates"]],
        "selection": _selection(content["selection"]),
        "reflection": content["reflection"],
        "pairs": pairs,
        "prompts": None if proof is None else max(row["n"] for row in proof["predictors"]),
        "clips": clips,
        "splits": {name: of["n"] for name, of in content["splits"].items()},
        "policy": policy([early, *code], "'self' file: blob:"),
        "early": early,
        "scripts": code,
        "styles": Markup("\n".join(map(_text, styles))),
        "data": Markup(inert(data)),
    }
    return environment(_TEMPLATES).get_template("optimize.html.j2").render(context) + "\n"


def _facts(content: Mapping[str, Any]) -> list[str]:
    options, budget = content["options"], content["budget"]
    spent, limit = (_amount(budget["kind"], budget[name]) for name in ("spent", "limit"))
    return [
        f"{options['llm']} · {options['start']} · {options['gen']}",
        f"task {options['task'] if isinstance(options['task'], str) else ', '.join(options['task'])}",
        counted(len(content["candidates"]), "candidate"),
        counted(len(content["rounds"]), "round"),
        f"{spent} of {limit} spent",
        f"seed {options['seed']}",
    ]


def _told(content: Mapping[str, Any], chosen: Mapping[str, Any] | None, start: Mapping[str, Any]) -> str:
    """Say in a sentence what the verdict rests on."""
    proof = content["proof"]
    if proof is None:
        if content["state"] == "finished" and chosen is None:
            return f"The search found nothing better than the start, {start['id']}: there was nothing to prove."
        return ""
    row = proof["predictors"][0]
    shown = rate(row["win_rate"]["value"], (row["win_rate"]["low"], row["win_rate"]["high"]))
    line = (
        f"{proof['candidate']} wins {shown.value} % {shown.interval} of {counted(row['n'], 'prompt')} that the search "
        f"never saw against the start, by {row['predictor']}, which steered the search"
    )
    others = proof["predictors"][1:]
    if not others:
        return f"{line}. No other predictor judged."
    rates = (
        rate(other["win_rate"]["value"], (other["win_rate"]["low"], other["win_rate"]["high"])) for other in others
    )
    told = "; ".join(
        f"{each.value} % {each.interval} by {other['predictor']}" for each, other in zip(rates, others, strict=True)
    )
    return f"{line}, and {told}, which did not."


def _proof(proof: Mapping[str, Any]) -> dict[str, Any]:
    audits = proof["audits"] or {}
    rows = []
    for row in proof["predictors"]:
        audit = audits.get(row["predictor"]) or {}
        rows.append(
            {
                **row,
                "rate": _rate(row["win_rate"]),
                "p_told": p_value(row["p"]),
                "equal_titles": _audited(audit.get("equal_titles")),
                "title_share": _audited(audit.get("title_share")),
            }
        )
    drafts = [(name, _drafts(proof["drafts"][key])) for name, key in (("start", "start"), (proof["candidate"], "best"))]
    return {"rows": rows, "uses": proof["uses"], "drafts": drafts, "audited": bool(audits), "systems": proof["systems"]}


def _rate(value: Mapping[str, Any] | None) -> Any:
    return rate(None, None) if value is None else rate(value["value"], (value["low"], value["high"]))


def _audited(value: JSON) -> str:
    """Show a rate of an audit, which may be a number, a number with its interval, or a win rate with its n."""
    if value is None:
        return DASH
    if isinstance(value, int | float):
        return f"{rate(value, None).value} %"
    if "win_rate" in value:
        return f"{_audited(value['win_rate'])}, n = {value['n']}"
    return f"{_rate(value).value} % {_rate(value).interval}"


def _drafts(of: Mapping[str, Any]) -> list[str]:
    shares = [DASH if of[name] is None else rate(of[name], None).value for name in ("compliance", "copy_rate")]
    lengths = [DASH if of[name] is None else number(of[name]) for name in ("title_chars", "video_prompt_chars")]
    return [str(of["invalid"]), *shares, *lengths]


def _settings(start: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the settings beside the text that differ: name, before, after."""
    names = {"options": "Options of the mode", "llm": "LLM"}
    return [(name, start[key] or DASH, chosen[key] or DASH) for key, name in names.items() if start[key] != chosen[key]]


def _gain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of the chart: the leader's win rate over the start after each round."""
    kind = content["budget"]["kind"]
    rounds, line = [], [{"spent": 0.0, "value": 50.0}]
    for row in content["rounds"]:
        gain, spent = row["gain"], float(row["spent"])
        value = 50.0 if gain is None else 100 * gain["value"]
        ends = {} if gain is None else {"low": 100 * gain["low"], "high": 100 * gain["high"]}
        told = "the start leads" if gain is None else f"{_rate(gain).text} %, n = {gain['n']}"
        tip = f"round {row['round']}, {_amount(kind, spent)}: {row['incumbent']}, {told}"
        new = not rounds or rounds[-1]["id"] != row["incumbent"]
        rounds.append({"spent": spent, "value": value, **ends, "tip": tip, "id": row["incumbent"],
                       "name": row["incumbent"] if new else ""})  # fmt: skip
        line.append({"spent": spent, "value": value})
    return {"kind": "gain", "data": {"rounds": rounds, "line": line if rounds else [], "half": [{"y": 50}]}}


def _round(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        "number": row["round"],
        "raced": len(row["candidates"]),
        "prompts": max(row["prompts"].values(), default=0),
        "looks": row["looks"],
        "stop": row["stop"],
        "incumbent": row["incumbent"],
        "gain": _rate(row["gain"]),
        "spent": _amount(kind, row["spent"]),
    }


def _candidate(one: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        **one,
        "changed": [(name, _value(value)) for name, value in one["changes"].items()],
        "rate": _rate(one["win_rate"]),
        "n": one["win_rate"]["n"] if one["win_rate"] else one["prompts"],
        "spent_told": _amount(kind, one["spent"]),
    }


def _tips(candidates: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    tips = {}
    for one in candidates:
        of = one["win_rate"]
        name = one["id"] if of is None else f"{one['id']}  {rate(of['value'], None).value}"
        changes = "; ".join(f"{key} {_value(value)}" for key, value in one["changes"].items()) or "the start"
        tips[one["id"]] = (name, f"{one['id']}, {one['by']}, {one['status']}: {changes}")
    return tips


def _selection(selection: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if selection is None:
        return None
    rates = sorted(selection["win_rates"].items(), key=lambda item: -item[1])
    return {**selection, "rates": [(name, rate(value, None).value) for name, value in rates]}


def _pairs(folder: Path, proof: Mapping[str, Any] | None) -> tuple[list[dict[str, Any]], dict[str, PageClip]]:
    """Return prompts of the proof with the drafts of both systems, evenly spaced by how much the best one gains."""
    if proof is None:
        return [], {}
    run = folder / str(proof["run"])
    if not run.resolve().is_relative_to(folder.resolve()) or not (run / "samples.jsonl").exists():
        return [], {}
    systems = proof["systems"]
    by_prompt: dict[tuple[str, str], dict[str, Sample]] = {}
    for sample in read_jsonl(run / "samples.jsonl"):
        if sample.status == "ok" and sample.video:
            by_prompt.setdefault((sample.task, sample.prompt_id), {}).setdefault(sample.system, sample)
    both = [
        (of[systems["start"]], of[systems["best"]]) for of in by_prompt.values() if {*systems.values()} <= of.keys()
    ]
    both.sort(key=lambda pair: _gained(*pair), reverse=True)
    count = min(_PAIRS, len(both))
    chosen = [both[round(at * (len(both) - 1) / max(1, count - 1))] for at in range(count)]
    clips = page_clips(run, folder, (sample.video for pair in chosen for sample in pair))
    predictors = [(row["predictor"], row["role"]) for row in proof["predictors"]]
    return [
        {
            "prompt": before.prompt,
            "category": before.category,
            "sides": [
                {
                    "name": name,
                    "sample": sample,
                    "scores": [
                        (
                            f"{role} {label}",
                            DASH if sample.scores.get(label) is None else number(sample.scores[label] or 0),
                        )
                        for label, role in predictors
                    ],
                }
                for name, sample in (("before", before), ("after", after))
            ],
            "won": _gained(before, after) > 0,
        }
        for before, after in chosen
    ], clips


def _gained(before: Sample, after: Sample) -> float:
    return float(after.popularity or 0) - float(before.popularity or 0)


def _amount(kind: str, amount: float) -> str:
    if kind == "usd":
        return dollars(amount)
    return counted(round(amount), "clip") if kind == "clips" else f"{amount:,.3g} GPU-hours"


def _value(value: JSON) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
