"""The options of judges whose model runs on this machine."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

import popbench
from popbench.judging import CriteriaOptions, PairsOptions, PicturesOptions
from popbench_transformers.options import TransformersOptions


class VisionOptions(PicturesOptions):
    """What a judge is shown, the source of the weights, and options of loading and sampling.

    `temperature`, `top_p` and `top_k` are those of the model's own generation config if they are not given.
    """

    model: str = pydantic.Field(min_length=1, description="a hub id, or the folder of a model that takes pictures")
    revision: str | None = pydantic.Field(None, min_length=1, description="branch, tag or commit of a hub model")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    quantization: Literal["none", "4bit", "8bit"] = "none"
    temperature: float | None = pydantic.Field(None, ge=0, description="0 for always the most likely token")
    top_p: float | None = pydantic.Field(None, gt=0, le=1, description="the share of probability that is drawn from")
    top_k: int | None = pydantic.Field(None, ge=0, description="how many tokens are drawn from; 0 for all")
    max_new_tokens: int = pydantic.Field(512, ge=1, description="tokens of an answer, at most")
    context: int | None = pydantic.Field(None, ge=1, description="tokens of prompt and answer together, at most")
    structured: bool = pydantic.Field(True, description="hold answers to the JSON schema, with marks from 0 to 10")
    chat_template: str | None = pydantic.Field(None, min_length=1, description="a Jinja file, for the model's own")
    chat_template_kwargs: dict[str, Any] = pydantic.Field({}, description='for instance {"enable_thinking": false}')
    trust_remote_code: bool = pydantic.Field(False, description="run Python code that comes with the model")
    device: str = popbench.runtime("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")

    @property
    def of_model(self) -> TransformersOptions:
        """Return the options of its model as those of a language model."""
        shared = TransformersOptions.model_fields.keys() & type(self).model_fields.keys()
        return TransformersOptions(**{name: getattr(self, name) for name in shared}, batch_size=1)


class JudgeOptions(CriteriaOptions, VisionOptions):
    """What a judge is shown and asked for marks."""


class PairwiseOptions(PairsOptions, VisionOptions):
    """What a judge of pairs is shown and asked."""
