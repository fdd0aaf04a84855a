"""A worker without Ray: it removes only its own temporary folder, however it ends."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import faults
import pairwise_components
import popbench
import ray_cluster
from popbench.registry import create, load_registry
from popbench.video import sound_of
from popbench_ray.clips import clips_of, with_clips
from popbench_ray.connection import ray_problem
from popbench_ray.engine import RayEngine
from popbench_ray.folders import PREFIX, WorkerFolder, remove_stale_folders
from popbench_ray.session import store_clip
from popbench_ray.worker import Settings, Worker


def _spec(text: str) -> popbench.ComponentSpec:
    return load_registry().resolve("generator", text).spec


async def _ready(kind: str, text: str) -> Any:
    """Have a worker that has prepared a component."""
    ray_cluster.install()
    worker: Any = Worker()
    await worker.place(Settings.here())
    spec = load_registry().resolve(kind, text).spec
    assert (await worker.prepare(spec, dict(create(spec).fingerprint()), popbench.__version__)).raised is None
    return worker


def _kept(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_another_version_of_popbench_is_told_before_anything_is_made_of_it() -> None:
    nowhere = popbench.ComponentSpec("generator", "nowhere", {}, "nowhere", "nowhere")
    result = asyncio.run(Worker().prepare(nowhere, {}, "0.0.9"))
    assert result.differs
    assert result.raised == f"popbench is {popbench.__version__} there and 0.0.9 here"


@pytest.mark.parametrize("case", ["never placed", "never prepared", "another component", "cannot be made", "at work"])
def test_a_worker_that_is_closed_leaves_the_working_directory_as_it_is(case: str, in_tmp: Path) -> None:
    (in_tmp / "precious").mkdir()
    (in_tmp / "precious" / "work.txt").write_text("years of it", encoding="utf-8")
    before = _kept(in_tmp)
    made: list[Path] = []

    async def live() -> None:
        worker: Any = Worker()
        if case != "never placed":
            await worker.place(Settings.here())
        spec = _spec("kinetic")
        if case == "another component":
            assert (await worker.prepare(spec, {"name": "other"}, popbench.__version__)).differs
        if case == "cannot be made":
            wrong = popbench.ComponentSpec("generator", "nowhere", {}, "nowhere", "nowhere")
            assert (await worker.prepare(wrong, {}, popbench.__version__)).raised
        if case == "at work":
            same = dict(create(spec).fingerprint())
            assert (await worker.prepare(spec, same, popbench.__version__)).raised is None
            result = await worker.do(popbench.VideoRequest("a", "a lake", 1), ())
            assert result.video
            made.append(worker._folder)
        await worker.close()

    asyncio.run(live())
    assert _kept(in_tmp) == before
    assert all(folder.is_relative_to("/tmp") and not folder.exists() for folder in made)


def test_an_item_whose_file_is_written_while_the_component_ends_is_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended, write = threading.Event(), Path.write_bytes

    def slowly(path: Path, data: bytes) -> int:
        if path.name == "late.mp4":
            assert ended.wait(60)
        return write(path, data)

    async def live() -> None:
        monkeypatch.setattr(Path, "write_bytes", slowly)
        worker = await _ready("predictor", "bright")
        late = asyncio.create_task(worker.do(popbench.ScoreRequest("late", "a lake", tmp_path), [b"a clip"]))
        first = await worker.do(popbench.ScoreRequest("first", "raise", tmp_path), [b"a clip"])
        assert first.raised == "it raised ValueError: bad title"
        ended.set()
        assert await asyncio.wait_for(late, 60) == first
        await worker.close()

    asyncio.run(live())


def test_both_clips_of_a_pair_arrive_in_their_order_and_are_removed(tmp_path: Path) -> None:
    async def live() -> None:
        pairwise_components.install()
        worker = await _ready("predictor", "duel")
        sides = (popbench.ScoreRequest(f"a-{rank}", f"{rank} clips", tmp_path / "away.mp4") for rank in (1, 2))
        request = popbench.CompareRequest("a", *sides)
        assert clips_of(request) == [tmp_path / "away.mp4"] * 2
        given = with_clips(request, [b"one", b"two"], tmp_path)
        assert isinstance(given, popbench.CompareRequest)
        assert (given.first.path.read_bytes(), given.second.path.read_bytes()) == (b"one", b"two")
        answer = (await worker.do(request, [b"one", b"two"])).answer
        assert isinstance(answer, popbench.Score)
        assert answer.value == 0.0
        assert not list(worker._folder.glob("*.mp4"))
        await worker.close()

    asyncio.run(live())


def test_a_clip_comes_back_with_its_sound(tmp_path: Path) -> None:
    async def live() -> None:
        faults.install()
        worker = await _ready("generator", "ringing")
        result = await worker.do(popbench.VideoRequest("a", "lake", 1), ())
        stored = store_clip(pickle.loads(pickle.dumps(result.answer)), result.video, tmp_path)
        assert isinstance(stored, popbench.Clip)
        assert stored.sound is None, "it is in the file, and not sent twice"
        assert stored.path == tmp_path / "a.mp4"
        assert sound_of(tmp_path / "a.mp4") == (True, None)
        await worker.close()

    asyncio.run(live())


@pytest.mark.parametrize("late", [False, True])
def test_what_is_submitted_comes_before_its_answer(late: bool, tmp_path: Path) -> None:
    async def live() -> None:
        worker = await _ready("generator", f"queued,notes={tmp_path / 'notes'}")
        first = await worker.do(popbench.VideoRequest("a", "lake", 1), ())
        assert first.answer == popbench.Submitted("a", {"of": "a"})
        await asyncio.sleep(1.5 if late else 0)  # the answer may be there before it is asked for
        assert (await asyncio.wait_for(worker.rest("a"), 60)).video
        given = await worker.do(popbench.VideoRequest("b", "lake", 1, job=first.answer.job), ())
        assert given.video
        await worker.close()

    asyncio.run(live())


def test_a_worker_whose_component_raises_has_removed_its_folder_before_it_says_so() -> None:
    """The driver kills it then."""

    async def live() -> None:
        worker = await _ready("generator", "scripted")
        folder = worker._folder
        assert (await worker.do(popbench.VideoRequest("a", "lake", 1), ())).video
        assert folder.exists()
        assert (await worker.do(popbench.VideoRequest("b", "raise", 1), ())).raised
        assert not folder.exists()
        await worker.close()

    asyncio.run(live())


def test_what_a_killed_worker_leaves_is_removed_by_the_next_one_and_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = (
        "import os; from popbench_ray.folders import WorkerFolder; folder = WorkerFolder(); "
        "(folder.path / 'clip.mp4').write_bytes(b'frames'); print(folder.path); os.kill(os.getpid(), 9)"
    )
    told = subprocess.run([sys.executable, "-c", killed], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False,
                          capture_output=True, text=True)  # fmt: skip
    left = Path(told.stdout.strip())
    assert (left / "clip.mp4").exists()
    precious = tmp_path / "precious"
    others = [precious, *(tmp_path / f"{PREFIX}{name}" for name in ("unlocked", "deep"))]
    for folder in others:
        (folder / "work").mkdir(parents=True)
        (folder / "work" / "years.txt").write_text("years of it", encoding="utf-8")
    for folder in (precious, tmp_path / f"{PREFIX}deep"):
        for name in (".alive", "a.txt", "z.txt"):
            (folder / name).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(precious)
    alive = WorkerFolder()
    (alive.path / "clip.mp4").write_bytes(b"frames")
    before = _kept(tmp_path) - {left.name, *(f"{left.name}/{path.name}" for path in left.iterdir())}
    remove_stale_folders()
    assert _kept(tmp_path) == before
    alive.remove()
    assert _kept(tmp_path) == {name for name in before if not name.startswith(alive.path.name)}


@pytest.mark.slow
def test_a_worker_computes_with_as_many_threads_as_the_driver_also_where_numpy_is_there_already() -> None:
    """Ray gives its processes one thread each, and numpy is imported before any of our code runs."""
    there = (
        "import sys; from threadpoolctl import threadpool_info; from popbench_ray.worker import Settings; "
        "assert 'numpy' in sys.modules; before = Settings.here(); Settings(None, {0}, {0}).apply(); "
        "import scipy.linalg; Settings(None, {0}, {0}).limit(); "
        "print(before.blas, *{{pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'}})"
    )
    for mine, theirs in ((1, 2), (2, 1)):
        done = subprocess.run([sys.executable, "-c", there.format(theirs)], capture_output=True, text=True, check=True,
                              env={**os.environ, "OMP_NUM_THREADS": str(mine)})  # fmt: skip
        assert done.stdout.split() == [str(mine), str(theirs)]


def test_a_look_at_the_engine_starts_no_ray() -> None:
    """`popbench doctor` looks at all engines."""
    ray = pytest.importorskip("ray", reason="part of popbench[ray]")
    before = ray.is_initialized()
    assert RayEngine().check() == []
    assert ray.is_initialized() == before


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for address in (None, "127.0.0.1:1"):
        told = RayEngine(RayEngine.Options(address=address)).check()
        assert told == ['Ray is not installed: pip install "popbench[ray]" (in a clone: pip install -e ".[ray]")']


@pytest.mark.parametrize(("address", "mode"), [(None, None), (None, "token"), ("127.0.0.1:1", "token")])
def test_a_ray_too_old_for_the_token_it_is_to_ask_for_is_refused_in_one_line(
    address: str | None, mode: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = ModuleType("ray")
    old.__spec__ = ModuleSpec("ray", None, is_package=True)
    old.__spec__.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "ray", old)
    told = 'this Ray is too old to ask for a token: pip install "popbench[ray]", or set RAY_AUTH_MODE=disabled'
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    assert RayEngine(RayEngine.Options(address=address)).check() == [told]
    (tmp_path / "_private" / "authentication").mkdir(parents=True)
    assert ray_problem(address) is None


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_an_address_without_a_cluster_is_told_in_one_line(address: str) -> None:
    pytest.importorskip("ray", reason="part of popbench[ray]")
    (told,) = RayEngine(RayEngine.Options(address=address)).check()
    assert told.startswith(f"address={address}: ")
    assert "\n" not in told
