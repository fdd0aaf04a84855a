"""`popbench optimize`: the search, the selection, the proof, and the mode that comes of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from popbench.errors import RunError, UsageError, damage, one_line
from popbench.files import read_json, write_whole
from popbench.leaderboard.pairs import rounded
from popbench.optimize import proof as proving
from popbench.optimize.budget import Account, Allowance
from popbench.optimize.document import FILE, Document
from popbench.optimize.lineage import FILE as LINEAGE
from popbench.optimize.lineage import Lineage
from popbench.optimize.options import Options, gpus_of, plan_of, used_before
from popbench.optimize.output import dump, write_best
from popbench.optimize.reflection import Reflection
from popbench.optimize.search import FINALISTS, BudgetEndError, Candidate, Search
from popbench.optimize.splits import FEWEST_SEARCH, Splits, split
from popbench.optimize.study import CANDIDATES, Study
from popbench.optimize.trials import Bench, SplitTrials
from popbench.optimize.verdict import FEWEST, NOT_PROVED, choose, verdict_of
from popbench.planning.plan import Plan
from popbench.progress import Progress
from popbench.records import JSON
from popbench.runs.directory import RunDirectory, check_free
from popbench.runs.heartbeat import Heartbeat
from popbench.runs.preflight import count_work, missing
from popbench.runs.run_json import FILE as RUN_JSON
from popbench.runs.run_json import describe
from popbench.text import counted

SEARCH = "search"
"""The run directory of the search, in that of the optimisation."""
_FEWEST_SELECTION = 5


def optimize(options: Options, progress: Progress) -> dict[str, Any]:
    """Search, select and prove, or go on with that; return the content of optimize.json.

    Raises UsageError before anything is done, and RunError where it could not go on; what is finished is kept.
    """
    out = options.out
    if (out / RUN_JSON).exists() and not (out / LINEAGE).exists():
        raise UsageError(f"{out} is a run directory: choose another --out")
    check_free(out / SEARCH)
    plan = plan_of(options)
    with closing(plan), closing(plan.engine.component), TemporaryDirectory(prefix="popbench-optimize-") as scratch:
        study = Study(plan, out, Path(scratch), options.vary)
        splits = split(
            [prompt for task in plan.tasks for prompt in plan.prompts[task.name]], options.config.seed, options.budget
        )
        work = _Work(options, study, splits, progress)
        return work.run()


class _Work:
    """One call of `optimize`."""

    def __init__(self, options: Options, study: Study, splits: Splits, progress: Progress) -> None:
        self._options, self._study, self._splits, self._progress = options, study, splits, progress
        plan = study.plan
        parts = {"llm": study.llm, "generate": plan.generators[0], "predict": plan.predictors[0]}
        allowance = options.budget
        self._account = Account(allowance, lambda stage: gpus_of(parts[stage]) if stage in parts else 0.0)
        clips = allowance.kind == "clips"
        self._kept_for_proof = 2.0 * len(splits.proof) if clips else allowance.PROOF * allowance.limit
        selection = FINALISTS * len(splits.selection) if clips else allowance.SELECTION * allowance.limit
        self._kept = self._kept_for_proof + selection
        least = self._kept + 2 * FEWEST_SEARCH
        if clips and allowance.limit < least:
            raise UsageError(
                f"--budget: {allowance.limit:g} clips are too few: {least:g} are the least (twice the "
                f"{counted(len(splits.proof), 'prompt')} of the proof, the {len(splits.selection)} of the selection "
                f"for {FINALISTS} candidates, and the search)"
            )
        self._asked = options.as_json(references=plan.corpus is not None)
        self._rest: dict[str, JSON] = {
            "demo": plan.demo, "state": "search", "options": self._asked, "selection": None, "proof": None,
            "verdict": None, "remarks": [], "best": None, "reflection": None,
        }  # fmt: skip

    def run(self) -> dict[str, Any]:
        """Do what is left to do."""
        out, study, plan = self._options.out, self._study, self._study.plan
        header = self._header()
        lineage = Lineage(out / LINEAGE)
        if lineage.first is not None and lineage.first != {"kind": "begin", **header}:
            raise UsageError(
                f"{out} has another search ({_difference(lineage.first, header)}), and its prompts of the proof are "
                "used once: give the options of before, or another --out"
            )
        if lineage.first is None and (out / proving.FOLDER).exists():
            raise UsageError(
                f"{out} has a proof and no {LINEAGE} that says of what: its prompts are used once: choose another --out"
            )
        if lineage.first is None:
            _check_empty(out)
        if (found := _finished(out)) is not None and lineage.has("end"):
            self._progress.notice(f"{out} is finished: the prompts of its proof are used, and nothing is done again")
            return found
        if not study.space and not self._options.reflect:
            raise UsageError(
                f"--from {study.mode.name}: it has nothing to change in {', '.join(self._options.vary)}: leave out "
                "--vary, or give --reflect"
            )
        search_plan = study.with_prompts(study.planned([Candidate(0, {})]), self._splits.search)
        search_plan.predictors = search_plan.predictors[:1]
        if lacks := missing(plan, count_work(plan, out / SEARCH)):
            raise UsageError("\n".join(lacks))
        started = time.time()
        with RunDirectory(out / SEARCH, search_plan, self._progress.notice) as directory, Heartbeat(directory, started):
            directory.write_json(RUN_JSON, describe(search_plan, started))
            lineage.tell("begin", header)
            self._tell_splits()
            engine = plan.engine.component
            engine.start(directory.videos)
            try:
                self._look_up(search_plan)
                bench = Bench(study, directory, engine, self._account, self._progress)
                search, document = self._search(bench, lineage)
                chosen = self._select(bench, search, document, lineage)
            finally:
                engine.close()
            content = self._prove(bench, search, document, lineage, chosen)
            tried = [*self._splits.search[: len(search.candidates[0].values)]]
            if 0 in document.finalists:
                tried += self._splits.selection[: self._rest["selection"]["n"]]
            study.with_prompts(search_plan, tried)  # those of the start, for `popbench status`
            directory.write_json(RUN_JSON, describe(search_plan, started, {"seconds": round(time.time() - started, 3)}))
            return content

    def _header(self) -> dict[str, JSON]:
        plan, study = self._study.plan, self._study
        parts = (*plan.llms, *plan.generators, *plan.predictors)
        return {
            "options": self._asked,
            "tasks": {task.name: task.hash for task in plan.tasks},
            "components": {part.name: part.digest for part in parts},
            "template": study.text,
        }

    def _tell_splits(self) -> None:
        sizes = ", ".join(f"{len(prompts)} for the {name}" for name, prompts in self._splits.parts().items())
        space = counted(sum(map(len, self._study.space.values())), "change")
        reflect = f", and those of {self._options.reflect}" if self._options.reflect else ""
        self._progress.notice(f"prompts: {sizes}; {space} to be tried{reflect}")

    def _look_up(self, plan: Plan) -> None:
        """Look up the references of all prompts at once: the embedder is loaded once."""
        if plan.corpus is None or plan.embedder is None:
            return
        texts = sorted({prompt.text for prompts in (self._splits.search, self._splits.selection) for prompt in prompts})
        try:
            plan.retriever.load(self._progress)
            plan.retriever.prepare(texts, self._progress)
        finally:
            plan.embedder.resolved.component.close()

    def _search(self, bench: Bench, lineage: Lineage) -> tuple[Search, Document]:
        seed = self._options.config.seed
        trials = SplitTrials(bench, self._splits.search, self._kept)
        reflection = None
        if self._options.reflect:
            reflection = Reflection(self._study.plan.llms[-1], bench, trials, seed)
        search = Search(
            self._study.space, trials, seed=seed, reflect=reflection, valid=self._study.valid, real=bench.real
        )
        document = Document(self._study, self._splits, trials.strata, real=bench.real)
        told = 0
        for done in search.run():
            for one in search.candidates[told:]:
                lineage.tell("candidate", document.lineage(one))
            told = len(search.candidates)
            row = document.add(search, done, self._account.spent)
            lineage.tell("round", row)
            self._progress.notice(_round_line(row, self._options.budget, self._account.spent))
            if reflection is not None:
                self._rest["reflection"] = reflection.told()
            self._write(document, search)
        if not search.rounds:
            raise RunError(
                f"--budget: {self._options.budget.text(self._options.budget.limit)} do not reach to the end of the "
                "first round: give more, and another --out"
            )
        return search, document

    def _select(self, bench: Bench, search: Search, document: Document, lineage: Lineage) -> Candidate:
        """Return the best of the most promising candidates, by prompts that the search did not see."""
        finalists = search.finalists()
        document.finalists = [one.number for one in finalists]
        self._rest["state"] = "selection"
        self._write(document, search)
        room = self._account.room(self._kept_for_proof) / len(finalists)
        n = int(min(len(self._splits.selection), room))
        chosen, rates = finalists[0], {}
        if len(finalists) > 1 and n >= _FEWEST_SELECTION:
            trials = SplitTrials(bench, self._splits.selection, self._kept_for_proof)
            try:
                values = np.stack(trials.scores([(one, n) for one in finalists]))
            except BudgetEndError:
                n = 0
            else:
                place, means = choose(values, real=bench.real)  # of equal ones the more promising
                chosen = finalists[place]
                rates = {one.id: mean for one, mean in zip(finalists, means, strict=True)}
        else:
            n = 0
        document.best = chosen.number
        row = {"candidates": [one.id for one in finalists], "n": n, "win_rates": rates, "chosen": chosen.id,
               "spent": rounded(self._account.spent)}  # fmt: skip
        lineage.tell("selection", row)
        self._rest["selection"] = row
        self._write(document, search)
        return chosen

    def _prove(
        self, bench: Bench, search: Search, document: Document, lineage: Lineage, chosen: Candidate
    ) -> dict[str, Any]:
        """Let the chosen candidate meet the start, judge that, and write what comes of it."""
        prompts = self._splits.proof[: int(min(len(self._splits.proof), self._account.room(0.0) / 2))]
        remarks: list[str] = []
        if chosen.number == 0:
            remarks.append("the search found nothing better than the start, so there was nothing to prove")
            self._rest["verdict"] = NOT_PROVED
        elif len(prompts) < FEWEST:
            remarks.append(f"the budget left {len(prompts)} prompts for the proof, and {FEWEST} are the least")
            self._rest["verdict"] = NOT_PROVED
        else:
            self._rest["state"] = "proof"
            lineage.tell("proof", {"candidate": chosen.id, "n": len(prompts)})
            self._write(document, search)
            remarks += self._meet(bench, chosen, prompts)
        if (again := used_before(self._options)) is not None:
            remarks.append(again)
        self._rest["remarks"] = remarks
        self._rest["state"] = "finished"
        if chosen.number:
            self._rest["best"] = write_best(self._options.out, self._study, search, document, chosen, self._rest)
        content = self._write(document, search)
        lineage.tell("end", {"verdict": self._rest["verdict"]})
        return content

    def _meet(self, bench: Bench, chosen: Candidate, prompts: Sequence[Any]) -> list[str]:
        """Make the run of the proof and judge it; returns remarks."""
        out, options = self._options.out, self._options
        again = plan_of(options)  # other components: the search has closed its own
        study = Study(again, out, self._study.scratch, options.vary)
        start = Candidate(0, {})
        labels = {0: study.mode.label, chosen.number: f"best-of-{out.resolve().name}"}
        if labels[0] == labels[chosen.number]:
            labels[0] = "start"
        plan = study.with_prompts(study.planned([start, chosen], labels), prompts)
        left = options.budget.limit - self._account.spent
        plan.config = replace(
            plan.config,
            out=str(out / proving.FOLDER),
            predictor=tuple(part.resolved.spec.text for part in plan.predictors),
            max_cost=left if options.budget.kind == "usd" else None,
        )
        run = proving.meet(plan, self._progress)
        names = {system.mode.label: system.id for system in plan.systems}
        first, best = names[labels[0]], names[labels[chosen.number]]
        rows = proving.judge(run, plan, prompts, first, best)
        found, remarks = proving.audits(run.path, plan.predictors, first, best, self._progress)
        if bench.account.allowance.kind == "clips":
            self._account.spent += 2 * len(prompts)
        else:
            for sample in run.samples():
                self._account.add(sample)
        self._rest["verdict"] = verdict_of(rows)
        self._rest["proof"] = {
            "run": proving.FOLDER,
            "uses": 1,
            "candidate": chosen.id,
            "systems": {"start": first, "best": best},
            "predictors": rows,
            "audits": found,
            "drafts": proving.drafts(run, first, best),
        }
        if len(plan.predictors) == 1:
            remarks.append("no predictor judged that the search did not see: --judge names one")
        return remarks

    def _write(self, document: Document, search: Search) -> dict[str, Any]:
        budget = self._options.budget
        told = {
            "kind": budget.kind,
            "limit": budget.limit,
            "reserved": self._kept,
            "spent": rounded(self._account.spent),
        }
        content = document.content(search, {**self._rest, "budget": told})
        try:
            write_whole(self._options.out / FILE, dump(content))
        except OSError as error:
            raise RunError(f"{self._options.out / FILE} cannot be written: {one_line(error)}") from error
        return content


def _check_empty(out: Path) -> None:
    """Raise UsageError if a folder holds other files than a search begins with; those of a kill are no others."""
    try:
        names = {file.name for file in out.iterdir() if file.name[0] != "."} if out.is_dir() else set()
    except OSError as error:
        raise UsageError(f"{out}: cannot be read ({one_line(error)}): choose another --out") from error
    others = sorted(names - {SEARCH, CANDIDATES, LINEAGE, proving.FOLDER})
    if others and FILE not in names:
        raise UsageError(f"{out} holds other files ({others[0]}), and no search: choose another --out")


def _finished(out: Path) -> dict[str, Any] | None:
    """Return the content of a finished optimisation; None if there is none."""
    if not (out / FILE).exists():
        return None
    try:
        content = read_json(out / FILE)
        return content if content["state"] == "finished" else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UsageError(f"{out / FILE}: cannot be read ({damage(error)}): choose another --out") from error


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first thing in which two searches differ."""
    options = before.get("options")
    was: Mapping[str, Any] = options if isinstance(options, dict) else {}
    for name, value in now["options"].items():
        if was.get(name) != value:
            return f"{name}: {was.get(name)!r:.60}, now {value!r:.60}"
    return "its components, prompts or template were other ones"


def _round_line(row: Mapping[str, Any], budget: Allowance, spent: float) -> str:
    gain, leads = row["gain"], "the start leads"
    if gain is not None:
        leads = f"{row['incumbent']} leads, {100 * gain['value']:.0f} % against the start on {gain['n']} prompts"
    tried = counted(len(row["candidates"]), "candidate")
    return f"round {row['round']}: {tried}, {leads}; {budget.text(spent)} of {budget.text(budget.limit)}"
