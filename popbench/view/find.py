"""Finds the runs and boards below a folder. Links to folders are not followed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from popbench.runs.run_json import FILE as RUN_FILE

BOARD_FILES = ("board.yaml", "board.json")
"""A folder with both is a board that was built."""
_DEEPEST = 5
"""Levels of folders below the first that are looked through."""
_MOST = 20_000
"""Entries of folders that are looked at, so that a folder of data by mistake costs no minutes."""


@dataclass
class Found:
    """Runs and boards by their paths below the folder, `.` for the folder itself.

    `cut` says that there is more below the folder than was looked through.
    """

    runs: dict[str, Path] = field(default_factory=dict)
    boards: dict[str, Path] = field(default_factory=dict)
    cut: bool = False


def find(folder: Path) -> Found:
    """Look for runs and boards in a folder and below it; nothing is looked for inside a run or a board."""
    found, left = Found(), _MOST
    level = [folder]
    for depth in range(_DEEPEST + 1):
        deeper: list[Path] = []
        for path in level:
            name = path.relative_to(folder).as_posix()
            if _is_file(path / RUN_FILE):
                found.runs[name] = path
            elif all(_is_file(path / file) for file in BOARD_FILES):
                found.boards[name] = path
            else:
                inside, left = _folders(path, left)
                deeper += inside
        level = deeper
        if left <= 0 or (level and depth == _DEEPEST):
            found.cut = left <= 0
            break
    found.runs = dict(sorted(found.runs.items()))
    found.boards = dict(sorted(found.boards.items()))
    return found


def _folders(path: Path, left: int) -> tuple[list[Path], int]:
    """Return the folders in a folder, and how many entries may still be looked at."""
    inside = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                left -= 1
                if left <= 0:
                    break
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False) and _is_text(entry.name):
                    inside.append(path / entry.name)
    except OSError:  # it is gone, or not for this user
        pass
    return inside, left


def _is_text(name: str) -> bool:
    """Return whether a name can be sent as text: others have no address."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink()
    except OSError:
        return False


def file_of(run: Path, *names: str) -> Path | None:
    """Return the path of a regular file of a run; None if there is none, or if a link on the way leads out of the run.

    `names` are single names of a folder or a file, as they stand in an address.
    """
    if not all(name not in ("", ".", "..") and "/" not in name and "\0" not in name for name in names):
        return None
    path = run.joinpath(*names)
    try:
        if path.is_file() and path.resolve().is_relative_to(run.resolve()):
            return path
    except (OSError, RuntimeError, ValueError):  # also a link to itself
        pass
    return None
