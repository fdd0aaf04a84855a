"""The options of a model in vLLM's engine."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

import popbench


class EngineOptions(popbench.Options):
    """The source of the weights, and options of loading and sampling, under vLLM's names.

    `max_model_len` is what the model's configuration says if it is not given. `temperature` (0: always the most likely
    token), `top_p`, `top_k` (0: off), `min_p` and `repetition_penalty` are those of the model's own generation config
    if they are not given.
    """

    model: str = pydantic.Field(min_length=1, description="a hub id, or the folder of a model")
    revision: str | None = pydantic.Field(None, min_length=1, description="branch, tag or commit of a hub model")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = pydantic.Field(
        "auto", description="precision; auto: that of the stored weights"
    )
    quantization: str | None = pydantic.Field(
        None, min_length=1, description="vLLM's name of a method (fp8, bitsandbytes); stored quantization needs none"
    )
    max_model_len: int | None = pydantic.Field(None, ge=1, description="tokens of prompt and answer together, at most")
    temperature: float | None = pydantic.Field(
        None, ge=0, le=2, description="the model's own if not given; 0: always the most likely token"
    )
    top_p: float | None = pydantic.Field(None, gt=0, le=1, description="the share of probability that is drawn from")
    top_k: int | None = pydantic.Field(None, ge=0, description="the number of tokens that are drawn from; 0: all")
    min_p: float | None = pydantic.Field(
        None, ge=0, le=1, description="the least probability of a token, as a share of that of the most likely one"
    )
    repetition_penalty: float | None = pydantic.Field(None, gt=0, description="above 1: tokens repeat less")
    max_tokens: int = pydantic.Field(2048, ge=1, description="new tokens of an answer, at most")
    structured: bool = pydantic.Field(False, description="hold answers to the JSON schema")
    reasoning_parser: str | None = pydantic.Field(
        None, min_length=1, description="vLLM's name of the form of thoughts (qwen3): structured=true begins after them"
    )
    chat_template: str | None = pydantic.Field(None, min_length=1, description="a Jinja file, for the model's own")
    chat_template_kwargs: dict[str, Any] = pydantic.Field({}, description='for instance {"enable_thinking": false}')
    trust_remote_code: bool = pydantic.Field(False, description="run Python code that comes with the model")
    tensor_parallel_size: int = popbench.runtime(1, ge=1, description="GPUs that the model is spread over")
    gpu_memory_utilization: float = popbench.runtime(
        0.9, gt=0, le=1, description="the share of a GPU's memory that vLLM takes"
    )
    enforce_eager: bool = popbench.runtime(False, description="no CUDA graphs: slower, and loaded sooner")
    concurrency: int = popbench.runtime(256, ge=1, le=10_000, description="chats in the engine at once")
