"""Checks that every hostile input ends as one line: no code run, nothing changed outside, time and memory bounded."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from command_line import Done

SECONDS = 20
MEMORY_MB = 700
SECRET = "a secret of another folder"
TEXTS = {
    "script": "<script>alert(1)</script>",
    "script-end": "</script><script>alert(1)//",
    "comment": "<!--<script>",
    "handler": "<img src=x onerror=alert(1)>",
    "attribute": "\" onmouseover=alert(1) x=\"' autofocus onfocus=alert(1) '",
    "svg": "<svg/onload=alert(1)>",
    "link": "[x](javascript:alert(1))",
    "image": "![x](http://example.invalid/x.png)",
    "address": "javascript:alert(1)",
    "style": "</style><style>*{display:none}</style>",
    "css": "x;background:url(http://example.invalid/)",
    "entity": "&lt;script&gt;&#x3c;b&#62;&amp;",
    "template": "{{ 7*7 }}{% raw %}${7*7}",
    "markup": "[bold red]x[/bold red][link=http://example.invalid]y[/link]",
    "ansi": "\x1b[2J\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;cm0gLXJm\x1b\\",
    "csi-8bit": "\x9b31mred\x9d0;owned\x9c",
    "backspace": "good\b\b\b\bevil\r\x7f",
    "bidi": "safe\u202egpj.exe\u2066x\u2069",
    "separators": "a\u2028b\u2029c\x85d",
    "table": "a | b \\| c `d` *e* _f_ ~~g~~ # h",
    "formula": '=HYPERLINK("http://example.invalid","x")',
    "formula-at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "formula-minus": "-2+3+cmd|' /C calc'!A0",
    "formula-plus": "+1\t=1",
    "long": "x" * 3_000,
    "blank": "\u200b\ufeff\u00ad",
    "prototype": "__proto__",
}
"""Titles and labels as somebody may send them, by what they try."""
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that no line on a terminal may have: all of control but tabs and line ends, and what turns text around."""
_TRACE = re.compile(r"Traceback|File \"")
_PYTHON = re.compile(r"Traceback|\b[A-Z]\w*(Error|Exception)\b|errors\.pydantic")


@dataclass(frozen=True)
class Outside:
    """A folder that must be neither read nor written, and the path of a file that exists only if code was run."""

    folder: Path
    canary: Path

    @property
    def secret(self) -> Path:
        return self.folder / "secret.txt"


def outside(folder: Path) -> Outside:
    """Make a folder with a secret beside the tested files."""
    folder.mkdir()
    found = Outside(folder, folder.parent / "canary")
    found.secret.write_text(SECRET, encoding="utf-8")
    (folder / ".kept.part").write_text(SECRET, encoding="utf-8")
    return found


@contextmanager
def harmless(of: Outside, seconds: int = SECONDS) -> Iterator[None]:
    """Check that the block ends, needs little memory, changes nothing outside, and runs no code."""
    before = {path.name: path.read_bytes() for path in of.folder.iterdir()}
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    start = _megabytes("VmRSS")

    def late(*_: object) -> None:
        raise AssertionError(f"not done after {seconds} seconds")

    kept = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, kept)
    assert {path.name: path.read_bytes() for path in of.folder.iterdir()} == before
    assert not of.canary.exists()
    assert _megabytes("VmHWM") - start < MEMORY_MB


def _megabytes(what: str) -> float:
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def check_end(done: Done, *, plain: bool = True, talks: bool = False) -> None:
    """Check that a command succeeded, or was refused in its own lines, without control characters, in `plain` words.

    With `talks`, lines about its progress may come first.
    """
    assert done.status in (0, 1, 2)
    assert not STEERING.search(done.out + done.err)
    assert not (_PYTHON if plain else _TRACE).search(done.err), done.err
    if done.status:
        assert done.err
        assert all(line.startswith("popbench: ") for line in done.err.splitlines()[-1 if talks else 0 :])


def steps(*changes: Callable[[Path, Outside], object]) -> Callable[[Path, Outside], None]:
    """Make changes one after the other."""

    def all_of_them(place: Path, of: Outside) -> None:
        for change in changes:
            change(place, of)

    return all_of_them


def pipe(name: str) -> Callable[[Path, Outside], None]:
    """Replace a file by a pipe."""

    def change(place: Path, _: Outside) -> None:
        (place / name).unlink(missing_ok=True)
        os.mkfifo(place / name)

    return change


def link(name: str, target: str = "") -> Callable[[Path, Outside], None]:
    """Replace a file or folder by a link, by default to the secret outside; `.` for its folder."""

    def change(place: Path, of: Outside) -> None:
        path = place / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(of.folder if target == "." else target or of.secret)

    return change


class Evil:
    """Makes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def bomb(pattern: str) -> str:
    """Write YAML of nine names, each of nine times the one before."""
    lines = [f"{new}: &{new} {pattern % ','.join([f'*{old}'] * 9)}" for old, new in pairwise("abcdefghi")]
    return "\n".join(["a: &a {k: x}", *lines, ""])
