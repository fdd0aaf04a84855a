"""A board as a data set of the Hugging Face hub: the scores of every prompt, and the statistics.

Parquet files for `datasets.load_dataset(REPO_ID, "scores")` (or "systems", "pairs", "clips"), which the hub's viewer
shows too, board.json, and the board itself as the data set's card.
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
from popbench.interfaces import TrackedClip
from popbench.leaderboard.flat import flat
from popbench.publishing.hub import Repository, version_of
from popbench.records import JSON, Sample, parts_of
from popbench.runs.run_json import FILE
from popbench.runs.samples import read_jsonl
from popbench.scores.scores import Scores
from popbench.tracking.clips import clip_of

CONFIGS = ("scores", "systems", "pairs")
CLIPS = "clips"
_OWNED = ("data/*", "board.json")
_CLIPS_AT_ONCE = 16


def push(
    to: Repository,
    results: Mapping[str, Any],
    sources: Sequence[Scores],
    board: Path,
    clips: Sequence[tuple[TrackedClip, str]] = (),
) -> str:
    """Push the board in the folder `board`; returns a line that says where it is now.

    `results` is its board.json; `sources` are its scores by predictor, as `merge` returns them; `clips` are those of
    `chosen_clips`. Raises RunError if the hub refuses.
    """
    with tempfile.TemporaryDirectory(prefix="popbench-hub-") as name:
        folder = Path(name)
        try:
            configs = _write(folder, results, sources, board, clips)
            tag = to.tag or version_of(folder)
            card = _card(results, read_text(board / "README.md"), configs, to, tag)
            (folder / "README.md").write_text(card, encoding="utf-8")
        except OSError as error:
            raise RunError(f"{board} is written, but {to.id} is not: {one_line(error)}") from error
        to.push(folder, f"Board built by popbench: {tag}", _OWNED, f"{board} is written")
    return f"data set {to.id}: {', '.join(configs)}; version {tag}"


def chosen_clips(sources: Sequence[Path], prompts: int) -> list[tuple[TrackedClip, str]]:
    """Return the clips of the first prompts of each run among `sources`, all systems of a prompt, with its words.

    Raises UsageError if there are none.
    """
    chosen: list[tuple[TrackedClip, str]] = []
    for run in (source for source in sources if (source / FILE).is_file()):
        shown: dict[tuple[str, str], list[tuple[TrackedClip, str]]] = {}
        for sample in read_jsonl(run / "samples.jsonl"):
            if _is_shown(shown, sample, prompts) and (clip := clip_of(run, sample)) is not None:
                shown.setdefault((sample.task, sample.prompt_id), []).append((clip, sample.prompt))
        chosen += [clip for of_prompt in shown.values() for clip in of_prompt]
    if not chosen:
        raise UsageError("--clips: none of the sources is a run with clips: give run directories, or leave it out")
    return chosen


def _is_shown(shown: Mapping[tuple[str, str], object], sample: Sample, prompts: int) -> bool:
    return (sample.task, sample.prompt_id) in shown or len(shown) < prompts


def _write(
    folder: Path,
    results: Mapping[str, Any],
    sources: Sequence[Scores],
    board: Path,
    clips: Sequence[tuple[TrackedClip, str]],
) -> list[str]:
    """Write the files of the data set, but for its card; return the names of its tables."""
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
            # Without columns of nothing, which have no type: the viewer refuses a file whose types have changed.
            columns = dict.fromkeys(key for row in rows for key, value in row.items() if value is not None)
            table = datasets.Dataset.from_dict({key: [row.get(key) for row in rows] for key in columns})
            table.to_parquet(folder / "data" / f"{name}.parquet")
    finally:
        if not shown:
            datasets.enable_progress_bars()
    (folder / "board.json").write_bytes(read_bytes(board / "board.json"))
    if clips:
        _write_clips(folder / "data" / f"{CLIPS}.parquet", clips)
    return [*tables, *([CLIPS] if clips else [])]


def _write_clips(file: Path, clips: Sequence[tuple[TrackedClip, str]]) -> None:
    """Write a table of clips with their mp4 in it, a few rows at a time: `datasets` reads one format per data set."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = dict.fromkeys(("system", "task", "prompt_id", "prompt", "title"), datasets.Value("string"))
    numbers = {"repeat": datasets.Value("int64"), "popularity": datasets.Value("float64")}
    schema = datasets.Features({"video": datasets.Video(), **texts, **numbers}).arrow_schema
    with pq.ParquetWriter(file, schema) as writer:
        for start in range(0, len(clips), _CLIPS_AT_ONCE):
            rows = [
                {
                    "video": {"bytes": read_bytes(clip.path), "path": f"{number:05d}.mp4"},
                    "prompt": prompt,
                    **{name: getattr(clip, name) for name in (*texts, *numbers) if name != "prompt"},
                }
                for number, (clip, prompt) in enumerate(clips[start : start + _CLIPS_AT_ONCE], start)
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _card(results: Mapping[str, Any], readme: str, configs: Sequence[str], to: Repository, tag: str) -> str:
    """Return the data set's card: the board, with a header for the hub and how to load it."""
    heading = re.search(r"^# (.+)$", readme, re.MULTILINE)
    header: dict[str, JSON] = {
        "pretty_name": re.sub(r"\\(.)", r"\1", heading[1]) if heading else "Leaderboard",
        **to.terms,
        "task_categories": ["text-to-video"],
        "tags": ["popbench", "leaderboard", *(["demo"] if results["demo"] else [])],
        "configs": [
            {
                "config_name": name,
                "data_files": f"data/{name}.parquet",
                **({"default": True} if not number else {}),
            }
            for number, name in enumerate(configs)
        ],
    }
    # Links to submissions would lead nowhere: their rows are in the table of scores.
    shown = re.sub(r"\[([^\]]*)\]\(submissions/[^)]*\)", r"\1", readme)
    load = (
        "## Load it\n\n```python\nimport datasets\n\n"
        f'scores = datasets.load_dataset("{to.id}", "scores", revision="{tag}")\n```\n\n'
        f"Configurations: {', '.join(f'`{name}`' for name in configs)}. Version `{tag}`; the board's numbers are in "
        "`board.json`.\n"
    )
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{shown.rstrip()}\n\n{load}"


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
