"""The page of a search: verdict and proof, what changed, drafts before and after, gain by budget, and the lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from popbench.errors import UsageError, damage
from popbench.files import read_json, write_files
from popbench.leaderboard.shown import number, p_value
from popbench.optimize.before_after import before_after
from popbench.optimize.differences import differences, folded
from popbench.optimize.output import use_command
from popbench.optimize.tree import tree_of
from popbench.records import JSON
from popbench.report import charts
from popbench.report.html import environment, inert, policy
from popbench.report.numbers import DASH, rate
from popbench.report.write import checked_page
from popbench.specs import parse_spec
from popbench.text import counted, dollars
from popbench.versions import __version__

PAGE, SOURCE = "index.html", "optimize.json"
_TEMPLATES = Path(__file__).parent / "templates"
_SHARED = Path(__file__).parents[1] / "report" / "templates"
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration, jinja2.TemplateError)
_SHORT = 60
_STATES = {
    "search": "The search goes on: nothing is selected or proved yet.",
    "selection": "The search is over, the selection among its best candidates is not: nothing is proved yet.",
    "proof": "The proof is not finished: there is no verdict yet.",
}

_STOPS = {
    "best": "one is left",
    "no best": "none is the best",
    "maximum": "no prompts left",
    "decided": "all is decided",
    "futility": "too little to decide",
    "budget": "by the budget",
}
"""Why races end, in a word or two."""


def is_search(folder: Path) -> bool:
    """Return whether a folder is that of a search, and not of a run."""
    return (folder / SOURCE).exists() and not (folder / "run.json").exists()


def write_page(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a search into its folder, or to `out`; returns its path.

    Raises UsageError if optimize.json is missing or damaged, or `out` is no file for a page, RunError if the disk
    refuses.
    """
    file = checked_page(folder / PAGE, out)
    write_files(file.parent, {file.name: optimize_page(folder, file.parent)})
    return file


def optimize_page(folder: Path, page: Path | None = None) -> str:
    """Return the page of a search, one file that asks nothing of the network.

    `page` is the folder of the page, by default the search's. Raises UsageError if optimize.json is missing or damaged.
    """
    try:
        content = read_json(folder / SOURCE)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{folder / SOURCE}: cannot be read ({damage(error)})") from error
    try:
        return _page(content, folder, page or folder)
    except (UsageError, *_DAMAGE) as error:
        raise UsageError(f"{folder / SOURCE}: it makes no page ({damage(error)})") from error


def _page(content: Mapping[str, Any], folder: Path, page: Path) -> str:
    candidates = {one["id"]: one for one in content["candidates"]}
    start = next(iter(candidates.values()))
    proof, best = content["proof"], content["best"]
    chosen = candidates[best["id"]] if best else candidates.get((content["selection"] or {}).get("chosen"))
    if chosen is start:
        chosen = None
    pairs, clips = before_after(folder, page, proof)
    gain = charts.gain("GPU-hours" if content["budget"]["kind"] == "gpu-hours" else str(content["budget"]["kind"]))
    chart = _gain(content)
    data = {"specifications": {"gain": gain}, "row": {}, "charts": {"gain": chart}}
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
        "use": None if best is None else use_command(content),
        "chosen": chosen,
        "start": start,
        "why": None if chosen is None else chosen["why"],
        "pieces": [] if chosen is None else folded(differences(start["text"] or "", chosen["text"] or "")),
        "settings": [] if chosen is None else _settings(start, chosen),
        "drawn": bool(chart["data"]["rounds"]),
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
    before, after = (parse_spec(f"x,{one['options']}" if one["options"] else "x")[1] for one in (start, chosen))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    settings = [(f"mode: {name}", before.get(name, "default"), after.get(name, "default")) for name in names]
    return settings if start["llm"] == chosen["llm"] else [*settings, ("LLM", start["llm"], chosen["llm"])]


def _gain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of the chart: the leader's win rate over the start after each round."""
    kind = content["budget"]["kind"]
    rounds: list[dict[str, Any]] = []
    line = [{"spent": 0.0, "value": 50.0}]
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
    intervals = [row for row in rounds if "low" in row]  # Vega warns of a layer without numbers
    data = {"rounds": rounds, "intervals": intervals, "line": line if rounds else [], "half": [{"y": 50}]}
    return {"kind": "gain", "data": data}


def _round(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        "number": row["round"],
        "raced": len(row["candidates"]),
        "prompts": max(row["prompts"].values(), default=0),
        "looks": row["looks"],
        "stop": _STOPS.get(row["stop"], row["stop"]),
        "incumbent": row["incumbent"],
        "gain": _rate(row["gain"]),
        "spent": _amount(kind, row["spent"]),
    }


def _candidate(one: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        **one,
        "changed": _changed(one["changes"]),
        "rate": _rate(one["win_rate"]),
        "n": one["win_rate"]["n"] if one["win_rate"] else one["prompts"],
        "spent_told": _amount(kind, one["spent"]),
    }


def _changed(changes: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """Return what differs from the start in a few words, with the whole of it."""
    kinds: dict[str, dict[str, JSON]] = {}
    for name, value in changes.items():
        kind, _, of = name.partition(".")
        kinds.setdefault(kind, {})[of] = value
    shown = []
    for kind, values in kinds.items():
        match kind:
            case "template":
                shown.append(("the template, rewritten", ""))
            case "sentence":
                shown.append((f"sentences: {', '.join(values)}", "\n".join(map(str, values.values()))))
            case _:
                told = ", ".join(f"{name}={_value(value)}" for name, value in values.items())
                shown.append((f"{'LLM' if kind == 'llm' else kind + 's'}: {told}", ""))
    return shown


def _tips(candidates: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    tips = {}
    for one in candidates:
        of = one["win_rate"]
        name = one["id"] if of is None else f"{one['id']}  {rate(of['value'], None).value}"
        changes = "; ".join(what for what, _ in _changed(one["changes"])) or "the start"
        tips[one["id"]] = (name, f"{one['id']}, {one['by']}, {one['status']}: {changes}")
    return tips


def _selection(selection: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if selection is None:
        return None
    rates = sorted(selection["win_rates"].items(), key=lambda item: -item[1])
    return {**selection, "rates": [(name, rate(value, None).value) for name, value in rates]}


def _amount(kind: str, amount: float) -> str:
    if kind == "usd":
        return dollars(amount)
    return counted(round(amount), "clip") if kind == "clips" else f"{amount:,.3g} GPU-hours"


def _value(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
