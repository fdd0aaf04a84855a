"""Names and titles are printed as they are: what looks like a code of a colour or an emoji is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Run, in_process
from popbench.progress.console import make_console

NAMES = ("model:fire:", "[bold]b[/bold]", "[red]", ":smiley: [/]", r"\[x]", "[link=x]y[/link]")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv("COLUMNS", "200")
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_console_prints_texts_as_they_are(capsys: pytest.CaptureFixture[str], name: str) -> None:
    from rich.table import Table

    console = make_console()
    console.print(name)
    table = Table(name, title=name)
    table.add_row(name)
    console.print(table)
    assert capsys.readouterr().out.count(name) == 4


@pytest.mark.parametrize("name", NAMES)
def test_systems_of_a_board_are_printed_as_they_are(run: Run, tmp_path: Path, name: str) -> None:
    rows = [
        {"system": system, "task": name, "prompt_id": str(n), "popularity": 1 + n + place, "category": name}
        for place, system in enumerate((name, "other"))
        for n in range(12)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("leaderboard", "build", "a.jsonl", "--out", "board")
    assert done.status == 0
    assert done.out.count(name) >= 2
    (tmp_path / "b.jsonl").write_text((tmp_path / "a.jsonl").read_text() + "\n")
    done = run("compare", "a.jsonl", "b.jsonl")
    assert name in done.out


@pytest.mark.parametrize("name", NAMES)
def test_titles_and_tags_of_a_corpus_are_printed_as_they_are(run: Run, tmp_path: Path, name: str) -> None:
    rows = [{"title": f"A cat {name} {n}", "tag": name, "comments": n} for n in range(4)]
    (tmp_path / "videos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = ("--corpus", "table,path=videos.jsonl,title=title,tag=tag,popularity=comments", "--embedder", "hashing")
    for command in (("corpus", "build"), ("corpus", "show", "a cat", "--mode", "pe,k=3")):
        done = run(*command, *corpus)
        assert done.status == 0
        assert name in done.out


@pytest.mark.parametrize("name", NAMES[:2])
def test_labels_and_descriptions_are_printed_as_they_are(run: Run, tmp_path: Path, name: str) -> None:
    done = run("eval", "--dry-run", "--llm", f"verbatim,label={json.dumps(name)}", "--mode", "basic", "--limit", "1")
    assert done.status == 0, done.err
    assert f"{name}|basic|kinetic" in done.out
