"""A hook of mkdocs: pages and files outside docs/ that the documentation links to become part of the site.

Links are written as they lead from file to file in the repository, so that the pages read the same there. The hook
adds the pages of `PAGES`, and the files they link to, under their paths in the repository, and rewrites the links.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (
    "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "leaderboards/README.md", "leaderboards/*/README.md",
    "plugins/README.md", "plugins/*/README.md", "tasks/README.md", "tests/benchmarks/README.md",
)  # fmt: skip
_LINK = re.compile(r"(?<=\]\()([^)\s#]*)(#[^)\s]*)?(?=\))")
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_ALERT = re.compile(r"^> \[!(\w+)\]\n", re.MULTILINE)


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages outside docs/, and what they link to that is no page."""
    pages = [page for pattern in PAGES for page in sorted(ROOT.glob(pattern))]
    linked = {target for page in (*pages, *DOCS.rglob("*.md")) for target in _linked(page) if target.is_file()}
    for path in (*pages, *sorted(linked)):
        uri = _uri(path)
        if uri is not None and files.get_file_from_path(uri) is None and (path in pages or path.suffix != ".md"):
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Let links lead where their targets are on the site, and show GitHub's alerts as quotations."""
    source = Path(page.file.abs_src_path)
    here = PurePosixPath(page.file.src_uri).parent

    def moved(link: re.Match[str]) -> str:
        target, anchor = link[1], link[2] or ""
        if not target or "://" in target:
            return link[0]
        uri = _uri(_target(source, target))
        return link[0] if uri is None else os.path.relpath(uri, here) + anchor

    pieces, at = [], 0
    for code in _CODE.finditer(markdown):
        span = code[0] if code[1] else code[0].replace("\\|", "|")  # escaped in tables for GitHub alone
        pieces += [_LINK.sub(moved, markdown[at : code.start()]), span]
        at = code.end()
    text = _indented("".join([*pieces, _LINK.sub(moved, markdown[at:])]))
    return _ALERT.sub(lambda alert: f"> **{alert[1].capitalize()}.**\n", text)


def _indented(markdown: str) -> str:
    """Indent what belongs to numbered items by four spaces: GitHub takes three, Python-Markdown does not."""
    lines, inside, fenced = [], False, False
    for line in markdown.split("\n"):
        fenced ^= line.startswith("```")
        inside = not fenced and (bool(re.match(r"\d+\. ", line)) or (inside and (not line or line.startswith("   "))))
        lines.append(f" {line}" if inside and line.startswith("   ") else line)
    return "\n".join(lines)


def _linked(page: Path) -> Iterator[Path]:
    for target, _ in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if target and "://" not in target:
            yield _target(page, target)


def _target(page: Path, link: str) -> Path:
    """Return the file that a link leads to: of a folder, its README."""
    path = Path(os.path.normpath(page.parent / link))
    return path / "README.md" if path.is_dir() else path


def _uri(path: Path) -> str | None:
    """Return where a file of the repository is on the site; the README's place is that of the first page."""
    if path == ROOT / "README.md":
        return "index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else None
