"""The shape of a title, used by `shotlist` and by the demonstration predictor."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Shape: TypeAlias = Literal["question", "number", "emotion", "plain"]
SHAPES: tuple[Shape, ...] = ("question", "number", "emotion", "plain")

_EMOTION_WORDS = """
cried cry crying tears broke heart heartbreaking shocking shocked unbelievable amazing incredible happy love
loved proud proudest wow beautiful scared scary terrifying funny hilarious emotional sad angry epic insane
stunning goosebumps unforgettable magical
"""
EMOTION = frozenset(_EMOTION_WORDS.split())


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"[^\W_]+", text.lower())


def shape_of(title: str) -> Shape:
    """Return the shape of a title: a question, an emotion, a number, or plain. The first that applies counts."""
    if title.rstrip().endswith(("?", "？")):
        return "question"
    if any(word in EMOTION for word in words_of(title)):
        return "emotion"
    return "number" if any(character.isdigit() for character in title) else "plain"
