"""The scripts that stand beside the Ray engine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "plugins" / "popbench_ray" / "scripts"


@pytest.mark.parametrize("name", ["ray_cluster.slurm", "shards.slurm"])
def test_a_script_is_sound_bash(name: str) -> None:
    done = subprocess.run(["bash", "-n", str(SCRIPTS / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("count", "last", "shards", "told"),
    [
        ("8", "8", "", "eval --shard 3/8 --gen ltx\n"),
        ("2", "5", "8", "eval --shard 3/8 --gen ltx\n"),
        ("2", "5", "", ""),
    ],
)
def test_a_task_of_an_array_does_its_share_and_knows_of_how_many(
    count: str, last: str, shards: str, told: str, tmp_path: Path
) -> None:
    stand_in = tmp_path / "popbench"
    stand_in.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    stand_in.chmod(0o755)
    slurm = {
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_TASK_COUNT": count,
        "SLURM_ARRAY_TASK_MAX": last,
        "SHARDS": shards,
    }
    done = subprocess.run(
        ["bash", str(SCRIPTS / "shards.slurm"), "--gen", "ltx"],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **slurm},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == told
    assert done.returncode == (0 if told else 2)
