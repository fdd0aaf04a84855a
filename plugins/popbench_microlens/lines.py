"""Reads lines of unchecked files. Malformed lines are counted and skipped.

The raw files of MicroLens-100k have no headers. Titles hold commas, quotes and line breaks, some quoted as in CSV and
some not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

from popbench.errors import UsageError, one_line
from popbench_microlens.tally import Tally

_HEADER = re.compile(r"(video|item|user|photo)?[ _-]?ids?|vid|video|item|user", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
_REST_OF_FIELD = re.compile(r'[^"]*(?:""[^"]*)*"\s*')
"""The text after an opening quote, for a field that ends with the line."""
_OPEN_FIELD = re.compile(r'[^"]*(?:""[^"]*)*')
"""The same for a field that goes on in the next line."""


def read_ids(file: Path, tally: Tally, separators: str = "\t", fields: int = 3) -> list[str]:
    """Return the first field of every line in the file's order, each id once.

    A line with fewer than `fields` fields is malformed. Raises UsageError for a file that cannot be read or has none.
    """
    return list(read_fields(file, tally, separators, fields))


def read_fields(file: Path, tally: Tally, separators: str = "\t", fields: int = 3) -> dict[str, list[str]]:
    """Return all fields of each id's first line, in the file's order; otherwise as `read_ids`."""
    by_id: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(file, tally), 1):
        if not line.strip():
            continue
        cells = re.split(f"[{separators}]", line)
        id_ = _without_quotes(cells[0])
        if number == 1 and _HEADER.fullmatch(id_):
            continue
        if len(cells) < fields or not id_:
            tally.malformed(file.name, number)
        elif id_ in by_id:
            tally.repeated(file.name, number)
        else:
            by_id[id_] = [_without_quotes(cell) for cell in cells]
    if not by_id:
        raise UsageError(f"{file}: no videos in it: expected one on every line, its id in the first field")
    return by_id


def read_pairs(file: Path, separator: str, ids: Container[str], tally: Tally) -> dict[str, str]:
    """Return the text of each id of `ids`: what follows the first separator of its line.

    A text in proper quotes is unquoted, and may span several lines. Any other text is taken unchanged.
    """
    lines = _lines(file, tally)
    starts = Counter(_without_quotes(line.partition(separator)[0]) for line in lines if separator in line)
    # The only line that starts with an id belongs to that id, and is no line of another video's quoted text.
    alone = {id_ for id_, count in starts.items() if count == 1 and id_ in ids}
    texts: dict[str, str] = {}
    position = 0
    while position < len(lines):
        number, line = position + 1, lines[position]
        position += 1
        head, between, rest = line.partition(separator)
        id_ = _without_quotes(head)
        if not line.strip() or (number == 1 and _HEADER.fullmatch(id_) and id_ not in ids):
            continue
        if not between or id_ not in ids:
            tally.malformed(file.name, number)
            continue
        text, more = _text(rest.strip(), lines[position:] if _continues(rest) else (), separator, alone)
        position += more
        if id_ in texts:
            tally.repeated(file.name, number)
        else:
            texts[id_] = text
    return texts


def count_rows(file: Path, ids: Iterable[str], tally: Tally) -> Mapping[str, int]:
    """Count the rows of each id of `ids`. The id is the second of at least three tab-separated fields."""
    names = {id_.encode(): id_ for id_ in ids}
    counts = dict.fromkeys(names, 0)
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                fields = line.split(b"\t", 2)
                if len(fields) == 3 and fields[1] in counts:
                    counts[fields[1]] += 1
                elif line.strip():
                    _count_malformed(file, number, fields, counts, tally)
    except OSError as error:
        raise unreadable(file, error) from error
    return {names[id_]: count for id_, count in counts.items()}


def _count_malformed(file: Path, number: int, fields: Sequence[bytes], counts: dict[bytes, int], tally: Tally) -> None:
    id_ = _without_quotes(fields[1].decode("utf-8", "replace")) if len(fields) > 1 else ""
    if len(fields) == 3 and id_.encode() in counts:
        counts[id_.encode()] += 1
    elif not (number == 1 and _HEADER.fullmatch(id_)):
        tally.malformed(file.name, number)


def unreadable(file: Path, error: BaseException) -> UsageError:
    """Return the error for a file that cannot be read."""
    return UsageError(f"{file}: cannot be read ({one_line(error)})")


def _lines(file: Path, tally: Tally) -> list[str]:
    try:
        data = file.read_bytes().removeprefix(_BOM)
    except OSError as error:
        raise unreadable(file, error) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                tally.add(file.name, "line", "with bytes that are no UTF-8 mended", f"line {number:,}")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _without_quotes(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1].strip() if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _continues(rest: str) -> bool:
    text = rest.strip()
    return text.startswith('"') and _OPEN_FIELD.fullmatch(text, 1) is not None


def _text(first: str, following: Sequence[str], separator: str, alone: Container[str]) -> tuple[str, int]:
    """Return the text that starts with `first`, and how many of the following lines belong to it."""
    if first.startswith('"') and _REST_OF_FIELD.fullmatch(first, 1):
        return _unquoted(first), 0
    for count, line in enumerate(following, 1):
        if _without_quotes(line.partition(separator)[0]) in alone:
            break  # the quote was never closed: the next video starts here
        if _REST_OF_FIELD.fullmatch(line):
            return _unquoted("\n".join([first, *following[:count]])), count
        if not _OPEN_FIELD.fullmatch(line):
            break
    return first, 0


def _unquoted(text: str) -> str:
    return text.strip()[1:-1].replace('""', '"').strip()
