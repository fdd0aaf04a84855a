"""The three stages: what each asks of its component, and what follows from an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from popbench.errors import one_line
from popbench.files import sha256
from popbench.interfaces.uses import score_request
from popbench.keys import clip_key, clip_name, compare_key, derive_seed, digest, draft_key, used_key
from popbench.ledger.ledger import Call, StageName
from popbench.pipeline.items import WorkItem
from popbench.pipeline.ledger_view import next_inputs
from popbench.pipeline.references import ShownReferences
from popbench.planning.systems import Part, TaskMode
from popbench.prompting.conversations import Conversation
from popbench.prompting.drafts import read_answer
from popbench.prompting.originality import closest, describe
from popbench.records import JSON, Chat, CompareRequest, Completion, Draft, Request, VideoRequest
from popbench.text import counted

ATTEMPTS = 3
"""How many answers a call gets to have a usable draft: a re-ask has another seed.

An LLM that gives the same answer to another seed (most decode greedily then) is not asked once more.
"""

UNUSABLE = "no usable draft in "
"""The beginning of the errors of samples without a draft."""
OTHER = "other"
"""The reason of an invalid answer of which the component gives no kind."""
_CUT = "cut at the limit of tokens"
_GREEDY = "the same answer to another seed, as greedy decoding gives it: not asked a third time"


class ClipChangedError(Exception):
    """A clip's file does not hold the bytes that were rendered: it has to be rendered again.

    `clip` is its key; `second` says that it is that of the second side of a comparison.
    """

    def __init__(self, what: str, clip: str, *, second: bool = False) -> None:
        super().__init__(what)
        self.clip, self.second = clip, second


class Outcome(NamedTuple):
    """What a finished call means for an item: `ok` or `invalid`, the value to store, and inputs for the next stage.

    `key` is the key of the call that the value comes from, if it is an earlier one.
    """

    status: str
    value: Mapping[str, JSON]
    inputs: Mapping[str, JSON] = {}
    key: str = ""


class Stage(ABC):
    """One stage by one component. It makes requests and judges answers; the dispatcher sends and stores them."""

    name: StageName

    def __init__(self, part: Part) -> None:
        self.part = part

    @abstractmethod
    def ask(self, item: WorkItem) -> tuple[str, Request]:
        """Return the key of an item's call, and the request, which has the key as its id."""

    def settle(self, item: WorkItem, call: Call) -> Outcome | None:
        """Return what a finished call means for an item; None if the item is to be asked again."""
        if call.status == "invalid":
            return Outcome("invalid", {"error": call.payload["error"]})
        return Outcome("ok", {}, self._inputs(item, call))

    def _inputs(self, item: WorkItem, call: Call) -> Mapping[str, JSON]:  # noqa: ARG002 - used by stages that have a next one
        return {}

    def notices(self) -> Iterable[str]:
        """Return what to tell when the component has done its share, one line each."""
        return ()


class WriteStage(Stage):
    """An LLM writes drafts."""

    name = "write"

    def __init__(self, llm: Part, seed: int, references: ShownReferences) -> None:
        super().__init__(llm)
        self._seed = seed
        self._references = references

    def ask(self, item: WorkItem) -> tuple[str, Request]:
        """Make the chat of the next call of the item's draft. Raises UsageError if the mode fails on the prompt."""
        prompt = item.prompt
        conversation = item.conversation or self._begin(item)
        turn = conversation.turn
        assert turn is not None
        # Draws of the first turn are those of a template mode, and no two calls of an item have the same.
        seed = self._draw(item, "write", conversation.number * ATTEMPTS + item.attempt)
        chat = Chat("", turn.messages, seed, turn.schema, prompt.text, conversation.references, turn.reasons)
        key = draft_key(self.part.digest, chat)
        return key, replace(chat, id=key, key=key)

    def _begin(self, item: WorkItem) -> Conversation:
        shown = self._references.show(_mode(item), item.prompt, self.part, self._draw(item, "mode"))
        item.conversation = shown.conversation
        if not item.answers:
            item.costs["notes"] = shown.notes
        return shown.conversation

    def _draw(self, item: WorkItem, stage: str, number: int = 0) -> int:
        return derive_seed(self._seed, item.prompt.task, item.prompt.id, item.repeat, stage, number)

    def settle(self, item: WorkItem, call: Call) -> Outcome | None:
        """Hand an answer to the item's mode; None if the item is to be asked again: its next turn, or this one anew.

        Without a usable draft, a turn that is to bring one is asked again, up to `ATTEMPTS` answers.
        """
        _add_costs(item, call)
        item.answers += 1
        conversation, payload = item.conversation, call.payload
        assert conversation is not None
        turn = conversation.turn
        assert turn is not None
        if call.status == "invalid":
            _add_unusable(item, payload.get("reason") or OTHER)
            return _invalid(item, conversation, payload["error"])
        answer: Completion | Draft | None
        if not turn.draft:
            answer = _completion(call)
        else:
            answer, reason = read_answer(
                payload["text"],
                payload["reasoning"],
                item.method.task.file.draft.title_max_chars,
                _mode(item).examples,
                cut=bool(payload.get("cut")),
                fields=item.method.task.file.draft.fields,
            )
            if answer is None:
                _add_unusable(item, reason)
                if self._again(item, call):
                    return None
                if turn.required:
                    return _invalid(item, conversation, _unusable(item))
        conversation.answer(answer, call.key)
        item.attempt, item.answer = 0, ""
        return _ended(item, conversation) if conversation.over else None

    def _again(self, item: WorkItem, call: Call) -> bool:
        """Count an answer without a usable draft; return whether the same is asked with another seed."""
        answer, before = digest(call.payload["text"], call.payload["reasoning"]), item.answer
        item.attempt, item.answer = item.attempt + 1, answer
        if item.attempt < ATTEMPTS and answer == before:
            _add_remarks(item, [_GREEDY])
            return False
        again, conversation = item.attempt < ATTEMPTS, item.conversation
        if again and conversation is not None and conversation.number == 0:
            conversation.close()
            item.conversation = None  # it is begun again, and takes no memory until then
        return again

    def notices(self) -> Iterable[str]:
        """Return where prompts were shown fewer references than asked for."""
        return self._references.notices(self.part)


class RenderStage(Stage):
    """A video generator renders clips."""

    name = "render"

    def __init__(self, generator: Part, seed: int) -> None:
        super().__init__(generator)
        self._seed = seed

    def ask(self, item: WorkItem) -> tuple[str, Request]:
        """Make a request of the item's video prompt."""
        seed = derive_seed(self._seed, item.prompt.task, item.prompt.id, item.repeat, "render")
        key = clip_key(self.part.digest, item.inputs["video_prompt"], seed)
        return key, VideoRequest(key, item.inputs["video_prompt"], seed, key=key)

    def _inputs(self, item: WorkItem, call: Call) -> Mapping[str, JSON]:
        return next_inputs(item.inputs, call)


class ScoreStage(Stage):
    """A predictor scores samples; `videos` is the folder of clips."""

    name = "score"

    def __init__(self, predictor: Part, videos: Path) -> None:
        super().__init__(predictor)
        self._videos = videos

    def ask(self, item: WorkItem) -> tuple[str, Request]:
        """Make a request of what the predictor uses; raises ClipChangedError if the clip's file holds other bytes."""
        used, clip = self._used(item, item.inputs)
        key = used_key(self.part.digest, used)
        return key, score_request(key, used, clip)

    def _used(
        self, item: WorkItem, inputs: Mapping[str, JSON], *, second: bool = False
    ) -> tuple[dict[str, JSON], Path]:
        """Return what the predictor uses of a sample, and its clip's file; raises ClipChangedError.

        A score belongs to the bytes that are scored. So the file is read here, right before the predictor reads it; a
        predictor that uses no video has nothing to do with the bytes.
        """
        clip, wanted = self._videos / clip_name(inputs["key"]), inputs["sha256"]
        used = self.part.used(item.prompt, inputs, wanted)
        why = ""
        try:
            if "video" in used and sha256(clip) != wanted:
                why = "its clip holds other bytes than were rendered"
        except OSError as error:
            why = f"its clip cannot be read ({one_line(error)})"
        if why:
            raise ClipChangedError(why, inputs["key"], second=second)
        return used, clip


class CompareStage(ScoreStage):
    """A predictor compares two samples, in the order in which they are shown."""

    def ask(self, item: WorkItem) -> tuple[str, Request]:
        """Make a request of what the predictor uses of both; raises ClipChangedError as for a score."""
        first, first_clip = self._used(item, item.inputs["first"])
        second, second_clip = self._used(item, item.inputs["second"], second=True)
        key = compare_key(self.part.digest, first, second)
        sides = score_request(f"{key}-1", first, first_clip), score_request(f"{key}-2", second, second_clip)
        return key, CompareRequest(key, *sides, key=key)


def _mode(item: WorkItem) -> TaskMode:
    """Return the mode that an item's draft is written in: the human baseline has none, and writes none."""
    assert isinstance(item.method, TaskMode)
    return item.method


def _completion(call: Call) -> Completion:
    """Return an LLM's answer as a mode sees it: the same whether it was just given, or is stored in the ledger."""
    payload = call.payload
    measured = (payload["seconds"], payload["peak_memory_mb"], tuple(payload["notes"] or ()))
    return Completion(
        call.key, payload["text"], payload["reasoning"], payload.get("usage"), *measured,
        tuple(payload.get("remarks") or ()), bool(payload.get("cut")),
    )  # fmt: skip


def _invalid(item: WorkItem, conversation: Conversation, error: str) -> Outcome:
    conversation.close()
    return Outcome("invalid", {**_begun(item, conversation), **item.costs, "error": error})


def _begun(item: WorkItem, conversation: Conversation) -> dict[str, JSON]:
    return {"attempts": item.answers, "references": [reference.id for reference in conversation.references]}


def _ended(item: WorkItem, conversation: Conversation) -> Outcome:
    """Return what comes of a mode's end: a draft, or none."""
    if conversation.fault:
        _add_unusable(item, conversation.fault)
    draft = conversation.draft
    if draft is None:
        return _invalid(item, conversation, _unusable(item))
    value = {**_begun(item, conversation), **item.costs}
    near = closest(draft.title, draft.video_prompt, conversation.references)
    if near is not None:
        value |= {"originality": round(1 - near.similarity, 6)}
        value["notes"] += [note for note in (describe(near),) if note]
    value |= {
        "title": draft.title,
        "video_prompt": draft.video_prompt,
        "reasoning": draft.reasoning,
        "breaches": list(draft.breaches),
    }
    if draft.extra:
        value["extra"] = dict(draft.extra)
    return Outcome("ok", value, next_inputs(value), conversation.key)


def _add_costs(item: WorkItem, call: Call) -> None:
    """Add the cost of one answer to the item's: seconds and tokens are added up, memory counts by its peak."""
    costs, payload = item.costs, call.payload
    if payload["seconds"] is not None:
        costs["seconds"] = (costs.get("seconds") or 0.0) + payload["seconds"]
    if payload["peak_memory_mb"] is not None:
        costs["peak_memory_mb"] = max(costs.get("peak_memory_mb") or 0.0, payload["peak_memory_mb"])
    unknown = costs.pop("uncounted", 0) if "usage" in costs else item.answers  # of those before
    if payload.get("usage"):
        usage = Counter(costs.get("usage") or {})
        usage.update(payload["usage"])
        costs["usage"] = dict(usage)
    else:
        unknown += 1
    if unknown and "usage" in costs:
        costs["uncounted"] = unknown
    remarks = payload.get("remarks") or []
    if payload.get("cut") and not any("cut" in remark for remark in remarks):
        remarks = [*remarks, _CUT]
    _add_remarks(item, remarks)
    costs["notes"] = [*costs.get("notes", []), *payload["notes"]]


def _add_remarks(item: WorkItem, remarks: Sequence[str]) -> None:
    if remarks:
        item.costs["remarks"] = list(dict.fromkeys([*item.costs.get("remarks", []), *remarks]))


def _add_unusable(item: WorkItem, reason: str) -> None:
    item.costs["unusable"] = [*item.costs.get("unusable", []), reason]


def _unusable(item: WorkItem) -> str:
    """Return the error of a sample without a usable draft, with the reasons."""
    reasons: Counter[str] = Counter(item.costs["unusable"])
    what = "equal answer" if _GREEDY in item.costs.get("remarks", []) else "answer"
    listed = ", ".join(f"{why} ({n})" for why, n in reasons.most_common())
    return f"{UNUSABLE}{counted(reasons.total(), what)}: {listed}"
