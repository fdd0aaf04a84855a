"""The examples in the docstrings of extension points run, and the components in them keep the plugin contract."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import popbench
from popbench import hookspecs, local, testing
from popbench.registry import Plugin, Registry

COMPONENTS = (popbench.LLM, popbench.VideoGenerator, popbench.Predictor, popbench.Embedder, popbench.Corpus)
OTHERS = (
    popbench.Engine, popbench.Options, popbench.runtime, hookspecs, testing, local.Layout, local.Weights,
    local.device_problem, local.peak_memory, local.quiet,
)  # fmt: skip


def run_example(subject: Any) -> dict[str, Any]:
    """Run the example in a docstring; return the names that it defines."""
    name = f"{getattr(subject, '__module__', '')}.{subject.__name__}"
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(subject) or "", {"__name__": "example"}, name, None, 0)
    assert example.examples, f"{name} has no example"
    printed: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(example, out=printed.append, clear_globs=False)
    assert runner.failures == 0, "".join(printed)
    return example.globs


@pytest.mark.parametrize("base", COMPONENTS, ids=lambda base: str(base.kind))
def test_the_example_of_a_component_keeps_the_contract(base: type[popbench.Component]) -> None:
    (cls,) = (
        value
        for value in run_example(base).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == "example"
    )
    assert testing.CHECKS[base.kind](cls).ok


@pytest.mark.parametrize("subject", OTHERS, ids=lambda subject: str(subject.__name__))
def test_the_example_of_an_extension_point_runs(subject: Any) -> None:
    run_example(subject)


def test_the_engine_of_the_example_runs_a_generator(tmp_path: Path) -> None:
    engine = run_example(popbench.Engine)["Plain"]()
    engine.start(tmp_path)
    spec = popbench.ComponentSpec("generator", "kinetic")
    (clip,) = engine.map(spec, [popbench.VideoRequest("a", "A cat jumps", 1)])
    assert clip.path == tmp_path / "a.mp4"
    assert clip.path.is_file()


def test_the_hooks_of_the_example_register_names_and_tasks() -> None:
    module, registry = ModuleType("my_package"), Registry()
    vars(module).update(run_example(hookspecs))
    plugin = Plugin("my-plugin", "my-package", "1", "my_package")
    registry.add(module, plugin)
    assert plugin.error is None
    assert registry.names("llm") == ["haiku", "haiku-hot"]
    assert registry.task_folders == [Path("my_package/tasks")]
