"""Task files: what they may say, what is refused, and what makes two tasks the same."""

from __future__ import annotations

import csv
import json
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import popbench
from popbench.errors import UsageError
from popbench.hookspecs import RegisterTasks
from popbench.plan import EvalConfig, make_plan
from popbench.records import Prompt
from popbench.registry import Plugin, load_registry
from popbench.tasks import DraftRules, Fields, Task, TaskFile, load_task, load_tasks, read_task_file

TEMPLATE = "{% block system %}Be brief.{% endblock %}{% block user %}{{ prompt }}{% endblock %}"
ROWS = [
    {"id": f"p{n}", "prompt": f"Prompt number {n}", "category": "ab"[n % 2], "kind": "xy"[n // 3]} for n in range(6)
]
CATEGORIES = ["Anime", "Delicacy", "Daily Sharing", "Film and TV", "Game"]


def task_file(folder: Path, rows: Sequence[Any] = ROWS, name: str = "mine", **changes: Any) -> Path:
    """Write a task with its data and template; a change to None leaves the key out."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "basic.j2").write_text(TEMPLATE, encoding="utf-8")
    content = {
        "task": name,
        "version": 1,
        "dataset": {"path": "json", "data_files": f"{name}.jsonl", "split": "train"},
        "fields": {"id": "id", "prompt": "prompt", "category": "category"},
        "templates": {"basic": "basic.j2"},
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def loaded(folder: Path, rows: Sequence[Any] = ROWS, **changes: Any) -> Task:
    return load_task(task_file(folder, rows, **changes))


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Caches of `datasets` go to a temporary folder, and no download is counted."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)


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


# -- hash


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"name": "other"},
        {"draft": {"title_max_chars": 49}},
        {"draft": {"clip_seconds": 4}},
        {"where": {"kind": "x"}},
        {"fields": {"id": "id", "prompt": "prompt"}},
        {"fields": {"prompt": "prompt", "category": "category"}},
        {"rows": ROWS[:-1]},
        {"rows": ROWS[::-1]},
        {"rows": [*ROWS[:-1], {**ROWS[-1], "prompt": "Prompt number 5!"}]},
        {"rows": [*ROWS[:-1], {**ROWS[-1], "category": "c"}]},
        {"rows": [*ROWS[:-1], {**ROWS[-1], "id": "p6"}]},
    ],
)
def test_the_hash_changes_with_what_is_compared(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert loaded(tmp_path / "a", **changes).hash != loaded(tmp_path / "b").hash


def test_the_hash_stays_with_what_is_not_compared(tmp_path: Path) -> None:
    task = loaded(tmp_path / "a")
    other = loaded(
        tmp_path / "b",
        [{**row, "kind": "another"} for row in ROWS],
        description="Words about it",
        group="friends",
        draft={"title_max_chars": 50, "clip_seconds": 3},
        version="1",
    )
    assert other.hash == task.hash
    rows = tmp_path / "b" / "rows.csv"
    with rows.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    path = task_file(tmp_path / "b", dataset={"path": "csv", "data_files": "rows.csv"})
    assert load_task(path).hash == task.hash
    (tmp_path / "b" / "basic.j2").write_text(TEMPLATE + "Another wording.")
    assert load_task(path).hash == task.hash


# -- limits


def made(categories: Sequence[str]) -> Task:
    file = TaskFile(task="t", version=1, dataset={}, fields=Fields(prompt="p"), templates={"basic": "b"})
    return Task(file, Path(), tuple(Prompt(f"p{n}", "x", name, "t") for n, name in enumerate(categories)))


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=30))
def test_a_limit_is_nested_and_goes_round_robin_over_the_categories(categories: list[str]) -> None:
    task = made(categories)
    sizes = Counter(categories)
    before: set[str] = set()
    for limit in range(1, len(categories) + 3):
        chosen = task.limited(limit)
        ids = [prompt.id for prompt in chosen]
        assert len(ids) == min(limit, len(categories))
        assert before <= set(ids)
        assert ids == sorted(ids, key=lambda id_: int(id_[1:]))
        before = set(ids)
        counts = Counter(prompt.category for prompt in chosen)
        for one, size in sizes.items():
            first = [prompt.id for prompt in task.prompts if prompt.category == one][: counts[one]]
            assert [prompt.id for prompt in chosen if prompt.category == one] == first
            if counts[one] < size:
                assert counts[one] >= max(counts.values()) - 1
    assert task.limited(None) == task.prompts


def test_the_first_of_each_category_come_first() -> None:
    chosen = made("aaabbc").limited(4)
    assert [prompt.id for prompt in chosen] == ["p0", "p1", "p3", "p5"]


# -- finding tasks


def test_a_task_a_group_a_file_and_a_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = task_file(tmp_path / "f", name="one"), task_file(tmp_path / "f" / "sub", name="two")
    monkeypatch.chdir(tmp_path)
    assert [task.name for task in load_tasks(["popcorn_concrete"])] == ["popcorn_concrete"]
    assert [task.name for task in load_tasks(["popcorn"])] == ["popcorn_abstract", "popcorn_concrete"]
    assert [task.name for task in load_tasks([str(first)])] == ["one"]
    assert [task.name for task in load_tasks(["f"])] == ["one", "two"]
    assert [task.name for task in load_tasks(["f/"])] == ["one", "two"]
    assert [task.name for task in load_tasks(["f", str(first), "popcorn_concrete"])] == [
        "one",
        "two",
        "popcorn_concrete",
    ]
    assert [task.name for task in load_tasks(["popcorn_concrete", "popcorn"])] == [
        "popcorn_concrete",
        "popcorn_abstract",
    ]


def test_an_installed_task_is_not_hidden_by_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_file(tmp_path / "popcorn", name="one")
    monkeypatch.chdir(tmp_path)
    assert len(load_tasks(["popcorn"])) == 2
    assert [task.name for task in load_tasks(["./popcorn"])] == ["one"]


def test_a_file_whose_path_has_an_equals_sign_or_comma_can_be_named(tmp_path: Path) -> None:
    path = task_file(tmp_path / "seed=1,size=2", name="one")
    assert [task.name for task in load_tasks([str(path)])] == ["one"]


def test_an_unknown_task_is_told_with_tasks_and_groups(tmp_path: Path) -> None:
    message = refusal(lambda: load_tasks(["popcorn_concret"]))
    assert "did you mean 'popcorn_concrete'?" in message
    for name in ("popcorn,", "popcorn_abstract", "llmpopcorn"):
        assert name in message


def test_a_folder_without_tasks_and_a_broken_one_are_told(tmp_path: Path) -> None:
    assert "no task file" in refusal(lambda: load_tasks([str(tmp_path)]))
    task_file(tmp_path, name="fine")
    task_file(tmp_path, name="bad", versoin=1)
    assert "versoin" in refusal(lambda: load_tasks([str(tmp_path)]))


def test_an_unknown_option_of_a_task_is_told(tmp_path: Path) -> None:
    message = refusal(lambda: load_tasks(["popcorn_concrete,pth=x"]))
    assert "unknown option of task popcorn_concrete 'pth': did you mean 'path'?" in message


def test_two_different_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    one, two = task_file(tmp_path / "a"), task_file(tmp_path / "b", ROWS[:3])
    assert "'mine'" in refusal(lambda: load_tasks([str(one), str(two)]))


def test_two_tasks_of_one_name_that_differ_in_templates_are_refused(tmp_path: Path) -> None:
    one, two = task_file(tmp_path / "a"), task_file(tmp_path / "b")
    (tmp_path / "b" / "basic.j2").write_text(TEMPLATE.replace("brief", "verbose"))
    assert "'mine'" in refusal(lambda: load_tasks([str(one), str(two)]))


def test_a_task_that_two_plugins_register_is_refused_by_name_and_the_rest_works(tmp_path: Path) -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_tasks(register: RegisterTasks) -> None:
            register(tmp_path / "a")
            register(tmp_path / "b")

    task_file(tmp_path / "a", name="twice_registered")
    task_file(tmp_path / "b", name="twice_registered")
    task_file(tmp_path / "b", name="once_registered")
    task_file(tmp_path / "b", name="broken_registered", versoin=1)
    registry = load_registry()
    registry.add(Module, Plugin("t", "t", "1", "t"))
    try:
        message = refusal(lambda: load_tasks(["twice_registered"]))
        assert str(tmp_path / "a") in message
        assert str(tmp_path / "b") in message
        assert [task.name for task in load_tasks(["once_registered"])] == ["once_registered"]
        assert "versoin" in refusal(lambda: load_tasks(["broken_registered"]))
    finally:
        registry.plugins.pop()
        del registry.task_folders[-2:]


# -- local copies of a hub data set


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
