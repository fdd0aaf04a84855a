"""Tables as they are found: all faults told at once, skipped and counted on request, and nothing read in two ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import popbench
from popbench_microlens.table import Table
from popbench_microlens.table_options import TableOptions
from popbench_microlens.tag_names import read_names
from table_forms import FORMS, WHOLE_FORMS, told

HEADER = "key,name,topic,comments"
FAULTY = (
    "a,One,1,5",
    "b,Two,1,",
    ",Three,2,7",
    "d,Four, with a comma,2,8",
    "e,Five,2,many",
    "f,Six,2,",
    "a,One again,1,9",
    "g,Seven,3,4",
    ",,,",
)


def table(path: Path, **options: Any) -> Table:
    named = {"title": "name", "popularity": "comments", "id": "key", "tag": "topic"}
    return Table(TableOptions.model_validate({"path": str(path), **named, **options}))


def text(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def ids(corpus: Table) -> list[str]:
    return [row.id for row in corpus.rows("all")]


def faulty(tmp_path: Path, ending: str = "csv") -> Path:
    return text(tmp_path / f"a.{ending}", HEADER, *FAULTY)


def test_all_kinds_of_faults_are_told_at_once_with_their_counts(tmp_path: Path) -> None:
    file = faulty(tmp_path)
    line = told(lambda: ids(table(file)))
    assert line.startswith(f"{file}: 6 of 8 rows cannot be used: ")
    for kind in (
        "row 2: comments is empty (2 rows)",
        "row 3: key is empty: every row needs an id (1 row)",
        "row 4 (line 5) has 5 fields and the header 4",
        "row 5: comments 'many' is not a number (1 row)",
        "id 'a' stands in rows 1 and 7: dedupe=max, last or first takes one (1 row)",
    ):
        assert kind in line
    assert "on_error=skip" in line


def test_rows_with_faults_are_skipped_and_counted_on_request(tmp_path: Path) -> None:
    file = faulty(tmp_path)
    corpus = table(file, on_error="skip", dedupe="max")
    assert [(row.id, row.popularity) for row in corpus.rows("all")] == [("a", 9), ("g", 4)]
    assert corpus.remarks() == [
        f"{file}: 1 row left out for another of the same id (dedupe=max) (the first is row 1)",
        f"{file}: 2 rows skipped because comments is empty (the first is row 2)",
        f"{file}: 1 row skipped because key is empty (the first is row 3)",
        f"{file}: 1 row skipped because it has not as many fields as the header (the first is row 4)",
        f"{file}: 1 row skipped because comments is not a number (the first is row 5)",
    ]
    corpus = table(file, on_error="skip")
    assert ids(corpus) == ["a", "g"]
    assert f"{file}: 1 row skipped because key is that of an earlier row (the first is row 7)" in corpus.remarks()


def test_a_table_of_faults_alone_is_refused_whatever_is_asked(tmp_path: Path) -> None:
    file = text(tmp_path / "a.csv", HEADER, "a,One,1,", "b,Two,1,")
    assert "2 of 2 rows cannot be used" in told(lambda: ids(table(file, on_error="skip")))


@pytest.mark.parametrize(
    ("dedupe", "counts"), [("max", {"a": 9, "b": 4}), ("last", {"a": 7, "b": 4}), ("first", {"a": 5, "b": 4})]
)
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "dictionary"])
def test_one_row_is_taken_of_several_with_one_id(
    tmp_path: Path, form: str, dedupe: str, counts: dict[str, int]
) -> None:
    rows = [
        {"key": key, "name": f"{key}{count}", "topic": "x", "comments": count}
        for key, count in (("a", 5), ("a", 9), ("b", 4), ("a", 7), ("b", 4))
    ]
    name, write = FORMS[form]
    corpus = table(write(tmp_path / name, rows), dedupe=dedupe)
    assert {row.id: row.popularity for row in corpus.rows("all")} == counts
    assert list(corpus.rows("all")) == list(corpus.rows("all"))


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    for options, problem in (
        ({"id": None, "dedupe": "max"}, "say with id=COLUMN"),
        ({"tag": None, "tag_names": "a.json"}, "say with tag=COLUMN"),
        ({"decimal": ",", "thousands": "comma"}, "cannot both be parted by a comma"),
    ):
        with pytest.raises(ValueError, match=problem):
            table(tmp_path / "a.csv", **options)
    rows = [{"key": "a", "name": "A", "topic": "x", "comments": 1}]
    (line,) = table(FORMS["jsonl"][1](tmp_path / "a.jsonl", rows), quoting="lenient").check()
    assert "quoting is for CSV and TSV" in line


# -- quotes


def test_quotes_in_any_place_are_told_with_what_reads_them(tmp_path: Path) -> None:
    file = text(tmp_path / "a.csv", "name,topic,comments", *(f'Video {n},"a"|"b {n}",{n}' for n in range(1, 4)))
    (line,) = table(file, id=None).check()
    assert "3 of 3 rows cannot be used" in line
    assert "quoting=lenient" in line
    rows = list(table(file, id=None, quoting="lenient").rows("all"))
    assert [row.popularity for row in rows] == [1, 2, 3]
    assert next(table(file, id=None, quoting="none").rows("all")).tag == '"a"|"b 1"'


def test_tsv_has_another_content_where_quotes_are_read_otherwise_than_before(tmp_path: Path) -> None:
    plain = text(tmp_path / "a.tsv", "key\tname\ttopic\tcomments", "a\tA\tx\t1")
    quoted = text(tmp_path / "b.tsv", "key\tname\ttopic\tcomments", 'a\t"A\tx\t1')
    assert len(table(plain).content()) == 64
    assert table(quoted).content().endswith(" 2")
    assert [row.title for row in table(quoted).rows("all")] == ['"A']


def test_quotes_of_csv_in_a_tsv_file_are_remarked(tmp_path: Path) -> None:
    header = "key\tname\ttopic\tcomments"
    file = text(tmp_path / "a.tsv", header, 'a\t"A ""big"" cat"\tx\t1', "b\tB\tx\t2", 'c\t"C, c"\tx\t2')
    corpus = table(file)
    assert [row.title for row in corpus.rows("all")] == ['"A ""big"" cat"', "B", '"C, c"']
    assert corpus.remarks() == [f"{file}: its quotes look like those of CSV: quoting=strict reads them so"]
    corpus = table(file, quoting="strict")
    assert [row.title for row in corpus.rows("all")] == ['A "big" cat', "B", "C, c"]
    assert corpus.remarks() == []
    corpus = table(text(tmp_path / "b.tsv", header, 'a\t"A" cat\tx\t1', 'b\t"B ""b"""\tx\t2'))
    assert len(list(corpus.rows("all"))) == 2
    assert corpus.remarks() == []


# -- numbers


@pytest.mark.parametrize(
    "values", [("1.037", "889"), ("1.037", "12.500"), ("1,037", "889"), ("1 037", "2"), ("1'037", "2")]
)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_a_count_that_can_be_read_in_two_ways_is_refused_and_never_skipped(
    tmp_path: Path, form: str, on_error: str, values: Sequence[str]
) -> None:
    name, write = FORMS[form]
    rows = [{"key": str(n), "name": f"A {n}", "topic": "x", "comments": value} for n, value in enumerate(values)]
    assert "say " in told(lambda: ids(table(write(tmp_path / name, rows), on_error=on_error)))


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"thousands": "point"}, [1037, 12500]),
        ({"thousands": "."}, [1037, 12500]),
        ({"decimal": "point"}, [1.037, 12.5]),
    ],
)
def test_it_can_be_said_what_a_point_is(tmp_path: Path, options: dict[str, str], values: list[float]) -> None:
    file = text(tmp_path / "a.csv", HEADER, "a,A,x,1.037", "b,B,x,12.500")
    assert [row.popularity for row in table(file, **options).rows("all")] == values


def test_new_options_leave_the_fingerprint_alone_until_they_are_given(tmp_path: Path) -> None:
    file = text(tmp_path / "a.csv", HEADER, "a,A,x,1")
    plain = table(file).fingerprint()
    assert set(plain["options"]) == {
        "part", "title", "popularity", "description", "caption", "tag", "id", "video", "parts", "split"
    }  # fmt: skip
    names = text(tmp_path / "n.csv", "id,name", "x,Pets")
    given = [
        {"on_error": "skip"},
        {"dedupe": "max"},
        {"quoting": "lenient"},
        {"decimal": "comma"},
        {"tag_names": str(names)},
    ]
    prints = [json.dumps(table(file, **options).fingerprint()) for options in given]
    assert len({json.dumps(plain), *prints}) == 6
    text(names, "id,name", "x,Dogs")
    assert json.dumps(table(file, tag_names=str(names)).fingerprint()) != prints[-1]
    assert str(tmp_path) not in prints[-1]


# -- names of tags


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("n.json", {"1": "Pets", "2": "Food"}),
        ("n.json", [{"id": 1, "name": "Pets"}, {"id": 2, "title": "Food"}]),
        (
            "n.JSON",
            {"kind": "list", "items": [{"id": str(n), "snippet": {"title": t}} for n, t in ((1, "Pets"), (2, "Food"))]},
        ),
        ("n.csv", "id,name\n1,Pets\n2,Food\n"),
        ("n.tsv", "id\tname\tmore\n1\tPets\tx\n2\tFood\ty\n"),
        ("n.csv", "sep=;\nid;name\n1;Pets\n2;Food\n;\n"),
    ],
)
def test_tags_get_the_names_of_a_file(tmp_path: Path, name: str, content: Any) -> None:
    names = tmp_path / name
    names.write_text(content if isinstance(content, str) else "\ufeff" + json.dumps(content), encoding="utf-8")
    file = text(tmp_path / "a.csv", HEADER, "a,A,1,1", "b,B,2,2", "c,C,29,3", "d,D,,4")
    corpus = table(file, tag_names=str(names))
    assert corpus.check() == []
    assert [row.tag for row in corpus.rows("all")] == ["Pets", "Food", "29", "all"]
    assert (
        f"{file}: 1 row with a tag that {name} does not name kept with its id as tag (the first is row 3)"
        in corpus.remarks()
    )


@pytest.mark.parametrize(
    "content",
    ["", "[", "3", "[1]", "{}", '{"1": ""}', '{"1": ["a"]}', '[{"id": 1}]', '{"items": 3}', '{"1": "a", "1": "b"}'],
)
def test_a_file_without_names_of_tags_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    names = tmp_path / "n.json"
    names.write_text(content)
    assert str(names) in told(lambda: read_names(names))
    file = text(tmp_path / "a.csv", HEADER, "a,A,1,1")
    (line,) = table(file, tag_names=str(names)).check()
    assert str(names) in line
    assert "there is no such file" in table(file, tag_names=str(tmp_path / "gone.json")).check()[0]


# -- class labels


def labelled(path: Path, columns: dict[str, Any], labels: dict[str, list[str]]) -> Path:
    features = {name: {"names": names, "_type": "ClassLabel"} for name, names in labels.items()}
    about = json.dumps({"info": {"features": features}})
    pq.write_table(pa.table(columns).replace_schema_metadata({"huggingface": about}), path)
    return path


def test_tags_that_are_class_labels_are_their_names_and_change_the_content(tmp_path: Path) -> None:
    columns = {"key": ["a", "b", "c"], "name": ["A", "B", "C"], "topic": [1, 0, -1], "comments": [1, 2, 3]}
    file = labelled(tmp_path / "a.parquet", columns, {"topic": ["Music", "News"]})
    assert [row.tag for row in table(file).rows("all")] == ["News", "Music", "all"]
    assert table(file).content().endswith(" 2")
    assert len(table(file, tag=None).content()) == 64


# -- one corpus from every form, and whatever else there is


@pytest.mark.parametrize("form", WHOLE_FORMS)
def test_a_table_gives_the_same_corpus_in_every_form(tmp_path: Path, form: str) -> None:
    rows: list[dict[str, Any]] = [
        {
            "key": f"{n:03}",
            "name": f'Cat "{n}", or dog; both',
            "topic": ["Pets", "Fun; games"][n % 2],
            "comments": 37 * n + 850,
        }
        for n in range(1, 9)
    ]
    name, write = WHOLE_FORMS[form]
    corpus = table(write(tmp_path / name, rows))
    assert corpus.check() == []
    assert list(corpus.rows("all")) == [
        popbench.Reference(row["key"], row["name"], "", "", row["topic"], row["comments"]) for row in rows
    ]


CELLS = st.one_of(
    st.sampled_from(
        ["", "0", "1", "7", "1.037", "1,037", "nan", "inf", "-1", "1e400", '"', '"a"', "é", "\u0000", "9" * 400]
    ),
    st.text(max_size=4),
)
SETTINGS = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OPTIONS = st.fixed_dictionaries(
    {
        "on_error": st.sampled_from(["fail", "skip"]),
        "dedupe": st.sampled_from([None, "max", "last", "first"]),
        "quoting": st.sampled_from([None, "strict", "lenient", "none"]),
        "thousands": st.sampled_from([None, "point", "space"]),
    }
)


def corpus_or_line(make: Callable[[], Table]) -> None:
    """Read a corpus, or refuse in one line."""

    def rows() -> None:
        for row in make().rows("all"):
            assert row.id
            assert row.popularity >= 0

    told(rows)


@SETTINGS
@given(
    st.lists(st.lists(CELLS, max_size=5), max_size=5), OPTIONS, st.sampled_from(["csv", "tsv"]), st.binary(max_size=4)
)
def test_any_delimited_table_is_a_corpus_or_a_line(
    tmp_path: Path, rows: list[list[str]], options: dict[str, Any], ending: str, noise: bytes
) -> None:
    sign = "," if ending == "csv" else "\t"
    content = "\n".join(sign.join(cells) for cells in (HEADER.split(","), *rows)).encode("utf-8", "replace")
    for whole in (content, content + noise, noise + content):
        (tmp_path / f"a.{ending}").write_bytes(whole)
        corpus_or_line(lambda: table(tmp_path / f"a.{ending}", **options))


@SETTINGS
@given(
    st.lists(
        st.fixed_dictionaries(
            {"key": CELLS, "comments": CELLS | st.integers() | st.floats() | st.none()},
            optional={"name": CELLS | st.none() | st.booleans(), "topic": CELLS | st.floats() | st.just([1])},
        ),
        max_size=4,
    ),
    OPTIONS,
)
def test_any_json_lines_are_a_corpus_or_a_line(
    tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    corpus_or_line(lambda: table(tmp_path / "a.jsonl", **{**options, "quoting": None}))
