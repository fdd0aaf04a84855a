"""Paints the ground of `kinetic`'s pictures: ridges, water, a floor of lines, a table.

A ridge is painted once per clip, in full size with smooth edges, and then moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from popbench_baselines.sky import Grid, wave

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

    from popbench_baselines.scene import Colour, Scene


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def add_ground(frames: NDArray[np.uint8], scene: Scene, times: Sequence[float]) -> None:
    """Draw the ground, in place."""
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


def _profile(kind: str, rnd: random.Random, columns: int, height: int, near: float) -> Grid:
    """Return the height of a ridge above its foot at each column, in heights of the picture."""
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
        step = 0.035 + 0.16 * near
        number, place = np.divmod(x / step + 0.35 * np.sin(x * 5), 1)
        tall = 0.65 + 0.35 * np.sin(number * 2.4 + rnd.random() * 6)
        side = np.abs(place - 0.5) * 2  # from the stem to where the next tree begins
        branch = (side * 4) % 1
        return 0.8 * swell + (1 - side - 0.10 * branch) * (0.07 + 0.42 * near) * tall
    crag = 0.02 * np.abs(np.sin(2 * np.pi * (x * rnd.uniform(1.5, 2.5) + rnd.random())))
    return swell * 1.2 + crag * (1 - near)


def _ridge(frames: NDArray[np.uint8], scene: Scene, times: Sequence[float], kind: str, top: float, near: float) -> None:
    """Draw one ridge that moves past, faster if it is near."""
    _, height, width, _ = frames.shape
    rnd = scene.rnd
    pace = scene.speed * near * height
    shifts = [round(time * pace) for time in times]
    if kind == "crowd":  # a crowd stays and sways
        bob = wave(np.array(times) * 0.8 * scene.speed + rnd.random()) * (0.02 + 0.05 * near) * height
        shifts = [round(float(value)) + height // 8 for value in bob]
    elif rnd.random() < 0.5:
        shifts = [shifts[-1] - shift for shift in shifts]
    columns = width + max(shifts)
    # a long fast clip would need a very long ridge: after a few pictures, it repeats
    period = min(columns, 6 * width)
    edge = height * (top - _profile(kind, rnd, period, height, near))
    first = max(0, int(edge.min()) - 1)
    full = min(height, int(edge.max()) + 2)
    y = np.arange(first, height)[:, None]
    alpha = np.clip(y[: full - first] - edge + 0.5, 0, 1).astype(np.float32)[..., None]
    body = np.array(_mix(scene.sky[2], scene.shade, min(1.0, 0.35 + 2.2 * near)), np.float32)
    depth = np.clip((y - first) / (height * 0.4), 0, 1).astype(np.float32)[..., None]
    colour = np.repeat(body * (1 - (0.5 - 0.25 * scene.dark) * depth), period, axis=1)
    if kind == "city":
        _light_windows(colour, scene, y - edge, near)
    elif kind != "pines":
        rim = np.clip(1 - (y[: full - first] - edge) / 2.5, 0, 1).astype(np.float32)[..., None]
        colour[: full - first] += (np.array(scene.glow, np.float32) - colour[: full - first]) * rim * 0.3
    if period < columns:
        alpha, colour = (np.concatenate([part, part[:, :width]], axis=1) for part in (alpha, colour))
    keep = np.repeat(np.rint(128 * (1 - alpha)).astype(np.uint16), 3, axis=2)
    add = np.rint(128 * alpha * colour[: full - first]).astype(np.uint16)
    solid = np.rint(colour[full - first :]).astype(np.uint8)
    for frame, shift in zip(frames, shifts, strict=True):
        left = shift % period if period < columns else shift
        band = frame[first:full]
        mixed = band * keep[:, left : left + width]
        mixed += add[:, left : left + width]
        mixed >>= 7
        band[:] = mixed
        frame[full:] = solid[:, left : left + width]


def _light_windows(colour: Grid, scene: Scene, below: Grid, near: float) -> None:
    """Light some windows of a skyline, in a lattice of cells that are on or off."""
    rows, columns, _ = colour.shape
    cell = max(3, round(3 + 7 * near))
    down, across = -(-rows // cell), -(-columns // cell)
    draw = np.frombuffer(scene.rnd.randbytes(down * across), np.uint8).reshape(down, across)
    power = np.clip(draw.astype(np.float32) / 255 - 0.8 + 0.14 * scene.dark, 0, 0.3) * 3
    light = np.repeat(np.repeat(power, cell, axis=0), cell, axis=1)[:rows, :columns]
    light[cell - 1 :: cell] = 0
    light[:, cell - 1 :: cell] = 0
    light *= below > 3
    tint = np.array(_mix(scene.glow, scene.accents[0], 0.35), np.float32)
    colour += (tint - colour) * light[..., None]


def _sea(frames: NDArray[np.uint8], scene: Scene, times: Sequence[float]) -> None:
    """Draw water that mirrors the sky: rows of the sky, in an order that waves disturb."""
    _, height, width, _ = frames.shape
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
    """Draw a floor of glowing lines that moves towards the viewer."""
    _, height, width, _ = frames.shape
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
    """Draw a table with a warm bowl, seen slightly from above."""
    _, height, width, _ = frames.shape
    rnd = scene.rnd
    first = int(height * 0.55)
    picture = np.zeros((height - first, width, 3), np.float32)
    cover = np.zeros((height - first, width, 1), np.float32)
    y = (np.arange(first, height, dtype=np.float32) / np.float32(height))[:, None]
    x = (np.arange(width, dtype=np.float32) / np.float32(height))[None, :]
    middle = width / height * (0.5 + rnd.uniform(-0.04, 0.04))

    def lay(amount: Grid, colour: Sequence[float] | Grid) -> None:
        share = np.clip(amount * height, 0, 1)[..., None]
        picture[:] = picture * (1 - share) + np.asarray(colour) * share
        cover[:] = cover * (1 - share) + share

    def oval(down: float, wide: float, tall: float, right: float = 0.0) -> Grid:
        reach = np.sqrt(((x - middle - right) / wide) ** 2 + ((y - down) / tall) ** 2)
        return np.asarray((1 - reach) * min(wide, tall))

    wood = np.array(_mix(scene.shade, scene.sky[2], 0.12))
    down, right = y.astype(np.float64), x.astype(np.float64)
    grain = 1 + 0.10 * np.sin(down * 90 + 2.5 * np.sin(right * 2.2)) * np.sin(down * 37)
    lay(y - 0.72 + 0 * x, wood * grain.astype(np.float32)[..., None])
    china = _mix(scene.accents[1], (250.0, 244.0, 236.0), 0.55)
    lay(oval(0.93, 0.46, 0.10, 0.03), wood * 0.45)
    shape = np.minimum(oval(0.66, 0.40, 0.30), y - 0.66 + 0 * x)
    side = np.clip(0.95 - 0.9 * ((x - middle + 0.12) / 0.5) ** 2, 0.45, 1) + 0 * y
    lay(shape, np.array(china) * side[..., None])
    lay(oval(0.66, 0.40, 0.085), _mix(china, (255.0, 255.0, 255.0), 0.45))
    lay(oval(0.664, 0.37, 0.070), _mix(scene.accents[0], (196.0, 92.0, 30.0), 0.7))
    for _ in range(9):
        turn, reach = rnd.random() * 2 * math.pi, math.sqrt(rnd.random())
        size = rnd.uniform(0.035, 0.075)
        along, aside = 0.66 + 0.045 * reach * math.sin(turn), 0.28 * reach * math.cos(turn)
        lay(oval(along, size, size * 0.42, aside), _mix(rnd.choice(scene.accents), scene.glow, rnd.random() * 0.6))
    keep = np.repeat(np.rint(128 * (1 - cover)).astype(np.uint16), 3, axis=2)
    add = np.rint(128 * picture).astype(np.uint16)
    for frame in frames:
        mixed = frame[first:] * keep
        mixed += add
        mixed >>= 7
        frame[first:] = mixed
