"""The options of a transformers model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

import popbench


class TransformersOptions(popbench.Options):
    """The source of the weights, and options of loading and sampling.

    `context` is what the model's configuration says if it is not given. `temperature` (0: always the most likely
    token), `top_p`, `top_k` (0: off), `min_p` and `repetition_penalty` are those of the model's own generation config
    if they are not given. `batch_size` changes no draw. In half precision it changes the rounding, and so most long
    answers.
    """

    model: str = pydantic.Field(min_length=1, description="a hub id, the folder of a model, or a GGUF file")
    gguf_file: str | None = pydantic.Field(None, min_length=1, description="the GGUF file to take of model=")
    revision: str | None = pydantic.Field(None, min_length=1, description="branch, tag or commit of a hub model")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    quantization: Literal["none", "4bit", "8bit"] = "none"
    temperature: float | None = pydantic.Field(None, ge=0)
    top_p: float | None = pydantic.Field(None, gt=0, le=1)
    top_k: int | None = pydantic.Field(None, ge=0)
    min_p: float | None = pydantic.Field(None, ge=0, le=1)
    repetition_penalty: float | None = pydantic.Field(None, gt=0)
    max_new_tokens: int = pydantic.Field(2048, ge=1)
    context: int | None = pydantic.Field(None, ge=1, description="tokens of prompt and answer together, at most")
    structured: bool = pydantic.Field(False, description="hold answers to the JSON schema")
    chat_template: str | None = pydantic.Field(None, min_length=1, description="a Jinja file, for the model's own")
    chat_template_kwargs: dict[str, Any] = pydantic.Field({}, description='for instance {"enable_thinking": false}')
    trust_remote_code: bool = pydantic.Field(False, description="run Python code that comes with the model")
    batch_size: Literal["auto"] | Annotated[int, pydantic.Field(ge=1)] = pydantic.Field(
        "auto", description="rows decoded together"
    )
    device: str = popbench.runtime("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
