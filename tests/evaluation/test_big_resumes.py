"""Going on with a run: what is open is found without holding it, asked for first, and never believed blindly."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import faults
import popbench_runs
from popbench.ledger.ledger import STAGES, Call, Done, Ledger
from popbench.pipeline.ledger_view import LedgerView, ReadyItems
from popbench.pipeline.queues import WorkQueue
from popbench.planning.config import resolve_config
from popbench.planning.plan import Plan
from popbench.planning.resolve import make_plan
from popbench.planning.systems import SampleSet
from popbench.progress import Progress
from popbench.records import Prompt
from popbench.runs.preflight import count_work


def plan_of(out: Path, **changes: Any) -> Plan:
    return make_plan(resolve_config({**popbench_runs.FAST, **changes, "out": str(out)}))


def by_hand(run: Path, statement: str) -> list[Any]:
    """Change a ledger in SQL, or read it."""
    with sqlite3.connect(run / "ledger.sqlite") as db:
        found = db.execute(statement).fetchall()
    db.close()
    return found


# -- what is open

At = tuple[str, int]
"""Prompt id and repeat."""
PROMPTS = [Prompt(f"p{number}", "A video.", "a category", "a task") for number in (3, 0, 2, 1, 4)]
PLACES: list[At] = [(prompt.id, repeat) for prompt in PROMPTS for repeat in range(8)]
TITLES = ("A title", "Another \x00 one", 'With "quotes" and é')


def fill(ledger: Ledger, videos: Path, plan: Plan, rng: random.Random) -> dict[str, dict[At, Any]]:
    """Settle places in all ways there are; return what is settled, by stage, as plain values."""
    llm, generator, predictor = plan.llms[0], plan.generators[0], plan.predictors[0]
    method = next(iter(plan.task_modes.values()))
    chain = (llm, generator, predictor)
    stage_keys = [method.stage_key(stage, *chain[:number]) for number, stage in enumerate(STAGES, 1)]
    found: dict[str, dict[At, Any]] = {stage: {} for stage in STAGES}
    for number, at in enumerate(PLACES):
        kind = rng.choice(["nothing", "invalid draft", "draft", "invalid clip", "clip", "score", "score"])
        if kind == "nothing":
            continue
        title = rng.choice(TITLES)
        status = "invalid" if kind == "invalid draft" else "ok"
        written = {"title": title, "video_prompt": f"prompt {number}", "breaches": []}
        draft = {"attempts": 1, "references": [], **(written if status == "ok" else {"error": "none"})}
        failed = {} if status == "ok" else {"error": "none"}
        ledger.commit(
            Call(f"d{number}", "write", status, failed), [Done(stage_keys[0], *at, f"d{number}", status, draft)]
        )
        found["write"][at] = status, draft
        if kind in ("invalid draft", "draft"):
            continue
        status = "invalid" if kind == "invalid clip" else "ok"
        sha256, size = f"sha {number}", rng.choice([2, 2, 2, 3])  # a file of 3 bytes is not the one that was rendered
        payload = {"sha256": sha256, "bytes": 2, "error": "none"}
        call = rng.choice([status, status, status, "invalid" if status == "ok" else "ok"])
        ledger.commit(Call(f"c{number}", "render", call, payload), [Done(stage_keys[1], *at, f"c{number}", status, {})])
        there = rng.random() < 0.8
        if there:
            (videos / f"c{number}.mp4").write_bytes(b"x" * size)
        if call == status and (status != "ok" or (there and size == 2)):
            found["render"][at] = status, f"c{number}", sha256
        if kind != "score":
            continue
        of = rng.choice([sha256, sha256, sha256, "of other bytes"])
        key = predictor.score_key(PROMPTS[number // 8], draft, of)
        if "video" not in predictor.uses:  # whatever bytes the clip has
            of = sha256
        ledger.commit(Call(key, "score", "ok", {"popularity": 1}), [Done(stage_keys[2], *at, key, "ok", {})])
        if of == sha256 and found["render"].get(at, ("",))[0] == "ok":
            found["score"][at] = "ok", key
    return found


def plainly(stage: str, found: dict[str, dict[At, Any]], places: Iterable[At]) -> tuple[int, int, list[Any]]:
    """Say what is open, place by place, from what is settled."""
    settled = lost = 0
    ready: list[Any] = []
    for at in places:
        draft, clip = found["write"].get(at), found["render"].get(at)
        if at in found[stage]:
            settled += 1
        elif stage == "write":
            ready.append((at, {}))
        elif (draft and draft[0] != "ok") or (stage == "score" and clip and clip[0] != "ok"):
            lost += 1
        elif draft and stage == "render":
            ready.append((at, {"title": draft[1]["title"], "video_prompt": draft[1]["video_prompt"]}))
        elif draft and clip:
            inputs = {"title": draft[1]["title"], "video_prompt": draft[1]["video_prompt"]}
            ready.append((at, {**inputs, "key": clip[1], "sha256": clip[2]}))
    return settled, lost, ready


@pytest.mark.parametrize("uses", [{"title", "video"}, {"video", "video_prompt"}, {"title"}])
@pytest.mark.parametrize("seed", range(8))
def test_ready_items_are_those_that_a_plain_look_at_each_sample_finds(
    tmp_path: Path, seed: int, uses: set[str]
) -> None:
    plan = plan_of(tmp_path)
    plan.predictors = [replace(plan.predictors[0], uses=frozenset(uses))]
    (tmp_path / "videos").mkdir()
    ledger = Ledger(tmp_path / "ledger.sqlite")
    found = fill(ledger, tmp_path / "videos", plan, random.Random(seed))
    view, method = LedgerView(ledger, tmp_path / "videos"), next(iter(plan.task_modes.values()))
    chain = (plan.llms[0], plan.generators[0], plan.predictors[0])
    for part in (slice(None), slice(7, 20)):
        for number, stage in enumerate(STAGES, 1):
            open_ = view.ready(stage, SampleSet(method, chain[:number], PROMPTS, 8), part)
            ready = [((prompt.id, repeat), inputs) for _, prompt, repeat, inputs in open_.ready]
            assert (open_.done, open_.lost, ready) == plainly(stage, found, PLACES[part])
            assert all(PLACES[item.number] == (item.prompt.id, item.repeat) for item in open_.ready)
    sampled_at = []
    for sampled in view.results(SampleSet(method, chain[:2], PROMPTS, 8), chain[2:]):
        sampled_at.append((sampled.prompt.id, sampled.repeat))
        draft, clip, score = (found[stage].get(sampled_at[-1]) for stage in STAGES)
        assert (sampled.draft and sampled.draft.status) == (draft and draft[0])
        assert (sampled.clip and (sampled.clip.status, sampled.clip.key)) == (clip and clip[:2])
        assert (sampled.scores[0] and sampled.scores[0].key) == (score and score[1])
    assert sampled_at == PLACES
    ledger.close()


# -- what is counted


@pytest.mark.slow
def test_counting_rows_finds_the_same_work_as_looking_at_every_clip(tmp_path: Path) -> None:
    faults.install()
    popbench_runs.run_fast(tmp_path, limit=6, repeats=2, llm="faulty,fault=refusal,at=2", mode=["basic", "pe"])
    popbench_runs.run_fast(tmp_path, limit=4, repeats=3, gen="faulty,fault=refusal,at=2", mode="basic", seed=42)
    changed: list[dict[str, Any]] = [
        {"limit": 3}, {"limit": 5, "repeats": 4}, {"limit": 8, "repeats": 3}, {"limit": None},
        {"mode": ["basic", "pe"], "repeats": 2},
    ]  # fmt: skip
    for changes in changed:
        plan = plan_of(tmp_path, **changes)
        counted, looked_at = (count_work(plan, tmp_path, exact=exact) for exact in (False, True))
        assert [(work.stage, work.items, work.done, work.looked_up) for work in counted] == [
            (work.stage, work.items, work.done, work.looked_up) for work in looked_at
        ]


def test_a_lost_clip_is_found_before_the_run_where_rows_leave_nothing_to_do(tmp_path: Path) -> None:
    popbench_runs.run_fast(tmp_path)
    next((tmp_path / "videos").glob("*.mp4")).unlink()
    left = {work.stage: work.left for work in count_work(plan_of(tmp_path), tmp_path)}
    assert left == {"write": 0, "render": 1, "score": 1}


# -- what is asked first


def test_a_resume_asks_first_for_what_has_no_rows_and_looks_at_the_rest_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llms = ["verbatim", "faulty", "shotlist"]
    popbench_runs.run_fast(tmp_path, llm=llms)
    before = popbench_runs.outcome(tmp_path)
    plan = plan_of(tmp_path, llm=llms)
    method = next(iter(plan.task_modes.values()))
    last = method.stage_key("score", plan.llms[-1], plan.generators[0], plan.predictors[0])
    by_hand(tmp_path, f"DELETE FROM done WHERE system = '{last.system}' AND stage = 'score'")
    by_hand(tmp_path, "DELETE FROM calls WHERE stage = 'score' AND key NOT IN (SELECT key FROM done)")
    seen: list[Any] = []
    look, score = LedgerView.ready, faults.FaultyPredictor.score

    def looked(view: LedgerView, stage: Any, samples: SampleSet, part: slice) -> ReadyItems:
        seen.append(f"{stage} of {samples.parts[0].label}")
        return look(view, stage, samples, part)

    def scored(self: Any, items: Any) -> Any:
        for item in items:
            seen.append("asked")
            yield from score(self, [item])

    monkeypatch.setattr(LedgerView, "ready", looked)
    monkeypatch.setattr(faults.FaultyPredictor, "score", scored)
    popbench_runs.run_fast(tmp_path, llm=llms)
    assert seen[:2] == ["score of shotlist", "asked"]
    assert set(seen) == {"asked", *(f"{stage} of {llm}" for stage in STAGES for llm in llms)}
    assert popbench_runs.outcome(tmp_path) == before


class Bars(Progress):
    """Remembers how far each stage is, and how far it is to go."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.total: dict[str, int] = {}

    def stage(self, name: str, total: int, done: int) -> None:
        self.done[name], self.total[name] = done, total

    def advance(self, count: int = 1, stage: str | None = None) -> None:
        assert stage is not None
        self.done[stage] += count

    def resize(self, total: int, stage: str) -> None:
        self.total[stage] = total


def test_sums_that_say_too_much_hide_nothing(tmp_path: Path) -> None:
    popbench_runs.run_fast(tmp_path)
    before = popbench_runs.outcome(tmp_path)
    for stage in STAGES:
        by_hand(tmp_path, f"DELETE FROM done WHERE stage = '{stage}'")
        by_hand(tmp_path, f"UPDATE tally SET n = 1000 WHERE stage = '{stage}'")
        popbench_runs.run_fast(tmp_path)
        assert popbench_runs.outcome(tmp_path) == before


@pytest.mark.parametrize("size", [1, 3, 4])
def test_samples_are_read_in_chunks_and_those_that_lack_rows_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(WorkQueue, "CHUNK", size)
    popbench_runs.run_fast(tmp_path, repeats=2)
    before = popbench_runs.outcome(tmp_path)
    clips = [f"videos/{row[0]}.mp4" for row in by_hand(tmp_path, "SELECT key FROM done WHERE stage = 'render'")]
    (tmp_path / clips[1]).unlink()  # its row is there
    by_hand(tmp_path, "DELETE FROM done WHERE stage != 'write' AND repeat = 1 AND prompt LIKE '%-tv-%'")
    read: list[list[At]] = []
    look = LedgerView.ready

    def looked(view: LedgerView, stage: Any, samples: SampleSet, part: slice) -> ReadyItems:
        read.append([(prompt.id, repeat) for _, prompt, repeat in samples.numbered(part)])
        return look(view, stage, samples, part)

    monkeypatch.setattr(LedgerView, "ready", looked)
    bars = Bars()
    popbench_runs.run_fast(tmp_path, repeats=2, progress=bars)
    assert popbench_runs.outcome(tmp_path) == before
    assert bars.done == bars.total
    assert max(map(len, read)) == size
    assert any("-tv-" in prompt and repeat == 1 for prompt, repeat in read[0])


def test_a_clip_that_is_gone_is_rendered_again_and_no_bar_goes_beyond_its_end(tmp_path: Path) -> None:
    popbench_runs.run_fast(tmp_path)
    before = popbench_runs.outcome(tmp_path)
    sorted((tmp_path / "videos").glob("*.mp4"))[2].unlink()
    by_hand(tmp_path, "DELETE FROM done WHERE stage = 'score' AND prompt LIKE '%1'")  # rows leave something to do
    bars = Bars()
    popbench_runs.run_fast(tmp_path, progress=bars)
    assert popbench_runs.outcome(tmp_path) == before
    assert bars.done == bars.total
