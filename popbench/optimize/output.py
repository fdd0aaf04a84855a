"""What comes out: a template that is a mode, and where it comes from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from popbench.errors import RunError, one_line
from popbench.files import write_whole
from popbench.optimize.document import Document
from popbench.optimize.search import Candidate, Search
from popbench.optimize.study import Study
from popbench.planning.config import DEFAULT_CORPUS, DEFAULT_EMBEDDER
from popbench.prompting.mode_files import BEST, PROVENANCE, TEMPLATE
from popbench.records import JSON
from popbench.versions import __version__


def dump(content: JSON) -> bytes:
    """Return JSON as it is written to files."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def write_best(
    out: Path, study: Study, search: Search, document: Document, chosen: Candidate, rest: Mapping[str, JSON]
) -> dict[str, JSON]:
    """Write the chosen candidate as a mode with its provenance; return `best` of optimize.json."""
    options = study.options_of(chosen.changes)
    llm = study.llm_of(chosen.changes).resolved.spec.text
    proof = rest["proof"]
    told = ["Not proved: the proof was not made."]
    if proof is not None:
        told = [
            f"By {row['predictor']} ({row['role']}): win rate {100 * row['win_rate']['value']:.1f} % "
            f"[{100 * row['win_rate']['low']:.1f}, {100 * row['win_rate']['high']:.1f}] on {row['n']} prompts."
            for row in proof["predictors"]
        ]
    head = " ".join(
        [f"Candidate {chosen.id} of popbench optimize, from {study.mode.label}.", *told, f"Verdict: {rest['verdict']}."]
    )
    head = head.replace("#}", "# }").replace("{#", "{ #")
    text = f"{{#- {head} {PROVENANCE} says more. -#}}\n{study.text_of(chosen.changes)}"
    best: dict[str, JSON] = {"id": chosen.id, "template": TEMPLATE, "mode": f"{BEST}{out}", "llm": llm}
    provenance = {
        "schema": 1,
        "popbench": __version__,
        "demo": rest["demo"],
        "template": TEMPLATE,
        "options": options,
        "llm": llm,
        "asked": rest["options"],
        "lineage": [document.row(one, search.candidates[0]) | {"text": None} for one in _ancestors(search, chosen)],
        "selection": rest["selection"],
        "proof": proof,
        "verdict": rest["verdict"],
    }
    try:
        write_whole(out / TEMPLATE, text.encode())
        write_whole(out / PROVENANCE, dump(provenance))
    except OSError as error:
        raise RunError(f"{out}: the mode cannot be written ({one_line(error)})") from error
    return best


def _ancestors(search: Search, chosen: Candidate) -> list[Candidate]:
    """Return a candidate with all that it comes from, the start first."""
    found, left = set[int](), [chosen.number]
    while left:
        number = left.pop()
        if number not in found:
            found.add(number)
            left += search.candidates[number].parents
    return [search.candidates[number] for number in sorted(found)]


def use_command(content: Mapping[str, Any]) -> str:
    """Return the command that compares what a search found with its start, from the content of optimize.json.

    References come from where the search took them, which is told if popbench eval with a named LLM takes others.
    """
    asked, best = content["options"], content["best"]
    options = [("--llm", best["llm"]), ("--gen", asked["gen"]), *(("--task", task) for task in asked["task"])]
    options += [("--predictor", asked["predictor"]), ("--mode", asked["start"]), ("--mode", best["mode"])]
    default = {("--gen", "kinetic"), ("--task", "popcorn"), ("--predictor", "demo"), ("--corpus", DEFAULT_CORPUS)}
    if (asked["corpus"], asked["embedder"]) in ((DEFAULT_CORPUS, DEFAULT_EMBEDDER), ("demo", "hashing")):
        default.add(("--embedder", asked["embedder"]))
    options += [(f"--{name}", asked[name]) for name in ("corpus", "embedder") if asked[name] is not None]
    given = [text for option in options if option not in default for text in option]
    return shlex.join(["popbench", "eval", *given])
