"""Models that several providers serve, one class for each preset of models.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar

import pydantic

import popbench
from popbench import JSON
from popbench_openai.llm import ChatModel
from popbench_openai.options import ChatOptions
from popbench_openai.routes import Provider, Route, ServedModel, listed, models_file


class PresetOptions(ChatOptions):
    """The options of a preset: its provider may be chosen, or a server of one's own."""

    served: ClassVar[ServedModel]

    model: str = pydantic.Field("", description="the model's id there, if it is not the one that the provider uses")

    @pydantic.field_validator("provider")
    @classmethod
    def _by_its_id(cls, given: str | None) -> str | None:
        """Take a provider's name for its id: `OpenRouter` for `openrouter`."""
        ids = {name.lower(): one.id for one in models_file().providers.values() for name in (one.id, one.name)}
        return given and ids.get(given.lower(), given)

    def chosen(self) -> Mapping[str, JSON]:
        """Choose the first provider whose key is set, unless there is a `provider` or a `base_url`."""
        if self.provider is not None or self.base_url is not None:
            return {}
        if self.api_key_env is None:
            return {"provider": self.served.by_key().provider.id}
        if self.served.weights:  # a key goes to no provider that nobody named
            providers = listed([route.provider.id for route in self.served.left])
            raise popbench.UsageError(f"llm {self.served.name}: say whose key api_key_env= is: provider={providers}")
        return {"provider": self.served.routes[0].provider.id}


class Preset(ChatModel):
    """A model that several providers serve."""

    served: ClassVar[ServedModel]

    @classmethod
    def describe(cls, preset: Mapping[str, JSON]) -> str:  # noqa: ARG003 - each has a class of its own
        """Return what the model is, and that it needs a key."""
        what, served = cls.served.what.partition(",")[0], bool(cls.served.left)
        return f"{what}{_switched(cls.served)}; {'needs a key' if served else 'nobody serves it any more'}"

    def __init__(self, options: PresetOptions | None = None) -> None:
        """Refuse a provider that does not serve it, a key that may be anyone's, and a switch that is not known."""
        super().__init__(options)
        given: PresetOptions = self.options
        providers = [route.provider.id for route in self.served.routes]
        if given.base_url is not None:
            if self.served.thinking is not None and not given.extra_body:
                raise popbench.UsageError(
                    f"{self.called}: say how that server switches thinking {'on' if self.served.thinking else 'off'}, "
                    'as in extra_body={"chat_template_kwargs":{"thinking":'
                    f"{str(self.served.thinking).lower()}}}}}"
                )
        elif given.provider is not None and given.provider not in providers:
            left = [route.provider.id for route in self.served.left] or providers
            raise popbench.UsageError(
                f"{self.called}: {given.provider!r} does not serve it: choose provider={listed(left)}, or give "
                "the server's base_url=URL"
            )
        self.note = self._note()

    @property
    def called(self) -> str:
        """Return the preset's name, for messages."""
        return f"llm {self.served.name}"

    @property
    def route(self) -> Route | None:
        """Return the provider that is asked, with the model's id there; None for a server of one's own."""
        given: PresetOptions = self.options
        if given.base_url is not None:
            return None
        return self.served.by_key() if given.provider is None else self.served.at(given.provider)

    @property
    def known(self) -> Route | None:
        """Return the provider that is asked, whatever its address, with the model's id."""
        return super().known if self.route is None else models_file().route(self.route.provider, self.asked.model)

    @property
    def home(self) -> Provider:
        """Return the provider that is asked, or, at a server of one's own, the first one."""
        return (self.route or self.served.routes[0]).provider

    @property
    def asked(self) -> ChatOptions:
        """Return the options of requests: the model's id where it is asked, and how thinking is switched there."""
        given: PresetOptions = self.options
        route, served = self.route, self.served
        if route is None:
            return given.model_copy(update={"model": given.model or served.weights or served.routes[0].id})
        extra = {**served.extra(route.provider), **given.extra_body}
        return given.model_copy(update={"model": given.model or route.id, "extra_body": extra})

    @property
    def server(self) -> str:
        """Return the address; at a server of one's own, its `provider` name if there is one."""
        return super().server if self.route is None else self.shown_url

    @property
    def elsewhere(self) -> str:
        """Return the other providers that serve the model, with their keys."""
        others = [route for route in self.served.left if self.route and route.provider != self.route.provider]
        return f"others that serve it: provider={_with_keys(others)}" if others else ""

    def fingerprint(self) -> Mapping[str, JSON]:
        """Name the provider where the class is named: a model's results depend on who serves it."""
        own = self.route is None and self.served.weights
        return {**super().fingerprint(), "name": f"popbench_openai.{'ChatModel' if own else self.home.name}"}

    def label(self) -> str | None:
        """Leave it to the preset's name."""
        return None

    def lacks_key(self) -> str:
        """Name the keys that would do, and the ways without a key; say so if a key is for a name that is retired."""
        lack = self.unset_key()
        if not lack or self.route is None or self.options.api_key_env is not None:
            return lack
        retired = next((route for route in self.served.routes if route.retired and route.provider.has_key), None)
        gone = f"{self._gone(retired)}; for {self.served.name}, " if retired else ""
        return f"{gone}{lack}{self._ways(self.route.provider)}"

    def retired(self) -> str:
        """Return that the provider has retired the model, with the routes that are left; empty if it has not."""
        route = self.route
        if route is None or not route.retired or self.options.model:
            return super().retired()
        left = _with_keys(self.served.left)
        ways = [f"choose provider={left}"] if left else []
        return "; ".join([self._gone(route), *ways, *self._local()])

    def _gone(self, route: Route) -> str:
        name, now = route.provider.name, models_file().served_by(route.provider)
        instead = f" and serves {', '.join(now)} now" if now else ""
        return f"{name} retired {route.id} on {route.ends}{instead}"

    def _ways(self, provider: Provider) -> str:
        others = [route.provider.key for route in self.served.left if route.provider != provider]
        keys = f", or another provider's key: {listed(others)}" if others else ""
        return "; or ".join([keys, *self._local()]) if keys else ", or ".join(["", *self._local()])

    def _local(self) -> list[str]:
        """Return the ways to run open weights without a provider."""
        if not self.served.weights:
            return []
        return [
            f"run the weights here with --llm transformers,model={self.served.weights}, or at a server of your own "
            f"with {self.served.name},base_url=URL"
        ]

    def _note(self) -> str:
        """Return who serves it, under which id, for boards."""
        route, model = self.route, self.asked.model
        if route is None:
            return f"served as {model} by {self.options.provider or 'a server of its own'}"
        told = f"served by {route.provider.name} as {model}"
        return f"{told}, which is {route.serves} there" if route.serves and model == route.id else told


def _with_keys(routes: Sequence[Route]) -> str:
    """Return providers with the keys that they take, for messages."""
    return listed([f"{route.provider.id} ({route.provider.key})" for route in routes])


def _switched(model: ServedModel) -> str:
    return {None: "", True: ", thinking", False: ", not thinking"}[model.thinking]


@cache
def _of(name: str) -> type[Preset]:
    """Make the class of a preset. Its docstring and its options say who serves the model."""
    model = models_file().models[name]
    names = listed([route.provider.name for route in model.left] or ["nobody any more"])
    ids = ", ".join(f"{route.provider.id} ({route.id})" for route in model.left)
    options = pydantic.create_model(
        "PresetOptions",
        __base__=PresetOptions,
        provider=(
            str | None,
            pydantic.Field(
                None,
                description=f"who is asked, by default the first whose key is set: {ids}; a retired "
                "route can be named too",
            ),
        ),
    )
    options.served = model
    doc = f"{model.what}{_switched(model)}, served by {names}."
    return type(name, (Preset,), {"__doc__": doc, "served": model, "Options": options, "__module__": __name__})


def __getattr__(name: str) -> type[Preset]:
    """Return the class of a preset: they are made from models.toml when they are used."""
    if name not in models_file().models:
        raise AttributeError(name)
    return _of(name)
