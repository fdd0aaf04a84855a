"""Matches the labels of a run with the names of the paper's systems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from popbench.errors import UsageError, unknown
from popbench.paper.published import HUMAN, paper

ALIASES: Mapping[str, Sequence[str]] = {
    "Llama-3.3-70B": ("llama-3.3-70b", "llama-3.3-70b-instruct"),
    "DeepSeek-V3": ("deepseek-v3", "deepseek-chat"),
    "ChatGPT-4o": ("gpt-4o", "chatgpt-4o"),
    "DeepSeek-R1": ("deepseek-r1", "deepseek-reasoner"),
    "Qwen-2.5-72B": ("qwen-2.5-72b", "qwen-2.5-72b-instruct"),
    "CogVideoX-5B": ("cogvideox-5b", "cogvideox"),
    "LTX-Video": ("ltx", "ltx-video"),
    "HunyuanVideo": ("hunyuan", "hunyuan-video"),
}
"""Labels that stand for the paper's systems; the first is the component's name in `popbench eval`.

A label with an option, such as `gpt-4o[temperature=0]`, stands for none: the paper did not run it so.
"""


def normal(label: str) -> str:
    """Return a label in lower case, without spaces, points, dashes and underscores."""
    return "".join(char for char in label.lower() if char not in " .-_")


_NAME_BY_ALIAS = {normal(alias): name for name, aliases in ALIASES.items() for alias in (name, *aliases)} | {
    HUMAN: HUMAN
}


class PaperNames:
    """Finds the paper's name of a label, and the label of one of the paper's names."""

    def __init__(self, labels: Iterable[str], given: Sequence[str] = ()) -> None:
        """Match labels; `given` adds `LABEL=NAME`. Raises UsageError for an unknown label, or name of the paper."""
        labels = list(labels)
        self._names = {label: _NAME_BY_ALIAS.get(normal(label)) for label in labels}
        for text in given:
            label, equals, name = text.rpartition("=")  # a label may contain =, the paper's names do not
            if not equals or not label or not name:
                raise UsageError(f"--match {text}: expected LABEL=NAME, as in --match my-llama=Llama-3.3-70B")
            if label not in self._names:
                raise unknown("label", label, labels, f"in --match {text}")
            if normal(name) not in _NAME_BY_ALIAS:
                raise unknown("name of the paper", name, ALIASES, f"in --match {text}")
            self._names[label] = _NAME_BY_ALIAS[normal(name)]

    def of(self, label: str) -> str | None:
        """Return the paper's name of a label."""
        return self._names.get(label)

    def labels(self, name: str) -> list[str]:
        """Return the labels that stand for one of the paper's names."""
        return [label for label, its_name in self._names.items() if its_name == name]

    def matched(self) -> list[tuple[str, str]]:
        """Return each label that stands for one of the paper's systems, with its name."""
        return [(label, name) for label in self.order(self._names) if (name := self.of(label)) is not None]

    def order(self, labels: Iterable[str]) -> list[str]:
        """Sort labels: those of the paper's systems in its order, then others by name."""
        in_order = [*paper()["llms"], *paper()["generators"]]
        return sorted(labels, key=lambda label: (self._place(label, in_order), label))

    def _place(self, label: str, in_order: Sequence[str]) -> int:
        name = self.of(label)
        return in_order.index(name) if name in in_order else len(in_order)


def name_to_run(name: str) -> str:
    """Return the name in `popbench eval` of one of the paper's models."""
    return ALIASES[name][0]
