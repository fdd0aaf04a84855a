"""Task files: what their YAML and their data may say, and that a mistake is told in one line."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from made_tasks import ROWS, leave_no_traces, loaded, task_file
from popbench.records import Prompt
from popbench.tasks.loading import load_task, load_tasks
from popbench.tasks.schema import DraftRules, read_task_file
from usage_errors import refusal


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    leave_no_traces(monkeypatch, tmp_path_factory)


# -- YAML


def test_a_task_file_gives_prompts_with_ids_and_categories(tmp_path: Path) -> None:
    task = loaded(tmp_path, group="all", description="Mine", draft={"title_max_chars": 30})
    assert (task.name, task.group) == ("mine", "all")
    assert task.prompts[1] == Prompt("p1", "Prompt number 1", "b", "mine")
    assert [prompt.id for prompt in task.prompts] == [row["id"] for row in ROWS]
    assert task.file.draft == DraftRules(title_max_chars=30, clip_seconds=3)
    assert task.template("basic") == tmp_path / "basic.j2"


def test_prompts_without_ids_are_numbered_and_without_categories_are_one_stratum(tmp_path: Path) -> None:
    task = loaded(tmp_path, fields={"prompt": "prompt"})
    assert [(prompt.id, prompt.category) for prompt in task.prompts][:2] == [("0001", "all"), ("0002", "all")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"templatse": {"basic": "basic.j2"}}, "unknown key 'templatse': did you mean 'templates'?"),
        ({"fields": {"promt": "prompt"}}, "unknown key 'promt': did you mean 'prompt'?"),
        ({"fields": {}}, "fields.prompt: "),
        ({"fields": {"prompt": "prompt", "categroy": "x"}}, "unknown key 'categroy': did you mean 'category'?"),
        ({"draft": {"title_max_char": 3}}, "unknown key 'title_max_char': did you mean 'title_max_chars'?"),
        ({"draft": {"title_max_chars": 0}}, "draft.title_max_chars: "),
        ({"draft": {"title_max_chars": "many"}}, "draft.title_max_chars: "),
        ({"draft": [1]}, "draft: "),
        ({"version": [1]}, "version"),
        ({"task": "a b"}, "task: "),
        ({"task": "a|b"}, "task: "),
        ({"task": 3}, "task: "),
        ({"templates": {}}, "templates: "),
        ({"templates": "basic.j2"}, "templates: "),
        ({"templates": {"basic": 3}}, "templates.basic: "),
        ({"dataset": "json"}, "dataset: "),
        ({"where": ["x"]}, "where: "),
        ({"task": None}, "task: "),
        ({"version": None}, "version: "),
        ({"fields": None}, "fields: "),
        ({"dataset": None}, "dataset: "),
        ({"templates": None}, "templates: "),
    ],
)
def test_a_wrong_key_or_type_is_told_with_its_file(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = task_file(tmp_path, **changes)
    message = refusal(lambda: read_task_file(path))
    assert message.startswith(f"{path}: ")
    assert told in message


@pytest.mark.parametrize(
    ("category", "told"),
    [
        ({"block_of": 20, "names": ["a"]}, "'block_of': did you mean 'blocks_of'?"),
        ({"blocks_of": 20, "names": ["a"], "extra": 1}, "'extra'"),
        ({"blocks_of": 20}, "names"),
        ({"blocks_of": 0, "names": ["a"]}, "blocks_of"),
        ({"blocks_of": 3, "names": []}, "names"),
    ],
)
def test_a_mistake_in_category_blocks_is_told_where_it_is(tmp_path: Path, category: Any, told: str) -> None:
    path = task_file(tmp_path, fields={"prompt": "prompt", "category": category})
    assert told in refusal(lambda: read_task_file(path))


@pytest.mark.parametrize("text", ["task: [", "task: a\n\tb: c", "a: b: c", "\x00", "{{ }}"])
def test_a_file_that_is_not_yaml_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    assert refusal(lambda: read_task_file(path)).startswith(f"{path}: not valid YAML")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text", "3"])
def test_a_file_that_is_no_mapping_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    assert "not a task file" in refusal(lambda: read_task_file(path))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(lambda: read_task_file(tmp_path / "missing.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"task: \xff\xfe")
    assert "cannot be read" in refusal(lambda: read_task_file(tmp_path / "binary.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    assert "cannot be read" in refusal(lambda: load_tasks([str(tmp_path / "folder.yaml")]))


def test_yaml_builds_no_python_objects(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("task: !!python/object/apply:os.getcwd []\n")
    assert "not valid YAML" in refusal(lambda: read_task_file(path))


# -- data


def test_a_missing_template_is_told_with_its_mode(tmp_path: Path) -> None:
    path = task_file(tmp_path, templates={"basic": "basic.j2", "pe": "gone.j2"})
    message = refusal(lambda: load_task(path))
    assert "template of mode 'pe' not found" in message
    assert str(tmp_path / "gone.j2") in message


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": {"prompt": "promt"}},
        {"fields": {"prompt": "prompt", "id": "promt"}},
        {"fields": {"prompt": "prompt", "category": "promt"}},
        {"where": {"promt": "x"}},
    ],
)
def test_a_missing_column_is_told_with_those_there_are(tmp_path: Path, changes: dict[str, Any]) -> None:
    message = refusal(lambda: loaded(tmp_path, **changes))
    assert "unknown column 'promt': did you mean 'prompt'?" in message
    assert "category, id, kind, prompt" in message


def test_an_id_given_twice_is_told(tmp_path: Path) -> None:
    message = refusal(lambda: loaded(tmp_path, [*ROWS, ROWS[2]]))
    assert "1 prompt ids occur more than once, for instance 'p2'" in message


@pytest.mark.parametrize("text", ["", "  \n", None, 3])
def test_a_row_without_a_prompt_is_told(tmp_path: Path, text: Any) -> None:
    rows = [{"id": "a", "prompt": text, "category": "c"}]
    if isinstance(text, str) or text is None:
        rows.insert(0, {"id": "b", "prompt": "fine", "category": "c"})
    assert f"row {len(rows)}: the prompt is empty or no text" in refusal(lambda: loaded(tmp_path, rows))


@pytest.mark.parametrize("column", ["id", "category"])
def test_a_row_without_an_id_or_category_is_told(tmp_path: Path, column: str) -> None:
    rows: list[dict[str, Any]] = [dict(row) for row in ROWS]
    rows[3][column] = None
    assert "row 4" in refusal(lambda: loaded(tmp_path, rows))


def test_a_task_without_rows_is_told(tmp_path: Path) -> None:
    assert len(refusal(lambda: loaded(tmp_path, []))) < 400
    (tmp_path / "empty.csv").write_text("id,prompt,category\n")
    path = task_file(tmp_path, dataset={"path": "csv", "data_files": "empty.csv"})
    assert "mine" in refusal(lambda: load_task(path))


def test_where_keeps_the_rows_that_match(tmp_path: Path) -> None:
    assert [prompt.id for prompt in loaded(tmp_path, where={"kind": "y"}).prompts] == ["p3", "p4", "p5"]
    both = loaded(tmp_path, where={"kind": ["x", "y"], "category": "a"})
    assert [prompt.id for prompt in both.prompts] == ["p0", "p2", "p4"]


def test_where_that_matches_no_row_is_told(tmp_path: Path) -> None:
    assert "where: matches no row" in refusal(lambda: loaded(tmp_path, where={"kind": "z"}))


def test_blocks_give_categories_by_position(tmp_path: Path) -> None:
    category = {"blocks_of": 2, "names": ["one", "two", "three"]}
    task = loaded(tmp_path, fields={"prompt": "prompt", "category": category})
    assert [prompt.category for prompt in task.prompts] == ["one", "one", "two", "two", "three", "three"]


def test_blocks_that_do_not_fit_the_rows_are_told(tmp_path: Path) -> None:
    category = {"blocks_of": 2, "names": ["one", "two"]}
    fields = {"prompt": "prompt", "category": category}
    assert "6 rows, but blocks_of: 2 with 2 names needs 4" in refusal(lambda: loaded(tmp_path, fields=fields))


def test_data_that_cannot_be_loaded_is_told_in_one_line(tmp_path: Path) -> None:
    gone = {"path": "json", "data_files": "gone.jsonl"}
    assert "cannot be loaded" in refusal(lambda: loaded(tmp_path, dataset=gone))
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "prompt": \n{"oops')
    bad = {"path": "json", "data_files": "bad.jsonl"}
    assert "cannot be loaded" in refusal(lambda: loaded(tmp_path, dataset=bad))
    assert "dataset needs a path" in refusal(lambda: loaded(tmp_path, dataset={"data_files": "mine.jsonl"}))


def test_a_split_that_is_not_there_is_told(tmp_path: Path) -> None:
    dataset = {"path": "json", "data_files": {"train": "mine.jsonl"}, "split": "test"}
    assert "test" in refusal(lambda: loaded(tmp_path, dataset=dataset))


def test_paths_in_a_task_file_are_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep" / "er"
    path = task_file(folder)
    (tmp_path / "data").mkdir()
    (folder / "mine.jsonl").rename(tmp_path / "data" / "rows.jsonl")
    (folder / "basic.j2").rename(tmp_path / "deep" / "basic.j2")
    task_file_text = path.read_text().replace("mine.jsonl", "../../data/rows.jsonl").replace("basic.j2", "../basic.j2")
    path.write_text(task_file_text)
    monkeypatch.chdir(tmp_path)
    (task,) = load_tasks(["deep/er/mine.yaml"])
    assert len(task.prompts) == 6
    assert task.template("basic").is_file()


def test_a_data_set_may_be_a_folder_beside_the_file(tmp_path: Path) -> None:
    path = task_file(tmp_path, dataset={"path": "rows"})
    (tmp_path / "rows").mkdir()
    (tmp_path / "mine.jsonl").rename(tmp_path / "rows" / "train.jsonl")
    assert len(load_task(path).prompts) == 6


@pytest.mark.parametrize("split", [None, "train", "other"])
def test_a_data_set_may_be_a_folder_that_save_to_disk_wrote(tmp_path: Path, split: str | None) -> None:
    import datasets

    data = datasets.Dataset.from_list(ROWS)
    if split is None:
        data.save_to_disk(tmp_path / "saved")
    else:
        datasets.DatasetDict({"train": data, "other": data.select([0, 1])}).save_to_disk(tmp_path / "saved")
    path = task_file(tmp_path, dataset={"path": "saved", **({} if split is None else {"split": split})})
    task = load_task(path)
    assert [prompt.id for prompt in task.prompts] == [row["id"] for row in ROWS[: 2 if split == "other" else 6]]
    assert split == "other" or task.hash == load_task(task_file(tmp_path / "plain")).hash


def test_a_saved_data_set_without_the_split_or_with_files_elsewhere_is_told(tmp_path: Path) -> None:
    import datasets

    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "saved")
    path = task_file(tmp_path, dataset={"path": "saved", "split": "tran"})
    assert "unknown split 'tran': did you mean 'train'?" in refusal(lambda: load_task(path))
    state = tmp_path / "saved/train/state.json"
    whole = state.read_text(encoding="utf-8")
    path = task_file(tmp_path, dataset={"path": "saved"})
    for name in ("../../elsewhere.arrow", "..", "/dev/zero", "", 3):
        state.write_text(whole.replace('"data-00000-of-00001.arrow"', json.dumps(name)), encoding="utf-8")
        assert "which is no file in it" in refusal(lambda: load_task(path))
    for text in ("", "[]", "{}"):
        state.write_text(text, encoding="utf-8")
        assert "no data set that save_to_disk wrote" in refusal(lambda: load_task(path))


def test_a_folder_beside_the_file_that_is_named_like_a_format_does_not_hide_it(tmp_path: Path) -> None:
    path = task_file(tmp_path)
    (tmp_path / "json").mkdir()
    assert len(load_task(path).prompts) == 6


def test_changed_data_is_seen(tmp_path: Path) -> None:
    path = task_file(tmp_path)
    before = load_task(path)
    task_file(tmp_path, [{**row, "prompt": f"Prompt namber {n}"} for n, row in enumerate(ROWS)])
    assert load_task(path).hash != before.hash


def test_loading_local_data_asks_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[object] = []

    def refuse(host: object, *_: object, **__: object) -> object:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", True)
    loaded(tmp_path)
    load_tasks(["popcorn"])
    assert asked == []


def test_local_data_loads_where_no_cache_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file" / "cache")
    assert len(loaded(tmp_path).prompts) == 6
