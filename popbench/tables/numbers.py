"""Numbers as people write them: which sign parts decimals and thousands is said, and never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

SIGNS = {"point": ".", "comma": ",", "space": " ", "apostrophe": "'"}
"""Signs within numbers, by the words for them in options."""
Decimal = Literal["point", "comma"]
Thousands = Literal["point", "comma", "space", "apostrophe"]

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)
"""A number whose point may as well part its thousands."""
_WHOLE = re.compile(r"[+-]?0*[1-9]\d*", re.ASCII)
_CLASS = {".": r"\.", ",": ",", " ": "[ \u00a0\u2007\u2009\u202f]", "'": "['’]"}


def sign_word(text: str) -> str:
    """Return the word for a sign given as such or by its word, for options; any other text unchanged."""
    return next((word for word, sign in SIGNS.items() if text == sign), "space" if text == "\u00a0" else text)


@dataclass(frozen=True, slots=True)
class NumberForm:
    """How numbers in texts are written, by the words of `SIGNS`; without both, plainly: `1037.5`, `1e3`."""

    decimal: str | None = None
    thousands: str | None = None

    def __post_init__(self) -> None:
        if self.thousands is not None and self.thousands == self._decimal:
            raise ValueError(f"decimals and thousands cannot both be parted by a {self.thousands}")

    @property
    def given(self) -> bool:
        """Whether it was said how numbers are written."""
        return self.decimal is not None or self.thousands is not None

    @property
    def _decimal(self) -> str:
        return self.decimal or ("comma" if self.thousands == "point" else "point")

    def number(self, text: str) -> float:
        """Read a number; raises ValueError, which says in which forms the text could be read."""
        plain = self._plain(text.strip())
        if plain is None:
            raise ValueError(f"{text!r:.60} is not a number{self.advice(text)}")
        return float(plain)

    def advice(self, text: str) -> str:
        """Return in which other forms a text would be a number, to follow `is not a number`."""
        text = text.strip()
        forms = [form for form in _forms() if form != self and form._plain(text) is not None]
        ways = [_said(form) for form in forms if form._occurs_in(text)][:2]
        if self.given and NumberForm()._plain(text) is not None:
            ways = ["decimal=point", *ways[:1]]
        return f" as it is written: say {' or '.join(ways)}" if ways else ""

    def _occurs_in(self, text: str) -> bool:
        """Return whether a text has all the signs of this form."""
        words = [word for word in (self.decimal, self.thousands) if word is not None]
        return all(re.search(_CLASS[SIGNS[word]], text) for word in words)

    def _plain(self, text: str) -> str | None:
        """Return a number in the plain form; None if it is none of this form."""
        point = SIGNS[self._decimal]
        if self.thousands is not None:
            sign = _CLASS[SIGNS[self.thousands]]
            grouped = rf"([+-]?)([1-9]\d{{0,2}}(?:{sign}\d{{3}})+)((?:{_CLASS[point]}\d*)?)"
            match = re.fullmatch(grouped, text, re.ASCII)
            if match:
                text = match[1] + re.sub(sign, "", match[2]) + match[3]
        if point != ".":
            if "." in text:
                return None
            text = text.replace(point, ".")
        return text if _PLAIN.fullmatch(text) else None


_SETTING = "(decimal|thousands)=(point|comma|space|apostrophe|[.,' ])"
_SETTINGS = re.compile(rf"{_SETTING}(?:,{_SETTING})?")


def read_form(text: str) -> NumberForm:
    """Read a form from `decimal=SIGN`, `thousands=SIGN` or both with a comma between; raises ValueError."""
    match = _SETTINGS.fullmatch(text.strip())
    pairs = [(match[1], match[2]), (match[3], match[4])] if match else []
    named = {name: sign_word(sign) for name, sign in pairs if name}
    if not named or (match and match[1] == match[3]) or named.get("decimal") in ("space", "apostrophe"):
        raise ValueError(
            f"expected decimal=point or comma, thousands=point, comma, space or apostrophe, or both, not {text!r}"
        )
    return NumberForm(**named)


def _forms() -> Iterator[NumberForm]:
    """Yield all forms, simple ones first."""
    for decimal, thousands in (
        (None, "comma"), ("comma", None), (None, "space"), (None, "apostrophe"), (None, "point"),
        ("comma", "space"), ("comma", "apostrophe"),
    ):  # fmt: skip
        yield NumberForm(decimal, thousands)


def _said(form: NumberForm) -> str:
    named = {"decimal": form.decimal, "thousands": form.thousands}
    return ",".join(f"{name}={word}" for name, word in named.items() if word is not None)


class PointWatch:
    """Watches the texts of a column of numbers, to find out whether `1.037` may mean 1037.

    It may if points are followed by three digits in all of them, and others are whole numbers, as in `1.037` beside
    `889`. With `counts`, for a column of counts, whole numbers need not stand beside.
    """

    def __init__(self, form: NumberForm, *, counts: bool = False) -> None:
        self._off = form.given
        self._grouped = self._whole = ""
        self._counts = counts

    def see(self, text: str) -> None:
        """Take note of a number's text."""
        if self._off:
            return
        text = text.strip()
        if "." in text or "e" in text or "E" in text:
            if not _GROUPED.fullmatch(text):
                self._off = True  # a decimal: this column has points for decimals
            self._grouped = self._grouped or text
        elif not self._whole and _WHOLE.fullmatch(text):
            self._whole = text

    def problem(self) -> str | None:
        """Return in one phrase what can be read in two ways; None if nothing can."""
        if self._off or not self._grouped or not (self._whole or self._counts):
            return None
        beside = f" beside {self._whole!r}" if self._whole else ""
        whole = self._grouped.replace(".", "")
        return f"{self._grouped!r}{beside} may mean {whole} as well: say decimal=point or thousands=point"
