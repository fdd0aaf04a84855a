"""Exports come back as they went: boards, values, demo flags; what is damaged or unfinished is refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import popbench_runs
from exported_runs import board, edit_about, edit_samples, real_run, second_predictor, travelled
from popbench.export.columns import COLUMNS
from popbench.export.eee import write_eee
from popbench.export.tables import write_table
from popbench.scores.sources import read_source
from usage_errors import refusal

FORMS = ("jsonl", "parquet", "eee")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_run(tmp_path_factory.mktemp("export") / "run").path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_run(tmp_path_factory.mktemp("demo") / "run", mode=["basic", "pe"], limit=2, repeats=1).path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def export(run: Path, form: str, out: Path | None = None, *, force: bool = False) -> Path:
    if form == "eee":
        out = out or run / "eee"
        write_eee(run, out, force=force)
    else:
        out = out or run / f"scores.{form}"
        write_table(run, form, out, force=force)
    return out


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    return list(pyarrow.parquet.read_table(path).to_pylist())


# -- round trips


@pytest.mark.parametrize("form", FORMS)
def test_a_board_of_an_export_has_the_numbers_of_the_run(made: Path, tmp_path: Path, form: str) -> None:
    exported = export(made, form, tmp_path / (form if form == "eee" else f"x.{form}"))
    ours, theirs = board(exported), board(made)
    assert travelled(ours) == travelled(theirs)
    assert {row["task"] for row in ours["systems"]} == {"popcorn", "popcorn_abstract", "popcorn_concrete"}
    assert sum(row["invalid"] for row in ours["systems"]) > 0


@pytest.mark.parametrize("form", FORMS)
def test_scores_of_several_predictors_come_back_apart(run: Path, form: str) -> None:
    second_predictor(run)
    ours, theirs = board(export(run, form)), board(run)
    assert travelled(ours) == travelled(theirs)
    assert [(item["name"], item["unit"]) for item in ours["predictors"]] == [("faulty", "likes"), ("second", "views")]


@pytest.mark.parametrize("form", FORMS)
def test_an_enhanced_mode_under_a_label_of_its_own_stays_one(tmp_path: Path, form: str) -> None:
    run = popbench_runs.run_fast(tmp_path / "run", mode=["basic,label=plain", "pe,label=rich"], limit=2).path
    ours = board(export(run, form))
    assert ours["enhancement"] == board(run)["enhancement"]
    assert [row["mode"] for row in ours["enhancement"]] == ["rich"]


@pytest.mark.parametrize("form", FORMS)
def test_an_export_shares_a_board_with_its_run_and_with_other_systems(made: Path, tmp_path: Path, form: str) -> None:
    exported = export(made, form, tmp_path / (form if form == "eee" else f"x.{form}"))
    assert travelled(board(made, exported)) == travelled(board(made)), "the same samples count once"
    other = real_run(tmp_path / "other", llm="faulty,label=third", gen="faulty").path
    third = board(exported, other)
    assert len({row["system"] for row in third["systems"]}) == 3
    assert travelled(third) == travelled(board(made, other))


@pytest.mark.parametrize("form", FORMS)
def test_other_results_of_one_system_are_refused_from_exports_too(run: Path, tmp_path: Path, form: str) -> None:
    before = export(run, form, tmp_path / (form if form == "eee" else f"x.{form}"))
    edit_samples(run, lambda sample: sample.update(popularity=7.5, scores={"faulty": 7.5}), only=0)
    assert "has two results for prompt" in refusal(lambda: board(before, run))


@pytest.mark.parametrize("form", FORMS)
def test_scores_of_a_demonstration_stay_what_they_are(demo: Path, made: Path, tmp_path: Path, form: str) -> None:
    exported = export(demo, form, tmp_path / (form if form == "eee" else f"x.{form}"))
    assert board(exported)["demo"]
    for sources in ((exported, made), (made, exported), (exported, export(made, "jsonl", tmp_path / "real.jsonl"))):
        assert "demo scores and real ones cannot share a board" in refusal(partial(board, *sources))


def test_a_demonstration_is_told_of_where_the_predictor_has_no_name(demo: Path, made: Path, tmp_path: Path) -> None:
    """The file of a demonstration does not pass for bare scores when its column of names is taken away."""
    bare = tmp_path / "bare.jsonl"
    kept = ("system", "task", "prompt_id", "status", "popularity", "predictor", "task_hash", "category")
    for names, refused in (((*kept, "demo"), True), (kept, False)):
        lines = [{name: row[name] for name in names} for row in rows(export(demo, "jsonl", tmp_path / "d.jsonl"))]
        bare.write_text("".join(json.dumps({**line, "system": f"x {line['system']}"}) + "\n" for line in lines))
        if refused:
            for sources in ((bare, made), (made, bare)):
                assert "demo scores and real ones" in refusal(partial(board, *sources, common=True))
        else:
            assert not board(bare, made, common=True)["demo"]
            assert board(bare, demo, common=True)["demo"]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_errors_are_rows_without_a_score(run: Path, form: str) -> None:
    edit_samples(
        run, lambda s: s.update(status="error", popularity=None, scores={"faulty": None}, error="gone"), only=3
    )
    exported = export(run, form)
    (row,) = (row for row in rows(exported) if row["status"] == "error")
    assert (row["popularity"], row["error"]) == (None, "gone")
    assert "lacks 1 result that others have" in refusal(lambda: board(exported))
    assert travelled(board(exported, common=True)) == travelled(board(run, common=True))


# -- values


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [0.1 + 0.2, 5e-324, 1e300, 12345678.901234567, 3, 2**53])
def test_numbers_come_back_to_the_last_digit(run: Path, form: str, value: float) -> None:
    edit_samples(run, lambda sample: sample.update(status="ok", popularity=value, scores={"faulty": value}))
    (found,) = read_source(export(run, form))
    assert {row.popularity for row in found.rows} == {value}


TEXTS = ["", " ", "a\nb\r\nc\td\x00\x1f\x7f", "日本語 🎬 ﷽", "\u2028\u2029\x85", "\ufeffbom", '"],\\', "a" * 100_000]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_texts_come_back_whole(run: Path, form: str) -> None:
    for number, text in enumerate(TEXTS):
        edit_samples(run, lambda sample, text=text: sample.update(title=text, notes=[text]), only=number)  # type: ignore[misc]
    found = rows(export(run, form))
    assert [row["title"] for row in found[: len(TEXTS)]] == TEXTS
    assert [row["notes"][0] for row in found[: len(TEXTS)]] == TEXTS
    assert read_source(run / f"scores.{form}")


@pytest.mark.parametrize("form", FORMS)
def test_half_a_surrogate_pair_becomes_the_sign_for_what_is_none(run: Path, form: str) -> None:
    edit_samples(run, lambda sample: sample.update(title="a\ud800b", completion="\udcff", prompt="\ud83c\udfac\ud83c"))
    exported = export(run, form)
    if form == "eee":
        line = rows(next(exported.rglob("*_samples.jsonl")))[0]
        shown = (line["metadata"]["title"], *line["output"]["raw"], line["input"]["raw"])
    else:
        row = rows(exported)[0]
        shown = (row["title"], row["completion"], row["prompt"])
    assert shown == ("a\ufffdb", "\ufffd", "🎬\ufffd")


@pytest.mark.parametrize("column", ["system", "task", "prompt_id", "category"])
def test_ids_that_no_file_takes_are_refused(run: Path, column: str) -> None:
    exported = export(run, "jsonl")
    found = rows(exported)
    found[2][column] = "a\ud800"
    exported.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    message = refusal(lambda: read_source(exported))
    assert message == f"{exported}: row 3: {column} 'a\\ud800' is no valid text"


@pytest.mark.parametrize("form", FORMS)
def test_ids_that_look_like_numbers_come_back_as_text(run: Path, form: str) -> None:
    ids: dict[str, str] = {}

    def rename(sample: dict[str, Any]) -> None:
        names = ("001", "1", "1.0", "nan", "null", "true", "2024-01-01", "1e3", " x ", "#", "a/b", "..")
        sample["prompt_id"] = ids.setdefault(sample["prompt_id"], names[len(ids) % 12] + "x" * (len(ids) // 12))

    edit_samples(run, rename)
    (found,) = read_source(export(run, form))
    assert {row.prompt_id for row in found.rows} == set(ids.values())


def test_all_columns_are_there_and_have_their_types(run: Path) -> None:
    edit_samples(run, lambda s: s.update(cost=0.25, usage={"input": 3, "output": 4, "cached": 1}, originality=0.5))
    table = pyarrow.parquet.read_table(export(run, "parquet"))
    assert table.column_names == list(COLUMNS)
    assert list(rows(export(run, "jsonl"))[0]) == list(COLUMNS)
    assert rows(run / "scores.jsonl") == table.to_pylist()
    sample = json.loads((run / "samples.jsonl").read_text(encoding="utf-8").split("\n")[0])
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    row = table.to_pylist()[0]
    same = set(sample) & set(COLUMNS) - {"status", "popularity"}
    assert {name: row[name] for name in same} == {name: sample[name] for name in same}
    task = about["tasks"][sample["task"]]
    assert row | {
        "popularity": sample["scores"]["faulty"],
        "predictor": about["predictors"]["faulty"], "predictor_name": "faulty", "unit": "likes", "demo": False,
        "task_hash": task["hash"], "task_group": "popcorn", "task_prompts": 100, "seed": 42,
        "system_fingerprint": about["systems"][sample["system"]][sample["task"]], "mode_name": "basic",
        "mode_fingerprint": about["modes"]["basic"]["fingerprints"][sample["task"]],
        "seconds_llm": sample["seconds"]["llm"], "input_tokens": 3, "output_tokens": 4, "cost": 0.25,
    } == row  # fmt: skip


def test_the_human_baseline_is_exported_with_its_match(run: Path) -> None:
    def make_human(sample: dict[str, Any]) -> None:
        if sample["system"].startswith("faulty"):
            match = {"id": "v1", "similarity": 0.5, "popularity": 12}
            sample.update(system="human", llm=None, mode=None, generator=None, completion=None, match=match)

    edit_samples(run, make_human)
    edit_about(run, lambda about: about["systems"].update(human=about["systems"]["faulty|basic|faulty"]))
    theirs = travelled(board(run))
    for form in FORMS:
        assert travelled(board(export(run, form))) == theirs
    human = [row for row in rows(run / "scores.parquet") if row["system"] == "human"]
    assert {(row["llm"], row["mode_name"], row["match_id"], row["match_popularity"]) for row in human} == {
        (None, None, "v1", 12.0)
    }


def test_a_large_run_is_written_in_groups(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("popbench.export.tables.ROW_GROUP", 7)
    exported = export(run, "parquet")
    assert pyarrow.parquet.ParquetFile(exported).metadata.num_row_groups == 7
    assert len(rows(exported)) == 48


# -- what is refused


def bad(**values: Any) -> Callable[[Path], None]:
    return lambda run: edit_samples(run, lambda sample: sample.update(values), only=5)


def about(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda run: edit_about(run, change)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (bad(scores={"faulty": math.nan}), "nan is no number that a sample"),
        (bad(scores={"faulty": math.inf}), "inf is no number that a sample"),
        (bad(scores={"faulty": 1.7e308}), "1.7e+308 is no number that a sample"),
        (bad(parts={"faulty": {"x": None}}), "line 6 is no sample (part 'x' is None, expected a finite number)"),
        (bad(parts={"faulty": {"": 1}}), "line 6 is no sample (a part is called ''"),
        (bad(scores={"faulty": -1.0}), "popularity is -1, expected no negative number"),
        (bad(scores={"faulty": "high"}), "line 6 is no sample"),
        (bad(scores={"faulty": 10**400}), "line 6 is no sample"),
        (bad(seconds={"llm": math.nan}), "nan is no number that a sample"),
        (bad(seconds=[1]), "line 6 is no sample (seconds is [1], which it cannot be)"),
        (bad(attempts=2**63), "attempts is too large a number"),
        (bad(attempts=True), "attempts is True"),
        (bad(completion=["x"]), "completion is ['x']"),
        (bad(notes=[3]), "notes is [3]"),
        (bad(compliance="yes"), "compliance is 'yes'"),
        (bad(prompt_id="\ud800"), "prompt_id is no valid text"),
        (bad(task="other"), "run.json has no such task"),
        (bad(system="other|basic|kinetic"), "run.json has no such system"),
        (lambda run: edit_samples(run, lambda s: s.update(prompt_id="same", repeat=0, task="popcorn_concrete")), "two"),
        (lambda run: (run / "samples.jsonl").write_text(""), "samples.jsonl is empty"),
        (lambda run: (run / "samples.jsonl").write_text("{"), "line 1 is no sample"),
        (lambda run: (run / "samples.jsonl").write_bytes(b"\xff"), "cannot be read"),
        (lambda run: (run / "samples.jsonl").unlink(), "no finished run here"),
        (lambda run: (run / "run.json").write_text("[" * 100_000), "run.json cannot be read"),
        (about(lambda a: a.update(finished=False)), "stopped before it was done"),
        (about(lambda a: a["config"].update(stop_after="render")), "stopped after render, so it has no scores"),
        (about(lambda a: a.update(demo="no")), "demo: expected true or false"),
        (about(lambda a: a.update(predictors={})), "names no predictor"),
        (about(lambda a: a.pop("systems")), ""),
        (about(lambda a: a.update(modes=[])), ""),
        (about(lambda a: a["tasks"]["popcorn_concrete"].update(hash=3)), ""),
    ],
)  # fmt: skip
def test_a_damaged_or_unfinished_run_is_refused_in_one_line_and_nothing_is_written(
    run: Path, tmp_path: Path, form: str, damage: Callable[[Path], None], told: str
) -> None:
    damage(run)
    out = tmp_path / "out"
    message = refusal(lambda: export(run, form, out / "x"))
    assert told in message
    assert str(run) in message
    assert not [path for path in out.rglob("*") if path.is_file()]


# -- files


@pytest.mark.parametrize("form", FORMS)
def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path, form: str) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        export(run, form, folder / "x")
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "two")


@pytest.mark.parametrize("form", FORMS)
def test_other_content_is_not_replaced_unless_asked(run: Path, form: str) -> None:
    out = export(run, form)
    target = next(out.rglob("*.json")) if form == "eee" else out
    target.write_text("mine")
    message = refusal(lambda: export(run, form))
    assert str(target) in message
    assert "add --force" in message
    assert target.read_text() == "mine"
    export(run, form, force=True)
    assert board(out)


@pytest.mark.parametrize("form", FORMS)
def test_a_place_that_takes_no_file_is_told(run: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "file").write_text("x")
    assert "cannot be written" in refusal(lambda: export(run, form, tmp_path / "file" / "x"))
    assert "cannot be written" in refusal(lambda: export(run, form, tmp_path / ("n" * 300) / "x"))
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("out", ["/dev/full", "/dev/null", "folder"])
def test_what_is_no_file_is_not_replaced(run: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "folder").mkdir()
    assert "choose another --out" in refusal(lambda: export(run, "jsonl", tmp_path / out))


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(run: Path, form: str) -> None:
    import resource

    from popbench.errors import RunError

    out = export(run, form)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    edit_samples(run, lambda sample: sample.update(completion="x y z " * 2000))
    before[run / "samples.jsonl"] = (run / "samples.jsonl").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(RunError, match="nothing was exported: ") as caught:
            export(run, form, force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(str(caught.value).splitlines()) == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert board(out)
