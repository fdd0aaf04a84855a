"""Any table as a corpus: every format gives the same rows, nothing is guessed, and errors name the row."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import popbench
from popbench import testing
from popbench.registry import load_registry
from popbench_microlens.table import Table
from popbench_microlens.table_options import TableOptions
from usage_errors import refusal

FORMS = ("csv", "tsv", "jsonl", "parquet")
Row = Mapping[str, Any]

COLUMNS = {"title": "name", "description": "about", "caption": "said", "tag": "topic", "popularity": "comments"}
ROWS: list[dict[str, Any]] = [
    {
        "key": f"{number:03}",
        "name": f'Video {number}, the "best"',
        "about": f"About; number {number}",
        "said": f"Said {number}",
        "topic": ["Game", "Film and TV"][number % 2],
        "comments": 3 * number,
        "part": ["train", "valid", "validation", "test"][number % 4],
    }
    for number in range(40)
]


def write(file: Path, rows: Sequence[Row] = ROWS) -> Path:
    if file.suffix == ".parquet":
        import pandas as pd

        pd.DataFrame(list(rows)).to_parquet(file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with file.open("w", newline="", encoding="utf-8") as out:
            plain: dict[str, Any] = {
                "delimiter": "\t",
                "quoting": csv.QUOTE_NONE,
                "quotechar": None,
            }  # quotes are no signs in TSV
            writer = csv.DictWriter(out, list(rows[0]), **(plain if file.suffix == ".tsv" else {}))
            writer.writeheader()
            writer.writerows(rows)
    return file


def table(path: Path | str, **options: Any) -> Table:
    return Table(TableOptions.model_validate({"path": str(path), **COLUMNS, **options}))


def plain(path: Path, **options: Any) -> Table:
    """A table of which only title and popularity are named."""
    options = {"title": "name", "popularity": "comments", **options}
    return Table(TableOptions.model_validate({"path": str(path), **options}))


def read(path: Path, part: str = "all", **options: Any) -> list[popbench.Reference]:
    return list(table(path, **options).rows(part))


def only(corpus: Table) -> str:
    (line,) = corpus.check()
    assert "\n" not in line
    return line


def text(file: Path, content: str) -> Path:
    file.write_bytes(content.encode())
    return file


# -- rows


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_the_same_rows(tmp_path: Path, form: str) -> None:
    file = write(tmp_path / f"mine.{form}")
    corpus = table(file, id="key", parts="part")
    assert corpus.check() == []
    expected = [
        popbench.Reference(row["key"], row["name"], row["about"], row["said"], row["topic"], row["comments"])
        for row in ROWS
    ]
    assert list(corpus.rows("all")) == expected
    assert [row.id for row in corpus.rows("valid")] == [row["key"] for row in ROWS if "valid" in row["part"]]
    assert all(isinstance(row.popularity, int) for row in expected)
    assert corpus.remarks() == []


@pytest.mark.parametrize("form", FORMS)
def test_it_keeps_every_rule_of_corpora(tmp_path: Path, form: str) -> None:
    file = write(tmp_path / f"mine.{form}")
    others = {"videos": str(tmp_path), "name": "other", "tag": "part"}
    named = ",".join(f"{option}={column}" for option, column in {**COLUMNS, "id": "key", "parts": "part"}.items())
    report = testing.check_corpus(f"table,path={file},{named}", other_options=others)
    assert report.ok
    assert not [note for note in report.notes if "is empty" in note]
    assert testing.check_corpus(plain(file)).ok


def test_what_is_not_named_has_its_default(tmp_path: Path) -> None:
    rows = list(plain(write(tmp_path / "mine.csv")).rows("test"))
    assert [row.id for row in rows] == [str(number) for number in range(1, 41)]
    assert {(row.tag, row.description, row.caption, row.video) for row in rows} == {("all", "", "", None)}
    assert list(plain(tmp_path / "mine.csv").rows("train")) == []


def test_texts_stay_texts_and_numbers_become_texts(tmp_path: Path) -> None:
    file = text(tmp_path / "a.csv", "key,name,comments\n007,1e3,1\n7,null,2.50\n")
    rows = list(plain(file, id="key").rows("all"))
    assert [(row.id, row.title, row.popularity) for row in rows] == [("007", "1e3", 1), ("7", "null", 2.5)]
    lines = '{"key": 7, "name": 12.50, "comments": "3"}\n{"key": 8.0, "name": "x", "comments": 4.0}\n'
    rows = list(plain(text(tmp_path / "a.jsonl", lines), id="key").rows("all"))
    assert [(row.id, row.title, row.popularity) for row in rows] == [("7", "12.50", 3), ("8.0", "x", 4)]


def test_byte_order_marks_blank_lines_and_crlf_are_no_rows(tmp_path: Path) -> None:
    file = text(tmp_path / "a.csv", "\ufeffname,comments\r\n\r\nFirst,1\r\n\r\nSecond,2\r\n\r\n")
    assert [row.title for row in plain(file).rows("all")] == ["First", "Second"]
    file = text(tmp_path / "a.jsonl", '\ufeff{"name": "a", "comments": 1}\r\n\n{"name": "b\u2028", "comments": 2}')
    assert [(row.id, row.title) for row in plain(file).rows("all")] == [("1", "a"), ("2", "b")]


def test_a_row_of_jsonl_may_leave_out_what_is_empty(tmp_path: Path) -> None:
    rows = [{"name": "a", "comments": 1}, {"name": "b", "comments": 2, "about": "words"}, {"name": "c", "comments": 3}]
    corpus = plain(write(tmp_path / "a.jsonl", rows), description="about")
    assert corpus.check() == []
    assert [row.description for row in corpus.rows("all")] == ["", "words", ""]


def test_rows_without_a_title_are_counted_and_kept_where_other_words_are_there(tmp_path: Path) -> None:
    rows = [dict(row) for row in ROWS]
    for at in (2, 5, 7):
        rows[at]["name"] = " "
    for at in (5, 7):
        rows[at] |= {"about": "", "said": ""}
    rows[9]["topic"] = ""
    file = write(tmp_path / "a.csv", rows)
    corpus = table(file)
    found = list(corpus.rows("all"))
    assert len(found) == 38
    assert found[2].title == ""
    assert corpus.remarks() == [
        f"{file}: 1 row without a title kept (the first is row 3)",
        f"{file}: 2 rows without title, description and caption skipped (the first is row 6)",
        f"{file}: 1 row without a tag given the tag 'all' (the first is row 10)",
    ]


def test_videos_are_looked_up_beside_the_table_or_in_the_folder_given(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    clip = tmp_path / "clips" / "b.mp4"
    clip.write_bytes(b"x")
    rows = [{"name": "a", "comments": 1, "file": file} for file in ("clips/b.mp4", "", "gone.mp4", str(clip), "\0")]
    file = write(tmp_path / "a.jsonl", rows)
    assert [row.video for row in plain(file, video="file").rows("all")] == [clip, None, None, clip, None]
    (tmp_path / "clips" / "2.mp4").write_bytes(b"x")
    by_id = [row.video for row in plain(file, videos=str(tmp_path / "clips")).rows("all")]
    assert by_id == [None, tmp_path / "clips" / "2.mp4", None, None, None]
    assert all(row.video is None for row in plain(file).rows("all"))
    assert "there is no such folder" in only(plain(file, videos=str(tmp_path / "none")))


# -- what is wrong with values


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", ["abc", "1,234", "", "nan", "inf", "-3", "1_000", "0x1", "1e999", "٣"])
def test_a_popularity_that_is_no_number_is_named_with_its_row(tmp_path: Path, form: str, value: str) -> None:
    rows = [{**row, "comments": str(row["comments"])} for row in ROWS]
    rows[16]["comments"] = value
    file = write(tmp_path / f"a.{form}", rows)
    assert refusal(lambda: read(file)).startswith(f"{file}: row 17: comments ")


def test_the_line_about_a_popularity_says_what_it_is(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [{"name": "a", "comments": "abc"}])
    advice = "(on_error=skip leaves such rows out)"
    assert refusal(lambda: list(plain(file).rows("test"))) == f"{file}: row 1: comments 'abc' is not a number {advice}"


@pytest.mark.parametrize("value", [None, True, [1], {"a": 1}, float("nan"), float("inf"), -0.5, 10**400])
def test_a_json_value_that_is_no_popularity_is_refused(tmp_path: Path, value: Any) -> None:
    file = write(tmp_path / "a.jsonl", [{"name": "a", "comments": 1}, {"name": "b", "comments": value}])
    assert refusal(lambda: list(plain(file).rows("test"))).startswith(f"{file}: row 2: comments ")


def test_values_that_are_no_texts_ids_or_parts_are_named_with_their_row(tmp_path: Path) -> None:
    good = {"name": "a", "comments": 1, "key": "k", "part": "test"}
    for changes, says in (
        ({"name": ["a"]}, "name ['a'] is no text"),
        ({"key": " "}, "key is empty"),
        ({"part": "dev"}, "part 'dev' is no part (possible: train, valid, validation, test)"),
    ):
        file = write(tmp_path / "a.jsonl", [good, {**good, "key": "l", **changes}])
        line = refusal(lambda file=file: list(plain(file, id="key", parts="part").rows("test")))  # type: ignore[misc]
        assert line.startswith(f"{file}: row 2: {says}")


@pytest.mark.parametrize("form", FORMS)
def test_an_id_that_stands_twice_is_named_with_both_rows(tmp_path: Path, form: str) -> None:
    rows = [dict(row) for row in ROWS]
    rows[8]["key"] = rows[2]["key"] = "x"
    file = write(tmp_path / f"a.{form}", rows)
    for part in ("test", "all"):
        line = refusal(lambda part=part: read(file, part, id="key", parts="part"))  # type: ignore[misc]
        assert line.startswith(f"{file}: id 'x' stands in rows 3 and 9: dedupe=max, last or first takes one")


# -- what is wrong with files


@pytest.mark.parametrize("form", FORMS)
def test_a_column_that_is_not_there_is_told_before_rows_are_read(tmp_path: Path, form: str) -> None:
    corpus = table(write(tmp_path / f"a.{form}"), title="nam")
    line = only(corpus)
    assert "title=nam: unknown column 'nam': did you mean 'name'? (possible: about, comments," in line
    assert refusal(lambda: list(corpus.rows("test"))) == line


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "no rows"),
        ("a.csv", "name,comments\n", "no rows"),
        ("a.jsonl", "\n", "no rows"),
        ("a.csv", "name,comments,name\na,1,b\n", "column 'name' stands there twice"),
        ("a.csv", "name,comments\na,1\nb, c,2\n", "row 2 (line 3) has 3 fields and the header 2"),
        ("a.csv", "name,comments\na,1\nb\n", "row 2 (line 3) has 1 fields and the header 2"),
        ("a.csv", 'name,comments\na,1\n"b,2\nc,3\n', "cannot be read: unexpected end of data"),
        (
            "a.tsv",
            "name,comments\na,1\n",
            "its separator seems to be a comma: name it .csv",
        ),
        ("a.csv", "name\tcomments\na\t1\n", "its separator seems to be a tab: name it .tsv"),
        ("a.jsonl", '{"name": "a", "comments": 1}\n{"name": "b", \n', "line 2 is no JSON"),
        ("a.jsonl", '{"name": "a", "comments": 1}\n\n[1]\n', "line 3 is no JSON object"),
        ("a.jsonl", "[" * 100_000, "line 1 is no JSON"),
        ("a.jsonl", '{"name": "a", "comments": 1, "name": "b"}\n', "line 1: key 'name' stands there twice"),
        ("a.parquet", "PAR1 no", "no Parquet file"),
        ("a.parquet", "", "no Parquet file"),
        ("a.xlsx", "x", "cannot be read as a table (possible: .csv, .tsv, .jsonl, .ndjson, .parquet)"),
        ("a", "x", "cannot be read as a table"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, name: str, content: str, says: str) -> None:
    file = text(tmp_path / name, content)
    line = refusal(lambda: list(plain(file).rows("test")))
    assert str(file) in line
    assert says in line
    assert plain(file).check() in ([], [line])


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.csv", "name,comments\ncafé,1\n"), ("a.jsonl", '{"name": "café", "comments": 1}')):
        (tmp_path / name).write_bytes(content.encode("latin-1"))
        assert "is no UTF-8 text" in refusal(lambda name=name: list(plain(tmp_path / name).rows("test")))  # type: ignore[misc]


def test_paths_that_are_no_file_are_told_apart(tmp_path: Path) -> None:
    assert "a folder: give one file" in only(plain(tmp_path))
    assert "there is no such file" in only(plain(tmp_path / "none.csv"))
    file = write(tmp_path / "a.csv")
    assert "revision is for data sets on the hub" in only(plain(file, revision="main"))
    assert "split is for data sets on the hub" in only(plain(file, split="train"))
    assert plain(tmp_path / "none.csv").fingerprint()["content"] is None


def test_what_a_table_needs_is_said() -> None:
    line = refusal(lambda: load_registry().resolve("corpus", "table"))
    assert line == "corpus table needs path=VALUE and title=VALUE and popularity=VALUE"
    line = refusal(lambda: load_registry().resolve("corpus", "table,path=a.csv,titel=b"))
    assert "did you mean 'title'?" in line


# -- what results depend on


def test_the_fingerprint_is_of_the_file_and_the_columns_and_not_of_the_place(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv")
    (tmp_path / "b").mkdir()
    other = write(tmp_path / "b" / "other.csv")
    assert plain(file).fingerprint() == plain(other).fingerprint()
    assert "other.csv" not in str(plain(other).fingerprint())
    assert plain(file, name="mine").fingerprint() == plain(file).fingerprint()
    found = {str(plain(file, **options).fingerprint()) for options in ({}, {"id": "key"}, {"tag": "topic"})}
    write(other, ROWS[:-1])
    assert len(found | {str(plain(other).fingerprint())}) == 4


def test_a_table_is_known_as_its_file_or_as_the_name_given(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.csv")
    assert (plain(file).known_as, plain(file).label()) == ("mine", "table[data=mine]")
    corpus = plain(file, name="ours", part="all")
    assert (corpus.known_as, corpus.label()) == ("ours", "table[data=ours,part=all]")


# -- size


PEAK = """
import sys, tracemalloc
from popbench_microlens.table import Table
from popbench_microlens.table_options import TableOptions

table = Table(TableOptions(path=sys.argv[1], title="name", popularity="comments"))
next(table.rows("test"))  # imports are not counted
tracemalloc.start()
print(sum(1 for _ in table.rows("test")), tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_large_file_is_read_row_by_row(tmp_path: Path, form: str) -> None:
    rows = [{"name": f"{number} " + "x" * 1000, "comments": number} for number in range(20_000)]
    file = write(tmp_path / f"a.{form}", rows)
    del rows
    # In a process of its own: threads that earlier tests left behind allocate in this one.
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(file)], capture_output=True, text=True, check=True, timeout=120
    )
    count, peak = map(int, done.stdout.split())
    assert count == 20_000
    assert peak < 17e6  # the file has more than 20 MB


def test_a_field_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"name,comments\n{'x' * 200_000},3\n")
    assert len(next(plain(tmp_path / "a.csv").rows("test")).title) == 200_000
