"""A document of headings, sentences, tables and figures, written as GitHub markdown and as one HTML page.

All text is escaped: names of models and tasks may be a stranger's, and must not become markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import jinja2

from popbench.leaderboard.markup import escaped, table
from popbench.text import visible


@dataclass(frozen=True)
class Code:
    """A piece of a sentence that is code: a command, an option, a file's name."""

    text: str


Words = str | Sequence[str | Code]
"""A sentence; in pieces if some of it is code."""


@dataclass(frozen=True)
class Heading:
    """The title of a part; `anchor` names it in links, and `short` in the list of parts."""

    text: str
    anchor: str
    short: str = ""


@dataclass(frozen=True)
class Paragraph:
    """One or more sentences; `kind` is plain, `lead` for the first sentence of the page, `note`, or `gap`."""

    words: Words
    kind: str = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[Words]


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a number or a name, its interval, and its style."""

    text: str
    interval: str = ""
    strong: bool = False
    soft: bool = False


@dataclass(frozen=True)
class Grid:
    """A table; the first `labels` columns hold names, aligned left; all others hold numbers, aligned right."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    labels: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure as SVG in the colour `currentColor`; `file` is its path for markdown, `description` its text."""

    svg: str
    file: str
    description: str


Block = Heading | Paragraph | Bullets | Grid | Picture


@dataclass(frozen=True)
class Document:
    """The content of a page, from top to bottom; `warnings` stand above everything else."""

    title: str
    blocks: Sequence[Block]
    warnings: Sequence[str] = ()
    footer: Sequence[Words] = field(default_factory=tuple)


def as_markdown(document: Document) -> str:
    """Return the document as GitHub markdown."""
    lines = [f"# {escaped(document.title)}", ""]
    for warning in document.warnings:
        lines += ["> [!WARNING]", f"> {escaped(warning)}", ""]
    for block in document.blocks:
        lines += [*_markdown(block), ""]
    if document.footer:
        lines += ["---", "", *(f"- {_words(words)}" for words in document.footer), ""]
    return "\n".join(lines).rstrip() + "\n"


def as_html(document: Document) -> str:
    """Return the document as one HTML page that loads nothing; it follows the reader's light or dark theme."""
    return _environment().get_template("document.html.j2").render(document=document) + "\n"


def standalone(svg: str) -> str:
    """Return an SVG with its own background and colour: as a file, it has no page to inherit them from."""
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
        case Picture(_, file, description):
            yield f"![{escaped(description)}]({file})"


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    text = f"**{text}**" if cell.strong and text else text
    return f"{text} {cell.interval}".strip()  # the brackets are not escaped: without a target they are no link


def _words(words: Words) -> str:
    return "".join(_piece(piece) for piece in _pieces(words))


def _piece(piece: str | Code) -> str:
    if isinstance(piece, Code):
        text = " ".join(piece.text.split())
        return escaped(text) if "`" in text else f"`{visible(text)}`"
    inner = escaped(piece)  # removes the spaces at the ends, which separate text from code
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
