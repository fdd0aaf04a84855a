"""Reads and writes files that may come from a stranger: sizes are limited, and no link is written through. Internal.

A run directory, a board, a task or a file of scores may hold a pipe, a device, a link that leads elsewhere, or more
than fits into memory, under the name of a file. Files are written whole or not at all; those that belong together, all
or none.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from popbench.errors import RunError, UsageError, damage, one_line
from popbench.records import JSON

MAX_FILE_BYTES = 2**29
"""The largest file that is read into memory."""
MAX_LINE_BYTES = 2**26
"""The longest line of a file that is read line by line."""
MAX_CONFIG_BYTES = 2**17
"""The largest file of those that people write, such as a task's YAML."""
_MAX_YAML_VALUES = 50_000
"""The most values in a YAML file, counting those that an alias repeats each time."""


_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
_URL = re.compile(r"[a-z][a-z0-9+.-]+://|(https?|s3|gs|gcs|hf|ftps?|sftp|ssh|file|abfss?|azure|hdfs):/", re.IGNORECASE)


def refuse_url(name: str, path: str | Path) -> None:
    """Raise UsageError for a URL where a path of this machine belongs; `name` is that of the option.

    A folder of that name would be made, and the caller would look for the files elsewhere. `Path` has taken one of the
    two slashes away.
    """
    if _URL.match(str(path)):
        ways = "leave file:// out" if str(path)[:5].lower() == "file:" else "write to one, and copy the files"
        raise UsageError(f"{name}: {str(path)!r:.200} looks like a URL, and a path on this machine is expected: {ways}")


def opened(path: Path) -> BufferedReader:
    """Open a regular file for reading; raises OSError for anything else."""
    # Without O_NONBLOCK, opening a pipe would wait until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """Read a file; raises OSError if it is larger than `most` bytes."""
    with opened(path) as file:
        data = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else b""
        if len(data) > most or os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"larger than {_size_text(most)}", str(path))
    return data


def _size_text(size: int) -> str:
    return f"{size // 2**20:,} MiB" if size >= 2**20 else f"{size // 2**10:,} KiB"


def read_text(path: Path, most: int = MAX_FILE_BYTES) -> str:
    """Read a UTF-8 file, without a byte order mark; raises OSError as `read_bytes` does, and UnicodeDecodeError."""
    return read_bytes(path, most).decode("utf-8-sig")


def read_json(path: Path, most: int = MAX_FILE_BYTES) -> JSON:
    """Read a JSON file; raises OSError as `read_bytes` does, and ValueError or RecursionError for other content."""
    text = read_text(path, most)
    refuse_conflict(text)
    return json.loads(text)


def refuse_conflict(text: str) -> None:
    """Raise ValueError for a file with the marks that git leaves where a merge found two versions."""
    if _CONFLICT.search(text):
        raise ValueError("it has the marks of a merge conflict (<<<<<<<) in it: keep one of the two versions")


def read_lines(path: Path, longest: int = MAX_LINE_BYTES) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, without a byte order mark.

    Raises OSError if it is not a regular file, ValueError for a line over `longest` bytes.
    """
    with opened(path) as file:
        start = b"\xef\xbb\xbf"
        while line := file.readline(longest + 1):
            if len(line) > longest:
                raise ValueError(f"a line is longer than {_size_text(longest)}")
            yield line.removeprefix(start).decode("utf-8")
            start = b""


def read_yaml(path: Path, most: int = MAX_CONFIG_BYTES) -> JSON:
    """Read a YAML file of plain values; raises OSError as `read_bytes` does, ValueError for other content."""
    return yaml_value(read_text(path, most))


def yaml_value(text: str) -> JSON:
    """Parse YAML into plain values; raises ValueError for other content, or too much of it."""
    import yaml

    refuse_conflict(text)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > _MAX_YAML_VALUES:
            raise ValueError(f"more than {_MAX_YAML_VALUES:,} values, with those that aliases repeat")
        return loader.construct_document(node)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(damage(error)) from error


def _size(node: Any, sizes: dict[int, int]) -> int:
    """Count a YAML node and all below it, counting what an alias repeats each time.

    `sizes` caches the count of each node by its id, so that nested aliases for billions of values take no time.
    """
    if node.id == "scalar":
        return 1
    if id(node) not in sizes:
        sizes[id(node)] = _MAX_YAML_VALUES  # for an alias to a node that it is in
        parts = [part for pair in node.value for part in pair] if node.id == "mapping" else node.value
        sizes[id(node)] = min(_MAX_YAML_VALUES + 1, 1 + sum(_size(part, sizes) for part in parts))
    return sizes[id(node)]


def opened_new(path: Path) -> BinaryIO:
    """Open a new file for writing. Whatever has its name is removed first, so that no link is followed."""
    with suppress(FileNotFoundError):
        path.unlink()
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb")


def part_of(path: Path, *, shared: bool = False) -> Path:
    """Name the file that becomes `path` once it is whole: `.NAME.part`.

    `shared` adds the process's number, for folders in which several processes may write the same file.
    """
    # In the same folder: a rename is atomic on one file system only. `remove_parts` and the lock of a run directory
    # clear such files away after a kill.
    return path.with_name(f".{path.name}.{os.getpid()}.part" if shared else f".{path.name}.part")


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Write a file whole or not at all: yields the path to write to, which replaces `path` if nothing is raised.

    The file is not synced to disk: after a crash of the machine it may be empty. Callers to which that matters sync.
    """
    part = part_of(path, shared=shared)
    try:
        yield part
        part.replace(path)
    except BaseException:
        _remove(part)
        raise


def write_whole(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Write a file as `replacing` does; raises OSError where the disk refuses."""
    with replacing(path, shared=shared) as part, opened_new(part) as file:
        file.write(data)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(source: Path, target: Path) -> str:
    """Copy a file in one pass and return the SHA-256 of its bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with opened(source) as read, opened_new(target) as write:
        while block := read.read(2**20):
            digest.update(block)
            write.write(block)
    return digest.hexdigest()


def copy_whole(source: Path, target: Path, wanted: str | None = None) -> str:
    """Copy a file as `replacing` does and return the SHA-256 of its bytes.

    `target` stays as it was if that is not the hash `wanted`.
    """
    part = part_of(target)
    try:
        digest = copy(source, part)
        if wanted in (None, digest):
            part.replace(target)
        else:
            _remove(part)
    except BaseException:
        _remove(part)
        raise
    return digest


def _remove(part: Path) -> None:
    """Remove a file that did not become whole; the error that led here is the one to report."""
    with suppress(OSError):
        part.unlink(missing_ok=True)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts below `folder`, by their relative paths; they appear in this order, once all of them are written.

    Raises RunError if the disk refuses or a folder on the way is a link; then what was there is unchanged.
    A process that is killed leaves at most files named `.*.part` and, in the moment of renaming, some files that are
    newer than others.
    """
    # Not through `replacing`: no file may appear before the last one is written.
    parts = {name: part_of(folder / name) for name in files}
    missing = {parent for part in parts.values() for parent in part.parents if not parent.exists()}
    name = ""
    try:
        for name, text in files.items():
            if any((folder / parent).is_symlink() for parent in Path(name).parents if parent.name):
                raise NotADirectoryError(20, "a link is in the way, and nothing is written through it")
            parts[name].parent.mkdir(parents=True, exist_ok=True)
            with opened_new(parts[name]) as file:
                file.write(text.encode("utf-8", "replace"))
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
    """Remove the unfinished files that a killed process left in a folder; the caller must hold the folder's lock.

    A folder that is a link is left alone: it belongs to something else.
    """
    for part in folder.glob(".*.part") if not folder.is_symlink() else ():
        with suppress(OSError):
            part.unlink()
