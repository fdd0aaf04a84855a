"""How much of a draft stood in the references its LLM was shown: the template forbids copying, this says who did.

Two measures, each from 0 to 1, and the higher one counts: how like two titles are, letter by letter, and how much of
one reference's text stands word for word in the video prompt. It finds copies and light edits of one reference, no
paraphrases and no translations. Pure functions: nothing is read, kept or drawn.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from popbench.records import Reference

ORIGINALITY_VERSION = 1
"""Goes up when the same draft comes to be judged otherwise: drafts of other versions are judged anew."""

COPY = 0.8
"""From this similarity on a draft counts as a copy of a reference.

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
"""4-grams of which a text must have so many (8 words), or else counts as if it had: common phrases are no copies."""
_DIGITS = 6
_APOSTROPHES = "'’ʼ"


@dataclass(frozen=True, slots=True)
class Closest:
    """The reference that a draft is most like: `similarity` in [0, 1], its id, and what of the two is alike."""

    similarity: float
    reference: str
    by: Literal["title", "text"]


def closest(title: str, video_prompt: str, references: Sequence[Reference]) -> Closest | None:
    """Find the reference a draft is most like, the first of equals; None without references. Never raises."""
    letters, words = _Letters(apart=False), _Letters(apart=True)
    ours = _Title(_normal(title, letters))
    text = _Text(_words(video_prompt, words))
    best: Closest | None = None
    for reference in references:
        by_title = ours.similarity(_normal(reference.title, letters))
        theirs = (reference.title, reference.description, reference.caption)
        by_text = max([text.overlap(_words(part, words)) for part in theirs])
        # Rounded here, so that a note, a sample and a board never disagree on what is a copy.
        similarity = round(max(by_title, by_text), _DIGITS)
        if best is None or similarity > best.similarity:
            best = Closest(similarity, reference.id, "title" if by_title >= by_text else "text")
    return best


def is_copy(originality: float | None) -> bool | None:
    """Say whether a sample of this originality counts as a copy; None where no references were shown."""
    return None if originality is None else originality <= 1 - COPY + 1e-9


def describe(found: Closest) -> str:
    """Return the note on a copy: `copies reference demo-0007 (title similarity 0.93)`; nothing on what is none."""
    if found.similarity < COPY:
        return ""
    measure = "title similarity" if found.by == "title" else "text overlap"
    return f"copies reference {found.reference} ({measure} {found.similarity:.2f})"


def title_similarity(one: str, other: str) -> float:
    """Return the Dice coefficient of two titles' character trigrams, as multisets; case and punctuation do not count.

    Equal titles have 1, also titles of nothing but emoji; a blank one has 0, and so have different ones of which one
    has fewer than three characters.
    """
    letters = _Letters(apart=False)
    return _Title(_normal(one, letters)).similarity(_normal(other, letters))


def text_overlap(one: str, other: str) -> float:
    """Return how much of the shorter text stands in the longer one: shared distinct 4-grams of words, as a share.

    Signs of scripts that do not part words (Chinese, Japanese, Thai and the like) each count as a word. A text with
    fewer than five 4-grams counts as if it had five.
    """
    words = _Letters(apart=True)
    return _Text(_words(one, words)).overlap(_words(other, words))


class _Letters(dict[int, str]):
    """A table for `str.translate`: keeps letters, their marks and digits, makes the rest spaces.

    `apart` puts spaces around signs that are words of their own. It learns characters as it meets them: their
    Unicode category is too slow to ask for every time.
    """

    def __init__(self, *, apart: bool) -> None:
        super().__init__()
        self._apart = apart

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        selects = 0xFE00 <= code <= 0xFE0F  # variation selectors choose how an emoji looks
        if char in _APOSTROPHES or category == "Cf" or selects:  # neither they nor what is invisible end a word
            kept = ""
        elif category[0] in "LNM":
            kept = f" {char} " if self._apart and _is_word(code) else char
        else:
            kept = " "
        self[code] = kept
        return kept


def _is_word(code: int) -> bool:
    """Say whether a character is of a script without spaces between words: Thai to Burmese, Khmer, kana, Han."""
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


def _normal(title: str, letters: _Letters) -> str:
    """Normalise a title; one without letters and digits (emoji, say) stands for itself."""
    return " ".join(_words(title, letters) or title.split())


class _Title:
    """A normalised title to compare others with, its trigrams counted once."""

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
        # All of these are shared once; only those that stand in both more than once have to be counted.
        again = sum(
            min(self._repeated[trigram], theirs.count(trigram)) - 1 for trigram in common & self._repeated.keys()
        )
        return 2 * (len(common) + again) / (self._total + len(theirs)) if common else 0.0


def _trigrams(text: str) -> list[str]:
    return [text[start : start + 3] for start in range(len(text) - 2)]


class _Text:
    """The words of a text to compare others with, its 4-grams collected once."""

    def __init__(self, words: Sequence[str]) -> None:
        self._grams = set(_grams(words))

    def overlap(self, words: Sequence[str]) -> float:
        shared = self._grams.intersection(_grams(words))
        if not shared:  # most texts have nothing in common: theirs need not be collected
            return 0.0
        return len(shared) / max(min(len(self._grams), len(set(_grams(words)))), _MIN_GRAMS)


def _grams(words: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    return zip(words, words[1:], words[2:], words[3:], strict=False)
