"""Which providers serve a preset's model, under which id and key, and until when: what models.toml says."""

from __future__ import annotations

import datetime
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from popbench import JSON

FILE = Path(__file__).with_name("models.toml")


def today() -> datetime.date:
    """Return the date on which a name counts as retired or not."""
    return datetime.date.today()


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider: its URL, the environment variables of its key and of another URL, and where keys come from.

    `thinking` has the fields of a request that switch a model's thinking on and off, if there are such. `batch` is what
    a request in a batch costs, as a share of its price; None for a provider without OpenAI's protocol for batches.
    """

    id: str
    name: str
    url: str
    key: str
    base_url: str
    keys_from: str
    thinking: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    batch: float | None = None

    @property
    def has_key(self) -> bool:
        """Whether its key is set."""
        return bool(os.environ.get(self.key, "").strip())


@dataclass(frozen=True, slots=True)
class Route:
    """A provider of a model, and the model's id there until the date `ends`; what it `serves`, if that is another."""

    provider: Provider
    id: str
    ends: datetime.date | None = None
    serves: str = ""

    @property
    def retired(self) -> bool:
        """Whether the provider has retired the id."""
        return self.ends is not None and today() >= self.ends


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with its routes, in the order in which their keys are looked for.

    `weights` is the id of open weights, empty for closed ones; `thinking` says whether requests switch thinking on or
    off, None if they say nothing of it.
    """

    name: str
    what: str
    weights: str
    thinking: bool | None
    options: Mapping[str, JSON]
    routes: Sequence[Route]

    @property
    def left(self) -> list[Route]:
        """The routes that are not retired."""
        return [route for route in self.routes if not route.retired]

    def by_key(self) -> Route:
        """Return the first route whose key is set, or else the first of all; retired ones only if no other is left."""
        routes = self.left or list(self.routes)
        return next((route for route in routes if route.provider.has_key), routes[0])

    def at(self, provider: str) -> Route | None:
        """Return the route at a provider; None if it has none."""
        return next((route for route in self.routes if route.provider.id == provider), None)

    def extra(self, provider: Provider) -> Mapping[str, JSON]:
        """Return the further fields of a request to a provider."""
        return {} if self.thinking is None else provider.thinking["on" if self.thinking else "off"]


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """The content of models.toml: `ends` are dates by the provider's id and the model's."""

    checked: datetime.date
    providers: Mapping[str, Provider]
    models: Mapping[str, ServedModel]
    ends: Mapping[str, Mapping[str, datetime.date]]

    def at(self, url: str) -> Provider | None:
        """Return the provider at an address; None for any other server."""
        try:
            host = urlsplit(url).hostname
        except ValueError:  # no URL at all
            return None
        return next((one for one in self.providers.values() if urlsplit(one.url).hostname == host), None)

    def route(self, provider: Provider, id_: str) -> Route:
        """Return a model of a provider by its id there, with the date on which it ends if there is one."""
        return Route(provider, id_, self.ends.get(provider.id, {}).get(id_))

    def presets(self, route: Route) -> list[str]:
        """Return the presets with a route to the same id of the same provider."""
        same = (route.provider, route.id)
        return [name for name, model in self.models.items() if same in [(one.provider, one.id) for one in model.routes]]

    def served_by(self, provider: Provider) -> list[str]:
        """Return the presets that a provider serves today, each model by its shortest name."""
        return [
            name
            for name, model in self.models.items()
            if not model.thinking and any(route.provider == provider for route in model.left)
        ]


@cache
def models_file() -> ModelsFile:
    """Read models.toml, once per process."""
    content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    providers = {name: Provider(id=name, **values) for name, values in content["providers"].items()}
    ends = content["ends"]
    models = {}
    for name, entry in content["models"].items():
        routes = [_route(route, providers, ends) for route in entry["routes"]]
        for suffix, thinking in (("", False), ("-thinking", True)) if entry.get("thinking") else (("", None),):
            models[name + suffix] = ServedModel(
                name + suffix, entry["what"], entry.get("weights", ""), thinking, entry["options"], routes
            )
    return ModelsFile(content["checked"], providers, models, ends)


def _route(entry: Mapping[str, Any], providers: Mapping[str, Provider], ends: Mapping[str, Any]) -> Route:
    provider = providers[entry["provider"]]
    return Route(provider, entry["id"], ends.get(provider.id, {}).get(entry["id"]), entry.get("serves", ""))


def listed(words: Sequence[str]) -> str:
    """Join words as in a sentence: `a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
