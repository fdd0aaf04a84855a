"""The Ray engine refuses unsuitable options, machines and clusters at once, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import popbench
from popbench.registry import load_registry
from popbench_ray import tokens
from popbench_ray.nodes import Need, Size
from popbench_ray.options import RayOptions
from popbench_ray.resources import GIB, never_fits
from popbench_ray.worker_errors import cause, explain, missing_module

DIED = """The actor died because of an error raised in its creation task, \x1b[36mray::Probe.__init__()\x1b[39m (pid=9)
  File "/usr/lib/python3.11/concurrent/futures/_base.py", line 449, in result
    return self.__get_result()
           ^^^^^^^^^^^^^^^^^^^
\x1b[31mModuleNotFoundError: No module named '{}'\x1b[0m
"""
"""What Ray says where it cannot make an actor, in its colours."""


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


@pytest.mark.parametrize(
    ("need", "told"),
    [
        (Need(cpus=64), "a worker occupies 64 CPUs, and this machine has 2: give cpus=2 or less, or"),
        (Need(gpus=0.5), "a worker occupies 0.5 GPU, and this machine has 0: leave ltx out of gpus=, or"),
        (
            Need(cpus=1, memory=9 * GIB),
            "a worker occupies 1 CPU and 9.0 GiB of memory, and this machine has 4.0 GiB of memory for workers: ",
        ),
    ],
)
def test_what_this_machine_never_has_is_told_with_what_to_do(need: Need, told: str) -> None:
    line = never_fits("ltx", need, Size(cpus=2, memory=4 * GIB), RayOptions(gpus={"ltx": 0.5}))
    assert line is not None
    assert line.startswith(told)
    assert line.endswith("a cluster that has more, address=")
    assert never_fits("ltx", Need(cpus=2), Size(cpus=2), RayOptions()) is None


@pytest.mark.slow
def test_more_than_this_machine_has_is_refused_at_once_and_once(tmp_path: Path) -> None:
    """Ray that is started for a run stays alone: there is nothing to wait for. No component works here either."""
    pytest.importorskip("ray", reason="part of popbench[ray]")
    words = ["eval", "--engine", "ray,cpus=4096", "--task", "popcorn_concrete", "--limit", "1", "--out", "run"]
    command = [sys.executable, "-m", "popbench", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "a worker occupies 4096 CPUs, and this machine has " in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("module", "what"),
    [("popbench_ray", "popbench"), ("popbench", "popbench"), ("diffusers.x", "the module diffusers")],
)
def test_a_node_without_a_module_is_told_by_its_name(module: str, what: str) -> None:
    error = RuntimeError(DIED.format(module))
    assert missing_module(error) == what
    assert explain(error) == (f"{what} is not installed there", True)


def test_of_a_traceback_from_a_node_its_last_line_is_told_without_colours() -> None:
    assert cause(RuntimeError(DIED.format("a"))) == "ModuleNotFoundError: No module named 'a'"
    assert cause(RuntimeError("\x1b[31mno\x1b[0m room")) == "RuntimeError: no room"
    assert cause(RuntimeError()) == "RuntimeError"
    assert explain(None) == ("its worker was lost (None)", True)


def test_a_cluster_with_a_token_says_so_before_ray_is_asked_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that asks is one that writes what Ray writes, and then would go on for long."""
    line = "gcs_client.cc:210: Unauthenticated: RPC error: InvalidAuthToken: Authentication token is missing"
    monkeypatch.setattr(
        tokens, "_ASK", f"import sys, time; print({line!r}, file=sys.stderr, flush=True); time.sleep(60)"
    )
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    told = tokens.token_problem("10.0.0.5:6379")
    assert told == (
        "the cluster at 10.0.0.5:6379 needs a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN "
        "(or RAY_AUTH_TOKEN_PATH) to that of its head"
    )
    monkeypatch.setattr(tokens, "_ASK", "import sys; print('something else', file=sys.stderr); sys.exit(1)")
    assert tokens.token_problem("10.0.0.5:6379") is None


def test_a_token_that_is_asked_for_and_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    told = tokens.token_problem("10.0.0.5:6379")
    assert told is not None
    assert told.startswith("RAY_AUTH_MODE is token, and there is none here: set ")
