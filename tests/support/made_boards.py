"""Small complete runs on a made-up task, and boards of them: real evaluations that take a second."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import conforming_components
import faults
import popbench
from command_line import Done
from made_tasks import task_file
from popbench.hookspecs import Register
from popbench.publishing.add import add
from popbench.registry import Plugin, load_registry
from popbench.scores.submission import digest_of

ROWS = [{"id": f"p{n:02d}", "prompt": f"A cat that counts to {n}", "category": "ab"[n % 2]} for n in range(12)]
PLAIN: dict[str, Any] = {"gen": "faulty", "predictor": "faulty", "mode": "basic"}


def evaluate(out: Path, rows: Any = ROWS, **changes: Any) -> Path:
    """Run two LLMs, or the given ones, on a task of twelve prompts beside the run."""
    faults.install()
    install()
    task = task_file(out.parent / f"{out.name}-task", rows, name="cats")
    settings = {"llm": ["shotlist", "verbatim"], "task": str(task), **PLAIN, **changes}
    popbench.evaluate(**settings, out=out)
    return out


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("sound", conforming_components.Brightness)


def install() -> None:
    """Register a second predictor that is no demonstration in this process, once."""
    registry = load_registry()
    if not any(plugin.name == "made-boards" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("made-boards", "popbench-made-boards", "1", __name__))


def begin(board: Path, run: Path) -> Path:
    """Make a board called Cats of a run."""
    add(board, run, title="Cats")
    return board


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file by hand."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_samples(run: Path, change: Callable[[dict[str, Any]], object], at: int = 0) -> None:
    """Change one line of a run's samples.jsonl by hand."""
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[at])
    change(row)
    lines[at] = json.dumps(row)
    (run / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def tree(folder: Path) -> Mapping[str, bytes]:
    """Return everything in a folder, hidden files too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if not path.is_dir()}


def submissions(board: Path) -> list[Path]:
    return sorted((board / "submissions").iterdir())


def forge(submission: Path, change: Callable[[Any], object]) -> Path:
    """Change a submission, with a matching digest and name."""
    content = json.loads(submission.read_text(encoding="utf-8"))
    change(content)
    content["sha256"] = digest_of(content)
    stem = submission.stem.rpartition("-")[0]
    submission.unlink()
    forged = submission.with_name(f"{stem}-{content['sha256'][:8]}.json")
    forged.write_text(json.dumps(content), encoding="utf-8")
    return forged


def add_and_die(board: str, run: str, renamed: int) -> None:
    """Add a run in a process that is killed after this many of the board's files are written."""
    import os
    import signal

    replace = Path.replace
    done: list[object] = []

    def dying(self: Path, target: Any) -> Any:
        if len(done) == renamed:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(target)
        return replace(self, target)

    Path.replace = dying  # type: ignore[method-assign]
    sys.stderr = sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - the process's own
    add(Path(board), Path(run))


def reasons(done: Done, board: Path, before: Any) -> list[str]:
    """The reasons why a run was refused; nothing may have been written."""
    assert done.status == 2, done.out
    assert tree(board) == before
    lines = done.err.splitlines()
    assert lines
    assert all(line.startswith("popbench: ") for line in lines)
    return [line.partition(": ")[2].partition(": ")[2] for line in lines]
