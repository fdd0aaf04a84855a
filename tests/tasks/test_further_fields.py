"""Further columns of a task's data, and further fields of its drafts: what a task file and its data may say."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from made_tasks import ROWS, leave_no_traces, loaded, task_file
from popbench.tasks.loading import load_task
from popbench.tasks.schema import RESERVED, DraftField
from popbench.tasks.task import Task
from usage_errors import refusal

FIELDS = {"id": "id", "prompt": "prompt", "category": "category"}


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    leave_no_traces(monkeypatch, tmp_path_factory)


def with_values(folder: Path, values: list[Any], **changes: Any) -> Task:
    """Load a task whose rows have these values in the column `more`."""
    rows = [{**ROWS[number], "more": value} for number, value in enumerate(values)]
    return loaded(folder, rows, **{"fields": {**FIELDS, "extra": ["more"]}, **changes})


VALUES: list[Any] = ["text", "日本語 🐈\u200d⬛", "", None, 0, -1, 2**70, 0.5, 1e5, True, False, [], {}]
VALUES += [[1, "a", None, [True]], {"a": {"b": [1.5, False]}, "ключ": "x"}, "x" * 100_000]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_of_json_comes_as_it_was_written(tmp_path: Path, value: Any) -> None:
    (prompt,) = with_values(tmp_path, [value]).prompts
    assert prompt.extra == {"more": value}
    assert type(prompt.extra["more"]) is type(value)
    hash(prompt)


def test_a_row_without_the_column_has_null_and_a_task_without_extra_nothing(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "more": 1}, ROWS[1]]
    task = loaded(tmp_path, rows, fields={**FIELDS, "extra": ["more", "kind"]})
    assert [prompt.extra for prompt in task.prompts] == [{"more": 1, "kind": "x"}, {"more": None, "kind": "x"}]
    assert all(prompt.extra == {} for prompt in loaded(tmp_path).prompts)


def test_values_of_csv_are_texts(tmp_path: Path) -> None:
    path = task_file(
        tmp_path,
        fields={"prompt": "prompt", "extra": ["n", "flag", "empty"]},
        dataset={"path": "csv", "data_files": "data.csv"},
    )
    (tmp_path / "data.csv").write_text("prompt,n,flag,empty\nA cat,007,true,\n", encoding="utf-8")
    assert load_task(path).prompts[0].extra == {"n": "007", "flag": "true", "empty": ""}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            [b"\x89PNG"],
            "row 1: column 'more' of fields.extra holds a bytes, which is no JSON: text, numbers, lists and",
        ),
        ([datetime.date(2026, 1, 1)], "holds a date, which is no JSON"),
        ([[datetime.datetime(2026, 1, 1)]], "holds a datetime, which is no JSON"),
        ([1.0, float("inf")], "row 2: column 'more' of fields.extra holds inf, which is no JSON: null stands for"),
        ([{"a": float("nan")}], "holds nan, which is no JSON"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_that_is_no_json_is_one_line_with_its_column(tmp_path: Path, values: list[Any], told: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{**ROWS[number], "more": value} for number, value in enumerate(values)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet")
    dataset = {"path": "parquet", "data_files": "data.parquet"}
    path = task_file(tmp_path, fields={**FIELDS, "extra": ["more"]}, dataset=dataset)
    message = refusal(lambda: load_task(path))
    assert message.startswith(f"{path}: row ")
    assert told in message


def test_an_image_is_no_json(tmp_path: Path) -> None:
    import datasets
    import numpy as np

    pixels = np.zeros((4, 4, 3), np.uint8)
    features = datasets.Features({"prompt": datasets.Value("string"), "more": datasets.Image()})
    data = datasets.Dataset.from_dict({"prompt": ["A cat"], "more": [pixels]}, features=features)
    data.to_parquet(tmp_path / "data.parquet")
    dataset = {"path": "parquet", "data_files": "data.parquet"}
    path = task_file(tmp_path, fields={"prompt": "prompt", "extra": ["more"]}, dataset=dataset)
    assert "column 'more' of fields.extra holds a PngImageFile, which is no JSON" in refusal(lambda: load_task(path))


@pytest.mark.parametrize(
    ("value", "told"), [("\ud800", "half a surrogate pair"), ([[]] * 1, ""), ({"\udfff": 1}, "half")]
)
def test_half_a_character_is_told(tmp_path: Path, value: Any, told: str) -> None:
    if not told:
        assert with_values(tmp_path, [value]).prompts[0].extra == {"more": value}
        return
    assert told in refusal(lambda: with_values(tmp_path, [value]))


def test_a_value_nested_too_deeply_is_told(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]
    assert "a value of more than 32 levels" in refusal(lambda: with_values(tmp_path, [deep]))
    for _ in range(8):
        (deep,) = deep
    assert with_values(tmp_path, [deep]).prompts[0].extra == {"more": deep}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fields": {**FIELDS, "extra": ["kinds"]}}, "unknown column 'kinds': did you mean 'kind'?"),
        ({"fields": {**FIELDS, "extra": "kind"}}, "fields.extra: Input should be a valid list"),
        ({"fields": {**FIELDS, "extra": [1]}}, "fields.extra.0: "),
        ({"fields": {**FIELDS, "extra": ["kind", "kind"]}}, "fields.extra: 'kind' stands there twice"),
        ({"draft": {"fields": ["tags"]}}, "draft.fields: Input should be a valid dictionary"),
        (
            {"draft": {"fields": {"tags": "list"}}},
            "draft.fields.tags.type: Input should be 'string', 'number', 'integer',",
        ),
        ({"draft": {"fields": {"tags": {"typ": "array"}}}}, "unknown key 'typ': did you mean 'type'?"),
        ({"draft": {"fields": {"tags": {"type": "array", "items": "string"}}}}, "unknown key 'items' (possible: "),
        ({"draft": {"fields": {"tags": None}}}, "draft.fields.tags: "),
        ({"draft": {"fields": {"hash tags": "array"}}}, "draft.fields: 'hash tags' is no name of a field: letters,"),
        ({"draft": {"fields": {"größe": "number"}}}, "draft.fields: 'größe' is no name of a field"),
        ({"draft": {"fields": {"x" * 65: "number"}}}, "is no name of a field"),
        ({"draft": {"fields": {"": "number"}}}, "draft.fields: '' is no name of a field"),
        (
            {"draft": {"fields": {"kind": "string"}}, "fields": {**FIELDS, "extra": ["kind"]}},
            "'kind' is named by draft.fields and by fields.extra: rename one",
        ),
        *(
            ({"draft": {"fields": {name: "string"}}}, f"draft.fields: {name!r} is the name of something that every")
            for name in sorted(RESERVED)
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = task_file(tmp_path, **changes)
    message = refusal(lambda: load_task(path))
    assert message.startswith(f"{path}: ")
    assert told in message
    assert "Value error" not in message


def test_a_field_is_a_type_or_says_what_it_is(tmp_path: Path) -> None:
    fields = {"tags": "array", "hook": {"type": "string", "description": "the first words"}}
    assert loaded(tmp_path, draft={"fields": fields}).file.draft.fields == {
        "tags": DraftField(type="array"),
        "hook": DraftField(type="string", description="the first words"),
    }


def test_the_hash_covers_columns_and_fields_where_there_are_any_and_is_that_of_before_without(tmp_path: Path) -> None:
    assert loaded(tmp_path).hash == loaded(tmp_path, draft={"fields": {}}).hash == "b7ca21ed66ca98b60c919d70762cd729"
    assert loaded(tmp_path, fields={**FIELDS, "extra": []}).hash == loaded(tmp_path).hash
    extra = {**FIELDS, "extra": ["kind"]}
    hashes = [
        loaded(tmp_path).hash,
        loaded(tmp_path, fields=extra).hash,
        loaded(tmp_path, [{**row, "kind": "z"} for row in ROWS], fields=extra).hash,
        loaded(tmp_path, draft={"fields": {"tags": "array"}}).hash,
        loaded(tmp_path, draft={"fields": {"tags": "string"}}).hash,
        loaded(tmp_path, draft={"fields": {"tags": {"type": "string", "description": "some"}}}).hash,
        loaded(tmp_path, fields=extra, draft={"fields": {"tags": "string"}}).hash,
    ]
    assert len(set(hashes)) == len(hashes)


def test_filters_and_categories_compare_true_and_false_as_before(tmp_path: Path) -> None:
    rows = [{**row, "flag": number % 2 == 0} for number, row in enumerate(ROWS)]
    for wanted in (True, "true"):
        task = loaded(tmp_path, rows, where={"flag": wanted}, fields={**FIELDS, "category": "flag", "extra": ["flag"]})
        assert [(prompt.category, prompt.extra["flag"]) for prompt in task.prompts] == [("true", True)] * 3
