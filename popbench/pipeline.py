"""The three stages: write drafts, render clips, score them. Nothing else.

Each stage lists what is not settled, says what to ask for it and what follows from the answer; `Exchange` does the
asking and committing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from popbench.drafts import parse_draft
from popbench.exchange import Exchange, Unit
from popbench.interfaces import Engine
from popbench.keys import clip_key, derive_seed, draft_key, score_key
from popbench.ledger import Call, Cell, Done, Ledger, Stage
from popbench.plan import Part, Plan, TaskMode
from popbench.progress import Progress
from popbench.prompting import make_chat
from popbench.records import JSON, Prompt, Request, ScoreRequest, VideoRequest
from popbench.settled import At, View, sha256

ATTEMPTS = 3
"""A completion without a usable draft is asked again, twice at most."""

UNUSABLE = f"no usable draft in {ATTEMPTS} answers"

Chain = tuple[Part, ...]
Before = Callable[[TaskMode], Mapping[At, Mapping[str, JSON]]]


class Pipeline:
    """Runs a plan against a ledger. `errors` and `ended` tell what is left undone, and why."""

    def __init__(self, plan: Plan, ledger: Ledger, engine: Engine, videos: Path, progress: Progress) -> None:
        self.plan = plan
        self.videos = videos
        self.progress = progress
        self.view = View(plan, ledger, videos)
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

    def _write(self, llm: Part) -> None:
        todo = self._todo("write", llm, [((llm,), self._everything)])
        if any(unit.task_mode.template.uses_references for unit in todo):
            self.plan.retriever.prepare([unit.prompt.text for unit in todo])
        again: list[Unit] = []

        def ask(unit: Unit) -> tuple[str, Request]:
            task, prompt = unit.task_mode.task, unit.prompt
            unit.references = self.plan.references(unit.task_mode, prompt)
            template = unit.task_mode.template
            messages = template.render(prompt, task.file.draft, unit.references)
            seed = derive_seed(self.plan.config.seed, task.name, prompt.id, unit.repeat, "write", unit.attempt)
            chat = make_chat(template, messages, seed, prompt, unit.references)
            key = draft_key(llm.digest, chat)
            return key, replace(chat, id=key)

        def settle(call: Call, unit: Unit) -> list[Done]:
            _add_costs(unit, call)
            value: dict[str, JSON] = {
                "attempts": unit.attempt + 1,
                "references": [reference.id for reference in unit.references],
                **unit.costs,
            }
            unit.references = ()
            if call.status == "invalid":
                return [unit.done(call.key, "invalid", {**value, "error": call.payload["error"]})]
            rules, examples = unit.task_mode.task.file.draft, unit.task_mode.examples
            draft = parse_draft(call.payload["text"], call.payload["reasoning"], rules.title_max_chars, examples)
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
                again.append(unit)
                return []
            return [unit.done(call.key, "invalid", {**value, "error": UNUSABLE})]

        while todo and self.exchange.run(llm, "write", todo, ask, settle):
            todo, again = again, []
        self.exchange.release(llm)

    def _everything(self, task_mode: TaskMode) -> dict[At, Mapping[str, JSON]]:
        return {
            (prompt.id, repeat): {}
            for prompt in self.plan.prompts[task_mode.task.name]
            for repeat in range(self.plan.config.repeats)
        }

    def _render(self, generator: Part) -> None:
        def drafts(llm: Part) -> Before:
            return lambda task_mode: {
                at: done.value for at, done in self.view.write(task_mode, llm).items() if done.status == "ok"
            }

        def ask(unit: Unit) -> tuple[str, Request]:
            seed = derive_seed(self.plan.config.seed, unit.prompt.task, unit.prompt.id, unit.repeat, "render")
            key = clip_key(generator.digest, unit.before["video_prompt"], seed)
            return key, VideoRequest(key, unit.before["video_prompt"], seed)

        todo = self._todo("render", generator, [((llm, generator), drafts(llm)) for llm in self.plan.llms])
        self.exchange.run(generator, "render", todo, ask, _settle)
        self.exchange.release(generator)

    def _score(self, predictor: Part) -> None:
        def clips(llm: Part, generator: Part) -> Before:
            def before(task_mode: TaskMode) -> dict[At, Mapping[str, JSON]]:
                titles = self.view.write(task_mode, llm)
                return {
                    at: {"title": titles[at].value["title"], "key": clip.call.key, "sha256": sha256(clip.call)}
                    for at, clip in self.view.render(task_mode, llm, generator).items()
                    if clip.ok
                }

            return before

        def ask(unit: Unit) -> tuple[str, Request]:
            key = score_key(predictor.digest, unit.before["title"], unit.before["sha256"])
            return key, ScoreRequest(key, unit.before["title"], self.videos / f"{unit.before['key']}.mp4")

        chains: list[tuple[Chain, Before]] = [
            ((llm, generator, predictor), clips(llm, generator))
            for llm in self.plan.llms
            for generator in self.plan.generators
        ]
        self.exchange.run(predictor, "score", self._todo("score", predictor, chains), ask, _settle)
        self.exchange.release(predictor)

    def _todo(self, stage: Stage, part: Part, chains: Sequence[tuple[Chain, Before]]) -> list[Unit]:
        """List what a stage of a component has to do and is not settled.

        A chain is the components up to this stage, with what the stage before settled for them.
        """
        todo: list[Unit] = []
        total = 0
        for chain, before in chains:
            for task_mode in self.plan.task_modes.values():
                cell = task_mode.cell(stage, *chain)
                settled = self.view.settled(stage, task_mode, chain)
                ready = before(task_mode)
                for prompt, repeat in self._places(task_mode):
                    value = ready.get((prompt.id, repeat))
                    if value is None:
                        continue
                    total += 1
                    if (prompt.id, repeat) not in settled:
                        todo.append(Unit(cell, task_mode, prompt, repeat, value))
        self.progress.stage(f"{stage} {part.label}", total, total - len(todo))
        return todo

    def _places(self, task_mode: TaskMode) -> Iterator[tuple[Prompt, int]]:
        for prompt in self.plan.prompts[task_mode.task.name]:
            for repeat in range(self.plan.config.repeats):
                yield prompt, repeat


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
