"""The sizes at which models render an aspect, for the option `aspect`. It imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popbench_diffusers.presets import PRESETS, preset_of

Size = tuple[int, int]
SIZES: Mapping[str, Mapping[str, Size]] = {
    "cogvideox-5b": {"16:9": (720, 480), "9:16": (480, 720)},
    "ltx": {"16:9": (704, 480), "9:16": (480, 704)},
    "hunyuan": {"16:9": (960, 544), "9:16": (544, 960), "1:1": (720, 720)},
    "hunyuan-1.5": {"16:9": (848, 480), "9:16": (480, 848), "1:1": (640, 640)},
    "ltx-2": {"16:9": (768, 512), "9:16": (512, 768)},
    "mochi": {"16:9": (848, 480), "9:16": (480, 848)},
    "wan-2.1-1.3b": {"16:9": (832, 480), "9:16": (480, 832)},
    "wan-2.1-14b": {"16:9": (832, 480), "9:16": (480, 832)},
    "wan-2.2-5b": {"16:9": (1280, 704), "9:16": (704, 1280)},
    "wan-2.2-a14b": {"16:9": (1280, 720), "9:16": (720, 1280)},
    "skyreels-v2": {"16:9": (960, 544), "9:16": (544, 960)},
}
"""Width and height by preset and aspect.

HunyuanVideo's are the 540p sizes that its publisher lists; those of HunyuanVideo 1.5 are what its pipeline makes of the
aspect at 480p; Wan's publisher lists both. The publishers of CogVideoX, LTX, LTX-2, Mochi and SkyReels name no portrait
size: these are the landscape sizes, turned.
"""


class OwnSize(int):
    """A width or height that a preset has by itself, which an `aspect` replaces; one that was typed contradicts it."""

    __slots__ = ()


def with_own_sizes(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a preset's options with its width and height marked as its own."""
    return {key: OwnSize(value) if key in ("width", "height") else value for key, value in options.items()}


def sizes_of(model: str, pipeline: str | None, own: Mapping[str, Any]) -> Mapping[str, Size]:
    """Return the sizes of a model by aspect; none if they are not known.

    Models in folders have those of the presets of their pipeline's class, if these agree: `own`, the size that the
    preset in use has, tells models of one class apart.
    """
    preset = preset_of(model)
    size = (own.get("width"), own.get("height"))
    tables = [
        SIZES[name]
        for name, other in PRESETS.items()
        if other is preset
        or (
            preset is None
            and other.pipeline == pipeline
            and (None in size or size == (other.options["width"], other.options["height"]))
        )
    ]
    return tables[0] if tables and all(table == tables[0] for table in tables) else {}


def resolve(aspect: object, model: str, pipeline: str | None, given: Mapping[str, Any]) -> dict[str, int]:
    """Return the width and height of an aspect. `given` holds the width and height among the options.

    Raises ValueError for an aspect that the model does not have, and for a size that contradicts it.
    """
    own = {key: value for key, value in given.items() if isinstance(value, OwnSize)}
    sizes = sizes_of(model, pipeline, own)
    if not sizes:
        raise ValueError(f"aspect={aspect}: the sizes of {model} are not known: give width= and height= in its place")
    if aspect not in sizes:
        possible = ", ".join(f"{name} ({width}x{height})" for name, (width, height) in sizes.items())
        raise ValueError(f"aspect={aspect}: {model} has {possible}")
    size = dict(zip(("width", "height"), sizes[str(aspect)], strict=True))
    for key, value in given.items():
        if value is not None and key not in own and str(value).strip() != str(size[key]):
            raise ValueError(
                f"aspect={aspect} is {size['width']}x{size['height']} for {model}, and {key}={value} contradicts it: "
                "leave out one of them"
            )
    return size
