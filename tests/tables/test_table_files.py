"""Files of tables: the same rows from every form, columns and keys once, and values as they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from popbench.tables import TableFile, Written, parse_json, text_of, truth_of
from table_forms import FORMS, told

ROWS = [{"name": f'A "{n}" cat', "kind": "pets; more, or less", "count": 1.5 * n} for n in range(1, 5)]


def rows(file: TableFile) -> list[dict[str, Any]]:
    return [row for _, row in file.rows(file.columns())]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_columns_and_rows(tmp_path: Path, form: str) -> None:
    name, write = FORMS[form]
    file = TableFile(write(tmp_path / name, ROWS))
    assert file.columns() == ["name", "kind", "count"]
    assert [(row["name"], row["kind"], float(row["count"])) for row in rows(file)] == [
        (row["name"], row["kind"], row["count"]) for row in ROWS
    ]
    assert [number for number, _ in file.rows(["name"])] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a,b\n1,2\n", [("1", "2")]),
        ("a;b\n1;2,5\n", [("1", "2,5")]),
        ("SEP=;\na;b\n1;2\n", [("1", "2")]),
        ('"sep=;"\r\na;b\r\n1;2\r\n', [("1", "2")]),
        ("sep=\t\na\tb\n1\t2\n", [("1", "2")]),
        ("sep=|\na|b\n1|2\n", [("1", "2")]),
        ("\n\nsep=,\na,b\n1,2\n", [("1", "2")]),
        ("a,b,,\n1,2,,\n,,,\n \n3,4,,\n,,\n", [("1", "2"), ("3", "4")]),
        (" a , b \n1, 2\n", [("1", " 2")]),
        ("a,b\r1,2\r3,4", [("1", "2"), ("3", "4")]),
        ('a,b\n"1\r\n2","x ""y"""\n', [("1\r\n2", 'x "y"')]),
        ('"a;b;c",b\n1,2\n', None),
        ('a,"b;c;d"\n1,2\n', None),
        ("a,b\n1,2,\n", [("1", "2")]),
    ],
)
def test_a_csv_file_is_read_as_it_was_meant(tmp_path: Path, content: str, found: list[tuple[str, str]] | None) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + content.encode())
    read = rows(TableFile(tmp_path / "a.csv"))
    if found is None:
        assert [list(row.values()) for row in read] == [["1", "2"]]
    else:
        assert read == [{"a": first, "b": second} for first, second in found]


@pytest.mark.parametrize("content", ['"A" b\tc\n"x\ty"\n', 'a\tc\n"1\t2"\n"3\t4\n'])
def test_quotes_are_ordinary_characters_in_tsv(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.tsv").write_text(content)
    lines = [line.split("\t") for line in content.splitlines()]
    assert [list(row.values()) for row in rows(TableFile(tmp_path / "a.tsv"))] == lines[1:]
    assert told(lambda: rows(TableFile(tmp_path / "a.tsv", "strict")))


def test_quotes_may_stand_anywhere_if_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"x"|"y",1\nz,2\n')
    assert "row 1 (line 2) cannot be read" in told(lambda: rows(TableFile(tmp_path / "a.csv")))
    assert [row["b"] for row in rows(TableFile(tmp_path / "a.csv", "lenient"))] == ["1", "2"]
    assert rows(TableFile(tmp_path / "a.csv", "none"))[0]["a"] == '"x"|"y"'


def test_a_quote_that_is_not_closed_is_never_a_row_to_skip(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\nx,1\n"y,2\n' + "z,3\n" * 50)
    faults: list[Any] = []
    line = told(lambda: list(TableFile(tmp_path / "a.csv").rows(["a"], lambda *fault: faults.append(fault))))
    assert "a quote is not closed" in line
    assert not faults
    (tmp_path / "a.csv").write_text('a,b\nx,1\ny,"2\n' + "z,3\n" * 50)
    line = told(lambda: list(TableFile(tmp_path / "a.csv", "lenient").rows(["a"], lambda *fault: None)))
    assert "line 3: a quote is not closed" in line
    (tmp_path / "a.csv").write_text('a,b\n"y,2\nz,"3\n')
    line = told(lambda: rows(TableFile(tmp_path / "a.csv", "lenient")))
    assert "row 1 (lines 2 to 3) has 1 fields and the header 2" in line
    (tmp_path / "a.csv").write_text('a,b\nx,1\ny,"2\n3"\n')
    assert rows(TableFile(tmp_path / "a.csv", "lenient"))[-1] == {"a": "y", "b": "2\n3"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "a,b,a\n1,2,3\n"),
        ("a.csv", "a,b, a\n1,2,3\n"),
        ("a.tsv", "a\tb\ta\n1\t2\t3\n"),
        ("a.jsonl", '{"a": 1, "b": 2, "a": 3}\n'),
        ("a.jsonl", '{"a": 1, "b": 2}\n{"b": 2, "a": 1, "a": 1}\n'),
        ("a.jsonl", '{"b": {"a": 1, "a": 1}}\n'),
    ],
)
def test_a_column_or_key_that_stands_twice_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert "'a' stands there twice" in told(lambda: rows(TableFile(tmp_path / name)))


def test_a_column_of_parquet_that_stands_twice_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "a.parquet")
    assert "'a' stands there twice" in told(lambda: rows(TableFile(tmp_path / "a.parquet")))


def test_numbers_of_json_keep_their_digits() -> None:
    found = parse_json("[1.10, 1e5, -0.0, 1E+2, 7, 1.7976931348623157e400]")
    assert [text_of(value) for value in found] == ["1.10", "1e5", "-0.0", "1E+2", "7", "1.7976931348623157e400"]
    assert found[0] == 1.1
    assert isinstance(found[0], Written)
    assert json.loads(json.dumps(found[:4])) == found[:4]


def test_texts_of_typed_columns() -> None:
    from decimal import Decimal

    texts = {
        "1.10": Decimal("1.10"),
        "100": Decimal("1E+2"),
        "7": 7.0,
        "7.5": 7.5,
        "true": True,
        "": float("nan"),
        "007": "007",
    }
    assert [text_of(value) for value in texts.values()] == list(texts)
    for value in ([1], {"a": 1}, (1,), b"a"):
        with pytest.raises(ValueError, match="is no text"):
            text_of(value)


def test_truth_is_told_in_any_case_and_anything_else_refused() -> None:
    assert {truth_of(text) for text in ("true", "TRUE", " Yes ", "ja", "1", "1.0", "Y")} == {True}
    assert {truth_of(text) for text in ("false", "False", "NO", "nein", "0", "0.0", "n")} == {False}
    assert truth_of("") is truth_of("  ") is None
    for text in ("NA", "maybe", "2", "-", "none", "✓"):
        with pytest.raises(ValueError, match="neither true nor false"):
            truth_of(text)


def labelled(path: Path, values: list[Any], kind: pa.DataType, names: Any = ("Pets", "Food")) -> Path:
    feature = {"names": list(names) if isinstance(names, tuple) else names, "_type": "ClassLabel"}
    about = json.dumps({"info": {"features": {"a": feature}}})
    table = pa.table({"a": pa.array(values, kind)}).replace_schema_metadata({"huggingface": about})
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("kind", [pa.int64(), pa.int8(), pa.dictionary(pa.int32(), pa.int64())])
def test_class_labels_are_their_names(tmp_path: Path, kind: pa.DataType) -> None:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    path = labelled(tmp_path / "a.parquet", [0, 1, -1, None], plain)
    if plain is not kind:
        table = pq.read_table(path)
        pq.write_table(
            pa.table({"a": table["a"].dictionary_encode()}).replace_schema_metadata(table.schema.metadata), path
        )
    assert [row["a"] for row in rows(TableFile(path))] == ["Pets", "Food", None, None]
    assert TableFile(path).labelled() == {"a"}


def test_a_number_without_a_label_is_refused_and_damaged_names_are_none(tmp_path: Path) -> None:
    path = labelled(tmp_path / "a.parquet", [0, 7], pa.int64())
    assert "row 2: a 7 is no label (0 to 1)" in told(lambda: rows(TableFile(path)))
    for names in ("Pets", [1, 2], None, {"0": "a"}):
        path = labelled(tmp_path / "a.parquet", [0, 1], pa.int64(), names)
        assert [row["a"] for row in rows(TableFile(path))] == [0, 1]


def test_numbers_of_fewer_bits_have_the_digits_that_tell_them(tmp_path: Path) -> None:
    values = [1.1, 0.0, None, float("inf"), 2.0**20]
    columns = {"narrow": pa.array(values, pa.float32()), "wide": pa.array(values)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    rows = [row for _, row in TableFile(tmp_path / "a.parquet").rows(["narrow", "wide"])]
    assert [row["narrow"] for row in rows] == [row["wide"] for row in rows] == values


def test_texts_stored_as_bytes_are_texts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array(["é".encode()], pa.binary())}), tmp_path / "a.parquet")
    assert rows(TableFile(tmp_path / "a.parquet")) == [{"a": "é"}]
    pq.write_table(pa.table({"a": pa.array([b"\xff"], pa.binary())}), tmp_path / "a.parquet")
    assert "cannot be read" in told(lambda: rows(TableFile(tmp_path / "a.parquet")))
