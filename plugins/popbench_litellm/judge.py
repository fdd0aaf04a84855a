"""Judges of clips behind LiteLLM: for marks, and for the better of two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import pydantic

import popbench
from popbench.judging import (
    CriteriaOptions,
    MarksJudge,
    PairsJudge,
    PairsOptions,
    PicturesJudge,
    PicturesOptions,
    judged,
)
from popbench_litellm.endpoint import Endpoint
from popbench_litellm.library import missing
from popbench_litellm.options import ChatOptions
from popbench_litellm.servers import key_of, refuse_options


class VisionOptions(PicturesOptions, ChatOptions):
    """What a judge of clips is shown, and the options of requests, retries and costs."""

    model: str = pydantic.Field(
        min_length=1,
        description="provider and id of a model that takes pictures, such as gemini/gemini-2.5-flash",
    )
    seed: bool = pydantic.Field(True, description="send a seed, another for each draw, where the provider takes one")
    structured: Literal["auto", "off"] = pydantic.Field(
        "auto", description="ask for the answer's JSON schema, where the model supports one"
    )
    tokens_per_frame: int = popbench.runtime(1000, ge=0, description="what a frame counts as, for estimates of costs")


class JudgeOptions(CriteriaOptions, VisionOptions):
    """What a judge is shown and asked for marks."""


class PairwiseOptions(PairsOptions, VisionOptions):
    """What a judge of pairs is shown and asked."""


class VisionJudge(Endpoint, PicturesJudge):
    """A judge whose model is asked through LiteLLM."""

    unlabelled = ("model", "api_base")

    def refuse_options(self) -> None:
        """Refuse options that would record a secret, and find out whether the provider takes seeds."""
        given: VisionOptions = self.options
        refuse_options("predictor", given, self.name)
        self.repeatable = given.seed and not missing() and "seed" in self.facts.params

    @property
    def frame_tokens(self) -> int:
        """Return what a frame counts as, for estimates of tokens."""
        options: VisionOptions = self.options
        return options.tokens_per_frame

    def notices(self) -> list[str]:
        """Add that the model may take no pictures."""
        notices = super().notices()
        if not missing() and self.facts.is_listed and not self.facts.sees:
            notices.append(f"LiteLLM's map does not say that {self.options.model} takes pictures")
        return notices

    def estimate(self, requests: int) -> float | None:
        """Return the cost of all draws by `tokens_per_frame`, without further tries; None without prices."""
        options: VisionOptions = self.options
        tokens_in, tokens_out = self.expected_tokens(options.max_tokens)
        return self.cost({"input": requests * tokens_in, "output": requests * tokens_out})

    def judge_all(self, items: Iterable[Any]) -> Iterator[popbench.Score | popbench.Failure]:
        """Judge up to `concurrency` clips or pairs at once, and yield answers as they come."""
        from popbench_litellm.calls import Calls, PatientCalls

        options: VisionOptions = self.options
        calls = PatientCalls(Calls(options, self.facts, key_of(options)), self.retry(), options.requests_per_minute)
        remedy = "check model= and structured="
        return judged(self, items, calls, named=options.model, limit=options.concurrency, remedy=remedy)


class Judge(VisionJudge, MarksJudge):
    """Any vision model of LiteLLM, for marks: model=PROVIDER/ID.

    Prices are those of LiteLLM's map.
    """

    name = "litellm-judge"

    Options = JudgeOptions


class PairwiseJudge(VisionJudge, PairsJudge):
    """Any vision model of LiteLLM, for pairs: model=PROVIDER/ID.

    Prices are those of LiteLLM's map.
    """

    name = "litellm-pairs"

    Options = PairwiseOptions
