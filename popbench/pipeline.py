"""The three stages: write drafts, render clips, score them. Nothing else.

Each stage lists what is not settled, says what to ask for it and what follows from the answer; `Exchange` does the
asking and committing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from popbench.drafts import parse_draft
from popbench.errors import counted
from popbench.exchange import Exchange, Unit
from popbench.human import Match, settle
from popbench.interfaces import Engine
from popbench.keys import clip_key, derive_seed, draft_key, score_key
from popbench.ledger import Call, Cell, Done, Ledger, Stage
from popbench.originality import closest, describe
from popbench.plan import Plan
from popbench.progress import Progress
from popbench.prompting import Shown, make_chat
from popbench.records import JSON, Request, ScoreRequest, VideoRequest
from popbench.settled import At, View, sha256
from popbench.systems import Part, TaskMode, Track

ATTEMPTS = 3
"""A completion without a usable draft is asked again, twice at most."""

UNUSABLE = f"no usable draft in {ATTEMPTS} answers"

Before = Callable[[Track], Mapping[At, Mapping[str, JSON]]]
"""What the stage before settled of a track, for the next one to go on from."""

Line = tuple[Sequence[Track], tuple[Part, ...], Before]
"""Tracks, the components that they go through up to a stage, and what is there before it."""


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
        self._matches = matches or {}
        self._told_short: set[str] = set()
        self.videos = videos
        self.progress = progress
        self.view = View(ledger, videos)
        self.exchange = Exchange(ledger, engine, self.view, progress)

    @property
    def errors(self) -> Mapping[tuple[Cell, str, int], str]:
        """What went wrong, by place."""
        return self.exchange.errors

    @property
    def ended(self) -> Sequence[str]:
        """Which components ended early, and why, one line each."""
        return self.exchange.ended

    def run(self) -> None:
        """Go through the stages; components that end early leave their items for a resume."""
        if self.plan.config.stop_after is None:
            self._settle_humans()
        for llm in self.plan.llms:
            self._write(llm)
        if self.plan.config.stop_after == "write":
            return
        for generator in self.plan.generators:
            self._render(generator)
        if self.plan.config.stop_after == "render":
            return
        for predictor in self.plan.predictors:
            self._score(predictor)

    def _settle_humans(self) -> None:
        """Take over the human videos that were matched; it takes no component, and nothing before it."""
        errors = settle(self.plan, self._ledger, self.view, self._matches)
        self.exchange.errors.update(errors)
        for told, count in Counter(errors.values()).items():
            self.progress.problem(f"baseline human: {told}" + (f" ({counted(count, 'prompt')})" if count > 1 else ""))

    @property
    def _modes(self) -> Sequence[Track]:
        return list(self.plan.task_modes.values())

    def _write(self, llm: Part) -> None:
        todo = self._todo("write", llm, [(self._modes, (llm,), self._everything)])
        if any(_mode(unit).template.uses_references for unit in todo):
            self.plan.retriever.prepare([unit.prompt.text for unit in todo])
        again: list[Unit] = []
        shown_at: dict[tuple[str, str, str], Shown] = {}

        def ask(unit: Unit) -> tuple[str, Request]:
            task_mode, prompt = _mode(unit), unit.prompt
            shown = self.plan.shown(task_mode, prompt, llm)
            shown_at[task_mode.label, prompt.task, prompt.id] = replace(shown, messages=())
            unit.references = shown.references
            if not unit.attempt:
                unit.costs["notes"] = shown.notes
            seed = derive_seed(self.plan.config.seed, prompt.task, prompt.id, unit.repeat, "write", unit.attempt)
            chat = make_chat(task_mode.template, shown.messages, seed, prompt, unit.references)
            key = draft_key(llm.digest, chat)
            return key, replace(chat, id=key)

        def settle(call: Call, unit: Unit) -> list[Done]:
            _add_costs(unit, call)
            value: dict[str, JSON] = {
                "attempts": unit.attempt + 1,
                "references": [reference.id for reference in unit.references],
                **unit.costs,
            }
            references, unit.references = unit.references, ()
            if call.status == "invalid":
                return [unit.done(call.key, "invalid", {**value, "error": call.payload["error"]})]
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
                return [unit.done(call.key, "ok", value)]
            if unit.attempt + 1 < ATTEMPTS:
                unit.attempt += 1
                again.append(unit)
                return []
            return [unit.done(call.key, "invalid", {**value, "error": UNUSABLE})]

        while todo and self.exchange.run(llm, "write", todo, ask, settle):
            todo, again = again, []
        self.exchange.release(llm)
        self._tell_shown(llm, shown_at)

    def _everything(self, track: Track) -> dict[At, Mapping[str, JSON]]:
        return {(prompt.id, repeat): {} for prompt, repeat in self.plan.places(track)}

    def _tell_shown(self, llm: Part, shown_at: Mapping[tuple[str, str, str], Shown]) -> None:
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
            cut = [len(found.references) for found in shown if found.cut]
            if cut:
                self.progress.notice(
                    f"{llm.label}, {mode}: the references of {len(cut)} of {counted(len(shown), 'prompt')} are cut to "
                    f"fit the model's context, to {min(cut)} at least"
                )

    def _render(self, generator: Part) -> None:
        def drafts(llm: Part) -> Before:
            return lambda track: {
                at: done.value for at, done in self.view.write(track, llm).items() if done.status == "ok"
            }

        def ask(unit: Unit) -> tuple[str, Request]:
            seed = derive_seed(self.plan.config.seed, unit.prompt.task, unit.prompt.id, unit.repeat, "render")
            key = clip_key(generator.digest, unit.before["video_prompt"], seed)
            return key, VideoRequest(key, unit.before["video_prompt"], seed)

        lines: list[Line] = [(self._modes, (llm, generator), drafts(llm)) for llm in self.plan.llms]
        todo = self._todo("render", generator, lines)
        self.exchange.run(generator, "render", todo, ask, _settle)
        self.exchange.release(generator)

    def _score(self, predictor: Part) -> None:
        def clips(llm: Part, generator: Part) -> Before:
            def before(track: Track) -> dict[At, Mapping[str, JSON]]:
                titles = self.view.write(track, llm)
                return {
                    at: {"title": titles[at].value["title"], "key": clip.call.key, "sha256": sha256(clip.call)}
                    for at, clip in self.view.render(track, llm, generator).items()
                    if clip.ok
                }

            return before

        def ask(unit: Unit) -> tuple[str, Request]:
            key = score_key(predictor.digest, unit.before["title"], unit.before["sha256"])
            return key, ScoreRequest(key, unit.before["title"], self.videos / f"{unit.before['key']}.mp4")

        lines: list[Line] = [
            (self._modes, (llm, generator, predictor), clips(llm, generator))
            for llm in self.plan.llms
            for generator in self.plan.generators
        ]
        if (human := self.plan.human) is not None:
            lines.append((self.plan.human_tracks, (human, human, predictor), clips(human, human)))
        self.exchange.run(predictor, "score", self._todo("score", predictor, lines), ask, _settle)
        self.exchange.release(predictor)

    def _todo(self, stage: Stage, part: Part, lines: Sequence[Line]) -> list[Unit]:
        """List what a stage of a component has to do and is not settled."""
        todo: list[Unit] = []
        total = 0
        for tracks, chain, before in lines:
            for track in tracks:
                cell = track.cell(stage, *chain)
                settled = self.view.settled(stage, track, chain)
                ready = before(track)
                for prompt, repeat in self.plan.places(track):
                    value = ready.get((prompt.id, repeat))
                    if value is None:
                        continue
                    total += 1
                    if (prompt.id, repeat) not in settled:
                        todo.append(Unit(cell, track, prompt, repeat, value))
        self.progress.stage(f"{stage} {part.label}", total, total - len(todo))
        return todo


def _mode(unit: Unit) -> TaskMode:
    """Return the mode of a unit that is written for: those of the human baseline are not."""
    assert isinstance(unit.track, TaskMode)
    return unit.track


def _settle(call: Call, unit: Unit) -> list[Done]:
    value = {"error": call.payload["error"]} if call.status == "invalid" else {}
    return [unit.done(call.key, call.status, value)]


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
