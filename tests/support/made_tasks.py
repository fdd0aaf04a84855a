"""Made-up tasks for tests: a task file with its data and template, loaded without writing elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from popbench.tasks.loading import load_task
from popbench.tasks.task import Task

TEMPLATE = "{% block system %}Be brief.{% endblock %}{% block user %}{{ prompt }}{% endblock %}"
ROWS = [
    {"id": f"p{n}", "prompt": f"Prompt number {n}", "category": "ab"[n % 2], "kind": "xy"[n // 3]} for n in range(6)
]


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


def leave_no_traces(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set a temporary folder for the caches of `datasets`, and turn off its telemetry."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
