"""A reflecting LLM: it sees which drafts won and which lost, and writes a change of the template."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import json_repair
import numpy as np

from popbench.errors import ComponentError, RunError, UsageError, one_line
from popbench.keys import derive_seed, digest, draft_key
from popbench.ledger.ledger import Call
from popbench.optimize.search import Candidate, Proposal, Search
from popbench.optimize.trials import Bench, SplitTrials
from popbench.pipeline.payloads import payload_of
from popbench.planning.systems import Part
from popbench.prompting.drafts import split_reasoning
from popbench.prompting.loose_json import read_loose
from popbench.records import JSON, Chat, Completion, Failure, Message, Sample

ATTEMPTS = 2
"""Answers that are asked for, for one change."""
PAIRS = 4
"""Pairs of drafts that are shown."""
_LONGEST_SENTENCE, _LONGEST_TEMPLATE = 400, 20_000
_LONGEST_SHOWN = 600
_MENDED = 4000
"""Characters of an answer that is mended by trial."""
SCHEMA: Mapping[str, JSON] = {
    "type": "object",
    "properties": {
        "why": {"type": "string"},
        "change": {"type": "string", "enum": ["sentence", "template"]},
        "text": {"type": "string"},
    },
    "required": ["why", "change", "text"],
    "additionalProperties": False,
}
_SYSTEM = (
    "You improve the instructions by which a language model plans micro-videos. You are given the instructions, and "
    "drafts that were written by them, with the popularity that a predictor expects of the finished clips. You look "
    "for what the better drafts have in common, and change the instructions so that more drafts have it."
)
_TASK = """These are the instructions, a Jinja template with the blocks system and user:

<template>
{template}
</template>

For {n} requests, a draft that scored high and one that scored low:

{pairs}

Find one difference that explains why the first of each pair scored higher, for requests of any kind. Then change the \
instructions. Either name a sentence that is added at the end of the block system, or write the whole template anew. \
In a new template keep both blocks, keep {{{{ prompt }}}}, and keep asking for a JSON object with the keys "title" and \
"video_prompt". Mention nothing that is about one request only, and no scores.

Answer with a JSON object: "why" says in one sentence what you change and why; "change" is "sentence" or "template"; \
"text" is the sentence to be added, or the whole new template."""


class _UnusableError(Exception):
    """Why an answer is of no use, in words that are the same for each such answer."""


@dataclass
class Reflection:
    """Asks an LLM for changes. Its answers are in the ledger of the search: asked again, it is not called again."""

    part: Part
    bench: Bench
    trials: SplitTrials
    seed: int
    asked: int = 0
    answered: int = 0
    used: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def __call__(self, search: Search, parent: Candidate, slot: int) -> Proposal | None:
        """Return a child of a candidate; None if no answer was of use."""
        pairs = self._pairs(parent, slot // 2)
        if not pairs or not self.trials.affords([(parent, len(parent.values) + 1)]):
            return None
        first = messages = self._messages(parent, pairs)
        for attempt in range(ATTEMPTS):
            seed = derive_seed(self.seed, "optimize", parent.id, len(search.rounds) * 100 + slot, "reflect", attempt)
            self.asked += 1
            answer = ""
            try:
                answer = self._answer(Chat("", messages, seed, SCHEMA))
                self.answered += 1
                proposal = self._read(answer, parent)
                if digest(dict(proposal.changes)) in search.known:
                    raise _UnusableError("has been tried")
            except _UnusableError as error:
                self.refused[str(error)] += 1
                refusal = f"This cannot be used: {error}. Answer again, with a change that can."
                if answer:  # an LLM that draws nothing would say the same again
                    told = Message(role="assistant", content=answer), Message(role="user", content=refusal)
                    messages = (*first, *told)
                continue
            self.used += 1
            return proposal
        return None

    def told(self) -> dict[str, JSON]:
        """Return the counts for optimize.json."""
        return {
            "asked": self.asked,
            "answered": self.answered,
            "used": self.used,
            "refused": dict(sorted(self.refused.items())),
        }

    def _pairs(self, parent: Candidate, turn: int) -> list[tuple[Sample, Sample]]:
        """Return the best and the worst draft of requests on which they differ most, categories taking turns.

        Each `turn` of asking has other requests, as far as there are any.

        Where the parent is the only one that was tried, good and bad drafts are of different requests.
        """
        by_prompt: dict[tuple[str, str], list[Sample]] = {}
        for samples in self.trials.samples.values():
            for sample in samples:
                if sample.status == "ok" and sample.popularity is not None:
                    by_prompt.setdefault((sample.task, sample.prompt_id), []).append(sample)
        found = []
        for of in by_prompt.values():
            of.sort(key=lambda sample: (sample.popularity or 0.0, sample.mode or ""))
            if len(of) > 1 and of[-1].popularity != of[0].popularity:
                found.append((of[-1], of[0]))
        if not found:
            own = sorted(
                (one for one in self.trials.samples.get(parent.number, ()) if one.status == "ok"),
                key=lambda sample: sample.popularity or 0.0,
            )
            found = list(zip(own[::-1], own[: len(own) // 2], strict=False))
        own_scores = np.sort([sample.popularity or 0.0 for of in by_prompt.values() for sample in of])

        def gap(pair: tuple[Sample, Sample]) -> float:
            high, low = (float(np.searchsorted(own_scores, one.popularity or 0.0)) for one in pair)
            return low - high

        found.sort(key=gap)
        seen = Counter[str]()
        turns: list[tuple[int, int, tuple[Sample, Sample]]] = []
        for pair in found:
            turns.append((seen[pair[0].category], len(turns), pair))
            seen[pair[0].category] += 1
        ordered = [pair for _, _, pair in sorted(turns, key=lambda each: each[:2])]
        return ordered[turn * PAIRS :][:PAIRS] or ordered[:PAIRS]

    def _messages(self, parent: Candidate, pairs: Sequence[tuple[Sample, Sample]]) -> tuple[Message, ...]:
        shown = "\n\n".join(
            f"Request {number}: {_short(high.prompt)}\nHigh, {high.popularity:.4g}: {_draft(high)}\n"
            f"Low, {low.popularity:.4g}: {_draft(low)}"
            + ("" if high.prompt_id == low.prompt_id else f" (for another request: {_short(low.prompt)})")
            for number, (high, low) in enumerate(pairs, 1)
        )
        text = self.bench.study.text_of(parent.changes) or ""
        user = _TASK.format(template=text, n=len(pairs), pairs=shown)
        return Message(role="system", content=_SYSTEM), Message(role="user", content=user)

    def _answer(self, chat: Chat) -> str:
        """Return the text of an answer, from the ledger if it is there. Raises RunError where the LLM fails."""
        ledger, spec = self.bench.directory.ledger, self.part.resolved.spec
        key = draft_key(self.part.digest, chat)
        call = ledger.get(key, "write")
        if call is None:
            self.bench.progress.stage(f"reflect {self.part.label}", 1, 0)
            chat = Chat(key, chat.messages, chat.seed, chat.schema, key=key)
            gpus = self.bench.engine.at_work(spec).gpus
            try:
                answers = [
                    one for one in self.bench.engine.map(spec, iter([chat])) if isinstance(one, Completion | Failure)
                ]
            except ComponentError as error:
                raise RunError(f"{one_line(error)}: the same command asks again") from error
            finally:
                self.bench.engine.release(spec)
            answer = answers[0] if answers else Failure(key, "gave no answer")
            if isinstance(answer, Failure) and not answer.invalid:
                raise RunError(f"{self.part.name}: {one_line(answer.error)}: the same command asks again")
            payload = {**payload_of(answer, self.bench.directory.videos), "gpus": gpus}
            call = Call(key, "write", "invalid" if isinstance(answer, Failure) else "ok", payload)
            ledger.commit(call, (), self.part.digest)
            self.bench.progress.advance()
        usage = call.payload.get("usage") or {}
        seconds = (call.payload.get("seconds") or 0.0) * (call.payload.get("gpus") or 0.0)
        self.bench.account.pay(self.part.cost(usage) if usage else None, seconds)
        if call.status != "ok":
            raise _UnusableError("refused to answer")
        return split_reasoning(str(call.payload.get("text") or ""), None)[0]

    def _read(self, answer: str, parent: Candidate) -> Proposal:
        """Read the change that an answer asks for. Raises _UnusableError."""
        told = read_object(answer)
        if told is None:
            raise _UnusableError("no JSON object")
        why = one_line(str(told.get("why") or ""), 300) or None
        text = told.get("text")
        if not isinstance(text, str) or not text.strip():
            raise _UnusableError("names no change")
        if told.get("change") == "template" or "{% block" in text:
            changes = self._changed(parent, {"template": self._checked(text)})
            return Proposal(changes, "reflection", (parent.number,), why)
        sentence = " ".join(text.split())
        if len(sentence) > _LONGEST_SENTENCE:
            raise _UnusableError("a sentence of over 400 characters")
        if re.search(r"\{[{%#]", sentence):
            raise _UnusableError("Jinja in a sentence")
        changes = self._changed(parent, {f"sentence.{digest(sentence)[:8]}": sentence})
        if not self.bench.study.valid(changes):
            raise _UnusableError("the template has no place for a sentence")
        return Proposal(changes, "reflection", (parent.number,), why)

    def _changed(self, parent: Candidate, more: Mapping[str, JSON]) -> dict[str, JSON]:
        """Add changes to a parent's; a new template was written from the text with its sentences."""
        kept = {
            name: value
            for name, value in parent.changes.items()
            if "template" not in more or not name.startswith("sentence.")
        }
        return dict(sorted({**kept, **more}.items()))

    def _checked(self, template: str) -> str:
        """Return a new template if it does what a template has to. Raises _UnusableError."""
        study = self.bench.study
        if len(template) > 2 * _LONGEST_TEMPLATE:  # before a search that a long text would make take minutes
            raise _UnusableError("a template of over 20,000 characters")
        match = re.search(r"\{(?:%|#).*\{%-?\s*endblock\s*\w*\s*-?%\}", template, re.DOTALL)
        template = (match[0] if match else template).strip() + "\n"
        if len(template) > _LONGEST_TEMPLATE:
            raise _UnusableError("a template of over 20,000 characters")
        try:
            parsed = study.parsed(template)
            prompt = self.trials.prompts[0]
            task = next(task for task in study.plan.tasks if task.name == prompt.task)
            text = " ".join(message["content"] for message in parsed.render(prompt, task.file.draft, ()))
        except UsageError:
            raise _UnusableError("a template that does not parse or fails") from None
        if parsed.uses_references and not study.template.uses_references:
            raise _UnusableError("a template with references, which the start has not")
        if set(parsed.options.model_fields) != set(study.template.options.model_fields):
            raise _UnusableError("a template with other options")
        if prompt.text.strip() not in text:
            raise _UnusableError("a template that leaves out the request")
        if not all(key in text for key in ("title", "video_prompt", *task.file.draft.fields)):
            raise _UnusableError("a template that does not name the keys of the answer")
        return template


def read_object(answer: str) -> Mapping[str, JSON] | None:
    """Return the JSON object of an answer, mended where it is broken; None if there is none."""
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0:
        return None
    text = answer[start : end + 1] if end > start else answer[start:]
    # A long answer that repeats itself would be mended for minutes; one that is a template is read all the same.
    mend: Callable[[str], Any] = json_repair.loads if len(text) <= _MENDED else read_loose
    for read in (json.loads, mend):
        try:
            value = read(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _short(text: str) -> str:
    return one_line(text, _LONGEST_SHOWN)


def _draft(sample: Sample) -> str:
    return json.dumps(
        {"title": _short(sample.title or ""), "video_prompt": _short(sample.video_prompt or "")}, ensure_ascii=False
    )
