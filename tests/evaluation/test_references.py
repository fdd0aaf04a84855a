"""What a run makes of its corpus: warnings, leakage, fewer references than asked for, and copies of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import corpus_files
import faults
import popbench
import popbench_runs
from command_line import Run, in_process
from popbench.errors import UsageError
from popbench.progress import Progress
from popbench.registry import Plugin, load_registry
from popbench_baselines.predictor import DemoPredictor

TABLE = corpus_files.rows()


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, line: str) -> None:
        self.lines.append(line)


class Brief(popbench.LLM):
    """An LLM with room for so many characters, which copies what it is told to copy."""

    class Options(popbench.Options):
        room: int = 10**6
        copies: bool = False

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        return sum(len(message["content"]) for message in messages) <= int(self.options.room)

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion]:
        for chat in chats:
            copied = self.options.copies and chat.references
            title = chat.references[0].title if copied else f"Something of its own, {chat.seed}"
            yield popbench.Completion(chat.id, json.dumps({"title": title, "video_prompt": "A quiet street at dawn."}))


class Trained(DemoPredictor):
    """A predictor that has seen the test part of `mine`."""

    def trained_on(self) -> list[str]:
        return ["mine/train", "mine/test"]


class Module:
    """A plugin's module."""

    @staticmethod
    @popbench.hookimpl
    def register_llms(register: Any) -> None:
        register("brief", Brief)

    @staticmethod
    @popbench.hookimpl
    def register_predictors(register: Any) -> None:
        register("trained", Trained)


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    load_registry.cache_clear()
    faults.install()
    load_registry().add(Module(), Plugin("brief", "test", "1", "brief"))
    yield
    load_registry.cache_clear()


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    return corpus_files.spec(corpus_files.write(tmp_path / "mine.csv", TABLE))


def evaluate(out: Path, corpus: str, **changes: Any) -> tuple[list[dict[str, Any]], list[str]]:
    heard = Heard()
    changes = {"mode": "pe,k=6", "llm": "brief", "embedder": "hashing", **changes}
    popbench_runs.run_fast(out, corpus=corpus, progress=heard, **changes)
    return popbench_runs.samples(out), heard.lines


# -- fewer references than asked for


def test_tags_that_hold_no_more_are_told_once_and_noted(tmp_path: Path, corpus: str) -> None:
    rows, told = evaluate(tmp_path / "run", corpus, mode="pe,k=50", llm=["brief", "brief,room=999999"])
    (line,) = [line for line in told if "fewer references" in line]
    assert line == (
        "pe[k=50]: 5 of 5 prompts have fewer references than the 50 asked for, 6 at least: there are no more of the "
        "tags chosen"
    )
    assert len(rows) == 10
    for row in rows:
        assert len(row["references"]) == 6
        assert row["notes"] == ["6 of 50 references: there are no more of the tags chosen"]


def test_references_are_cut_to_the_context_whole_and_it_is_recorded(tmp_path: Path, corpus: str) -> None:
    full, _ = evaluate(tmp_path / "full", corpus)
    cut, told = evaluate(tmp_path / "cut", corpus, llm="brief,room=2350")
    assert all(len(row["references"]) == 6 for row in full)
    for row, whole in zip(cut, full, strict=True):
        kept = row["references"]
        assert 0 < len(kept) < 6
        assert kept == whole["references"][: len(kept)]
        assert row["notes"] == [f"references cut from 6 to {len(kept)}: more do not fit the model's context"]
    least = min(len(row["references"]) for row in cut)
    assert told[-1] == (
        f"brief[room=2350], pe[k=6]: the references of 5 of 5 prompts are cut to fit the model's context, to {least} "
        "at least"
    )


def test_what_fits_is_as_much_as_fits(tmp_path: Path, corpus: str) -> None:
    rows, _ = evaluate(tmp_path / "run", corpus, llm="brief,room=2350", limit=1)
    count = len(rows[0]["references"])
    fewer, _ = evaluate(tmp_path / "exact", corpus, mode=f"pe,k={count}", limit=1)
    assert fewer[0]["references"] == rows[0]["references"]
    more, _ = evaluate(tmp_path / "more", corpus, llm="brief,room=2350", mode=f"pe,k={count + 1}", limit=1)
    assert len(more[0]["references"]) == count


def test_a_prompt_that_does_not_fit_at_all_is_shown_without_references(tmp_path: Path, corpus: str) -> None:
    rows, _ = evaluate(tmp_path / "run", corpus, llm="brief,room=10")
    assert all(row["references"] == [] and "cut from 6 to 0" in row["notes"][0] for row in rows)


def test_fits_that_raises_ends_the_run_in_one_line(
    tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Brief, messages: object) -> bool:
        raise ZeroDivisionError("no context")

    monkeypatch.setattr(Brief, "fits", broken)
    with pytest.raises(popbench.PopbenchError, match=r"llm brief: whether a chat fits cannot be told: .*no context"):
        evaluate(tmp_path / "run", corpus)


# -- warnings


def test_prompts_that_are_in_the_corpus_are_told(tmp_path: Path, corpus: str) -> None:
    task = tmp_path / "mine.yaml"
    prompts = ["the SWORDSWOMAN and the  hero, take 0", "Something else entirely"]
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"id": str(n), "prompt": text, "category": "A"}) + "\n" for n, text in enumerate(prompts))
    )
    (tmp_path / "pe.j2").write_text(
        "{% block system %}x{% endblock %}{% block user %}{{ prompt }} {{ references | length }}{% endblock %}"
    )
    task.write_text(
        "task: mine\nversion: 1\ndescription: d\ndataset: {path: json, data_files: prompts.jsonl, split: train}\n"
        "fields: {id: id, prompt: prompt, category: category}\ntemplates: {pe: pe.j2}\n"
        "draft: {title_max_chars: 50, clip_seconds: 3}\n"
    )
    _, told = evaluate(tmp_path / "run", corpus, task=str(task))
    (line,) = [line for line in told if "are titles in it" in line]
    assert "1 of 2 prompts of task mine" in line
    assert "SWORDSWOMAN" in line


def test_a_corpus_of_one_tag_is_told(tmp_path: Path) -> None:
    corpus = corpus_files.spec(corpus_files.write(tmp_path / "one.csv", corpus_files.rows(tags=["Game"])))
    _, told = evaluate(tmp_path / "run", corpus)
    assert "corpus table[data=one]: all videos have the tag 'Game', so that there is none to choose" in told


def test_what_a_corpus_mended_is_told_also_when_it_is_built_already(tmp_path: Path) -> None:
    table = [*TABLE, {**TABLE[0], "id": "x", "title": "", "description": "", "caption": ""}]
    corpus = corpus_files.spec(corpus_files.write(tmp_path / "mine.csv", table))
    for name in ("a", "b"):
        _, told = evaluate(tmp_path / name, corpus)
        assert any(line.startswith("corpus table[data=mine]: ") and "1 " in line for line in told)


# -- predictors that have seen what they judge by


def test_a_part_that_a_predictor_was_trained_on_is_refused(tmp_path: Path, corpus: str) -> None:
    with pytest.raises(UsageError, match=r"predictor trained was trained on mine/test, .*--allow-leakage"):
        evaluate(tmp_path / "run", corpus, predictor="trained")
    assert not (tmp_path / "run").exists()


def test_the_whole_corpus_holds_what_it_was_trained_on(tmp_path: Path, corpus: str) -> None:
    with pytest.raises(UsageError, match="mine/train and mine/test"):
        evaluate(tmp_path / "run", f"{corpus},part=all", predictor="trained")


def test_leakage_that_is_allowed_stands_on_the_board(tmp_path: Path, corpus: str) -> None:
    evaluate(tmp_path / "run", corpus, predictor="trained", allow_leakage=True)
    board = (tmp_path / "run/leaderboard.md").read_text(encoding="utf-8")
    assert "trained: the predictor was trained on mine/test, where references and human videos are from" in board
    assert json.loads((tmp_path / "run/run.json").read_text())["config"]["allow_leakage"] is True


def test_modes_without_references_have_nothing_to_leak(tmp_path: Path, corpus: str) -> None:
    rows, told = evaluate(tmp_path / "run", corpus, predictor="trained", mode="basic")
    assert len(rows) == 5
    assert not any("corpus" in line for line in told)


# -- copies


def test_a_copied_title_is_noted_and_counted(tmp_path: Path, corpus: str) -> None:
    rows, _ = evaluate(tmp_path / "run", corpus, llm=["brief,copies=true", "brief"])
    copied = [row for row in rows if row["llm"] == "brief[copies=true]"]
    assert all(row["originality"] == 0 and "copies reference" in row["notes"][0] for row in copied)
    assert all(row["originality"] > 0.2 and row["notes"] == [] for row in rows if row["llm"] == "brief")
    results = json.loads((tmp_path / "run/results.json").read_text())
    rates = {row["system"]: row["copy_rate"] for row in results["systems"]}
    assert rates == {"brief[copies=true]|pe[k=6]|faulty": 1.0, "brief|pe[k=6]|faulty": 0.0}


def test_drafts_without_references_have_no_originality(tmp_path: Path, corpus: str) -> None:
    rows, _ = evaluate(tmp_path / "run", corpus, mode="basic")
    assert {row["originality"] for row in rows} == {None}


# -- defaults


@pytest.mark.parametrize(
    ("settings", "corpus", "embedder"),
    [
        ({}, "demo", "hashing"),
        ({"llm": "shotlist"}, "microlens", "all-MiniLM-L12-v2"),
        ({"llm": "shotlist", "corpus": "demo"}, "demo", "hashing"),
        (
            {"corpus": "table,path=x.csv,title=a,popularity=b"},
            "table,path=x.csv,title=a,popularity=b",
            "all-MiniLM-L12-v2",
        ),
        ({"llm": "shotlist", "embedder": "hashing"}, "microlens", "hashing"),
    ],
)
def test_real_corpora_come_with_the_paper_s_embedder(settings: dict[str, str], corpus: str, embedder: str) -> None:
    from popbench.planning.config import make_config

    config = make_config(settings)
    assert (config.corpus, config.embedder) == (corpus, embedder)


def test_without_a_connection_the_real_corpus_says_what_to_get(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run: Run = in_process(monkeypatch, capsys, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = run("eval", "--llm", "brief", "--limit", "1", "--out", "run")
    assert (done.status, (tmp_path / "run").exists()) == (2, False)
    lines = done.err.splitlines()
    assert lines[0].startswith("popbench: corpus microlens: ")
    assert "--corpus demo" in lines[0]
    assert lines[1].startswith("popbench: embedder all-MiniLM-L12-v2: ")
