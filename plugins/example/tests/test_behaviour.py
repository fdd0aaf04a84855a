"""What this plugin promises beyond the contract."""

from __future__ import annotations

import json
from pathlib import Path

import popbench
import pytest
from popbench import testing

from popbench_example.haiku import Haiku
from popbench_example.waves import Waves


def write(prompt: str, seed: int = 1, **options: float) -> dict[str, str]:
    chat = popbench.Chat("c", (), seed, {}, prompt)
    (answer,) = Haiku(Haiku.Options(**options)).generate([chat])
    assert isinstance(answer, popbench.Completion)
    draft: dict[str, str] = json.loads(answer.text)
    return draft


@pytest.mark.parametrize("chat", testing.sample_chats(), ids=lambda chat: chat.id)
def test_titles_have_at_most_50_characters(chat: popbench.Chat) -> None:
    for seed in range(20):
        assert len(write(chat.prompt, seed)["title"]) <= 50
    assert len(write("w" * 300)["title"]) <= 50


def test_temperature_0_takes_the_line_that_suits_best() -> None:
    titles = {write("Heavy rain in the city", seed, temperature=0)["title"] for seed in range(20)}
    assert titles == {"Rain on the window: heavy"}


def test_an_empty_prompt_is_the_models_own_failure() -> None:
    (answer,) = Haiku().generate([popbench.Chat("c", (), 1, {}, " ")])
    assert isinstance(answer, popbench.Failure)
    assert answer.invalid


def test_clips_have_the_size_and_length_that_was_asked_for() -> None:
    (clip,) = Waves(Waves.Options(width=20, height=30, frames=5)).generate([popbench.VideoRequest("v", "sea", 1)])
    assert isinstance(clip, popbench.Clip)
    assert clip.frames is not None
    assert clip.frames.shape == (5, 30, 20, 3)


def test_a_run_goes_from_prompt_to_score(tmp_path: Path) -> None:
    run = popbench.evaluate(
        llm=["haiku", "haiku-hot"],
        gen=["waves,frames=4"],
        mode=["basic"],
        task=["popcorn_concrete"],
        limit=1,
        out=str(tmp_path / "run"),
    )
    assert run.complete
    assert [sample.status for sample in run.samples()] == ["ok", "ok"]
