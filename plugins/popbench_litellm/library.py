"""Imports LiteLLM so that it makes no request of its own, and reads what it knows of a model."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

OLDEST = (1, 110)
_INSTALL = 'pip install "popbench[litellm]" (in a clone: pip install -e ".[litellm]")'
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the map of prices that is part of the package, not one from the network
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_OFFLINE_MODE": "true",  # nor any other list
    "LITELLM_MODE": "PRODUCTION",  # otherwise it reads the .env file of the working directory
}
CHAT = frozenset({"chat", "completion", "responses"})
_SIGNED_IN = {"bedrock", "bedrock_converse", "ollama", "ollama_chat", "sagemaker", "sagemaker_chat", "vertex_ai"}
"""Providers that work without the variables that LiteLLM names: by the machine's account, or as a local server."""
_BROWSER = {"chatgpt", "github_copilot"}
_EITHER = {"gemini"}
"""Providers of whose keys one is enough."""


def missing() -> str:
    """Return that LiteLLM is not installed or too old, with how to get it; empty if all is well. Imports nothing."""
    try:
        found = version("litellm")
    except PackageNotFoundError:
        return f"LiteLLM is not installed: {_INSTALL}"
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    return f"LiteLLM {found} is too old: {_INSTALL}" if numbers < OLDEST else ""


@cache
def library() -> Any:
    """Import LiteLLM, which takes seconds, without telemetry, callbacks, messages and requests of its own."""
    os.environ.update(_ENVIRONMENT)
    hush()
    litellm: Any = import_module("litellm")  # a checker of types would take a minute for it
    for name in ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router"):  # they would write prompts to the terminal
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.num_retries = None
    for name in ("callbacks", "input_callback", "success_callback", "failure_callback"):
        setattr(litellm, name, [])
    _stop_callbacks()
    return litellm


def _stop_callbacks() -> None:
    """Make LiteLLM run no callbacks after calls: one queue of them, of one event loop, serves the whole process.

    With two models at work at once, each in a loop of its own, its worker fails.
    """
    try:
        worker = import_module("litellm.litellm_core_utils.logging_worker").GLOBAL_LOGGING_WORKER
    except (ImportError, AttributeError):  # it is not public
        return
    worker.ensure_initialized_and_enqueue = lambda async_coroutine: async_coroutine.close()


def hush() -> None:
    """Silence pydantic's remarks on LiteLLM's types, some of which are made in its first calls."""
    for message in (".*using the `ReadOnly` qualifier", "Pydantic serializer"):
        warnings.filterwarnings("ignore", message, UserWarning)


@dataclass(frozen=True, kw_only=True)
class Access:
    """What LiteLLM needs for a model: `problem` says why it cannot be asked at all.

    `missing` are the variables that are not set, all of which are needed, or one of them (`either`).
    """

    provider: str = ""
    problem: str = ""
    is_listed: bool = False
    missing: tuple[str, ...] = ()
    either: bool = False
    needs_missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Facts(Access):
    """What LiteLLM knows of a chat model: None and empty where it knows nothing.

    Prices are in USD per token. `context` counts tokens. `sees`: it takes pictures.
    """

    price_in: float | None = None
    price_out: float | None = None
    context: int | None = None
    params: frozenset[str] = frozenset()
    takes_schema: bool = False
    sees: bool = False


def facts(model: str, api_base: str | None) -> Facts:
    """Look a model up, which takes a millisecond or two after the import."""
    litellm = library()
    hush()
    name, provider, problem = provider_of(model, api_base, CHAT)
    if problem:
        return Facts(problem=problem)
    # A model that the map does not list is guessed from its name, with prices of 0.
    info = _info(model)
    listed = info.get("key") in litellm.model_cost
    mode = info.get("mode") or "chat"
    if listed and mode not in CHAT:
        kind = mode.replace("_", " ")
        return Facts(provider=provider, problem=f"{model} writes no text: it is of the kind {kind}{close(model)}")
    params = frozenset(litellm.get_supported_openai_params(model=name, custom_llm_provider=provider) or ())
    lacking = tuple(litellm.validate_environment(model=model).get("missing_keys") or ())
    return Facts(
        provider=provider,
        is_listed=listed,
        price_in=info.get("input_cost_per_token") if listed else None,
        price_out=info.get("output_cost_per_token") if listed else None,
        context=info.get("max_input_tokens") if listed else None,
        params=params,
        takes_schema="response_format" in params and bool(litellm.supports_response_schema(model=model)),
        sees=bool(listed and info.get("supports_vision")),
        missing=lacking,
        either=provider in _EITHER,
        needs_missing=bool(lacking) and provider not in _SIGNED_IN,
    )


def provider_of(model: str, api_base: str | None, kinds: frozenset[str]) -> tuple[str, str, str]:
    """Return a model's id with its provider, the provider, and why LiteLLM cannot ask it (empty if it can)."""
    if model.partition("/")[0] in _BROWSER:  # LiteLLM would sign in at once, and wait for a person
        return "", "", f"{model} needs a person who signs in with a browser: choose a provider with keys"
    try:
        name, provider, _, _ = library().get_llm_provider(model=model, api_base=api_base)
    except Exception:  # it raises its error of a bad request
        return "", "", _unknown(model, kinds)
    return name, provider, ""


def _info(model: str) -> dict[str, Any]:
    try:
        return dict(library().get_model_info(model=model))
    except Exception:  # ModelNotMappedError, and whatever else its providers raise
        return {}


def _unknown(model: str, kinds: frozenset[str]) -> str:
    provider, slash, rest = model.partition("/")
    known = [str(getattr(each, "value", each)) for each in library().provider_list]
    if slash:
        likely = get_close_matches(provider, known, n=1, cutoff=0.5)
        meant = f": did you mean {likely[0]}/{rest}?" if likely else ": write provider/model"
        return f"LiteLLM knows no provider {provider!r}{meant} (https://docs.litellm.ai/docs/providers)"
    return f"LiteLLM knows no model {model!r}{close(model, kinds) or ': write provider/model, such as openai/' + model}"


def close(model: str, kinds: frozenset[str] = CHAT) -> str:
    """Return the models of some kinds in LiteLLM's map with the names closest to a model's, as the end of a sentence.

    Those of the same provider come first.
    """
    provider, _, rest = model.partition("/")
    for names, name in ((_names(provider, kinds), rest), (_names("", kinds), model), (_names("", kinds), rest)):
        if likely := get_close_matches(name, names, n=3, cutoff=0.6):
            return f": did you mean {' or '.join(names[each] for each in likely)}?"
    return ""


@cache
def _names(provider: str, kinds: frozenset[str]) -> dict[str, str]:
    """Return what models of a provider are called, by their ids there; those of all providers for an empty one."""
    items: Iterable[tuple[str, Any]] = library().model_cost.items()
    listed = [(name, about.get("litellm_provider")) for name, about in items if about.get("mode") in kinds]
    if not provider:
        return {name: name for name, _ in sorted(listed)}
    start = f"{provider}/"
    ids = sorted(name.removeprefix(start) for name, of in listed if of == provider or name.startswith(start))
    return {name: f"{start}{name}" for name in ids}
