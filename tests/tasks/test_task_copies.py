"""Local copies of a hub data set: every form of a copy gives the same task."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_tasks import leave_no_traces
from popbench.planning.config import EvalConfig
from popbench.planning.resolve import make_plan
from popbench.tasks.loading import load_tasks
from usage_errors import refusal


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    leave_no_traces(monkeypatch, tmp_path_factory)


CATEGORIES = ["Anime", "Delicacy", "Daily Sharing", "Film and TV", "Game"]

HUB_ROWS = [
    {"type": kind, "prompt": f"Make a {kind} video about {category}, number {number}"}
    for kind in ("abstract", "concrete")
    for category in CATEGORIES
    for number in range(20)
]


def write_copy(folder: Path, form: str) -> Path:
    import datasets
    import pandas as pd

    frame = pd.DataFrame(HUB_ROWS)
    data = datasets.Dataset.from_list(HUB_ROWS)
    file = folder / f"prompts.{form}"
    if form == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    elif form == "json":
        frame.to_json(file, orient="records")
    elif form == "csv":
        frame.to_csv(file, index=False)
    elif form == "tsv":
        frame.to_csv(file, index=False, sep="\t")
    elif form == "parquet":
        frame.to_parquet(file)
    elif form == "folder":
        file = folder / "clone"
        (file / "data").mkdir(parents=True)
        frame.to_parquet(file / "data" / "train-00000-of-00001.parquet")
        (file / "README.md").write_text("---\nlicense: mit\n---\n# Prompts\n")
    elif form == "folder of csv":
        file = folder / "csv"
        file.mkdir()
        frame.to_csv(file / "llmpopcorn_prompts.csv", index=False)
    elif form == "saved":
        file = folder / "saved"
        data.save_to_disk(str(file))
    else:
        file = folder / "saved-dict"
        datasets.DatasetDict(train=data).save_to_disk(str(file))
    return file


@pytest.mark.parametrize(
    "form", ["jsonl", "json", "csv", "tsv", "parquet", "folder", "folder of csv", "saved", "saved dict"]
)
def test_a_hub_task_loads_from_a_local_copy(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = write_copy(tmp_path, form)
    monkeypatch.chdir(tmp_path)
    for path in (copy, copy.relative_to(tmp_path)):
        (task,) = load_tasks([f"llmpopcorn_concrete,path={path}"])
        assert [prompt.text for prompt in task.prompts] == [row["prompt"] for row in HUB_ROWS[100:]]
        assert [prompt.category for prompt in task.prompts] == [name for name in CATEGORIES for _ in range(20)]
        assert [prompt.id for prompt in task.prompts][::99] == ["0001", "0100"]


def test_all_forms_of_a_copy_have_one_hash(tmp_path: Path) -> None:
    hashes = set()
    for form in ("jsonl", "csv", "parquet", "saved dict"):
        tasks = load_tasks([f"llmpopcorn,path={write_copy(tmp_path, form)}"])
        hashes.add(tuple(task.hash for task in tasks))
    assert len(hashes) == 1
    assert len(set(hashes.pop())) == 2


@pytest.mark.parametrize(
    ("name", "told"), [("gone", "no such file or folder"), ("a.xlsx", "cannot be loaded as a data set"), ("e", "empty")]
)
def test_a_copy_that_is_no_data_is_told(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "a.xlsx").write_text("x")
    (tmp_path / "e").mkdir()
    message = refusal(lambda: load_tasks([f"llmpopcorn_concrete,path={tmp_path / name}"]))
    assert told in message.lower()


def test_a_copy_with_other_columns_or_rows_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("kind,prompt\nconcrete,x\n")
    assert "unknown column 'type'" in refusal(lambda: load_tasks([f"llmpopcorn_concrete,path={tmp_path / 'a.csv'}"]))
    (tmp_path / "b.csv").write_text("type,prompt\nconcrete,x\n")
    assert "1 rows, but blocks_of: 20" in refusal(
        lambda: load_tasks([f"llmpopcorn_concrete,path={tmp_path / 'b.csv'}"])
    )


def test_a_copy_makes_the_plan_of_a_run(tmp_path: Path) -> None:
    copy = write_copy(tmp_path, "csv")
    plan = make_plan(EvalConfig(task=(f"llmpopcorn,path={copy}",), limit=5))
    assert {name: [prompt.category for prompt in prompts] for name, prompts in plan.prompts.items()} == {
        "llmpopcorn_abstract": CATEGORIES,
        "llmpopcorn_concrete": CATEGORIES,
    }
