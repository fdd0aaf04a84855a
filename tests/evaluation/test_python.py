"""Runs from Python: classes and instances of one's own beside specs, and components made and named by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import popbench
from popbench.registry import load_registry

FAST: dict[str, Any] = {
    "mode": "basic", "gen": "kinetic,width=64,height=64,frames=4", "task": "popcorn_concrete", "limit": 5,
    "corpus": "demo", "embedder": "hashing",
}  # fmt: skip
ASKED: list[str] = []


class Shout(popbench.LLM):
    """Writes the prompt in capitals."""

    class Options(popbench.Options):
        marks: int = 1
        word: str = "wow"
        loud: bool = True
        patience: int = popbench.runtime(3)

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion]:
        for chat in chats:
            ASKED.append(chat.id)
            title = (self.options.word + "!" * self.options.marks)[:50]
            yield popbench.Completion(chat.id, json.dumps({"title": title, "video_prompt": chat.prompt}))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    ASKED.clear()
    yield
    registry = load_registry()
    registry.instances.clear()
    registry.registrations.pop(("llm", "Shout"), None)


def systems(run: popbench.Run) -> list[str]:
    return sorted({sample.system.partition("|")[0] for sample in run.samples()})


def test_instances_classes_and_specs_run_side_by_side(tmp_path: Path) -> None:
    two = Shout(Shout.Options(marks=2, word='a, "b"', loud=False, patience=9))
    run = popbench.evaluate(llm=[two, Shout, "verbatim"], out=tmp_path / "run", **FAST)
    assert run.complete
    assert systems(run) == ["Shout", 'Shout[marks=2,word=a, "b",loud=false]', "verbatim"]
    assert {sample.title for sample in run.samples() if sample.system.startswith("Shout[")} == {'a, "b"!!'}
    assert len(ASKED) == 10


def test_the_instance_itself_is_used(tmp_path: Path) -> None:
    mine = Shout(Shout.Options(marks=3))
    mine.seen = []  # type: ignore[attr-defined]
    generate = mine.generate

    def watched(chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion]:
        for answer in generate(chats):
            mine.seen.append(answer.id)  # type: ignore[attr-defined]
            yield answer

    mine.generate = watched  # type: ignore[method-assign]
    popbench.evaluate(llm=mine, out=tmp_path / "run", **FAST)
    assert len(mine.seen) == 5  # type: ignore[attr-defined]


def test_a_run_with_the_same_class_is_resumed_and_one_with_an_edited_class_is_not(tmp_path: Path) -> None:
    popbench.evaluate(llm=Shout, out=tmp_path / "run", **FAST)
    popbench.evaluate(llm=Shout, out=tmp_path / "run", **FAST)
    assert len(ASKED) == 5

    class Edited(Shout):
        """Another source under the same name, as after an edit in a notebook."""

        marks_more = 1

    Edited.__name__ = "Shout"
    popbench.evaluate(llm=Edited, out=tmp_path / "run", **FAST)
    assert len(ASKED) == 10


def test_a_generator_and_a_predictor_may_be_instances_too(tmp_path: Path) -> None:
    generator = popbench.make("generator", "kinetic,width=64,height=64,frames=4")
    with pytest.raises(popbench.UsageError, match="Shout is not a subclass of popbench"):
        popbench.evaluate(gen=Shout, out=tmp_path / "run")
    assert popbench.label(generator) == "kinetic[width=64,height=64,frames=4]"

    class Painted(type(generator)):  # type: ignore[misc]
        """The same, by a class of one's own."""

    run = popbench.evaluate(
        llm="verbatim", out=tmp_path / "run", **{**FAST, "gen": Painted(generator.options), "predictor": "demo"}
    )
    assert run.complete


def test_other_engines_refuse_what_they_cannot_make(tmp_path: Path) -> None:
    with pytest.raises(popbench.UsageError, match="local engine"):
        popbench.evaluate(llm=Shout, engine="ray", out=tmp_path / "run", **FAST)


def test_a_class_without_version_and_source_has_to_state_a_version() -> None:
    names: dict[str, Any] = {"popbench": popbench, "__name__": "nowhere"}
    source = "class Typed(popbench.LLM):\n    def generate(self, chats):\n        yield from ()\n"
    exec(source, names)
    with pytest.raises(popbench.UsageError, match="set version"):
        popbench.evaluate(llm=names["Typed"])


@pytest.mark.parametrize(
    ("kind", "spec"),
    [("llm", "shotlist"), ("llm", "gpt-4o"), ("llm", "gpt-4o,temperature=0"), ("generator", "kinetic,frames=9")],
)
def test_a_component_is_called_as_on_boards(kind: str, spec: str) -> None:
    component = popbench.make(kind, spec)
    assert popbench.label(component) == load_registry().resolve(kind, spec).spec.label


def test_make_says_what_is_possible() -> None:
    with pytest.raises(popbench.UsageError, match="unknown kind 'llms': did you mean 'llm'"):
        popbench.make("llms", "shotlist")
    with pytest.raises(popbench.UsageError, match="shotlist"):
        popbench.make("llm", "shotlst")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: popbench.evaluate(llm=cast(Any, 3)), "int is not a subclass of popbench.LLM"),
        (lambda: popbench.make("llm", cast(Any, Shout())), "expected a spec as text, not <"),
        (lambda: popbench.label(cast(Any, "shotlist")), "expected a component, not 'shotlist'"),
    ],
)
def test_what_is_no_component_is_told_in_one_line(call: Callable[[], object], told: str) -> None:
    with pytest.raises(popbench.UsageError, match=told) as caught:
        call()
    assert "\n" not in str(caught.value)


# -- runs that were made earlier, tables and notebooks


def made(tmp_path: Path) -> popbench.Run:
    return popbench.evaluate(
        llm=["verbatim", "shotlist"], out=tmp_path / "run", **{**FAST, "mode": ["basic", "pe,k=3"], "limit": 2}
    )


def test_a_run_is_loaded_as_it_was_returned(tmp_path: Path) -> None:
    run = made(tmp_path)
    again = popbench.load(tmp_path / "run")
    assert again == run
    assert again.complete
    assert again.results == run.results
    assert list(again.samples()) == list(run.samples())


def test_a_run_that_was_killed_is_loaded_and_says_so(tmp_path: Path) -> None:
    run = made(tmp_path)
    about = run.path / "run.json"
    about.write_text(about.read_text().replace('"finished": true', '"finished": false'))
    assert not popbench.load(run.path).complete
    (run.path / "samples.jsonl").unlink()
    killed = popbench.load(str(run.path))
    assert (killed.finished, killed.complete, killed.n) == (False, False, 0)
    assert "not finished" in killed._repr_html_()
    about.write_text(about.read_text().replace('"finished": false', '"finished": true'))
    with pytest.raises(popbench.UsageError, match=r"samples\.jsonl is missing: give the run's command again"):
        popbench.load(run.path)
    with pytest.raises(popbench.UsageError, match="not a run directory"):
        popbench.load(tmp_path)


def test_a_table_of_samples_has_the_options_of_what_made_them(tmp_path: Path) -> None:
    table = made(tmp_path).to_pandas()
    assert set(table["mode_k"].dropna()) == {3}
    assert table[table["mode"] == "basic"]["mode_k"].isna().all()
    assert set(table["generator_frames"]) == {4}
    assert len(table) == 8


def test_a_run_shows_its_systems_and_the_clips_of_one_prompt_in_a_notebook(tmp_path: Path) -> None:
    run = made(tmp_path)
    shown = run._repr_html_()
    assert "complete, 8 samples; demo scores" in shown
    assert shown.count("<tr>") == 5
    assert shown.count("<video") == 4
    assert all(f"{sample.system}<br>" in shown for sample in run.samples())
    for clip in (run.path / "videos").iterdir():
        clip.unlink()
    assert "<video" not in run._repr_html_()


def test_names_of_a_stranger_are_text_in_a_notebook(tmp_path: Path) -> None:
    run = made(tmp_path)
    file = run.path / "samples.jsonl"
    file.write_text(file.read_text().replace('"title":"', '"title":"<script>alert(1)</script>'))
    assert "<script>" not in popbench.load(run.path)._repr_html_()
    assert "&lt;script&gt;" in popbench.load(run.path)._repr_html_()
