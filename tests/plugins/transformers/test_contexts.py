"""How long the context of a local model is: scaled rotary embeddings, nested configurations, and the option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers as _transformers

from popbench.local import context_of, quiet
from popbench.records import Message
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from tiny_llms import build

transformers: Any = _transformers  # much of it is untyped

SIZES = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 128}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
LONG = {"long_factor": [1.0] * 8, "short_factor": [1.0] * 8}


def config(kind: str, **values: Any) -> Any:
    with quiet("transformers"):
        return transformers.AutoConfig.for_model(kind, **{**SIZES, **values})


def scaled(kind: str, stated: int, scaling: dict[str, Any] | None, limit: int | None = None, **others: Any) -> Any:
    given = {} if scaling is None else {"rope_scaling": dict(scaling)}
    return context_of(config(kind, max_position_embeddings=stated, **given, **others), limit)


@pytest.mark.parametrize("name", ["rope_type", "type"])
@pytest.mark.parametrize(
    ("kind", "stated", "scaling", "expected"),
    [
        ("qwen2", 1024, {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 1024}, 8192),
        ("qwen2", 1024, {"rope_type": "yarn", "factor": 8}, 8192),
        # as Qwen3 states it: more than what was trained, less than what is reached
        ("qwen3", 40960, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        # as DeepSeek-V3 and gpt-oss do: the length after scaling
        ("qwen2", 163840, {"rope_type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}, 163840),
        ("llama", 2048, {"rope_type": "linear", "factor": 2.5}, 5120),
        ("llama", 2048, {"rope_type": "dynamic", "factor": 4.0}, 8192),
        # as Llama 3.1 and 3.2 do
        ("llama", 131072, {"rope_type": "llama3", "factor": 8.0, **LLAMA3}, 131072),
        ("llama", 131072, {"rope_type": "llama3", "factor": 32.0, **LLAMA3}, 131072),
        ("llama", 8192, {"rope_type": "llama3", "factor": 8.0, **LLAMA3}, 65536),
        ("llama", 4096, {"rope_type": "yarn", "factor": 0.5}, 4096),
        ("llama", 4096, None, 4096),
    ],
)  # fmt: skip
def test_the_context_is_that_after_scaling(
    kind: str, stated: int, scaling: dict[str, Any] | None, expected: int, name: str
) -> None:
    if scaling is not None:
        scaling = {name if key == "rope_type" else key: value for key, value in scaling.items()}
    assert scaled(kind, stated, scaling) == expected


def test_kinds_that_state_the_scaled_length_are_not_scaled_again() -> None:
    phi = {"rope_type": "longrope", **LONG}
    assert scaled("phi3", 131072, phi, original_max_position_embeddings=4096) == 131072
    assert scaled("phi3", 4096, phi, original_max_position_embeddings=4096) == 4096
    gemma = {"rope_type": "linear", "factor": 8.0}  # of one of its two types of layers
    assert scaled("gemma3_text", 131072, gemma) == 131072
    nested = config("gemma3", text_config={**SIZES, "max_position_embeddings": 131072, "rope_scaling": gemma})
    assert context_of(nested) == 131072


def test_the_tokenizer_decides_where_the_configuration_leaves_open_which_length_it_states() -> None:
    linear = {"rope_type": "linear", "factor": 4.0}
    assert scaled("llama", 4096, linear, 16384) == 16384
    assert scaled("llama", 16384, linear, 16384) == 16384  # scaled already
    assert scaled("llama", 4096, linear, 2048) == 4096
    assert scaled("llama", 4096, linear, int(1e30)) == 16384
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
    assert scaled("llama", 4096, yarn, 4096) == 16384  # it is not open there


def test_a_window_is_no_context_and_other_names_of_the_length_are_known() -> None:
    assert scaled("mistral", 32768, None, sliding_window=4096) == 32768
    assert context_of(transformers.AutoConfig.for_model("gpt2", n_positions=1024)) == 1024
    assert context_of(transformers.AutoConfig.for_model("mpt", max_seq_len=4096)) == 4096
    assert scaled("cohere", 8192, None, model_max_length=131072) == 131072
    assert context_of(transformers.AutoConfig.for_model("mamba")) is None


@pytest.mark.parametrize("bad", [None, "8", True, float("nan"), float("inf"), -2, 0, 1])
def test_a_factor_that_is_none_changes_nothing(bad: Any) -> None:
    made = config("llama", max_position_embeddings=512)
    made.rope_parameters = {"rope_type": "yarn", "factor": bad, "original_max_position_embeddings": 512}
    assert context_of(made) == 512


def test_prompts_fit_a_scaled_context_and_an_option_sets_another(tmp_path: Path) -> None:
    folder = build(tmp_path, family="qwen2", context=256)
    long = [Message(role="user", content="a kite in the wind " * 80)]

    def fits(**options: Any) -> bool:
        return TransformersLLM(TransformersOptions(model=str(folder), device="cpu", **options)).fits(long)

    assert not fits()
    assert fits(context=4096)
    file = folder / "config.json"
    values = json.loads(file.read_text())
    values.pop("rope_parameters", None)
    values["rope_scaling"] = {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 256}
    file.write_text(json.dumps(values))
    assert fits()
    assert not fits(context=128)
