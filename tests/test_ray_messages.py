"""What the Ray engine says of options, machines and clusters that will not do: at once, and in one line."""

from __future__ import annotations

import pytest

import popbench
from popbench.registry import load_registry
from popbench_ray.options import RayOptions


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("cpus=1e-9", "engine ray: cpus: input should be greater than or equal to 0.0001, not '1e-9'"),
        ('gpus={"ltx":1e-9}', "engine ray: gpus: ltx 1e-09: expected a share of one GPU, 0.0001 at least, or a whole "),
        ('gpus={"ltx":1.5}', "engine ray: gpus: ltx 1.5: expected a share of one GPU, 0.0001 at least, or a whole "),
        ('gpus={"ltx":-1}', "engine ray: gpus: ltx -1: expected a share of one GPU, 0.0001 at least, or a whole "),
    ],
)
def test_a_share_that_ray_cannot_give_is_refused_in_one_line(options: str, told: str) -> None:
    with pytest.raises(popbench.UsageError) as refused:
        load_registry().resolve("engine", f"ray,{options}")
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("share", [0, 0.0001, 0.3333, 1, 2])
def test_what_ray_can_give_of_gpus_is_taken(share: float) -> None:
    assert RayOptions(gpus={"ltx": share}).gpus == {"ltx": share}
