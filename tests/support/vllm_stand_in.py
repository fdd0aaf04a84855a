"""A stand-in for vLLM, which needs a GPU: the part of its API that popbench_vllm uses, as vLLM 0.33 has it.

Names, arguments and their order are vLLM's, and no others are taken. Requests are served as there: up to `max_num_seqs`
at a time, a token of each in every step, and an answer comes out when it is finished. Answers are drafts, made from the
prompt's tokens and the seed; words of `STEPS` in a prompt make something else of them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import transformers as _transformers

transformers: Any = _transformers  # much of it is untyped

STEPS = {"novel": "length", "poison": "error", "wreck": "death"}
"""What an answer comes to, by a word in its prompt."""


class VLLMError(Exception):
    pass


class VLLMClientError(VLLMError):
    pass


class VLLMValidationError(VLLMClientError):
    def __init__(self, message: str, *, parameter: str | None = None, value: Any = None) -> None:
        super().__init__(message)


class EngineDeadError(VLLMError):
    def __init__(self) -> None:
        super().__init__("EngineCore encountered an issue. See stack trace (above) for the root cause.")


class RequestOutputKind(Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class StructuredOutputsConfig:
    backend: str = "auto"
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    reasoning_parser: str = ""
    reasoning_parser_plugin: str = ""
    enable_in_reasoning: bool = False

    def __post_init__(self) -> None:
        if self.disable_any_whitespace and self.backend not in ("xgrammar", "guidance"):
            raise ValueError("disable_any_whitespace is only supported for xgrammar and guidance backends.")


@dataclass
class StructuredOutputsParams:
    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None


@dataclass(kw_only=True)
class SamplingParams:
    n: int = 1
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    max_tokens: int | None = 16
    detokenize: bool = True
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    structured_outputs: StructuredOutputsParams | None = None

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise VLLMValidationError(f"max_tokens must be at least 1, got {self.max_tokens}.")


@dataclass
class EngineArgs:
    model: str
    tokenizer: str | None = None
    trust_remote_code: bool = False
    dtype: str = "auto"
    seed: int = 0
    max_model_len: int | None = None
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.92
    max_num_seqs: int | None = None
    disable_log_stats: bool = False
    revision: str | None = None
    tokenizer_revision: str | None = None
    quantization: str | None = None
    enforce_eager: bool = False
    structured_outputs_config: StructuredOutputsConfig = field(default_factory=StructuredOutputsConfig)
    reasoning_parser: str = ""
    generation_config: str = "auto"
    use_tqdm_on_load: bool = True


def tokens_input(
    prompt_token_ids: list[int], *, prompt: str | None = None, cache_salt: str | None = None
) -> dict[str, Any]:
    return {"type": "token", "prompt_token_ids": prompt_token_ids}


class ModelConfig:
    def __init__(self, args: EngineArgs) -> None:
        derived = json.loads(Path(args.model, "config.json").read_text())["max_position_embeddings"]
        if args.max_model_len is not None and args.max_model_len > derived:
            raise ValueError(f"User-specified max_model_len ({args.max_model_len}) is greater than the derived one")
        self.max_model_len: int = args.max_model_len or derived
        self._generation = Path(args.model, "generation_config.json")

    def get_diff_sampling_param(self) -> dict[str, Any]:
        found = json.loads(self._generation.read_text()) if self._generation.is_file() else {}
        names = {"repetition_penalty", "temperature", "top_k", "top_p", "min_p", "max_new_tokens"}
        return {"max_tokens" if name == "max_new_tokens" else name: found[name] for name in names & found.keys()}


@dataclass
class _Request:
    name: str
    prompt: list[int]
    params: SamplingParams
    left: list[int]
    end: str
    tokens: list[int] = field(default_factory=list)


class LLMEngine:
    made: ClassVar[list[LLMEngine]] = []
    """The engines, the last one last."""
    fails: str | None = None
    """What loading raises."""

    def __init__(self, args: EngineArgs) -> None:
        if self.fails is not None:
            raise RuntimeError(self.fails)
        if args.quantization not in (None, "fp8", "bitsandbytes"):
            raise ValueError(f"Unknown quantization method: {args.quantization}.")
        self.args, self.model_config = args, ModelConfig(args)
        self.asked: dict[str, _Request] = {}
        self.at_work: dict[str, _Request] = {}
        self.most = self.ended = self.aborted = 0
        self.engine_core = SimpleNamespace(shutdown=self._shutdown)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(args.tokenizer or args.model)
        LLMEngine.made.append(self)

    @classmethod
    def from_engine_args(
        cls, engine_args: EngineArgs, usage_context: Any = None, stat_loggers: Any = None,
        enable_multiprocessing: bool = False,
    ) -> LLMEngine:  # fmt: skip
        return cls(engine_args)

    def _shutdown(self, timeout: float | None = None) -> None:
        self.ended += 1

    def add_request(
        self, request_id: str, prompt: Any, params: SamplingParams, arrival_time: float | None = None,
        lora_request: Any = None, tokenization_kwargs: Any = None, trace_headers: Any = None, priority: int = 0,
    ) -> str:  # fmt: skip
        assert prompt["type"] == "token"
        assert isinstance(params, SamplingParams)
        assert not self.ended
        ids = prompt["prompt_token_ids"]
        if len(ids) >= self.model_config.max_model_len:
            raise VLLMValidationError("The decoder prompt is longer than the maximum model length")
        if params.structured_outputs is not None and "unsupported" in json.dumps(params.structured_outputs.json):
            raise VLLMValidationError("Grammar error: unimplemented keys")
        text = self._tokenizer.decode(ids)
        end = next((end for word, end in STEPS.items() if word in text), "stop")
        request = _Request(request_id, ids, params, self._tokenizer.encode(self._answer(ids, params, text)), end)
        self.asked[request_id] = self.at_work[request_id] = request
        return f"{request_id}-a1b2c3d4"

    def _answer(self, ids: list[int], params: SamplingParams, text: str) -> str:
        drawn = params.seed if params.temperature > 0 else None
        number = int(hashlib.blake2b(json.dumps([ids, drawn]).encode(), digest_size=4).hexdigest(), 16)
        draft = {"title": f"Number {number}", "video_prompt": f"A calm sea at dusk, number {number}."}
        said = json.dumps(draft)
        if params.structured_outputs is not None:
            return said
        thought = "So be it.</think>\n" if text.rstrip().endswith("<think>") else ""
        return f"{thought}Here it is: {said}" + " and on" * 3000 * ("novel" in text)

    def has_unfinished_requests(self) -> bool:
        return bool(self.at_work)

    def abort_request(self, request_ids: list[str], internal: bool = False) -> None:
        self.aborted += len([self.at_work.pop(name, None) for name in request_ids])

    def step(self) -> list[Any]:
        assert self.at_work, "it would wait for ever"
        running = list(self.at_work.values())[: self.args.max_num_seqs]
        self.most = max(self.most, len(running))
        outputs = []
        for request in running:
            if request.end == "death":
                raise EngineDeadError
            end = None
            if request.left:
                request.tokens.append(request.left.pop(0))
            else:
                request.tokens.append(self._tokenizer.eos_token_id)
                end = "stop"
            room = self.model_config.max_model_len - len(request.prompt)
            if end is None and len(request.tokens) >= min(request.params.max_tokens or room, room):
                end = "length"
            if request.end == "error":
                end = "error"
            if end is not None:
                del self.at_work[request.name]
                text = SimpleNamespace(index=0, text="", token_ids=request.tokens, finish_reason=end, stop_reason=None)
                outputs.append(
                    SimpleNamespace(
                        request_id=request.name, prompt_token_ids=request.prompt, outputs=[text], finished=True
                    )
                )
        return outputs


def install(patch: pytest.MonkeyPatch, version: str | None = "0.33.0") -> None:
    """Put the stand-in in vLLM's place, as this version, on a machine with two GPUs; None is without vLLM."""
    LLMEngine.made.clear()
    find = importlib.metadata.version

    def found(name: str) -> str:
        if name != "vllm":
            return find(name)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    patch.setattr("popbench_vllm.checks.version", found)
    patch.setattr("popbench_vllm.checks.gpu_count", lambda device: 2)
    patch.setattr("popbench_vllm.checks.gpu_memory", lambda device: 2 * 80 * 2.0**30)
    parts = {
        "vllm": (EngineArgs, LLMEngine, SamplingParams),
        "vllm.config": (StructuredOutputsConfig,),
        "vllm.exceptions": (VLLMError, VLLMClientError, VLLMValidationError),
        "vllm.inputs": (tokens_input,),
        "vllm.sampling_params": (RequestOutputKind, SamplingParams, StructuredOutputsParams),
    }
    modules = {name: ModuleType(name) for name in parts}
    for name, module in modules.items():
        for each in parts[name]:
            setattr(module, each.__name__, each)
        if name != "vllm":
            setattr(modules["vllm"], name.rpartition(".")[2], module)
        patch.setitem(sys.modules, name, module)
