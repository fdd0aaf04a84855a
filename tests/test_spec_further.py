"""Options that only some models of a class have: `Options.further`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pydantic
import pytest
from pydantic.fields import FieldInfo

import popbench
from popbench.cli._options import options_of
from popbench.errors import UsageError
from typed_option_component import registry_of

SIZES = {"small": ("depth", 2), "large": ("width", 0.5)}


class Options(popbench.Options):
    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="allow")

    model: str
    count: int = 1

    @classmethod
    def further(cls, values: Mapping[str, Any]) -> Mapping[str, FieldInfo]:
        if values.get("model") not in SIZES:
            return {}
        name, default = SIZES[values["model"]]
        return {name: FieldInfo.from_annotated_attribute(type(default), default)}


class Sized(popbench.Embedder):
    """Has an option that depends on its model."""

    Options = Options

    def encode(self, texts: Any) -> Any:
        raise NotImplementedError


REGISTRY = registry_of(Sized, model="small")


def test_a_further_option_is_typed_like_any_other_wherever_it_stands_in_the_spec() -> None:
    for text in ("thing,model=large,width=2", "thing,width=2,model=large"):
        found = REGISTRY.resolve("embedder", text).component.options
        assert (found.width, type(found.width)) == (2.0, float)
    assert REGISTRY.resolve("embedder", "thing,model=small,depth=3").component.options.depth == 3


def test_which_further_options_there_are_follows_the_preset_and_what_overrides_it() -> None:
    assert REGISTRY.resolve("embedder", "preset,depth=3").component.options.depth == 3
    assert REGISTRY.resolve("embedder", "preset,model=large,width=2").component.options.width == 2
    with pytest.raises(UsageError, match="unknown option of embedder preset 'width'"):
        REGISTRY.resolve("embedder", "preset,width=2")


def test_an_unknown_option_is_told_with_the_further_ones() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'depth'\? \(possible: count, depth, label, model\)"):
        REGISTRY.resolve("embedder", "thing,model=small,depht=3")


def test_a_bad_value_of_a_further_option_is_told_in_one_line() -> None:
    with pytest.raises(UsageError) as caught:
        REGISTRY.resolve("embedder", "thing,model=small,depth=deep")
    assert str(caught.value) == "embedder thing: depth: input should be a valid integer, not 'deep'"


def test_further_options_are_in_label_and_fingerprint_and_survive_the_way_to_a_worker() -> None:
    found = REGISTRY.resolve("embedder", "preset,depth=3")
    assert found.spec.label == "preset[depth=3]"
    assert found.component.fingerprint()["options"] == {"model": "small", "count": 1, "depth": 3}
    assert found.spec.options["depth"] == 3
    assert Options.model_validate(found.spec.options) == found.component.options


def test_the_further_options_of_a_preset_are_listed() -> None:
    by_name = {item.name: item for item in REGISTRY}
    assert [option["name"] for option in options_of(by_name["preset"])] == ["model", "count", "depth"]
    assert [option["name"] for option in options_of(by_name["thing"])] == ["model", "count"]
