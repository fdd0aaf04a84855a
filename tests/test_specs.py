"""The grammar of `NAME[,key=value]...`: any text is parsed or refused, and quoted values come back as they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from popbench.errors import UsageError
from popbench.specs import Quoted, check_label, parse_spec, read_options, write_spec
from typed_option_component import Options, value
from usage_errors import refusal


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


@given(
    st.text(min_size=1).filter(lambda name: name.strip() == name),
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_.-]*", fullmatch=True), st.text(), min_size=1),
)
@example("a,b", {"x": "1"})
@example("a=b", {"x": "1"})
@example('"a', {"x": "1"})
@example("x", {"a": "two\nlines", "b": "a\ttab", "c": "\0", "d": "\\n", "e": "\\"})
@example("x", {"a": '"', "b": "'", "c": "[1, ", "d": "\u2028", "e": " "})
def test_a_written_spec_is_read_as_it_was(name: str, options: dict[str, str]) -> None:
    assert parse_spec(write_spec(name, options)) == (name, options)


@given(st.one_of(st.just("null"), st.text()), st.booleans())
def test_a_written_option_keeps_whether_its_null_was_a_text(text: str, quoted: bool) -> None:
    """Where an option may be empty, a bare `null` is none, and one in quotes is a text."""
    given = {"text": Quoted(text) if quoted else text}
    read = parse_spec(write_spec("x", given))[1]
    assert value("x,text=null") == value(write_spec("x", parse_spec("x,text=null")[1]))
    assert read == given
    assert text != "null" or isinstance(read["text"], Quoted) == quoted


@pytest.mark.parametrize(
    "label",
    ["", " ", "a|b", "a\nb", "a\u200bb", "a\u202eb", "a\u00a0b", "\u3164", "a\u2800b", "a\u034fb", "a\u115f", "\xad"],
)
def test_a_label_with_what_is_not_seen_is_refused(label: str) -> None:
    assert "needs visible characters" in refusal(lambda: check_label(label))


@pytest.mark.parametrize("label", ["gpt-4o", "Gemma 3 (27B)", "通义千问", "❤\ufe0f", "été"])
def test_a_label_that_is_seen_is_taken_without_spaces_around_it(label: str) -> None:
    assert check_label(f" {label} ") == label
