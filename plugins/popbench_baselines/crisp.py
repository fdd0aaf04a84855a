"""The ground of `kinetic`'s pictures: ridges, water, a floor of lines, a table.

A ridge is painted once per clip, in full size and smooth at its edges, and then only moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from popbench_baselines.soft import wave

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

    from popbench_baselines.scene import Colour, Scene


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def add_ground(frames: NDArray[np.uint8], scene: Scene, times: Sequence[float]) -> None:
    """Draw what stands below the sky, in place."""
    kind = scene.ground
    if kind == "sea":
        _sea(frames, scene, times)
    elif kind == "grid":
        _grid(frames, scene, times)
    elif kind == "table":
        _table(frames, scene)
    elif kind == "crowd":
        _ridge(frames, scene, times, kind, 0.86, 0.12)
        _ridge(frames, scene, times, kind, 0.93, 0.3)
    elif kind != "none":
        for depth, top in enumerate((0.60, 0.72, 0.86)):
            _ridge(frames, scene, times, kind, top, (0.05, 0.12, 0.26)[depth])


def _profile(kind: str, rnd: random.Random, columns: int, height: int, near: float) -> NDArray[np.float64]:
    """Return how far a ridge rises above its foot at each column, in heights of the picture."""
    x = np.arange(columns) / height
    swell = 0.07 * np.sin(2 * np.pi * (x * rnd.uniform(0.35, 0.6) + rnd.random()))
    swell += 0.03 * np.sin(2 * np.pi * (x * rnd.uniform(0.9, 1.4) + rnd.random()))
    if kind == "city":
        rise = np.zeros(columns)
        left = 0
        while left < columns:
            size = round(height * rnd.uniform(0.07, 0.16) * (0.8 + near))
            rise[left : left + size] = rnd.uniform(0.02, 0.34) * (1.15 - near)
            left += size
        return rise
    if kind == "crowd":
        step = 0.13 + 0.2 * near
        place = (x / step) % 1 - 0.5
        head = np.sqrt(np.maximum(0.11 - place * place, 0)) * step * 1.3
        shoulder = np.maximum(0.30 - np.abs(place), 0) * step * 0.4
        return 0.25 * swell + np.maximum(head, shoulder)
    if kind == "pines":
        step = 0.06 + 0.22 * near
        number, place = np.divmod(x / step, 1)
        tall = 0.6 + 0.4 * np.sin(number * 2.4 + rnd.random() * 6)
        jag = 0.75 + 0.25 * np.abs(((place * 9) % 1) - 0.5)
        return swell + (0.5 - np.abs(place - 0.5)) * 2 * (0.07 + 0.22 * near) * tall * jag
    crag = 0.02 * np.abs(np.sin(2 * np.pi * (x * rnd.uniform(1.5, 2.5) + rnd.random())))
    return swell * 1.2 + crag * (1 - near)


def _ridge(
    frames: NDArray[np.uint8], scene: Scene, times: Sequence[float], kind: str, top: float, near: float
) -> None:
    """Draw one ridge that passes by, the faster the nearer it is."""
    count, height, width, _ = frames.shape
    rnd = scene.rnd
    pace = scene.speed * near * height
    shifts = [round(time * pace) for time in times]
    if kind == "crowd":  # a crowd stays and sways
        bob = wave(np.array(times) * 0.8 * scene.speed + rnd.random()) * (0.02 + 0.05 * near) * height
        shifts = [round(float(value)) + height // 8 for value in bob]
    elif rnd.random() < 0.5:
        shifts = [shifts[-1] - shift for shift in shifts]
    columns = width + max(shifts)
    # a long fast clip would need an endless ridge: beyond a few pictures, it comes round again
    period = min(columns, 6 * width)
    edge = height * (top - _profile(kind, rnd, period, height, near))
    first = max(0, int(edge.min()) - 1)
    full = min(height, int(edge.max()) + 2)
    y = np.arange(first, height)[:, None]
    alpha = np.clip(y - edge + 0.5, 0, 1)[..., None]
    body = np.array(_mix(scene.sky[2], scene.shade, min(1.0, 0.35 + 2.2 * near)))
    foot = body * (0.55 + 0.2 * scene.dark)
    depth = np.clip((y - edge) / (height * 0.35), 0, 1)[..., None]
    colour = body + (foot - body) * depth
    rim = np.clip(1 - (y - edge) / 2.5, 0, 1)[..., None]
    colour += (np.array(scene.glow) - colour) * rim * 0.35
    if kind == "city":
        _light_windows(colour, scene, y - edge, near)
    if period < columns:
        alpha, colour = (np.concatenate([part, part[:, :width]], axis=1) for part in (alpha, colour))
    blend = alpha[: full - first]
    keep = np.repeat(np.rint(128 * (1 - blend)).astype(np.uint16), 3, axis=2)
    add = np.rint(128 * blend * colour[: full - first]).astype(np.uint16)
    solid = np.rint(colour[full - first :]).astype(np.uint8)
    for frame, shift in zip(frames, shifts, strict=True):
        left = shift % period if period < columns else shift
        band = frame[first:full]
        mixed = band * keep[:, left : left + width]
        mixed += add[:, left : left + width]
        mixed >>= 7
        band[:] = mixed
        frame[full:] = solid[:, left : left + width]


def _light_windows(colour: NDArray[np.float64], scene: Scene, below: NDArray[np.float64], near: float) -> None:
    """Light some windows of a skyline: a lattice of cells of which each is on or off."""
    rows, columns, _ = colour.shape
    cell = max(3, round(3 + 7 * near))
    down, across = -(-rows // cell), -(-columns // cell)
    lit = np.array([scene.rnd.random() for _ in range(down * across)]).reshape(down, across)
    power = np.where(lit < 0.16 + 0.30 * scene.dark, 0.35 + 0.5 * scene.dark, 0.0)
    light = np.repeat(np.repeat(power, cell, axis=0), cell, axis=1)[:rows, :columns]
    frame = (np.arange(rows)[:, None] % cell < cell - 1) & (np.arange(columns)[None, :] % cell < cell - 1)
    light = light * frame * (below > 3)
    tint = np.array(_mix(scene.glow, scene.accents[0], 0.35))
    colour += (tint - colour) * light[..., None]


def _sea(frames: NDArray[np.uint8], scene: Scene, times: Sequence[float]) -> None:
    """Let water mirror the sky: rows of it, in an order that waves disturb."""
    count, height, width, _ = frames.shape
    horizon = round(height * 0.60)
    depth = np.arange(height - horizon)
    far = depth / max(1, height - horizon)
    pace = scene.speed * 0.9
    tint = np.rint(np.array(_mix(scene.shade, scene.sky[0], 0.35)) * 64).astype(np.uint16)
    flat = np.tile(tint, width)
    shade = np.rint(150 - 34 * far).astype(np.uint16)[:, None]
    for frame, time in zip(frames, times, strict=True):
        rows = frame.reshape(height, width * 3)
        ripple = np.sin(2 * np.pi * (5.5 * np.log(far * 6 + 0.35) - time * pace))
        ripple = ripple + 0.5 * np.sin(2 * np.pi * (9.1 * far + time * pace * 0.7))
        source = horizon - 1 - depth * 1.2 + ripple * (1.5 + 16 * far) * height / 176
        water = rows[np.clip(np.rint(source), 0, horizon - 1).astype(np.intp)] * shade
        water += flat
        water >>= 8
        rows[horizon:] = water


def _grid(frames: NDArray[np.uint8], scene: Scene, times: Sequence[float]) -> None:
    """Roll out a floor of glowing lines that comes towards the viewer."""
    count, height, width, _ = frames.shape
    horizon = round(height * 0.62)
    below = (np.arange(height - horizon) + 0.7) / (height - horizon)
    away = 1 / below
    x = (np.arange(width) - width / 2)[None, :] / (height - horizon) * away[:, None] * 1.6
    line = np.abs((x + 0.5) % 1 - 0.5) / (away[:, None] * 0.035)
    fade = np.minimum(1, below * 2.5)
    base = np.clip(1.3 - line, 0, 1) * fade[:, None]
    colour, dim = np.array(scene.accents[0]), np.array(_mix(scene.shade, (0.0, 0.0, 0.0), 0.35))
    floor = np.rint(dim + (colour - dim) * base[..., None]).astype(np.uint8)
    bright = np.rint(_mix(scene.accents[0], (255.0, 255.0, 255.0), 0.35)).astype(np.uint8)
    for frame, time in zip(frames, times, strict=True):
        part = frame[horizon:]
        part[:] = floor
        phase = (away * 1.1 + time * scene.speed * 0.9) % 1
        across = phase < np.minimum(0.5, 0.045 * away * away * 0.35 + 0.02)
        part[across] = bright * 0.55 + floor[across] * 0.45
        part[0] = bright


def _table(frames: NDArray[np.uint8], scene: Scene) -> None:
    """Set a table: a bowl with something warm in it, seen slightly from above."""
    count, height, width, _ = frames.shape
    rnd = scene.rnd
    picture = np.zeros((height, width, 3))
    cover = np.zeros((height, width, 1))
    y, x = np.arange(height)[:, None] / height, np.arange(width)[None, :] / height
    middle = width / height * (0.5 + rnd.uniform(-0.04, 0.04))

    def lay(amount: NDArray[np.float64], colour: Sequence[float] | NDArray[np.float64]) -> None:
        share = np.clip(amount * height, 0, 1)[..., None]
        picture[:] = picture * (1 - share) + np.asarray(colour) * share
        cover[:] = cover * (1 - share) + share

    def oval(down: float, wide: float, tall: float, right: float = 0.0) -> NDArray[np.float64]:
        reach = np.sqrt(((x - middle - right) / wide) ** 2 + ((y - down) / tall) ** 2)
        return (1 - reach) * min(wide, tall)

    wood = np.array(_mix(scene.shade, scene.sky[2], 0.12))
    grain = 1 + 0.10 * np.sin(y * 90 + 2.5 * np.sin(x * 2.2)) * np.sin(y * 37)
    lay(y - 0.72 + 0 * x, wood * grain[..., None])
    china = _mix(scene.accents[1], (250.0, 244.0, 236.0), 0.55)
    lay(oval(0.93, 0.46, 0.10, 0.03), wood * 0.45)
    shape = np.minimum(oval(0.66, 0.40, 0.30), y - 0.66 + 0 * x)
    side = np.clip(0.95 - 0.9 * ((x - middle + 0.12) / 0.5) ** 2, 0.45, 1) + 0 * y
    lay(shape, np.array(china) * side[..., None])
    lay(oval(0.66, 0.40, 0.085), _mix(china, (255.0, 255.0, 255.0), 0.45))
    lay(oval(0.664, 0.37, 0.070), _mix(scene.accents[0], (120.0, 50.0, 10.0), 0.35))
    for _ in range(9):
        turn, reach = rnd.random() * 2 * math.pi, math.sqrt(rnd.random())
        size = rnd.uniform(0.035, 0.075)
        down, right = 0.66 + 0.045 * reach * math.sin(turn), 0.28 * reach * math.cos(turn)
        lay(oval(down, size, size * 0.42, right), _mix(rnd.choice(scene.accents), scene.glow, rnd.random() * 0.6))
    first = int(height * 0.55)
    keep = np.repeat(np.rint(128 * (1 - cover[first:])).astype(np.uint16), 3, axis=2)
    add = np.rint(128 * picture[first:]).astype(np.uint16)
    for frame in frames:
        mixed = frame[first:] * keep
        mixed += add
        mixed >>= 7
        frame[first:] = mixed
