"""Tables of scores as people keep them: one board from every form, and nothing in them is guessed or passed over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_line import Run, in_process
from made_scores import refused, score_rows, write
from popbench.comparison.numbers import compare_runs
from popbench.leaderboard.results import compute
from popbench.publishing.build import build_board
from popbench.scores.scores import MAX_SYSTEMS, Scores, merge
from popbench.scores.sources import read_source
from popbench.tables import read_form
from table_forms import FORMS, WHOLE_FORMS, told


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def csv_text(path: Path, columns: str, *rows: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in (columns, *rows)), encoding="utf-8")
    return path


def read(path: Path, form: str = "") -> Scores:
    (found,) = read_source(path, *([read_form(form)] if form else []))
    return found


def popularity(path: Path, form: str = "") -> list[float | None]:
    return [row.popularity for row in read(path, form).rows]


# -- one board


@pytest.mark.parametrize("form", WHOLE_FORMS)
def test_a_table_gives_the_same_board_in_every_form(tmp_path: Path, form: str) -> None:
    rows = [
        {
            **row,
            "popularity": 1 + (7 * at + len(row["system"])) % 900,
            "repeat": at % 2,
            "compliance": "yes" if at % 3 else "no",
        }
        for at, row in enumerate(score_rows(('a|"best"|g', "b; or c|pe|g", "ü|basic|g"), repeats=2))
    ]
    expected = compute(merge(read_source(write(tmp_path / "expected.jsonl", rows))))
    name, write_form = WHOLE_FORMS[form]
    assert compute(merge(read_source(write_form(tmp_path / name, rows)))) == expected


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"small floats"}))
def test_decimals_give_the_same_board_in_every_form(tmp_path: Path, form: str) -> None:
    rows = score_rows(originality=0.125)
    expected = compute(merge(read_source(write(tmp_path / "expected.jsonl", rows))))
    name, write_form = FORMS[form]
    assert compute(merge(read_source(write_form(tmp_path / name, rows)))) == expected


@pytest.mark.parametrize("ids", [["1.10", "1.1", "1.100"], ["007", "7", "07"], ["1e5", "100000"], ["7.0", "7"]])
def test_ids_that_are_equal_as_numbers_are_different_prompts(tmp_path: Path, ids: Sequence[str]) -> None:
    file = csv_text(tmp_path / "a.csv", "system,task,prompt_id,popularity", *(f"a,t,{id_},1.5" for id_ in ids))
    assert [row.prompt_id for row in read(file).rows] == ids
    written = [id_ for id_ in ids if not (id_.startswith("0") and id_.isdigit())]  # 007 is no JSON number
    text = "".join(f'{{"system": "a", "task": "t", "prompt_id": {id_}, "popularity": 1.5}}\n' for id_ in written)
    (tmp_path / "a.jsonl").write_text(text)
    assert [row.prompt_id for row in read(tmp_path / "a.jsonl").rows] == written


def test_ids_of_typed_columns_are_those_of_the_same_table_as_text(tmp_path: Path) -> None:
    from decimal import Decimal

    for values, texts in (
        ([7, 8], ["7", "8"]),
        ([7.0, 8.0], ["7", "8"]),
        ([7.5, 8.25], ["7.5", "8.25"]),
        ([Decimal("1.10"), Decimal("1.20")], ["1.10", "1.20"]),
    ):
        columns = {"system": ["a", "a"], "task": ["t", "t"], "prompt_id": values, "popularity": [1, 2]}
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        assert [row.prompt_id for row in read(tmp_path / "a.parquet").rows] == texts


def test_categories_that_are_class_labels_are_their_names(tmp_path: Path) -> None:
    about = json.dumps({"info": {"features": {"category": {"names": ["Music", "News"], "_type": "ClassLabel"}}}})
    columns = {"system": ["a"] * 3, "task": ["t"] * 3, "prompt_id": ["1", "2", "3"], "popularity": [1.0, 2.0, 3.0]}
    table = pa.table({**columns, "category": [1, 0, -1]}).replace_schema_metadata({"huggingface": about})
    pq.write_table(table, tmp_path / "a.parquet")
    assert [row.category for row in read(tmp_path / "a.parquet").rows] == ["News", "Music", "all"]


# -- what stands twice, or under another name


@pytest.mark.parametrize("column", ["system", "popularity", "compliance", "category", "note"])
def test_a_column_given_twice_is_refused(tmp_path: Path, column: str) -> None:
    columns = f"system,task,prompt_id,popularity,category,compliance,note,{column}"
    line = told(lambda: read(csv_text(tmp_path / "a.csv", columns, "a,t,1,2,c,yes,n,3")))
    assert f"column {column!r} stands there twice" in line


def test_a_key_given_twice_is_refused_in_any_row(tmp_path: Path) -> None:
    lines = [json.dumps({"system": "a", "task": "t", "prompt_id": str(n), "popularity": 2}) for n in range(40)]
    lines[30] = lines[30].replace("}", ', "popularity": 3}')
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert "line 31: key 'popularity' stands there twice" in told(lambda: read(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("Category", "category"), ("COMPLIANCE", "compliance"), ("Repeat", "repeat"), ("Task Hash", "task_hash"),
        ("task-hash", "task_hash"), ("Originality", "originality"), ("STATUS", "status"), ("Demo", "demo"),
        ("predictor name", "predictor_name"), ("taskHash", "task_hash"), ("status.1", "status"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["csv", "jsonl", "dictionary"])
def test_a_column_of_another_spelling_is_never_passed_over(tmp_path: Path, form: str, given: str, meant: str) -> None:
    name, write_form = FORMS[form]
    rows = [{**row, given: "1"} for row in score_rows()]
    line = told(lambda: read(write_form(tmp_path / name, rows)))
    assert f"column {given!r}" in line
    assert f"{meant!r}" in line


def test_a_required_column_of_another_case_is_named(tmp_path: Path) -> None:
    line = told(lambda: read(csv_text(tmp_path / "a.csv", "System,TASK,Prompt ID,Popularity", "a,t,1,2")))
    assert "column 'system' is missing: is it 'System'?" in line


def test_a_column_with_blanks_round_its_name_is_that_column_and_other_columns_are_let_be(tmp_path: Path) -> None:
    columns = "system, task ,prompt_id,popularity, compliance ,seconds,Title"
    (row,) = read(csv_text(tmp_path / "a.csv", columns, "a,t,1,2,no,3,x")).rows
    assert row.compliance is False


@pytest.mark.parametrize(
    ("given", "meant"),
    [("complience", "compliance"), ("catgory", "category"), ("repeats", "repeat"), ("is_compliant", "compliance")],
)
def test_a_column_that_may_be_misspelt_is_remarked_on_the_board(tmp_path: Path, given: str, meant: str) -> None:
    rows = [{**row, given: "1"} for row in score_rows() if row.pop("category")]
    found = compute(merge(read_source(write(tmp_path / "a.jsonl", rows))))
    assert found["remarks"] == [f"a.jsonl: column {given!r} is not read (was {meant!r} meant?)"]


# -- values


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("Yes", True), ("ja", True), ("1", True), ("0", False)])
def test_compliance_is_read_in_any_case_and_language_of_spreadsheets(tmp_path: Path, text: str, value: bool) -> None:
    (row,) = read(csv_text(tmp_path / "a.csv", "system,task,prompt_id,popularity,compliance", f"a,t,1,2,{text}")).rows
    assert row.compliance is value


@pytest.mark.parametrize("text", ["maybe", "NA", "2", "-1", "unknown", "n/a"])
def test_compliance_that_is_no_truth_is_refused_with_its_row(tmp_path: Path, text: str) -> None:
    rows = score_rows(compliance="yes")
    rows[4]["compliance"] = text
    assert f"row 5: compliance {text!r} is neither true nor false" in refused(tmp_path, rows)
    rows[4]["compliance"] = ""
    assert [row.compliance for row in read(write(tmp_path / "a.jsonl", rows)).rows][3:6] == [True, None, True]


@pytest.mark.parametrize(
    ("texts", "form", "values"),
    [
        (["1.037", "889"], "thousands=point", [1037, 889]),
        (["1.037", "889"], "decimal=point", [1.037, 889]),
        (["1,037", "889"], "thousands=comma", [1037, 889]),
        (["1,5", "2"], "decimal=comma", [1.5, 2]),
        (["1 037,5", "2"], "decimal=comma,thousands=space", [1037.5, 2]),
        (["1'037", "2"], "thousands=apostrophe", [1037, 2]),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_numbers_that_can_be_read_in_two_ways_are_refused_until_it_is_said(
    tmp_path: Path, ending: str, texts: Sequence[str], form: str, values: Sequence[float]
) -> None:
    rows = [{"system": "a", "task": "t", "prompt_id": str(n), "popularity": text} for n, text in enumerate(texts)]
    name, write_form = FORMS[ending]
    file = write_form(tmp_path / name, rows)
    line = told(lambda: read(file))
    assert "--numbers" in line
    assert form.split(",")[0] in line or "thousands" in line
    assert popularity(file, form) == values


def test_scores_with_three_decimals_are_decimals(tmp_path: Path) -> None:
    columns = "system,task,prompt_id,popularity,status"
    rows = ("a,t,1,4.344,ok", "a,t,2,11.474,ok", "a,t,3,0,invalid")
    assert popularity(csv_text(tmp_path / "a.csv", columns, *rows)) == [4.344, 11.474, 0]


def test_numbers_of_json_and_parquet_are_in_no_doubt(tmp_path: Path) -> None:
    rows = [
        {"system": "a", "task": "t", "prompt_id": str(n), "popularity": value} for n, value in enumerate((1.037, 889))
    ]
    for form in ("jsonl", "floats", "decimals"):
        name, write_form = FORMS[form]
        assert popularity(write_form(tmp_path / name, rows)) == [1.037, 889]
        assert popularity(tmp_path / name, "decimal=comma") == [1.037, 889]


def test_the_command_says_how_numbers_are_written(popbench: Run, tmp_path: Path) -> None:
    rows = [f"{system};t;{n};1.{n}37,5" for system in "ab" for n in range(1, 9)]
    file = csv_text(tmp_path / "a.csv", "sep=;\nsystem;task;prompt_id;popularity", *rows)
    done = popbench("leaderboard", "build", str(file), "--out", "board")
    assert done.status == 2
    assert "thousands=point" in done.err
    done = popbench("leaderboard", "build", str(file), "--out", "board", "--numbers", "decimal=comma,thousands=point")
    assert done.status == 0
    assert json.loads((tmp_path / "board" / "board.json").read_text())["systems"][0]["median"]["value"] == 1487.5
    done = popbench("leaderboard", "build", str(file), "--out", "board", "--numbers", "german")
    assert done.status == 2
    assert "--numbers: expected decimal=" in done.err


def test_more_systems_than_a_board_can_compare_are_refused(tmp_path: Path) -> None:
    rows = (f"s{n},t,1,{n + 1}" for n in range(MAX_SYSTEMS + 1))
    file = csv_text(tmp_path / "a.csv", "system,task,prompt_id,popularity", *rows)
    line = told(lambda: build_board([file], tmp_path / "board"))
    assert f"{MAX_SYSTEMS + 1:,} systems, of {MAX_SYSTEMS:,} at most on a board" in line
    assert not (tmp_path / "board").exists()
    (tmp_path / "b.csv").write_text(file.read_text() + "\n")
    line = told(lambda: compare_runs(file, tmp_path / "b.csv"))
    assert "name some with --system ID" in line
    assert compare_runs(file, tmp_path / "b.csv", systems=["s7"])


# -- whatever there is


CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "1",
            "1.037",
            "1,037",
            "a",
            "NA",
            "nan",
            "inf",
            "-1",
            "1e400",
            "TRUE",
            '"',
            "é",
            "\u0000",
            "=1+1",
            "9" * 5000,
        ]
    ),
    st.text(max_size=5),
)
NAMES = st.sampled_from(
    [
        "system",
        "task",
        "prompt_id",
        "popularity",
        "category",
        "compliance",
        "repeat",
        "status",
        "Category",
        "",
        "x",
        "demo",
        "task_prompts",
    ]
)
SETTINGS = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def board_or_line(path: Path) -> None:
    """Build a board, or refuse in one line."""
    told(lambda: compute(merge(read_source(path))))


@SETTINGS
@given(
    st.lists(NAMES, max_size=9), st.lists(st.lists(CELLS, max_size=9), max_size=4), st.sampled_from([",", ";", "\t"])
)
def test_any_delimited_table_is_a_board_or_a_line(
    tmp_path: Path, names: list[str], rows: list[list[str]], separator: str
) -> None:
    text = "\n".join(separator.join(cells) for cells in (names, *rows))
    for name in ("a.csv", "a.tsv"):
        (tmp_path / name).write_bytes(text.encode("utf-8", "replace"))
        board_or_line(tmp_path / name)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), CELLS, st.just("\ud800")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
SCORE: Mapping[str, Any] = {"system": "a", "task": "t", "prompt_id": "1", "popularity": 2}


@SETTINGS
@given(
    st.lists(st.dictionaries(NAMES, VALUES, max_size=6).map(lambda row: {**SCORE, **row}), max_size=4),
    st.binary(max_size=9),
)
def test_any_json_lines_are_a_board_or_a_line(tmp_path: Path, rows: list[dict[str, Any]], noise: bytes) -> None:
    text = "\n".join(map(json.dumps, rows)).encode()
    for content in (text, text + b"\n" + noise, noise + text):
        (tmp_path / "a.jsonl").write_bytes(content)
        board_or_line(tmp_path / "a.jsonl")


@SETTINGS
@given(st.data())
def test_any_parquet_file_is_a_board_or_a_line(tmp_path: Path, data: st.DataObject) -> None:
    columns = {}
    for name in data.draw(st.lists(NAMES.filter(bool), unique=True, min_size=1)):
        kind = data.draw(
            st.sampled_from(
                [pa.string(), pa.float32(), pa.int64(), pa.bool_(), pa.date32(), pa.binary(), pa.list_(pa.int8())]
            )
        )
        columns[name] = pa.array([None, None], kind) if data.draw(st.booleans()) else _filled(kind)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    board_or_line(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    (tmp_path / "b.parquet").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    board_or_line(tmp_path / "b.parquet")


def _filled(kind: pa.DataType) -> pa.Array:
    values: dict[str, list[Any]] = {"string": ["a", "b"], "bool": [True, False], "binary": [b"a", b"\xff"]}
    if pa.types.is_list(kind):
        return pa.array([[1], [2]], kind)
    return pa.array(values[str(kind)], kind) if str(kind) in values else pa.array([1, 2], pa.int32()).cast(kind)
