"""The phrases that `shotlist` chooses from, and how references influence the choice."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

import popbench
from popbench_baselines.titles import SHAPES, Shape, shape_of, words_of

_FUNCTION_WORD_LIST = """
a an the and or but if so as at by for from in into is it its of on onto over that this these those to under
up with without within was were be been being are am do does did has have had will would can could should may
might must not no yes i me my we us our you your he him his she her they them their who whom whose which what
when where why how than then there here very really just also more most some any each every all both few many
much such own same other another one about after again against before between during through while because
until make makes making made create creates creating generate produce film shoot show shows showing shown
feature features featuring want wants need like video videos micro-video clip clips short please let lets
let's i'd i'm give tell think idea ideas something someone get gets style
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORD_LIST.split())

TITLES: dict[Shape, tuple[str, ...]] = {
    "question": (
        "Ready for {topic}?",
        "Have you seen {topic} like this?",
        "What if {topic} came first?",
        "{topic}: would you stay?",
        "Who needs {topic} today?",
    ),
    "number": (
        "3 seconds of {topic}",
        "{topic} in 3 seconds",
        "1 take, 1 wish: {topic}",
        "{topic}, watched 100 times",
        "Top 1 today: {topic}",
    ),
    "emotion": (
        "{topic} made me cry",
        "Unbelievable: {topic}",
        "So much love for {topic}",
        "Goosebumps! {topic}",
        "{topic}, and my heart melts",
    ),
    "plain": ("{topic}, up close", "{topic} in one shot", "One look at {topic}", "{topic}, right here"),
}

CAMERAS = (
    "Slow close-up",
    "Low tracking shot",
    "Handheld chase shot",
    "Quick push-in",
    "Wide aerial view",
    "Still tripod shot",
    "Smooth half circle",
    "Top-down shot",
)
LIGHTS = (
    "in bright morning sunlight",
    "in vivid summer daylight",
    "in golden evening light",
    "at night under neon signs",
    "in soft grey daylight",
    "by warm candle glow in the dark",
    "under a starry night sky",
    "in pale winter light with drifting snow",
)
PACES = (
    "The action runs at a rapid, rushing pace.",
    "A sudden burst of movement crosses the frame.",
    "Everything keeps spinning and dancing.",
    "The movement is slow and gentle.",
    "Time almost stands still, calm and quiet.",
    "The motion is steady, at walking pace.",
)
HOOKS = (
    "The first frame already shows the surprise.",
    "It opens on a tiny detail that fills the picture.",
    "A hand reaches into the frame at once.",
    "At first only a silhouette can be made out.",
    "Something falls past the lens before anything else.",
)
BEATS = (
    "Then {topic} turns towards the viewer.",
    "Then the view pulls back and reveals {topic} as a whole.",
    "One small gesture changes everything around {topic}.",
    "Particles and steam swirl around {topic}.",
    "Behind {topic}, the background slides by in layers.",
)
ENDS = (
    "The last frame matches the first, so that it loops.",
    "It ends on a held breath, just before the answer.",
    "It closes on a smile and a glint of light.",
    "A final flash leaves one question open.",
)


class ReferenceStyle:
    """Compares the more commented half of some references with the other half, by words and shapes of titles."""

    def __init__(self, references: Sequence[popbench.Reference]) -> None:
        ranked = sorted(references, key=lambda reference: (-reference.popularity, reference.id))
        self._upper, self._lower = ranked[: (len(ranked) + 1) // 2], ranked[(len(ranked) + 1) // 2 :]
        self._in_upper = Counter(word for reference in self._upper for word in _words(reference))
        self._in_lower = Counter(word for reference in self._lower for word in _words(reference))
        levels = {reference.id: math.log2(1 + max(0.0, reference.popularity)) for reference in ranked}
        middle = math.fsum(levels.values()) / max(1, len(levels))
        self._shapes: dict[Shape, float] = {}
        self._counts = Counter(shape_of(reference.title) for reference in ranked)
        for shape in SHAPES:
            own = [levels[reference.id] for reference in ranked if shape_of(reference.title) == shape]
            # two average videos are added for each shape, so that one lucky title has little weight
            self._shapes[shape] = (math.fsum(own) + 2 * middle) / (len(own) + 2) - middle

    def odds(self, word: str) -> float:
        """Return the smoothed log odds that a word is in the upper half and not in the lower."""
        upper, lower = self._in_upper[word], self._in_lower[word]
        in_favour = math.log((upper + 0.5) / (len(self._upper) - upper + 0.5))
        return in_favour - math.log((lower + 0.5) / (len(self._lower) - lower + 0.5))

    def best_shape(self, among: Sequence[Shape]) -> Shape:
        """Return the shape whose titles have the most comments; the first of equals."""
        return max(among, key=lambda shape: self._shapes[shape])

    def pick(self, rnd: random.Random, options: Sequence[str]) -> str:
        """Return the option whose words the upper half uses more; a random one without references."""
        if not self._upper:
            return rnd.choice(options)
        # the best of a random subset, so that shots differ with the same references
        return max(rnd.sample(options, len(options) * 2 // 3), key=self._appeal)

    def _appeal(self, option: str) -> float:
        words = [word for word in set(words_of(option)) if word not in FUNCTION_WORDS and self._occurs(word)]
        # summed in alphabetical order, so that the last bits do not depend on the order of a set
        return math.fsum(self.odds(word) for word in sorted(words)) / (len(words) + 1)

    def _occurs(self, word: str) -> bool:
        return self._in_upper[word] + self._in_lower[word] > 0

    def reason(self, shape: Shape) -> str:
        """Return why a shape was chosen, as text."""
        return f"{shape}, {self._shapes[shape]:+.2f} in log2 comments over {self._counts[shape]} of the titles"

    def summary(self) -> str:
        """Return two sentences on how the halves differ."""
        words = [word for word in {*self._in_upper, *self._in_lower} if len(word) > 3 and word.isascii()]
        words.sort(key=lambda word: (self.odds(word), word))
        liked = ", ".join(reversed(words[-4:])) or "none"
        disliked = ", ".join(words[:4]) or "none"
        return (
            f"The {len(self._upper)} more commented references say more often: {liked}. "
            f"The {len(self._lower)} less commented ones say more often: {disliked}."
        )


def _words(reference: popbench.Reference) -> set[str]:
    text = f"{reference.title} {reference.description} {reference.caption}"
    return {word for word in words_of(text) if word not in FUNCTION_WORDS and len(word) > 2 and not word.isdigit()}
