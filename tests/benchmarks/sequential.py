"""How often is a sequential comparison wrong, and how many clips does it save?

K systems on up to 200 prompts in 5 categories, a look after every 20. Log popularity = strength + normal noise; `ties`
rounds it to a grid, in which the prompt's own part is uniform; `invalid` makes 10 % of samples lose to all others. Laws
of strengths, with the win rate theta of a better system over a worse one:

    equal       all systems
    winner      one system better than all others, which are equal
    clusters    the better half, and the worse
    different   each system better than the next

`type-1`    any wrong verdict of a pair at any look (its direction, or a verdict on equal systems), the best system
            ruled out, or one of several best ones named. Without futility, which only makes errors rarer.
`saving`    clips rendered, as a share of all K x 200, and power: the best system is found (goal best), the share of the
            pairs that differ that are decided (goal decided). Beside one look at 200 prompts, for all pairs by the rule
            of boards, and by the goal's own rule.
`coverage`  intervals after stopping, at all looks: of single pairs, of all together
`replay`    the share of repetitions in which `popbench.stats.replay_looks` decides as the vectorised procedure of the
            other tables, which takes effective numbers of comparisons from a few repetitions; its own errors

    python tests/benchmarks/sequential.py [--repetitions 10000] [--tables type-1 saving coverage replay]

It does not depend on the machine, and takes about 20 minutes on one core.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.special import ndtr

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from popbench import stats
from sequential_trials import EVERY, ROUNDS, STRATA, Law, Many, N, e_values, effective_shares, outcomes, power, wrong

ALLOWED = 0.055

missed: list[str] = []


def chunks(law: Law, repetitions: int, seed: int) -> Iterator[Any]:
    size = max(20, min(1000, 10**7 // (law.systems * (law.systems - 1) // 2 * N)))
    for start in range(0, repetitions, size):
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, start))))
        yield law.popularity(rng, min(size, repetitions - start))


def shown(errors: Any, where: str, allowed: float | None = ALLOWED) -> str:
    rate, n = float(np.mean(errors)), len(errors)
    text = f"{rate:.4f} ({math.sqrt(rate * (1 - rate) / n):.4f})"
    if allowed is not None and rate > allowed:
        missed.append(f"{where}: {text}")
        text += " **above**"
    return text


EQUAL = (
    *(Law("equal", systems, ties=ties, invalid=0.1 * ties) for systems in (2, 5, 10, 30) for ties in (False, True)),
    Law("equal", 10, categories=0.7),
    Law("clusters", 4, 0.65),
    Law("clusters", 4, 0.75),
    Law("clusters", 10, 0.6),
    Law("clusters", 10, 0.75),
    Law("winner", 10, 0.6),
)


def type_1(repetitions: int) -> None:
    print(f"\n| systems | law | goal | spending | any wrong verdict (<= {ALLOWED}) | critical values | repetitions |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for seed, law in enumerate(EQUAL):
        name = law.kind + f" {law.theta}" * (law.theta > 0.5) + ", ties, 10 % invalid" * law.ties
        name += ", categories opposite" * bool(law.categories)
        for goal, spending in (("best", None), ("best", "obrien-fleming"), ("decided", None), ("decided", "linear")):
            if law.systems == 30 and spending:
                continue
            design = stats.SequentialDesign.rounds(law.systems, N, EVERY, goal=goal, spending=spending, futility=0.0)
            errors, shares = [], None
            for x in chunks(law, repetitions, seed):
                y = outcomes(x)
                shares = shares or effective_shares(design, y)
                result = Many(design, y, shares).run()
                errors.append(wrong(law, result.verdicts, result.candidates))
            c = [design.family.at(look, design.n_pairs) for look in (1, 4, 9)]
            values = ", ".join(f"{value:.2f}" for value in c)
            where = f"{law.systems} | {name} | {goal} | {design.spending}"
            found = np.concatenate(errors)
            print(f"| {where} | {shown(found, where)} | {values} | {len(found)} |", flush=True)


SAVING = (
    Law("equal", 5),
    *(Law("winner", 5, theta) for theta in (0.55, 0.6, 0.65, 0.7, 0.8)),
    *(Law("clusters", 5, theta) for theta in (0.6, 0.65, 0.7, 0.8)),
    *(Law("different", 5, theta) for theta in (0.55, 0.6, 0.65)),
    Law("winner", 10, 0.65),
    Law("winner", 5, 0.65, ties=True, invalid=0.1),
)
DESIGNS = (
    *((spending, futility) for spending in ("obrien-fleming", "linear", "pocock") for futility in (0.0, 0.1)),
    ("e-values", 0.0),
)


def saving(repetitions: int) -> None:
    for goal in ("best", "decided"):
        names = [f"{spending}{', futility' * bool(futility)}" for spending, futility in DESIGNS]
        print(f"\nGoal {goal}: clips, power\n\n| systems, law | one look, all pairs | one look | {' | '.join(names)} |")
        print("| --- " * (len(names) + 3) + "|")
        for seed, law in enumerate(SAVING):
            y = np.concatenate([outcomes(x) for x in chunks(law, repetitions, 100 + seed)])
            once = stats.SequentialDesign(law.systems, (N,), goal=goal, reserved=0.0)
            pairs = Many(replace(once, goal="decided"), y).run()
            cells = [f"{power(law, goal, result):.3f}" for result in (pairs, Many(once, y).run())]
            for spending, futility in DESIGNS:
                if spending == "e-values":
                    result = e_values(goal, y, law.systems)
                else:
                    options: Any = {"goal": goal, "spending": spending, "futility": futility}
                    result = Many(stats.SequentialDesign.rounds(law.systems, N, EVERY, **options), y).run()
                cells.append(f"{result.clips.mean():.2f}, {power(law, goal, result):.3f}")
            name = f"{law.systems}, {law.kind} {law.theta}" + ", ties" * law.ties
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def coverage(repetitions: int) -> None:
    print("\n| systems | law | goal | all together (>= 0.945) | single pairs: mean, worst (>= 0.945) |")
    print("| --- | --- | --- | --- | --- |")
    laws = (
        Law("equal", 2),
        Law("equal", 5),
        Law("equal", 5, ties=True),
        Law("winner", 5, 0.65),
        Law("clusters", 5, 0.7),
        Law("different", 5, 0.6),
        Law("different", 10, 0.6),
        Law("equal", 10, categories=0.7),
    )
    for seed, law in enumerate(laws):
        first, second = np.triu_indices(law.systems, 1)
        rates = ndtr((law.strengths[first] - law.strengths[second]) / math.sqrt(2))
        for goal in ("best", "decided"):
            design = stats.SequentialDesign.rounds(law.systems, N, EVERY, goal=goal)
            results = [Many(design, outcomes(x)).run(rates) for x in chunks(law, repetitions, 200 + seed)]
            where = f"{law.systems} | {law.kind} {law.theta}{', ties' * law.ties}"
            where += f"{', categories opposite' * bool(law.categories)} | {goal}"
            alone = np.concatenate([result.held_alone for result in results]).mean(axis=0)
            together = np.concatenate([result.held.all(axis=1) for result in results])
            missing = shown(~together, "coverage " + where)
            print(f"| {where} | 1 - {missing} | {alone.mean():.4f}, {alone.min():.4f} |", flush=True)


def replayed(repetitions: int) -> None:
    print(f"\n| systems | law | goal | same verdicts and candidates | wrong, by replay (<= {ALLOWED}) | repetitions |")
    print("| --- | --- | --- | --- | --- | --- |")
    for systems, kind, goal, share in (
        (2, "equal", "decided", 0.4),
        (5, "equal", "best", 0.3),
        (5, "equal", "decided", 0.3),
        (10, "equal", "decided", 0.05),
        (5, "winner", "best", 0.05),
        (5, "different", "decided", 0.05),
    ):
        law = Law(kind, systems, 0.5 if kind == "equal" else 0.65)
        design = stats.SequentialDesign.rounds(systems, N, EVERY, goal=goal)
        same, errors = [], []
        for x in chunks(law, int(repetitions * share), 300 + systems):
            many = Many(design, outcomes(x)).run()
            states = [stats.replay_looks(design, one[:, :, None], ROUNDS, STRATA)[-1] for one in x]
            verdicts = np.stack([state.verdicts for state in states]).astype(int)
            candidates = np.stack([state.candidates for state in states])
            same.append((verdicts == many.verdicts).all(axis=1) & (candidates == many.candidates).all(axis=1))
            errors.append(wrong(law, verdicts, candidates))
        found, where = np.concatenate(errors), f"{systems} | {kind} | {goal}"
        print(f"| {where} | {np.concatenate(same).mean():.4f} | {shown(found, where)} | {len(found)} |", flush=True)


def main() -> int:
    """Print the tables; return 1 where an error is above what is allowed."""
    tables = {"type-1": type_1, "saving": saving, "coverage": coverage, "replay": replayed}
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=10_000)
    parser.add_argument("--tables", nargs="+", choices=tables, default=list(tables))
    arguments = parser.parse_args()
    for name in arguments.tables:
        tables[name](arguments.repetitions if name != "saving" else arguments.repetitions // 5)
    print("\n" + (f"above what is allowed: {'; '.join(missed)}" if missed else "no error is above what is allowed"))
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
