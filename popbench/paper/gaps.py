"""Says what the runs lack of a table of the paper, and which options of `popbench eval` would run it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from popbench.paper.document import Code, Words
from popbench.paper.entries import Lookup
from popbench.paper.paper_names import name_to_run
from popbench.paper.published import HUMAN


@dataclass(frozen=True)
class Missing:
    """What the runs lack of a table: LLMs (or `human`) and generators by the paper's names, and modes as specs."""

    llms: Sequence[str] = ()
    generators: Sequence[str] = ()
    modes: Sequence[str] = ()
    more: Sequence[str] = ()
    """Further things, in words."""


def gap(
    look: Lookup, missing: Missing, *, llm: str | None = None, generator: str | None = None, modes: Sequence[str] = ()
) -> Words | None:
    """Return a sentence about what is missing, and the command that runs it; None if nothing is.

    `llm`, `generator` and `modes` are the labels to run the missing systems with.
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
    sentence = f"Not in these runs: {', '.join(lacking)}."
    return [f"{sentence} To run: ", Code(shlex.join(options)), "."] if options else sentence


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
    new = missing.llms or missing.generators  # these have to be run in every mode
    for option, values in (("--llm", llms), ("--gen", generators), ("--mode", modes if new else missing.modes)):
        if llms or generators or missing.modes:
            for value in values:
                yield from (option, value)
    if HUMAN in missing.llms:
        yield from ("--baseline", HUMAN)
