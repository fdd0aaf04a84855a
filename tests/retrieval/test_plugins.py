"""What retrieval says of corpora and embedders that give what they should not: one line, with what and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import popbench
from made_retrieval import RandomEmbedder, RowsCorpus, StreamedCorpus, distinct_rows
from popbench.errors import UsageError
from popbench.records import Reference
from popbench.retrieval import RetrievalOptions, Retriever, build
from usage_errors import refusal


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))


def row(**values: Any) -> Reference:
    good: dict[str, Any] = {"id": "v7", "title": "t", "description": "d", "caption": "c", "tag": "g", "popularity": 1}
    return Reference(**{**good, **values})


def told(make: Any, embedder: popbench.Embedder | None = None) -> str:
    """The refusal of a corpus, whose lock is free afterwards."""
    retriever = Retriever(
        StreamedCorpus(make, "x"), embedder or RandomEmbedder(), corpus_name="mine", embedder_name="theirs"
    )
    message = refusal(retriever.load)
    assert refusal(retriever.load) == message
    assert not retriever.ready
    return message


class Nasty:
    def __repr__(self) -> str:
        return "two\nlines " * 100


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"id": "v7"}, "is a dict, not a Reference"),
        (None, "is a NoneType, not a Reference"),
        (row(id=""), "id is '', expected text"),
        (row(id=7), "id is 7, expected text"),
        (row(title=None), "title of 'v7' is None, expected text"),
        (row(caption=Nasty()), "caption of 'v7' is two lines"),
        (row(tag=1.5), "tag of 'v7' is 1.5, expected text"),
        *(
            (row(popularity=value), f"popularity of 'v7' is {value!r}, expected a number from 0 to 1e+15"[:80])
            for value in (float("nan"), float("inf"), -1, "12", True, None)
        ),
        (row(popularity=10**400), "popularity of 'v7' is 1000"),
    ],
)
def test_a_bad_row_is_told_with_its_corpus_and_place(bad: Any, said: str) -> None:
    message = told(lambda: iter([*distinct_rows(2), bad, *distinct_rows(3)]))
    assert message.startswith(f"corpus mine: row 3 of its part 'test': {said}")
    assert len(message) < 250


def test_ids_that_occur_twice_are_told() -> None:
    assert "corpus mine: id 'v00001' occurs more than once" in told(
        lambda: iter([*distinct_rows(4), distinct_rows(2)[1]])
    )


def test_an_empty_part_is_told() -> None:
    assert told(lambda: iter(())) == "corpus mine has no rows in its part 'test': there is nothing to retrieve"


@pytest.mark.parametrize("error", [ValueError("no\nsense"), OSError(5, "Input/output error"), RuntimeError()])
def test_a_corpus_that_fails_half_way_is_told(error: Exception) -> None:
    def rows() -> Iterator[Reference]:
        yield from distinct_rows(4)
        raise error

    message = told(rows)
    assert message.startswith("corpus mine cannot be read: ")
    assert message.endswith(" (after row 4 of its part 'test')")
    assert "POPBENCH_CACHE" not in message


def test_a_corpus_that_tells_itself_what_is_wrong_is_quoted() -> None:
    def rows() -> Iterator[Reference]:
        yield from distinct_rows(4)
        raise UsageError("line 5 of a.csv is bad")

    assert told(rows) == "line 5 of a.csv is bad"
    assert told(lambda: None).startswith("corpus mine cannot be read: TypeError")


def test_a_corpus_that_fails_to_identify_itself_or_to_remark_is_told() -> None:
    class NoContent(RowsCorpus):
        def content(self) -> str:
            raise KeyError("etag")

    class NoRemarks(RowsCorpus):
        def remarks(self) -> list[str]:
            raise ValueError("no")

    assert refusal(lambda: Retriever(NoContent([]), RandomEmbedder(), corpus_name="mine")).startswith(
        "corpus mine: no fingerprint ("
    )
    assert "its remarks cannot be had: ValueError: no" in refusal(
        Retriever(NoRemarks(distinct_rows(2)), RandomEmbedder()).load
    )


class Bad(RandomEmbedder):
    """Gives something else from the second batch on."""

    def __init__(self, give: Any) -> None:
        super().__init__()
        self.give = give

    def encode(self, texts: Sequence[str]) -> Any:
        known = len(self.texts)
        made = super().encode(texts)
        return self.give(made) if known else made


def _raise(made: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda made: made[0], "gave (8,) for 5 texts, expected (texts, d)"),
        (lambda made: made[:-1], "gave (4, 8) for 5 texts"),
        (lambda made: made[:, :0], "gave (5, 0) for 5 texts"),
        (lambda made: made * np.nan, "hold NaN or infinity"),
        (lambda made: made * 3, "gave a vector of length 3: they have length 1, or 0"),
        (lambda made: None, "gave () for 5 texts"),
        (lambda made: [["a"]], "raised ValueError"),
        (lambda made: [[1.0], [1.0, 2.0]], "raised ValueError"),
        (lambda made: made * 1e300, "raised"),
        (lambda made: made[:, :5], "gave vectors of length 5, and 8 before"),
        (_raise, "raised No space left on device"),
    ],
)
def test_a_bad_embedder_is_told(give: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BATCH", 5)
    retriever = Retriever(RowsCorpus(distinct_rows(12)), Bad(give), embedder_name="theirs")
    message = refusal(retriever.load)
    assert message.startswith("embedder theirs ")
    assert said in message
    assert "POPBENCH_CACHE" not in message
    good = Bad(lambda made: made)
    assert Retriever(RowsCorpus(distinct_rows(12)), good).load().n == 12
    for call in (lambda: retriever.prepare(["x"]), lambda: retriever.find("y", RetrievalOptions())):
        assert said.split(" for ")[0].split(", and ")[0][:6] in refusal(call)


def test_vectors_of_another_length_under_the_same_fingerprint_are_refused_by_later_runs() -> None:
    class Wider(Bad):
        def fingerprint(self) -> Any:
            return {"name": "the same"}

    Retriever(RowsCorpus(distinct_rows(5)), Wider(lambda made: made)).load()
    wider = Wider(lambda made: np.hstack([made, made]))
    wider.texts.append("all are the second")
    retriever = Retriever(RowsCorpus(distinct_rows(9)), wider, embedder_name="theirs")
    message = refusal(retriever.load)
    assert message.startswith("embedder theirs gave vectors of length 16, and 8 before: its fingerprint has to tell")
    assert str(retriever.folder.parent.parent) in message
