"""Plugins of every kind as they were written for popbench 0.1. Never to be changed: see the README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import popbench
from popbench.hookspecs import Register, RegisterTasks


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("memo", "popbench_of_0_1.models:Memo")
    register("memo-loud", "popbench_of_0_1.models:Memo", tone="loud")


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("fade", "popbench_of_0_1.models:Fade")
    register("still", "popbench_of_0_1.models:Still")


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("length", "popbench_of_0_1.models:Length")


@popbench.hookimpl
def register_embedders(register: Register) -> None:
    register("initials", "popbench_of_0_1.texts:Initials")


@popbench.hookimpl
def register_corpora(register: Register) -> None:
    register("shelf", "popbench_of_0_1.texts:Shelf")


@popbench.hookimpl
def register_engines(register: Register) -> None:
    register("plain", "popbench_of_0_1.engines:Plain")
    register("threaded", "popbench_of_0_1.engines:Threaded")


@popbench.hookimpl
def register_tasks(register: RegisterTasks) -> None:
    register(Path(__file__).parent / "tasks")


@popbench.hookimpl(optionalhook=True)
def register_what_later_versions_have(register: Any) -> None:
    raise AssertionError("popbench has a hook of this name")
