"""Values of tasks stay what was written, in every form of data, and a filter names what no row has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_line import Run, in_process
from made_tasks import TEMPLATE, leave_no_traces, loaded, task_file
from popbench.errors import UsageError
from popbench.tasks.loading import load_task
from popbench.tasks.task import Task
from table_forms import told


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    leave_no_traces(monkeypatch, tmp_path_factory)


def of_text(folder: Path, name: str, content: str, **changes: Any) -> Task:
    """Load a task whose data have this content."""
    reader = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json"}[name.rpartition(".")[2].lower()]
    how = {"delimiter": "\t"} if name.endswith("tsv") else {}
    path = task_file(folder, **{"dataset": {"path": reader, "data_files": name, **how}, **changes})
    (folder / name).write_text(content, encoding="utf-8")
    return load_task(path)


def of_frame(folder: Path, columns: Mapping[str, Sequence[Any]], features: Any = None, **changes: Any) -> Task:
    """Load a task from Parquet as `datasets` writes it."""
    import datasets

    folder.mkdir(exist_ok=True)
    datasets.Dataset.from_dict(dict(columns), features=features).to_parquet(folder / "rows.parquet")
    return load_task(task_file(folder, **{"dataset": {"path": "parquet", "data_files": "rows.parquet"}, **changes}))


WRITTEN = [
    "007", "7", "1e5", "1E5", "1.10", "0.10", "1_000", "+5", "NA", "N/A", "None", "nan", "NaN", "null", "NULL", "inf",
    "-", "true", "True", "TRUE", "no", "2024-01-05", "2024-01-05T10:00:00Z", "2024-01-05 10:00:00", "05/01/2024",
    "10:30", "1,000", "0x1f", "#1", "é", " a ",
]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "json", "columns", "folder of csv", "folder of json"])
def test_ids_categories_and_prompts_stay_as_written(tmp_path: Path, form: str) -> None:
    for group in (WRITTEN, WRITTEN[:6], WRITTEN[8:14], WRITTEN[17:20], WRITTEN[21:24]):
        columns = {"id": group, "prompt": group, "category": group}
        rows = [{"id": text, "prompt": text, "category": text} for text in group]
        lines = ["id\tprompt\tcategory", *("\t".join([text] * 3) for text in group)]
        quoted = "\n".join(",".join(f'"{cell}"' for cell in line.split("\t")) for line in lines)
        content = {
            "csv": quoted,
            "folder of csv": quoted,
            "tsv": "\n".join(lines),
            "jsonl": "\n".join(map(json.dumps, rows)),
            "folder of json": "\n".join(map(json.dumps, rows)),
            "json": json.dumps(rows, indent=1),
            "columns": json.dumps(columns),
        }[form]
        name = {"columns": "rows.json", "folder of csv": "data/train.csv", "folder of json": "data/train.jsonl"}
        folder = {"dataset": {"path": "data"}} if form.startswith("folder") else {}
        place = tmp_path / str(len(group)) / str(group[0].strip("/"))
        (place / "data").mkdir(parents=True)
        task = of_text(place, name.get(form, f"rows.{form}"), content, **folder)
        assert [(prompt.id, prompt.text, prompt.category) for prompt in task.prompts] == [(text,) * 3 for text in group]


def test_numbers_and_truth_of_json_stay_as_written(tmp_path: Path) -> None:
    lines = [
        f'{{"id": {text}, "prompt": "x", "category": {text}}}' for text in ("1.10", "1.1", "1e5", "7", "true", "-0.0")
    ]
    prompts = of_text(tmp_path, "rows.jsonl", "\n".join(lines)).prompts
    assert [prompt.id for prompt in prompts] == ["1.10", "1.1", "1e5", "7", "true", "-0.0"]
    assert [prompt.category for prompt in prompts] == [prompt.id for prompt in prompts]


def test_a_row_may_leave_out_columns_and_spreadsheets_rows_of_separators_are_none(tmp_path: Path) -> None:
    rows = '{"id": 1, "prompt": "a"}\n{"id": 2, "prompt": "b", "kind": "x"}\n'
    fields = {"id": "id", "prompt": "prompt"}
    assert [
        prompt.id for prompt in of_text(tmp_path, "rows.jsonl", rows, fields=fields, where={"kind": "x"}).prompts
    ] == ["2"]
    task = of_text(tmp_path, "rows.csv", "\ufeffid,prompt\r\n1,a\r\n,\r\n2,b\r\n", fields=fields)
    assert [prompt.id for prompt in task.prompts] == ["1", "2"]


def test_hashes_of_plain_tasks_are_those_of_before(tmp_path: Path) -> None:
    """A task's hash covers its prompts: it would tell if one were read otherwise."""
    rows = [{"id": n, "prompt": f'Prompt {n}: say "hi", twice', "category": "ab"[n % 2]} for n in range(4)]
    expected = loaded(tmp_path / "texts", [{**row, "id": str(row["id"])} for row in rows]).hash
    assert loaded(tmp_path / "numbers", rows).hash == expected
    quoted = "\n".join(
        [
            "id,prompt,category",
            *(f'{row["id"]},"Prompt {row["id"]}: say ""hi"", twice",{row["category"]}' for row in rows),
        ]
    )
    assert of_text(tmp_path / "csv", "rows.csv", quoted).hash == expected
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert of_frame(tmp_path / "parquet", columns).hash == expected


@pytest.mark.parametrize(
    ("split", "ids"),
    [("train", "abcd"), ("train[:2]", "ab"), ("train[50%:]", "cd"), ("test", "e"), ("test+train[-1:]", "ed")],
)
def test_splits_of_json_files_are_those_of_datasets(tmp_path: Path, split: str, ids: str) -> None:
    for name, letters in (("one", "abc"), ("two", "d"), ("three", "e")):
        rows = [{"id": letter, "prompt": "x", "category": "c"} for letter in letters]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = {"train": ["one.jsonl", "tw*.jsonl"], "test": "three.jsonl"}
    task = loaded(tmp_path, dataset={"path": "json", "data_files": files, "split": split})
    assert "".join(prompt.id for prompt in task.prompts) == ids


def test_a_field_of_a_json_file_holds_the_rows(tmp_path: Path) -> None:
    content = json.dumps({"version": 1, "data": [{"id": "007", "prompt": "x", "category": "NA"}]}, indent=2)
    dataset = {"path": "json", "data_files": "rows.json", "field": "data"}
    (prompt,) = of_text(tmp_path, "rows.json", content, dataset=dataset).prompts
    assert (prompt.id, prompt.category) == ("007", "NA")
    assert "cannot be loaded" in told(lambda: of_text(tmp_path, "rows.json", "[]", dataset=dataset))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "id,prompt,category,prompt\n1,a,b,c\n"),
        ("rows.jsonl", '{"id": 1, "prompt": "a", "category": "b", "prompt": "c"}\n'),
    ],
)
def test_a_column_that_stands_twice_is_refused(tmp_path: Path, name: str, content: str) -> None:
    assert "'prompt' stands there twice" in told(lambda: of_text(tmp_path, name, content))


def test_texts_that_no_file_can_hold_are_refused(tmp_path: Path) -> None:
    def line(column: str) -> str:
        row = {"id": "1", "prompt": "a", "category": "b", column: "\ud800"}
        return told(lambda: of_text(tmp_path, "rows.jsonl", json.dumps(row)))

    for column in ("id", "prompt", "category"):
        assert f"row 1: {column} is no valid text" in line(column)


@pytest.mark.parametrize("row", ["1,a,b,c", '1,"a",b,c,d'])
def test_a_row_with_more_cells_than_the_header_is_refused_and_never_shifted(tmp_path: Path, row: str) -> None:
    line = told(lambda: of_text(tmp_path, "rows.csv", f"id,prompt,category\n2,c,d\n{row}\n"))
    assert "cannot be loaded: " in line
    assert "ells than the header" in line or "Expected 3 fields" in line
    assert "cannot be loaded" in told(lambda: of_text(tmp_path, "rows.csv", f"id,prompt,category\n{row}\n{row}\n"))


@pytest.mark.parametrize("rows", ["1,a,b,\n2,c,d,\n", "1,a,b,\n2,c,d\n", "1,a,b\n2,c,d,\n"])
def test_an_empty_cell_after_the_last_column_is_refused_or_left_out_and_shifts_nothing(
    tmp_path: Path, rows: str
) -> None:
    """Releases of pandas before 3.1 leave it out where the first row has one."""
    read: list[Any] = []
    with suppress(UsageError):
        read += of_text(tmp_path, "rows.csv", f"id,prompt,category\n{rows}").prompts
    assert [(prompt.id, prompt.text, prompt.category) for prompt in read] in ([], [("1", "a", "b"), ("2", "c", "d")])


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        ('1\t"Amazing cat\tx\n2\tdog"\ty\n', ['"Amazing cat', 'dog"']),
        ('1\t"Amazing" cat\tx\n2\ta 5" disc\ty\n', ['"Amazing" cat', 'a 5" disc']),
        ('1\t"say ""hi"""\tx\n2\tdog\ty\n', ['say "hi"', "dog"]),
        ('1\t"two\nlines"\tx\n2\tdog\ty\n', ["two\nlines", "dog"]),
    ],
)
def test_quotes_of_tsv_are_those_of_csv_only_where_all_of_them_are(
    tmp_path: Path, content: str, prompts: Sequence[str]
) -> None:
    task = of_text(tmp_path, "rows.tsv", "id\tprompt\tcategory\n" + content)
    assert [prompt.text for prompt in task.prompts] == prompts


# -- class labels


def labels(**columns: Sequence[str]) -> Any:
    import datasets

    texts = {name: datasets.Value("string") for name in ("id", "prompt")}
    return datasets.Features(
        {**texts, **{name: datasets.ClassLabel(names=list(names)) for name, names in columns.items()}}
    )


ROWS: dict[str, list[Any]] = {
    "id": ["a", "b", "c"],
    "prompt": ["x", "y", "z"],
    "category": [1, 0, 1],
    "lang": [0, 1, 0],
}
LABELS = {"category": ("Music", "News"), "lang": ("en", "no")}


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({}, "abc"),
        ({"lang": "en"}, "ac"),
        ({"lang": ["no"]}, "b"),
        ({"lang": 1}, "b"),
        ({"category": "News", "lang": "en"}, "ac"),
    ],
)
def test_class_labels_go_by_their_names_in_fields_and_filters(tmp_path: Path, where: dict[str, Any], ids: str) -> None:
    task = of_frame(tmp_path, ROWS, labels(**LABELS), where=where)
    assert "".join(prompt.id for prompt in task.prompts) == ids
    assert {prompt.category for prompt in task.prompts} <= {"Music", "News"}
    assert all(type(prompt.category) is str for prompt in task.prompts)


def test_class_labels_in_lists_go_by_their_names(tmp_path: Path) -> None:
    import datasets

    kinds = {**labels(), "category": datasets.List(datasets.ClassLabel(names=["Music", "News"]))}
    task = of_frame(tmp_path, {"id": ["a"], "prompt": ["x"], "category": [[1, 0]]}, datasets.Features(kinds))
    assert task.prompts[0].category == "['News', 'Music']"


def test_a_missing_class_label_is_no_category(tmp_path: Path) -> None:
    line = told(lambda: of_frame(tmp_path, {**ROWS, "category": [1, -1, 0]}, labels(**LABELS)))
    assert "row 2: category is empty" in line


def test_class_labels_of_a_saved_data_set_go_by_their_names(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_dict(ROWS, features=labels(**LABELS)).save_to_disk(tmp_path / "saved")
    task = load_task(task_file(tmp_path / "task"), str(tmp_path / "saved"))
    assert [prompt.category for prompt in task.prompts] == ["News", "Music", "News"]


# -- filters


DATA = """id,prompt,category,lang,year,done,day
1,a,x,no,2024,true,2024-01-05
2,b,x,en,2025,False,2024-01-06
3,c,x,en,007,yes,
"""


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("{lang: 'no'}", "1"), ("{lang: en}", "23"), ("{lang: [en, 'no']}", "123"), ("{year: 2024}", "1"),
        ("{year: '2024'}", "1"), ("{year: 2024.0}", "1"), ("{year: '007'}", "3"), ("{year: 7}", "3"),
        ("{done: true}", "1"), ("{done: false}", "2"), ("{done: 'yes'}", "3"), ("{day: 2024-01-05}", "1"),
        ("{day: '2024-01-06'}", "2"), ("{day: null}", "3"), ("{day: ''}", "3"),
    ],
)  # fmt: skip
def test_a_filter_is_compared_with_what_is_written(tmp_path: Path, where: str, ids: str) -> None:
    path = task_file(tmp_path, dataset={"path": "csv", "data_files": "rows.csv"})
    (tmp_path / "rows.csv").write_text(DATA)
    path.write_text(path.read_text() + f"where: {where}\n")
    assert "".join(prompt.id for prompt in load_task(path).prompts) == ids


@pytest.mark.parametrize(
    ("where", "told_of"),
    [
        ("{lang: no}", "with lang false (there are: no, en); YAML reads no without quotes as false: write 'no'"),
        ("{lang: [en, no]}", "with lang false (there are: no, en); YAML reads no"),
        ("{lang: [en, de]}", "with lang 'de' (there are: no, en)"),
        ("{done: yes, lang: on}", "with lang true (there are: no, en); YAML has its own reading"),
        ("{year: 010}", "with year 8 (there are: 2024, 2025, 007); YAML has its own reading"),
        ("{lang: null}", "with lang null (there are: no, en)"),
        ("{lang: NO}", "with lang false"),
    ],
)
def test_a_value_that_no_row_has_is_named(tmp_path: Path, where: str, told_of: str) -> None:
    path = task_file(tmp_path, dataset={"path": "csv", "data_files": "rows.csv"})
    (tmp_path / "rows.csv").write_text(DATA)
    path.write_text(path.read_text() + f"where: {where}\n")
    line = told(lambda: load_task(path))
    assert "where: matches no row" in line
    assert told_of in line


def test_numbers_and_truth_of_typed_columns_are_compared_as_before(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "id": ["a", "b"],
        "prompt": ["x", "y"],
        "category": ["c", "c"],
        "n": [1.0, 2.5],
        "ok": [True, False],
    }
    for where, ids in (({"n": 1}, "a"), ({"n": 2.5}, "b"), ({"ok": False}, "b"), ({"ok": True, "n": [1, 2.5]}, "a")):
        assert "".join(prompt.id for prompt in of_frame(tmp_path, columns, where=where).prompts) == ids


# -- files of people


def test_files_may_begin_with_a_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = task_file(tmp_path / "task")
    for file in (path, path.parent / "basic.j2", path.parent / "mine.jsonl"):
        file.write_text("\ufeff" + file.read_text())
    (tmp_path / "popbench.toml").write_text('\ufefflimit = 2\nllm = "verbatim"\n')
    (tmp_path / "more.json").write_text('\ufeff{"seed": 7}')
    run: Run = in_process(monkeypatch, capsys, tmp_path)
    done = run("task", "show", "task/mine.yaml")
    assert done.status == 0
    assert "\ufeff" not in done.out
    done = run(
        "eval", "--dry-run", "--config", "more.json", "--corpus", "demo", "--task", "task/mine.yaml", "--mode", "basic"
    )
    assert done.status == 0, done.err
    assert "seed 7" in done.out
    assert "mine 2" in done.out.replace(":", "") or "2" in done.out


# -- whatever there is


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.just("\ud800"),
    st.lists(st.integers(), max_size=2),
)
KEYS = st.sampled_from(["id", "prompt", "category", "lang"])
SETTINGS = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def task_or_line(folder: Path, name: str, content: bytes, where: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "basic.j2").write_text(TEMPLATE)
    reader = "csv" if name.endswith("csv") else "json"

    def load() -> None:
        path = task_file(folder, dataset={"path": reader, "data_files": name}, where=where)
        (folder / name).write_bytes(content)
        for prompt in load_task(path).prompts:
            assert prompt.text.strip()
            assert prompt.id.encode()

    told(load)


@SETTINGS
@given(
    st.lists(st.dictionaries(KEYS, VALUES), max_size=3),
    st.dictionaries(KEYS, VALUES.filter(lambda value: value != "\ud800"), max_size=1),
    st.binary(max_size=3),
)
def test_any_json_is_a_task_or_a_line(
    tmp_path: Path, rows: list[dict[str, Any]], where: dict[str, Any], noise: bytes
) -> None:
    text = "\n".join(map(json.dumps, rows)).encode()
    for content in (text, json.dumps(rows).encode(), text + noise):
        task_or_line(tmp_path / "t", "rows.json", content, where)


@SETTINGS
@given(
    st.lists(st.lists(st.text(max_size=4) | st.sampled_from(['"', "007", "NA"]), max_size=4), max_size=3),
    st.binary(max_size=3),
)
def test_any_csv_is_a_task_or_a_line(tmp_path: Path, rows: list[list[str]], noise: bytes) -> None:
    text = "\n".join(",".join(cells) for cells in (["id", "prompt", "category"], *rows)).encode("utf-8", "replace")
    for content in (text, text + noise):
        task_or_line(tmp_path / "t", "rows.csv", content, {})
