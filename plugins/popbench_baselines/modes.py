"""Modes that ask an LLM more than once, or show it drafts of others: each builds on a template of the task.

They know no task and no model. What they ask beyond the task's own request is worded here.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

import popbench

_JSON_ONLY = (
    'Answer with a single JSON object that has exactly two keys, "title" and "video_prompt". The values of both are '
    "strings."
)
_CRITIQUE = (
    "Look at this title and this video prompt as a stranger would who is about to scroll on. What is the weakest point "
    "of each, and what would make it better? Be specific, in at most five sentences. Do not write them anew yet."
)
_REWRITE = (
    "Now write the title and the video prompt once more: mend these points, keep what is good, and meet all "
    "requirements of the request."
)
_PICK = (
    "Here are drafts of a micro-video for this request, each with the title that it is posted under and the "
    "instructions for a text-to-video model. Which of them has the best chance of becoming popular?"
)

_OF_CLIPS, _WITHOUT_CLIP = (
    frozenset({"video", "title"}),
    frozenset({"title", "prompt", "video_prompt", "category", "task", "extra"}),
)


def _message(role: str, content: str) -> popbench.Message:
    return popbench.Message(role=role, content=content)


def _as_json(title: str, video_prompt: str, extra: Mapping[str, popbench.JSON] = {}) -> str:
    return json.dumps({"title": title, "video_prompt": video_prompt, **extra}, ensure_ascii=False)


def _form(schema: Mapping[str, popbench.JSON]) -> str:
    """Return what to say of the form of a draft: its keys, of which a task may have more than two."""
    kinds = {name: of["type"] for name, of in schema["properties"].items()}
    if set(kinds) == {"title", "video_prompt"}:
        return _JSON_ONLY
    values = {"string": "text", "array": "a list of texts", "boolean": "true or false"}
    keys = ", ".join(f'"{name}" ({values.get(kind, kind)})' for name, kind in kinds.items())
    return f"Answer with a single JSON object that has exactly these keys: {keys}."


class _Templated(popbench.Mode):
    """A mode whose first request is a template of the task."""

    class Options(popbench.Options):
        """The template."""

        template: str = pydantic.Field("basic", description="the task's template that a draft begins with")

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self.template = self.options.template


class Refine(_Templated):
    """Writes a draft, has the LLM criticise it, and has it written again."""

    version = "1"

    class Options(_Templated.Options):
        """The number of rewrites."""

        rounds: int = pydantic.Field(1, ge=1, le=20, description="how often a draft is criticised and written again")

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self.turns = 1 + 2 * self.options.rounds

    def write(
        self,
        prompt: popbench.Prompt,  # noqa: ARG002 - it is in the task's own request
        references: Sequence[popbench.Reference],  # noqa: ARG002 - so are these
        ask: popbench.Ask,
    ) -> popbench.Writing:
        """Yield the first draft, then a critique and a rewrite in each round; an unusable rewrite changes nothing."""
        draft = yield ask.draft()
        for _ in range(self.options.rounds):
            written = [*ask.messages, _message("assistant", _as_json(draft.title, draft.video_prompt, draft.extra))]
            critique = yield ask([*written, _message("user", _CRITIQUE)])
            if not critique.text.strip():
                continue
            said = [_message("user", _CRITIQUE), _message("assistant", critique.text)]
            again = _message("user", f"{_REWRITE} {_form(ask.schema)}")
            draft = (yield ask.draft([*written, *said, again], required=False)) or draft
        yield draft


class Best(_Templated):
    """Writes several drafts; the LLM or a predictor picks one of them.

    What is asked for is the draft with the best chance of becoming popular. A predictor has to do without the video.
    """

    version = "1"

    class Options(_Templated.Options):
        """The number of drafts, and what picks one of them."""

        n: int = pydantic.Field(3, ge=2, le=50, description="drafts to choose from")
        picker: str | None = pydantic.Field(
            None, description="a predictor that uses no video, as NAME,key=value; by default the LLM picks"
        )

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._picker = None if self.options.picker is None else Picker(self.options.picker)
        self.turns = self.options.n + (self._picker is None)

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Add the predictor's."""
        picker = {} if self._picker is None else {"picker": dict(self._picker.predictor.fingerprint())}
        return {**super().fingerprint(), **picker}

    def check(self) -> list[str]:
        """Return what the predictor lacks."""
        return [] if self._picker is None else self._picker.predictor.check()

    def close(self) -> None:
        """Close the predictor."""
        if self._picker is not None:
            self._picker.predictor.close()

    def write(
        self,
        prompt: popbench.Prompt,
        references: Sequence[popbench.Reference],  # noqa: ARG002 - they are in the task's own request
        ask: popbench.Ask,
    ) -> popbench.Writing:
        """Yield the drafts, then the choice, shown in random order; if it names no draft, the first one counts."""
        drafts: dict[tuple[str, str], popbench.Draft] = {}
        for _ in range(self.options.n):
            draft = yield ask.draft(required=False)
            if draft is not None:
                drafts.setdefault((draft.title, draft.video_prompt), draft)
        choices = list(drafts.values())
        if len(choices) < 2:  # none was usable, or all are equal, as an LLM writes that decodes greedily
            yield from choices
        elif self._picker is not None:
            yield self._picker.pick(prompt, choices)
        else:
            shown = random.Random(ask.seed).sample(choices, len(choices))
            answer = yield ask(_choice(prompt, shown), _number_up_to(len(shown)))
            number = named(answer.text, len(shown))
            yield choices[0] if number is None else shown[number - 1]


def named(text: str, most: int) -> int | None:
    """Return the number of the draft that an answer names, of 1 to `most`; None if it names none, or several."""
    for pattern in (r"\bbest\W{1,4}(\d+)\b", r"\bdraft\W{0,3}(\d+)\b", r"(?<![\w.])(\d+)(?!\w|\.\d)"):
        numbers = {int(number) for number in re.findall(pattern, text, re.IGNORECASE) if len(number) < 4}
        possible = [number for number in numbers if 1 <= number <= most]
        if len(possible) == 1:
            return possible[0]
    return None


def _choice(prompt: popbench.Prompt, shown: Sequence[popbench.Draft]) -> str:
    listed = "\n\n".join(
        f"Draft {number}\nTitle: {draft.title}\nVideo prompt: {draft.video_prompt}"
        + "".join(f"\n{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in _extra(draft).items())
        for number, draft in enumerate(shown, 1)
    )
    form = 'Answer with a JSON object that has one key, "best", with the number of the draft.'
    return f"A user has asked for a micro-video:\n\n{prompt.text}\n\n{_PICK}\n\n{listed}\n\n{form}"


def _number_up_to(most: int) -> Mapping[str, popbench.JSON]:
    return {
        "type": "object",
        "properties": {"best": {"type": "integer", "enum": list(range(1, most + 1))}},
        "required": ["best"],
        "additionalProperties": False,
    }


class Picker:
    """A predictor that ranks drafts without a clip: one that uses no video. Raises UsageError for any other."""

    def __init__(self, spec: str) -> None:
        self.predictor: popbench.Predictor = popbench.make("predictor", spec)
        if isinstance(self.predictor, popbench.PairwisePredictor):
            raise popbench.UsageError(f"picker={spec}: the predictor compares pairs, and scores no draft alone")
        self._uses = frozenset(getattr(self.predictor, "uses", _OF_CLIPS))
        self._lock = threading.Lock()  # modes are run in several threads, a predictor in one at a time
        if not self._uses <= _WITHOUT_CLIP:
            strange = ", ".join(sorted(self._uses - _WITHOUT_CLIP))
            raise popbench.UsageError(f"picker={spec}: the predictor uses {strange}, which drafts do not have yet")

    def pick(self, prompt: popbench.Prompt, drafts: Sequence[popbench.Draft]) -> popbench.Draft:
        """Return the draft with the highest score, of equal ones the first. Raises RunError if one gets no score."""
        with self._lock:
            answers = {answer.id: answer for answer in self.predictor.score(self._requests(prompt, drafts))}
        scores = []
        for number in range(len(drafts)):
            answer = answers.get(str(number))
            if not isinstance(answer, popbench.Score):
                why = getattr(answer, "error", "it did not answer")
                raise popbench.RunError(f"picker {popbench.label(self.predictor)}: {why}")
            scores.append(answer.popularity)
        return drafts[max(range(len(drafts)), key=scores.__getitem__)]

    def _requests(self, prompt: popbench.Prompt, drafts: Sequence[popbench.Draft]) -> Iterator[popbench.ScoreRequest]:
        for number, draft in enumerate(drafts):
            seen: dict[str, Any] = {
                "prompt": prompt.text,
                "video_prompt": draft.video_prompt,
                "category": prompt.category,
                "task": prompt.task,
                "extra": {**_extra(prompt), **_extra(draft)},
            }
            others = {name: value for name, value in seen.items() if name in self._uses}
            title = draft.title if "title" in self._uses else ""
            yield popbench.ScoreRequest(str(number), title, Path(), **others)


def _extra(of: popbench.Draft | popbench.Prompt) -> dict[str, popbench.JSON]:
    """Return the further fields of a draft, or further columns of a prompt, where the task has some."""
    return dict(getattr(of, "extra", None) or {})


class Few(_Templated):
    """Shows popular videos of the corpus as earlier answers (few-shot)."""

    version = "1"
    uses_references = True

    class Options(_Templated.Options):
        """The number of examples."""

        shots: int = pydantic.Field(3, ge=1, le=100, description="popular references shown as answers, of the k found")

    def write(
        self,
        prompt: popbench.Prompt,  # noqa: ARG002 - it is in the task's own request
        references: Sequence[popbench.Reference],
        ask: popbench.Ask,
    ) -> popbench.Writing:
        """Yield one draft, asked for after the examples; the nearest one stands last."""
        shots = []
        for reference in references:
            request, video_prompt = _line(reference.caption), _line(reference.description)
            if reference.popular and _line(reference.title) and (request or video_prompt):
                answer = _as_json(_line(reference.title), video_prompt or request)
                asked = f"A user has asked for a micro-video:\n\n{request or video_prompt}\n\n{_JSON_ONLY}"
                shots.append([_message("user", asked), _message("assistant", answer)])
        system = [message for message in ask.messages if message["role"] == "system"]
        rest = [message for message in ask.messages if message["role"] != "system"]
        examples = [message for shot in reversed(shots[: self.options.shots]) for message in shot]
        yield (yield ask.draft([*system, *examples, *rest]))


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
