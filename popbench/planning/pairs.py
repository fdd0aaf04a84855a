"""Which systems a pairwise predictor compares on which prompts: every pair of the run's, both ways round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from popbench.keys import digest
from popbench.ledger.ledger import StageKey, StageName
from popbench.planning.systems import Part, SampleSet
from popbench.records import Prompt


@dataclass(frozen=True, slots=True)
class PairSet(SampleSet):
    """The samples of two systems that are compared: those of the first shown, with the predictor, and the `second`."""

    second: SampleSet

    def stage_key(self, stage: StageName) -> StageKey:
        """Return the ledger's key of a stage: of its comparisons, or of an earlier stage of the first side."""
        first = SampleSet.stage_key(self, stage)
        if stage != "score":
            return first
        return pair_key(SampleSet.stage_key(self, "render"), self.second.stage_key("render"), self.parts[-1].digest)

    def clip_key(self, *, second: bool = False) -> StageKey:
        """Return the ledger's key of the clips of a side."""
        return (self.second if second else self).stage_key("render")


def pair_key(first: StageKey, second: StageKey, predictor: str) -> StageKey:
    """Return the ledger's key of comparisons, by the keys of both sides' clips and the digest of the predictor."""
    mode = f"{first.mode} {second.mode}"  # in plain, since `popbench status` does not know that of the human baseline
    return StageKey(digest("pair", first.system, second.system, predictor), first.task, mode, "score")


class Pair(NamedTuple):
    """Two systems, in the order in which they are shown, and the samples in which they are compared."""

    first: str
    second: str
    samples: PairSet


def paired(systems: Mapping[str, SampleSet], predictor: Part, seed: int) -> Iterator[Pair]:
    """Yield every ordered pair of the systems of one task, with the prompts on which these two are compared.

    With `opponents`, systems stand in a circle on every prompt, in an order drawn by the run's seed, and each is
    compared with its nearest: so each has as many comparisons as any other, and with a higher number, those of the
    lower one are kept.
    """
    first = next(iter(systems.values()), None)
    if first is None:
        return
    near = _distances(len(systems), predictor.resolved.component.opponents)
    places = [] if near is None else [_places(systems, prompt, seed) for prompt in first.prompts]
    for (one, ours), (other, theirs) in permutations(systems.items(), 2):
        prompts: Sequence[Prompt] = ours.prompts
        if near is not None:
            apart = [abs(place[one] - place[other]) for place in places]
            prompts = [
                prompt
                for prompt, steps in zip(ours.prompts, apart, strict=True)
                if min(steps, len(systems) - steps) in near
            ]
        yield Pair(one, other, PairSet(ours.method, (*ours.parts, predictor), prompts, ours.repeats, theirs))


def opponents_of_each(n: int, opponents: int | None) -> int:
    """Return with how many others each of n systems is compared on a prompt.

    An odd number of systems cannot have an odd number of opponents each: there it is one more.
    """
    most = n - 1
    return most if opponents is None else min(opponents + (opponents * n) % 2, most)


def _distances(n: int, opponents: int | None) -> frozenset[int] | None:
    """Return how far apart in a circle of n those stand that are compared; None if all are."""
    each = opponents_of_each(n, opponents)
    return None if each == n - 1 else frozenset([*range(1, each // 2 + 1), *([n // 2] if each % 2 else [])])


def _places(systems: Mapping[str, SampleSet], prompt: Prompt, seed: int) -> Mapping[str, int]:
    """Return the systems' places in the circle of a prompt; with one system more, the others stay in their order."""
    order = sorted(systems, key=lambda system: digest("circle", seed, prompt.task, prompt.id, system))
    return {system: place for place, system in enumerate(order)}
