"""Predictors see what they say they use, and are asked anew only if some of that has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import popbench
import popbench_runs
import using_components
from popbench.errors import UsageError
from popbench.interfaces.uses import POSSIBLE
from using_components import SEEN, seer


@pytest.fixture(autouse=True)
def _components() -> None:
    using_components.install()


def run_with(out: Path, *predictors: str, **changes: Any) -> popbench.Run:
    """Make a run of 5 prompts with these predictors, and forget what was asked before."""
    SEEN.clear()
    return popbench_runs.run_fast(out, **{"llm": "titled", "predictor": list(predictors), **changes})


NOTHING: dict[str, Any] = {
    "title": "",
    "path": None,
    "prompt": None,
    "video_prompt": None,
    "category": None,
    "task": None,
    "extra": {},
}


@pytest.mark.parametrize("uses", [*((name,) for name in POSSIBLE), ("title", "video"), ("video", "prompt"), POSSIBLE])
def test_a_predictor_sees_what_it_uses_and_nothing_else(tmp_path: Path, uses: tuple[str, ...]) -> None:
    run = run_with(tmp_path / "run", seer(*uses))
    assert run.complete
    wanted = []
    for sample in run.samples():
        every: dict[str, Any] = {
            "title": sample.title,
            "video": (run.path / str(sample.video)).read_bytes(),
            "prompt": sample.prompt,
            "video_prompt": sample.video_prompt,
            "category": sample.category,
            "task": "popcorn_concrete",
            "extra": {},
        }
        wanted.append({**NOTHING, **{"path" if name == "video" else name: every[name] for name in uses}})
    seen = [{name: value for name, value in asked.items() if name in NOTHING} for asked in SEEN]
    assert all(asked in seen for asked in wanted)
    assert all(asked in wanted for asked in seen)
    assert len(seen) == len({repr(asked) for asked in wanted}), "what looks the same is asked once"
    before = popbench_runs.outcome(run.path)
    again = run_with(tmp_path / "run", seer(*uses))
    assert (SEEN, popbench_runs.outcome(again.path)) == ([], before)


@pytest.mark.parametrize(("uses", "asked"), [(("video",), 0), (("video", "prompt"), 0), (("title", "video"), 5)])
def test_a_score_is_made_anew_only_if_something_it_used_has_changed(
    tmp_path: Path, uses: tuple[str, ...], asked: int
) -> None:
    run_with(tmp_path / "run", seer(*uses))
    run_with(tmp_path / "run", seer(*uses), llm="titled,title=Another")
    assert len(SEEN) == asked


def test_a_lost_clip_is_rendered_again_and_a_predictor_of_titles_is_not_asked(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", seer("title", "prompt"))
    before = popbench_runs.outcome(run.path)
    for clip in (run.path / "videos").iterdir():
        clip.unlink()
    again = run_with(tmp_path / "run", seer("title", "prompt"))
    assert (SEEN, popbench_runs.outcome(again.path)) == ([], before)


def test_a_clip_that_was_changed_by_hand_does_not_matter_to_a_predictor_of_titles(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", seer("video"), stop_after="render")
    clip = next((run.path / "videos").iterdir())
    clip.write_bytes(clip.read_bytes()[:-1] + b"?")
    assert run_with(tmp_path / "run", seer("title")).complete
    assert len(SEEN) == 5
    told = [sample.error for sample in run_with(tmp_path / "run", seer("video")).samples() if sample.error]
    assert told == []
    assert len(SEEN) == 5, "the changed clip was rendered again, then scored"


@pytest.mark.parametrize(
    ("uses", "why"),
    [
        (["titel"], "uses names 'titel': possible are video, title, prompt, video_prompt, category, task, extra"),
        ([], "uses is empty, so that all scores would be equal: possible are video, title,"),
        ("title", "uses is 'title', no set of names: possible are video, title,"),
        (None, "uses is None, no set of names: possible are"),
        ({1, 2}, "uses is {1, 2}, no set of names: possible are"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line_before_any_work(
    tmp_path: Path, uses: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(self: Any, options: Any = None) -> None:
        popbench.Predictor.__init__(self, options)
        self.uses = uses

    monkeypatch.setattr(using_components.Seer, "__init__", init)
    with pytest.raises(UsageError) as caught:
        run_with(tmp_path / "run", "seer")
    assert str(caught.value).startswith(f"predictor seer: {why}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
