"""What retrieval asks of a corpus and an embedder before it keeps anything under their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

import corpus_files
import popbench_runs
from command_line import in_process
from popbench.errors import UsageError
from popbench.registry import load_registry
from popbench.retrieval import RetrievalOptions, Retriever
from popbench.retrieval.vectors import Vectors, as_keys
from popbench_baselines.hashing import Hashing
from usage_errors import refusal

TABLE = corpus_files.rows()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def retriever(path: Path) -> Retriever:
    corpus = load_registry().resolve("corpus", corpus_files.spec(path)).component
    return Retriever(corpus, Hashing(), corpus_name="mine")


def test_a_corpus_that_changes_before_it_is_embedded_is_not_kept_as_what_it_was(tmp_path: Path) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    planned = retriever(path)
    corpus_files.write(path, [{**TABLE[0], "title": "Another title"}, *TABLE[1:]])
    assert refusal(planned.load) == "corpus mine changed since the run was planned: run the same command again"
    corpus_files.write(path, TABLE)
    index = retriever(path).load()
    assert "Another title" not in {index.row(at).title for at in range(index.n)}


class Lacking(Hashing):
    """An embedder whose weights are not here."""

    def check(self) -> list[str]:
        return ["the weights are missing: download them"]


@pytest.mark.parametrize(
    "call",
    [
        lambda found: found.load(),
        lambda found: found.prepare(["x"]),
        lambda found: found.find("x", RetrievalOptions()),
    ],
)
def test_an_embedder_that_lacks_something_says_so_before_it_works(tmp_path: Path, call: Callable[[Any], Any]) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    corpus = load_registry().resolve("corpus", corpus_files.spec(path)).component
    found = Retriever(corpus, Lacking(), embedder_name="mini")
    assert refusal(lambda: call(found)) == "embedder mini: the weights are missing: download them"


def test_keys_that_share_their_first_half_are_told_apart(tmp_path: Path) -> None:
    texts = [b"same-one", b"same-two", b"same-six"]
    keys = as_keys(b"".join(b"halfhalf" + text for text in texts))
    vectors = Vectors(tmp_path / "vectors")
    vectors.add(keys[:2], np.asarray([[1.0], [2.0]], np.float32))
    vectors.add(keys[1:2], np.asarray([[2.0]], np.float32))
    found = vectors.find(keys)
    assert found[2] == -1
    assert vectors.gather(found[:2]).tolist() == [[1.0], [2.0]]


def test_a_run_directory_in_use_is_told_before_the_corpus_is_embedded(tmp_path: Path, cache: Path) -> None:
    out = tmp_path / "run"
    popbench_runs.run_fast(out)
    with filelock.FileLock(out / ".lock"), pytest.raises(UsageError, match="is in use by another process"):
        popbench_runs.run_fast(out, mode="pe")
    assert not cache.exists()


def test_the_embedder_is_closed_before_models_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    encode = Hashing.encode

    def told(self: Hashing, texts: Sequence[str]) -> Any:
        happened.append("encode")
        return encode(self, texts)

    monkeypatch.setattr(Hashing, "encode", told)
    monkeypatch.setattr(Hashing, "close", lambda self: happened.append("close"))
    monkeypatch.setattr("popbench.pipeline.pipeline.Pipeline.run", lambda self, matches: happened.append("run"))
    popbench_runs.run_fast(tmp_path / "run", mode="pe")
    assert happened.index("close") < happened.index("run")
    assert "encode" not in happened[happened.index("run") :]


def test_a_resume_embeds_and_checks_only_what_is_left_to_look_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    popbench_runs.run_fast(tmp_path / "run", mode="pe")
    monkeypatch.setattr(Hashing, "check", lambda self: ["it is not here"])
    assert popbench_runs.run_fast(tmp_path / "run", mode=["pe", "basic"]).complete
    with pytest.raises(UsageError, match="embedder hashing: it is not here"):
        popbench_runs.run_fast(tmp_path / "run", mode="pe", limit=6)


@pytest.mark.parametrize("name", ["places", "popularity", "id_rank", "tag_vectors", "tag_means", "title_hashes"])
def test_an_index_with_changed_bytes_is_made_again(tmp_path: Path, name: str) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    first = retriever(path).find("noodles", RetrievalOptions(tags=2))
    file = retriever(path).folder / f"{name}.npy"
    damaged = bytearray(file.read_bytes())
    damaged[-3] ^= 0x55
    file.write_bytes(damaged)
    again = retriever(path)
    assert not again.ready
    assert again.find("noodles", RetrievalOptions(tags=2)) == first


def test_rows_that_cannot_be_read_back_are_made_anew(tmp_path: Path) -> None:
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    found = retriever(path)
    found.load()
    file = found.folder / "rows.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"', b"\x8c"))
    assert retriever(path).find("noodles", RetrievalOptions()).references()
    assert file.read_bytes() == whole


def test_halves_of_characters_and_huge_titles_can_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"title": "half \ud800 of it", "n": 3}, {"title": "noodles " * 300_000, "n": 2}]
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = in_process(monkeypatch, capsys, tmp_path)
    done = run(
        "corpus",
        "show",
        "noodles",
        "--corpus",
        "table,path=odd.jsonl,title=title,popularity=n",
        "--embedder",
        "hashing",
    )
    assert done.status == 0
    assert "half ? of it" in done.out
    assert len(done.out) < 10_000


def test_a_cache_of_a_user_there_is_not_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POPBENCH_CACHE", "~nobody-of-that-name/x")
    path = corpus_files.write(tmp_path / "mine.csv", TABLE)
    assert "POPBENCH_CACHE=~nobody-of-that-name/x" in refusal(lambda: retriever(path))
