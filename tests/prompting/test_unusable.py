"""Why an answer holds no draft: a copy of the example, a cut, a placeholder, nothing to see, no JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popbench.prompting.drafts import CUT, NO_JSON, find_drafts, read_answer
from popbench.prompting.invisible import is_visible, strip_invisible
from popbench.prompting.usable import COPIED, EMPTY, PLACEHOLDER, copies_text, is_placeholder
from popbench.records import Draft
from popbench_baselines.corpus import DemoCorpus

EXAMPLE = Draft(
    "The Kettle That Refused to Whistle",
    "In a blue kitchen at dawn an old copper kettle stands on a stove. The camera creeps towards its spout as steam "
    "gathers, shivers and comes out without a sound, in the form of a small grey bird. It circles the lamp twice, "
    "sits down on a cup and looks at us. Warm grain, soft focus at the edges, calm and slightly absurd.",
)
MINE = {"title": "Rain on a tin roof", "video_prompt": "Drops race each other down a tin roof, close, in grey light."}


def reason(text: str, examples: Sequence[Draft] = (EXAMPLE,), *, cut: bool = False) -> str:
    reading = read_answer(text, None, 50, examples, cut=cut)
    assert (reading.draft is None) == bool(reading.reason)
    return reading.reason


def answer(title: str, video_prompt: str) -> str:
    return json.dumps({"title": title, "video_prompt": video_prompt}, ensure_ascii=False)


# -- copies of the example


@pytest.mark.parametrize(
    "value",
    [
        EXAMPLE.title,
        EXAMPLE.title.upper() + "!",
        "“The Kettle That Refused to Whistle” 🫖",
        "The Kettle That Refuses to Whistle",
        "The Kettle Which Refused to Whistle",
        "A Kettle That Refused to Whistle",
        "The Kettle That Refused",
        "The Kettle That Refused to Whis",
        "The Kettle That Refused to Whistle: what came of it, told in nine seconds of steam",
        EXAMPLE.video_prompt,
        EXAMPLE.video_prompt[:61],
        EXAMPLE.video_prompt[:140],
        EXAMPLE.video_prompt[100:260],
        EXAMPLE.video_prompt.replace("grey bird", "white moth"),
        EXAMPLE.video_prompt.replace(".", ""),
        f"{EXAMPLE.video_prompt} In the end it whistles.",
        f"{EXAMPLE.title}. {EXAMPLE.video_prompt[:90]}",
    ],
)
def test_a_title_or_a_video_prompt_made_of_the_example_is_no_draft(value: str) -> None:
    assert reason(answer(value, MINE["video_prompt"])) == COPIED
    assert reason(answer(MINE["title"], value)) == COPIED
    assert reason(answer(value, value), cut=True) == COPIED
    both = read_answer(f"{json.dumps(MINE)}\n{answer(value, value)}", None, 50, (EXAMPLE,))
    assert both.draft is not None
    assert both.draft.title == MINE["title"]


@pytest.mark.parametrize("length", range(40, len(answer(EXAMPLE.title, EXAMPLE.video_prompt)), 23))
def test_the_example_cut_anywhere_is_a_copy(length: int) -> None:
    for text in (
        json.dumps({"title": EXAMPLE.title, "video_prompt": EXAMPLE.video_prompt}, indent=2),
        EXAMPLE.video_prompt,
    ):
        assert reason(text[:length]) == COPIED
        assert reason(f"```json\n{text[:length]}", cut=True) == COPIED


@pytest.mark.parametrize(
    ("title", "video_prompt"),
    [
        (
            "The Kettle That Fell in Love",
            "A kettle on a stove at dawn. The camera creeps closer as it trembles and sings.",
        ),
        (
            "Why my kettle will not whistle",
            "A copper kettle stands on a stove in a bright kitchen, steam gathers, a cat looks.",
        ),
        (
            "The Teapot That Learned to Dance",
            "Steam comes out of the spout in the form of a ribbon, and the teapot dances.",
        ),
        ("The Kettle", "In a blue kitchen at dawn a woman makes tea. Warm grain, soft focus."),
        ("Calm and slightly absurd", "A bird sits down on a cup, sings, and flies off through an open window."),
        ("Refused to whistle", "A referee refuses to whistle at a match, and both teams look at him."),
    ],
)
def test_a_draft_of_the_same_subject_is_no_copy(title: str, video_prompt: str) -> None:
    assert reason(answer(title, video_prompt)) == ""


def test_titles_and_captions_of_a_corpus_are_neither_copies_nor_placeholders() -> None:
    for row in DemoCorpus().rows("all"):
        for text in (row.title, row.caption):
            assert not copies_text(text, EXAMPLE), text
            assert not is_placeholder(text), text


# -- placeholders


@pytest.mark.parametrize(
    "value",
    [
        "...", "…", "-", "___", "***", "?", "“”", "[...]", "<>", "<title>", "<The title of the clip>",
        "<one paragraph that describes a clip: who is in it, what happens, the camera, the light and the mood>",
        "[title]", "[Your Title]", "[video prompt]",
        "[one paragraph which describes the clip and its setting in some detail]",
        "{title}", "{{title}}", "{{ video_prompt }}", "【标题】", "string", "String", "(string)", "title", "Title:",
        "video_prompt",
        "Video Prompt", "text", "TBD", "todo", "N/A", "null", "None", "placeholder", "Your title here",
        "your video prompt here",
        "Insert title here", "Insert a catchy title", "enter your video prompt", "A short title here",
        "The title goes here",
        "Describe the clip here", "Write a paragraph about the video here", "Title 1", "Lorem ipsum dolor sit amet",
        "A catchy title", "A detailed video prompt", "Title here", "Title of the video", "string (max. 50 characters)",
        "XXXX", "foo",
        "same as above", "A text-to-video prompt", "A title of at most 80 characters",
        "One line, at most 100 characters", "Titel", "Dein Titel hier", "标题", "视频提示词", "Título", "\ufffd\ufffd",
        "the title it is posted under. One line", "The instructions for a text-to-video model.",
        "One paragraph that describes a 4-second clip: who or what is in it, what happens, where, and in which light",
    ],
)  # fmt: skip
def test_what_stands_where_a_text_belongs_is_no_draft(value: str) -> None:
    assert reason(answer(value, value)) == PLACEHOLDER
    assert reason(answer(value, MINE["video_prompt"])) == PLACEHOLDER
    assert reason(answer(MINE["title"], value)) == PLACEHOLDER
    for form in ("{0}\nIt has the form {1}.", "The form is {1}, so:\n{0}", "{0}\n```json\n{1}\n```"):
        assert reason(form.format(json.dumps(MINE), answer(value, value))) == ""


@pytest.mark.parametrize(
    "value",
    [
        "🔥🔥", "❤️", "№ 7", "42", "7", "猫", "ก", "“Hi”", "[ASMR] rain on a roof", "Text me when you land",
        "String theory, danced",
        "Here goes nothing", "Untitled fox", "None of us slept", "Your cat's other life", "The title race is over",
        "Write it on the wall", "Put the kettle on", "A description of a fight", "Insert coin", "Void and null",
        "<3 this soup",
        "[A cat sits on a mat by the fire, looks up, yawns slowly and falls asleep in one smooth shot]",
        "$100 soup", "C++", "The final", "A new title fight", "A short string of lights", "Text of the year",
        "At most four cats", "The same as before, but wet", "One paragraph of rain", "XX files", "Bar fight",
    ],
)  # fmt: skip
def test_short_and_odd_titles_are_drafts(value: str) -> None:
    assert reason(answer(value, MINE["video_prompt"])) == ""


def test_placeholders_in_a_template_are_no_example() -> None:
    assert find_drafts(f"It has this form: {answer('<title>', '...')}") == []


# -- what cannot be seen

UNSEEN = ["\u200b", "\ufeff\u2060", "\u00ad", "\u3164\uffa0", "\u115f\u1160", "\u2800", "\u034f", "\ufe0f",
"\x00\x07\x1b",
          "\U000e0041\U000e0042", "\u202a\u202c", "\u2028 \u00a0\u3000", "\u180e", "\u061c", "\ufff9",
          ""]  # fmt: skip


@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_text_of_invisible_characters_is_no_draft(unseen: str, ascii_only: bool) -> None:
    for title, video_prompt in ((unseen, unseen), (unseen, "A fox"), ("A fox", unseen)):
        text = json.dumps({"title": title, "video_prompt": video_prompt}, ensure_ascii=ascii_only)
        assert reason(text) == EMPTY
        assert reason(f"{json.dumps(MINE)} {text}") == ""
    assert reason(unseen) == EMPTY


@pytest.mark.parametrize("unseen", UNSEEN)
def test_invisible_characters_at_the_ends_are_removed(unseen: str) -> None:
    draft = read_answer(answer(f"{unseen} A fox {unseen}", f"{unseen}It\u00adruns{unseen} {unseen}"), None, 50).draft
    assert draft is not None
    assert (draft.title, draft.video_prompt.replace("\ufe0f", "")) == ("A fox", "It\u00adruns")


@pytest.mark.parametrize(
    "shaped",
    [
        "❤️",
        "a fox 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "ന്\u200d",
        "1️⃣",
        "🐈‍⬛",
        "葛\U000e0100",
    ],
)
def test_what_shapes_the_last_character_stays(shaped: str) -> None:
    assert strip_invisible(f"\u200b{shaped}\u200b ") == shaped


@given(st.text())
def test_stripping_leaves_something_visible_at_both_ends_or_nothing(text: str) -> None:
    stripped = strip_invisible(text)
    assert stripped in text
    assert strip_invisible(stripped) == stripped
    assert bool(stripped) == any(map(is_visible, text))
    assert not stripped or is_visible(stripped[0])


# -- the other reasons


@pytest.mark.parametrize(
    ("text", "cut", "why"),
    [
        ("I would rather not.", False, NO_JSON),
        ("I would rather not", True, CUT),
        ('{"title": "Rain"}', False, NO_JSON),
        ('{"title": "Rain", "vid', True, CUT),
        ("", False, EMPTY),
        ("", True, CUT),
        ("<think>Hm.</think>", False, EMPTY),
        (f"{answer('...', '...')} and then", True, CUT),
        (f"{answer('...', '...')} {answer(' ', ' ')}", False, PLACEHOLDER),
        (f"{answer('...', '...')} {answer(EXAMPLE.title, 'x')}", True, COPIED),
        (f"The form is {answer(EXAMPLE.title, EXAMPLE.video_prompt)}, I know.", False, COPIED),
        (json.dumps(MINE)[:-20], True, ""),
    ],
)
def test_an_answer_without_a_draft_has_one_reason(text: str, cut: bool, why: str) -> None:
    assert reason(text, cut=cut) == why


PIECES = st.sampled_from(
    ["{", "}", '"', "“", ":", ",", '"title"', '"video_prompt"', answer("...", "x"), answer(EXAMPLE.title, "x"),
     "<title>", "\u200b",
     json.dumps(MINE), EXAMPLE.video_prompt[:80], "```", "｛", "：", "title", "a fox"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=20).map("".join), st.booleans())
def test_any_answer_has_a_draft_or_a_reason(text: str, cut: bool) -> None:
    reading = read_answer(text, None, 50, (EXAMPLE,), cut=cut)
    assert (reading.draft is None) == (reading.reason in (COPIED, CUT, PLACEHOLDER, EMPTY, NO_JSON))
    if reading.draft is not None:
        for value in (reading.draft.title, reading.draft.video_prompt):
            assert not is_placeholder(value)
            assert not copies_text(value, EXAMPLE)
