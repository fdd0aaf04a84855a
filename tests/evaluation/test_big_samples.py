"""Many samples: rows by column are what rows are, and what passes by once is not kept."""

from __future__ import annotations

import csv
import random
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from popbench.errors import UsageError
from popbench.evaluation.finish import SampleCounts
from popbench.leaderboard.pairs import resamples_of
from popbench.ledger.ledger import Call, Done, Ledger, StageKey
from popbench.records import Sample
from popbench.runs.costs import totals
from popbench.runs.samples import SamplesFile, read_jsonl, write_jsonl
from popbench.scores.rows import Rows, ScoreRow
from popbench.scores.run_scores import RunScores, from_samples
from popbench.scores.score_files import read_scores

ABOUT: Any = {
    "demo": False,
    "config": {},
    "tasks": {"t": {"hash": "h", "group": None, "prompts": None}},
    "modes": {"basic": {"name": "basic", "options": {}, "fingerprints": {"t": "m"}}},
    "systems": {f"llm|basic|gen{n}": {"t": "f"} for n in range(4)},
    "predictors": {"p": "digest"},
    "units": {"p": "views"},
    "notes": {},
}


def made(count: int) -> Iterator[Sample]:
    """Make samples of four generators, each with texts of its own."""
    for system in range(4):
        for number in range(count // 4):
            popularity = float(number % 7) if number % 50 else None
            yield Sample(
                f"llm|basic|gen{system}", "llm", "basic", f"gen{system}", "t", f"{number:06d}", f"Prompt {number}.",
                f"kind {number % 3}", 0, "error" if popularity is None else "ok" if popularity else "invalid",
                title=f"Title {number}", video_prompt=f"{number:06d} " * 30, completion=f"{number} " * 200,
                attempts=1, popularity=popularity, scores={"p": popularity}, compliance=bool(number % 2),
                error=None if popularity else f"reason {number % 2}", usage={"input": 3, "output": 2}, cost=0.25,
            )  # fmt: skip


def peak(work: Callable[[], object]) -> int:
    """Return the bytes that some work takes at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def growth(work: Callable[[int], object], few: int = 400, many: int = 1600) -> float:
    """Return the bytes that each further item takes."""
    work(few)  # what is made once is made now
    return (peak(lambda: work(many)) - peak(lambda: work(few))) / (many - few)


def test_samples_are_written_counted_and_scored_in_one_pass_that_keeps_none_of_them(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"

    def write(count: int) -> None:
        write_jsonl(SampleCounts().through(made(count), RunScores(ABOUT, "run")), file)

    assert growth(write) < 250  # a sample has 1,000 characters
    assert growth(lambda count: from_samples(made(count), ABOUT, "run")) < 250
    write(200)
    whole = list(read_jsonl(file))
    assert whole == list(made(200)) == list(SamplesFile(file))
    assert list(read_jsonl(file, only={1, 3})) == whole[0:3:2]


def test_what_is_counted_in_passing_is_what_the_samples_hold() -> None:
    found, samples = SampleCounts(), list(made(400))
    scores = RunScores(ABOUT, "run")
    assert list(found.through(samples, scores)) == samples
    by_status = [sum(sample.status == status for sample in samples) for status in ("error", "invalid")]
    assert (found.n, found.errors, found.invalid) == (400, *by_status)
    assert found.reasons.total() == found.invalid
    assert set(found.reasons) == {"reason 0", "reason 1"}
    assert list(found.systems) == list(ABOUT["systems"])
    assert found.totals.rows() == totals(samples)
    assert found.totals.rows()[0]["calls"] == 100  # four generators render one draft
    one, other = scores.scores(), from_samples(samples, ABOUT, "run")
    assert [list(each.rows) for each in one] == [list(each.rows) for each in other]
    some = scores.scores(["llm|basic|gen2"])
    assert {row.system for row in some[0].rows} == {"llm|basic|gen2"}


def test_a_file_of_scores_is_read_row_by_row(tmp_path: Path) -> None:
    def write(count: int) -> Path:
        path = tmp_path / f"{count}.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["system", "task", "prompt_id", "popularity", "completion"])
            rows.writerows([f"s{n % 4}", "t", f"p{n // 4}", n + 1, "text " * 100] for n in range(count))
        return path

    paths = {count: write(count) for count in (400, 1600)}
    assert growth(lambda count: read_scores(paths[count])) < 400  # their names are kept; as a mapping a row takes 2,000
    (scores,) = read_scores(paths[1600])
    assert len(scores.rows) == 1600
    assert scores.systems == dict.fromkeys(("s0", "s1", "s2", "s3"))


def drawn(rng: random.Random, count: int) -> list[ScoreRow]:
    """Draw rows of any kind."""
    return [
        ScoreRow(
            f"s{rng.randrange(4)}", f"t{rng.randrange(2)}", f"p{rng.randrange(5)}", rng.randrange(3), rng.choice("ab"),
            status, None if status == "error" else 0.0 if status == "invalid" else rng.random(),
            rng.choice([None, True, False]), rng.choice([None, True, False]),
        )
        for status in rng.choices(["ok", "invalid", "error"], k=count)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_rows_by_column_are_the_rows_themselves(seed: int) -> None:
    rng = random.Random(seed)
    ours, theirs = (drawn(rng, rng.choice([0, 1, 30])) for _ in range(2))
    rows = Rows(ours)
    assert (list(rows), len(rows)) == (ours, len(ours))
    assert rows == ours == Rows.of(rows)
    assert list(rows.joined(Rows(theirs))) == ours + theirs
    assert list(rows) == ours  # as it was
    chosen = rows.of_tasks(["t1"]) & rows.of_systems(["s0", "s2", "gone"]) & ~rows.has_status("error")
    kept = [row for row in ours if row.task == "t1" and row.system in ("s0", "s2") and row.status != "error"]
    assert list(rows.where(chosen)) == kept
    assert rows.where(chosen).system_names == sorted({row.system for row in kept})
    assert set(rows.where(chosen).prompt_names) == {(row.task, row.prompt_id) for row in kept}
    assert list(rows.where(rows.of_prompts([("t0", "p1")]))) == [
        row for row in ours if (row.task, row.prompt_id) == ("t0", "p1")
    ]
    named = rows.renamed(lambda system: "one" if system == "s1" else "other")
    assert list(named) == [replace(row, system="one" if row.system == "s1" else "other") for row in ours]
    places = [(row.system, row.task, row.prompt_id, row.repeat) for row in ours]
    assert len(set(rows.places().tolist())) == len(set(places))
    assert list(rows[1:7:2]) == ours[1:7:2]


def test_a_repeat_beyond_all_bounds_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^repeat 9223372036854775808 of prompt 'p' is too large a number$"):
        Rows([ScoreRow("s", "t", "p", 2**63, "c", "ok", 1.0)])


def test_a_cell_is_read_in_pieces(tmp_path: Path) -> None:
    stage_key = StageKey("s", "t", "m", "write")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    call = Call("k", "write", "ok", {"text": "x" * 3000})
    ledger.commit(call, [Done(stage_key, f"p{n}", 0, "k", "ok", {"title": f"{n:04d} " * 500}) for n in range(2200)])

    def read(count: int) -> None:
        places = ((f"p{n}", 0) for n in reversed(range(count)))
        for number, row in enumerate(ledger.rows([stage_key], "d0.value, c0.payload", places), 1):
            assert row[:2] == (f"p{count - number}", 0)  # in the order of the places

    assert growth(read, 1000, 2200) < 100
    assert list(ledger.rows([stage_key], "d0.key", [("p1", 0), ("p1", 1), ("gone", 0)])) == [
        ("p1", 0, "k"), ("p1", 1, None), ("gone", 0, None),
    ]  # fmt: skip
    ledger.close()


def test_tables_of_very_many_prompts_have_fewer_resamples_and_others_have_all() -> None:
    assert [resamples_of(n) for n in (1, 200, 26_843)] == [10_000] * 3
    assert [resamples_of(n) for n in (26_844, 200_000, 1_000_000)] == [9_999, 1_342, 1_000]
