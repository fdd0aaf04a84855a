"""A corpus of small videos whose popularity follows a known law of title and picture, for tests of training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from popbench.video import write_mp4

WORDS = {"tiger": 1.5, "castle": 0.9, "noodles": 0.3, "laundry": -0.3, "rain": -0.9, "bus": -1.5}
"""What a title's word adds to log2 popularity."""
SIZE, FRAMES, FPS = 48, 6, 8
MIDDLE = 8.0
"""log2 popularity of an average video: large, so that whole numbers of comments round little."""


@dataclass(frozen=True)
class Made:
    """One video: its word and brightness, and its log2 popularity by the law."""

    id: str
    word: str
    light: float
    """From -1 to 1: how bright the picture is."""

    @property
    def title(self) -> str:
        """Return a title with the word; the number has no meaning."""
        return f"the {self.word} of today, take {int(self.id[1:]) % 7}"

    @property
    def of_title(self) -> float:
        """Return the title's part of log2 popularity."""
        return WORDS[self.word]

    @property
    def of_video(self) -> float:
        """Return the picture's part of log2 popularity."""
        return 1.5 * self.light

    @property
    def log2(self) -> float:
        """Return log2 popularity by the law."""
        return MIDDLE + self.of_title + self.of_video


def paint(light: float, seed: int) -> Any:
    """Paint frames, uint8 (FRAMES, SIZE, SIZE, 3), of some brightness, with a small moving square."""
    rng = np.random.default_rng(seed)
    frames = np.full((FRAMES, SIZE, SIZE, 3), int(128 + 100 * light), np.uint8)
    x, y, colour = int(rng.integers(0, 36)), int(rng.integers(0, 30)), rng.integers(0, 256, 3)
    for at, frame in enumerate(frames):
        frame[y + at : y + at + 8, x : x + 8] = colour
    return frames


def draw(count: int, seed: int = 0) -> list[Made]:
    """Draw videos: word and light are independent."""
    rng = np.random.default_rng(seed)
    words = rng.choice(list(WORDS), count)
    return [Made(f"v{at:04d}", str(words[at]), round(float(rng.uniform(-1, 1)), 4)) for at in range(count)]


def write(folder: Path, videos: Sequence[Made], noise: float = 0.0, seed: int = 0) -> tuple[Path, Path]:
    """Write a table of the videos (70 % train, 15 % valid, 15 % test) and their files; return both paths."""
    clips = folder / "clips"
    clips.mkdir(parents=True)
    rng = np.random.default_rng([seed, 1])
    table = folder / "made.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "comments", "part"])
        for at, made in enumerate(videos):
            write_mp4(paint(made.light, at), FPS, clips / f"{made.id}.mp4")
            comments = max(1, round(2 ** (made.log2 + noise * rng.standard_normal())))
            part = ("train", "valid", "test")[int(np.searchsorted([0.7, 0.85], (at + 0.5) / len(videos)))]
            writer.writerow([made.id, made.title, comments, part])
    return table, clips


def spec(table: Path) -> str:
    """Return the spec of such a table."""
    return f'table,path="{table}",title=title,popularity=comments,parts=part,id=id,name=made'
