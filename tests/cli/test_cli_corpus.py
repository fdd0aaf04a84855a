"""`popbench corpus`: what it prints, what it refuses, and that runs find what it built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import corpus_files
import faults
from command_line import Run, in_process

TABLE = corpus_files.rows()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    faults.install()
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "cache"))
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    return corpus_files.spec(corpus_files.write(tmp_path / "mine.csv", TABLE))


def test_show_prints_what_pe_would_retrieve(run: Run) -> None:
    done = run("corpus", "show", "a cat learns to bake bread", "--mode", "pe,k=10,tags=2")
    assert done.status == 0
    assert "Corpus demo (a demonstration" in done.out
    assert "Tags by name: " in done.out
    assert "10 references; + popular, - unpopular" in done.out
    signs = [line.split("│")[1].strip() for line in done.out.splitlines() if line.startswith("│")]
    assert [sign for sign in signs if sign] == ["+"] * 9 + ["-"]


def test_show_prints_description_and_caption_below_the_title(run: Run) -> None:
    asked = ("corpus", "show", "a cat learns to bake bread", "--mode", "pe,k=1")
    (video,) = json.loads(run(*asked, "--json").out)["references"]
    shown = " ".join(run(*asked).out.replace("│", " ").split())
    assert all(" ".join(video[name].split()[:2]) in shown for name in ("title", "description", "caption"))


def test_show_says_the_same_in_json(run: Run, corpus: str) -> None:
    done = run("corpus", "show", "noodles in the kitchen", "--corpus", corpus, "--embedder", "hashing", "--json")
    found = json.loads(done.out)
    assert found["corpus"] == "table[data=mine]"
    assert (found["wanted"], len(found["references"])) == (10, 6)
    (tag,) = {row["tag"] for row in found["references"]}
    assert tag == found["tags"][0]["name"]
    similar = [row["similarity"] for row in found["references"] if row["popular"]]
    assert similar == sorted(similar, reverse=True)


def test_show_says_that_the_tags_hold_no_more(run: Run, corpus: str) -> None:
    done = run(
        "corpus", "show", "noodles", "--corpus", corpus, "--embedder", "hashing", "--mode", "pe,k=50,tag_by=none"
    )
    assert "30 references, of 50 asked for" in done.out
    assert "All tags" in done.out


def test_build_prints_tags_and_where_it_is_kept(run: Run, corpus: str, tmp_path: Path) -> None:
    done = run("corpus", "build", "--corpus", corpus, "--embedder", "hashing")
    assert done.status == 0
    assert all(tag in done.out for tag in corpus_files.TAGS)
    assert f"MB in {tmp_path / 'cache'}" in done.out
    assert "embed table[data=mine]: 30/30" in done.err


def test_what_is_built_is_not_built_again(run: Run, corpus: str) -> None:
    for command in ("build", "show"):
        prompt = ["noodles"] if command == "show" else []
        first = run("corpus", command, *prompt, "--corpus", corpus, "--embedder", "hashing")
        assert ("embed table" in first.err) == (command == "build")
    again = run("corpus", "build", "--corpus", corpus, "--embedder", "hashing", "--json")
    assert again.err == ""
    found = json.loads(again.out)
    assert (found["videos"], found["part"], found["broken_videos"]) == (30, "test", None)
    assert found["tags"]["Game"]["videos"] == 6


def test_videos_are_checked(run: Run, corpus: str, tmp_path: Path) -> None:
    folder = corpus_files.videos(tmp_path / "videos", TABLE)
    arguments = ["corpus", "build", "--corpus", corpus, "--embedder", "hashing", "--videos", folder]
    done = run(*arguments)
    assert (done.status, "All 30 videos can be read." in done.out) == (0, True)
    (folder / "an0.mp4").unlink()
    (folder / "ga1.mp4").write_bytes((folder / "ga1.mp4").read_bytes()[:200])
    done = run(*arguments)
    assert done.status == 1
    line = done.err.splitlines()[-1]
    assert line.startswith(f"popbench: 2 videos of 30 in {folder} cannot be used: an0 has no file; ")
    assert "ga1.mp4" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", " "], "the prompt is empty"),
        (["show", "x", "--mode", "pe,kk=3"], "did you mean 'k'"),
        (["show", "x", "--mode", "pe,k=0"], "k: "),
        (["show", "x", "--mode", "pee"], "did you mean 'pe'"),
        (["show", "x", "--mode", "basic"], "mode basic shows no references"),
        (["show", "x", "--mode", "pe,tag_by=none,tags=2"], "leave out tags and per_tag"),
        (["show", "x", "--mode", "pe,tag_by=nam"], "tag_by: "),
        (["show", "x", "--corpus", "microlense"], "did you mean 'microlens'"),
        (["show", "x", "--embedder", "hash"], "did you mean 'hashing'"),
        (["show", "x", "--corpus", "demo,part=tests"], "part: "),
        (["build", "--videos", "."], "corpus demo has no option videos="),
        (["build", "--videos", "nowhere"], "nowhere"),
        (["build", "--corpus", "table,path=no.csv,title=a,popularity=b", "--embedder", "hashing"], "no.csv"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    done = run("corpus", *arguments)
    assert done.status == 2
    assert said in done.line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"popularity": "many"}, "popularity 'many' is not a number"),
        ({"id": "an0"}, "id 'an0' stands in rows"),
        ({"part": "testing"}, "testing"),
    ],
)
def test_a_bad_row_is_one_line(run: Run, tmp_path: Path, change: dict[str, str], said: str) -> None:
    table = [*TABLE[:5], {**TABLE[5], **change}]
    corpus = corpus_files.spec(corpus_files.write(tmp_path / "mine.csv", table))
    done = run("corpus", "build", "--corpus", corpus, "--embedder", "hashing")
    assert done.status == 2
    assert said in done.err.splitlines()[-1]


def test_an_unknown_column_names_those_there_are(run: Run, tmp_path: Path) -> None:
    corpus_files.write(tmp_path / "mine.csv", TABLE)
    done = run(
        "corpus", "build", "--corpus", "table,path=mine.csv,title=titel,popularity=popularity", "--embedder", "hashing"
    )
    assert done.status == 2
    assert "titel" in done.line
    assert "title" in done.line


def test_an_empty_part_is_one_line(run: Run, corpus: str) -> None:
    done = run("corpus", "build", "--corpus", f"{corpus},part=train", "--embedder", "hashing")
    assert done.status == 2
    assert "no rows in its part 'train'" in done.line


def test_a_cache_that_cannot_be_written_names_the_variable(
    run: Run, corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POPBENCH_CACHE", str(tmp_path / "file"))
    done = run("corpus", "build", "--corpus", corpus, "--embedder", "hashing")
    assert done.status == 2
    assert "POPBENCH_CACHE" in done.line


def test_show_and_build_warn_of_poor_references_and_name_the_options(run: Run, corpus: str) -> None:
    where = ("--corpus", corpus, "--embedder", "hashing")
    done = run("corpus", "build", *where)
    assert "fewer than 50 videos" in done.out
    assert "tag_by=none" in done.out
    assert "popular_from=N" in done.out
    assert json.loads(run("corpus", "build", *where, "--json").out)["remarks"]
    done = run("corpus", "show", "noodles", *where)
    assert "videos, for 10 references; tag_by=none" in done.out
    remarks = json.loads(run("corpus", "show", "noodles", *where, "--json").out)["remarks"]
    assert any("tag_by=none" in line for line in remarks)
    done = run("corpus", "show", "noodles", *where, "--mode", "pe,k=2,tag_by=none,popular_from=1")
    assert "tag_by" not in done.out
