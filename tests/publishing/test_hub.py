"""`--push-to-hub`: what the hub's own client pushes to a hub on this machine is a data set that `datasets` loads."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from command_line import Run, in_process
from hub_server import TOKEN, Hub, serving
from made_boards import begin, evaluate
from made_scores import scores
from made_tasks import leave_no_traces
from popbench.publishing import hub_board
from popbench.scores.sources import read_source

REPO = "lab/cats"
DATA = f"datasets/{REPO}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    return begin(folder / "board", evaluate(folder / "run"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving(tmp_path / "hub", monkeypatch) as served:
        yield served


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    made: Path,
    hub: Hub,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    leave_no_traces(monkeypatch, tmp_path_factory)
    shutil.copytree(made, tmp_path / "board")
    call = in_process(monkeypatch, capsys, tmp_path)
    return lambda *arguments: call("leaderboard", "build", *arguments)


def test_a_board_becomes_a_data_set_of_scores_systems_and_pairs(run: Run, hub: Hub, tmp_path: Path) -> None:
    import datasets

    done = run("board", "--push-to-hub", REPO, "--license", "cc-by-4.0")
    assert (done.status, done.err) == (0, "")
    ((tag, _),) = hub.tags[DATA].items()
    assert re.fullmatch("v-[0-9a-f]{12}", tag)
    assert done.out.splitlines()[-1] == f"data set {REPO}: scores, systems, pairs; version {tag}"
    assert [message for _, message in hub.commits[DATA]] == [f"Board built by popbench: {tag}"]
    assert not hub.private[DATA]
    assert f"Bearer {TOKEN}" in hub.tokens
    results = json.loads((tmp_path / "board/board.json").read_text(encoding="utf-8"))
    folder = str(hub.files(DATA))
    loaded = {name: datasets.load_dataset(folder, name, split="train") for name in ("scores", "systems", "pairs")}
    assert datasets.load_dataset(folder, split="train").column_names == loaded["scores"].column_names
    scores = {(row["system"], row["prompt_id"]): row["popularity"] for row in loaded["scores"]}
    (file,) = (tmp_path / "board/submissions").iterdir()
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert scores == {(row["system"], row["prompt_id"]): row["popularity"] for row in rows}
    for row, of in zip(loaded["systems"], results["systems"], strict=True):
        assert row["system"] == of["system"]
        assert [row["median"], row["median_low"], row["median_high"]] == list(of["median"].values())
        assert [row["mean_win_rate_low"], row["mean_win_rate_high"]] == of["mean_win_rate_interval"]
    (row,), (of,) = loaded["pairs"], results["pairs"]
    assert (row["a"], row["b"], row["wins"], row["verdict"]) == (of["a"], of["b"], of["wins"], of["verdict"])
    assert (row["win_rate"], row["win_rate_exact_low"]) == (of["win_rate"]["value"], of["win_rate"]["exact"][0])
    card = (hub.files(DATA) / "README.md").read_text(encoding="utf-8")
    assert "# Cats" in card
    assert "](submissions/" not in card
    assert f'datasets.load_dataset("{REPO}", "scores", revision="{tag}")' in card
    header: Any = huggingface_hub.DatasetCard(card).data
    assert (header.pretty_name, header.tags) == ("Cats", ["popbench", "leaderboard"])
    assert header.license == "cc-by-4.0"
    assert [each["config_name"] for each in header.configs] == ["scores", "systems", "pairs"]


def test_the_scores_of_a_pushed_board_are_ranked_again(run: Run, hub: Hub, tmp_path: Path) -> None:
    run("board", "--push-to-hub", REPO)
    assert run(hub.files(DATA) / "data/scores.parquet", "--out", "again").status == 0
    board, again = (
        json.loads((tmp_path / name / "board.json").read_text(encoding="utf-8")) for name in ("board", "again")
    )
    for name in ("demo", "tasks", "predictors", "systems", "pairs", "enhancement"):
        assert again[name] == board[name], name


@pytest.mark.parametrize("demo", [False, True])
def test_pushed_scores_say_whether_they_are_a_demonstration_s(tmp_path: Path, demo: bool) -> None:
    (tmp_path / "scores.jsonl").write_text(
        "".join(map(json.dumps, hub_board._scores(scores(demo)))).replace("}{", "}\n{")
    )
    (found,) = read_source(tmp_path / "scores.jsonl")
    assert (found.demo, found.unit) == (demo, "comments")


def test_a_table_without_rows_is_left_out(run: Run, hub: Hub, tmp_path: Path) -> None:
    import datasets

    (tmp_path / "scores.csv").write_text("system,task,prompt_id,popularity\na,t,1,2\na,t,2,3\n", encoding="utf-8")
    assert run(tmp_path / "scores.csv", "--out", "lone", "--push-to-hub", REPO).status == 0
    folder = hub.files(DATA)
    assert sorted(path.stem for path in (folder / "data").iterdir()) == ["scores", "systems"]
    assert datasets.get_dataset_config_names(str(folder)) == ["scores", "systems"]


def test_runs_can_be_pushed_without_a_published_board(run: Run, hub: Hub, made: Path) -> None:
    assert run(made.parent / "run", "--out", "out", "--push-to-hub", REPO, "--private").status == 0
    assert hub.private[DATA]
    assert (hub.files(DATA) / "data/scores.parquet").exists()


def test_what_is_on_the_hub_is_not_written_over_unasked(run: Run, hub: Hub) -> None:
    assert run("board", "--push-to-hub", REPO).status == 0
    done = run("board", "--push-to-hub", REPO)
    assert done.status == 2
    assert f"{REPO} holds 5 files already" in done.line
    assert "--replace pushes a new version over them" in done.line
    assert len(hub.commits[DATA]) == 1


def test_each_push_is_a_version_that_stays(run: Run, hub: Hub, made: Path, tmp_path: Path) -> None:
    assert run("board", "--push-to-hub", REPO, "--tag", "v1.0").status == 0
    (tmp_path / "scores.csv").write_text("system,task,prompt_id,popularity\na,t,1,2\na,t,2,3\n", encoding="utf-8")
    lone = (tmp_path / "scores.csv", "--out", "lone", "--push-to-hub", REPO, "--replace")
    assert run(*lone).status == 0
    assert run(*lone).status == 0
    first, second = hub.tags[DATA]
    assert first == "v1.0"
    assert (hub.files(DATA, first) / "data/pairs.parquet").exists()
    assert not (hub.files(DATA, second) / "data/pairs.parquet").exists()
    taken = run("board", "--push-to-hub", REPO, "--replace", "--tag", "v1.0")
    assert (taken.status, taken.line) == (
        2,
        f"popbench: {REPO} has a version v1.0 already: choose another --tag",
    )


def test_clips_of_runs_are_a_configuration_with_their_words(run: Run, hub: Hub, made: Path) -> None:
    import datasets

    done = run(made.parent / "run", "--out", "out", "--push-to-hub", REPO, "--clips", 2)
    assert (done.status, done.err) == (0, "")
    folder = hub.files(DATA)
    loaded = datasets.load_dataset(str(folder), "clips", split="train")
    assert isinstance(loaded.features["video"], datasets.Video)
    loaded = loaded.cast_column("video", datasets.Video(decode=False))
    assert len(loaded) == 2 * 2  # prompts, systems
    first, second = loaded[0], loaded[1]
    assert first["prompt_id"] == second["prompt_id"]
    assert first["system"] != second["system"]
    assert first["prompt"].startswith("A cat that counts to")
    digests = {hashlib.sha256(row["video"]["bytes"]).hexdigest() for row in loaded}
    assert digests <= {hashlib.sha256(file.read_bytes()).hexdigest() for file in made.parent.glob("run/videos/*.mp4")}
    again = run("board", "--out", "other", "--push-to-hub", REPO, "--replace", "--clips", 1)
    assert (again.status, again.line) == (
        2,
        "popbench: --clips: none of the sources is a run with clips: give run directories, or leave it out",
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--push-to-hub", "lab/cats/dogs"), "is no name of a repository: expected OWNER/NAME"),
        (("--push-to-hub", "lab cats"), "is no name of a repository: expected OWNER/NAME"),
        (("--push-to-hub", REPO, "--tag", "a b"), "--tag: 'a b' is no tag"),
        (("--push-to-hub", REPO, "--tag", "a..b"), "--tag: 'a..b' is no tag"),
        (
            ("--push-to-hub", REPO, "--license", "CC BY"),
            "--license: 'CC BY' is no licence of the hub, such as cc-by-4.0",
        ),
    ],
)
def test_what_the_hub_would_refuse_is_told_before_work(
    run: Run, made: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = run(made.parent / "run", "--out", "out", *arguments)
    assert done.status == 2
    assert says in done.line
    assert not (tmp_path / "out").exists()


def test_a_missing_token_is_told_before_anything_is_built(
    run: Run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    done = run(made.parent / "run", "--out", "out", "--push-to-hub", REPO)
    assert done.status == 2
    assert done.line == "popbench: --push-to-hub needs a token of the hub: give it with `hf auth login`, or in HF_TOKEN"
    assert not (tmp_path / "out").exists()


def test_what_the_hub_refuses_is_told_in_one_line(run: Run, hub: Hub) -> None:
    hub.refuses = "create"
    done = run("board", "--push-to-hub", REPO)
    assert done.status == 1
    assert done.line.startswith(f"popbench: board is written, but {REPO} is not: HfHubHTTPError: ")
    assert "403" in done.line
    hub.refuses = "tag"
    untagged = run("board", "--push-to-hub", REPO, "--tag", "one")
    assert untagged.status == 1
    commit = hub.commits[DATA][0][0]
    assert untagged.line.startswith(f"popbench: {REPO} is pushed, as commit {commit}, but without its tag one: Hf")


def test_options_of_a_push_do_nothing_alone(run: Run) -> None:
    line = "popbench: --private, --replace, --tag, --license and --clips belong to --push-to-hub"
    assert run("board", "--replace").line == line
    assert run("board", "--clips", 3).line == line
