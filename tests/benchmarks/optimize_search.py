"""What a search finds in made worlds of known knobs: beside random search and a grid, and how often its proof is wrong.

    PYTHONPATH=tests/support python tests/benchmarks/optimize_search.py [runs]

Search, selection and proof are popbench's own, on trials in memory (`tests/support/knob_world.py`). Gain is the share
of what all changes together can be worth, as logarithms of popularity.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from knob_world import WORLDS, Effects, KnobTrials, best, space
from popbench.optimize.budget import Allowance
from popbench.optimize.search import FINALISTS, Candidate, Search
from popbench.optimize.splits import split
from popbench.optimize.verdict import choose, compared, verdict_of
from popbench.records import Prompt

CLIPS = (200, 300, 400, 600, 800)
PROMPTS = [Prompt(f"p{n}", "", "abcde"[n % 5], "knobs") for n in range(200)]
FEW = 15
"""Prompts on which random search and the grid try a candidate."""


class Made:
    """One search in a world, with a budget that also pays selection and proof."""

    def __init__(self, effects: Effects, clips: int, seed: int) -> None:
        splits = split(PROMPTS, seed, Allowance("clips", clips))
        self.effects, self.seed = effects, seed
        self.selection, self.proof = len(splits.selection), len(splits.proof)
        kept = FINALISTS * self.selection + 2 * self.proof
        self.trials = KnobTrials(effects, clips - kept, len(splits.search), seed)

    def search(self) -> Sequence[Candidate]:
        found = Search(space(self.effects), self.trials, seed=self.seed)
        for _ in found.run():
            pass
        return found.finalists()

    def random(self) -> Sequence[Candidate]:
        rng = np.random.default_rng([self.seed, 3])

        def drawn() -> dict[str, object]:
            values = {name: (None, *of)[rng.integers(len(of) + 1)] for name, of in space(self.effects).items()}
            return {name: value for name, value in values.items() if value is not None}

        return self._tried(drawn)

    def grid(self) -> Sequence[Candidate]:
        """Walk through all combinations, the names in a random order, the first ones changing slowest."""
        rng = np.random.default_rng([self.seed, 4])
        names = list(rng.permutation(list(space(self.effects))))
        combinations = list(product(*((None, *space(self.effects)[name]) for name in names)))
        fits = int(self.trials.left // FEW)
        steps = iter(np.linspace(0, len(combinations) - 1, max(fits, 1)).round().astype(int))

        def drawn() -> dict[str, object]:
            values = zip(names, combinations[next(steps)], strict=True)
            return {str(name): value for name, value in values if value is not None}

        return self._tried(drawn)

    def _tried(self, drawn: Callable[[], dict[str, object]]) -> Sequence[Candidate]:
        tried: list[Candidate] = []
        while self.trials.affords([(Candidate(len(tried), {}), FEW)]):
            one = Candidate(len(tried), drawn())
            (one.values,) = self.trials.scores([(one, FEW)])
            tried.append(one)
        ranks = np.argsort(np.argsort([one.values for one in tried], axis=0), axis=0).mean(axis=1)
        return [tried[at] for at in np.argsort(-ranks)[:FINALISTS]]

    def choose(self, finalists: Sequence[Candidate]) -> Candidate:
        trials = KnobTrials(self.effects, np.inf, self.selection, self.seed + 10_000)
        scores = trials.scores([(one, self.selection) for one in finalists])
        return finalists[choose(np.stack(scores))[0]]

    def verdict(self, chosen: Candidate, judges: Sequence[Effects]) -> str:
        rows = []
        for number, effects in enumerate((self.effects, *judges)):
            trials = KnobTrials(effects, np.inf, self.proof, self.seed + 20_000, salt=number)
            best_scores, start_scores = trials.scores([(chosen, self.proof), (Candidate(-1, {}), self.proof)])
            rows.append(compared(best_scores, start_scores, trials.strata))
        return verdict_of(rows)

    def gain(self, chosen: Candidate) -> float:
        return self.trials.worth(chosen.changes) / best(self.effects)


def gains(runs: int) -> None:
    """Print the median share of the reachable gain, by clips, for the search, random search and the grid."""
    print("| world | clips | search | random | grid | search, lower quartile | proved |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name in ("three of eight", "small steps", "equal parts"):
        for clips in CLIPS:
            rows: dict[str, list[float]] = {"search": [], "random": [], "grid": []}
            proved = 0
            for seed in range(runs):
                for way, of in rows.items():
                    made = Made(WORLDS[name], clips, seed)
                    chosen = made.choose(getattr(made, way)())
                    of.append(made.gain(chosen))
                    if way == "search":
                        proved += made.verdict(chosen, [WORLDS[name]]) == "proved"
            shown = " | ".join(f"{np.median(of):.2f}" for of in rows.values())
            print(f"| {name} | {clips} | {shown} | {np.quantile(rows['search'], 0.25):.2f} | {proved / runs:.2f} |")


def proofs(runs: int) -> None:
    """Print how often worlds without a gain, or with one that only P sees, end in each verdict, at 400 clips."""
    print("| world | judge | verdict | share of runs |")
    print("| --- | --- | --- | --: |")
    fooled: Effects = {"fool": {"true": 1.5}, **WORLDS["nothing"]}
    for name, effects, judges in (
        ("nothing to gain", WORLDS["nothing"], []),
        ("nothing to gain", WORLDS["nothing"], [WORLDS["nothing"]]),
        ("a knob that only P rewards", fooled, [WORLDS["nothing"]]),
    ):
        counts: dict[str, int] = {}
        for seed in range(runs):
            made = Made(effects, 400, seed)
            chosen = made.choose(made.search())
            verdict = made.verdict(chosen, judges) if chosen.changes else "not proved"
            counts[verdict] = counts.get(verdict, 0) + 1
        for verdict, count in sorted(counts.items()):
            print(f"| {name} | {'Q' if judges else '–'} | {verdict} | {count / runs:.3f} |")


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    gains(number)
    print()
    proofs(10 * number)
