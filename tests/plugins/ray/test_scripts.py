"""The Slurm scripts of the Ray engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "plugins" / "popbench_ray" / "scripts"

STAND_INS = {
    "scontrol": """#!/bin/sh
echo here
sleep 0.2
echo there
""",
    "srun": """#!/bin/sh
case "$*" in
*hostname*) echo 127.0.0.1 ;;
*) echo "${SRUN_CPUS_PER_TASK:-1}: $*" >> "$0.log"; exec sleep 60 ;;
esac
""",
    "ray": "#!/bin/sh\n",
    "popbench": f"""#!{sys.executable}
import sys, time
try:
    print("at work:", *sys.argv[1:], flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    print("interrupted: what there is is written", flush=True)
    sys.exit(130)
""",
}

CLUSTER = {"SLURM_JOB_NODELIST": "here,there", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "16"}


def _surroundings(folder: Path, **slurm: str) -> dict[str, str]:
    for name, text in STAND_INS.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **slurm}


@pytest.mark.parametrize("name", ["ray_cluster.slurm", "shards.slurm"])
def test_a_script_is_sound_bash(name: str) -> None:
    done = subprocess.run(["bash", "-n", str(SCRIPTS / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["ray_cluster.slurm", "shards.slurm"])
def test_a_script_that_is_run_outside_slurm_says_how_to_submit_it(name: str) -> None:
    done = subprocess.run(["bash", str(SCRIPTS / name)], capture_output=True, text=True, env={}, check=False)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert "is not set: submit this with sbatch" in done.stderr


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


@pytest.mark.parametrize(("name", "words"), [("ray_cluster.slurm", "--engine ray,address=127.0.0.1:6379"),
                                             ("shards.slurm", "--shard 1/1")])  # fmt: skip
def test_the_signal_before_the_end_of_a_job_reaches_popbench_which_is_waited_for(
    name: str, words: str, tmp_path: Path
) -> None:
    """As Slurm does with `--signal B:INT@...`: the script's shell gets the signal, and nothing else does."""
    slurm = {
        **CLUSTER,
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_ARRAY_TASK_COUNT": "1",
        "SLURM_ARRAY_TASK_MAX": "1",
    }
    with subprocess.Popen(
        ["env", "--default-signal=INT", "bash", str(SCRIPTS / name), "--gen", "ltx"],
        env=_surroundings(tmp_path, **slurm),
        stdout=subprocess.PIPE,
        text=True,
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == f"at work: eval {words} --gen ltx\n"
        job.send_signal(signal.SIGINT)
        assert job.stdout.read() == "interrupted: what there is is written\n"
        assert job.wait(10) == 130


def test_ray_has_on_every_node_the_processors_that_the_job_has_asked_for(tmp_path: Path) -> None:
    surroundings = _surroundings(tmp_path, **CLUSTER)
    log = tmp_path / "srun.log"
    both = f'#!/bin/sh\nuntil [ "$(grep -c . {log})" = 2 ]; do sleep 0.1; done\n'
    (tmp_path / "popbench").write_text(both, encoding="utf-8")
    done = subprocess.run(["bash", str(SCRIPTS / "ray_cluster.slurm")], env=surroundings, timeout=60, check=False)
    assert done.returncode == 0
    started = log.read_text(encoding="utf-8").splitlines()
    assert len(started) == 2
    assert all(line.startswith("16: ") and "--num-cpus 16 " in line for line in started)
