"""Measures how much a draft copies from the references that its LLM was shown; the templates forbid copying.

There are two measures, each from 0 to 1, of which the higher counts: the similarity of two titles by letters, and the
share of a reference's text that is in the video prompt word for word. They find copies and light edits of one
reference, but no paraphrases and no translations. All functions are pure.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from popbench.records import Reference

ORIGINALITY_VERSION = 1
"""Raise this when the same draft gets another similarity. Drafts of other versions are then compared anew."""

COPY = 0.8
"""A draft of this similarity or more counts as a copy of a reference.

Measured on the titles of the demo corpus (480, of about 10 words; `tests/prompting/test_originality.py` repeats it):

- Different videos: of 109,093 pairs 99.9 % stay below .70 and four reach .8, two of which differ in a number only.
  Not in these are 5,867 pairs that end in the same 7 to 9 words, for the corpus has three such endings: of two such
  titles one is half an edit of the other, and 3 % reach .8. With them the 99.9th percentile is .81.
- Light edits: of titles with another word in the place of one of theirs 89 % reach .8, with one word less 97 %, with
  one more 99.8 %; other case, punctuation or emoji leave 1. At .85 every fourth title with another word would pass.
- Captions: 99.9 % of pairs share less than .58 of their 4-grams; the ten of 114,960 that reach .8 show the same scene
  with another actor or in another place, or are equal.
- Drafts: the 400 that the two baselines write in mode `pe` on the default task copy nothing; they reach at most .44.
"""

_MIN_GRAMS = 5
"""A text with fewer 4-grams (8 words) counts as if it had so many: a common phrase is not a copy."""
_DIGITS = 6
_APOSTROPHES = "'’ʼ"


@dataclass(frozen=True, slots=True)
class Closest:
    """The reference most similar to a draft: `similarity` in [0, 1], its id, and which of the two measures counted."""

    similarity: float
    reference: str
    by: Literal["title", "text"]


def closest(title: str, video_prompt: str, references: Sequence[Reference]) -> Closest | None:
    """Return the reference most similar to a draft, the first of equals; None without references. Never raises."""
    ours = _Title(_normal(title))
    text = _Text(_words(video_prompt, _WORDS))
    best: Closest | None = None
    for reference in references:
        by_title = ours.similarity(_normal(reference.title))
        theirs = (reference.title, reference.description, reference.caption)
        by_text = max([text.overlap(_words(part, _WORDS)) for part in theirs])
        # Rounded here, so that notes, samples and boards agree on what is a copy.
        similarity = round(max(by_title, by_text), _DIGITS)
        if best is None or similarity > best.similarity:
            best = Closest(similarity, reference.id, "title" if by_title >= by_text else "text")
    return best


def is_copy(originality: float | None) -> bool | None:
    """Say whether a sample of this originality counts as a copy; None if no references were shown."""
    return None if originality is None else originality <= 1 - COPY + 1e-9


def describe(match: Closest) -> str:
    """Return the note on a copy, `copies reference demo-0007 (title similarity 0.93)`; empty if it is not a copy."""
    if match.similarity < COPY:
        return ""
    measure = "title similarity" if match.by == "title" else "text overlap"
    return f"copies reference {match.reference} ({measure} {match.similarity:.2f})"


def title_similarity(one: str, other: str) -> float:
    """Return the Dice coefficient of two titles' character trigrams, as multisets; case and punctuation do not count.

    It is 1 for equal titles, also of emoji alone; 0 for a blank title, and for different titles of which one has fewer
    than three characters.
    """
    return _Title(_normal(one)).similarity(_normal(other))


def text_overlap(one: str, other: str) -> float:
    """Return the share of the shorter text's distinct 4-grams of words that are in the longer one.

    In scripts without spaces between words (Chinese, Japanese, Thai and others) each character counts as a word. A text
    with fewer than five 4-grams counts as if it had five.
    """
    return _Text(_words(one, _WORDS)).overlap(_words(other, _WORDS))


def words(text: str) -> list[str]:
    """Return a text's words as they are compared: without case, punctuation and emoji."""
    return _words(text, _WORDS)


class _Letters(dict[int, str]):
    """A table for `str.translate` that keeps letters, their marks and digits, and replaces the rest by spaces.

    `apart` puts spaces around characters that count as words. Entries are made on first use and kept, since looking up
    a character's Unicode category is slow.
    """

    def __init__(self, *, apart: bool) -> None:
        super().__init__()
        self._apart = apart

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        selects = 0xFE00 <= code <= 0xFE0F  # variation selectors choose how an emoji looks
        if char in _APOSTROPHES or category == "Cf" or selects:  # these, and invisible characters, do not end a word
            kept = ""
        elif category[0] in "LNM":
            kept = f" {char} " if self._apart and _is_word(code) else char
        else:
            kept = " "
        if len(self) >= _KEPT:
            self.clear()
        self[code] = kept
        return kept


_KEPT = 20_000
"""Entries of a table at most: a text of all of Unicode must not stay in memory."""
_LETTERS, _WORDS = _Letters(apart=False), _Letters(apart=True)


def _is_word(code: int) -> bool:
    """Say whether a character is of a script without spaces between words: Thai, Lao, Burmese, Khmer, kana, Han."""
    return (
        0x3040 <= code <= 0x30FF
        or 0x3400 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x3FFFF
        or 0x0E00 <= code <= 0x0EFF
        or 0x1000 <= code <= 0x109F
        or 0x1780 <= code <= 0x17FF
    )


def _words(text: str, letters: _Letters) -> list[str]:
    return unicodedata.normalize("NFKC", text).casefold().translate(letters).split()


def _normal(title: str) -> str:
    """Normalise a title; one without letters and digits, such as of emoji, stays as it is."""
    return " ".join(_words(title, _LETTERS) or title.split())


class _Title:
    """A normalised title whose trigrams are counted once, for comparison with many others."""

    def __init__(self, text: str) -> None:
        self.text = text
        counts = Counter(_trigrams(text))
        self._total = counts.total()
        self._distinct = frozenset(counts)
        self._repeated = {trigram: count for trigram, count in counts.items() if count > 1}

    def similarity(self, other: str) -> float:
        if not self.text or not other:
            return 0.0
        if self.text == other:
            return 1.0
        theirs = _trigrams(other)
        common = self._distinct.intersection(theirs)
        # Each of these is shared once. Only those that occur more than once in both need counting.
        again = sum(
            min(self._repeated[trigram], theirs.count(trigram)) - 1 for trigram in common & self._repeated.keys()
        )
        return 2 * (len(common) + again) / (self._total + len(theirs)) if common else 0.0


def _trigrams(text: str) -> list[str]:
    return [text[start : start + 3] for start in range(len(text) - 2)]


class _Text:
    """A text whose 4-grams are collected once, for comparison with many others."""

    def __init__(self, words: Sequence[str]) -> None:
        self._grams = set(_grams(words))

    def overlap(self, words: Sequence[str]) -> float:
        shared = self._grams.intersection(_grams(words))
        if not shared:  # most texts share nothing: do not collect theirs
            return 0.0
        return len(shared) / max(min(len(self._grams), len(set(_grams(words)))), _MIN_GRAMS)


def _grams(words: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    return zip(words, words[1:], words[2:], words[3:], strict=False)
