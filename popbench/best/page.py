"""The page of the best clip: the winner, what its lead is worth, and all drafts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from popbench.best import words
from popbench.best.outcome import DraftClips, Outcome, place
from popbench.leaderboard.shown import number, percent
from popbench.report.clips import page_clips
from popbench.report.html import environment, policy
from popbench.text import counted
from popbench.versions import __version__

_TEMPLATES = Path(__file__).parent / "templates"
_SHARED = Path(__file__).parents[1] / "report" / "templates"
_SHOWN = 24
"""Drafts whose clips are on the page; the table has all."""


def best_page(folder: Path, outcome: Outcome) -> str:
    """Return the page, one file that asks nothing of the network, for the folder of the run."""
    shown = outcome.drafts[:_SHOWN]
    firsts = [draft.best.video for draft in shown]
    clips = page_clips(folder, folder, [*firsts, *(clip.video for draft in shown for clip in draft.clips[1:])])
    early, script = (Markup((_SHARED / name).read_text(encoding="utf-8")) for name in ("theme.js", "player.js"))
    styles = (_SHARED / "page.css", _SHARED / "tables.css", _TEMPLATES / "best.css")
    winner, predictors = outcome.winner, outcome.predictors
    n_clips = sum(len(draft.clips) for draft in outcome.drafts)
    context = {
        "version": __version__,
        "idea": outcome.idea,
        "facts": [
            " · ".join(str(winner.system).split("|")),
            counted(len(outcome.drafts), "draft"),
            counted(n_clips, "clip"),
            f"predictor {predictors[0]['name']}",
            f"seed {outcome.seed}",
        ],
        "demo": words.DEMO if outcome.demo else None,
        "left_out": words.left_out(outcome),
        "winner": winner,
        "extra": [(name, words.field(value)) for name, value in winner.extra.items()],
        "score": number(float(winner.popularity or 0)),
        "score_line": words.score(outcome),
        "unit": predictors[0]["unit"],
        "worth": words.worth(outcome),
        "predicted": words.PREDICTED,
        "rows": _rows(outcome),
        "others": [of["name"] for of in predictors[1:]],
        "with_probability": outcome.worth is not None,
        "axis": _axis(outcome),
        "linear": outcome.real,
        "shown": len(shown),
        "clips": clips,
        "first_clip": clips.get(str(winner.video)),
        "policy": policy([early, script], "'self' file: blob:"),
        "early": early,
        "script": script,
        "styles": Markup("\n".join(style.read_text(encoding="utf-8") for style in styles)),
    }
    return environment(_TEMPLATES).get_template("best.html.j2").render(context) + "\n"


def _rows(outcome: Outcome) -> list[dict[str, Any]]:
    left, right = _ends(outcome)

    def at(value: float) -> float:
        return round(100 * (value - left) / (right - left), 2)

    rows = []
    for rank, draft in enumerate(outcome.drafts, 1):
        best = draft.best
        worth = outcome.worth if rank == 1 else None
        rows.append(
            {
                "rank": rank,
                "numbers": ", ".join(map(str, draft.numbers)),
                "title": best.title,
                "video_prompt": best.video_prompt,
                "notes": best.notes,
                "score": number(outcome.of(draft)),
                "others": [_other(draft, of["name"]) for of in outcome.predictors[1:]],
                "dots": [
                    (at(place(clip, real=outcome.real)), number(float(clip.popularity or 0))) for clip in draft.clips
                ],
                "videos": [str(clip.video) for clip in draft.clips],
                "scores": [number(float(clip.popularity or 0)) for clip in draft.clips],
                "interval": None if worth is None else (at(worth.low), 100 - at(worth.high), at(worth.expected)),
                "told": None
                if worth is None
                else f"{number(outcome.in_unit(worth.expected))} "
                f"[{number(outcome.in_unit(worth.low))}, {number(outcome.in_unit(worth.high))}]",
                "best": None if worth is None else percent(worth.best),
            }
        )
    return rows


def _other(draft: DraftClips, predictor: str) -> str:
    """Return a draft's mean score by another predictor than the one that chose."""
    values = [value for clip in draft.clips if (value := clip.scores.get(predictor)) is not None]
    return number(sum(values) / len(values)) if values else "–"


def _ends(outcome: Outcome) -> tuple[float, float]:
    """Return the ends of the axis on which scores are drawn."""
    values: list[float] = [place(clip, real=outcome.real) for draft in outcome.drafts for clip in draft.clips]
    if outcome.worth is not None:
        values += [outcome.worth.low, outcome.worth.high]
    room = 0.05 * (max(values) - min(values)) or 1.0
    return min(values) - room, max(values) + room


def _axis(outcome: Outcome) -> Sequence[str]:
    left, right = _ends(outcome)
    return number(outcome.in_unit(left)), number(outcome.in_unit(right))
