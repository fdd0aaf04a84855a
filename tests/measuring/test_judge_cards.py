"""A judge is measured on real videos: what its card says, that nothing is paid twice, and what boards make of it."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import judge_server
from command_line import Run, in_process
from judge_server import JudgeServer, chat_body, spec
from made_tasks import task_file
from popbench.video import write_mp4

VIDEOS = 20
PRICES = {"price_in": 2, "price_out": 8}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of videos: brighter ones are watched more, by and large; one has no file."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "videos").mkdir()
    rng = np.random.default_rng(4)
    rows = []
    for number in range(VIDEOS):
        light = 20 + 11 * number
        write_mp4(np.full((4, 32, 32, 3), light, np.uint8), 4, folder / "videos" / f"v{number}.mp4")
        views = round(2 ** (8 + light / 40 + rng.standard_normal()))
        rows.append((f"v{number}", f"A walk at {light} o'clock", views, ("park", "sea")[number % 2]))
    rows.append(("gone", "A walk that nobody filmed", 50, "sea"))
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "title", "views", "place"), *rows])
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    with judge_server.prepared(monkeypatch) as server:
        yield server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def words(table: Path, predictor: str, *more: object) -> tuple[object, ...]:
    corpus = f'table,path="{table / "table.csv"}",id=id,title=title,popularity=views,tag=place,name=walks'
    given = ("--corpus", corpus, "--videos", table / "videos", "--target", "views", "--out", "card")
    return ("predictor", "eval", "--predictor", predictor, *given, *more)


def card(folder: str = "card") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "card.json").read_text(encoding="utf-8"))
    return found


def test_a_judge_gets_a_card_and_a_board_says_what_its_wins_are_worth(
    server: JudgeServer, run: Run, table: Path, tmp_path: Path
) -> None:
    judge = spec(server, **PRICES)
    done = run(*words(table, judge))
    assert done.status == 0, done.err
    assert len(server.asked) == VIDEOS
    assert all(len(asked.pictures) == 2 for asked in server.asked)
    found = card()
    assert (found["kind"], found["target"], found["predictor"]["scale"]) == ("measured", "views", "real")
    metrics = found["metrics"]
    assert set(metrics["model"]) == {"n", "src"}, "marks are no counts: they have no error"
    assert metrics["model"]["src"]["value"] > 0.5
    assert metrics["pairs"]["scale"] == "real"
    assert metrics["pairs"]["pairs"] + metrics["pairs"]["equal"] == VIDEOS * (VIDEOS - 1) // 2
    assert {row["category"] for row in metrics["pairs"]["by_category"]} == {"park", "sea"}
    assert found["cost"] == pytest.approx(VIDEOS * (900 * 2 + 40 * 8) / 1e6)
    assert "left out: 1 video without a video file" in done.out
    assert "cost at most about" in done.err
    text = Path("card/README.md").read_text(encoding="utf-8")
    for part in ("SRC", "predicted to differ by |", "their titles stand for it", "fingerprint"):
        assert part in text

    assert run(*words(table, judge)).status == 0
    assert len(server.asked) == VIDEOS, "what is scored is not asked again"

    task_file(tmp_path / "tasks", [{"id": f"p{n}", "prompt": f"A thing {n}", "category": "a"} for n in range(10)])
    command = "eval --llm verbatim --llm shotlist --gen kinetic,width=64,height=64,frames=4 --mode basic"
    given = [*shlex.split(command), "--task", "tasks/mine.yaml", "--corpus", "demo"]
    without = run(*given, "--predictor", judge, "--out", "bare")
    assert without.status == 0, without.err
    with_card = run(*given, "--predictor", f"{judge},card=card", "--out", "bare")
    assert with_card.status == 0, with_card.err
    assert len(server.asked) == VIDEOS + 20, "a card is nothing that scores depend on"
    run_json = json.loads(Path("bare/run.json").read_text(encoding="utf-8"))
    ((label, kept),) = run_json["cards"].items()
    assert label == "judge[model=seer,frames=2,draws=1]"
    assert (kept["measure"], kept["videos"], kept["scale"]) == ("views", VIDEOS, "real")
    results = json.loads(Path("bare/results.json").read_text(encoding="utf-8"))
    (row,) = results["carries"]
    assert 0 < row["win_in_truth"]["low"] <= row["win_in_truth"]["value"] <= row["win_in_truth"]["high"] <= 1
    board = Path("bare/leaderboard.md").read_text(encoding="utf-8")
    for part in ("**How far a verdict carries.**", "is a win in views with probability", "their titles stand for it"):
        assert part in board
    assert "a win on a prompt here is a win in views" in with_card.out


def test_refusals_are_counted_errors_are_tried_again_and_a_kill_costs_nothing(
    server: JudgeServer, run: Run, table: Path
) -> None:
    refusing: list[Any] = [lambda _: chat_body(None, refusal="no")] * 2
    # late: before any request is accepted, a 400 may be about its options, and it is sent again without them
    server.first = [*refusing, *[server.reply] * 12, lambda _: (400, {"error": {"message": "a broken picture"}})]
    done = run(*words(table, spec(server)))
    assert done.status == 1, done.out
    assert "the same command tries these again" in done.err
    first = card()
    assert (first["metrics"]["refused"], first["metrics"]["errors"]) == (2, 1)
    lines = Path("card/scores.jsonl").read_text(encoding="utf-8")
    assert len(lines.splitlines()) == VIDEOS - 1
    Path("card/scores.jsonl").write_text(lines + '{"key": "half a li', encoding="utf-8")  # as a kill leaves it
    asked = len(server.asked)
    again = run(*words(table, spec(server)))
    assert again.status == 0, again.err
    assert len(server.asked) == asked + 1
    assert (card()["metrics"]["refused"], card()["metrics"]["errors"]) == (2, 0)
    assert "2 of 20 videos had no score by refusal" in again.out
    for line in Path("card/scores.jsonl").read_text(encoding="utf-8").splitlines():
        json.loads(line)


def test_a_limit_draws_the_same_videos_and_a_larger_one_adds_to_them(
    server: JudgeServer, run: Run, table: Path
) -> None:
    assert run(*words(table, spec(server), "--limit", "12")).status == 0
    few = {asked.prompt for asked in server.asked}
    assert len(few) == 12
    assert "12 of 20 videos, drawn at random" in Path("card/README.md").read_text(encoding="utf-8")
    assert run(*words(table, spec(server), "--limit", "15")).status == 0
    assert len(server.asked) == 15
    assert few < {asked.prompt for asked in server.asked}


def test_a_server_that_is_down_leaves_what_is_scored_and_no_card(server: JudgeServer, run: Run, table: Path) -> None:
    server.reply = lambda _: (401, {"error": {"message": "who are you"}})
    done = run(*words(table, spec(server)))
    assert done.status == 1
    assert not Path("card/card.json").exists()
    server.reply = judge_server.JudgeServer().reply
    assert run(*words(table, spec(server))).status == 0


def test_what_does_not_go_together_is_one_line(server: JudgeServer, run: Run, table: Path) -> None:
    judge = spec(server)
    assert run(*words(table, judge)).status == 0
    other = run(*words(table, spec(server, size=64)))
    assert other.status == 2
    assert "card holds another card, or that of another predictor: choose another --out" in other.line
    dry = ("eval", "--limit", "2", "--dry-run", "--predictor")
    refused = run(*dry, f"{spec(server, size=64)},card=card")
    assert refused.status == 2
    assert "card=card: the card of another predictor" in refused.line
    Path("no.json").write_text("{}", encoding="utf-8")
    assert "card=no.json: not a card" in run(*dry, f"{judge},card=no.json").line
    assert "card=nowhere: not a card" in run(*dry, f"{judge},card=nowhere").line
    assert "--predictor needs --corpus and --out" in run("predictor", "eval", "--predictor", judge).line
    assert "one of the two" in run("predictor", "eval").line
    assert "one of the two" in run("predictor", "eval", "model", "--predictor", judge).line
    assert "--visual: for trained models" in run(*words(table, judge, "--visual", "x")).line
    assert "at least 10 are needed" in run(*words(table, judge, "--limit", "3")).line


@pytest.mark.parametrize("name", ["README.md", "run.json"])
def test_a_folder_of_other_files_gets_no_card(server: JudgeServer, run: Run, table: Path, name: str) -> None:
    Path("card").mkdir()
    Path("card", name).write_text("mine", encoding="utf-8")
    refused = run(*words(table, spec(server)))
    assert (refused.status, f"card holds other files ({name}), and no card" in refused.line) == (2, True)
    assert Path("card", name).read_text(encoding="utf-8") == "mine"
    assert {file.name for file in Path("card").iterdir()} == {name, ".lock"}


def test_a_predictor_that_compares_pairs_has_no_card(server: JudgeServer, run: Run, table: Path) -> None:
    refused = run(*words(table, spec(server, "judge-pairwise")))
    assert refused.status == 2
    assert "has no score of a single video" in refused.line
    assert not server.asked
