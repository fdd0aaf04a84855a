"""Boards, submissions and files of scores of a stranger: read or refused in a line each, and nothing else happens."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import Run, in_process
from hostile_cases import STEERING, TEXTS, Evil, Outside, bomb, check_end, harmless, link, outside, pipe
from made_boards import ROWS, begin, edit, evaluate, submissions
from made_scores import score_rows, write
from markdown_tables import tables_are_whole
from popbench.scores.submission import digest_of

Change = Callable[[Path, Outside], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    return begin(folder / "board", evaluate(folder / "run", ROWS[:3]))


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def board(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "board"))


@pytest.fixture
def of(tmp_path: Path) -> Outside:
    return outside(tmp_path / "outside")


def rules(text: str) -> Change:
    return lambda board, of: (board / "board.yaml").write_text(text.replace("CANARY", str(of.canary)), encoding="utf-8")


def retitled(title: str) -> Change:
    return lambda board, _: edit_text(board / "board.yaml", "title: Cats", f"title: {json.dumps(title)}")


def submitted(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change a submission, and make its digest anew as a forger would."""

    def forge(content: dict[str, Any]) -> None:
        change(content)
        content["sha256"] = digest_of(content)

    return lambda board, _: edit(submissions(board)[0], forge)


def edit_text(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


def added(name: str, content: bytes = b"{}") -> Change:
    return lambda board, _: (board / "submissions" / name).write_bytes(content)


CHECK, REBUILD = ("leaderboard", "check", "board"), ("leaderboard", "build", "board")
ELSEWHERE = ("leaderboard", "build", "board", "--out", "other")

BOARDS: dict[str, tuple[Change, tuple[str, ...], str]] = {
    "python-in-yaml": (rules("!!python/object/apply:os.mkdir ['CANARY']\n"), CHECK, "not valid YAML"),
    "python-names-in-yaml": (rules("title: !!python/name:os.system\n"), REBUILD, "not valid YAML"),
    "laughs-by-the-billion": (rules(bomb("[%s]")), CHECK, "more than 50,000 values"),
    "merged-by-the-billion": (rules(bomb("{<<: [%s]}")), CHECK, "more than 50,000 values"),
    "a-kind-of-many": (rules("x: &a [1]\n" + "kind: [" + "*a," * 9999 + "]\n"), CHECK, "unknown kind of board"),
    "within-itself": (rules("title: &a [*a]\n"), CHECK, "more than 50,000 values"),
    "a-date-that-is-none": (rules("title: 2001-99-99\n"), CHECK, "not valid YAML"),
    "a-number-without-end": (rules("seed: " + "9" * 5000 + "\n"), CHECK, "a number is too long"),
    "nested-yaml": (rules("[" * 20_000), CHECK, "nested too deeply"),
    "yaml-with-nul": (rules("title: a\0b\n"), CHECK, "not valid YAML"),
    "two-documents": (rules("title: a\n---\ntitle: b\n"), CHECK, "not valid YAML"),
    "rules-are-too-large": (rules("# " + "x" * 2**18), CHECK, "larger than 128 KiB"),
    "a-title-that-steers": (retitled("\x1b]0;owned\x07"), REBUILD, "visible text on one line"),
    "a-title-of-lines": (retitled("a\nb"), REBUILD, "visible text on one line"),
    "a-title-that-turns": (retitled("a\u202eb"), REBUILD, "visible text on one line"),
    "a-name-of-lines": (added("a\npopbench: all is well.json"), CHECK, "\\n"),
    "a-name-that-steers": (added("\x1b[2J.json"), CHECK, "\\x1b"),
    "a-name-like-an-option": (added("--help.json"), CHECK, "not a submission"),
    "a-name-of-no-text": (added(os.fsdecode(b"\xff.json")), CHECK, "characters that no name has"),
    "a-script-among-submissions": (added("evil.py", b"raise SystemExit"), CHECK, "only .json files"),
    "a-submission-of-a-pickle": (
        lambda board, of: (board / "submissions/x.json").write_bytes(pickle.dumps(Evil(of.canary))), CHECK, "submission"
    ),
    "a-submission-is-a-pipe": (pipe("submissions/p.json"), CHECK, "not a regular file"),
    "a-submission-is-a-device": (link("submissions/d.json", "/dev/zero"), REBUILD, "not a regular file"),
    "a-submission-leads-out": (link("submissions/l.json"), CHECK, "cannot be read"),
    "submissions-lead-out": (link("submissions", "."), REBUILD, "is a link"),
    "a-part-leads-out": (link(".README.md.part"), REBUILD, ""),
    "a-page-leads-out": (link("index.html"), REBUILD, ""),
    "a-page-is-a-pipe": (pipe("index.html"), CHECK, "index.html"),
    "a-nested-submission": (added("deep.json", b"[" * 200_000), CHECK, "nested too deeply"),
    "numbers-whose-product-is-endless": (
        submitted(lambda of: (of.update(repeats=10**4000), of["tasks"]["cats"].update(prompts=10**4000))), CHECK, ""
    ),
    "a-score-beyond-floats": (
        lambda board, _: edit_text(submissions(board)[0], '"popularity":', '"popularity":1e400,"x":'), CHECK, "no float"
    ),
    "a-system-with-a-path": (
        submitted(lambda of: of.update(systems={"../../outside/secret.txt": {"cats": "x"}})), REBUILD, ""
    ),
    "a-unit-that-steers": (submitted(lambda of: of["predictor"].update(unit="\x1b[2J<b>")), ELSEWHERE, ""),
    "a-system-of-html": (
        submitted(lambda of: [row.update(system=TEXTS["script"]) for row in of["rows"]]), CHECK, ""
    ),
    "half-a-character": (submitted(lambda of: of["remarks"].append("\ud800")), ELSEWHERE, ""),
    "keys-of-the-language": (submitted(lambda of: of.update(__class__="x")), CHECK, "unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_of_a_stranger_harms_nobody(popbench: Run, board: Path, of: Outside, name: str) -> None:
    change, command, told = BOARDS[name]
    change(board, of)
    with harmless(of):
        done = popbench(*command)
    check_end(done)
    assert told in done.err


def columns(**changed: Any) -> dict[str, Any]:
    rows = score_rows(("a", "b"), prompts=3)
    return {**{name: [row[name] for row in rows] for name in rows[0]}, **changed}


def endless_rows(path: Path, _: Outside) -> None:
    """Write millions of rows in a few bytes: one value, and how often."""
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(6_000_000, np.int8)), pa.array(["a"]))
    popularity = pa.array(np.ones(6_000_000, np.float32))
    pq.write_table(pa.table({"system": text, "task": text, "prompt_id": text, "popularity": popularity}), path)
    assert path.stat().st_size < 2**17


def pickled(path: Path, of: Outside) -> None:
    pq.write_table(pa.table(columns(system=[pickle.dumps(Evil(of.canary))] * 6)), path)


def extended(path: Path, of: Outside) -> None:
    """Write a column whose type says that Python is to unpickle what it is."""
    table = pa.table(columns())
    kind, of_kind = b"arrow.py_extension_type", pickle.dumps(Evil(of.canary))
    meta = {b"ARROW:extension:name": kind, b"ARROW:extension:metadata": of_kind}
    fields = [field.with_metadata(meta) if field.name == "system" else field for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), path)


def aggregate(instances: Change) -> Change:
    def make(path: Path, of: Outside) -> None:
        told = {"checksum": hashlib.sha256(b"").hexdigest(), "total_rows": 0, "path": str(of.secret)}
        path.write_text(json.dumps({"evaluation_results": [], "detailed_evaluation_results": told}), encoding="utf-8")
        instances(path.with_name(path.stem + "_samples.jsonl"), of)

    return make


HEAD = "system,task,prompt_id,popularity\n"
SCORES: dict[str, tuple[str, Change, str]] = {
    "rows-without-end": ("x.parquet", endless_rows, "6,000,000 rows, of 5,000,000 at most"),
    "a-column-of-pickles": ("x.parquet", pickled, ""),
    "a-type-of-pickles": ("x.parquet", extended, ""),
    "no-parquet": ("x.parquet", lambda path, _: path.write_bytes(b"PAR1" + b"\xff" * 4000 + b"PAR1"), "cannot be read"),
    "a-pickle-called-parquet": (
        "x.parquet", lambda path, of: path.write_bytes(pickle.dumps(Evil(of.canary))), "cannot be read"
    ),
    "a-pipe-of-parquet": ("x.parquet", lambda path, _: os.mkfifo(path), "not a regular file"),
    "a-pipe-of-csv": ("x.csv", lambda path, _: os.mkfifo(path), "not a regular file"),
    "a-device-of-json": ("x.jsonl", lambda path, _: path.symlink_to("/dev/zero"), "not a regular file"),
    "csv-with-nul": ("x.csv", lambda path, _: path.write_text(HEAD + "a,t,\0,1\n"), ""),
    "csv-of-one-field": ("x.csv", lambda path, _: path.write_text(HEAD + "x" * 200_000 + ",t,p,1\n"), "field limit"),
    "csv-with-an-open-quote": ("x.csv", lambda path, _: path.write_text(HEAD + 'a,t,"1,1\n' * 3), "cannot be read"),
    "json-nested-deeply": ("x.jsonl", lambda path, _: path.write_text("[" * 200_000), "nested too deeply"),
    "json-of-no-text": ("x.jsonl", lambda path, _: path.write_bytes(b'{"system": "\xff"}\n'), "no UTF-8 text"),
    "a-score-beyond-floats": ("x.jsonl", lambda path, _: path.write_text('{"popularity": 1e400}\n'), "column 'system'"),
    "a-repeat-without-end": (
        "x.jsonl", lambda path, _: write(path, score_rows(prompts=3, repeat="9" * 5000)), "row 1: repeat '999"
    ),
    "an-aggregate-of-a-device": (
        "x.json", aggregate(lambda path, _: path.symlink_to("/dev/zero")), "its instances cannot be read"
    ),
    "an-aggregate-of-a-pipe": ("x.json", aggregate(lambda path, _: os.mkfifo(path)), "its instances cannot be read"),
    "an-aggregate-that-leads-out": (
        "x.json", aggregate(lambda path, of: path.symlink_to(of.secret)), "was changed after"
    ),
    "an-aggregate-is-a-pipe": ("x.json", lambda path, _: os.mkfifo(path), "not a regular file"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_a_stranger_harm_nobody(popbench: Run, tmp_path: Path, of: Outside, name: str) -> None:
    file, make, told = SCORES[name]
    make(tmp_path / file, of)
    with harmless(of):
        done = popbench("leaderboard", "build", file, "--out", "board")
    check_end(done)
    assert told in done.err


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_labels_of_a_stranger_stay_text_on_a_board(popbench: Run, tmp_path: Path, of: Outside, form: str) -> None:
    import pandas as pd

    names = [text.replace("\n", " ") for text in TEXTS.values()]
    rows = [
        {"system": name, "task": TEXTS["handler"], "prompt_id": prompt, "popularity": 3, "category": TEXTS["table"]}
        for name in names
        for prompt in "ab"
    ]
    if form == "csv":
        pd.DataFrame(rows).to_csv(tmp_path / "x.csv", index=False, quoting=csv.QUOTE_ALL)
    else:
        write(tmp_path / "x.jsonl", rows)
    with harmless(of):
        done = popbench("leaderboard", "build", f"x.{form}", "--out", "board", "--title", TEXTS["script"])
    check_end(done)
    assert (done.status, done.err) == (0, "")
    text = (tmp_path / "board/README.md").read_text(encoding="utf-8")
    assert tables_are_whole(text)
    assert not re.search(r"(?<!\\)(<|\]\()", text)
    assert not STEERING.search(text)
    page = (tmp_path / "board/index.html").read_text(encoding="utf-8")
    for name in ("script", "handler", "svg", "style"):
        assert TEXTS[name] not in page
    known = json.loads((tmp_path / "board/board.json").read_text(encoding="utf-8"))
    assert {row["system"] for row in known["systems"]} == set(names)
