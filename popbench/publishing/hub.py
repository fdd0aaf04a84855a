"""Pushes a board to the Hugging Face hub as a data set: the scores of every prompt, and the statistics.

One commit holds everything: Parquet files for `datasets.load_dataset(REPO_ID, "scores")` (or "systems", "pairs"),
board.json, and the board itself as the data set's card.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from popbench.errors import RunError, UsageError, one_line
from popbench.files import read_bytes, read_text
from popbench.leaderboard.flat import flat
from popbench.records import JSON, parts_of
from popbench.scores.scores import Scores
from popbench.text import counted

KIND = "dataset"
CONFIGS = ("scores", "systems", "pairs")


def ready(repo_id: str, *, replace: bool = False) -> None:
    """Check before any work that a board can be pushed; raises UsageError that says what is missing.

    A data set with files in it is refused, unless `replace`.
    """
    import huggingface_hub

    if not huggingface_hub.get_token():
        raise UsageError("--push-to-hub needs a token of the hub: give it with `hf auth login`, or in HF_TOKEN")
    files = _files(repo_id)
    if files and not replace:
        raise UsageError(
            f"{repo_id} holds {counted(len(files), 'file')} already ({', '.join(files[:3])}): --replace writes this "
            "board over them, or choose another name"
        )


def push(repo_id: str, results: Mapping[str, Any], sources: Sequence[Scores], board: Path, *, private: bool) -> str:
    """Push the board in the folder `board`; returns a line that says where it is now.

    `results` is its board.json; `sources` are its scores by predictor, as `merge` returns them. Raises RunError if the
    hub refuses.
    """
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory(prefix="popbench-hub-") as name:
        folder = Path(name)
        _write(folder, results, sources, board)
        try:
            api = HfApi()
            api.create_repo(repo_id, repo_type=KIND, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo_id, folder_path=folder, repo_type=KIND, commit_message="Board built by popbench"
            )
        except Exception as error:  # the client's errors, and those of the HTTP library that it uses
            raise RunError(f"{board} is written, but {repo_id} is not: {one_line(error)}") from error
    return f"data set {repo_id}: {', '.join(CONFIGS)}"


def _files(repo_id: str) -> list[str]:
    """Return the names of a data set's files; none if there is no such data set."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        names = HfApi().list_repo_files(repo_id, repo_type=KIND)
    except RepositoryNotFoundError:
        return []
    except Exception as error:  # the client's errors, and those of the HTTP library that it uses
        raise UsageError(f"the hub cannot be asked for {repo_id}: {one_line(error)}") from error
    return sorted(name for name in names if name != ".gitattributes")


def _write(folder: Path, results: Mapping[str, Any], sources: Sequence[Scores], board: Path) -> None:
    """Write the files of the data set."""
    import datasets

    tables = {  # without empty ones, which `datasets` cannot read: a board of one system has no pairs
        "scores": [row for scores in sources for row in _scores(scores)],
        **{name: [flat(row) for row in results[name]] for name in CONFIGS[1:] if results[name]},
    }
    (folder / "data").mkdir()
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        for name, rows in tables.items():
            columns = dict.fromkeys(key for row in rows for key in row)
            table = datasets.Dataset.from_dict({key: [row.get(key) for row in rows] for key in columns})
            table.to_parquet(folder / "data" / f"{name}.parquet")
    finally:
        if not shown:
            datasets.enable_progress_bars()
    (folder / "board.json").write_bytes(read_bytes(board / "board.json"))
    readme = read_text(board / "README.md")
    (folder / "README.md").write_text(_card(results, readme), encoding="utf-8")


def _card(results: Mapping[str, Any], readme: str) -> str:
    """Return the data set's card: the board with a header for the hub."""
    header = {
        "tags": ["popbench", "leaderboard", *(["demo"] if results["demo"] else [])],
        "configs": [
            {"config_name": name, "data_files": f"data/{name}.parquet", **({"default": True} if not number else {})}
            for number, name in enumerate(CONFIGS)
            if name == "scores" or results[name]
        ],
    }
    # Links to submissions would lead nowhere: their rows are in the table of scores.
    shown = re.sub(r"\[([^\]]*)\]\(submissions/[^)]*\)", r"\1", readme)
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{shown}"


def _scores(scores: Scores) -> Iterator[dict[str, JSON]]:
    """Yield one predictor's scores as rows that `popbench leaderboard build` can read."""
    for row in scores.rows:
        parts = parts_of(row.system)
        mode = parts[1] if parts else None
        task = scores.tasks[row.task]
        yield {
            "system": row.system,
            "task": row.task,
            "prompt_id": row.prompt_id,
            "category": row.category,
            "repeat": row.repeat,
            "status": row.status,
            "popularity": row.popularity,
            "compliance": row.compliance,
            "originality": None if row.copied is None else float(not row.copied),
            "task_hash": task["hash"],
            "task_group": task["group"],
            "task_prompts": task.get("prompts"),
            "predictor": scores.predictor_digest,
            "predictor_name": scores.predictor,
            "unit": scores.unit,
            **({"scale": scores.scale} if scores.scale != "positive" else {}),
            "demo": scores.demo,
            "system_fingerprint": (scores.systems.get(row.system) or {}).get(row.task),
            "mode": mode,
            "mode_name": scores.modes.get(mode or ""),
            "mode_fingerprint": scores.mode_fingerprints.get(mode or "", {}).get(row.task),
        }
