"""Splits prompts into three parts, each with all categories: for the search, the selection and the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from popbench.errors import UsageError
from popbench.optimize.budget import Allowance
from popbench.optimize.search import FINALISTS
from popbench.records import Prompt

PROOF_SHARE, SELECTION_SHARE = 0.4, 0.2
"""Shares of the prompts that the proof and the selection have at most."""
FEWEST_PROOF, FEWEST_SELECTION, FEWEST_SEARCH = 20, 10, 20
"""Prompts that each part has at least."""
SEED = 0x5EED


@dataclass(frozen=True)
class Splits:
    """The prompts of the three parts, in the order in which they are taken: every beginning has all categories."""

    search: Sequence[Prompt]
    selection: Sequence[Prompt]
    proof: Sequence[Prompt]

    def parts(self) -> Mapping[str, Sequence[Prompt]]:
        """Return the parts by name."""
        return {"search": self.search, "selection": self.selection, "proof": self.proof}


def split(prompts: Sequence[Prompt], seed: int, allowance: Allowance) -> Splits:
    """Split prompts by a seed. A budget of clips has a part in the sizes: prompts that it cannot pay go to the search.

    Raises UsageError if there are too few prompts, or clips.
    """
    fewest = FEWEST_PROOF + FEWEST_SELECTION + FEWEST_SEARCH
    if len(prompts) < fewest:
        raise UsageError(
            f"--task: {len(prompts)} prompts are too few to search on some and prove on others: {fewest} are the least "
            f"({FEWEST_SEARCH} for the search, {FEWEST_SELECTION} for the selection, {FEWEST_PROOF} for the proof)"
        )
    proof, selection = int(PROOF_SHARE * len(prompts)), int(SELECTION_SHARE * len(prompts))
    if allowance.kind == "clips":
        proof = min(proof, max(FEWEST_PROOF, int(allowance.limit * allowance.PROOF / 2)))
        selection = min(selection, max(FEWEST_SELECTION, int(allowance.limit * allowance.SELECTION / FINALISTS)))
    proof, selection = max(proof, FEWEST_PROOF), max(selection, FEWEST_SELECTION)
    order = _in_turns(prompts, seed)
    return Splits(order[proof + selection :], order[proof : proof + selection], order[:proof])


def stratum(prompt: Prompt) -> str:
    """Return the stratum of a prompt: its task and its category."""
    return f"{prompt.task}\0{prompt.category}"


def strata(prompts: Sequence[Prompt]) -> list[int]:
    """Return the strata of prompts as numbers."""
    names = sorted({stratum(prompt) for prompt in prompts})
    return [names.index(stratum(prompt)) for prompt in prompts]


def _in_turns(prompts: Sequence[Prompt], seed: int) -> list[Prompt]:
    """Return prompts shuffled within their strata, the strata taking turns."""
    rng = np.random.Generator(np.random.PCG64([seed, SEED]))
    by_stratum: dict[str, list[Prompt]] = {}
    for prompt in sorted(prompts, key=lambda one: (stratum(one), one.id)):
        by_stratum.setdefault(stratum(prompt), []).append(prompt)
    shuffled = [[of[at] for at in rng.permutation(len(of))] for of in by_stratum.values()]
    return [of[turn] for turn in range(max(map(len, shuffled))) for of in shuffled if turn < len(of)]
