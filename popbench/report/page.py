"""Makes the page, one HTML file: `run_page` for a run, `board_page` for results alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from popbench.errors import UsageError, damage
from popbench.leaderboard.audit_text import verdict
from popbench.leaderboard.carries_text import card_words
from popbench.leaderboard.compact import FULL
from popbench.leaderboard.luck_text import unseparated
from popbench.leaderboard.markdown import DEMO, agreements, knows_copies, on_real_scales, remarks
from popbench.leaderboard.shown import are_enhancement, ranked
from popbench.leaderboard.words import ORDER, VALID, intervals
from popbench.prompting.originality import COPY
from popbench.records import JSON, Sample
from popbench.report import chart_data, charts
from popbench.report.consistency import check_agreement
from popbench.report.gallery import embedded, gallery
from popbench.report.html import environment, inert, policy
from popbench.report.numbers import DASH
from popbench.report.rag_sizes import sizes
from popbench.report.run_files import check_results, read_run
from popbench.report.shown_references import References, shown_references
from popbench.report.survey import Survey
from popbench.report.tables import views
from popbench.runs.costs import sentences
from popbench.runs.run_json import RunJson
from popbench.scores.answers import unusable_lines
from popbench.text import counted
from popbench.versions import __version__

_TEMPLATES = Path(__file__).parent / "templates"
_STYLES = ("page.css", "tables.css", "gallery.css")
_SCRIPTS = ("page.js", "matrix.js")
_GALLERY_SCRIPTS = ("card.js", "samples.js", "gallery.js")
_PEOPLE_STYLE, _PEOPLE_SCRIPT = "people.css", "people.js"
"""In pages with labels by people only, so that others are as they were."""

_DAMAGE = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration, jinja2.TemplateError,
)  # fmt: skip
"""Exceptions that damaged files may cause anywhere in the making of a page."""


def run_page(
    run: Path,
    title: str | None = None,
    *,
    page: Path | None = None,
    embed: int = 0,
    corpus: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> str:
    """Return the whole page of a finished run, with its gallery.

    `page` is the folder of the page (by default the run's), to which the videos' paths are relative. `embed` clips are
    put into the page itself; `tell` is called with a line if some of them are missing. `corpus` is the spec of the
    corpus with the texts of references, needed if that in run.json names a path or an address. Raises UsageError if
    the run is not finished, or is damaged.
    """
    read = read_run(run)
    try:
        survey = Survey(run / "samples.jsonl", read.run_json)
        check_agreement(read.results, survey.scores, str(run))
        return _page(
            read.results, title or run.resolve().name, (), _Run(read.run_json, survey, run, page, embed, corpus, tell)
        )
    except _DAMAGE as error:
        raise UsageError(f"{run}: results.json and samples.jsonl make no report ({damage(error)})") from error


def board_page(results: Mapping[str, Any], title: str, footer: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """Return the page of a board from its results alone; its last section has `notes`, and the lines of `footer`.

    Distributions, clips and times are left out, since they need samples. Raises UsageError if `results` is damaged.
    """
    check_results(results, "results")
    try:
        return _page(results, title, footer, None, notes)
    except _DAMAGE as error:
        raise UsageError(f"results: they make no page ({damage(error)})") from error


class _Run:
    """The data that only the page of a run has."""

    def __init__(
        self,
        run_json: RunJson,
        survey: Survey,
        path: Path,
        page: Path | None,
        embed: int,
        corpus: str | None,
        tell: Callable[[str], object],
    ) -> None:
        self.run_json, self.survey, self.path = run_json, survey, path
        self.scores = {scores.predictor: scores.table for scores in survey.scores}
        self.page, self.embed = page or path, embed
        self._corpus, self._tell = corpus, tell

    def clips(self, order: Sequence[str]) -> dict[str, str]:
        """Return the clips to put into the page; calls `tell` if some of them are missing."""
        clips, missing = embedded(self.survey.samples, self.path, order, self.embed)
        if missing:
            path, why = next(iter(missing.items()))
            self._tell(
                f"{counted(len(missing), 'clip')} to embed {'is' if len(missing) == 1 else 'are'} missing ({path}: "
                f"{why}); {len(clips):,} of {self.embed:,} are in the page"
            )
        return clips

    def references(self, samples: Sequence[Sample]) -> References:
        """Return the texts of the samples' references, as far as they can be looked up."""
        return shown_references(samples, self.run_json, self._corpus, self._tell)

    def tasks(self, name: str) -> list[str]:
        """Return the tasks of a table: the one of this name, or those of the group."""
        tasks = self.run_json["tasks"]
        return [name] if name in tasks else [task for task, of in tasks.items() if of["group"] == name]


def _page(
    results: Mapping[str, Any], title: str, footer: Sequence[str], run: _Run | None, notes: Sequence[str] = ()
) -> str:
    shown = views(results)
    for view in shown:
        _draw(view, results, run)
    took = run.survey.took if run else []
    data: dict[str, JSON] = {
        "specifications": {
            kind: specification
            for kind, specification in charts.specifications().items()
            if not kind.endswith(chart_data.REAL) or any(view["scale"] == "real" for view in shown)
        },
        "row": {"usual": charts.ROW, "dense": charts.DENSE_ROW},
        "views": [
            {
                "predictor": view["predictor"],
                "task": view["task"],
                "order": [row["system"] for row in view["rows"]],
                "sides": view["sides"],
                "charts": view["charts"],
            }
            for view in shown
        ],
        "charts": {"stages": chart_data.times(took)} if took else {},
    }
    blobs = {"data": data}
    if run:
        clips = run.clips(data["views"][0]["order"])
        samples = run.survey.samples
        references = run.references(samples)
        blobs["samples"] = gallery(samples, results["predictors"], references, clips, run.path, run.page)
        blobs["clips"] = clips
    early = Markup(_text("theme.js"))
    people = any(view["people"] for view in shown)
    of_people = (_PEOPLE_SCRIPT,) if people else ()
    scripts = [_text(name) for name in (*_SCRIPTS, *of_people, *(_GALLERY_SCRIPTS if run else ()))]
    code = [Markup(script) for script in (*scripts, charts.javascript(), _text("charts.js"))]  # the heavy one late
    told = intervals(results)
    context = {
        "title": title,
        "kind": "Report" if run else "Leaderboard",
        "version": __version__ if run else None,  # a board's page is the same after the next release
        "facts": _facts(results, shown, run),
        "demo": _demo(results),
        "incomplete": results.get("incomplete"),
        "remarks": remarks(results),
        "views": shown,
        "tasks": list(dict.fromkeys(view["task"] for view in shown)),
        "predictors": list(dict.fromkeys(view["predictor"] for view in shown)),
        "predictors_many": len(results["predictors"]) > 1,
        "predictors_shown": len(results["predictors"]) <= FULL,
        "with_parts": any(view["parts"] for view in shown),
        "agreements": list(agreements(results)),
        "card_words": {of["name"]: card_words(of, demo=results["demo"]) for of in results["predictors"]},
        "order": ORDER,
        "intervals": f"{told[0].upper()}{told[1:]}",
        "valid": VALID,
        "audits": [(entry["predictor"], verdict(entry), entry["warnings"]) for entry in results.get("audit") or []],
        "stages": took,
        "priced": any(row["stage"] != "draft" and row["cost"] != DASH for row in took),
        "spent": list(sentences(results.get("costs") or [])),
        "gallery": bool(run),
        "part": run.survey.part if run else "",
        "repeats": blobs["samples"]["repeats"] if run else [0],
        "embedded": len(blobs["clips"]) if run else 0,
        "categories": sorted(run.survey.categories) if run else [],
        "results": results,
        "unusable": list(unusable_lines(results.get("unusable") or {})),
        "copies": knows_copies(results["systems"]),
        "copy": f"{100 * COPY:.0f}",
        "about": footer,
        "notes": notes,
        "real": on_real_scales(results),
        "unseparated": unseparated(results),
        "styles": Markup("\n".join(map(_text, (*_STYLES, *((_PEOPLE_STYLE,) if people else ()))))),
        "early": early,
        "scripts": code,
        "enhancement": are_enhancement(results["enhancement"]),
        "policy": policy([early, *code], "'self' file: data:"),
        "blobs": {name: Markup(inert(value)) for name, value in blobs.items()},
    }
    return environment(_TEMPLATES).get_template("page.html.j2").render(context) + "\n"


def _draw(view: dict[str, Any], results: Mapping[str, Any], run: _Run | None) -> None:
    """Add a view's charts, and the table of sizes."""
    predictor, task = view["predictor"], view["task"]
    rows = ranked(results, predictor, task)
    scores = chart_data.scores_by_system(run.scores[predictor], run.tasks(task)) if run else {}
    contrasts = [row for row in results["enhancement"] if (row["predictor"], row["task"]) == (predictor, task)]
    view["sizes"] = sizes(results, run.run_json["modes"], predictor, task) if run else []
    view["scored"] = sum(map(len, scores.values()))
    charts_of_view = {
        "distribution": chart_data.distribution(rows, scores, view["scale"]),
        "contrasts": chart_data.contrasts(contrasts),
        **chart_data.sizes(view["sizes"], view["scale"]),
    }
    view["charts"] = {name: chart for name, chart in charts_of_view.items() if chart}


def _demo(results: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the warning of a demonstration: its first words, and the rest."""
    if not results["demo"]:
        return None
    lead, _, rest = DEMO.removeprefix("**").partition("** ")
    return lead, rest


def _facts(results: Mapping[str, Any], shown: Sequence[Mapping[str, Any]], run: _Run | None) -> list[str]:
    tasks = [task["name"] for task in results["tasks"]]
    first = shown[0]["predictor"]
    of_tasks = [view["n"] for view in shown if view["task"] in tasks and view["predictor"] == first]
    facts = [
        counted(len({row["system"] for row in results["systems"]}), "system"),
        counted(sum(of_tasks) if of_tasks else max((view["n"] for view in shown), default=0), "prompt"),
        counted(len(tasks), "task"),
        counted(len(results["predictors"]), "predictor"),
    ]
    if run:
        facts.append(counted(run.survey.n, "sample"))
        facts.append(f"seed {run.run_json['config']['seed']}")
    return facts


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
