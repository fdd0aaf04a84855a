"""Progress on the terminal: rates and times that stay true in batches and stalls."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from popbench.progress.live import Bars, Lines
from popbench.progress.stages import Row, duration, hours, shortened, speed, table, totals, words


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


def test_the_rate_falls_while_nothing_comes() -> None:
    """A batch of 4 after 20 s is 0.2 a second, not 4 at once; what earlier runs did does not count."""
    assert lines_after((20, 4), (20, 0), (0, 4), total=10, done=2) == [
        "write tiny: 10 items, 2 already done",
        "write tiny: 6/10, 12.0/min, 0:00:20 left",
        "write tiny: 6/10, 6.0/min, 0:00:40 left",
        "write tiny: 10/10, 12.0/min, 0:00:40 gone",
    ]


def test_an_hour_in_which_a_model_was_loaded_does_not_count_for_ever() -> None:
    steps = [(3600.0, 0), *[(60.0, 6)] * 10]
    assert lines_after(*steps, total=100)[-1] == "write tiny: 60/100, 6.0/min, 0:06:40 left"


def test_a_stall_after_a_fast_start_shows() -> None:
    """The last five items and all that came after them are the least that a rate is over."""
    steps = [*[(1.0, 10)] * 60, (3600.0, 0)]
    assert lines_after(*steps, total=1000)[-1] == "write tiny: 600/1000, 10.0/h, 40:00:40 left"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Row("write a", 0, 5, took=0.0), "write a: 0/5, 0:00:00 gone"),
        (Row("write a", 1, 3, rate=1 / 60, left=120.0, took=60.0), "write a: 1/3, 1.0/min, 0:02:00 left"),
        (Row("write a", 8, 33, rate=4 / 3, left=18.75, workers=4), "write a: 8/33, 1.3/s, 0:00:18 left, 4 workers"),
        (Row("write a", 5, 5, over=True, rate=0.0005, took=10_000.0), "write a: 5/5, 1.8/h, 2:46:40 gone"),
        (Row("write a", 2, 5, over=True, rate=1.0, took=2.0, workers=4), "write a: 2/5, 1.0/s, 0:00:02 gone"),
    ],
)
def test_every_time_says_which_it_is(row: Row, told: str) -> None:
    assert words(row) == told


def test_amounts_are_short_and_none_is_nothing() -> None:
    assert [hours(seconds) for seconds in (0.5, 36, 4000, 489_600, 7.2e6)] == ["<0.01", "0.01", "1.1", "136", "2,000"]
    assert [speed(rate) for rate in (12.34, 0.01, 0.0001)] == ["12.3/s", "36.0/h", "0.4/h"]
    assert duration(1e300) == "for ever"


def test_the_slowest_stage_says_what_is_left_of_all_if_each_of_them_can_say() -> None:
    rows = [Row("write a", 9, 10, over=True, left=0.0), Row("render b", 3, 10, left=70.0, gpu_seconds=7200)]
    score = Row("score c", 1, 10, left=9.0, usd=0.25, gpu_seconds=360)
    assert totals([*rows, score], 60) == "0:01:00 gone, 0:01:10 left, 2.1 GPU-hours, $0.25"
    assert totals([*rows, Row("score c", 0, 10)], 60) == "0:01:00 gone, 2.0 GPU-hours"


def test_one_item_is_no_items() -> None:
    assert lines_after(total=1) == ["write tiny: 1 item"]


def test_without_a_terminal_all_stages_at_once_take_one_line() -> None:
    """Nine stages, each with an answer a second: a line every ten seconds, not ninety."""
    file, clock = io.StringIO(), Clock()
    lines = Lines(file, clock)
    names = [f"write llm{number}" for number in range(9)]
    for name in names:
        lines.stage(name, 100, 0)
    for _ in range(10):
        clock.now += 1
        for name in names:
            lines.advance(1, name)
    lines.spend(names[0], gpu_seconds=3600, usd=0.5)
    clock.now += 10
    lines.resize(12, names[1])
    lines.advance(0, names[1])
    lines.finish(names[1])
    lines.advance(2, names[1])
    slower = [f"write llm{number}: 9/100, 54.0/min, 0:01:41 left" for number in range(1, 9)]
    assert file.getvalue().splitlines()[9:] == [
        "; ".join(["write llm0: 10/100, 1.0/s, 0:01:30 left", *slower]),
        "; ".join(
            ["write llm1: 10/12, 30.0/min, 0:00:04 left"]
            + [f"write llm{number}: 10/100, 30.0/min, 0:03:00 left" for number in range(2, 9)]
            + ["1.0 GPU-hours, $0.50 so far"]
        ),
        "write llm1: 10/12, 30.0/min, 0:00:20 gone",
    ]


def bars(width: int = 80, height: int = 25) -> tuple[Bars, Clock, io.StringIO]:
    file, clock = io.StringIO(), Clock()
    console = Console(file=file, force_terminal=True, width=width, height=height, color_system=None, _environ={})
    return Bars(console, clock), clock, file


def screen(file: io.StringIO) -> list[str]:
    """What a terminal shows in the end: what was drawn over is gone. A bar is shown as `=`."""
    shown = [""]
    at = 0
    for part in re.split(r"(\x1b\[[?\d]*[A-Za-z]|\n)", file.getvalue().replace("\r", "")):
        if part == "\n":
            at += 1
            shown += [""] * (at == len(shown))
        elif part == "\x1b[1A":
            at -= 1
        elif part == "\x1b[2K":
            shown[at] = ""
        elif not part.startswith("\x1b"):
            shown[at] += part
    return cleaned("\n".join(shown))


def cleaned(text: str) -> list[str]:
    return [re.sub(" *[━╸╺]+ *", " = ", line.rstrip()) for line in text.splitlines()]


def test_every_stage_has_a_line_that_stays_and_stands_still_when_it_is_over() -> None:
    """One that is moved on without its name is over when the next begins; all else is told above."""
    progress, clock, file = bars()
    progress.stage("embed tiny", 8, 2)
    clock.now += 20
    progress.advance(0)
    progress.advance(4)
    for name in ("write tiny", "render tiny", "render other"):
        progress.stage(name, 40, 0)
    clock.now += 2
    progress.advance(40, "write tiny")
    progress.advance(10, "render tiny")
    progress.finish("render other")
    progress.workers(8, "render tiny")
    progress.spend("render tiny", gpu_seconds=7200)
    progress.spend("write tiny", usd=0.5)
    clock.now += 8
    progress.stage("score tiny", 3, 3)
    progress.problem("one [bold]failed")
    drawn = io.StringIO()
    Console(file=drawn, width=80, _environ={}).print(progress)
    clock.now += 60
    progress.close()
    assert [line.split() for line in cleaned(drawn.getvalue())] == [
        ["done", "rate", "left", "workers", "GPU-h", "USD"],
        ["embed", "tiny", "=", "6/8", "12.0/min", "in", "0:00:20"],
        ["write", "tiny", "=", "40/40", "20.0/s", "in", "0:00:02", "$0.50"],
        ["render", "tiny", "=", "10/40", "1.0/s", "0:00:30", "8", "2.0"],
        ["render", "other", "0/40", "in", "0:00:02"],
        ["score", "tiny", "=", "3/3"],
        ["0:00:30", "gone,", "0:00:30", "left,", "2.0", "GPU-hours,", "$0.50"],
    ]
    (above, _, embed, *_, render, _, _, all_) = screen(file)[:8]
    assert above == "one [bold]failed"
    assert embed.endswith("6/8  12.0/min in 0:00:20")
    assert "8.6/min in 0:01:10" in render
    assert all_ == "0:01:30 gone, 2.0 GPU-hours, $0.50"


def test_a_line_is_one_line_on_80_columns_and_keeps_both_ends_of_a_label() -> None:
    rows = [
        Row("write tiny", 1_000_000, 1_000_000, over=True, rate=99_999.9, took=86_000.0),
        Row("render wan-2.1-14b,steps=30", 12, 1_000_000, rate=0.1, left=1e7, gpu_seconds=4e6, usd=1234.5, workers=999),
        Row("render 电影电影电影电影电影电影", 12, 1_000_000, rate=0.1, left=1e7),
    ]
    file = io.StringIO()
    Console(file=file, width=80, _environ={}).print(table(rows, 80))
    _, write, render, wide = cleaned(file.getvalue())
    assert write.startswith("write tiny ")
    assert "1000000/1000000" in write
    assert re.match(r"rend.*….*=30 .* 6\.0/min +2777:46:40 ", render)
    assert render.endswith("1,111 $1,234.50")
    assert "…" in wide
    assert shortened("write tiny", 10) == "write tiny"
    assert shortened("write tiny", 5) == "wr…ny"


def test_a_low_terminal_shows_what_is_at_work() -> None:
    """And all of it is there in the end."""
    progress, _, file = bars(height=8)
    for number in range(6):
        progress.stage(f"write llm{number}", 2, 0)
        if number < 3:
            progress.finish(f"write llm{number}")
    drawn = io.StringIO()
    Console(file=drawn, width=80, height=8, _environ={}).print(progress)
    told = cleaned(drawn.getvalue())
    progress.close()
    assert [line.partition("  ")[0] for line in told[1:]] == [
        "write llm2", "write llm3", "write llm4", "write llm5", "and 2 more stages; 0:00:00 gone",
    ]  # fmt: skip
    assert [line.partition("  ")[0] for line in screen(file)[1:7]] == [f"write llm{number}" for number in range(6)]


def test_nothing_is_drawn_before_there_is_work() -> None:
    """A request that is refused leaves the terminal, and its cursor, as they were."""
    progress, _, file = bars()
    assert file.getvalue() == ""
    progress.close()
    assert file.getvalue() == ""
