"""From completions to drafts: what is read, what is counted as a breach, and what is none."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from popbench.prompting.drafts import DRAFT_SCHEMA, find_drafts, parse_draft, split_thoughts
from popbench.prompting.invisible import strip_invisible
from popbench.prompting.usable import is_placeholder
from popbench.records import Draft

GOOD = {"title": "A cat, at last", "video_prompt": "A cat sits on a mat. It looks up."}
TEXT = json.dumps(GOOD)
NOT_JSON = ("not valid JSON",)


def parse(text: str, **changes: Any) -> Draft | None:
    return parse_draft(text, **{"reasoning": None, "title_max_chars": 50, **changes})


def pair(draft: Draft | None) -> tuple[str, str] | None:
    return None if draft is None else (draft.title, draft.video_prompt)


EXPECTED = (GOOD["title"], GOOD["video_prompt"])

# -- shapes


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"\n\n  {TEXT}\n",
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}\n```",
        f"~~~JSON\n{TEXT}\n~~~",
        json.dumps(GOOD, indent=2),
        f"Here you are: {TEXT}",
        f"{TEXT}\n\nI hope you like it! Both title and video_prompt are new.",
        f"I thought of {{this}} and {{that}}.\n{TEXT}\nIs the {{title}} right?",
        f"{TEXT} {{not json}}",
        f'{{"steps": [1, 2]}}\n{TEXT}',
        f'{TEXT}\n{{"confidence": 0.9}}',
        f"<think>Hmm. {{}}</think>{TEXT}",
        f"no opening tag</think>{TEXT}",
        f'<think>{{"title": "wrong", "video_prompt": "thought"}}</think>\n{TEXT}',
        f'<thinking>{{"title": "wrong", "video_prompt": "thought"}}</thinking>\n{TEXT}',
        f"<think>never closed {TEXT}",
        f'{{"title": "first", "video_prompt": "draft"}}\nBetter:\n{TEXT}',
        f'{TEXT}\n{{"title": "", "video_prompt": "blank"}}',
        f'{TEXT}\n{{"title": "no video"}}',
        f'{TEXT}\n{{"title": ["a", "list"], "video_prompt": "x"}}',
        f"[{TEXT}]",
        f'{{"answer": {TEXT}}}',
        f'{{"answer": {{"final": {TEXT}}}, "score": 3}}',
        json.dumps({**GOOD, "notes": {"title": "inner"}}),
        json.dumps({"notes": {"title": "inner", "video_prompt": 3}, **GOOD}),
        json.dumps({"video_prompt": GOOD["video_prompt"], "title": GOOD["title"]}),
        json.dumps({"title": f"  {GOOD['title']}\n", "video_prompt": f"\t{GOOD['video_prompt']} "}),
    ],
)
def test_a_draft_in_valid_json_is_found_wherever_it_is(text: str) -> None:
    draft = parse(text)
    assert pair(draft) == EXPECTED
    assert draft is not None
    assert draft.breaches == ()


@pytest.mark.parametrize(
    "text",
    [
        "{'title': 'A cat, at last', 'video_prompt': 'A cat sits on a mat. It looks up.'}",
        "{title: 'A cat, at last', video_prompt: 'A cat sits on a mat. It looks up.'}",
        '{"title": "A cat, at last", "video_prompt": "A cat sits on a mat. It looks up.",}',
        '{"title": "A cat, at last" "video_prompt": "A cat sits on a mat. It looks up."}',
        '{"title": "A cat, at last", // short\n"video_prompt": "A cat sits on a mat. It looks up." /* one */}',
        "{“title”: “A cat, at last”, “video_prompt”: “A cat sits on a mat. It looks up.”}",
        '{"title": "A cat, at last", "video_prompt": "A cat sits on a mat. It looks up.',
        '{"title": "A cat, at last", "video_prompt": "A cat sits on a mat. It looks up."',
        '```json\n{"title": "A cat, at last", "video_prompt": "A cat sits on a mat. It looks up."\n```',
        '```json\n{"title": "A cat, at last", "video_prompt": "A cat sits on a mat. It looks up.\n```',
        "Sure!\n{'title': 'A cat, at last', 'video_prompt': 'A cat sits on a mat. It looks up.'}\nWhat do you think?",
        '{"answer": {"title": "A cat, at last", "video_prompt": "A cat sits on a mat. It looks up.",},}',
    ],
)
def test_a_draft_in_almost_json_is_read_and_the_breach_counted(text: str) -> None:
    draft = parse(text)
    assert pair(draft) == EXPECTED
    assert draft is not None
    assert draft.breaches == NOT_JSON


def test_raw_line_breaks_and_tabs_in_strings_are_read() -> None:
    draft = parse('{"title": "A\tcat", "video_prompt": "One.\nTwo."}')
    assert draft is not None
    assert (draft.title, draft.video_prompt) == ("A\tcat", "One.\nTwo.")
    assert draft.breaches == (*NOT_JSON, "video prompt has several paragraphs")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "I cannot help with that.",
        "title: A\nvideo_prompt: B",
        "{}",
        "[]",
        "null",
        '"title video_prompt"',
        '{"title": "A"}',
        '{"video_prompt": "B"}',
        '{"title": "", "video_prompt": "B"}',
        '{"title": "A", "video_prompt": " \\n"}',
        '{"title": 3, "video_prompt": "B"}',
        '{"title": null, "video_prompt": "B"}',
        '{"title": "A", "video_prompt": ["B"]}',
        '<think>{"title": "A", "video_prompt": "B"}</think>',
        '<think>{"title": "A", "video_prompt": "B"}</think> Sorry.',
        "{{{{",
        "```json\n```",
    ],
)
def test_what_holds_no_title_and_video_prompt_is_no_draft(text: str) -> None:
    assert parse(text) is None
    assert find_drafts(text.replace("think", "b")) in ([], [Draft("A", "B")])


@pytest.mark.parametrize(
    ("title", "video_prompt"),
    [
        ("猫が来た 🐈‍⬛", "夜の街を猫が走る。👩‍👩‍👧"),
        ("قطة على السجادة", "قطة تجلس ‏على السجادة ‎(slowly)"),
        ("Zoë’s “day”", "Ça va — naïve café…"),
        ("Line\u2028separators\u2029are\x85kept", "x"),
        ("an \u202eevil\u202c one", "a\u0000b"),
        ("𝕬𝖑𝖑", "\U0010ffff"),
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_text_of_every_script_comes_through(title: str, video_prompt: str, ascii_only: bool) -> None:
    text = json.dumps({"title": title, "video_prompt": video_prompt}, ensure_ascii=ascii_only)
    assert pair(parse(f"Voilà: {text} ✔")) == (title, video_prompt)


@pytest.mark.parametrize(
    "text", ['{"title": "A\\ud800", "video_prompt": "B"}', '{"title": "A\ud800", "video_prompt": "B"}']
)
def test_lone_surrogates_are_replaced(text: str) -> None:
    assert pair(parse(text)) == ("A?", "B")


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "A {title} B", "video_prompt": "The {video_prompt} of {title}"},
        {"title": 'A {"title"} B', "video_prompt": 'The {"video_prompt"} C'},
        {"title": "{ a", "video_prompt": "b }"},
        {"title": "}}a{{", "video_prompt": "```json"},
        {"title": "C:\\new", "video_prompt": 'He says "hi", then \\"bye\\".'},
        {"title": "sign", "video_prompt": 'A sign reads {"title": "x", "video_prompt": "y"} in neon.'},
    ],
)
def test_what_looks_like_markup_inside_a_draft_is_its_text(fields: dict[str, str]) -> None:
    draft = parse(json.dumps(fields))
    assert pair(draft) == (fields["title"], fields["video_prompt"])


# -- thoughts


def test_thoughts_and_prose_become_the_reasoning() -> None:
    draft = parse(f"<think>First.</think>Second.\n```json\n{TEXT}\n```\nLast.", reasoning="Zeroth.")
    assert draft is not None
    assert draft.reasoning == "Zeroth.\n\nFirst.\n\nSecond."
    plain = parse(TEXT)
    assert plain is not None
    assert plain.reasoning is None


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("x", "", "x"),
        ("<think>a</think>x", "a", "x"),
        ("<think>a</think>x<think>b</think>y", "a\n\nb", "xy"),
        ("a</think>x", "a", "x"),
        ("<THINK>a</Think>x", "a", "x"),
        ("<think>a", "", "<think>a"),
    ],
)
def test_thoughts_are_split_from_the_answer(text: str, thoughts: str, answer: str) -> None:
    assert split_thoughts(text) == (thoughts, answer)
    assert split_thoughts(answer) == ("", answer)  # what an engine has split is not split further


# -- examples and breaches


@pytest.mark.parametrize(
    "copied",
    [
        GOOD,
        {"title": "A  CAT, at last", "video_prompt": "Something else."},
        {"title": "Something else", "video_prompt": GOOD["video_prompt"].upper()},
    ],
)
def test_a_copy_of_the_example_is_no_draft(copied: dict[str, str]) -> None:
    example_ = [Draft(GOOD["title"], GOOD["video_prompt"])]
    assert parse(json.dumps(copied), examples=example_) is None
    other = '{"title": "Mine", "video_prompt": "My own."}'
    assert pair(parse(f"{other}\n{json.dumps(copied)}", examples=example_)) == ("Mine", "My own.")
    assert pair(parse(f"{json.dumps(copied)}\n{other}", examples=example_)) == ("Mine", "My own.")


@pytest.mark.parametrize(
    ("title", "video_prompt", "breaches"),
    [
        ("x" * 50, "p", ()),
        ("x" * 51, "p", ("title has 51 characters, more than 50",)),
        (" " + "x" * 50 + " ", "p", ()),
        ("a\nb", "p", ("title has several lines",)),
        ("a", "p\n\nq", ("video prompt has several paragraphs",)),
        (
            "a" * 50 + "\nb",
            "p\nq",
            (
                "title has 52 characters, more than 50",
                "title has several lines",
                "video prompt has several paragraphs",
            ),
        ),
        ("猫" * 50, "p", ()),
    ],
)
def test_requirements_that_are_not_kept_are_counted(title: str, video_prompt: str, breaches: tuple[str, ...]) -> None:
    draft = parse(json.dumps({"title": title, "video_prompt": video_prompt}))
    assert draft is not None
    assert draft.breaches == breaches


def test_the_schema_asks_for_the_two_keys() -> None:
    assert set(DRAFT_SCHEMA["required"]) == {"title", "video_prompt"}


# -- any text


@given(st.text())
@example("</think><think>")
@example('{"title": ' + "1" * 5000 + ', "video_prompt": "x"}')
@example('{"title": "a", "video_prompt": ' + "[" * 3000)
@example('{"title":' * 500 + '"video_prompt"')
def test_any_text_is_a_draft_or_none(text: str) -> None:
    check(parse(text))


PIECES = st.sampled_from(
    [
        "{", "}", "[", "]", '"', "'", ":", ",", "\\", "\n", "title", "video_prompt", '"title"', '"video_prompt"',
        '"title": "A"', '"video_prompt": "B"', "<think>", "</think>", "```json", "```", "//", "/*", "null", "1e999",
        "\\ud800", "\ud83d", "“", " ", TEXT, TEXT[:-1], TEXT[:30], TEXT[30:],
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_pieces_of_json_are_a_draft_or_none(text: str) -> None:
    check(parse(text))


@given(st.integers(0, len(TEXT)), st.integers(0, len(TEXT)), st.text(max_size=3))
def test_a_mutilated_answer_is_a_draft_or_none(start: int, stop: int, instead: str) -> None:
    check(parse(TEXT[:start] + instead + TEXT[stop:]))


def check(draft: Draft | None) -> None:
    if draft is None:
        return
    for text in (draft.title, draft.video_prompt):
        assert says(text)
        assert text == strip_invisible(text)
        text.encode()
    again = parse(json.dumps({"title": draft.title, "video_prompt": draft.video_prompt}))
    assert pair(again) == pair(draft), "what was read is read as it is"


def says(text: str) -> bool:
    return bool(text) and not is_placeholder(text)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(strip_invisible).filter(says)
TRICKY = st.lists(
    st.sampled_from(["{", "}", "[", "]", '"', "'", "\\", "title", "video_prompt", "```", ":", ",", "a", " b", "\n"]),
    min_size=1,
).map(lambda pieces: "".join(pieces).strip()).filter(says)  # fmt: skip
PROSE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}<>"))


@given(WORDS | TRICKY, WORDS | TRICKY, PROSE, PROSE, st.booleans(), st.sampled_from([None, 2]), st.booleans())
@example("titles", "a video_prompt of", "video_prompt", "title", True, None, False)
def test_a_valid_draft_in_prose_is_found_back_exactly(
    title: str, video_prompt: str, before: str, after: str, ascii_only: bool, indent: int | None, swapped: bool
) -> None:
    fields = {"title": title, "video_prompt": video_prompt}
    if swapped:
        fields = dict(reversed(fields.items()))
    draft = parse(before + json.dumps(fields, ensure_ascii=ascii_only, indent=indent) + after)
    assert pair(draft) == (title, video_prompt)
    assert draft is not None
    assert "not valid JSON" not in draft.breaches


# -- long answers


ENDLESS = 10
"""Seconds of this process's own time that only a parser gone quadratic takes; it takes some milliseconds."""

LONG = {
    "braces": "{" * 60_000,
    "braces and keys": "{" * 60_000 + "title video_prompt",
    "brackets": "[{" * 30_000 + "title video_prompt",
    "nested objects": '{"title": {"video_prompt": ' * 2_400,
    "half drafts": '{"title": "video_prompt' * 2_600,
    "quotes": '{"title video_prompt' + '"' * 60_000,
    "thoughts": "<think>" * 8_600,
    "ends of thoughts": "</think>" * 7_500,
    "backslashes": '{"title": "video_prompt' + "\\" * 60_000,
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_answer_without_a_draft_takes_no_time(name: str) -> None:
    started = time.process_time()
    assert parse(LONG[name]) is None
    assert time.process_time() - started < ENDLESS


@pytest.mark.parametrize("name", ["braces", "brackets", "prose", "objects", "thought"])
def test_a_long_answer_with_its_draft_at_the_end_takes_no_time(name: str) -> None:
    before = {
        "braces": "{" * 60_000,
        "brackets": "[" * 60_000,
        "prose": "A title and a video_prompt, {so to speak}. " * 1_400,
        "objects": '{"step": 1, "title": "no"}\n' * 2_200,
        "thought": "<think>" + "Hmm { title. " * 4_600 + "</think>",
    }[name]
    started = time.process_time()
    assert pair(parse(before + TEXT)) == EXPECTED
    assert time.process_time() - started < ENDLESS


def test_a_long_video_prompt_is_read_whole() -> None:
    long = "word " * 5_000 + "end"
    assert pair(parse(json.dumps({"title": "A", "video_prompt": long}))) == ("A", long)
