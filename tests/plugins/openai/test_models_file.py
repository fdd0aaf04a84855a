"""What has to hold of models.toml, and that the pages show what it says."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from popbench.cli.doctor import KEYS
from popbench.registry import load_registry
from popbench_openai.routes import ModelsFile, ServedModel, models_file

ROOT = Path(__file__).parents[3]
README = ROOT / "plugins" / "popbench_openai" / "README.md"
FILE = models_file()


def test_it_was_checked_on_a_day_that_has_come() -> None:
    assert datetime.date(2026, 11, 30) <= FILE.checked <= datetime.date.today()


def test_every_provider_has_an_address_and_variables_of_its_own() -> None:
    providers = FILE.providers.values()
    for values in (
        [provider.key for provider in providers],
        [provider.base_url for provider in providers],
        [urlsplit(provider.url).hostname for provider in providers],
        [provider.name for provider in providers],
    ):
        assert len(set(values)) == len(values)
    for provider in providers:
        assert provider.url.startswith("https://")
        assert not provider.url.endswith("/")
        assert provider.keys_from.startswith("https://")
        assert provider.name.isidentifier()  # it is a part of fingerprints
        assert FILE.at(provider.url) == provider
    assert FILE.at("http://127.0.0.1:8000/v1") is None


def test_the_doctor_shows_whether_every_provider_s_key_is_set() -> None:
    assert {provider.key for provider in FILE.providers.values()} <= set(KEYS)


@pytest.mark.parametrize("model", FILE.models.values(), ids=lambda model: str(model.name))
def test_every_model_has_routes_that_are_left_and_options_that_its_class_takes(model: ServedModel) -> None:
    providers = [route.provider.id for route in model.routes]
    assert len(set(providers)) == len(providers)
    assert all(route.id for route in model.routes)
    in_the_year = [route for route in model.routes if route.ends is None or route.ends > FILE.checked]
    assert in_the_year, "everybody has retired it: take the preset out"
    made = load_registry().resolve("llm", model.name)
    assert made.spec.label == model.name
    if model.thinking is not None:
        assert all({"on", "off"} <= set(route.provider.thinking) for route in model.routes)


def test_both_presets_of_a_model_that_can_think_have_the_same_routes() -> None:
    thinking = [model for model in FILE.models.values() if model.thinking]
    assert thinking
    for model in thinking:
        other = FILE.models[model.name.removesuffix("-thinking")]
        assert (other.thinking, other.routes) == (False, model.routes)


def test_dates_are_dates_of_known_providers() -> None:
    assert set(FILE.ends) <= set(FILE.providers)
    assert all(isinstance(day, datetime.date) for names in FILE.ends.values() for day in names.values())
    assert FILE.ends["deepseek"] == {
        name: datetime.date(2026, 7, 24) for name in ("deepseek-chat", "deepseek-reasoner")
    }
    assert FILE.ends["openai"]["gpt-4o"] == datetime.date(2027, 1, 14)


# -- the tables of the README


def _presets(file: ModelsFile) -> Iterator[str]:
    yield "| preset | model | routes, in this order |"
    yield "|---|---|---|"
    for model in file.models.values():
        if model.thinking:
            continue
        names = f"`{model.name}`" + (f", `{model.name}-thinking`" if model.thinking is False else "")
        left = [
            f"{route.provider.id} (`{route.id}`"
            + (f", until {route.ends}" if route.ends else "")
            + (f": {route.serves}" if route.serves else "")
            + ")"
            for route in model.routes
            if route.ends is None or route.ends > file.checked
        ]
        gone = [
            f"~~{route.provider.id}~~ (`{route.id}`, retired {route.ends})"
            for route in model.routes
            if route.ends is not None and route.ends <= file.checked
        ]
        yield f"| {names} | {model.what} | {', '.join(left + gone)} |"


def _providers(file: ModelsFile) -> Iterator[str]:
    yield "| provider= | name | server | or that in | key | keys from |"
    yield "|---|---|---|---|---|---|"
    for provider in file.providers.values():
        yield (
            f"| `{provider.id}` | {provider.name} | {provider.url} | `{provider.base_url}` | `{provider.key}` | "
            f"<{provider.keys_from}> |"
        )


def test_the_readme_shows_the_presets_and_the_providers_as_they_are() -> None:
    text = README.read_text(encoding="utf-8")
    for lines in (_presets(FILE), _providers(FILE)):
        table = "\n".join(lines)
        assert table in text, f"put this into {README}:\n{table}"
    assert f"checked on {FILE.checked}" in text
