"""The conformance kit: what keeps the rules passes, what it checks can be chosen, and its command tells the outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import popbench
from conforming_components import Brightness, Letters, Noise, Plain, Relevance, Shelf, Ticking
from nonconforming_llms import BarLabel, Counts, NegativeSeconds, Twice
from popbench import testing
from popbench.testing import (
    ConformanceError,
    check_corpus,
    check_embedder,
    check_generator,
    check_llm,
    check_predictor,
)


@pytest.mark.parametrize(
    ("check", "component"),
    [
        (check_llm, Plain),
        (check_generator, Noise),
        (check_generator, Ticking),
        (check_predictor, Brightness),
        (check_predictor, Relevance),
        (check_embedder, Letters),
        (check_corpus, Shelf),
    ],
)
def test_a_class_and_an_instance_are_checked_like_a_spec(
    check: Callable[..., testing.Report], component: type[popbench.Component]
) -> None:
    assert check(component).ok
    assert check(component()).name == component.__name__


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("llm", "verbatim"),
        ("llm", "shotlist"),
        ("generator", "kinetic"),
        ("generator", "kinetic,width=65,height=67,frames=1,fps=0.5"),
        ("predictor", "demo"),
        ("embedder", "hashing"),
        ("embedder", "hashing,dim=64"),
        ("corpus", "demo"),
        ("mode", "refine"),
        ("mode", "best,n=5"),
        ("mode", "few"),
    ],
)
def test_first_party_components_keep_every_rule(kind: str, spec: str) -> None:
    report = testing.CHECKS[kind](spec)
    assert report.ok
    assert len(report.rules) >= 15


def test_one_error_lists_all_breaches() -> None:
    class Hopeless(BarLabel, NegativeSeconds, Twice):
        """Breaks three rules."""

    with pytest.raises(AssertionError) as caught:
        check_llm(Hopeless)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("llm Hopeless: breaks 3 of ")
    assert len([line for line in lines if line.startswith("  once: ")]) == len(testing.sample_chats())
    assert any(line.startswith("  label: ") for line in lines)
    assert any(line.startswith("  measures: ") for line in lines)


def test_a_component_that_cannot_run_here_is_not_passed() -> None:
    class NoKey(Plain):
        """Needs a key."""

        def check(self) -> list[str]:
            return ["no key: set EXAMPLE_KEY"]

    with pytest.raises(popbench.UsageError, match="cannot run here, so it was not checked: no key: set EXAMPLE_KEY"):
        check_llm(NoKey)


def test_a_model_that_promises_no_repetition_gets_notes_instead_of_breaches() -> None:
    report = check_llm(Counts, repeatable=False)
    assert any("asked again" in note for note in report.notes)


def test_own_requests_replace_the_samples() -> None:
    chat = replace(testing.sample_chats()[0], id="mine")
    with pytest.raises(ConformanceError) as caught:
        check_llm(Counts, requests=[chat])
    assert {breach.item for breach in caught.value.report.breaches} == {"mine"}


def test_values_that_cannot_be_guessed_can_be_given() -> None:
    class Listed(Plain):
        """Has an option of a kind that the kit thinks of no other value for."""

        class Options(popbench.Options):
            words: tuple[str, ...] = ("a",)

        def reply(self, chat: popbench.Chat) -> Any:
            return popbench.Completion(chat.id, "text")

        def fingerprint(self) -> Mapping[str, Any]:
            return {"name": "listed"}

    assert any("option words was not varied" in note for note in check_llm(Listed).notes)
    with pytest.raises(ConformanceError, match=r"determining: words: words=\('b',\) left"):
        check_llm(Listed, other_options={"words": ["b"]})
    with pytest.raises(popbench.UsageError, match="did you mean 'words'"):
        check_llm(Listed, other_options={"word": ["b"]})


def test_what_breaks_no_rule_is_noted() -> None:
    class Batch(Plain):
        """Reads everything before it answers, always the same, and no draft."""

        def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
            for chat in list(chats):
                yield popbench.Completion(chat.id, "same")

    notes = "\n".join(check_llm(Batch).notes)
    assert "it took all 5 requests before its first answer" in notes
    assert "another seed gave the same text" in notes
    assert "chat-short: no usable draft in the completion: 'same'" in notes


def test_what_is_no_component_of_the_kind_is_refused() -> None:
    for wrong in (Noise, Noise(), 3):
        with pytest.raises(popbench.UsageError, match="is no llm"):
            check_llm(wrong)  # type: ignore[arg-type]
    with pytest.raises(popbench.UsageError, match="did you mean 'verbatim'"):
        check_llm("verbatin")


def test_clips_may_come_as_files_and_in_a_buffer_that_is_used_again(tmp_path: Path) -> None:
    class Files(Noise):
        """Writes its own mp4, always to the same place."""

        def paint(self, request: popbench.VideoRequest) -> Any:
            from popbench.video import write_mp4

            clip = super().paint(request)
            write_mp4(clip.frames, 8, tmp_path / "clip.mp4")
            return popbench.Clip(request.id, path=tmp_path / "clip.mp4")

    class Buffer(Noise):
        """Renders into one array."""

        def __init__(self, options: Any = None) -> None:
            super().__init__(options)
            self.buffer = np.zeros((3, 16, 18, 3), np.uint8)

        def paint(self, request: popbench.VideoRequest) -> Any:
            clip = super().paint(request)
            self.buffer[:] = clip.frames
            return replace(clip, frames=self.buffer)

    assert check_generator(Files).ok
    assert check_generator(Buffer).ok


def test_a_class_that_says_it_is_not_repeatable_need_not_answer_the_same_again() -> None:
    class Dice(Counts):
        """Takes no seed."""

        repeatable = False

    report = check_llm(Dice)
    assert report.ok
    assert any("asked again" in note for note in report.notes)


def test_a_class_without_a_version_is_asked_for_one() -> None:
    class Bare(Plain):
        """Has none."""

        version = ""

    assert 'set version = "1"' in " ".join(check_llm(Bare).notes)
    assert "version" not in " ".join(check_llm(Plain).notes)


def test_one_of_the_videos_has_sound_also_of_the_first_two(tmp_path: Path) -> None:
    items = testing.sample_score_requests(tmp_path)
    sound = []
    for item in items:
        with av.open(str(item.path)) as file:
            assert len(file.streams.video) == 1
            assert sum(1 for _ in file.decode(video=0)) == 16
            sound.append(len(file.streams.audio))
    assert sound == [0, 1, 0, 0]
    with av.open(str(items[1].path)) as file:
        loudness = [float(np.abs(frame.to_ndarray()).max()) for frame in file.decode(audio=0)]
    assert max(loudness) > 0.1


def test_sample_requests_are_the_same_every_time(tmp_path: Path) -> None:
    assert testing.sample_chats() == testing.sample_chats()
    assert any(chat.references for chat in testing.sample_chats())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (testing.sample_score_requests(tmp_path / name) for name in ("a", "b"))
    assert [item.path.read_bytes() for item in first] == [item.path.read_bytes() for item in second]
    assert len({item.path.read_bytes() for item in first}) == 3


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "popbench.testing", *words], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_command_says_what_was_found_and_exits_with_it() -> None:
    done = command("llm", "verbatim", "shotlist")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("llm verbatim: keeps all ")
    found = [json.loads(line) for line in command("corpus", "demo", "--json").stdout.splitlines()]
    assert [(item["name"], item["ok"], item["breaches"]) for item in found] == [("demo", True, [])]
    for words, said in (
        (("llm", "verbatin"), "did you mean 'verbatim'"),
        (("llm", "verbatim,x=1"), "unknown option"),
        (("poem", "x"), "'poem' is not one of"),
        (("corpus", "demo", "--not-repeatable"), "always repeatable"),
        (("embedder", "hashing", "--requests", "2"), "is for models: llm, generator, predictor"),
        (("llm", "shotlist", "--requests", "1"), "1 is not in the range x>=2"),
    ):
        done = command(*words)
        assert done.returncode == 2
        assert said in done.stderr


@pytest.mark.parametrize("kind", ["llm", "generator", "predictor"])
def test_the_command_asks_fewer_requests_where_they_are_paid_for(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from popbench.testing import __main__ as program

    asked: dict[str, Any] = {}

    def check(spec: str, **extra: Any) -> testing.Report:
        asked.update(extra)
        return testing.Report(kind, spec, (), (), (), 0.0)

    monkeypatch.setitem(testing.CHECKS, kind, check)
    with pytest.raises(SystemExit) as ended:
        program.command([kind, "model", "--requests", "2"], standalone_mode=False)
    assert ended.value.code == 0
    assert asked.get("count") == 2 if kind == "predictor" else len(asked["requests"]) == 2


def test_a_predictor_is_asked_about_the_first_samples_alone() -> None:
    titles: set[str] = set()

    class Counting(Brightness):
        """Notes the titles that it is asked about."""

        def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
            for item in items:
                titles.add(item.title)
                yield from super().score([item])

    check_predictor(Counting, count=2)
    few = len(titles)
    check_predictor(Counting)
    assert len(titles) > few


def test_the_command_exits_with_1_for_a_breach(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from popbench.registry import Plugin, Registration, load_registry
    from popbench.testing.__main__ import command as run

    plugin = Plugin("test", "test", "1", "test")
    monkeypatch.setitem(
        load_registry().registrations, ("llm", "twice"), [Registration("llm", "twice", Twice, {}, plugin)]
    )
    with pytest.raises(SystemExit) as caught:
        run(["llm", "twice", "verbatim"])
    assert caught.value.code == 1
    said = capsys.readouterr().out
    assert "llm twice: breaks 1 of" in said
    assert "llm verbatim: keeps all" in said
