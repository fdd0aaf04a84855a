"""Modes that are wrong: what they do ends with one line, and what was paid is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import popbench
from mode_runs import Write, calls, first, forgotten, iter_of, odd, run
from popbench.prompting.conversations import MAX_TURNS
from turning_modes import ASKED, Again
from usage_errors import refusal


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    with forgotten():
        yield


def _raises(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
    yield ask("Hello")
    raise KeyError("title")


def _exits(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
    yield ask("Hello")
    raise SystemExit(3)


def _never_ends(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
    number = 0
    while True:
        number += 1
        yield ask(f"Hello {number}")


def _ends_without(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
    yield ask("Hello")


def _yields_text(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
    yield (yield ask("Hello")).text


def _sends_bytes(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
    yield ask("Hello")
    yield ask([{"role": "user", "content": b"a"}])


def _sends_half_a_pair(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
    yield ask("Hello")
    yield ask("\ud800")


def _forges_a_turn(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
    yield ask("Hello")
    yield popbench.Turn(({"content": "a"},))  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (_raises, "KeyError: 'title'"),
        (_exits, "SystemExit: 3"),
        (_never_ends, f"no draft after {MAX_TURNS} calls of the LLM: end write, or state more turns"),
        (_ends_without, "it ended without a draft: yield it at the end"),
        (_yields_text, "it yielded str: yield ask(...), ask.draft() or a popbench.Draft"),
        (_sends_bytes, "role and content of a message are text, not {'role': 'user', 'content': b'a'}"),
        (_sends_half_a_pair, "a message that is no valid text"),
        (_forges_a_turn, "KeyError: 'role'"),
    ],
)
def test_a_mode_that_fails_ends_the_run_with_one_line_and_keeps_what_was_paid(
    write: Write, what: str, tmp_path: Path
) -> None:
    with pytest.raises(popbench.RunError) as told:
        run(tmp_path / "run", mode=odd(write), limit=1)
    prompt = ASKED[0]
    assert str(told.value).startswith("mode Odd: prompt '")
    assert str(told.value).endswith(f"': {what}")
    assert "\n" not in str(told.value)
    assert calls(tmp_path / "run") == len(ASKED) == (MAX_TURNS if write is _never_ends else 1)
    ASKED.clear()
    with pytest.raises(popbench.RunError):
        run(tmp_path / "run", mode=odd(write), limit=1)
    assert ASKED == [], prompt


def test_the_traceback_of_a_mode_is_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(popbench.RunError):
        run(tmp_path / "run", mode=odd(_raises))
    assert "in _raises" in (tmp_path / "run" / "errors.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (lambda self, prompt, references, ask: ask("Hello"), "write returned Turn: it has to yield turns"),
        (lambda self, prompt, references, ask: 1 / 0, "ZeroDivisionError"),
        (lambda self, prompt, references, ask: iter_of([popbench.Draft("a", "b")]), "no call of the LLM"),
        (lambda self, prompt, references, ask: iter_of([ask([])]), "a turn without messages"),
    ],
)
def test_a_mode_that_fails_at_once_is_refused_before_any_work(write: Write, what: str, tmp_path: Path) -> None:
    told = refusal(lambda: run(tmp_path / "run", mode=odd(write)))
    assert told.startswith("mode Odd: prompt '")
    assert what in told
    assert not (tmp_path / "run").exists()


def test_what_a_mode_lacks_is_told_before_any_work(tmp_path: Path) -> None:
    mode = odd(Again.write, Options=Again.Options, check=lambda self: ["set ODD_KEY"])
    assert refusal(lambda: run(tmp_path / "run", mode=mode)) == "mode Odd: set ODD_KEY"
    assert refusal(lambda: run(tmp_path / "run", mode=odd(Again.write, turns=0))).startswith("mode Odd: turns is 0")


def test_a_mode_may_state_that_it_takes_more_turns(tmp_path: Path) -> None:
    def write(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
        return iter_of([*(ask(f"{n}") for n in range(60)), ask.draft()])

    mode = odd(write, turns=61)
    assert first(run(tmp_path / "run", mode=mode, limit=1)).attempts == 61
