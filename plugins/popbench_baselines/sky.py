"""Paints the soft parts of `kinetic`'s pictures on a coarse grid (sky, clouds, ribbons of light), and enlarges them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from popbench_baselines.scene import Colour, Scene

STEP = 4
"""Pixels from one point of the coarse grid to the next."""

Grid: TypeAlias = "NDArray[np.floating[Any]]"
"""Rows or pictures of float32; phases are float64."""

_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.uint16)


def wave(turns: Grid) -> Grid:
    """Return sines of `turns` (1 is a full circle), for short float64 rows.

    The last bits of a sine differ between machines; conversion to float32 drops them.
    """
    sines: Grid = np.sin(turns * (2 * np.pi)).astype(np.float32)
    return sines


def _tint(canvas: Grid, amount: Grid, colour: Colour, power: float) -> None:
    """Add light of a colour to the canvas (3, frames, h, w) by screen blending, which never exceeds white."""
    for plane, value in zip(canvas, colour, strict=True):
        plane += (255 - plane) * (amount * np.float32(power * value / 255))


def paint(scene: Scene, times: Sequence[float], width: int, height: int) -> Grid:
    """Paint the sky of a scene on the coarse grid: float32 (3, frames, h, w) from 0 to 255."""
    rnd = scene.rnd
    rows, columns = -(-height // STEP) + 1, -(-width // STEP) + 1
    aspect = width / height
    t = np.array(times, np.float64)[:, None, None]
    x = (np.arange(columns) * (STEP / height))[None, None, :]
    y = (np.arange(rows) * (STEP / height))[None, :, None]
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    speed = scene.speed

    # the sky: three colours from top to bottom, bent by two slow swells
    bend: Grid = wave(x * rnd.uniform(0.25, 0.5) + t * 0.10 * speed + rnd.random()) * wave(y * 0.4 + rnd.random())
    bend += 0.6 * wave(x * rnd.uniform(0.6, 0.9) - t * 0.16 * speed + rnd.random())
    place = np.clip(y32 * 1.15 + np.float32(0.14) * bend, 0, 1)
    upper = np.maximum(1 - 2 * place, 0)
    lower = np.maximum(2 * place - 1, 0)
    middle = 1 - upper - lower
    canvas = np.empty((3, *place.shape), np.float32)
    for plane, top, mid, low in zip(canvas, *scene.sky, strict=True):
        plane[:] = upper * np.float32(top) + middle * np.float32(mid) + lower * np.float32(low)

    if scene.clouds > 0:
        drift = t * 0.05 * speed
        puffs: Grid = np.full_like(place, 0.1)
        for across, down, size in ((0.5, 1.1, 0.5), (0.9, -2.3, 0.45), (1.9, 3.4, 0.25), (2.6, -4.9, 0.18)):
            # a slanting wave is the sum of two products of waves along x and along y
            ahead, aside = x * across - drift * (1 + across) + rnd.random(), y * down + rnd.random()
            slant: Grid = wave(ahead) * wave(aside + 0.25) + wave(ahead + 0.25) * wave(aside)
            puffs += np.float32(size) * slant
        amount: Grid = np.clip(puffs, 0, 1) * np.clip(1.25 - 1.5 * y32, 0, 1)
        _tint(canvas, amount, (255, 250, 246), scene.clouds)

    # the wide glow around the light, which pulsates
    lamp_x, lamp_y, lamp_pace = scene.lamp
    far = (x32 - (lamp_x * aspect + lamp_pace * t).astype(np.float32)) ** 2 + (y32 - lamp_y) ** 2
    breath = 1 + 0.15 * wave(t * 0.35 * speed + rnd.random())
    _tint(canvas, np.float32(0.05) * breath / (far + np.float32(0.06)), scene.glow, 0.85)

    for index in range(scene.ribbons):
        _ribbon(canvas, scene, index, t, x, y32)
    for index in range(scene.beams):
        foot = aspect * (index + rnd.uniform(0.2, 0.8)) / scene.beams
        lean = 0.5 * wave(t * rnd.uniform(0.12, 0.3) * speed + rnd.random())
        off = (x32 - foot - lean * (y32 + 0.1)) / (0.035 + 0.11 * y32)
        off *= off
        fade = np.clip(1.1 - 0.8 * y32, 0, 1)
        _tint(canvas, fade / (1 + off * off), scene.accents[index % len(scene.accents)], 0.8)
    if scene.steam:
        for index in range(3):
            curl = wave(y * 1.1 + t * 0.45 * (0.5 + 0.5 * speed) + index * 0.31 + rnd.random())
            off = x32 - aspect * (0.42 + 0.08 * index) - (0.10 * (0.9 - y32)) * curl
            off = off / (0.018 + 0.09 * np.maximum(0.75 - y32, 0))
            fade = np.clip(1.9 * y32 - 0.15, 0, 0.8)
            _tint(canvas, fade / (1 + off * off), (255, 246, 232), 0.55)

    # slightly darker corners, as with a lens
    rim = ((x32 / np.float32(aspect) - 0.5) ** 2 + (y32 - 0.5) ** 2) * np.float32(0.55)
    canvas *= (1 - rim).astype(np.float32)
    return canvas


def _ribbon(
    canvas: Grid,
    scene: Scene,
    index: int,
    t: Grid,
    x: Grid,
    y: Grid,
) -> None:
    """Draw one ribbon with a bright lower edge that fades upwards, like northern lights."""
    rnd = scene.rnd
    flow = scene.speed * rnd.uniform(0.10, 0.22) * rnd.choice((-1, 1))
    line = rnd.uniform(0.25, 0.6) + 0.12 * wave(x * rnd.uniform(0.25, 0.5) + t * flow + rnd.random())
    line = line + 0.05 * wave(x * rnd.uniform(0.8, 1.4) - t * flow * 1.7 + rnd.random())
    pulse = 0.65 + 0.35 * wave(x * rnd.uniform(0.3, 0.7) - t * flow * 2.3 + rnd.random())
    off = y - line
    off = np.maximum(off * np.float32(26), off * np.float32(-rnd.uniform(5, 9)))
    colour = scene.accents[index % len(scene.accents)]
    _tint(canvas, pulse / (1 + off * off), colour, 0.3 + 0.5 * scene.dark)


def enlarge(canvas: Grid, width: int, height: int) -> NDArray[np.uint8]:
    """Interpolate a coarse canvas to uint8 (frames, height, width, 3).

    It computes in units of 1/256, and adds an ordered dither before the last bits are dropped. Without it, wide
    gradients would show bands after encoding.
    """
    _, count, rows, columns = canvas.shape
    coarse = np.clip(canvas * 16, 0, 4080).astype(np.uint16)
    frames = np.empty((count, (rows - 1) * STEP, width * 3), np.uint8)
    dither = np.repeat(np.tile(_BAYER * np.uint16(16), (1, -(-width // STEP)))[:, :width], 3, axis=1)
    wide = np.empty((3, rows, (columns - 1) * STEP), np.uint16)
    lines = np.empty((rows, width, 3), np.uint16)
    flat = lines.reshape(rows, width * 3)
    for index in range(count):
        picture = coarse[:, index]
        for k in range(STEP):
            wide[..., k::STEP] = picture[..., :-1] * np.uint16(STEP - k) + picture[..., 1:] * np.uint16(k)
        for plane in range(3):
            lines[..., plane] = wide[plane, :, :width]
        for k in range(STEP):
            mixed = flat[:-1] * np.uint16(STEP - k)
            if k:
                mixed += flat[1:] * np.uint16(k)
            mixed += dither[k]
            mixed >>= 8
            frames[index, k::STEP] = mixed
    return np.ascontiguousarray(frames[:, :height]).reshape(count, height, width, 3)
