"""Writes and checks the files of a trained predictor's folder: weights first, then README.md, and card.json last.

The card holds the hashes of the other files, so that a half-written folder, or a mixture of two, is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from popbench.errors import RunError, UsageError, one_line
from popbench.local import read_json
from popbench.video import sha256

CARD, README = "card.json", "README.md"


def write_folder(
    folder: Path,
    files: Mapping[str, Callable[[Path], object]],
    card: Mapping[str, Any],
    as_markdown: Callable[[Mapping[str, Any]], str],
) -> Mapping[str, Any]:
    """Write files, each with the function that writes it to a path; returns the card with their hashes.

    Raises RunError on a full disk.
    """
    from safetensors import SafetensorError

    partial = folder / ".part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = {}
        partial.write_text("", encoding="utf-8")
        mode = partial.stat().st_mode & 0o777  # the user's usual permissions, which safetensors ignores
        for name, write in files.items():
            write(partial)
            partial.chmod(mode)
            entries[name] = {"sha256": sha256(partial), "bytes": partial.stat().st_size}
            partial.replace(folder / name)
        whole = {**card, "files": entries}
        for name, text in (
            (README, as_markdown(whole)),
            (CARD, json.dumps(whole, indent=1, allow_nan=False) + "\n"),
        ):
            partial.write_text(text, encoding="utf-8", errors="replace")  # paths need not be UTF-8
            partial.replace(folder / name)
    except (OSError, SafetensorError) as error:  # the latter for a full disk too
        raise RunError(
            f"{folder}: the model cannot be written ({one_line(error)}): free space and run it again"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return whole


def files_problem(folder: Path, names: Iterable[str], entries: Mapping[str, Any], again: str) -> str | None:
    """Return in one line which file is missing or has another size than its card says; None if nothing is wrong.

    `again` says how to make the folder anew.
    """
    for name in names:
        entry = entries.get(name, {})
        try:
            size = (folder / name).stat().st_size
        except OSError:
            return f"{folder}: the folder lacks {name}: copy it from where it was made, or {again}"
        if size != entry.get("bytes"):
            wanted = f"{entry.get('bytes'):,}" if isinstance(entry.get("bytes"), int) else "unknown"
            return f"{folder / name}: {size:,} bytes, and {wanted} by its card: copy it again, or {again}"
    return None


def check_hashes(folder: Path, names: Iterable[str], entries: Mapping[str, Any], again: str) -> None:
    """Raise UsageError for a file that is not the one that the card describes."""
    for name in names:
        if sha256(folder / name) != entries[name]["sha256"]:
            raise UsageError(f"{folder / name}: not the file that its card describes: copy it again, or {again}")


def kind_of(folder: Path) -> str | None:
    """Return which kind of predictor a folder holds, by its card; None if it has none."""
    try:
        kind = read_json(folder / CARD).get("kind") if (folder / CARD).is_file() else None
    except (OSError, ValueError):
        return None
    return kind if isinstance(kind, str) else None


def refuse_other_kind(folder: Path, kind: str) -> None:
    """Raise UsageError if a folder holds a predictor of another kind, or other files, which would be overwritten."""
    found = kind_of(folder)
    if found not in (None, kind):
        raise UsageError(f"{folder} holds a predictor of another kind ({found}): choose another --out")
    whole = (folder / CARD).exists() or any(folder.glob("*.safetensors"))
    if not whole and (folder / README).exists():
        raise UsageError(f"{folder} holds other files ({README}), and no predictor: choose another --out")
