"""The options of a spec: typed values, mistakes told in one line, and the label that says what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest

import popbench
from popbench.specs import check_label, differing, make_label, parse_spec, read_options
from typed_option_component import Options, Thing, registry_of, resolve, value
from usage_errors import refusal

# -- types


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x,count=7", 7),
        ("x,ratio=1e-3", 0.001),
        ("x,ratio=2", 2.0),
        ("x,flag=true", True),
        ("x,flag=no", False),
        ("x,flag=1", True),
        ("x,text=12", "12"),
        ("x,text=true", "true"),
        ("x,text=null", "null"),
        ("x,text=[1]", "[1]"),
        ("x,text={a}", "{a}"),
        ("x,maybe=3", 3),
        ("x,maybe=null", None),
        ("x,word=null", None),
        ("x,word=3", "3"),
        ("x,sizes=[1, 2]", [1, 2]),
        ("x,sizes=[]", []),
        ('x,table={"a": 1}', {"a": 1.0}),
        ("x,folder=/a/b", Path("/a/b")),
        ("x,folder=null", None),
        ("x,pace=fast", "fast"),
        ("x,scale=auto", "auto"),
        ("x,scale=1.5", 1.5),
        ("x,step=16", 16),
    ],
)
def test_values_take_the_type_of_their_option(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_a_quoted_null_is_a_word() -> None:
    assert value('x,word="null"') == "null"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x,count=many", "'many'"),
        ("x,count=1.5", "'1.5'"),
        ("x,count=-1", "greater than or equal to 0"),
        ("x,count=", "''"),
        ("x,ratio=nan", "finite"),
        ("x,ratio=inf", "finite"),
        ("x,flag=maybe", "'maybe'"),
        ("x,sizes=3", "'3'"),
        ('x,sizes=["a"]', "valid integer, not 'a'"),
        ("x,pace=medium", "'slow' or 'fast'"),
        ("x,concurrency=0", "greater than or equal to 1"),
        ("x,count=a\nb", r"a\nb"),
    ],
)
def test_a_bad_value_is_told_in_one_line_with_its_option(text: str, told: str) -> None:
    _, raw = parse_spec(text)
    message = refusal(lambda: read_options(Options, raw, {}, "embedder thing"))
    assert message.startswith(f"embedder thing: {next(iter(raw))}")
    assert told in message


class Several(popbench.Options):
    batch_size: Literal["auto"] | Annotated[int, pydantic.Field(ge=1)] = "auto"
    flag: bool = True
    sizes: list[int] = pydantic.Field(default_factory=list)
    even: int = 0

    @pydantic.field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("give an even number")
        return value


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"batch_size": "0"}, "batch_size: input should be 'auto' or greater than or equal to 1, not '0'"),
        ({"batch_size": "all"}, "batch_size: input should be 'auto' or a valid integer, not 'all'"),
        ({"flag": "7"}, "flag: expected true or false, not '7'"),
        ({"flag": 7}, "flag: expected true or false, not 7"),
        ({"even": "3"}, "even: give an even number, not '3'"),
        ({"sizes": ["a", "b"]}, "sizes: input should be a valid integer, not 'a'"),
    ],
)
def test_a_bad_value_is_told_with_all_that_is_possible_and_without_the_words_of_the_library(
    raw: dict[str, Any], told: str
) -> None:
    assert refusal(lambda: read_options(Several, raw, {}, "llm x")) == f"llm x: {told}"


def test_all_required_options_that_are_missing_are_told_at_once() -> None:
    class Two(popbench.Options):
        model: str
        url: str
        flag: bool = False

    message = refusal(lambda: read_options(Two, {"flag": "7"}, {}, "llm x"))
    assert message == "llm x needs model=VALUE and url=VALUE"


def test_an_unknown_key_is_told_with_the_closest_and_all_possible_ones() -> None:
    message = refusal(lambda: resolve("thing,cuont=3"))
    assert "did you mean 'count'?" in message
    for name in (*Options.model_fields, "label"):
        assert name in message


def test_an_unknown_key_like_no_other_is_told_without_a_guess() -> None:
    message = refusal(lambda: resolve("thing,zzzzzz=3"))
    assert "did you mean" not in message
    assert "possible: " in message


def test_a_missing_required_option_is_told() -> None:
    class Needs(popbench.Options):
        model: str

    class Needy(Thing):
        Options = Needs  # type: ignore[assignment]

    message = refusal(lambda: registry_of(Needy, model="m").resolve("embedder", "thing"))
    assert message == "embedder thing needs model=VALUE"
    resolved = registry_of(Needy, model="m").resolve("embedder", "thing,model=a/b")
    assert (resolved.spec.label, resolved.spec.options) == ("thing[model=b]", {"model": "a/b"})


class OneOf(popbench.Options):
    model: str | None = None
    folder: str | None = None

    @pydantic.model_validator(mode="after")
    def _one(self) -> OneOf:
        if (self.model is None) == (self.folder is None):
            raise ValueError("give model= or folder=")
        return self


class Choosy(Thing):
    Options = OneOf  # type: ignore[assignment]


def test_options_that_depend_on_each_other_are_checked_together() -> None:
    message = refusal(lambda: registry_of(Choosy, model="m").resolve("embedder", "thing"))
    assert message == "embedder thing: give model= or folder="


def test_options_whose_defaults_alone_are_not_valid_still_have_a_label() -> None:
    resolved = registry_of(Choosy, model="m").resolve("embedder", "thing,folder=/a/b")
    assert resolved.spec.label == "thing[folder=b]"


# -- labels


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("thing", "thing"),
        ("thing,count=1", "thing"),
        ("thing,count=50", "thing[count=50]"),
        ("thing,ratio=2,count=3", "thing[count=3,ratio=2.0]"),
        ("thing,flag=true", "thing[flag=true]"),
        ("thing,folder=/data/models/small", "thing[folder=small]"),
        ("thing,folder=/data/models/small/", "thing[folder=small]"),
        ("thing,text=http://host/v1", "thing[text=http://host/v1]"),
        ("thing,sizes=[1,2]", "thing[sizes=[1, 2]]"),
        ("thing,text=a|b", "thing[text=a/b]"),
        ("thing,concurrency=9", "thing"),
        ("thing,count=3,label=mine", "mine"),
        ('thing,label="mine, too"', "mine, too"),
    ],
)
def test_a_label_is_the_name_and_what_differs(text: str, label: str) -> None:
    assert resolve(text).spec.label == label


def test_a_preset_is_part_of_the_name_and_not_of_the_label() -> None:
    assert resolve("preset", count=5).spec.label == "preset"
    assert resolve("preset,count=5", count=5).spec.label == "preset"
    assert resolve("preset,count=1", count=5).spec.label == "preset[count=1]"


@pytest.mark.parametrize("label", ["a|b", "", "  ", "a\nb", "a\tb", "\x00"])
def test_a_label_that_cannot_stand_in_an_id_is_refused(label: str) -> None:
    assert "without '|'" in refusal(lambda: check_label(label))
    assert "without '|'" in refusal(lambda: resolve(f'thing,label="{label}"'))


def test_a_made_label_is_one_line() -> None:
    assert len(resolve('thing,text="a\nb"').spec.label.splitlines()) == 1
    assert len(make_label("x", {"text": "a\tb\nc"}).splitlines()) == 1


def test_a_component_may_offer_a_shorter_label() -> None:
    class Short(Thing):
        def label(self) -> str | None:
            return f"n{self.options.count}|x"

    assert registry_of(Short).resolve("embedder", "thing,count=4").spec.label == "n4/x"
    assert registry_of(Short).resolve("embedder", "thing,count=4,label=mine").spec.label == "mine"


def test_a_component_whose_label_fails_is_told_in_one_line() -> None:
    class Broken(Thing):
        def label(self) -> str | None:
            raise RuntimeError("no\nlabel")

    assert "no label" in refusal(lambda: registry_of(Broken).resolve("embedder", "thing"))


def test_runtime_options_are_in_no_label_and_no_fingerprint() -> None:
    few, many = resolve("thing,concurrency=1,count=3"), resolve("thing,concurrency=64,count=3")
    assert few.spec.label == many.spec.label
    assert few.component.fingerprint() == many.component.fingerprint()
    assert "concurrency" not in few.component.fingerprint()["options"]
    assert few.component.fingerprint() != resolve("thing,count=4").component.fingerprint()


def test_runtime_options_may_have_a_default_from_the_run_that_specs_and_presets_beat() -> None:
    def concurrency(text: str, **preset: Any) -> int:
        found = registry_of(Thing, **preset).resolve("embedder", text, {"concurrency": 7, "count": 9})
        assert found.component.options.count == 1
        return int(found.component.options.concurrency)

    assert concurrency("thing") == 7
    assert concurrency("thing,concurrency=2") == 2
    assert concurrency("preset", concurrency=3) == 3


def test_the_options_of_a_spec_make_the_same_component_again() -> None:
    text = """thing,text='"quoted"',word="[1]",sizes=[3],folder=/a,count=2"""
    resolved = resolve(text)
    again = read_options(Options, resolved.spec.options, {}, "thing")
    assert again == resolved.component.options


def test_differing_counts_only_what_is_not_given_by_preset_or_default() -> None:
    options = read_options(Options, {"count": "5", "ratio": "0.5"}, {"flag": True}, "thing")
    assert differing(options, {"flag": True}) == {"count": 5}
    assert differing(options, {}) == {"count": 5, "flag": True}
