"""Writing exported files: whole or not at all, and never over other content unless asked to."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.files import opened_new, part_of
from popbench.text import counted


class Staged:
    """Files on their way: each is written beside its target under another name, and all appear together."""

    def __init__(self, *, force: bool) -> None:
        """Start with none; `force` lets them replace files with other content."""
        self._force = force
        self._made: dict[Path, Path] = {}

    def add(self, target: Path) -> Path:
        """Make room for a file and return where to write it; raises UsageError where no file can be."""
        try:
            if target.exists() and not target.is_file():
                what = "a folder" if target.is_dir() else "no regular file"
                raise UsageError(f"{target} is {what}: choose another --out")
            partial = part_of(target, shared=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            opened_new(partial).close()
        except (OSError, ValueError) as error:
            raise UsageError(f"{target} cannot be written ({one_line(error)}): choose another --out") from error
        self._made[target] = partial
        return partial

    def keep(self) -> None:
        """Put all files in their places; raises UsageError where that would replace other content."""
        changed = [target for target, partial in self._made.items() if target.exists() and not _equal(target, partial)]
        if changed and not self._force:
            raise UsageError(_taken(changed))
        for target, partial in self._made.items():
            partial.replace(target)
        self._made = {}

    def drop(self) -> None:
        """Remove what is still on its way."""
        for partial in self._made.values():
            partial.unlink(missing_ok=True)


@contextmanager
def staged(*, force: bool) -> Iterator[Staged]:
    """Give room for files, which are all there at the end, or none; raises RunError where the disk refuses."""
    files = Staged(force=force)
    try:
        yield files
        files.keep()
    except OSError as error:
        raise RunError(f"nothing was exported: {one_line(error)}") from error
    finally:
        files.drop()


def _equal(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def _taken(paths: Sequence[Path]) -> str:
    others = f" and {counted(len(paths) - 1, 'other file')}" if len(paths) > 1 else ""
    return f"{paths[0]}{others} would be replaced by other content: add --force, or choose another --out"
