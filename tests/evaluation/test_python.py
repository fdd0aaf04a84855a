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
