"""`--push-to-hub`: what would be pushed is a data set that `datasets` loads. The hub's client alone is a stand-in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import huggingface_hub
import pytest
import yaml
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from command_line import Run, in_process
from made_boards import begin, evaluate
from made_scores import scores
from made_tasks import leave_no_traces
from popbench.publishing import hub
from popbench.scores.sources import read_source

REPO = "lab/cats"


class Hub:
    """Stands in for huggingface_hub.HfApi: repositories are folders of this machine."""

    root: ClassVar[Path]
    calls: ClassVar[list[tuple[str, Any]]]
    refuses: ClassVar[bool] = False

    def list_repo_files(self, repo_id: str, *, repo_type: str) -> list[str]:
        assert repo_type == "dataset"
        folder = self.root / repo_id
        if not folder.exists():
            raise _error(RepositoryNotFoundError, 404)
        return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        assert repo_type == "dataset"
        assert exist_ok
        if self.refuses:
            raise _error(HfHubHTTPError, 403)
        self.calls.append(("create", private))
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id: str, folder_path: Path, repo_type: str, commit_message: str) -> None:
        assert repo_type == "dataset"
        self.calls.append(("commit", commit_message))
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)


def _error(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    response: Any = SimpleNamespace(headers={}, request=None, status_code=status)
    return kind(f"{status} Client Error.\nNot for you.", response=response)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    return begin(folder / "board", evaluate(folder / "run"))


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    made: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    leave_no_traces(monkeypatch, tmp_path_factory)
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_test")
    monkeypatch.setattr(Hub, "root", tmp_path / "hub", raising=False)
    monkeypatch.setattr(Hub, "calls", [], raising=False)
    shutil.copytree(made, tmp_path / "board")
    call = in_process(monkeypatch, capsys, tmp_path)
    return lambda *arguments: call("leaderboard", "build", *arguments)


def test_a_board_becomes_a_data_set_of_scores_systems_and_pairs(run: Run, tmp_path: Path) -> None:
    import datasets

    done = run("board", "--push-to-hub", REPO)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"data set {REPO}: scores, systems, pairs"
    assert Hub.calls == [("create", False), ("commit", "Board built by popbench")]
    results = json.loads((tmp_path / "board/board.json").read_text(encoding="utf-8"))
    folder = str(tmp_path / "hub" / REPO)
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
    card = (tmp_path / "hub" / REPO / "README.md").read_text(encoding="utf-8")
    assert "# Cats" in card
    assert "](submissions/" not in card
    assert yaml.safe_load(card.split("---\n")[1])["tags"] == ["popbench", "leaderboard"]


def test_the_scores_of_a_pushed_board_are_ranked_again(run: Run, tmp_path: Path) -> None:
    run("board", "--push-to-hub", REPO)
    assert run(tmp_path / "hub" / REPO / "data/scores.parquet", "--out", "again").status == 0
    board, again = (
        json.loads((tmp_path / name / "board.json").read_text(encoding="utf-8")) for name in ("board", "again")
    )
    for name in ("demo", "tasks", "predictors", "systems", "pairs", "enhancement"):
        assert again[name] == board[name], name


@pytest.mark.parametrize("demo", [False, True])
def test_pushed_scores_say_whether_they_are_a_demonstration_s(tmp_path: Path, demo: bool) -> None:
    (tmp_path / "scores.jsonl").write_text("".join(map(json.dumps, hub._scores(scores(demo)))).replace("}{", "}\n{"))
    (found,) = read_source(tmp_path / "scores.jsonl")
    assert (found.demo, found.unit) == (demo, "comments")


def test_a_table_without_rows_is_left_out(run: Run, tmp_path: Path) -> None:
    import datasets

    (tmp_path / "scores.csv").write_text("system,task,prompt_id,popularity\na,t,1,2\na,t,2,3\n", encoding="utf-8")
    assert run(tmp_path / "scores.csv", "--out", "lone", "--push-to-hub", REPO).status == 0
    folder = tmp_path / "hub" / REPO
    assert sorted(path.stem for path in (folder / "data").iterdir()) == ["scores", "systems"]
    assert datasets.get_dataset_config_names(str(folder)) == ["scores", "systems"]


def test_runs_can_be_pushed_without_a_published_board(run: Run, made: Path, tmp_path: Path) -> None:
    assert run(made.parent / "run", "--out", "out", "--push-to-hub", REPO, "--private").status == 0
    assert Hub.calls[0] == ("create", True)
    assert (tmp_path / "hub" / REPO / "data/scores.parquet").exists()


def test_what_is_on_the_hub_is_not_written_over_unasked(run: Run, tmp_path: Path) -> None:
    assert run("board", "--push-to-hub", REPO).status == 0
    done = run("board", "--push-to-hub", REPO)
    assert done.status == 2
    assert f"{REPO} holds 5 files already" in done.line
    assert "--replace writes this board over them" in done.line
    assert run("board", "--push-to-hub", REPO, "--replace").status == 0
    assert [name for name, _ in Hub.calls].count("commit") == 2


def test_a_missing_token_is_told_before_anything_is_built(
    run: Run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    done = run(made.parent / "run", "--out", "out", "--push-to-hub", REPO)
    assert done.status == 2
    assert done.line == "popbench: --push-to-hub needs a token of the hub: give it with `hf auth login`, or in HF_TOKEN"
    assert not (tmp_path / "out").exists()


def test_what_the_hub_refuses_is_told_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "refuses", True)
    done = run("board", "--push-to-hub", REPO)
    assert done.status == 1
    assert done.line.startswith(f"popbench: board is written, but {REPO} is not: HfHubHTTPError: 403 Client Error.")


def test_options_of_a_push_do_nothing_alone(run: Run) -> None:
    assert run("board", "--replace").line == "popbench: --private and --replace belong to --push-to-hub"
