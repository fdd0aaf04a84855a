"""vLLM's engine in this process: chats go in while others are at work, and each answer comes out when it is finished.

It follows the API of vLLM 0.28 to 0.33: `LLMEngine`, `EngineArgs`, `SamplingParams`, `StructuredOutputsParams`. The
engine computes in processes of its own, which end with `close`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import popbench
from popbench.errors import one_line
from popbench_vllm.reader import Reader, source_of

if TYPE_CHECKING:
    from popbench.local import Encoded, Weights
    from popbench_vllm.options import EngineOptions

_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",  # it would send statistics of use to its makers
    "VLLM_LOGGING_LEVEL": "ERROR",  # else its progress is written into that of popbench
    "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",  # this process has threads, and may have used the GPU
}
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
_LOG = "its own messages above say more"


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer. `seconds` are its share of the time of all steps; `end` is vLLM's `finish_reason`."""

    chat: popbench.Chat
    prompt: Encoded
    tokens: list[int]
    end: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class _Running:
    chat: popbench.Chat
    prompt: Encoded
    since: float


class Engine:
    """A model in vLLM's engine, with the reader of its chats."""

    def __init__(self, options: EngineOptions, weights: Weights, reader: Reader) -> None:
        """Load the model, which takes minutes; raises ComponentError if vLLM cannot."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import vllm.config
        import vllm.exceptions
        import vllm.inputs
        import vllm.sampling_params

        self._vllm: Any = vllm
        self._options = options
        self.reader = reader
        source, revision = source_of(options, weights)
        try:
            arguments = self._vllm.EngineArgs(
                model=source,
                revision=revision,
                tokenizer_revision=revision,
                dtype=options.dtype,
                quantization=options.quantization,
                max_model_len=options.max_model_len,
                trust_remote_code=options.trust_remote_code,
                tensor_parallel_size=options.tensor_parallel_size,
                gpu_memory_utilization=options.gpu_memory_utilization,
                enforce_eager=options.enforce_eager,
                max_num_seqs=options.concurrency,
                reasoning_parser=options.reasoning_parser or "",
                structured_outputs_config=self._vllm.config.StructuredOutputsConfig(
                    backend="guidance", disable_any_whitespace=True
                ),
                generation_config="auto",
                disable_log_stats=True,
                use_tqdm_on_load=False,
            )
            self._engine = self._vllm.LLMEngine.from_engine_args(arguments)
        except Exception as error:  # of many kinds, most of them of a process that has ended
            raise popbench.ComponentError(
                f"model {options.model}: vLLM cannot load it ({one_line(error, 300)}); {_LOG}. It takes less memory "
                "with a lower max_model_len= or concurrency=, and more GPUs with tensor_parallel_size="
            ) from None
        config = self._engine.model_config
        self.context = int(config.max_model_len)
        self._defaults = _given({name: config.get_diff_sampling_param().get(name) for name in _SAMPLING})
        self._running: dict[str, _Running] = {}
        self._asked = 0
        self._clock = 0.0
        """Seconds of computation that a chat has had if it was in the engine from the start."""

    @property
    def busy(self) -> bool:
        """Return whether chats are at work."""
        return bool(self._running)

    @property
    def full(self) -> bool:
        """Return whether no further chat may be added now."""
        return len(self._running) >= self._options.concurrency

    def add(self, chat: popbench.Chat, prompt: Encoded, budget: int) -> str | None:
        """Add a chat; returns why vLLM refuses it, if it does. Raises ComponentError if the engine has stopped."""
        sampling = {**self._defaults, **_given({name: getattr(self._options, name) for name in _SAMPLING})}
        vllm = self._vllm
        name = str(self._asked)
        self._asked += 1
        try:
            if self._holds(chat, prompt):
                sampling["structured_outputs"] = vllm.sampling_params.StructuredOutputsParams(json=dict(chat.schema))
            params = vllm.SamplingParams(
                seed=chat.seed,
                max_tokens=budget,
                detokenize=False,  # the reader does that, with the tags of thoughts
                output_kind=vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
                **sampling,
            )
            self._engine.add_request(name, vllm.inputs.tokens_input(prompt.tokens), params)
        except (ValueError, vllm.exceptions.VLLMClientError) as error:
            return f"vLLM refuses the request: {one_line(str(error), 300)}"
        except Exception as error:  # whatever ends the engine
            raise self._ended(error) from None
        self._running[name] = _Running(chat, prompt, self._clock)
        return None

    def _holds(self, chat: popbench.Chat, prompt: Encoded) -> bool:
        """Return whether the answer is held to the schema, which would forbid reasoning or thoughts before the JSON."""
        free = chat.reasons or (prompt.thinking and self._options.reasoning_parser is None)
        return self._options.structured and bool(chat.schema) and not free

    def step(self) -> Iterator[Answer]:
        """Compute one token of every chat; yields the finished ones. Raises ComponentError if vLLM has stopped."""
        began = time.perf_counter()
        try:
            outputs = self._engine.step()
        except Exception as error:  # whatever ends the engine
            raise self._ended(error) from None
        if self._running:
            self._clock += (time.perf_counter() - began) / len(self._running)
        for output in outputs:
            if output.finished and (done := self._running.pop(output.request_id, None)) is not None:
                text = output.outputs[0]
                seconds = self._clock - done.since
                yield Answer(done.chat, done.prompt, list(text.token_ids), text.finish_reason, seconds)

    def drop(self) -> None:
        """Abort the chats that are in the engine."""
        if self._running:
            self._engine.abort_request(list(self._running))
            self._running.clear()

    def close(self) -> None:
        """End the engine's processes."""
        self._running.clear()
        self._engine.engine_core.shutdown()

    def _ended(self, error: Exception) -> popbench.ComponentError:
        self._running.clear()
        why = one_line(error, 300)
        return popbench.ComponentError(f"model {self._options.model}: vLLM has stopped ({why}); {_LOG}")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
