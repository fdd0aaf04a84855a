"""`popbench corpus`: embeds a corpus before a run, checks its videos, and shows what a prompt retrieves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import click

from popbench.errors import UsageError, unknown
from popbench.progress.console import make_console, tell
from popbench.text import counted

if TYPE_CHECKING:
    from popbench.records import JSON, Reference
    from popbench.registry import Resolved
    from popbench.retrieval import Found, Retriever

SPEC = "NAME[,KEY=VALUE]..."
_TOLD = 5
"""The most broken videos that are named."""
_WIDEST = 300
"""The longest title, description or caption that is shown, in characters."""
_PLAIN: Mapping[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


@click.group("corpus")
def command() -> None:
    """Embed a corpus of videos, and see what prompt enhancement takes from it."""


def _shared(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options that both commands have."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables."),
        click.option(
            "--embedder", metavar=SPEC, help="What finds references.  [default: all-MiniLM-L12-v2; hashing for demo]"
        ),
        click.option("--corpus", metavar=SPEC, help="Where references come from.  [default: demo]"),
    ):
        function = option(function)
    return function


@command.command()
@_shared
@click.option(
    "--videos",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Folder of the videos: check that each can be read, and embed titles too, for --baseline human.",
)
def build(corpus: str | None, embedder: str | None, videos: Path | None, as_json: bool) -> int:
    """Embed a corpus, so that runs find it ready; what was embedded before is not embedded again.

    Exit status 1 where a video of --videos is missing or cannot be read.

    \b
    Examples:
      popbench corpus build --corpus microlens
      popbench corpus build --corpus microlens,path=MicroLens-100k --videos MicroLens-100k/videos
      popbench corpus build --corpus table,path=mine.csv,title=name,tag=genre,popularity=comments
    """
    import numpy as np

    from popbench.progress.live import make_progress
    from popbench.retrieval import RetrievalOptions, advice

    progress = make_progress()
    broken: list[str] = []
    with closing(_Subject(corpus, embedder, videos)) as subject:
        was_ready = subject.retriever.ready
        try:
            index = subject.retriever.load(progress)
            if videos is not None:
                subject.retriever.load_titles(progress)
                broken = list(_broken_videos(subject, progress))
        except KeyboardInterrupt:
            progress.close()
            click.echo("popbench: interrupted; what is embedded is kept, and the same command goes on", err=True)
            return 130
        finally:
            progress.close()
    summary = {
        **subject.about,
        "was_ready": was_ready,
        "videos": index.n,
        "tags": {
            tag: {"videos": int(end - start), "median": float(np.median(index.popularity[start:end]))}
            for tag, (start, end) in zip(index.tags, map(index.slice_of, range(len(index.tags))), strict=True)
        },
        "folder": str(index.folder),
        "bytes": sum(file.stat().st_size for file in index.folder.iterdir()),
        "remarks": [*subject.retriever.warnings({}), *advice.of_corpus(index, RetrievalOptions())],
        "broken_videos": None if videos is None else broken,
    }
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _show_build(summary)
    if broken:
        more = f"; and {len(broken) - _TOLD:,} more" if len(broken) > _TOLD else ""
        problem = (
            f"{counted(len(broken), 'video')} of {index.n:,} in {videos} cannot be used: {'; '.join(broken[:_TOLD])}"
        )
        tell(f"popbench: {problem}{more} (--json lists all)", err=True)
    return 1 if broken else 0


@command.command()
@click.argument("prompt")
@_shared
@click.option("--mode", metavar=SPEC, default="pe", show_default=True, help="Mode with its options, as of `eval`.")
def show(prompt: str, corpus: str | None, embedder: str | None, mode: str, as_json: bool) -> int:
    """Show what mode pe retrieves for PROMPT: each video with its similarity and popularity, and which side it is on.

    \b
    Examples:
      popbench corpus show "an anime sword duel above a floating town"
      popbench corpus show "an anime sword duel above a floating town" --mode pe,k=50,tags=2 --corpus microlens
    """
    from popbench.progress.live import make_progress
    from popbench.retrieval import RetrievalOptions, advice
    from popbench.specs import parse_spec, read_options
    from popbench.tasks.loading import registered_tasks

    if not prompt.strip():
        raise UsageError("the prompt is empty: give what a user would ask for, in quotes")
    name, raw = parse_spec(mode)
    raw.pop("label", None)
    modes = {mode for task in registered_tasks() if task.file is not None for mode in task.file.templates}
    if name not in modes:
        raise unknown("mode", name, modes)
    if name == "basic":
        raise UsageError("mode basic shows no references: leave out --mode, or give pe with its options")
    options = read_options(RetrievalOptions, raw, {}, f"mode {name}")
    assert isinstance(options, RetrievalOptions)
    progress = make_progress()
    with closing(_Subject(corpus, embedder, None)) as subject:
        try:
            subject.retriever.load(progress)
            subject.retriever.prepare([prompt], progress)
        finally:
            progress.close()
        found = subject.retriever.find(prompt, options)
        remarks = list(advice.of_references(subject.retriever, prompt, found))
    if as_json:
        click.echo(json.dumps({**_found_json(prompt, subject, found), "remarks": remarks}, ensure_ascii=False))
    else:
        _show_found(subject, found, remarks)
    return 0


class _Subject:
    """A corpus and an embedder that can run here, with their retriever."""

    def __init__(self, corpus: str | None, embedder: str | None, videos: Path | None) -> None:
        from popbench.planning.config import resolve_config
        from popbench.registry import load_registry, with_option
        from popbench.retrieval import Retriever

        config = resolve_config({"corpus": corpus, "embedder": embedder})
        registry = load_registry()
        spec = config.corpus if videos is None else with_option("corpus", config.corpus, "videos", str(videos))
        self.corpus = registry.resolve("corpus", spec)
        self.embedder = registry.resolve("embedder", config.embedder)
        lacks = [
            f"{item.spec.kind} {item.spec.label}: {line}" for item in self._both for line in item.component.check()
        ]
        if lacks:
            raise UsageError("\n".join(lacks))
        self.retriever: Retriever = Retriever(
            self.corpus.component,
            self.embedder.component,
            corpus_name=self.corpus.spec.label,
            embedder_name=self.embedder.spec.label,
        )

    def close(self) -> None:
        """Close the embedder."""
        for item in self._both:
            item.component.close()

    @property
    def _both(self) -> Sequence[Resolved]:
        return (self.corpus, self.embedder)

    @property
    def about(self) -> dict[str, JSON]:
        """The corpus, its part and the embedder, as JSON."""
        return {
            "corpus": self.corpus.spec.label,
            "part": self.retriever.part,
            "embedder": self.embedder.spec.label,
            "demo": self.corpus.component.demo,
            "note": self.corpus.component.note,
        }


def _broken_videos(subject: _Subject, progress: Any) -> Iterator[str]:
    from popbench.pipeline.human_baseline import problem

    progress.stage("check videos", subject.retriever.load().n, 0)
    for row in subject.corpus.component.rows(subject.retriever.part):
        wrong = problem(row.id, row.video)
        progress.advance()
        if wrong is not None:
            yield wrong


def _heading(about: Mapping[str, JSON]) -> str:
    demo = " (a demonstration: its numbers say nothing about real popularity)" if about["demo"] else ""
    return f"Corpus {about['corpus']}{demo}, part {about['part']}, embedded with {about['embedder']}"


def _show_build(summary: Mapping[str, JSON]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = make_console()
    console.print(_heading(summary), **_PLAIN)
    table = Table()
    table.add_column("tag", overflow="fold")
    for name in ("videos", "median popularity"):
        table.add_column(name, justify="right")
    for tag, row in summary["tags"].items():
        table.add_row(Text(tag), f"{row['videos']:,}", f"{row['median']:,g}")
    console.print(table)
    for line in (*summary["remarks"], *filter(None, [summary["note"]])):
        console.print(line, style="yellow", **_PLAIN)
    videos = counted(summary["videos"], "video")
    ready = "Nothing was left to embed: " if summary["was_ready"] else ""
    console.print(f"{ready}{videos}, {summary['bytes'] / 1e6:,.1f} MB in {summary['folder']}", **_PLAIN)
    if summary["broken_videos"] == []:
        console.print(f"All {videos} can be read.", **_PLAIN)


def _show_found(subject: _Subject, found: Found, remarks: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = make_console()
    console.print(_heading(subject.about), **_PLAIN)
    chosen = ", ".join(f"{name} ({similarity:.3f})" for name, similarity in found.tags)
    console.print(f"Tags by {found.options.tag_by}: {chosen}" if chosen else "All tags", **_PLAIN)
    table = Table()
    table.add_column("±")
    for name in ("similarity", "popularity"):
        table.add_column(name, justify="right")
    table.add_column("tag, id", overflow="fold")
    table.add_column("title and text", overflow="fold")
    for hit in found.hits():
        row = hit.reference
        table.add_row(
            Text("+" if row.popular else "-", "green" if row.popular else "red"),
            f"{hit.similarity:.3f}",
            f"{row.popularity:,g}",
            Text(f"{row.tag}\n{row.id}"),
            Text("\n").join(Text(_short(text), style) for text, style in _texts(row)),
        )
    console.print(table)
    count = len(found.hits())
    lack = f", of {found.wanted} asked for: there are no more {found.scope}" if count < found.wanted else ""
    console.print(f"{counted(count, 'reference')}{lack}; + popular, - unpopular", **_PLAIN)
    for line in remarks:
        console.print(line, style="yellow", **_PLAIN)


def _texts(row: Reference) -> Iterator[tuple[str, str]]:
    """Yield a video's texts that a template may show, and the style of each: its title, cover description, caption."""
    yield row.title, ""
    for text in (row.description, row.caption):
        if text.strip():
            yield text, "dim"


def _short(text: str) -> str:
    return shorten(text[:_WIDEST], _WIDEST, placeholder=" ...")


def _found_json(prompt: str, subject: _Subject, found: Found) -> dict[str, JSON]:
    return {
        "prompt": prompt,
        **subject.about,
        "options": found.options.model_dump(mode="json"),
        "tags": [{"name": name, "similarity": similarity} for name, similarity in found.tags],
        "wanted": found.wanted,
        "references": [
            {
                "id": hit.reference.id,
                "title": hit.reference.title,
                "description": hit.reference.description,
                "caption": hit.reference.caption,
                "tag": hit.reference.tag,
                "popularity": hit.reference.popularity,
                "popular": hit.reference.popular,
                "similarity": round(hit.similarity, 6),
            }
            for hit in found.hits()
        ],
    }
