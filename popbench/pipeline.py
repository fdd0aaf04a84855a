"""The three stages: write drafts, render clips, score them. Nothing else.

Each stage asks the ledger what is done, feeds the rest to its components through the engine, and commits every
answer, with what it settles, before the next is taken.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from popbench.drafts import parse_draft
from popbench.errors import ComponentError, RunError, UsageError, one_line
from popbench.interfaces import Engine
from popbench.keys import clip_key, derive_seed, draft_key, score_key
from popbench.ledger import Call, Cell, Done, Ledger, Stage
from popbench.plan import Part, Plan, TaskMode
from popbench.progress import Progress
from popbench.prompting import make_chat
from popbench.records import (
    JSON,
    Answer,
    Clip,
    Completion,
    Failure,
    Prompt,
    Reference,
    Request,
    Score,
    ScoreRequest,
    VideoRequest,
)
from popbench.video import copy, sha256

ATTEMPTS = 3
"""A completion without a usable draft is asked again, twice at most."""

UNUSABLE = f"no usable draft in {ATTEMPTS} answers"


@dataclass(slots=True)
class Unit:
    """One sample's share of a stage: where its result belongs, and what earlier stages settled."""

    cell: Cell
    task_mode: TaskMode
    prompt: Prompt
    repeat: int
    before: Mapping[str, JSON] = field(default_factory=dict)
    attempt: int = 0
    seconds: float = 0.0
    references: tuple[Reference, ...] = ()

    def done(self, key: str, status: str, value: Mapping[str, JSON]) -> Done:
        """Settle this unit."""
        return Done(self.cell, self.prompt.id, self.repeat, key, status, value)

    @property
    def name(self) -> str:
        """What messages call it."""
        repeat = f" repeat {self.repeat}" if self.repeat else ""
        return f"{self.prompt.task}/{self.prompt.id}{repeat} ({self.task_mode.mode.label})"


Ask = Callable[[Unit], tuple[str, Request]]
Before = Iterator[tuple[Prompt, int, Mapping[str, JSON]]]
Settle = Callable[[Call, Unit], list[Done]]


class Pipeline:
    """Runs a plan against a ledger. `errors` and `ended` tell what is left undone, and why."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        engine: Engine,
        videos: Path,
        progress: Progress,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.engine = engine
        self.videos = videos
        self.progress = progress
        self.errors: dict[tuple[Cell, str, int], str] = {}
        self.ended: list[str] = []

    def run(self) -> None:
        """Go through the stages; components that end early leave their items for a resume."""
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

    # -- write ------------------------------------------------------------------------------------------------

    def _write(self, llm: Part) -> None:
        todo = self._todo("write", llm, [((llm,), self._all)])
        if any(unit.task_mode.template.uses_references for unit in todo):
            self.plan.retriever.prepare([unit.prompt.text for unit in todo])
        unusable: list[Unit] = []

        def ask(unit: Unit) -> tuple[str, Request]:
            task, prompt = unit.task_mode.task, unit.prompt
            unit.references = self.plan.references(unit.task_mode, prompt)
            messages = unit.task_mode.template.render(prompt, task.file.draft, unit.references)
            seed = derive_seed(self.plan.config.seed, task.name, prompt.id, unit.repeat, "write", unit.attempt)
            chat = make_chat("", messages, seed, prompt, unit.references)
            key = draft_key(llm.digest, chat)
            return key, make_chat(key, messages, seed, prompt, unit.references)

        def settle(call: Call, unit: Unit) -> list[Done]:
            unit.seconds += call.payload.get("seconds") or 0.0
            value: dict[str, JSON] = {
                "attempts": unit.attempt + 1,
                "seconds": unit.seconds,
                "references": [reference.id for reference in unit.references],
            }
            unit.references = ()
            if call.status == "invalid":
                return [unit.done(call.key, "invalid", {**value, "error": call.payload["error"]})]
            rules = unit.task_mode.task.file.draft
            draft = parse_draft(
                call.payload["text"],
                call.payload["reasoning"],
                rules.title_max_chars,
                unit.task_mode.examples,
            )
            if draft is not None:
                value |= {
                    "title": draft.title,
                    "video_prompt": draft.video_prompt,
                    "reasoning": draft.reasoning,
                    "breaches": list(draft.breaches),
                }
                return [unit.done(call.key, "ok", value)]
            if unit.attempt + 1 < ATTEMPTS:
                unit.attempt += 1
                unusable.append(unit)
                return []
            return [unit.done(call.key, "invalid", {**value, "error": UNUSABLE})]

        while todo:
            if not self._exchange(llm, "write", todo, ask, settle):
                break
            todo, unusable = unusable, []
        self._release(llm)

    def _all(self, task_mode: TaskMode) -> Before:
        for prompt in self.plan.prompts[task_mode.task.name]:
            for repeat in range(self.plan.config.repeats):
                yield prompt, repeat, {}

    # -- render -----------------------------------------------------------------------------------------------

    def _render(self, generator: Part) -> None:
        todo = self._todo(
            "render",
            generator,
            [((llm, generator), partial(self._after, "write", (llm,))) for llm in self.plan.llms],
        )

        def ask(unit: Unit) -> tuple[str, Request]:
            seed = derive_seed(self.plan.config.seed, unit.prompt.task, unit.prompt.id, unit.repeat, "render")
            key = clip_key(generator.digest, unit.before["video_prompt"], seed)
            return key, VideoRequest(key, unit.before["video_prompt"], seed)

        def settle(call: Call, unit: Unit) -> list[Done]:
            value = {"title": unit.before["title"], "sha256": call.payload.get("sha256")}
            if call.status == "invalid":
                value["error"] = call.payload["error"]
            return [unit.done(call.key, call.status, value)]

        self._exchange(generator, "render", todo, ask, settle)
        self._release(generator)

    # -- score ------------------------------------------------------------------------------------------------

    def _score(self, predictor: Part) -> None:
        todo = self._todo(
            "score",
            predictor,
            [
                ((llm, generator, predictor), partial(self._after, "render", (llm, generator)))
                for llm in self.plan.llms
                for generator in self.plan.generators
            ],
        )

        def ask(unit: Unit) -> tuple[str, Request]:
            key = score_key(predictor.digest, unit.before["title"], unit.before["sha256"])
            path = self.videos / f"{unit.before['key']}.mp4"
            return key, ScoreRequest(key, unit.before["title"], path)

        def settle(call: Call, unit: Unit) -> list[Done]:
            value = {"sha256": unit.before["sha256"]}
            if call.status == "invalid":
                value["error"] = call.payload["error"]
            return [unit.done(call.key, call.status, value)]

        self._exchange(predictor, "score", todo, ask, settle)
        self._release(predictor)

    # -- what the stages share --------------------------------------------------------------------------------

    def _todo(
        self, stage: Stage, part: Part, chains: Sequence[tuple[Sequence[Part], Callable[[TaskMode], Before]]]
    ) -> list[Unit]:
        """List what a stage of a component has to do and the ledger does not have.

        A chain is the components up to this stage, and what the stage before settled for them.
        """
        todo: list[Unit] = []
        total = 0
        for parts, before in chains:
            for task_mode in self.plan.task_modes.values():
                cell = task_mode.cell(stage, *parts)
                done = self.ledger.done(cell)
                for prompt, repeat, value in before(task_mode):
                    total += 1
                    found = done.get((prompt.id, repeat))
                    # A clip that had to be rendered again, to other bytes, has to be scored again.
                    same = found is None or found.value.get("sha256") == value.get("sha256") or stage != "score"
                    if not (same and self._is_done(stage, found)):
                        todo.append(Unit(cell, task_mode, prompt, repeat, value))
        self.progress.stage(f"{stage} {part.label}", total, total - len(todo))
        return todo

    def _is_done(self, stage: Stage, done: Done | None) -> bool:
        """A clip is done only while its file is there."""
        if done is None:
            return False
        return stage != "render" or done.status != "ok" or self._has_video(done.key)

    def _has_video(self, key: str) -> bool:
        return (self.videos / f"{key}.mp4").is_file()

    def _after(self, stage: Stage, parts: Sequence[Part], task_mode: TaskMode) -> Before:
        """Yield what the stage before settled well, for the prompts of this run."""
        done = self.ledger.done(task_mode.cell(stage, *parts))
        for prompt, repeat, _ in self._all(task_mode):
            found = done.get((prompt.id, repeat))
            if found is not None and found.status == "ok" and self._is_done(stage, found):
                yield prompt, repeat, {**found.value, "key": found.key}

    def _exchange(self, part: Part, stage: Stage, units: Sequence[Unit], ask: Ask, settle: Settle) -> bool:
        """Feed units to a component and commit its answers; return whether it went through to the end.

        Units that need the same call share it, and calls the ledger has are not made. Requests are made when
        the component pulls them, in its thread, so that a long run holds few of them.
        """
        waiting: dict[str, list[Unit]] = {}
        found: deque[tuple[Call, Unit]] = deque()
        lock = threading.Lock()

        def requests() -> Iterator[Request]:
            for unit in units:
                key, request = ask(unit)
                with lock:
                    if key in waiting:
                        waiting[key].append(unit)
                        continue
                    call = self._usable(self.ledger.get(key), key)
                    if call is not None:
                        found.append((call, unit))
                        continue
                    waiting[key] = [unit]
                yield request

        def settle_found() -> None:
            while found:
                call, unit = found.popleft()
                self._commit(None, settle(call, unit))
                self.progress.advance()

        source = requests()
        first = next(source, None)
        ended: str | None = None
        if first is not None:
            try:
                with _closing(self.engine.map(part.resolved.spec, chain([first], source))) as answers:
                    for answer in answers:
                        with lock:
                            self._store(stage, answer, waiting.pop(answer.id), settle)
                        settle_found()
            except ComponentError as error:
                ended = str(error)
            except UsageError as error:
                raise RunError(str(error)) from error
        settle_found()
        if ended is not None:
            self.ended.append(ended)
            names = [unit.name for shared in waiting.values() for unit in shared]
            self.progress.problem(
                ended + (f"; item {names[0]} and {len(names) - 1} more stay pending" if names else "")
            )
        return ended is None

    def _usable(self, call: Call | None, key: str) -> Call | None:
        if call is not None and call.stage == "render" and call.status == "ok" and not self._has_video(key):
            return None
        return call

    def _store(self, stage: Stage, answer: Answer, units: list[Unit], settle: Settle) -> None:
        """Commit one answer with all that it settles; an error is noted and left for a resume."""
        if isinstance(answer, Failure) and not answer.invalid:
            for unit in units:
                self.errors[unit.cell, unit.prompt.id, unit.repeat] = answer.error
            self.progress.problem(f"{units[0].name}: {stage} failed: {answer.error}")
        else:
            call = Call(answer.id, stage, "invalid" if isinstance(answer, Failure) else "ok", self._payload(answer))
            self._commit(call, [done for unit in units for done in settle(call, unit)])
        self.progress.advance(len(units))

    def _payload(self, answer: Answer) -> dict[str, JSON]:
        payload: dict[str, JSON] = {
            "seconds": answer.seconds,
            "peak_memory_mb": answer.peak_memory_mb,
            "notes": list(answer.notes),
        }
        match answer:
            case Failure():
                payload["error"] = answer.error
            case Completion():
                usage = dict(answer.usage) if answer.usage is not None else None
                payload |= {"text": answer.text, "reasoning": answer.reasoning, "usage": usage}
            case Clip():
                payload["sha256"] = self._keep(answer)
            case Score():
                payload |= {"popularity": answer.popularity, "extra": dict(answer.extra)}
        return payload

    def _keep(self, clip: Clip) -> str:
        """Put a finished clip into place under its key, whole or not at all, and return its hash."""
        assert clip.path is not None
        source = Path(clip.path)
        target = self.videos / f"{clip.id}.mp4"
        try:
            if source == target:  # the engine's workspace is the folder of clips
                return sha256(target)
            incoming = self.videos / f".{clip.id}.part"
            digest = copy(source, incoming)
            incoming.replace(target)
        except OSError as error:
            raise RunError(f"clip {target.name} cannot be kept: {one_line(error)}") from error
        return digest

    def _commit(self, call: Call | None, done: list[Done]) -> None:
        if call is not None or done:
            self.ledger.commit(call, done)

    def _release(self, part: Part) -> None:
        try:
            self.engine.release(part.resolved.spec)
        except Exception as error:
            self.progress.problem(f"{part.resolved.spec.kind} {part.label}: closing failed: {one_line(error)}")


@contextmanager
def _closing(answers: Iterator[Answer]) -> Iterator[Iterator[Answer]]:
    """End an engine's iterator at once when the driver stops, also on an interrupt."""
    try:
        yield answers
    finally:
        close = getattr(answers, "close", None)
        if close is not None:
            close()
