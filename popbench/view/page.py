"""The page: one document, and the scripts and styles that it asks for. Most of these are those of reports."""

from __future__ import annotations

from pathlib import Path

_OWN = Path(__file__).parent / "templates"
_SHARED = Path(__file__).parents[1] / "report" / "templates"

ASSETS = {
    name: (folder / name).read_text(encoding="utf-8")
    for folder, names in (
        (_SHARED, ("theme.js", "card.js", "page.css", "tables.css", "gallery.css")),
        (_OWN, ("view.css", "core.js", "overview.js", "run.js", "samples.js", "sample.js", "main.js")),
    )
    for name in names
}
"""Scripts and styles by name."""

PAGE = (_OWN / "view.html").read_text(encoding="utf-8")
