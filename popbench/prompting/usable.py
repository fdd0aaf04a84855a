"""Says why an object with a title and a video prompt is no draft: it is empty, a placeholder or copies the example."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from popbench.prompting.originality import COPY, text_overlap, title_similarity, words
from popbench.records import Draft

COPIED = "copied the example"
PLACEHOLDER = "placeholder"
EMPTY = "empty"

_BRACKETS = {"<": ">", "[": "]", "{": "}", "＜": "＞", "［": "］", "【": "】", "〈": "〉", "⟨": "⟩"}
_FEW_WORDS = 8
"""A text in brackets of at most so many words is a placeholder; a longer one only if it speaks of what to write."""
_FIELD = r"(?:title|video\s?prompts?|prompt|description|text|string|paragraph)"
_PRAISE = "(?:video|catchy|short|great|new|creative|engaging|detailed|descriptive|concise|unique|example|sample|final)"
_FILL_IN = re.compile(
    rf"""(?: (?:(?:the|an?|your|my|some)\s)? (?:{_PRAISE}\s)* (?:title|video\s?prompt|string) (?:\stext|\sstring)?
    | (?:the\s)? (?:title|video\s?prompt|description) \s(?:of|for) \s(?:the|an?|your) \s(?:micro\s)? (?:video|clip)
    | (?:string|title|text) \s(?:max|up\sto|of\sat\smost|at\smost) \s\d+ \s\w+
    | str | text | prompt | description | placeholder | tbd | todo | n\sa | null | none | undefined
    | (?:(?:the|an?|your|my) (?:\s\w+){{0,3}} \s)? {_FIELD} (?:\sgoes|\scomes)? \shere
    | (?:insert|enter|put|provide|describe|write) \b .{{0,80}} \b (?:{_FIELD}|clip|video) \b .{{0,40}} \bhere
    | (?:insert|enter|provide|your) (?:\s\w+){{0,4}} \s{_FIELD}
    | lorem\sipsum\b .* | x{{3,9}} | foo (?:\sbar)? | (?:the\s)? same \sas \s(?:above|before) | as \sabove
    | (?:(?:the|an?|your)\s)? (?:{_PRAISE}\s)* text\sto\svideo \sprompt
    | (?:(?:an?|the)\stitle\sof\s|one\sline\s)? at\smost \s\d+ \s\w+
    | the\stitle\s(?:it|the\sclip)\sis\sposted\sunder\b .*
    | titel | video-?beschreibung | (?:dein|ihr|der) \s(?:titel|video\s?prompt) (?:\shier)?
    | t[ií]tulo | titre
    | (?:タ\s?イ\s?ト\s?ル | [标標]\s?[题題]
    | (?:视\s?频|影\s?片)\s?(?:提\s?示\s?[词詞]?|描\s?述)) ) (?:\s\d{{1,2}})?""",
    re.VERBOSE | re.DOTALL,
)
_INSTRUCTION = re.compile(
    r"(?:the )?instructions for (?:a|the) (?:text to )?video (?:model|generator)\b"
    r"|(?:a|one)(?: single)? paragraph (?:that|which) describes (?:an?|the|your) (?:\w+ ){0,3}(?:clip|video)\b"
)
"""How a text begins that repeats what a video prompt shall be."""
_OF_WRITING = re.compile(rf"\b(?:{_FIELD}|insert|describe|describes|your|here|placeholder)\b", re.IGNORECASE)

_TITLE_RUN, _TEXT_RUN = 4, 6
"""Words in a row that make a value part of the example: in its title, and in its video prompt."""


def fault_of(draft: Draft, examples: tuple[Draft, ...]) -> str | None:
    """Return why an object is no draft; None if it is one."""
    if not draft.title or not draft.video_prompt:
        return EMPTY
    if is_placeholder(draft.title) or is_placeholder(draft.video_prompt):
        return PLACEHOLDER
    return COPIED if any(_copies(draft, example) for example in examples) else None


def is_placeholder(text: str) -> bool:
    """Say whether a text only stands where one belongs: dots, a name in brackets, `string`, `your title here`.

    A title of emoji alone is no placeholder.
    """
    inner = text.strip()
    if not any(map(_says_something, inner)):
        return True
    bracketed = False
    while len(inner) > 1 and _BRACKETS.get(inner[0]) == inner[-1]:
        inner, bracketed = inner[1:-1].strip(), True
    spoken = words(inner)
    if bracketed:
        return len(spoken) <= _FEW_WORDS or text[0] == "<" or bool(_OF_WRITING.search(inner))
    if _INSTRUCTION.match(" ".join(spoken[:20])):
        return True
    return len(spoken) <= 20 and _FILL_IN.fullmatch(" ".join(spoken)) is not None


def _says_something(char: str) -> bool:
    """Say whether a character is a letter, a digit or a picture, and not punctuation."""
    category = unicodedata.category(char)
    return char != "\ufffd" and category[0] not in "PZM" and category not in ("Sm", "Sk", "Sc", "Cc", "Cf", "Cs")


def copies_text(text: str, example: Draft) -> bool:
    """Say whether a text is an example's title or video prompt, nearly so, or a part of one, also cut in mid-word."""
    title, prompt = _words_of(example)
    spoken = words(text)
    return (
        title_similarity(text, example.title) >= COPY
        or text_overlap(text, example.video_prompt) >= COPY
        or _within(title, spoken, _TITLE_RUN)
        or _within(spoken, title, _TITLE_RUN)
        or _within(spoken, prompt, _TEXT_RUN)
    )


def _copies(draft: Draft, example: Draft) -> bool:
    return copies_text(draft.title, example) or copies_text(draft.video_prompt, example)


@lru_cache(maxsize=256)
def _words_of(example: Draft) -> tuple[list[str], list[str]]:
    return words(example.title), words(example.video_prompt)


def _within(part: list[str], whole: list[str], fewest: int) -> bool:
    """Say whether `part`, of which the last word may be cut, stands in `whole` in a row."""
    if not fewest <= len(part) <= len(whole):
        return False
    *before, last = part
    return any(
        whole[start : start + len(before)] == before and whole[start + len(before)].startswith(last)
        for start in range(len(whole) - len(before))
    )
