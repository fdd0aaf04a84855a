"""Clips have the requested size and length, or a note says how they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import popbench
from diffusers_pipelines import CAT, MOCHI_WARNS, PRESET_FAMILIES, answers, make
from popbench_diffusers import options
from popbench_diffusers.families import FAMILIES
from tiny_pipelines import SMALLEST, Family

pytestmark = pytest.mark.filterwarnings(MOCHI_WARNS)


def rendered(family: Family, count: int, **changes: Any) -> popbench.Clip:
    generator = make(family, num_frames=count, **changes)
    clip = answers(generator, CAT)["cat"]
    assert isinstance(clip, popbench.Clip)
    assert clip.frames is not None
    return clip


@pytest.mark.slow
@pytest.mark.parametrize("periods", [0, 1, 2])
@pytest.mark.parametrize("family", PRESET_FAMILIES)
def test_the_smallest_counts_of_frames_are_rendered_exactly(family: Family, periods: int) -> None:
    smallest = SMALLEST[family]
    count = 1 + periods * FAMILIES[smallest.pipeline].period
    clip = rendered(family, count)
    assert np.shape(np.asarray(clip.frames)) == (count, smallest.height, smallest.width, 3)
    assert clip.notes == ()


@pytest.mark.slow
@pytest.mark.parametrize("family", PRESET_FAMILIES)
def test_small_multiples_in_space_are_rendered_exactly(family: Family) -> None:
    rules = FAMILIES[SMALLEST[family].pipeline]
    step = 2 * rules.multiple if family == "wan-2.2-5b" else rules.multiple  # its autoencoder compresses more
    clip = rendered(family, 1 + rules.period, width=3 * step, height=2 * step)
    assert np.shape(np.asarray(clip.frames))[1:3] == (2 * step, 3 * step)
    assert clip.notes == ()


def test_a_size_that_a_class_rounds_is_noted_with_what_was_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "FAMILIES", {})  # as for a class of which nothing is known
    clip = rendered("wan", 11, fps=16)
    assert np.shape(np.asarray(clip.frames)) == (9, 64, 64, 3)
    assert clip.notes == ("num_frames=11 was asked for and 9 rendered",)
