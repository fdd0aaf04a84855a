"""Ray is in a process of its own: whatever of it is lost, the run ends with a line, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import popbench
import popbench_runs
import ray_cluster
from popbench_ray.connection import UnreachableError
from popbench_ray.folders import end_session
from popbench_ray.process import RayProcess, closed_folder
from popbench_ray.session import Session
from ray_cluster import Nodes, await_, resolve


@pytest.mark.parametrize("length", [5, 15, 18, 19, 30, 80])
def test_rays_folder_is_closed_to_others_and_its_path_is_short(
    length: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parent = Path("/tmp") / "0123456789" / ("x" * 80)
    parent = Path(str(parent)[:length].rstrip("/"))
    made = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    folder = closed_folder()
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        socket = folder / "r" / "session_2026-12-31_23-59-59_999999_4194304" / "sockets" / "plasma_store"
        assert len(os.fsencode(socket)) <= 107
        assert folder.parent in (parent, Path("/tmp"))
        assert folder.parent == parent or length > 15
    finally:
        folder.rmdir()
        while made and parent != Path("/tmp"):
            parent.rmdir()
            parent = parent.parent


def test_what_is_left_of_a_session_is_ended_and_nothing_else() -> None:
    sleep = "import time; time.sleep(60)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleep!r}], process_group=0); {sleep}"
    leader, other = (
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True),
        subprocess.Popen([sys.executable, "-c", sleep]),
    )
    try:
        (child,) = await_(lambda: _children(leader.pid))
        end_session(leader.pid)
        await_(lambda: not _alive(child), 5)
        assert leader.poll() is None, "the leader is left to its parent"
        assert other.poll() is None
    finally:
        for process in (leader, other):
            process.kill()
            process.wait()


def test_a_process_that_ends_by_itself_ends_all_that_wait_for_it() -> None:
    """Ray is not needed for this: it is killed before it has one."""
    pytest.importorskip("ray", reason="part of popbench[ray]")
    process = RayProcess("127.0.0.1:1")
    try:
        session = Session(resolve("generator", "kinetic"))
        process.add_session(session)
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(
            popbench.ComponentError, match=r"^generator kinetic: the Ray node that popbench runs on has"
        ):
            session.next(20)
        with pytest.raises(UnreachableError, match="has ended by SIGKILL"):
            process.ask("sizes", seconds=20)
        late = Session(resolve("generator", "kinetic"))
        process.add_session(late)
        with pytest.raises(popbench.ComponentError, match="has ended by SIGKILL"):
            late.next(1)
    finally:
        started = time.monotonic()
        process.close()
    assert time.monotonic() - started < 10


LOST: dict[str, tuple[Callable[[str], bool], tuple[str, ...]]] = {
    "raylet": (
        lambda exe: exe.endswith("/raylet"),
        (
            "Ray's process raylet on this machine has ended",
            "the node that popbench runs on has left the Ray cluster",
            "the Ray of this run has ended",
        ),
    ),
    "gcs_server": (
        lambda exe: exe.endswith("/gcs_server"),
        ("Ray's process gcs_server on this machine has ended", "the Ray of this run has ended"),
    ),
    "host": (lambda exe: exe == "host", ("the Ray of this run has ended by SIGKILL",)),
}
"""What is killed, and the true lines that may tell it: Ray's native code may end its process before the driver
looks."""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("lost", LOST)
def test_whatever_of_its_ray_is_killed_the_run_ends_with_a_line_and_can_go_on(lost: str, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="part of popbench[ray]")
    run, temporary = tmp_path / "run", Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    words = ["eval", "--llm", "verbatim", "--gen", "kinetic", "--mode", "basic", "--corpus", "demo", "--limit", "60",
             "--task", "popcorn_concrete", "--out", str(run)]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "popbench", *words, "--engine", "ray"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        await_(lambda: len(list((run / "videos").glob("*.mp4"))) >= 6, 100)
        (folder,) = temporary.glob("popbench-ray-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        theirs = _descendants(process.pid)
        wanted, told = LOST[lost]
        (doomed,) = [pid for pid in theirs if wanted(_program(pid))]
        os.kill(doomed, signal.SIGKILL)
        _, stderr = process.communicate(timeout=40)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    lines = stderr.splitlines()
    starts = tuple(f"generator kinetic: {line}" for line in told)
    assert any(line.startswith(starts) and "stay pending" in line for line in lines), stderr
    assert lines[-1].startswith(
        "popbench: 60 of 60 samples have no result; the same command tries them again: popbench"
    )
    assert "Traceback" not in stderr
    assert len(popbench_runs.samples(run)) == 60
    assert not (run / ".holder").exists()
    assert not (run / ".sums.json").exists()
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["finished"]
    await_(lambda: not any(map(_alive, theirs)), 10)
    assert list(temporary.iterdir()) == []
    temporary.rmdir()
    assert popbench.evaluate(config=run / "run.json", engine="local", out=run).complete


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_in_a_cluster_too_the_loss_of_the_commands_own_node_ends_the_run_with_a_line(tmp_path: Path) -> None:
    """Another node is left, on which nothing can be started any more."""
    pytest.importorskip("ray", reason="part of popbench[ray]")
    ray_cluster.distribute(tmp_path / "plugins")
    run = tmp_path / "run"
    words = ["eval", "--llm", "verbatim", "--gen", "scripted,seconds=0.4", "--mode", "basic", "--corpus", "demo",
             "--limit", "60", "--task", "popcorn_concrete", "--out", str(run)]  # fmt: skip
    with ray_cluster.surroundings(tmp_path / "plugins"):
        nodes = Nodes(tmp_path / "plugins")
        try:
            process = popbench_runs.start([*words, "--engine", f"ray,address={nodes.address}"], tmp_path / "child")
            await_(lambda: len(list((run / "videos").glob("*.mp4"))) >= 6, 100)
            (raylet,) = nodes.programs("/raylet", b"--head")
            os.kill(raylet, signal.SIGKILL)
            process.join(40)
            assert process.exitcode == 1
        finally:
            process.kill()
            nodes.close()
    told = (tmp_path / "child" / "stderr.txt").read_text(encoding="utf-8")
    assert "generator scripted: the node that popbench runs on has left the Ray cluster" in told
    assert len(popbench_runs.samples(run)) == 60


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_killed_run_takes_its_ray_with_it(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="part of popbench[ray]")
    run, temporary = tmp_path / "run", Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    words = ["eval", "--gen", "kinetic", "--task", "popcorn_concrete", "--out", str(run), "--engine", "ray"]
    process = subprocess.Popen(
        [sys.executable, "-m", "popbench", *words],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_(lambda: len(list((run / "videos").glob("*.mp4"))) >= 2, 100)
        theirs = _descendants(process.pid)
        assert len(theirs) > 3
    finally:
        process.kill()
        process.wait()
    await_(lambda: not any(map(_alive, theirs)), 40)
    await_(lambda: not list(temporary.glob("popbench-ray-*")), 10)


def _status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _alive(pid: int) -> bool:
    try:
        return _status(pid)[0] != "Z"
    except OSError:
        return False


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if _status(int(entry.name))[1] == str(parent):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _descendants(parent: int) -> list[int]:
    return [pid for child in _children(parent) for pid in (child, *_descendants(child))]


def _program(pid: int) -> str:
    """Return the path of a process's program, or `host` for the one that is connected with Ray."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes()
    return "host" if b"popbench_ray.host" in words else str(Path(f"/proc/{pid}/exe").readlink())
