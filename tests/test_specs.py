"""`NAME[,key=value]...`: from text to typed options, and back to a label."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import popbench
from popbench.errors import UsageError
from popbench.hookspecs import Register
from popbench.registry import Plugin, Registry, Resolved
from popbench.specs import check_label, differing, make_label, parse_spec, read_options


class Options(popbench.Options):
    count: int = pydantic.Field(1, ge=0, le=99)
    ratio: float = 0.5
    flag: bool = False
    text: str = "plain"
    maybe: int | None = None
    word: str | None = None
    sizes: list[int] = pydantic.Field(default_factory=list)
    table: dict[str, float] = pydantic.Field(default_factory=dict)
    folder: Path | None = None
    step: Literal[8, 16] = 8
    pace: Literal["slow", "fast"] = "slow"
    scale: float | Literal["auto"] = "auto"
    concurrency: int = popbench.runtime(4, ge=1)


class Thing(popbench.Embedder):
    """A component with an option of every type."""

    Options = Options

    def encode(self, texts: Any) -> Any:
        raise NotImplementedError


def registry_of(cls: type[popbench.Component], **preset: Any) -> Registry:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_embedders(register: Register) -> None:
            register("thing", cls)
            register("preset", cls, **preset)

    registry = Registry()
    plugin = Plugin("tests", "tests-dist", "1.0", "tests")
    registry.add(Module, plugin)
    assert plugin.error is None
    return registry


def resolve(text: str, **preset: Any) -> Resolved:
    return registry_of(Thing, **preset).resolve("embedder", text)


def value(text: str) -> Any:
    """The typed value of the one option that a spec sets."""
    _, raw = parse_spec(text)
    (key,) = raw
    return getattr(read_options(Options, raw, {}, "thing"), key)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


# -- grammar


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("x", {}),
        (" x ", {}),
        ("x,a=1", {"a": "1"}),
        ("x, a = 1 , b = 2 ", {"a": "1", "b": "2"}),
        ("x,a=", {"a": ""}),
        ('x,a=""', {"a": ""}),
        ("x,a-b=1,a.b=2", {"a-b": "1", "a.b": "2"}),
    ],
)
def test_a_spec_is_a_name_and_its_options(text: str, options: dict[str, str]) -> None:
    assert parse_spec(text) == ("x", options)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_value_with_commas_is_quoted(quote: str) -> None:
    assert parse_spec(f"x,a={quote}1,2{quote},b=3") == ("x", {"a": "1,2", "b": "3"})
    assert parse_spec(f"x,a= {quote}1,2{quote} ,b=3") == ("x", {"a": "1,2", "b": "3"})


def test_one_quote_may_hold_the_other() -> None:
    assert parse_spec("""x,a="it's, well",b='say "hi, you"'""") == ("x", {"a": "it's, well", "b": 'say "hi, you"'})


def test_a_backslash_escapes_quotes_and_itself_in_a_quoted_value() -> None:
    assert parse_spec(r'x,a="1\"2,3",b="\\",c=4') == ("x", {"a": '1"2,3', "b": "\\", "c": "4"})


def test_a_backslash_in_a_bare_value_is_a_backslash() -> None:
    assert parse_spec(r"x,a=C:\dir\new,b=1") == ("x", {"a": r"C:\dir\new", "b": "1"})


def test_an_apostrophe_within_a_value_is_a_character() -> None:
    assert parse_spec("x,a=it's,b=o'clock") == ("x", {"a": "it's", "b": "o'clock"})
    assert parse_spec('x,a=6" pipe,b=1') == ("x", {"a": '6" pipe', "b": "1"})


def test_a_value_may_hold_equals_signs_and_urls() -> None:
    url = "http://localhost:8000/v1?model=a&k=[1]#x"
    assert parse_spec(f"x,base_url={url},q=a=b=c") == ("x", {"base_url": url, "q": "a=b=c"})


def test_lists_and_objects_keep_their_commas_brackets_and_quotes() -> None:
    text = """x,a=[1, [2, 3], "]"],b={"k": "v, }", "l": [1, 2]},c=["it's", "\\"q,\\""],d=1"""
    name, options = parse_spec(text)
    assert name == "x"
    assert options == {
        "a": '[1, [2, 3], "]"]',
        "b": '{"k": "v, }", "l": [1, 2]}',
        "c": """["it's", "\\"q,\\""]""",
        "d": "1",
    }


def test_a_bracket_within_a_value_is_a_character() -> None:
    assert parse_spec("x,label=pe[k=50],b=a}b{") == ("x", {"label": "pe[k=50]", "b": "a}b{"})


@pytest.mark.parametrize("text", ["", "  ", ",", ",a=1", "a=1", "=", "=x"])
def test_a_spec_without_a_name_is_refused(text: str) -> None:
    assert "starts with a name" in refusal(lambda: parse_spec(text))


@pytest.mark.parametrize("text", ["x,", "x,,", "x,a", "x,=1", "x,1a=2", "x,a b=2", "x,a=1,", "x,a=1,2"])
def test_a_part_that_is_no_pair_is_refused_and_shown(text: str) -> None:
    message = refusal(lambda: parse_spec(text))
    assert "is not key=value" in message
    assert repr(text) in message


def test_a_key_given_twice_is_refused() -> None:
    assert "'a' is given twice" in refusal(lambda: parse_spec("x,a=1,b=2,a=1"))


@pytest.mark.parametrize("text", ['x,a="1', "x,a='1,b=2", "x,a=[1,2", 'x,a={"b": 1', 'x,a="1\\"', 'x,a=["b]'])
def test_what_is_opened_must_be_closed(text: str) -> None:
    assert "not closed" in refusal(lambda: parse_spec(text))


@pytest.mark.parametrize("text", ['x,a="1" b="2"', "x,a='1' and '2'"])
def test_text_behind_a_closing_quote_is_not_glued_to_the_value(text: str) -> None:
    """Either the spec is refused or the value stays as it was typed; half of the quotes must not vanish."""
    try:
        _, options = parse_spec(text)
    except UsageError:
        return
    assert options == {"a": text.removeprefix("x,a=")}


def parsed_or_refused(text: str) -> None:
    try:
        name, options = parse_spec(text)
    except UsageError:
        refusal(lambda: parse_spec(text))
    else:
        assert name
        assert all(options)


@given(st.text())
@example("x,a=" + "[" * 5000)
@example('x,a="' + "\\" * 5001)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    parsed_or_refused(text)


@given(st.text(alphabet="xa=,[]{}\"'\\ ", min_size=1))
def test_any_spec_of_the_grammars_own_characters_is_parsed_or_refused(text: str) -> None:
    parsed_or_refused("x,a=" + text)


def quoted(text: str, quote: str) -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


@given(st.text(), st.text(), st.sampled_from("\"'"))
def test_a_quoted_value_comes_back_as_it_was(first: str, second: str, quote: str) -> None:
    spec = f"x,a={quoted(first, quote)},b={quoted(second, quote)}"
    assert parse_spec(spec) == ("x", {"a": first, "b": second})


@given(st.text(), st.sampled_from("\"'"))
@example('""', "'")
@example('"hi"', "'")
@example("[1]", '"')
@example("null", '"')
def test_a_quoted_text_option_comes_back_as_it_was(text: str, quote: str) -> None:
    assert value(f"x,text={quoted(text, quote)}") == text


@given(st.lists(st.integers()), st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_json_lists_and_objects_come_back_as_they_were(sizes: list[int], table: dict[str, float]) -> None:
    _, raw = parse_spec(f"x,sizes={json.dumps(sizes)},table={json.dumps(table)}")
    options = read_options(Options, raw, {}, "thing")
    assert isinstance(options, Options)
    assert (options.sizes, options.table) == (sizes, table)


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
        ('x,sizes=["a"]', "valid list"),
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
    assert message.startswith("embedder thing: model: ")
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
    assert "give model= or folder=" in message


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
