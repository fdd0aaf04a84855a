"""A language model small enough to read: it puts a haiku together from lines, those that suit the prompt first."""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Iterable, Iterator, Sequence

import popbench
import pydantic

FIRST = (
    "Morning mist lifting",
    "Rain on the window",
    "One lamp in the dark",
    "Steam above the street",
    "Snow on empty roofs",
)
SECOND = (
    "a small hand opens slowly",
    "footsteps turn and come closer",
    "the whole room begins to laugh",
    "something bright runs out of frame",
    "the wind changes its mind twice",
)
THIRD = (
    "and nobody blinks",
    "then it looks at you",
    "the light stays behind",
    "and the song goes on",
    "once more, from the start",
)
SUBJECT_LIMIT = 28
"""With the longest first line this keeps a title within the 50 characters that tasks allow."""


class Haiku(popbench.LLM):
    """Answers every prompt with a haiku, filmed in three shots."""

    # Part of the fingerprint. Change it whenever the same options and seed would give another answer.
    version = "1"

    class Options(popbench.Options):
        """What `haiku,temperature=0.2` may set; anything else is refused."""

        temperature: float = pydantic.Field(default=0.7, ge=0, description="0 takes the lines that suit best")
        # Results do not depend on it, so it is in no fingerprint and in no label.
        pause: float = popbench.runtime(0.0, ge=0, description="seconds to wait, to watch a run go by")

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        """Write one haiku after the other, each as soon as it is asked for."""
        for chat in chats:
            started = time.perf_counter()
            if not chat.prompt.strip():
                # The model's own failure: it is final. Without `invalid`, a resume would try again.
                yield popbench.Failure(chat.id, "there is nothing to write about", invalid=True)
                continue
            time.sleep(self.options.pause)
            text = self._write(chat)
            yield popbench.Completion(chat.id, text, seconds=time.perf_counter() - started)

    def _write(self, chat: popbench.Chat) -> str:
        # The only source of chance is the chat's seed, so that a resumed run draws what the first would have.
        rnd = random.Random(f"haiku:{chat.seed}:{chat.prompt}")
        words = re.findall(r"\w+", chat.prompt.lower())
        first, second, third = (self._line(rnd, lines, words) for lines in (FIRST, SECOND, THIRD))
        subject = max(words, key=len, default="this")[:SUBJECT_LIMIT]
        draft = {
            "title": f"{first}: {subject}",
            "video_prompt": f"A film in three quiet shots about: {' '.join(chat.prompt.split())} "
            f"First shot: {first.lower()}. Second shot: {second}. Last shot: {third}. Natural light, slow camera.",
        }
        return json.dumps(draft, ensure_ascii=False)

    def _line(self, rnd: random.Random, lines: Sequence[str], words: Sequence[str]) -> str:
        fits = [len(set(line.lower().split()) & set(words)) for line in lines]
        best = max(fits)
        if self.options.temperature == 0:
            return lines[fits.index(best)]
        weights = [math.exp((fit - best) / self.options.temperature) for fit in fits]
        return rnd.choices(lines, weights)[0]
