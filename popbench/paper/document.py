"""A document of headings, sentences, tables and figures, written out as GitHub markdown and as one HTML page.

All text is shown as it is: names of models and tasks are anybody's, and cannot become markup in either form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import jinja2

from popbench.leaderboard.markdown import escaped, table
from popbench.text import visible


@dataclass(frozen=True)
class Code:
    """A piece of a sentence that is typed or read by a machine: a command, an option, a file's name."""

    text: str


Words = str | Sequence[str | Code]
"""A sentence, in pieces where some of them are code."""


@dataclass(frozen=True)
class Heading:
    """The title of a part; `anchor` names it in links, and `short` in the list of parts."""

    text: str
    anchor: str
    short: str = ""


@dataclass(frozen=True)
class Paragraph:
    """One or more sentences; `kind` is plain, `lead` for what the page says first, `note` for small print, or `gap`."""

    words: Words
    kind: str = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[Words]


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a number or a name, its interval, and how it is set off."""

    text: str
    interval: str = ""
    strong: bool = False
    soft: bool = False


@dataclass(frozen=True)
class Grid:
    """A table; the first `labels` columns hold names and are set left, all others hold numbers and are set right."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    labels: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure as SVG whose ink is `currentColor`; `file` is where markdown finds it, `told` says what it shows."""

    svg: str
    file: str
    told: str


Block = Heading | Paragraph | Bullets | Grid | Picture


@dataclass(frozen=True)
class Document:
    """What a page says, from top to bottom; `warnings` come first, above everything."""

    title: str
    blocks: Sequence[Block]
    warnings: Sequence[str] = ()
    footer: Sequence[Words] = field(default_factory=tuple)


def as_markdown(document: Document) -> str:
    """Write the document as GitHub markdown."""
    lines = [f"# {escaped(document.title)}", ""]
    for warning in document.warnings:
        lines += ["> [!WARNING]", f"> {escaped(warning)}", ""]
    for block in document.blocks:
        lines += [*_markdown(block), ""]
    if document.footer:
        lines += ["---", "", *(f"- {_words(words)}" for words in document.footer), ""]
    return "\n".join(lines).rstrip() + "\n"


def as_html(document: Document) -> str:
    """Write the document as one HTML page that asks nothing of the network, light or dark as its reader has it."""
    return _environment().get_template("document.html.j2").render(document=document) + "\n"


def standalone(svg: str) -> str:
    """Give an SVG a background and ink of its own: as a file it has no page around it to take them from."""
    return svg.replace("<svg ", '<svg style="background:#fff;color:#1f2328" ', 1)


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case Heading(text):
            yield f"## {escaped(text)}"
        case Paragraph(words, kind):
            yield f"**{_words(words)}**" if kind == "lead" else _words(words)
        case Bullets(items):
            yield from (f"- {_words(words)}" for words in items)
        case Grid(head, rows, labels):
            align = "l" * labels + "r" * (len(head) - labels)
            yield from table([escaped(name) for name in head], align, [[_cell(cell) for cell in row] for row in rows])
        case Picture(_, file, told):
            yield f"![{escaped(told)}]({file})"


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    text = f"**{text}**" if cell.strong and text else text
    return f"{text} {cell.interval}".strip()  # brackets without a target are no link


def _words(words: Words) -> str:
    return "".join(_piece(piece) for piece in _pieces(words))


def _piece(piece: str | Code) -> str:
    if isinstance(piece, Code):
        text = " ".join(piece.text.split())
        return escaped(text) if "`" in text else f"`{visible(text)}`"
    inner = escaped(piece)  # which also takes the spaces at the ends, that stand beside code
    return " " * bool(re.match(r"\s", piece)) + inner + " " * bool(inner and re.search(r"\s$", piece))


def _pieces(words: Words) -> Sequence[str | Code]:
    return [words] if isinstance(words, str) else words


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("popbench.paper", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pieces"] = _pieces
    environment.tests["code"] = lambda piece: isinstance(piece, Code)
    environment.globals["kind"] = lambda block: type(block).__name__
    return environment
