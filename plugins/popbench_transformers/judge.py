"""Judges of clips whose model runs on this machine: for marks, and for the better of two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

import popbench
from popbench import JSON
from popbench.judging import MarksJudge, PairsJudge, PicturesJudge, judged_in_turn
from popbench.local import GIB, Weights, file_digest, gpu_count, release_memory
from popbench_transformers.checks import problems
from popbench_transformers.files import LAYOUT
from popbench_transformers.judge_options import JudgeOptions, PairwiseOptions, VisionOptions
from popbench_transformers.memory import estimate
from popbench_transformers.processor_checks import processor_problem

if TYPE_CHECKING:
    from popbench_transformers.seeing import Seeing


class VisionJudge(PicturesJudge):
    """A judge whose model transformers runs here. Each draw is sampled from its own seed."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        options: VisionOptions = self.options
        self._weights = Weights(options.model, options.revision, LAYOUT)
        self._seeing: Seeing | None = None

    @property
    def model_name(self) -> str:
        """Return the last part of the model's id or path."""
        given: str = self.options.model
        return PurePath(given).name or given

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the identity of the weights (a hub commit or a hash of the folder) and the chat template's content."""
        base: Mapping[str, Any] = super().fingerprint()
        options = dict(base["options"])
        if self._weights.local and self._weights.folder is not None:
            del options["model"]
        del options["chat_template"]
        more = {"weights": self._weights.identity, "chat_template": self._template}
        return {**base, "options": options, **more}

    @cached_property
    def _template(self) -> str | None:
        return None if self.options.chat_template is None else file_digest(self.options.chat_template)

    def check(self) -> list[str]:
        """List what is missing: the model, its processor, a package, a GPU, memory."""
        options: VisionOptions = self.options
        found = list(problems(options.of_model, self._weights))
        return found or list(processor_problem(options.of_model, self._weights))

    def needs(self) -> popbench.Needs:
        """Return the GPUs that it would be spread over, and the memory of its weights."""
        options: VisionOptions = self.options
        size = estimate(options.of_model, self._weights) or 0
        return popbench.Needs(gpus=gpu_count(options.device), memory_gb=round(size / GIB, 1))

    def close(self) -> None:
        """Free the model."""
        if self._seeing is not None:
            self._seeing = None
            release_memory()

    def judge_all(self, items: Iterable[Any]) -> Iterator[popbench.Score | popbench.Failure]:
        """Judge clips or pairs one after another; raises ComponentError if the model cannot be loaded."""
        source = iter(items)
        for first in source:  # nothing is loaded where there is nothing to do
            if self._seeing is None:
                self._seeing = self._load()
            remedy = "take another model, or structured=true"
            yield from judged_in_turn(
                self, chain([first], source), self._seeing, named=self.model_name, remedy=remedy, more="max_new_tokens="
            )

    def _load(self) -> Seeing:
        """Load the model; raises ComponentError if its files have changed since the fingerprint was taken."""
        from popbench_transformers.seeing import Seeing

        options: VisionOptions = self.options
        what = f"model {options.model}"
        if options.chat_template is not None and file_digest(options.chat_template) != self._template:
            what = f"chat_template {options.chat_template}"
        elif not self._weights.changed():
            seeing = Seeing(options.of_model, self._weights)
            if not self._weights.changed():  # checked again, because loading takes minutes
                return seeing
        raise popbench.ComponentError(f"{what} changed since the run was planned: run the same command again")


class Judge(VisionJudge, MarksJudge):
    """Any local vision-language model, for marks: model=DIR."""

    name = "local-judge"
    mark_schema: ClassVar[JSON] = {"type": "number", "minimum": 0, "maximum": 10, "multipleOf": 0.1}
    """Tenths: digits after them would say nothing, and could go on to the limit of tokens."""

    Options = JudgeOptions

    def __init__(self, options: JudgeOptions | None = None) -> None:
        super().__init__(options)


class PairwiseJudge(VisionJudge, PairsJudge):
    """Any local vision-language model, for pairs: model=DIR."""

    name = "local-pairs"

    Options = PairwiseOptions

    def __init__(self, options: PairwiseOptions | None = None) -> None:
        super().__init__(options)
