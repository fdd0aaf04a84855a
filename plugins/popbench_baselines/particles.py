"""Paints the small things of `kinetic`'s pictures: sun and stars behind the ground; snow, petals, sparks before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from popbench_baselines.scene import Colour, Scene

_BEHIND = frozenset({"star"})
_WHITE = (255.0, 255.0, 255.0)

Motion = Callable[[float], tuple[float, float, float]]
"""Maps a time in seconds to x and y in pixels, and the strength from 0 to 1."""


@dataclass(slots=True)
class _Sprite:
    """A patch of colour: the share of the background that it keeps (`keep`) and what it adds, in 1/128."""

    keep: NDArray[np.uint16]
    add: NDArray[np.uint16]


def _sprite(cover: NDArray[np.float64], colour: Colour) -> _Sprite:
    share = np.rint(128 * np.clip(cover, 0, 1))[..., None]
    add = np.rint(share * np.array(colour))
    return _Sprite(np.repeat(128 - share, 3, axis=2).astype(np.uint16), add.astype(np.uint16))


def _oval(right: float, down: float, turn: float = 0.0, soft: float = 1.0) -> NDArray[np.float64]:
    """Return the cover of an oval with half axes `right` and `down`, `soft` pixels wide at its edge."""
    reach = math.ceil(max(right, down) + soft)
    y, x = np.arange(-reach, reach + 1)[:, None], np.arange(-reach, reach + 1)[None, :]
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn)
    distance = np.sqrt((along / right) ** 2 + (across / down) ** 2)
    return np.clip((1 - distance) * min(right, down) / soft + 0.5, 0, 1)


def _stamp(frame: NDArray[np.uint8], sprite: _Sprite, x: float, y: float) -> None:
    """Draw a sprite on a frame, centred at a point and cut at the edges."""
    height, width, _ = frame.shape
    rows, columns, _ = sprite.keep.shape
    top, left = round(y) - rows // 2, round(x) - columns // 2
    if 0 <= top <= height - rows and 0 <= left <= width - columns:
        keep, add = sprite.keep, sprite.add
        patch = frame[top : top + rows, left : left + columns]
    else:
        bottom, right = min(height, top + rows), min(width, left + columns)
        if bottom <= max(0, top) or right <= max(0, left):
            return
        part = np.s_[max(0, -top) : bottom - top, max(0, -left) : right - left]
        keep, add = sprite.keep[part], sprite.add[part]
        patch = frame[max(0, top) : bottom, max(0, left) : right]
    mixed = patch * keep
    mixed += add
    mixed >>= 7
    patch[:] = mixed


def add(frames: NDArray[np.uint8], scene: Scene, times: Sequence[float], *, behind: bool) -> None:
    """Draw the particles behind the ground, or those before it, in place."""
    things: list[tuple[list[_Sprite], Motion]] = []
    _, height, width, _ = frames.shape
    if behind and scene.orb:
        things.append(_orb(scene, width, height))
    for kind, count in scene.particles:
        if (kind in _BEHIND) == behind:
            things += [_particle(kind, scene, width, height) for _ in range(count)]
    for sprites, place in things:
        last = len(sprites) - 1
        for frame, time in zip(frames, times, strict=True):
            x, y, strength = place(time)
            _stamp(frame, sprites[round(strength * last)], x, y)


def _orb(scene: Scene, width: int, height: int) -> tuple[list[_Sprite], Motion]:
    """Make a sun or moon that moves slowly."""
    rnd = scene.rnd
    size = height * rnd.uniform(0.075, 0.14)
    x, y, drift = scene.lamp
    disc = _sprite(_oval(size, size, soft=1.5) * 0.9, scene.glow)
    return [disc], lambda time: (x * width + drift * height * time, y * height, 1.0)


def _particle(kind: str, scene: Scene, width: int, height: int) -> tuple[list[_Sprite], Motion]:
    """Make one particle: its sprites, from faint to strong, and its motion."""
    rnd = scene.rnd
    unit = height / 176
    x, y, phase = rnd.random() * width, rnd.random() * height, rnd.random()
    near = rnd.random()
    accent = rnd.choice(scene.accents)
    pace = (0.6 + 0.8 * near) * scene.speed * unit

    def swing(time: float, turns: float) -> float:
        return math.sin(2 * math.pi * (turns * time + phase))

    if kind == "snow":
        size = (0.9 + 2.3 * near * near) * unit
        flake = _sprite(_oval(size, size, soft=1.0 + size * 0.5) * (0.6 + 0.4 * near), (250.0, 252.0, 255.0))
        return [flake], lambda time: (
            (x + 9 * unit * swing(time, 0.25)) % width,
            (y + 34 * pace * time) % height,
            1.0,
        )
    if kind == "rain":
        drop = _oval(9 * unit * (0.6 + near), 0.7 * unit, 1.75, 1.0) * (0.22 + 0.3 * near)
        streak = _sprite(drop, (214.0, 228.0, 245.0))
        return [streak], lambda time: (
            (x - 50 * pace * time) % width,
            (y + 280 * (0.6 + near) * unit * time) % height,
            1.0,
        )
    if kind == "petal":
        size = (1.8 + 3.4 * near) * unit
        shade = (255.0, 176.0 + 50 * rnd.random(), 205.0)
        petals = [
            _sprite(_oval(size, size * wide, turn + phase * 3) * 0.9, shade)
            for wide, turn in ((0.75, 0.2), (0.5, 0.8), (0.28, 1.3), (0.55, 1.9))
        ]
        return petals, lambda time: (
            (x + 38 * pace * time) % width,
            (y + 22 * pace * time + 5 * unit * swing(time, 0.4)) % height,
            0.5 + 0.5 * swing(time, 0.35),
        )
    if kind == "spark":
        size = (0.8 + 1.5 * near) * unit
        hot = [_sprite(_oval(size, size, soft=1 + size * 0.8) * power, scene.glow if near < 0.6 else accent)
               for power in (0.25, 0.5, 0.75, 1.0)]  # fmt: skip
        return hot, lambda time: (
            (x + 12 * unit * swing(time, 0.3)) % width,
            (y - 45 * pace * time) % height,
            0.6 + 0.4 * swing(time, 1.1),
        )
    if kind == "star":
        size = (0.6 + 0.7 * near) * unit
        twinkle = [_sprite(_oval(size, size, soft=1.3) * power, _WHITE) for power in (0.25, 0.5, 0.75, 1.0)]
        return twinkle, lambda time: (x, y * 0.7, 0.6 + 0.4 * swing(time, 0.5 * scene.speed))
    if kind == "glint":
        down = height * (0.62 + 0.36 * near)
        glints = [_sprite(_oval((2 + 5 * near) * unit, 0.6 * unit) * power, scene.glow)
                  for power in (0.0, 0.3, 0.6, 0.85)]  # fmt: skip
        return glints, lambda time: (
            x + 6 * unit * swing(time, 0.2),
            down,
            max(0.0, swing(time, 0.7 * scene.speed)),
        )
    size = (5 + 12 * near * near) * unit
    disc = _oval(size, size, soft=1.5)
    ring = disc * 0.20 + np.clip(disc - _centred(_oval(size - 1.6, size - 1.6, soft=1.5), disc), 0, 1) * 0.14
    circle = _sprite(ring * (1.0 + 0.5 * scene.dark), accent if near < 0.7 else scene.glow)
    lift = y * 0.75
    return [circle], lambda time: (
        x + 16 * pace * time * (1 if phase < 0.5 else -1),
        lift - 7 * pace * time + 3 * unit * swing(time, 0.2),
        1.0,
    )


def _centred(small: NDArray[np.float64], like: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pad a smaller square on all sides to the size of `like`."""
    rim = (like.shape[0] - small.shape[0]) // 2
    return np.pad(small, rim)
