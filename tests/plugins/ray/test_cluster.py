"""A Ray cluster of two real nodes gives the local engine's results, also when workers and nodes are lost."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import popbench
import popbench_runs
import ray_cluster
from popbench.engines import LocalEngine
from popbench.registry import create
from ray_cluster import Mapped, Nodes, await_, engine, requests, resolve
from ray_components import Notes

pytest.importorskip("ray", reason="part of popbench[ray]")
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes with one processor each."""
    folder = tmp_path_factory.mktemp("raytest")
    ray_cluster.distribute(folder)
    with ray_cluster.surroundings(folder):
        made = Nodes(folder)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(autouse=True)
def _components() -> None:
    ray_cluster.install()


def by_id(answers: list[popbench.Answer | popbench.Submitted]) -> dict[str, Any]:
    found = {answer.id: answer for answer in answers}
    assert len(found) == len(answers), "an item was answered twice"
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_results_are_those_of_the_local_engine(nodes: Nodes, tmp_path: Path) -> None:
    choice: dict[str, Any] = {"limit": 2, "task": "popcorn_concrete", "llm": "shotlist", "mode": "pe", "corpus": "demo"}
    far = popbench.evaluate(**choice, engine=f"ray,address={nodes.address}", out=tmp_path / "far")
    near = popbench.evaluate(**choice, engine="local", out=tmp_path / "near")
    assert far.complete
    assert near.complete
    assert popbench_runs.outcome(tmp_path / "far") == popbench_runs.outcome(tmp_path / "near")


@pytest.mark.slow
def test_a_worker_and_a_node_killed_midway_cost_nothing_that_was_finished(nodes: Nodes, tmp_path: Path) -> None:
    notes = Notes(str(tmp_path / "notes"))
    spec = resolve("generator", f"scripted,seconds=0.3,notes={tmp_path / 'notes'}")
    items = requests(["lake"] * 30)
    doomed = nodes.add()
    with engine(tmp_path / "far", address=nodes.address) as made:
        mapped = Mapped(made, spec, items)
        await_(lambda: len(mapped.answers) >= 5 and made.at_work(spec).count == 3)
        finished = {answer.id for answer in mapped.answers}
        os.kill(int(notes.read()[-1][2]), signal.SIGKILL)
        await_(lambda: len(mapped.answers) >= 10)
        finished |= {answer.id for answer in mapped.answers}
        nodes.kill(doomed)
        answers = by_id(mapped.done())
    assert set(answers) == {item.id for item in items}
    assert all(isinstance(answer, popbench.Clip) for answer in answers.values())
    done = Counter(words[1] for words in notes.read() if words[0] == "done")
    assert all(done[item] == 1 for item in finished)
    local = LocalEngine()
    (tmp_path / "near").mkdir()
    local.start(tmp_path / "near")
    assert len(list(local.map(resolve("generator", "scripted"), items))) == 30
    assert files(tmp_path / "far") == files(tmp_path / "near")


@pytest.mark.slow
def test_an_item_that_kills_hangs_or_raises_fails_alone(nodes: Nodes, tmp_path: Path) -> None:
    spec = resolve("generator", f"scripted,notes={tmp_path / 'notes'}")
    prompts = ["lake", "die", "lake", "refuse", "raise", "hang-once", "lake", "lake"]
    with engine(tmp_path / "far", address=nodes.address, retries=1, item_timeout=8) as made:
        answers = by_id(Mapped(made, spec, requests(prompts)).done(100))
    failed = {id_: answer for id_, answer in answers.items() if isinstance(answer, popbench.Failure)}
    assert set(failed) == {"die-1", "refuse-3", "raise-4"}
    assert failed["raise-4"].error == "generator scripted: it raised ValueError: bad prompt (tried 2 times)"
    assert len(answers) == len(prompts)


@pytest.mark.slow
def test_a_job_of_a_killed_worker_goes_to_another_and_is_not_created_again(nodes: Nodes, tmp_path: Path) -> None:
    spec = resolve("generator", f"queued,notes={tmp_path / 'notes'}")
    items = requests(["lake", "die-once", "lake", "lake"])
    with engine(tmp_path / "far", address=nodes.address) as made:
        answers = Mapped(made, spec, items).done(100)
    submitted = [answer for answer in answers if isinstance(answer, popbench.Submitted)]
    assert {answer.id: answer.job for answer in submitted} == {item.id: {"of": item.id} for item in items}
    assert len(submitted) == len(Notes(str(tmp_path / "notes")).read()) == 4
    assert sorted(answer.id for answer in answers if isinstance(answer, popbench.Clip)) == sorted(
        item.id for item in items
    )


@pytest.mark.slow
def test_a_node_that_joins_is_used(nodes: Nodes, tmp_path: Path) -> None:
    spec = resolve("generator", "scripted,seconds=1")
    with engine(tmp_path / "far", address=nodes.address) as made:
        mapped = Mapped(made, spec, requests(["lake"] * 500))
        await_(lambda: made.at_work(spec).count == 2)
        joined = nodes.add()
        await_(lambda: made.at_work(spec).count == 3)
        made.interrupt()
        with pytest.raises(popbench.ComponentError, match=r"^generator scripted: interrupted$"):
            mapped.done(5)
    nodes.kill(joined)


@pytest.mark.slow
def test_a_component_that_cannot_be_made_or_is_another_one_ends_in_its_own_words(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    with engine(tmp_path / "far", address=nodes.address, retries=0) as made:
        fine, unmakeable = resolve("generator", "scripted"), resolve("generator", f"scripted,broken={broken}")
        assert made.lacks(unmakeable, create(unmakeable)) == []
        broken.touch()
        with pytest.raises(popbench.ComponentError, match=r"again and again .* ValueError: no weights here$"):
            Mapped(made, unmakeable, requests(["lake"])).done()
    with engine(tmp_path / "far", address=nodes.address, gpus={"never": 1}, lost_after=4) as made:
        never = resolve("generator", "scripted,label=never")
        with pytest.raises(popbench.ComponentError, match=r"no node of the cluster has had 1 GPU for \d s$"):
            Mapped(made, never, requests(["lake"])).done()
        monkeypatch.setenv("RAYTEST_WEIGHTS", "others")
        (told,) = made.lacks(fine, create(fine))
        assert told.endswith(": weights is 'same' there and 'others' here")


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("component", "weights is 'others' there and 'same' here"),
        ("popbench", f"popbench is 9.9 there and {popbench.__version__} here"),
    ],
)
def test_a_node_with_another_component_or_popbench_is_left_out_with_a_line(
    what: str, told: str, nodes: Nodes, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import popbench\npopbench.__version__ = '9.9'\n", encoding="utf-8")
    if what == "component":
        other = nodes.add(RAYTEST_WEIGHTS="others")
    else:
        other = nodes.add(PYTHONPATH=f"{tmp_path}{os.pathsep}{nodes.path}")
    spec, left_out = resolve("generator", "scripted,seconds=0.5"), threading.Event()
    asked: list[popbench.VideoRequest] = []

    def until_left_out() -> Iterator[popbench.VideoRequest]:
        """Have ever more items wait than two workers finish, so that the other node is asked too."""
        while not left_out.wait(0.15):
            asked.append(popbench.VideoRequest(f"lake-{len(asked)}", "lake", len(asked)))
            yield asked[-1]

    try:
        with engine(tmp_path / "far", address=nodes.address) as made:
            assert made.lacks(spec, create(spec)) == [], "whichever node is asked first"
            mapped = Mapped(made, spec, until_left_out())
            try:
                (line,) = await_(made.notices, 150)
            finally:
                left_out.set()
            assert len(mapped.done(110)) == len(asked)
            assert made.notices() == [], "told once"
    finally:
        nodes.kill(other)
    assert re.fullmatch(rf"generator scripted: it differs on node \S+: {re.escape(told)}: that node is left out", line)


@pytest.mark.slow
def test_stages_work_at_the_same_time_and_idle_workers_give_way(nodes: Nodes, tmp_path: Path) -> None:
    """Two processors, three components: the first two hold both while they wait for the last."""
    scored = threading.Event()

    def clips() -> Iterator[popbench.VideoRequest]:
        yield from requests(["lake"] * 2)
        assert scored.wait(60)
        yield popbench.VideoRequest("last", "lake", 9)

    with engine(tmp_path / "far", address=nodes.address) as made:
        one = Mapped(made, resolve("generator", "scripted"), clips())
        two = Mapped(made, resolve("generator", "scripted-too"), clips())
        await_(lambda: len(one.answers) == len(two.answers) == 2)
        path = tmp_path / "far" / "lake-0.mp4"
        item = popbench.ScoreRequest("s", "A lake", path)
        (score,) = Mapped(made, resolve("predictor", "bright"), [item]).done()
        assert isinstance(score, popbench.Score)
        assert score.extra == {"file": "s.mp4"}
        (score,) = Mapped(made, resolve("predictor", "wordy"), [popbench.ScoreRequest("w", "A lake", Path())]).done()
        assert isinstance(score, popbench.Score)
        assert (score.popularity, score.extra) == (6.0, {"path": "."}), "no file is sent where none is used"
        scored.set()
        assert len(one.done()) == len(two.done()) == 3
        (completion,) = made.map(resolve("llm", "chatty"), [popbench.Chat("c", (), 1, {})])
        assert isinstance(completion, popbench.Completion)
        assert completion.text == str(os.getpid())


@pytest.mark.slow
def test_all_nodes_lost_end_the_run_with_status_1_in_bounded_time_and_it_can_be_resumed(
    nodes: Nodes, tmp_path: Path
) -> None:
    """The last test here: the cluster is gone afterwards."""
    run, notes = tmp_path / "run", Notes(str(tmp_path / "notes"))
    generator = f"scripted,seconds=0.4,notes={tmp_path / 'notes'}"
    words = ["eval", "--llm", "verbatim", "--gen", generator, "--mode", "basic", "--corpus", "demo", "--limit", "20",
             "--task", "popcorn_concrete", "--out", str(run)]  # fmt: skip
    process = popbench_runs.start(
        [*words, "--engine", f"ray,address={nodes.address},lost_after=10"], tmp_path / "child"
    )
    try:
        await_(lambda: sum(words[0] == "done" for words in notes.read()) >= 5)
        time.sleep(0.3)
        nodes.kill_all()
        lost = time.monotonic()
        process.join(90)
        assert process.exitcode == 1
        assert time.monotonic() - lost < 60
    finally:
        process.kill()
    told = (tmp_path / "child" / "stderr.txt").read_text(encoding="utf-8")
    assert "the Ray cluster has not answered for" in told
    rendered = {row["prompt_id"] for row in popbench_runs.samples(run) if row["video"]}
    before = len([words for words in notes.read() if words[0] == "done"])
    assert popbench.evaluate(config=run / "run.json", engine="local", out=run).complete
    after = len([words for words in notes.read() if words[0] == "done"])
    assert after - before == 20 - len(rendered)
