"""Further columns of a task and fields of its drafts go all the way: to templates, samples, exports and predictors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import corpus_files
import popbench
import popbench_runs
import using_components
from command_line import Run, in_process
from made_boards import edit_samples
from made_tasks import task_file
from popbench.audit.run import audit
from popbench.export.tables import write_table
from using_components import SEEN, seer

ROWS: list[dict[str, Any]] = [
    {
        "id": f"p{n}",
        "prompt": f"A cat that counts to {n}",
        "category": "ab"[n % 2],
        "lang": lang,
        "meta": {"n": [n, None]},
    }
    for n, lang in enumerate(["en", None, "日本語 🐈"])
]
FIELDS = {"id": "id", "prompt": "prompt", "category": "category", "extra": ["lang", "meta"]}
DRAFT: dict[str, Any] = {"fields": {"hashtags": "array", "mood": {"type": "integer", "description": "from 1 to 5"}}}
TEMPLATE = (
    "{% block system %}JSON with title, video_prompt"
    "{% for name in draft.fields %}, {{ name }}{% endfor %}.{% endblock %}"
    "{% block user %}{{ prompt }} in {{ extra.lang }} {{ extra.meta.n }}{% endblock %}"
)
WRITTEN = {"hashtags": ["#rain", "雨 🐈"], "mood": 3}


@pytest.fixture(autouse=True)
def _components() -> None:
    using_components.install()


def task(folder: Path, **changes: Any) -> str:
    path = task_file(folder, ROWS, name="cats", **{"fields": FIELDS, "draft": DRAFT, **changes})
    (folder / "basic.j2").write_text(TEMPLATE, encoding="utf-8")
    return str(path)


def evaluate(out: Path, **changes: Any) -> popbench.Run:
    SEEN.clear()
    given = {"llm": "tagged", "task": task(out.parent / "task"), "predictor": seer("extra", "title"), "limit": None}
    return popbench_runs.run_fast(out, **{**given, **changes})


def of_rows(row: dict[str, Any]) -> dict[str, Any]:
    return {"lang": row["lang"], "meta": row["meta"]}


def test_they_go_to_the_llm_to_samples_and_to_predictors_and_nothing_is_asked_again(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run")
    assert run.complete
    chats = [seen for seen in SEEN if "schema" in seen]
    assert [chat["messages"][-1]["content"] for chat in chats] == [
        f"{row['prompt']} in {row['lang']} {row['meta']['n']}" for row in ROWS
    ]
    assert chats[0]["messages"][0]["content"] == "JSON with title, video_prompt, hashtags, mood."
    assert chats[0]["schema"]["required"] == ["title", "video_prompt", "hashtags", "mood"]
    wanted = [{**of_rows(row), **WRITTEN} for row in ROWS]
    assert [sample.extra for sample in run.samples()] == wanted
    assert [seen["extra"] for seen in SEEN if "extra" in seen] == wanted
    before = popbench_runs.outcome(run.path)
    assert popbench_runs.outcome(evaluate(tmp_path / "run").path) == before
    assert SEEN == []


def test_a_draft_without_a_field_is_asked_for_again(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", llm="tagged,forgets=once")
    assert run.complete
    samples = list(run.samples())
    assert [(sample.attempts, sample.unusable, sample.extra["mood"]) for sample in samples] == [
        (2, ("hashtags missing",), 3)
    ] * 3
    run = evaluate(tmp_path / "run", llm="tagged,forgets=always")
    for sample, row in zip(run.samples(), ROWS, strict=True):
        assert (sample.status, sample.popularity, sample.extra) == ("invalid", 0, of_rows(row))
        assert sample.error == "no usable draft in 3 answers: hashtags missing (3)"


def test_the_baselines_fill_them(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", llm=["verbatim", "shotlist"])
    assert run.complete
    for sample in run.samples():
        assert all(isinstance(tag, str) for tag in sample.extra["hashtags"])
        assert sample.extra["mood"] == 0


def test_a_score_follows_only_the_fields_it_uses(tmp_path: Path) -> None:
    evaluate(tmp_path / "run", predictor=[seer("extra"), seer("title", label="other")])
    more = {**DRAFT, "fields": {**DRAFT["fields"], "mood": {"type": "integer", "description": "from 0 to 9"}}}
    evaluate(
        tmp_path / "run2",
        predictor=[seer("extra"), seer("title", label="other")],
        task=task(tmp_path / "b", draft=more),
    )
    assert len([seen for seen in SEEN if "extra" in seen]) == 6


def test_human_made_videos_have_the_columns_alone(tmp_path: Path) -> None:
    table = corpus_files.rows()
    path = corpus_files.write(tmp_path / "mine.csv", table)
    corpus = corpus_files.spec(path, videos=corpus_files.videos(tmp_path / "videos", table))
    run = evaluate(tmp_path / "run", corpus=corpus, embedder="hashing", baseline="human")
    assert run.complete
    humans = [sample for sample in run.samples() if sample.system == "human"]
    assert [sample.extra for sample in humans] == list(map(of_rows, ROWS))
    assert [seen["extra"] for seen in SEEN if "extra" in seen and "mood" not in seen["extra"]] == list(
        map(of_rows, ROWS)
    )


def test_an_audit_asks_with_the_fields_in_the_order_in_which_the_run_asked(tmp_path: Path) -> None:
    """A judge that writes them into its question is asked the same question."""
    run = evaluate(tmp_path / "run")
    order = ["lang", "meta", "hashtags", "mood"]
    assert [list(seen["extra"]) for seen in SEEN if "extra" in seen] == [order] * 3
    SEEN.clear()
    audit(run.path, shuffles=1)
    assert {tuple(seen["extra"]) for seen in SEEN} == {tuple(order)}


def test_they_are_in_exports_and_in_tables_and_not_in_those_of_other_tasks(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    run = evaluate(tmp_path / "run")
    wanted = [{**of_rows(row), **WRITTEN} for row in ROWS]
    write_table(run.path, "jsonl", tmp_path / "o.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["extra"] for row in rows] == wanted
    write_table(run.path, "parquet", tmp_path / "o.parquet")
    assert [json.loads(row["extra"]) for row in pq.read_table(tmp_path / "o.parquet").to_pylist()] == wanted
    assert list(run.to_pandas()["extra_mood"]) == [3, 3, 3]
    assert list(run.to_pandas()["extra_meta"]) == [row["meta"] for row in ROWS]
    assert [json.loads(text) for text in run.to_dataset()["extra"]] == wanted
    other = popbench_runs.run_fast(tmp_path / "other")
    assert "extra" not in popbench_runs.samples(other.path)[0]
    assert not [name for name in other.to_pandas().columns if name.startswith("extra")]
    assert "extra" not in other.to_dataset().column_names
    write_table(other.path, "jsonl", tmp_path / "p.jsonl")
    assert "extra" not in json.loads((tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()[0])


def test_a_board_takes_them_and_sees_what_was_changed_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call: Run = in_process(monkeypatch, capsys, tmp_path)
    run = evaluate(tmp_path / "run").path
    assert call("leaderboard", "add", "board", run, "--title", "Cats").status == 0
    assert call("leaderboard", "check", "board").status == 0
    for name, value, told in (
        ("mood", 4, "does not match the ledger in extra"),
        ("lang", "de", "do not match its hash"),
    ):
        edit_samples(run, lambda row, name=name, value=value: row["extra"].update({name: value}))  # type: ignore[misc]
        done = call("leaderboard", "add", "other", run, "--title", "Cats")
        assert done.status == 2
        assert told in done.err


def test_a_task_says_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call: Run = in_process(monkeypatch, capsys, tmp_path)
    path = task(tmp_path)
    assert call("task", "validate", path).out == (
        "cats: 3 prompts (a 2, b 1), modes basic, extra columns lang, meta, "
        "draft fields hashtags (array), mood (integer): ok\n"
    )
    shown = call("task", "show", path, "--prompt", "p2").out
    assert 'extra: {"lang": "日本語 🐈", "meta": {"n": [2, null]}}\n' in shown
    assert "asked for besides title and video_prompt: hashtags (array), mood (integer)\n" in shown
    (tmp_path / "basic.j2").write_text(TEMPLATE.replace(", {{ name }}", ""), encoding="utf-8")
    assert call("task", "validate", path).out.splitlines()[1] == (
        "cats: mode basic does not name hashtags, mood: LLMs that are not held to a JSON schema are not asked for it"
    )
    (tmp_path / "basic.j2").write_text(TEMPLATE.replace("extra.lang", "extra.language"), encoding="utf-8")
    assert "has no attribute 'language'" in call("task", "validate", path).line
