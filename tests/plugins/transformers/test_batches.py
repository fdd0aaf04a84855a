"""Batches of local language models: answers do not depend on the batch, and out-of-memory loses none."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import popbench
from popbench import testing
from popbench.local import is_out_of_memory
from popbench_transformers.batching import Batcher
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from tiny_llms import build, tiny

SAMPLED = {"temperature": 1.0, "top_p": 0.95, "repetition_penalty": 1.1}


def make(folder: Path, **options: Any) -> TransformersLLM:
    values = {"model": str(folder), "dtype": "float32", "max_new_tokens": 20, **SAMPLED, **options}
    return TransformersLLM(TransformersOptions(**values))


SHOWN = tuple(popbench.Reference(f"r{index}", "A kite", "wind", "a kite", "kites", index) for index in range(7))


def many(count: int = 16) -> list[popbench.Chat]:
    """Chats of different lengths and seeds."""
    base = testing.sample_chats()
    rnd = random.Random(3)
    chats = []
    for index in range(count):
        chat = base[index % len(base)]
        words = popbench.Message(role="user", content=chat.messages[-1]["content"] + " again" * rnd.randrange(40))
        chats.append(replace(chat, id=f"chat-{index}", seed=1000 + index, messages=(*chat.messages[:-1], words)))
    return chats


def texts(llm: TransformersLLM, chats: Sequence[popbench.Chat]) -> dict[str, str]:
    found = {}
    for answer in llm.generate(iter(chats)):
        assert isinstance(answer, popbench.Completion), answer
        found[answer.id] = answer.text
    return found


@pytest.mark.slow
@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_batch_size_and_order_change_no_answer(family: Any, structured: bool) -> None:
    chats = [replace(chat, reasons=index % 2 == 0) for index, chat in enumerate(many(10))]
    length = 36 if structured else 12
    found = []
    for size, order in ((1, 1), (3, 1), (10, -1)):
        llm = make(tiny(family), batch_size=size, structured=structured, max_new_tokens=length)
        found.append(texts(llm, chats[::order]))
        llm.close()
    assert found[0] == found[1] == found[2]
    assert len(set(found[0].values())) == len(chats)


@pytest.mark.slow
def test_a_resumed_run_gives_the_answers_of_one_that_was_not_interrupted(tmp_path: Path) -> None:
    spec = f"transformers,model={tiny('qwen2')},dtype=float32,temperature=1,max_new_tokens=64,structured=true"
    request: dict[str, Any] = {
        "llm": spec, "mode": "basic", "task": "popcorn_concrete", "limit": 5, "gen": "kinetic", "predictor": "demo",
        "stop_after": "write",
    }  # fmt: skip

    whole = popbench.evaluate(**request, out=tmp_path / "whole")
    popbench.evaluate(**{**request, "limit": 2}, out=tmp_path / "parts")
    parts = popbench.evaluate(**request, out=tmp_path / "parts")
    assert _completions(parts) == _completions(whole)
    assert len(_completions(whole)) == 5


def _completions(run: popbench.Run) -> list[str]:
    import json

    lines = (run.path / "samples.jsonl").read_text(encoding="utf-8").split("\n")  # models write U+2028, too
    return [json.loads(line)["completion"] for line in lines if line]


class Scarce:
    """Stands before `model.generate` and runs out of memory in batches of more than `rows`."""

    def __init__(self, llm: TransformersLLM, rows: int, error: type[Exception] = torch.cuda.OutOfMemoryError) -> None:
        list(llm.generate(testing.sample_chats()[:1]))
        assert llm._loaded is not None
        self.model = llm._loaded.model
        self.rows = rows
        self.sizes: list[int] = []
        self.error = error
        self.after = 0
        self._generate = self.model.generate
        self.model.generate = self

    def __call__(self, **given: Any) -> Any:
        size = given["input_ids"].shape[0]
        self.sizes.append(size)
        if size <= self.rows:
            return self._generate(**given)
        if self.after:
            given["logits_processor"].append(self._fail)
            return self._generate(**given)
        raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    def _fail(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.after -= 1
        if self.after <= 0:
            raise self.error("out of memory")
        return scores


@pytest.mark.slow
@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, RuntimeError, MemoryError])
def test_out_of_memory_halves_the_batch_and_changes_no_answer(error: type[Exception]) -> None:
    chats = many(8)
    expected = texts(make(tiny()), chats)
    llm = make(tiny(), batch_size=8)
    scarce = Scarce(llm, 2, error)
    assert texts(llm, chats) == expected
    assert scarce.sizes[0] == 8
    assert max(scarce.sizes[3:]) <= 2
    scarce.sizes.clear()
    assert texts(llm, chats) == expected
    assert max(scarce.sizes) <= 4  # what was learnt is not tried again
    llm.close()


@pytest.mark.slow
def test_rows_that_finished_before_memory_ran_out_stay_finished(tmp_path: Path) -> None:
    chats = many(8)
    folder = build(tmp_path / "ends", eos_token_id=list(range(0, 700, 8)))  # every eighth token, so that answers differ
    alone = {answer.id: answer for answer in make(folder, batch_size=1).generate(chats)}
    llm = make(folder, batch_size=8)
    scarce = Scarce(llm, 4)
    scarce.after = fails_at = 6
    answers = {answer.id: answer for answer in llm.generate(iter(chats))}
    taken = {}
    for id_, answer in alone.items():
        other = answers[id_]
        assert isinstance(answer, popbench.Completion)
        assert isinstance(other, popbench.Completion)
        assert other.text == answer.text
        assert answer.usage is not None
        taken[id_] = answer.usage["output"] + 1  # the end token is the last
    unfinished = sum(count > fails_at - 1 for count in taken.values())
    assert 1 <= unfinished <= 4
    assert scarce.sizes == [8, unfinished]
    llm.close()


@pytest.mark.slow
def test_a_row_that_does_not_fit_by_itself_is_an_error_with_the_remedy() -> None:
    llm = make(tiny(), batch_size=4)
    Scarce(llm, 0)
    answers = list(llm.generate(testing.sample_chats()))
    assert len(answers) == len(testing.sample_chats())
    for answer in answers:
        assert isinstance(answer, popbench.Failure)
        assert not answer.invalid
        assert "out of memory" in answer.error
        for remedy in ("max_new_tokens", "quantization=4bit"):
            assert remedy in answer.error
    for references in ((), SHOWN):
        (answer,) = llm.generate([replace(testing.sample_chats()[0], references=references)])
        assert isinstance(answer, popbench.Failure)
        assert ("RAG" in answer.error) == bool(references)
        assert ("choose a smaller RAG size (--mode pe,k=N; this chat has 7 references)" in answer.error) == bool(
            references
        )
    llm.close()


@pytest.mark.slow
def test_a_prompt_longer_than_the_context_is_an_error_of_its_own(tmp_path: Path) -> None:
    folder = build(tmp_path / "short", context=300)
    chats = testing.sample_chats()[:2]
    long = replace(chats[0], id="long", messages=(popbench.Message(role="user", content="kite " * 400),))
    llm = make(folder, max_new_tokens=500, temperature=0.0)
    shown = replace(long, id="shown", references=SHOWN)
    answers = {answer.id: answer for answer in llm.generate([*chats, long, shown])}
    for id_ in ("long", "shown"):
        failure = answers.pop(id_)
        assert isinstance(failure, popbench.Failure)
        assert not failure.invalid
        assert "the model's context 300" in failure.error
        assert "a model with a longer context" in failure.error
        advice = "choose a smaller RAG size (--mode pe,k=N; this chat has 7 references)"
        assert (advice in failure.error) == (id_ == "shown")
        assert ("RAG" in failure.error) == (id_ == "shown")
    for answer in answers.values():
        assert isinstance(answer, popbench.Completion)
        assert answer.usage is not None
        assert answer.usage["input"] + answer.usage["output"] <= 300
        cut = answer.usage["input"] + answer.usage["output"] == 300
        assert answer.cut == cut
        assert [remark.partition(":")[0] for remark in answer.remarks] == ["cut at the end of the context"] * cut
    llm.close()


@pytest.mark.slow
def test_rows_near_the_end_of_the_context_are_not_carried_beyond_it(tmp_path: Path) -> None:
    """A batch is as wide as its longest prompt and as long as its largest budget."""
    folder = build(tmp_path / "short", context=400)
    chats = testing.sample_chats()
    llm = make(folder, max_new_tokens=300, temperature=0.0, batch_size=16)
    widths: list[int] = []
    list(llm.generate(chats[:1]))
    assert llm._loaded is not None
    generate = llm._loaded.model.generate

    def watched(**given: Any) -> Any:
        widths.append(given["input_ids"].shape[1] + given["generation_config"].max_new_tokens)
        return generate(**given)

    llm._loaded.model.generate = watched
    list(llm.generate(iter(chats)))
    assert widths
    assert max(widths) <= 400
    llm.close()


@pytest.mark.slow
def test_automatic_batches_grow_with_the_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = make(tiny())
    list(llm.generate(testing.sample_chats()[:1]))
    assert llm._loaded is not None
    batcher = Batcher(llm._loaded, "auto")
    rows = [llm._row(llm._loaded, chat) for chat in many(16)]
    from collections import deque

    def first(free: float) -> int:
        waiting: deque[Any] = deque(sorted(rows, key=lambda row: len(row.prompt), reverse=True))  # type: ignore[union-attr]
        return len(batcher._next(waiting, free))

    one = llm._loaded.row_bytes(max(len(row.prompt) for row in rows), 1000)  # type: ignore[union-attr]
    assert first(0) == 1
    assert first(1e12) == 8
    assert 1 <= first(one * 3) <= 8
    assert first(one * 3) <= first(one * 6)
    llm.close()


@pytest.mark.slow
def test_seconds_of_a_batch_are_shared_out_over_its_rows() -> None:
    llm = make(tiny(), temperature=0.0, max_new_tokens=20)
    list(llm.generate(testing.sample_chats()[:1]))
    assert llm._loaded is not None
    generate, spent = llm._loaded.model.generate, []

    def timed(**given: Any) -> Any:
        started = time.perf_counter()
        try:
            return generate(**given)
        finally:
            spent.append(time.perf_counter() - started)

    llm._loaded.model.generate = timed
    started = time.perf_counter()
    answers = list(llm.generate(many(8)))
    took = time.perf_counter() - started
    seconds = [answer.seconds or 0.0 for answer in answers]
    assert all(value > 0 for value in seconds)
    # each second goes to one row once; what comes after a batch's last step belongs to none
    assert 0.25 * sum(spent) <= sum(seconds) <= took
    llm.close()


@pytest.mark.slow
@pytest.mark.parametrize("structured", [False, True])
def test_a_row_whose_logits_are_not_numbers_is_an_error_and_the_others_go_on(structured: bool) -> None:
    chats = many(6)
    expected = texts(make(tiny(), structured=structured), chats)
    llm = make(tiny(), structured=structured, batch_size=6)
    list(llm.generate(testing.sample_chats()[:1]))
    assert llm._loaded is not None
    model = llm._loaded.model
    forward = model.forward

    def overflowing(**given: Any) -> Any:
        found = forward(**given)
        found.logits[3] = float("nan")
        return found

    model.forward = overflowing
    answers = {answer.id: answer for answer in llm.generate(iter(chats))}
    failures = [answer for answer in answers.values() if isinstance(answer, popbench.Failure)]
    assert len(failures) == 1
    assert "dtype=bfloat16 or dtype=float32" in failures[0].error
    assert not failures[0].invalid
    for answer in answers.values():
        if isinstance(answer, popbench.Completion):
            assert answer.text == expected[answer.id]
    llm.close()


def test_what_the_system_says_of_memory_is_understood() -> None:
    assert is_out_of_memory(RuntimeError("unable to mmap 100 bytes from file <x>: Cannot allocate memory (12)"))
    assert is_out_of_memory(OSError(12, "Cannot allocate memory"))
    assert not is_out_of_memory(OSError(2, "No such file"))
