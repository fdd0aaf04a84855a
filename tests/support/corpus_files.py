"""A small table of published videos, with files, for tests of runs with a corpus."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import video_files

COLUMNS = ("id", "title", "description", "caption", "tag", "popularity", "part")
TAGS = ("Anime", "Delicacy", "Daily Sharing", "Film and TV", "Game")
SUBJECTS = {
    "Anime": "swordswoman hero robot schoolyard castle",
    "Delicacy": "noodles soup dumplings kitchen bread",
    "Daily Sharing": "morning bus rain laundry neighbour",
    "Film and TV": "actor scene villain trailer cinema",
    "Game": "boss level arena quest controller",
}


def rows(per_tag: int = 6, tags: Sequence[str] = TAGS) -> list[dict[str, object]]:
    """Return numbered videos of each tag, all in the part `test`."""
    found: list[dict[str, object]] = []
    for tag in tags:
        words = SUBJECTS[tag].split()
        for number in range(per_tag):
            one, two = words[number % 5], words[(number * 2 + 1) % 5]
            found.append(
                {
                    "id": f"{tag[:2].lower()}{number}",
                    "title": f"The {one} and the {two}, take {number}",
                    "description": f"{tag}: {two}",
                    "caption": f"A {one} goes by, and a {two} looks on",
                    "tag": tag,
                    "popularity": (number * 37) % 101,
                    "part": "test",
                }
            )
    return found


def write(path: Path, table: Sequence[Mapping[str, object]]) -> Path:
    """Write a table as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    return path


def spec(path: Path, **options: object) -> str:
    """Return the spec of such a table."""
    further = "".join(f',{key}="{value}"' for key, value in options.items())
    columns = ",".join(f"{name}={name}" for name in COLUMNS[:-1])
    return f'table,path="{path}",{columns},parts=part{further}'


def videos(folder: Path, table: Sequence[Mapping[str, object]]) -> Path:
    """Write a clip for each row, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(table):
        video_files.make(folder / f"{row['id']}.mp4", range(number % 7, number % 7 + 4 + number % 5))
    return folder
