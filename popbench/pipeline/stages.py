"""The three stages: write drafts, render clips, score them. Nothing else.

A stage says what to ask for what is not settled, and what follows from the answer. Every component has a lane of its
own (`queues`); `Schedule` says which are at work together, and `Exchange` does the asking and committing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from popbench.interfaces import Engine
from popbench.keys import clip_key, clip_name, derive_seed, draft_key, score_key
from popbench.ledger.ledger import STAGES, Call, Cell, Ledger
from popbench.pipeline.dispatch import Exchange, Result
from popbench.pipeline.human_baseline import Match, settle
from popbench.pipeline.ledger_view import View, going_on
from popbench.pipeline.queues import Common, Lane, Undone, Unit
from popbench.pipeline.scheduler import Schedule
from popbench.planning.plan import Plan
from popbench.planning.systems import Part, TaskMode
from popbench.progress import Progress
from popbench.prompting.chats import Shown, make_chat
from popbench.prompting.drafts import parse_draft
from popbench.prompting.originality import closest, describe
from popbench.records import JSON, Request, ScoreRequest, VideoRequest
from popbench.text import counted

ATTEMPTS = 3
"""A completion without a usable draft is asked again, twice at most."""

_MANY = 100_000
"""Clips that are looked at in no time."""

UNUSABLE = f"no usable draft in {ATTEMPTS} answers"


class _Counts(NamedTuple):
    """What is told of the references of a prompt, when all are through."""

    wanted: int
    found: int
    shown: int
    short: bool
    cut: bool
    scope: str

    @classmethod
    def of(cls, shown: Shown) -> _Counts:
        """Keep the numbers, not the references."""
        short, cut = shown.short is not None, shown.cut is not None
        return cls(shown.wanted, shown.found, len(shown.references), short, cut, shown.scope)


class Pipeline:
    """Runs a plan against a ledger. `errors` and `ended` tell what is left undone, and why."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        engine: Engine,
        videos: Path,
        progress: Progress,
        matches: Mapping[str, Match] | None = None,
    ) -> None:
        self.plan = plan
        self._ledger = ledger
        self._engine = engine
        self._matches = matches or {}
        self._told_short: set[str] = set()
        self.videos = videos
        self.progress = progress
        self.view = View(ledger, videos)
        self._common = Common()
        self._showing = threading.Lock()
        self.exchange = Exchange(ledger, engine, self.view, progress, self._common, self._hand_on)

    @property
    def errors(self) -> Undone:
        """What went wrong, by place."""
        return self.exchange.errors

    @property
    def ended(self) -> Sequence[str]:
        """Which components ended early, and why, one line each."""
        return self.exchange.ended

    def run(self) -> None:
        """Go through the stages; components that end early leave their items for a resume.

        A long run that is nearly done lacks rows in few cells: those are worked on first. Only then all other clips are
        looked at, which may take minutes, and what is gone of them is made again.
        """
        if self.plan.config.stop_after is None:
            self._settle_humans()
        lanes, known = self._lanes(), dict[Cell, tuple[int, int]]()
        for lane in lanes:
            lane.skip_whole(known)
            if lane.idle:
                self.progress.stage(lane.name, lane.whole, lane.whole)
        clips = sum(lane.whole for lane in lanes if lane.stage == "render")
        lacking = [lane for lane in lanes if not lane.idle]
        self._go(lacking)
        read = {cell for lane in lacking for cell in lane.lines.keys() - lane.skipped.keys()}
        if clips > _MANY:
            self.progress.notice(f"looking whether {clips:,} clips are still there")
        self._go([lane for lane in self._others(read) if not lane.idle])

    def _go(self, lanes: Sequence[Lane]) -> None:
        self.exchange.lanes[:] = lanes
        for lane in lanes:
            lane.before = [other for other in lanes if other.rank < lane.rank]
        if lanes:
            Schedule(lanes, self._engine, self._common, self.progress, self._work).run()

    def _others(self, read: Collection[Cell]) -> list[Lane]:
        """Return lanes of the cells that were not read yet, or that follow such ones.

        A component that ended early is not asked again.
        """
        lanes, again = self._lanes(), set[Cell]()
        for lane in lanes:
            lane.quiet = True
            for cell, line in lane.lines.items():
                follows = lane.rank > 0 and line.cell(STAGES[lane.rank - 1]) in again
                if cell in self.errors.pending or (cell in read and not follows):
                    lane.skipped[cell] = None
                else:
                    again.add(cell)
        return lanes

    def _lanes(self) -> list[Lane]:
        return [
            Lane(stage, part, lines, self.plan, self.view, self._common)
            for stage in self.plan.stages
            for part, lines in self.plan.lines(stage)
        ]

    def _work(self, lane: Lane) -> None:
        """Do all of a lane, in its thread."""
        {"write": self._write, "render": self._render, "score": self._score}[lane.stage](lane)
        self.exchange.release(lane.part)

    def _hand_on(self, unit: Unit, call: Call, result: Result) -> None:
        """Offer what was settled to the lanes that go on from it."""
        stage = call.stage
        if stage == "score":
            return
        before = going_on(result[2]) if stage == "write" else going_on(unit.before, call)
        for lane in self.exchange.lanes:
            lane.offer(unit.cell, unit, before)

    def _settle_humans(self) -> None:
        """Take over the human videos that were matched; it takes no component, and nothing before it."""
        errors = settle(self.plan, self._ledger, self.view, self._matches)
        self.exchange.errors.update(errors)
        for told, count in Counter(errors.values()).items():
            self.progress.problem(f"baseline human: {told}" + (f" ({counted(count, 'prompt')})" if count > 1 else ""))

    def _write(self, lane: Lane) -> None:
        llm = lane.part
        again: list[Unit] = []
        shown_at: dict[tuple[str, str, str], _Counts] = {}

        def ask(unit: Unit) -> tuple[str, Request]:
            task_mode, prompt = _mode(unit), unit.prompt
            with self._showing:  # retrieval is for one thread at a time
                shown = self.plan.shown(task_mode, prompt, llm)
            shown_at[task_mode.label, prompt.task, prompt.id] = _Counts.of(shown)
            unit.references = shown.references
            if not unit.attempt:
                unit.costs["notes"] = shown.notes
            seed = derive_seed(self.plan.config.seed, prompt.task, prompt.id, unit.repeat, "write", unit.attempt)
            chat = make_chat(task_mode.template, shown.messages, seed, prompt, unit.references)
            key = draft_key(llm.digest, chat)
            return key, replace(chat, id=key)

        def settle(call: Call, unit: Unit) -> Result | None:
            _add_costs(unit, call)
            value: dict[str, JSON] = {
                "attempts": unit.attempt + 1,
                "references": [reference.id for reference in unit.references],
                **unit.costs,
            }
            references, unit.references = unit.references, ()
            if call.status == "invalid":
                return call.key, "invalid", {**value, "error": call.payload["error"]}
            rules, examples = unit.track.task.file.draft, _mode(unit).examples
            draft = parse_draft(call.payload["text"], call.payload["reasoning"], rules.title_max_chars, examples)
            if draft is not None:
                near = closest(draft.title, draft.video_prompt, references)
                if near is not None:
                    value |= {"originality": round(1 - near.similarity, 6)}
                    value["notes"] += [note for note in (describe(near),) if note]
                value |= {
                    "title": draft.title,
                    "video_prompt": draft.video_prompt,
                    "reasoning": draft.reasoning,
                    "breaches": list(draft.breaches),
                }
                return call.key, "ok", value
            if unit.attempt + 1 < ATTEMPTS:
                unit.attempt += 1
                again.append(unit)
                return None
            return call.key, "invalid", {**value, "error": UNUSABLE}

        todo = lane.units()
        while self.exchange.run(lane, todo, ask, settle) and again:
            todo, again = iter(again), []
        with self._common.lock:
            self._tell_shown(llm, shown_at)

    def _tell_shown(self, llm: Part, shown_at: Mapping[tuple[str, str, str], _Counts]) -> None:
        """Tell of prompts with fewer references than asked for: by mode where there are no more, else by LLM too."""
        for mode in dict.fromkeys(mode for mode, _, _ in shown_at):
            shown = [found for place, found in shown_at.items() if place[0] == mode]
            short = [found.found for found in shown if found.short]
            if short and mode not in self._told_short:
                self._told_short.add(mode)
                self.progress.notice(
                    f"{mode}: {len(short)} of {counted(len(shown), 'prompt')} have fewer references than the "
                    f"{shown[0].wanted} asked for, {min(short)} at least: there are no more {shown[0].scope}"
                )
            cut = [found.shown for found in shown if found.cut]
            if cut:
                self.progress.notice(
                    f"{llm.label}, {mode}: the references of {len(cut)} of {counted(len(shown), 'prompt')} are cut to "
                    f"fit the model's context, to {min(cut)} at least"
                )

    def _render(self, lane: Lane) -> None:
        generator = lane.part

        def ask(unit: Unit) -> tuple[str, Request]:
            seed = derive_seed(self.plan.config.seed, unit.prompt.task, unit.prompt.id, unit.repeat, "render")
            key = clip_key(generator.digest, unit.before["video_prompt"], seed)
            return key, VideoRequest(key, unit.before["video_prompt"], seed)

        self.exchange.run(lane, lane.units(), ask, _settle)

    def _score(self, lane: Lane) -> None:
        predictor = lane.part

        def ask(unit: Unit) -> tuple[str, Request]:
            key = score_key(predictor.digest, unit.before["title"], unit.before["sha256"])
            return key, ScoreRequest(key, unit.before["title"], self.videos / clip_name(unit.before["key"]))

        self.exchange.run(lane, lane.units(), ask, _settle)


def _mode(unit: Unit) -> TaskMode:
    """Return the mode of a unit that is written for: those of the human baseline are not."""
    assert isinstance(unit.track, TaskMode)
    return unit.track


def _settle(call: Call, unit: Unit) -> Result:  # noqa: ARG001 - drafts' has use for it
    value = {"error": call.payload["error"]} if call.status == "invalid" else {}
    return call.key, call.status, value


def _add_costs(unit: Unit, call: Call) -> None:
    """Add up what all attempts at a draft cost: seconds and tokens; of memory, the peak."""
    costs, payload = unit.costs, call.payload
    if payload["seconds"] is not None:
        costs["seconds"] = (costs.get("seconds") or 0.0) + payload["seconds"]
    if payload["peak_memory_mb"] is not None:
        costs["peak_memory_mb"] = max(costs.get("peak_memory_mb") or 0.0, payload["peak_memory_mb"])
    if payload.get("usage"):
        usage = Counter(costs.get("usage") or {})
        usage.update(payload["usage"])
        costs["usage"] = dict(usage)
    costs["notes"] = [*costs.get("notes", []), *payload["notes"]]
