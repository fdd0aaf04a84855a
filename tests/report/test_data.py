"""What a page is made of: its samples, sizes, times, ticks and clips."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_scores import score_rows, write
from popbench.errors import UsageError
from popbench.leaderboard.results import compute
from popbench.records import Sample
from popbench.report.chart_data import distribution, linear_ticks, log_ticks
from popbench.report.consistency import check_agreement
from popbench.report.gallery import clip_path, embedded, gallery
from popbench.report.numbers import memory, seconds
from popbench.report.rag_sizes import sizes
from popbench.report.run_files import read_run
from popbench.report.shown_references import shown_references
from popbench.report.stage_costs import StageCosts
from popbench.scores.scores import merge
from popbench.scores.sources import read_source
from run_folders import SYSTEMS, make_run

PREDICTORS = [{"name": "mmra", "unit": "comments"}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("data") / "run", (*SYSTEMS, "human"), prompts=4, predictors=("mmra",))


@pytest.fixture(scope="module")
def samples(run: Path) -> list[Sample]:
    return read_run(run).samples


def modes(**changes: Any) -> Any:
    usual = {
        "basic": {"name": "basic", "options": {}},
        "pe": {"name": "pe", "options": {"k": 10, "tags": 1}},
        "pe[k=50]": {"name": "pe", "options": {"k": 50, "tags": 1}},
    }
    return {**usual, **changes}


# -- samples


def test_the_gallery_holds_every_sample_where_its_index_says(run: Path, samples: list[Sample]) -> None:
    found = gallery(samples, PREDICTORS, {}, (), run, run)
    assert len(found["scores"]["mmra"]) == len(samples) == len(found["systems"]) * len(found["prompts"])
    by_place = {(s.system, s.task, s.prompt_id): s for s in samples}
    for place, (system, prompt) in enumerate((s, p) for s in found["systems"] for p in found["prompts"]):
        sample = by_place[system, prompt[0], prompt[1]]
        assert found["scores"]["mmra"][place] == sample.scores["mmra"]
    for number, prompt in enumerate(found["prompts"]):
        kept = json.loads(zlib.decompress(base64.b64decode(found["texts"][number])))["samples"]
        assert [one["system"] for one in kept] == list(range(len(found["systems"])))
        for one in kept:
            sample = by_place[found["systems"][one["system"]], prompt[0], prompt[1]]
            shown = (one["title"], one["prompt"], one["completion"], one.get("reasoning"), one.get("references", []))
            assert shown == (
                sample.title, sample.video_prompt, sample.completion, sample.reasoning, list(sample.references),
            )  # fmt: skip


def test_further_fields_are_shown_as_text(run: Path, samples: list[Sample]) -> None:
    extra = {"hook": "雨 <b>", "hashtags": ["#a", "#b"], "lang": None}
    found = gallery([replace(samples[0], extra=extra), *samples[1:]], PREDICTORS, {}, (), run, run)
    shown = [
        one["extra"]
        for texts in found["texts"]
        for one in json.loads(zlib.decompress(base64.b64decode(texts)))["samples"]
        if "extra" in one
    ]
    assert shown == ['hook: 雨 <b>\nhashtags: ["#a", "#b"]\nlang: null']


def test_a_sample_that_is_not_there_has_no_score(run: Path, samples: list[Sample]) -> None:
    found = gallery(samples[1:], PREDICTORS, {}, (), run, run)
    assert found["scores"]["mmra"].count(None) == 1


@pytest.mark.parametrize(
    ("video", "path"),
    [
        ("videos/a b.mp4", "videos/a%20b.mp4"),
        ("videos/a#?.mp4", "videos/a%23%3F.mp4"),
        ("http://somewhere/x.mp4", "http%3A/somewhere/x.mp4"),
        ("../x.mp4", None),
        ("videos/../../x.mp4", None),
        ("/etc/x.mp4", None),
        ("", None),
        (None, None),
    ],
)
def test_clips_are_looked_for_below_the_run_alone(video: str | None, path: str | None) -> None:
    assert clip_path(video) == path


def test_embedded_clips_are_of_the_first_two_systems_and_spread_over_tasks_and_categories(
    tmp_path: Path, samples: list[Sample]
) -> None:
    (tmp_path / "videos").mkdir()
    own = [
        Sample(**{**_values(sample), "video": f"videos/{number}.mp4"})
        for number, sample in enumerate(samples)
        if sample.system in SYSTEMS
    ]
    for sample in own:
        (tmp_path / str(sample.video)).write_bytes(str(sample.video).encode())
    by_path = {sample.video: sample for sample in own}
    order = sorted(SYSTEMS, key=lambda system: (system not in ("qwen|pe|ltx", "gpt|basic|ltx"), system))
    chosen = [by_path[path] for path in embedded(own, tmp_path, order, 8)[0]]
    assert {sample.system for sample in chosen} == set(order[:2])
    assert len({(sample.task, sample.category) for sample in chosen}) == 4
    assert [len(part) for part in embedded(own, tmp_path, order, 10_000)] == [len(own), 0]
    (tmp_path / str(chosen[0].video)).unlink()
    found, missing = embedded(own, tmp_path, order, 10_000)
    assert (len(found), missing) == (len(own) - 1, {chosen[0].video: "No such file or directory"})
    assert embedded(own, tmp_path, order, 0) == ({}, {})


def stages(samples: list[Sample]) -> list[dict[str, Any]]:
    taken = StageCosts()
    for sample in samples:
        taken.add(sample)
    return taken.rows()


def _values(sample: Sample) -> dict[str, Any]:
    return {name: getattr(sample, name) for name in sample.__dataclass_fields__}


def test_references_have_titles_where_the_corpus_is_still_the_same(samples: list[Sample]) -> None:
    from popbench.planning.systems import as_part
    from popbench.registry import load_registry

    part = as_part(load_registry().resolve("corpus", "demo"))
    row = next(iter(part.resolved.component.rows("test")))
    shown = [Sample(**{**_values(samples[0]), "references": (row.id, "another")})]
    told: Any = {
        "config": {"corpus": "demo"},
        "components": {"corpus demo": {"fingerprint": dict(part.fingerprint)}},
        "references": {"part": "test"},
    }
    assert shown_references(shown, told) == {row.id: (row.title, row.popularity, row.description, row.caption)}
    assert shown_references(samples[:1], told) == {}
    others: list[Any] = [
        {**told, "components": {"corpus demo": {"fingerprint": {"version": "0"}}}},
        {**told, "config": {"corpus": "gone"}},
    ]
    assert [shown_references(shown, other) for other in others] == [{}, {}]


# -- sizes and times


def test_sizes_are_told_by_llm_and_generator_with_basic_as_none(run: Path) -> None:
    results = read_run(run).results
    rows = sizes(results, modes(), "mmra", "concrete")
    assert [(row["series"], row["k"]) for row in rows] == [
        (f"{llm} · ltx", k) for llm in ("gpt", "qwen") for k in (0, 10, 50)
    ]
    assert [row["rate"] is None for row in rows] == [True, False, False] * 2
    contrast = next(
        row for row in results["enhancement"] if (row["task"], row["a"]) == ("concrete", "gpt|pe[k=50]|ltx")
    )
    assert rows[2]["rate"].value == f"{100 * contrast['win_rate']['value']:.1f}"


def test_one_size_is_no_comparison_and_other_options_are_another_series(run: Path) -> None:
    results = read_run(run).results
    same = {"name": "pe", "options": {"k": 10, "tags": 1}}
    assert sizes(results, modes(**{"pe[k=50]": same}), "mmra", "concrete") == []
    spread = {"name": "pe", "options": {"k": 50, "tags": 3, "per_tag": False}}
    assert sizes(results, modes(**{"pe[k=50]": spread}), "mmra", "concrete") == []


def test_a_draft_that_two_generators_render_took_its_time_once(samples: list[Sample]) -> None:
    twice = [
        Sample(**{**_values(sample), "generator": generator, "system": f"{sample.llm}|{sample.mode}|{generator}"})
        for sample in samples
        if sample.llm == "gpt"
        for generator in ("ltx", "wan")
    ]
    rows = {(row["stage"], row["name"]): row for row in stages(twice)}
    assert rows["draft", "gpt · pe"]["n"] == 8
    assert rows["clip", "ltx"]["n"] == rows["clip", "wan"]["n"] == 24
    assert rows["score", "mmra"]["median"] == "40 ms"
    assert rows["clip", "ltx"]["memory"] == "23.4 GB"
    assert (rows["draft", "gpt · pe"]["tokens"], rows["draft", "gpt · pe"]["cost"]) == ("400 + 210", "$0.0021")


def test_what_nobody_timed_is_left_out(samples: list[Sample]) -> None:
    untimed = [Sample(**{**_values(sample), "seconds": {}, "peak_memory_mb": {}}) for sample in samples]
    assert stages(untimed) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0 s"), (0.000123, "0.12 ms"), (0.0371, "37 ms"), (0.52, "0.52 s"), (9.94, "9.9 s"),
     (9.96, "10 s"), (63.2, "63 s"), (119.9, "120 s"), (150, "2.5 min"), (1234, "21 min"), (0.0996, "0.1 s")],
)  # fmt: skip
def test_times_have_two_digits_and_a_unit(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_memory_has_a_unit() -> None:
    assert [memory(value) for value in (None, 900, 24_576)] == ["–", "900 MB", "24.0 GB"]


@given(st.floats(1e-6, 1e9), st.floats(1, 1e9))
def test_ticks_of_a_log_axis_are_round_few_and_within(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= low * factor for tick in ticks)
    assert len(ticks) <= 9
    assert all(f"{tick:e}"[0] in "1235" and float(f"{tick:.0e}") == tick for tick in ticks)
    if factor >= 10:
        assert ticks


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
def test_ticks_of_a_linear_axis_are_few_and_within(low: float, room: float) -> None:
    ticks = linear_ticks(low, low + room)
    assert ticks == sorted(ticks)
    assert len(ticks) <= 10
    slack = 1e-4 * (abs(low) + room)  # they are rounded to five digits
    assert all(low - slack <= tick <= low + room + slack for tick in ticks)


def test_the_axis_of_a_real_scale_is_linear_and_has_a_place_for_every_end() -> None:
    rows = [
        {"system": "a|b|c", "n": 20, "median": {"value": -1.0, "low": None, "high": 2.0}},
        {"system": "d|b|c", "n": 20, "median": {"value": None, "low": None, "high": 0.0}},
        {"system": "e|b|c", "n": 20, "median": {"value": None, "low": None, "high": None}},
        {"system": "f|b|c", "n": 3, "median": {"value": 0.0, "low": None, "high": None}},
    ]
    chart = distribution(rows, {"a|b|c": np.array([-4.0, 0.0, 5.0])}, "real")
    assert chart["kind"] == "distribution_real"
    assert chart["ticks"] == [-4, -2, 0, 2, 4]
    drawn = [[row[end] for end in ("value", "low", "high")] for row in chart["data"]["medians"]]
    least = pytest.approx(-4.45)
    assert drawn == [[-1, least, 2], [least, least, 0], [least, least, None], [0, None, None]]
    assert [row["told"] for row in chart["data"]["medians"]] == [
        "-1 [invalid, 2]", "invalid [invalid, 0]", "invalid [–]", "0 [–]",
    ]  # fmt: skip
    assert distribution(rows[2:3], {}, "real") == {}


def test_medians_of_prompts_means_of_earlier_versions_are_no_disagreement(tmp_path: Path) -> None:
    rows = score_rows(repeats=2)
    sources = merge(read_source(write(tmp_path / "scores.jsonl", rows)))
    results = compute(sources)
    check_agreement(results, sources, "run")
    for row in results["systems"]:
        del row["median_of"]
    with pytest.raises(UsageError, match="median of"):
        check_agreement(results, sources, "run")
    for row in results["systems"]:
        of = [other["popularity"] for other in rows if other["system"] == row["system"]]
        row["median"]["value"] = float(np.median(np.reshape(of, (-1, 2)).mean(axis=1)))
    check_agreement(results, sources, "run")
