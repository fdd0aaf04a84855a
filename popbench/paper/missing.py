"""One line for each table: what of the paper's the runs lack, and the options of `popbench eval` that run it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from popbench.paper.document import Code, Words
from popbench.paper.entries import Lookup
from popbench.paper.matching import name_to_run
from popbench.paper.published import HUMAN


@dataclass(frozen=True)
class Missing:
    """What a table lacks of the paper's, by its names: LLMs (with `human`), generators, modes as specs."""

    llms: Sequence[str] = ()
    generators: Sequence[str] = ()
    modes: Sequence[str] = ()
    more: Sequence[str] = ()
    """Further things, in words."""


def gap(
    look: Lookup, missing: Missing, *, llm: str | None = None, generator: str | None = None, modes: Sequence[str] = ()
) -> Words | None:
    """Say what is missing; None where nothing is.

    `llm`, `generator` and `modes` are the labels that what is missing has to be run with.
    """
    lacking = [
        *("human (matched)" if name == HUMAN else name for name in missing.llms),
        *(f"generator {name}" if missing.llms else name for name in missing.generators),
        *(f"mode {mode}" for mode in missing.modes),
        *missing.more,
    ]
    if not lacking:
        return None
    options = list(_options(look, missing, llm, generator, modes))
    said = f"Not in these runs: {', '.join(lacking)}."
    return [f"{said} To run: ", Code(shlex.join(options)), "."] if options else said


def _options(
    look: Lookup, missing: Missing, llm: str | None, generator: str | None, modes: Sequence[str]
) -> Iterator[str]:
    specs = look.evidence.specs
    llms = [name_to_run(name) for name in missing.llms if name != HUMAN]
    if not llms and llm is not None and (missing.generators or missing.modes):
        llms = [specs.get(f"llm {llm}", llm)]
    generators = [name_to_run(name) for name in missing.generators]
    if not generators and generator is not None and (missing.llms or missing.modes):
        generators = [specs.get(f"generator {generator}", generator)]
    new = missing.llms or missing.generators  # which lack every mode, not only those that all lack
    for option, values in (("--llm", llms), ("--gen", generators), ("--mode", modes if new else missing.modes)):
        if llms or generators or missing.modes:
            for value in values:
                yield from (option, value)
    if HUMAN in missing.llms:
        yield from ("--baseline", HUMAN)
