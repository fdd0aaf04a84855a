"""Turns a prompt into a scene for `kinetic`: ground, light, colours, speed.

A lexicon maps words to traits. Everything else comes from hashes of the words (hue) and from the seed (positions), so
that every prompt has its own picture, and the same request always has the same one.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from dataclasses import dataclass

Colour = tuple[float, float, float]
"""Red, green and blue from 0 to 255."""

TRAITS: dict[str, str] = {
    "night": "night midnight dark moon moonlit moonlight evening dusk shadow shadowy star starry nocturnal dim",
    "bright": "bright sunlit sunny sunlight daylight noon radiant vivid dazzling shining morning summer blazing",
    "gold": "golden gold sunset sunrise dawn amber honey glow glowing candle lantern warm autumn desert fire",
    "neon": "neon cyber cyberpunk electric laser hologram led futuristic robot pixel arcade synthwave glitch",
    "cold": "snow snowy ice icy frost frozen winter glacier blizzard arctic cold",
    "fast": "fast race racing run running rush rushing dash chase jump leap leaping explode explosion burst spin "
    "spinning whirl dance dancing fight battle storm speed quick sprint zoom whip swirl flying crash rapid",
    "slow": "slow slowly calm gentle gently quiet still serene peaceful soft drift drifting dream dreamy sleep "
    "sleeping lazy relax tranquil motionless silent cozy",
    "city": "city street skyline downtown rooftop building skyscraper subway traffic alley urban apartment tower",
    "sea": "sea ocean beach wave surf lake river island boat ship harbor harbour underwater fish whale coast "
    "swim swimming sail shore water",
    "wood": "forest tree wood jungle bamboo pine garden park leaf leaves panda fox camping cabin",
    "hill": "hill mountain valley field meadow village farm desert dune countryside grass castle road cliff horse",
    "food": "food cook cooking kitchen noodle ramen soup dish bowl plate bake baking cake bread chocolate cheese "
    "sauce sizzling steak sushi dumpling pizza burger dessert coffee tea rice fry frying spice chef eat eating "
    "delicious crispy tasty recipe meal broth pan wok cream pancake curry egg barbecue grill snack fruit hotpot",
    "stage": "stage concert crowd festival sing singer singing band audience spotlight performance party theater "
    "theatre cinema movie film stadium actor drum guitar song orchestra",
    "game": "game gamer gaming console level boss player controller esports speedrun quest arcade joystick",
    "bloom": "anime sakura cherry blossom petal flower rose spring bloom blooming love romantic heart pink magical",
    "spark": "spark sparks firework fireworks magic fire flame ember glitter sparkle confetti celebrate explosion",
    "rain": "rain rainy raining storm wet umbrella puddle drizzle thunder",
    "space": "space galaxy planet cosmos cosmic universe rocket astronaut nebula alien orbit meteor comet",
}
"""Traits, with the words that imply them."""

_MOODS = {"gold": 60, "neon": 325, "cold": 235, "bloom": 5, "night": 280, "space": 290, "stage": 330,
          "game": 300, "bright": 232, "food": 62, "rain": 245}  # fmt: skip
_PLACES = {"city": 300, "sea": 225, "wood": 150, "hill": 135, "food": 50, "stage": 290, "game": 285}
_GROUNDS = {"city": "city", "sea": "sea", "wood": "pines", "hill": "hills", "food": "table", "stage": "crowd",
            "game": "grid", "space": "none"}  # fmt: skip
_TRAIT_OF: dict[str, list[str]] = {}
for _trait, _words in TRAITS.items():
    for _word in _words.split():
        _TRAIT_OF.setdefault(_word, []).append(_trait)
_FUNCTION_WORDS = """
the and for with that this from into over under about video clip make create show short some very have has are
was were been being its his her their our your you they them then than while where when which who what how
please want would like can could should will just only also more most one two three
"""
_SKIPPED = frozenset(_FUNCTION_WORDS.split())


def content_words(text: str) -> list[str]:
    """Return the words that carry meaning, in order and in lower case."""
    return [word for word in re.findall(r"[^\W_]+", text.lower()) if len(word) > 2 and word not in _SKIPPED]


def _traits_of(word: str) -> list[str]:
    for form in (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ing")):
        if form in _TRAIT_OF:
            return _TRAIT_OF[form]
    return []


def number(text: str) -> int:
    """Return a 64-bit number that depends on every letter of `text` (Python's hash() changes between runs)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """Return a colour of the OKLCH space, in which equal lightness looks equally light for every hue."""
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (255.0 * min(1.0, max(0.0, value)) ** (1 / 2.2) for value in linear)
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Scene:
    """The description of a picture. `rnd` draws what the words do not decide."""

    ground: str
    sky: tuple[Colour, Colour, Colour]
    glow: Colour
    accents: tuple[Colour, ...]
    shade: Colour
    dark: float
    speed: float
    ribbons: int
    beams: int
    steam: bool
    clouds: float
    orb: bool
    lamp: tuple[float, float, float]
    """The position of the light: x in widths, y in heights; and its speed to the right, in heights per second."""
    particles: tuple[tuple[str, int], ...]
    rnd: random.Random


def read(prompt: str, seed: int) -> Scene:
    """Return the scene of a prompt. The same prompt and seed give the same scene."""
    words = content_words(prompt)
    hits: dict[str, int] = dict.fromkeys(TRAITS, 0)
    for word in words:
        for trait in _traits_of(word):
            hits[trait] += 1
    level = {trait: 1 - 0.45**count for trait, count in hits.items()}
    own = number(" ".join(words) or prompt)
    rnd = random.Random(f"{seed}:{own}")

    across, along = math.cos(own % 360), math.sin(own % 360)
    for word in words:
        turn = math.radians(number(word) % 360)
        across, along = across + 0.5 * math.cos(turn), along + 0.5 * math.sin(turn)
    for hues, weight in ((_MOODS, 7.0), (_PLACES, 1.5)):
        for trait, angle in hues.items():
            across += weight * level[trait] * math.cos(math.radians(angle))
            along += weight * level[trait] * math.sin(math.radians(angle))
    hue = math.degrees(math.atan2(along, across)) + rnd.uniform(-8, 8)

    dark = 0.46 + 0.5 * level["night"] + 0.35 * level["space"] + 0.3 * level["neon"] + 0.2 * level["stage"]
    dark += 0.12 * level["game"] - 0.45 * level["bright"] - 0.2 * level["gold"] - 0.25 * level["cold"]
    dark = min(1.0, max(0.0, dark - 0.2 * level["bloom"] + 0.08 * level["rain"] + rnd.uniform(-0.05, 0.05)))
    rich = min(1.0, len(set(words)) / 30)
    chroma = 0.06 + 0.06 * rich + 0.07 * level["neon"] + 0.03 * (level["gold"] + level["bloom"]) + 0.02 * dark
    chroma *= 1 - 0.45 * level["cold"]
    sunset = 15 < hue % 360 < 105
    twist = rnd.uniform(24, 46) * (1 if sunset or rnd.random() < 0.5 else -1)
    high, mid, low = (-1.7, -0.6, 0.25) if sunset else (-1.0, 0.0, 1.0)  # a low sun: rose above, gold below
    light = 0.86 - 0.58 * dark
    sky = (
        oklch(light - 0.12, chroma, hue + high * twist),
        oklch(light, chroma * 1.1, hue + mid * twist),
        oklch(min(0.95, light + 0.12 + 0.08 * dark), chroma * 1.15, hue + low * twist),
    )
    vivid = 0.11 + 0.07 * max(level["neon"], level["spark"], level["stage"]) + 0.04 * rich
    turns = (twist * 2.2, 170.0, -twist * 1.6, 120.0, -110.0)
    accents = tuple(oklch(0.8 - 0.06 * dark, vivid, hue + turn) for turn in turns[: 2 + round(3 * rich)])
    warm = max(level["gold"], level["food"], level["spark"])
    sunny = warm > 0.3 or level["bright"] > 0.3
    glow = oklch(0.95, 0.035 + 0.075 * warm, 82 if sunny else hue + twist)

    earth = {"cold": 250} if hits["cold"] else _PLACES
    shade_hue = next((angle for trait, angle in earth.items() if hits[trait]), hue - 1.4 * twist)

    votes = {trait: hits[trait] + rnd.random() * 0.5 for trait in _GROUNDS if hits[trait]}
    ground = _GROUNDS[max(votes, key=lambda trait: votes[trait])] if votes else ""
    if not ground:
        ground = ("hills", "none", "sea", "pines", "none", "hills")[own % 6]
    pace = 2.0 ** (1.7 * level["fast"] - 1.3 * level["slow"] + 0.4 * level["neon"]) * rnd.uniform(0.9, 1.1)

    particles: list[tuple[str, int]] = []
    if level["cold"]:
        particles.append(("snow", 30))
    if level["rain"]:
        particles.append(("rain", 26))
    if level["bloom"]:
        particles.append(("petal", 16))
    if level["spark"]:
        particles.append(("spark", 26))
    if dark > 0.62:
        particles.append(("star", 14 + round(12 * rich)))
    if ground in ("table", "crowd", "city") or not particles:
        particles.append(("bokeh", 7 + round(9 * rich)))
    if ground == "sea":
        particles.append(("glint", 20))
    particles = particles[:3]
    share = min(1.0, 42 / sum(count for _, count in particles))  # each particle costs time in every frame
    return Scene(
        ground=ground,
        sky=sky,
        glow=glow,
        accents=accents,
        shade=oklch(0.42 - 0.22 * dark, 0.05 + 0.2 * chroma, shade_hue),
        dark=dark,
        speed=pace,
        ribbons=(1 if ground in ("table", "sea") else 2) + round(2 * rich) if dark > 0.3 or not votes else 1,
        beams=4 if ground == "crowd" else 0,
        steam=ground == "table",
        clouds=0.0 if ground in ("table", "crowd", "grid") else 0.75 - 0.5 * dark,
        orb=ground not in ("table", "crowd") or not hits["food"] + hits["stage"],
        lamp=(rnd.uniform(0.18, 0.82), rnd.uniform(0.2, 0.42), 0.035 * pace * rnd.choice((-1, 1))),
        particles=tuple((kind, round(count * share)) for kind, count in particles),
        rnd=rnd,
    )
