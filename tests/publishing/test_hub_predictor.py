"""`popbench predictor push`: what the hub's own client pushes to a hub on this machine is the same predictor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

import made_titles
import popbench
from command_line import Run, in_process
from hub_server import Hub, serving
from made_boards import edit
from popbench.cli import main

REPO = "lab/titles"
MODEL = f"models/{REPO}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictor")
    table = made_titles.write(folder / "titles.csv", made_titles.draw(200))
    arguments = ["predictor", "train", "titles", "--corpus", made_titles.spec(table), "--target", "views"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["popbench", *arguments, "--embedder", "hashing", "--out", str(folder / "model")])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0
    return folder / "model"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving(tmp_path / "hub", monkeypatch) as served:
        yield served


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path) -> Run:
    shutil.copytree(trained, tmp_path / "model")
    return in_process(monkeypatch, capsys, tmp_path)


def test_a_predictor_becomes_a_model_with_a_card_and_predicts_as_before(run: Run, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model/notes.txt").write_text("mine", encoding="utf-8")
    done = run("predictor", "push", "model", REPO)
    assert (done.status, done.err) == (0, "")
    (tag,) = hub.tags[MODEL]
    assert done.out == f"model {REPO}: card.json, model.safetensors; version {tag}\n"
    folder = hub.files(MODEL)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "card.json", "model.safetensors"]
    first, again = (popbench.make("predictor", f"titles,model={path}") for path in (tmp_path / "model", folder))
    assert again.check() == []
    assert again.fingerprint() == first.fingerprint()
    card: Any = huggingface_hub.ModelCard((folder / "README.md").read_text(encoding="utf-8"))
    assert (card.data.library_name, card.data.tags[-1]) == ("popbench", "titles")
    measured = json.loads((tmp_path / "model/card.json").read_text(encoding="utf-8"))["metrics"]["model"]
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results["spearmanr"] == measured["src"]["value"]
    assert results["mae"] == measured["mae"]["value"]
    assert card.data.eval_results[0].dataset_name == "made/test"
    assert f"hf download {REPO} --revision {tag} --local-dir titles" in card.text


def test_no_path_of_this_machine_is_pushed(run: Run, hub: Hub, tmp_path: Path, trained: Path) -> None:
    assert str(trained.parent) in (trained / "card.json").read_text(encoding="utf-8")
    assert run("predictor", "push", "model", REPO, "--private", "--license", "apache-2.0").status == 0
    assert "license: apache-2.0" in (hub.files(MODEL) / "README.md").read_text(encoding="utf-8")
    assert hub.private[MODEL]
    for name in ("card.json", "README.md"):
        assert str(trained.parent) not in (hub.files(MODEL) / name).read_text(encoding="utf-8")
    key = json.loads((trained / "card.json").read_text(encoding="utf-8"))["training"]["key"]
    assert json.loads((hub.files(MODEL) / "card.json").read_text(encoding="utf-8"))["training"]["key"] == key


def test_a_second_push_is_a_version_beside_the_first(run: Run, hub: Hub) -> None:
    assert run("predictor", "push", "model", REPO, "--tag", "v1").status == 0
    taken = run("predictor", "push", "model", REPO, "--tag", "v2")
    assert taken.status == 2
    assert "holds 3 files already" in taken.line
    assert run("predictor", "push", "model", REPO, "--tag", "v2", "--replace").status == 0
    assert list(hub.tags[MODEL]) == ["v1", "v2"]


def test_what_is_no_predictor_or_a_damaged_one_is_told_in_one_line(run: Run, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("predictor", "push", "empty", REPO)
    assert (done.status, done.line) == (
        2, "popbench: empty: no trained predictor (card.json is missing): give the folder of one",
    )  # fmt: skip
    shutil.copytree(tmp_path / "model", tmp_path / "cut")
    with (tmp_path / "cut/model.safetensors").open("ab") as file:
        file.write(b"x")
    assert "not the file that its card describes" in run("predictor", "push", "cut", REPO).line
    edit(tmp_path / "model/card.json", lambda card: card["files"].update({"../secret": {"sha256": "0"}}))
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    assert "not the file that its card describes" in run("predictor", "push", "model", REPO).line
    for content in ("[]", "{}", '{"files": []}', "nonsense", '{"files": {"a": 1}, "kind": "titles"}'):
        (tmp_path / "model/card.json").write_text(content, encoding="utf-8")
        assert "card.json cannot be used" in run("predictor", "push", "model", REPO).line
    assert hub.commits == {}
