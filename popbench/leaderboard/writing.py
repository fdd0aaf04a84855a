"""Writing several files that belong together: all of them whole, or none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from popbench.errors import RunError, one_line
from popbench.files import write_new


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts below `folder`, by their relative paths; they appear in this order, once all of them are written.

    Raises RunError where the disk refuses, and where a folder on the way is a link; then what was there is as it was.
    A process that is killed leaves at most files named `.*.part` and, in the moment of renaming, some files that are
    newer than others.
    """
    parts = {name: folder / Path(name).with_name(f".{Path(name).name}.part") for name in files}
    missing = {parent for part in parts.values() for parent in part.parents if not parent.exists()}
    name = ""
    try:
        for name, text in files.items():
            if any((folder / parent).is_symlink() for parent in Path(name).parents if parent.name):
                raise NotADirectoryError(20, "a link is in the way, and nothing is written through it")
            parts[name].parent.mkdir(parents=True, exist_ok=True)
            write_new(parts[name], text.encode("utf-8", "replace"))
        for name in files:
            if (folder / name).is_dir():
                raise IsADirectoryError(21, "a folder is in the way")
        for name, part in parts.items():
            part.replace(folder / name)
    except OSError as error:
        for part in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
        for made in sorted(missing, reverse=True):  # the innermost first
            with suppress(OSError):
                made.rmdir()
        raise RunError(f"{folder / name}: cannot be written ({one_line(error)})") from error


def remove_parts(folder: Path) -> None:
    """Remove what a killed process had not finished writing in a folder; its user has to be the only one.

    Nothing where the folder is a link: it is another's.
    """
    for part in folder.glob(".*.part") if not folder.is_symlink() else ():
        with suppress(OSError):
            part.unlink()
