"""Takes from other runs, before any work, what this run would otherwise ask its components for.

Drafts are found by the sample that they are of, so that no references have to be looked up and no model is needed; what
cannot be found in this way is looked up by its key when it is asked for (see `popbench.pipeline.dispatch`). Clips and
scores are found by the keys of their calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from popbench.ledger.ledger import Call, Done, Ledger, StageKey
from popbench.pipeline.items import WorkItem
from popbench.pipeline.ledger_view import LedgerView, next_inputs
from popbench.pipeline.other_runs import OtherRuns
from popbench.pipeline.stages import ClipChangedError, CompareStage, RenderStage, ScoreStage, Stage
from popbench.planning.plan import Plan
from popbench.planning.systems import SampleSet
from popbench.records import JSON

_Inputs: TypeAlias = dict[tuple[str, int], Mapping[str, JSON]]
"""What the next stage goes on from, by prompt id and repeat."""


def take_over(plan: Plan, view: LedgerView, others: OtherRuns) -> None:
    """Copy the calls that a plan needs, with the results of its samples, into the ledger of a view, and clips beside.

    Each is stored whole, as if it had been answered now, but as a call of no component: this run has not paid for it.
    Raises RunError if a ledger is damaged or the disk refuses.
    """
    assert view.ledger is not None
    taking = _Taking(plan, view.ledger, view, others)
    for llm in plan.llms:
        for method in plan.task_modes.values():
            drafts = plan.sample_set(method, llm)
            titles = taking.drafts(drafts)
            for generator in plan.generators if "render" in plan.stages else ():
                clips = drafts.extended(generator)
                rendered = taking.results(RenderStage(generator, plan.config.seed), clips, titles)
                taking.scores(clips, rendered)
    for samples in plan.human_samples if "score" in plan.stages else ():
        taking.scores(samples, taking.humans(samples))
    taking.comparisons()


class _Taking:
    def __init__(self, plan: Plan, ledger: Ledger, view: LedgerView, others: OtherRuns) -> None:
        self._plan, self._ledger, self._view, self._others = plan, ledger, view, others
        self._clips: dict[StageKey, _Inputs] = {}
        """What a predictor that compares pairs goes on from, by the keys of clips."""

    def drafts(self, samples: SampleSet) -> _Inputs:
        """Take the drafts that are lacking; return what a generator goes on from."""
        key = samples.stage_key("write")
        done = dict(self._ledger.done(key))
        places = [(prompt.id, repeat) for _, prompt, repeat in samples.numbered()]
        for run in self._others.runs:
            # Under another seed, other drafts were asked for.
            theirs = run.drafts(key) if run.seed == self._plan.config.seed else {}
            for place in (place for place in places if place in theirs and place not in done):
                found = theirs[place]
                own = self._ledger.get(found.key, "write")
                if own is not None and not run.holds(own):
                    continue  # it was answered here, and otherwise
                call = run.get(found.key, "write", self._view.videos) if own is None else None
                if own is not None or call is not None:  # samples with equal requests share a call
                    self._ledger.commit(call, [found])
                    done[place] = found
        return {
            place: next_inputs(done[place].value) for place in places if place in done and done[place].status == "ok"
        }

    def humans(self, samples: SampleSet) -> _Inputs:
        """Take the human-made videos that are lacking, which depend on no seed; return what a predictor goes on from.

        A video is stored as a draft and a clip, and is no call of a component.
        """
        draft_key, clip_key = samples.stage_keys
        drafts, after = self._ledger.done(draft_key), dict[tuple[str, int], Mapping[str, JSON]]()
        theirs = [(run, run.drafts(draft_key)) for run in self._others.runs]
        for _, prompt, repeat in samples.numbered():
            place = prompt.id, repeat
            match = drafts.get(place)
            clip = None if match is None else self._kept(match.key)
            for run, matches in theirs if match is None else ():
                if match is None and (found := matches.get(place)) is not None:
                    own = self._kept(found.key)  # prompts may share a video
                    clip = own or run.get(found.key, "render", self._view.videos)
                    if clip is not None:
                        match = found
                        done = Done(clip_key, prompt.id, repeat, clip.key, "ok", {})
                        self._ledger.commit(None if own else clip, [match, done])
            if match is not None and clip is not None:
                after[place] = next_inputs(match.value, clip)
        return after

    def _kept(self, key: str) -> Call | None:
        """Return the call of a clip whose file is there."""
        call = self._ledger.get(key, "render")
        return call if call is not None and self._view.has_clip(call) else None

    def scores(self, samples: SampleSet, inputs: _Inputs) -> None:
        """Take the scores that are lacking."""
        if self._plan.comparers:  # else not kept: a run may have millions
            self._clips[samples.clip_key()] = inputs
        for predictor in self._plan.scorers if "score" in self._plan.stages else ():
            self.results(ScoreStage(predictor, self._view.videos), samples.extended(predictor), inputs)

    def comparisons(self) -> None:
        """Take the comparisons of pairs that are lacking."""
        for part in self._plan.comparers:
            for pair in self._plan.comparisons(part):
                sides = [self._clips[pair.samples.clip_key(second=second)] for second in (False, True)]
                both = sides[0].keys() & sides[1].keys()
                inputs: _Inputs = {place: {"first": sides[0][place], "second": sides[1][place]} for place in both}
                self.results(CompareStage(part, self._view.videos), pair.samples, inputs)

    def results(self, stage: Stage, samples: SampleSet, inputs: _Inputs) -> _Inputs:
        """Take the clips or scores that are lacking; return what the next stage goes on from."""
        key = samples.stage_key(stage.name)
        done, after = self._ledger.done(key), dict[tuple[str, int], Mapping[str, JSON]]()
        for number, prompt, repeat in samples.numbered():
            place = prompt.id, repeat
            if place not in inputs or (place in done and stage.name == "score"):
                continue
            item = WorkItem(key, samples.method, prompt, repeat, inputs[place], number)
            try:
                call_key, _ = stage.ask(item)
            except ClipChangedError:
                continue
            call, new = self._ledger.get(call_key, stage.name), False
            if call is None:
                call, new = self._others.get(call_key, stage.name, self._view.videos), True
            outcome = None if call is None else stage.settle(item, call)
            if call is None or outcome is None:
                continue
            there = stage.name == "score" or call.status != "ok" or self._view.has_clip(call)
            if place not in done and there:  # samples with equal requests share a call
                settled = Done(*item.sample_key, call.key, outcome.status, outcome.value)
                self._ledger.commit(call if new else None, [settled])
            if outcome.status == "ok" and there:
                after[place] = outcome.inputs
        return after
