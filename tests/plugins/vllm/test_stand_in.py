"""The stand-in for vLLM has no name and no argument that vLLM lacks. vLLM's sources are read, and not imported."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import vllm_stand_in

_FOUND = find_spec("vllm")
pytestmark = pytest.mark.skipif(_FOUND is None, reason="vLLM is not installed, since it needs a GPU: popbench[vllm]")

CLASSES = {
    "EngineArgs": "engine/arg_utils.py",
    "SamplingParams": "sampling_params.py",
    "StructuredOutputsParams": "sampling_params.py",
    "StructuredOutputsConfig": "config/structured_outputs.py",
}


def definition(tree: ast.AST, name: str) -> Any:
    return next(node for node in ast.walk(tree) if getattr(node, "name", None) == name)


def source(file: str) -> ast.AST:
    assert _FOUND is not None
    assert _FOUND.origin is not None
    return ast.parse(Path(_FOUND.origin).parent.joinpath(file).read_text(encoding="utf-8"))


def own() -> ast.AST:
    return ast.parse(Path(vllm_stand_in.__file__).read_text(encoding="utf-8"))


def fields(node: Any) -> list[str]:
    return [ast.unparse(item.target) for item in node.body if isinstance(item, ast.AnnAssign)]


def arguments(function: Any) -> list[str]:
    return [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]


@pytest.mark.parametrize(("name", "file"), CLASSES.items())
def test_fields_are_those_of_vllm(name: str, file: str) -> None:
    assert set(fields(definition(own(), name))) <= set(fields(definition(source(file), name)))


@pytest.mark.parametrize(
    "method", ["from_engine_args", "add_request", "has_unfinished_requests", "abort_request", "step"]
)
def test_methods_of_the_engine_take_what_vllms_take(method: str) -> None:
    ours = arguments(definition(definition(own(), "LLMEngine"), method))
    assert (
        arguments(definition(definition(source("v1/engine/llm_engine.py"), "LLMEngine"), method))[: len(ours)] == ours
    )


def test_what_else_is_used_is_there() -> None:
    assert arguments(definition(source("inputs/engine.py"), "tokens_input")) == [
        "prompt_token_ids",
        "prompt",
        "cache_salt",
    ]
    assert definition(source("config/model.py"), "get_diff_sampling_param")
    for name in ("VLLMError", "VLLMClientError", "VLLMValidationError"):
        theirs, ours = definition(source("exceptions.py"), name), definition(own(), name)
        assert [ast.unparse(base) for base in theirs.bases] == [ast.unparse(base) for base in ours.bases]
