"""From registered plugins to components: what is found, what is broken, and what is said about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import popbench
from popbench.hookspecs import Register, RegisterTasks
from popbench.registry import Plugin, Registry, create, load_registry
from usage_errors import refusal


class Echo(popbench.LLM):
    """Says what it hears.

    And a second paragraph.
    """

    class Options(popbench.Options):
        loud: bool = False
        word: str = "hi"

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion]:
        for chat in chats:
            yield popbench.Completion(chat.id, chat.prompt)


class Silent(Echo):
    pass


def added(*modules: Any) -> Registry:
    registry = Registry()
    for number, module in enumerate(modules, 1):
        registry.add(module, Plugin(f"plugin{number}", f"dist{number}", f"{number}.0", f"module{number}"))
    return registry


def llms(**targets: Any) -> Any:
    """A plugin module that registers LLMs; a target is a class, a path, or (target, preset)."""

    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_llms(register: Register) -> None:
            for name, target in targets.items():
                if isinstance(target, tuple):
                    register(name.replace("_", "-"), target[0], **target[1])
                else:
                    register(name.replace("_", "-"), target)

    return Module


def test_a_class_is_found_by_its_name() -> None:
    resolved = added(llms(echo=Echo)).resolve("llm", "echo,loud=true")
    assert type(resolved.component) is Echo
    assert resolved.component.options == Echo.Options(loud=True)
    assert (resolved.spec.kind, resolved.spec.name, resolved.spec.label) == ("llm", "echo", "echo[loud=true]")
    assert resolved.spec.text == "echo,loud=true"


def test_a_preset_is_a_name_of_its_own() -> None:
    registry = added(llms(echo=Echo, echo_loud=(Echo, {"loud": True})))
    assert registry.names("llm") == ["echo", "echo-loud"]
    loud = registry.resolve("llm", "echo-loud")
    assert loud.component.options.loud is True
    assert loud.spec.label == "echo-loud"
    assert loud.component.fingerprint() == registry.resolve("llm", "echo,loud=1").component.fingerprint()
    assert registry.resolve("llm", "echo-loud,loud=false").spec.label == "echo-loud[loud=false]"


def test_a_preset_that_the_class_refuses_is_told_where_it_is_used() -> None:
    registry = added(llms(echo=Echo, bad=(Echo, {"volume": 3}), worse=(Echo, {"loud": "perhaps"})))
    assert refusal(lambda: registry.resolve("llm", "bad")).startswith("llm bad: volume: ")
    assert refusal(lambda: registry.resolve("llm", "worse")).startswith("llm worse: loud: ")
    assert registry.resolve("llm", "echo").spec.name == "echo"


def test_a_lazy_target_is_imported_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazy_target_module.py").write_text(
        "from tests.registry.test_registry import Echo\nclass Lazy(Echo): 'Lazy.'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    registry = added(llms(echo=Echo, lazy="lazy_target_module:Lazy"))
    assert registry.names("llm") == ["echo", "lazy"]
    registry.resolve("llm", "echo")
    assert "lazy_target_module" not in sys.modules
    assert type(registry.resolve("llm", "lazy").component).__name__ == "Lazy"
    assert sys.modules.pop("lazy_target_module") is not None


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("no_such_module_here:Echo", "ModuleNotFoundError"),
        ("json:NoSuchClass", "AttributeError"),
        ("json", '"module:Class"'),
        ("json:dumps", "not a subclass of popbench.LLM"),
        ("popbench_baselines.kinetic:Kinetic", "not a subclass of popbench.LLM"),
        (dict, "not a subclass of popbench.LLM"),
        (Echo(), "not a subclass of popbench.LLM"),
    ],
)
def test_a_target_that_is_no_class_of_its_kind_is_told_with_its_plugin(target: Any, told: str) -> None:
    registry = added(llms(echo=Echo, wrong=target))
    message = refusal(lambda: registry.resolve("llm", "wrong"))
    assert told in message
    assert "'wrong'" in message
    assert "dist1" in message
    assert registry.resolve("llm", "echo").spec.label == "echo"
    assert [item.summary.startswith("broken: ") for item in registry] == [False, True]


def test_a_summary_is_the_first_line_of_the_docstring() -> None:
    assert [item.summary for item in added(llms(echo=Echo, silent=Silent))] == ["Says what it hears.", ""]


def test_a_class_may_say_what_each_of_its_presets_is() -> None:
    class Sized(Echo):
        """Comes in sizes."""

        @classmethod
        def describe(cls, preset: Mapping[str, popbench.JSON]) -> str:
            return f"Says {preset['word']}\nloudly" if "word" in preset else super().describe(preset)

    registry = added(llms(sized=Sized, hey=(Sized, {"word": "hey"})))
    assert [item.summary for item in registry] == ["Says hey loudly", "Comes in sizes."]


def test_a_class_with_another_describe_is_shown_by_its_docstring() -> None:
    """Classes that were written before popbench called it may have one for something else."""

    class Other(Echo):
        """Was here before."""

        def describe(self, other: int) -> str:  # type: ignore[override]
            return f"{self.options.word} {other}"

    class Number(Echo):
        """Counts."""

        describe = 3  # type: ignore[assignment]

    class Parts(Echo):
        """Has parts."""

        @classmethod
        def describe(cls, preset: Any) -> Any:
            return ["a", "b"]

    summaries = [item.summary for item in added(llms(other=Other, number=Number, parts=Parts))]
    assert sorted(summaries) == ["Counts.", "Has parts.", "Was here before."]


def test_an_unknown_name_is_told_with_the_closest_and_all_possible_ones() -> None:
    registry = added(llms(echo=Echo, shotlist=Echo))
    message = refusal(lambda: registry.resolve("llm", "shotlits,loud=1"))
    assert message == "unknown llm 'shotlits': did you mean 'shotlist'? (possible: echo, shotlist)"
    assert refusal(lambda: registry.resolve("generator", "echo")) == "unknown generator 'echo' (possible: none)"


def test_an_unknown_name_is_told_with_the_plugins_that_did_not_load() -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_llms(register: Register) -> None:
            raise RuntimeError("no weights\nat all")

    message = refusal(lambda: added(llms(echo=Echo), Module).resolve("llm", "other"))
    assert "plugin2 (RuntimeError: no weights at all)" in message


def test_two_claims_to_one_name_break_that_name_only() -> None:
    registry = added(llms(echo=Echo, one=Echo), llms(echo=Silent, two=Echo))
    message = refusal(lambda: registry.resolve("llm", "echo"))
    assert "dist1 (plugin1)" in message
    assert "dist2 (plugin2)" in message
    assert registry.conflicts() == [message]
    assert registry.resolve("llm", "one").spec.label == "one"
    assert registry.resolve("llm", "two").spec.label == "two"


def test_the_distribution_before_a_name_settles_who_is_meant() -> None:
    registry = added(llms(echo=Echo), llms(echo=Silent))
    message = refusal(lambda: registry.resolve("llm", "echo"))
    assert message.endswith("write dist1/echo or dist2/echo")
    first, second = (registry.resolve("llm", f"dist{number}/echo") for number in (1, 2))
    assert (type(first.component), type(second.component)) == (Echo, Silent)
    assert (first.spec.label, second.spec.label) == ("dist1/echo", "dist2/echo")
    assert "dist3/echo" in refusal(lambda: registry.resolve("llm", "dist3/echo"))


def test_one_name_may_be_of_two_kinds() -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_corpora(register: Register) -> None:
            register("echo", "popbench_baselines.corpus:DemoCorpus")

    registry = added(llms(echo=Echo), Module)
    assert registry.conflicts() == []
    assert registry.resolve("corpus", "echo").component.demo is True


def test_a_hook_with_wrong_arguments_breaks_its_plugin_only() -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_llms(registry: Any, extra: Any) -> None: ...

    registry = added(llms(echo=Echo), Module)
    assert [plugin.error is None for plugin in registry.plugins] == [True, False]
    assert len(str(registry.plugins[1].error).splitlines()) == 1
    assert registry.resolve("llm", "echo").spec.label == "echo"


def test_a_hook_that_does_not_exist_breaks_its_plugin() -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_lmms(register: Register) -> None: ...

    (plugin,) = added(Module).plugins
    assert "register_lmms" in str(plugin.error)


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit("no")])
def test_a_hook_that_raises_breaks_its_plugin_and_keeps_what_it_registered(error: BaseException) -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_llms(register: Register) -> None:
            register("early", Echo)
            raise error

    registry = added(Module, llms(echo=Echo))
    assert "no" in str(registry.plugins[0].error)
    assert registry.resolve("llm", "early").spec.label == "early"
    assert registry.resolve("llm", "echo").spec.label == "echo"


def test_a_register_call_with_wrong_arguments_breaks_its_plugin() -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_llms(register: Any) -> None:
            register("only-a-name")

    (plugin,) = added(Module).plugins
    assert plugin.error is not None


@pytest.mark.parametrize("name", ["", "a,b", "a=b", "a|b", "a b", "a\tb"])
def test_a_name_that_no_spec_could_hold_breaks_its_plugin(name: str) -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_llms(register: Register) -> None:
            register(name, Echo)

    registry = added(Module)
    assert "a name has no comma" in str(registry.plugins[0].error)
    assert registry.names("llm") == []


def test_task_folders_are_registered() -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_tasks(register: RegisterTasks) -> None:
            register("/a/b")
            register(Path("/c"))

    assert added(Module).task_folders == [Path("/a/b"), Path("/c")]


def test_a_class_that_cannot_be_made_is_told_with_its_plugin() -> None:
    class Fragile(Echo):
        def __init__(self, options: Any = None) -> None:
            raise OSError("no such weights")

    message = refusal(lambda: added(llms(fragile=Fragile)).resolve("llm", "fragile"))
    assert message == "llm 'fragile' of plugin dist1 cannot be made: OSError: no such weights"


def test_the_version_of_a_class_without_one_is_its_distributions() -> None:
    class Versioned(Echo):
        version = "7"

    registry = added(llms(echo=Echo, versioned=Versioned))
    assert registry.resolve("llm", "echo").component.fingerprint()["version"] == "1.0"
    assert registry.resolve("llm", "versioned").component.fingerprint()["version"] == "7"


def test_a_fingerprint_names_package_class_and_options() -> None:
    found = added(llms(echo=Echo)).resolve("llm", "echo,word=yo").component.fingerprint()
    assert found == {"name": "tests.Echo", "version": "1.0", "options": {"loud": False, "word": "yo"}}


@pytest.mark.parametrize("word", ["plain", '"quoted"', "null", "[1]"])
def test_the_component_made_from_a_spec_is_the_one_that_was_resolved(word: str) -> None:
    registry = load_registry()
    registry.add(llms(preset_of_test=(Echo, {"word": word})), Plugin("t", "t", "1", "t"))
    try:
        resolved = registry.resolve("llm", "preset-of-test,loud=1")
        assert create(resolved.spec).options == resolved.component.options
    finally:
        registry.plugins.pop()
        del registry.registrations["llm", "preset-of-test"]


class Placed(Echo):
    """Is at one of two places, by what `PLACE` holds."""

    class Options(popbench.Options):
        place: str | None = None
        word: str | None = None

        def chosen(self) -> dict[str, popbench.JSON]:
            return {} if self.place else {"place": os.environ["PLACE"]}


@pytest.mark.parametrize("typed", ["placed", "placed,word=null", "placed,word='a,b'", "placed,label=Mine", '"placed"'])
def test_what_the_environment_chose_is_recorded_and_holds_in_other_environments(
    typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = load_registry()
    registry.add(llms(placed=Placed), Plugin("t", "t", "1", "t"))
    try:
        monkeypatch.setenv("PLACE", "here, or there")
        first = registry.resolve("llm", typed)
        assert first.chosen == {"place": "here, or there"}
        assert "here" not in first.spec.label
        monkeypatch.setenv("PLACE", "elsewhere")
        again = registry.resolve("llm", first.spec.text)
        assert (again.spec.label, again.spec.text, again.chosen) == (first.spec.label, first.spec.text, {})
        assert create(first.spec).options == again.component.options == first.component.options
        assert registry.resolve("llm", typed).component.options.place == "elsewhere"
        monkeypatch.delenv("PLACE")
        assert refusal(lambda: registry.resolve("llm", typed)).startswith("llm placed: its options cannot be chosen")
    finally:
        registry.plugins.pop()
        del registry.registrations["llm", "placed"]


def test_the_embedded_defaults_are_registered() -> None:
    registry = load_registry()
    for kind, name in (
        ("llm", "verbatim"),
        ("llm", "shotlist"),
        ("generator", "kinetic"),
        ("predictor", "demo"),
        ("corpus", "demo"),
        ("embedder", "hashing"),
        ("engine", "local"),
    ):
        assert registry.resolve(kind, name).spec.label == name
    first = registry.find("llm", "verbatim").plugin
    assert (first.name, first.distribution, first.error) == ("baselines", "popbench", None)
