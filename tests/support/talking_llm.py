"""A language model for tests whose answers are told beforehand: unusable in every way, cut, remarked on, refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import popbench
import popbench_runs
from made_tasks import task_file
from popbench.registry import Plugin, load_registry

REMARK = "answered by another model than was asked for"
TOO_LITTLE = "cut at the limit of tokens: allow more with room="
EXAMPLE = {
    "title": "The kettle that would not whistle",
    "video_prompt": "A kettle stands on a stove, shivers, and is silent.",
}
TEMPLATE = (
    "{% block system %}Be brief.{% endblock %}{% block user %}{{ prompt }}\nAnswer in this form: "
    + json.dumps(EXAMPLE)
    + "{% endblock %}"
)
DRAFT = {"title": "Rain on a roof", "video_prompt": "Drops race each other down a tin roof."}


class Talking(popbench.LLM):
    """Answers attempt after attempt at a prompt as `say` has it: a letter for each attempt, the last for the rest."""

    class Options(popbench.Options):
        say: str = "d"
        same: bool = False
        priced: bool = False

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._asked: dict[str, int] = {}

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            attempt = self._asked[chat.prompt] = self._asked.get(chat.prompt, -1) + 1
            letter = self.options.say[min(attempt, len(self.options.say) - 1)]
            yield self._answer(letter, chat, "" if self.options.same else f" ({chat.seed})")

    def _answer(self, letter: str, chat: popbench.Chat, end: str) -> popbench.Completion | popbench.Failure:
        draft, usage = json.dumps(DRAFT), {"input": 100, "output": 10}
        match letter:
            case "n":
                return popbench.Completion(chat.id, f"No.{end}", usage=usage)
            case "c":
                return popbench.Completion(chat.id, json.dumps(EXAMPLE) + end, usage=usage)
            case "p":
                return popbench.Completion(chat.id, json.dumps(dict.fromkeys(DRAFT, "...")) + end, usage=usage)
            case "x":
                return popbench.Completion(chat.id, f'{{"title": "Rain{end}', usage=usage, cut=True)
            case "l":
                return popbench.Completion(chat.id, draft[:-5], usage=usage, cut=True, remarks=(TOO_LITTLE,))
            case "r":
                return popbench.Completion(chat.id, draft, usage=usage, remarks=(REMARK, REMARK, f"call {chat.id}"))
            case "u":
                return popbench.Completion(chat.id, f"Unknown.{end}")
            case "U":
                return popbench.Completion(chat.id, draft)
            case "f":
                return popbench.Failure(chat.id, "stopped: by a filter", invalid=True, reason="content filter")
            case "o":
                return popbench.Failure(chat.id, "it would not", invalid=True)
        return popbench.Completion(chat.id, draft, usage=usage)

    def cost(self, usage: Any) -> float | None:
        return usage["input"] / 1000 if self.options.priced else None


class _Module:
    @staticmethod
    @popbench.hookimpl
    def register_llms(register: Any) -> None:
        register("talking", Talking)


def install() -> None:
    """Register it in this process, once."""
    registry = load_registry()
    if ("llm", "talking") not in registry.registrations:
        registry.add(_Module, Plugin("talking", "popbench-talking", "1", "talking"))


def task(folder: Path) -> Path:
    """Write a task whose template shows an example of an answer."""
    path = task_file(folder, name="shown")
    (folder / "basic.j2").write_text(TEMPLATE, encoding="utf-8")
    return path


def run_shown(out: Path, **changes: Any) -> popbench.Run:
    """Evaluate the prompts of that task, or some of them, in the fast way."""
    return popbench_runs.run_fast(out, task=str(task(out.parent / "task")), **changes)
