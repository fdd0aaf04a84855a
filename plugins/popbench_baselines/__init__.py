"""popbench's own plugin: a small component of every kind, so that a fresh install runs from end to end.

Nothing here needs a GPU, a network or a download. The corpus and the predictor are marked as demonstrations: their
numbers say nothing about real popularity. Two are more than stand-ins: `verbatim` is the control that any language
model has to beat, and `local` is the engine.

Every class is registered by the name of its module, which is imported when the class is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import popbench

if TYPE_CHECKING:
    from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register the no-model control and the rule-based writer."""
    register("verbatim", "popbench_baselines.llms:Verbatim")
    register("shotlist", "popbench_baselines.llms:Shotlist")


@popbench.hookimpl
def register_generators(register: Register) -> None:
    """Register the procedural generator."""
    register("kinetic", "popbench_baselines.kinetic:Kinetic")


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    """Register the demonstration predictor."""
    register("demo", "popbench_baselines.predictor:DemoPredictor")


@popbench.hookimpl
def register_embedders(register: Register) -> None:
    """Register the offline embedder."""
    register("hashing", "popbench_baselines.hashing:Hashing")


@popbench.hookimpl
def register_corpora(register: Register) -> None:
    """Register the made-up corpus."""
    register("demo", "popbench_baselines.corpus:DemoCorpus")


@popbench.hookimpl
def register_modes(register: Register) -> None:
    """Register the modes that ask more than once, and the few-shot mode."""
    register("refine", "popbench_baselines.modes:Refine")
    register("best", "popbench_baselines.modes:Best")
    register("few", "popbench_baselines.modes:Few")


@popbench.hookimpl
def register_engines(register: Register) -> None:
    """Register the engine that runs components on this machine."""
    register("local", "popbench.engines.local:LocalEngine")
