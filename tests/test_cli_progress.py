"""Progress on the terminal: rates and times that stay true in batches and stalls."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from popbench.cli._progress import Bars, Lines, pace


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_after(*steps: tuple[float, int], total: int = 8, done: int = 0) -> list[str]:
    """What a terminal without bars shows of a stage: seconds that pass, then how many items are settled."""
    file, clock = io.StringIO(), Clock()
    lines = Lines(file, clock)
    lines.stage("write tiny", total, done)
    for seconds, count in steps:
        clock.now += seconds
        lines.advance(count)
    return file.getvalue().splitlines()


def test_answers_to_be_asked_again_before_any_is_settled_are_no_error() -> None:
    assert lines_after((12, 0), (1, 0), (11, 0)) == [
        "write tiny: 8 items",
        "write tiny: 0/8, 0:00:12 gone",
        "write tiny: 0/8, 0:00:24 gone",
    ]


def test_the_end_of_a_stage_is_told_once() -> None:
    assert lines_after((4, 8), (0, 0))[1:] == ["write tiny: 8/8, 2.0/s, 0:00:04 gone"]


def test_the_rate_is_over_the_whole_stage_and_falls_while_nothing_comes() -> None:
    """A batch of 4 after 20 s is 0.2 a second, not 4 at once; what earlier runs did does not count."""
    assert lines_after((20, 4), (20, 0), (0, 4), total=10, done=2) == [
        "write tiny: 10 items, 2 already done",
        "write tiny: 6/10, 0.2/s, 0:00:20 gone, 0:00:20 left",
        "write tiny: 6/10, 0.1/s, 0:00:40 gone, 0:00:40 left",
        "write tiny: 10/10, 0.2/s, 0:00:40 gone",
    ]


@pytest.mark.parametrize(
    ("settled", "left", "gone", "told"),
    [
        (0, 5, 0.0, "0:00:00 gone"),
        (5, 0, 0.0, "0:00:00 gone"),
        (1, 2, 60.0, "1.0/min, 0:01:00 gone, 0:02:00 left"),
        (8, 25, 6.0, "1.3/s, 0:00:06 gone, 0:00:18 left"),
    ],
)
def test_every_time_says_which_it_is(settled: int, left: int, gone: float, told: str) -> None:
    assert pace(settled, left, gone) == told


def test_one_item_is_no_items() -> None:
    assert lines_after(total=1) == ["write tiny: 1 item"]


def bars(width: int = 120) -> tuple[Bars, Clock, io.StringIO]:
    file, clock = io.StringIO(), Clock()
    console = Console(file=file, force_terminal=True, width=width, color_system=None, _environ={})
    return Bars(console, clock), clock, file


def last_lines(file: io.StringIO, count: int) -> list[str]:
    return [line.rstrip() for line in file.getvalue().replace("\x1b", "\n\x1b").splitlines() if "tiny" in line][-count:]


def test_a_bar_says_which_time_is_which_and_stands_still_when_its_stage_is_over() -> None:
    """The first stage ends early, the second is full; neither clock runs on."""
    progress, clock, file = bars()
    progress.stage("write tiny", 8, 2)
    clock.now += 20
    progress.advance(0)
    progress.advance(4)
    progress.stage("render tiny", 4, 0)
    clock.now += 2
    progress.advance(4)
    clock.now += 60
    progress.stage("score tiny", 3, 3)
    progress.close()
    write, render, score = last_lines(file, 3)
    assert write.endswith("6/8 0.2/s, 0:00:20 gone, 0:00:10 left")
    assert render.endswith("4/4 2.0/s, 0:00:02 gone")
    assert score.endswith("3/3")


def test_a_bar_is_one_line_on_80_columns() -> None:
    progress, clock, file = bars(80)
    progress.stage("write tiny-mode", 200, 0)
    clock.now += 100
    progress.advance(130)
    progress.close()
    (line,) = last_lines(file, 1)
    assert "write tiny-mode " in line
    assert line.endswith("130/200 1.3/s, 0:01:40 gone, 0:00:53 left")


def test_nothing_is_drawn_before_there_is_work() -> None:
    """A request that is refused leaves the terminal, and its cursor, as they were."""
    progress, _, file = bars()
    assert file.getvalue() == ""
    progress.close()
    assert file.getvalue() == ""
