"""Drafts in JSON with other quotes, full-width signs, escapes and quotes inside values: no text is lost unseen."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from popbench.prompting.drafts import parse_draft
from popbench.prompting.invisible import strip_invisible
from popbench.prompting.loose_json import read_loose
from popbench.prompting.objects import BROKEN, LOST
from popbench.prompting.usable import is_placeholder


def read(text: str) -> tuple[str, str]:
    draft = parse_draft(text, None, 50)
    assert draft is not None
    assert draft.breaches == (BROKEN,)
    return draft.title, draft.video_prompt


@pytest.mark.parametrize(
    "form",
    [
        '{"title": “%s”, "video_prompt": “%s”}',
        "{“title”: “%s”, “video_prompt”: “%s”}",
        "{“title”: “%s”,\n“video_prompt”: “%s”,}",
        "{„title“: „%s“, „video_prompt“: „%s“}",
        "{„title”: „%s”, „video_prompt”: „%s”}",
        "{”title”: ”%s”, ”video_prompt”: ”%s”}",
        "{«title»: «%s», «video_prompt»: «%s»}",
        "{« title » : « %s », « video_prompt » : « %s »}",
        "{»title«: »%s«, »video_prompt«: »%s«}",
        "{‘title’: ‘%s’, ‘video_prompt’: ‘%s’}",
        "{‚title‘: ‚%s‘, ‚video_prompt‘: ‚%s‘}",
        "{‹title›: ‹%s›, ‹video_prompt›: ‹%s›}",
        "{「title」:「%s」,「video_prompt」:「%s」}",
        "{『title』：『%s』、『video_prompt』：『%s』}",
        "{`title`: `%s`, `video_prompt`: `%s`}",
        "｛＂title＂：＂%s＂，＂video_prompt＂：＂%s＂｝",
        "｛“title”：“%s”，“video_prompt”：“%s”｝",
        '{"title"："%s"，"video_prompt"："%s"}',
        '{"title": "%s"， "video_prompt": "%s"｝',
        "{＇title＇: ＇%s＇; ＇video_prompt＇: ＇%s＇}",
        'Here: {title: "%s", video_prompt: "%s"} It is short.',
        '{"reasoning": “first”, "title": “%s”, "video_prompt": “%s”, "notes": “last”}',
        '```json\n{"title": “%s”,\n "video_prompt": “%s”\n}\n```\nDone.',
        '{"title": “%s”, /* short */ "video_prompt": “%s” // long\n}',
        '{"title": “%s” "video_prompt": “%s”}',
        '[{"title": “%s”, "video_prompt": “%s”}]',
        '{"n": 3, "title": “%s”, "tags": ["a", "b"], "video_prompt": “%s”, "sure": true}',
        '{"title": """%s""", "video_prompt": """%s"""}',
        "{″title″: ″%s″, ″video_prompt″: ″%s″}",
    ],
)
def test_typographic_signs_stand_for_those_of_json(form: str) -> None:
    title, video_prompt = "Tea, at four", "A pot is poured：steam, 茶，and rain."
    assert read(form % (title, video_prompt)) == (title, video_prompt)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"Tea \u{1F375} at four", "Tea 🍵 at four"),
        (r"Tea \U0001F375 at four", "Tea 🍵 at four"),
        (r"Th\xe9 at four", "Thé at four"),
        (r"Tea \ud83c\udf75", "Tea 🍵"),
    ],
)
def test_escapes_of_other_languages_are_those_of_json(written: str, meant: str) -> None:
    assert read(f'{{"title": "{written}", "video_prompt": "Steam rises.",}}') == (meant, "Steam rises.")


@pytest.mark.parametrize("rest", ["\\u", "\\ud8", "\\ud83"])
def test_an_escape_that_was_cut_short_leaves_no_letters(rest: str) -> None:
    assert read('{"title": "Tea", "video_prompt": "Steam rises' + rest)[1] == "Steam rises"


@pytest.mark.parametrize(
    ("title", "video_prompt"),
    [
        ("Sub day", 'A 12", toasted, is cut in half.'),
        ('The 12" sub', "It is cut in half."),
        ('The 12", toasted', 'A 12", then a 6", then none.'),
        ("Sub day", 'A sandwich of 12"'),
        ('A "real" sub', 'A man says "hello", and "bye". The end'),
        ('"Sub" day', 'Signs: "open", "closed", "back in 5".'),
        ("Sub day", 'He holds a sign: "free: today", and smiles.'),
        ("Sub day", 'A sign with } and { and ] on it, 3" high.'),
        ("Sub day", '“Open”, says a sign of 3", and closes.'),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_quote_inside_a_value_loses_no_text(title: str, video_prompt: str, swapped: bool) -> None:
    fields = [f'"title": "{title}"', f'"video_prompt": "{video_prompt}"']
    assert read("{" + ", ".join(reversed(fields) if swapped else fields) + "}") == (title, video_prompt)


def test_apostrophes_in_single_quotes_lose_no_text() -> None:
    text = "{'title': 'It's mum's day', 'video_prompt': 'She doesn't know, it's 5' high, and can't wait'}"
    assert read(text) == ("It's mum's day", "She doesn't know, it's 5' high, and can't wait")


def test_what_a_repair_leaves_out_is_a_breach() -> None:
    draft = parse_draft('{"title": Tea at four, "video_prompt": "A pot of 12", and a spoon of 5", stirred."}', None, 50)
    assert draft is not None
    assert "stirred" in draft.video_prompt or draft.breaches == (BROKEN, LOST)
    draft = parse_draft("{title: Tea at four, video_prompt: A pot is poured.}", None, 50)
    assert draft is not None
    assert (draft.title, draft.video_prompt, draft.breaches) == ("Tea at four", "A pot is poured.", (BROKEN,))


@pytest.mark.parametrize(
    "text",
    [
        r'{"title": "Soup \ud83e\udd63 now", "video_prompt": "Hot \ud83d\udd25\ud83d\udd25",}',
        r"{'title': 'Soup \ud83e\udd63 now', 'video_prompt': 'Hot \ud83d\udd25\ud83d\udd25'}",
        r"{title: Soup \ud83e\udd63 now, video_prompt: Hot \ud83d\udd25\ud83d\udd25}",
        '{"title": "Soup \ud83e\udd63 now", "video_prompt": "Hot \ud83d\udd25\ud83d\udd25"',
    ],
)
def test_the_halves_of_an_escaped_emoji_are_joined(text: str) -> None:
    assert read(text) == ("Soup 🥣 now", "Hot 🔥🔥")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a \"b\" c", 'a "b" c'),
        (r"caf\u00e9", "café"),
        (r"a\\b", "a\\b"),
        (r"a\/b", "a/b"),
        (r"half \ud83d", "half ?"),
    ],
)
def test_escapes_are_those_of_json(written: str, meant: str) -> None:
    assert read(f'{{"title": “{written}”, "video_prompt": “one”}}') == (meant, "one")


def test_an_answer_cut_short_keeps_what_there_is_of_its_last_value() -> None:
    assert read('{"title": “Tea”, "video_prompt": “A pot of 12", and st') == ("Tea", 'A pot of 12", and st')
    assert read('```json\n{"title": “Tea”, "video_prompt": “A pot\n```\nThat is all.') == ("Tea", "A pot")


@pytest.mark.parametrize(
    "text", ['{"title": 3, "video_prompt": “x”}', '{"title": “A”', "{", "", "title: a", '{"a" "b"}']
)
def test_what_is_no_object_of_texts_is_not_read_as_one(text: str) -> None:
    loose = read_loose(text)
    assert loose is None or set(loose) != {"title", "video_prompt"}


QUOTES = st.sampled_from(['""', "“”", "„“", "«»", "»«", "「」", "＂＂"])
VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"), min_size=1).map(strip_invisible)


@given(QUOTES, VALUE.filter(lambda text: text and not is_placeholder(text)), VALUE.filter(bool), st.booleans())
@example("“”", 'A 12", a', 'B", and b', True)
def test_a_value_comes_through_whole_in_any_quotes(quotes: str, title: str, other: str, wide: bool) -> None:
    """Unless it holds what ends a value: a quote and then a comma with a key, or a brace."""
    comma, colon = ("，", "：") if wide else (",", ":")
    opening, closing = quotes[0], quotes[1]
    parts = [f"{opening}{text}{closing}" for text in ("title", title, "video_prompt", f"b {other} b")]
    draft = parse_draft("{" + f"{parts[0]}{colon}{parts[1]}{comma}{parts[2]}{colon}{parts[3]}" + "}", None, 50)
    ends = set("\"“”„‟＂〝〞〟'‘’‚‛＇`´«»‹›「」『』{}｛｝[]/:：")
    if not ends & set(title + other):
        assert draft is not None
        assert (draft.title, draft.video_prompt) == (title, f"b {other} b")


@pytest.mark.parametrize("piece", ['"', "“", '",', '", //', '"/*', '": ', '"  ', "\\", '"a":', '", "a b": "'])
def test_hostile_quotes_take_no_time(piece: str) -> None:
    started = time.process_time()
    parse_draft('{"title": "video_prompt", "title": "' + piece * (60_000 // len(piece)), None, 50)
    parse_draft(('{"title": “video_prompt' + piece) * (60_000 // (len(piece) + 24)), None, 50)
    assert time.process_time() - started < 10


def test_valid_json_is_read_as_it_is_whatever_quotes_are_in_it() -> None:
    values = {"title": "„A“, “b”: «c»", "video_prompt": '“x”, "video_prompt": “y”}'}
    draft = parse_draft(json.dumps(values, ensure_ascii=False), None, 50)
    assert draft is not None
    assert (draft.title, draft.video_prompt, draft.breaches) == (*values.values(), ())
