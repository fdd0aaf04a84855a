"""Samples of a run that has no samples.jsonl yet, from its ledger: what is new since the last look, and nothing twice.

The prompts are not in the ledger. They are those of the task of the same name and hash, where it is installed here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from popbench.errors import PopbenchError, UsageError, damage
from popbench.keys import clip_name
from popbench.ledger.ledger import STAGES, Ledger, StageKey
from popbench.pipeline.ledger_view import RESULT_COLUMNS, StageResult, read_result
from popbench.planning.human import NAME as HUMAN
from popbench.planning.systems import made_by
from popbench.records import JSON, Prompt, Sample
from popbench.runs.collect import assemble
from popbench.runs.made_by import digests, harness_of, makers, mode_of
from popbench.runs.run_json import RunJson, read_run_json, scale_of
from popbench.runs.samples import make_sample
from popbench.runs.status_reading import is_here
from popbench.tasks.loading import load_task, registered_tasks
from popbench.view.clips import clip_file
from popbench.view.finished import DAMAGE, number_of, text_of
from popbench.view.index import LONGEST, Index, Row

PENDING = "not done yet"
_OVERLAP = 30.0
"""Seconds before the latest result from which on results are read again: they are timed before they are committed."""
_TITLE, _SCORE = "json_extract(d0.value, '$.title')", "json_extract(c{n}.payload, '$.popularity')"


class _Line(NamedTuple):
    """A system on a task: the keys of its stages in the ledger, of scores one for each predictor."""

    system: str
    task: str
    keys: tuple[StageKey, ...]
    predictors: tuple[str, ...]


class SamplesAtWork:
    """The samples of a run as its ledger has them; `refresh` reads what is new."""

    def __init__(self, path: Path, holder: Callable[[], str | None]) -> None:
        """Index the run at `path`; `holder` names the process that is at work on it, if any."""
        self.index = Index()
        self.problem: str | None = None
        self.ready = threading.Event()
        self.complete = False
        self.done = self.total = 0
        self._path, self._holder = path, holder
        self._lock = threading.Lock()
        self._since: dict[StageKey, float] = {}
        self._counts: dict[StageKey, list[JSON]] = {}
        self._prompts: dict[str, dict[str, Prompt]] = {}
        self._over = False
        threading.Thread(target=self.refresh, name=f"index of {path.name}", daemon=True).start()

    def refresh(self) -> None:
        """Add what was settled since the last look; what is wrong with the run becomes `problem`."""
        if self._over or not self._lock.acquire(blocking=False):  # another thread is at it
            return
        try:
            run_json = read_run_json(self._path)
            self._read(run_json)
            if self._load_prompts(run_json):
                self._since.clear()
                self._counts.clear()
                self._read(run_json)
            self.problem = None
        except PopbenchError as error:
            self.problem = str(error)
        except DAMAGE as error:
            self.problem = f"the run cannot be read ({damage(error)})"
        finally:
            self._lock.release()
            self.complete = True
            self.ready.set()

    def sample(self, row: Row) -> Sample | str:
        """Return a sample as far as it is done, or in one line why it cannot be read."""
        try:
            run_json = read_run_json(self._path)
            ledger = self._ledger()
            if ledger is None:
                return PENDING
            with closing(ledger):
                for line in _lines(run_json, ledger):
                    if (line.system, line.task) == (row.system, row.task):
                        return _whole(run_json, ledger, line, row, self._prompts.get(row.task, {}))
            return "no such sample"
        except PopbenchError as error:
            return str(error)
        except DAMAGE as error:
            return f"it cannot be read ({damage(error)})"

    def close(self) -> None:
        """End the reading, and give the memory back."""
        self._over = True
        with self._lock:
            self.index.close()

    def _ledger(self) -> Ledger | None:
        path, held = self._path / "ledger.sqlite", self._holder()
        if held is not None and not is_here(held):  # SQLite's processes share memory, and this one would not
            raise UsageError("it is at work on another machine: its samples can be read when it has ended")
        return None if path.is_symlink() else Ledger.peek(path, at_rest=held is None)

    def _read(self, run_json: RunJson) -> None:
        ledger = self._ledger()
        if ledger is None:
            return
        with closing(ledger):
            counts: dict[StageKey, list[JSON]] = {}
            for key, *of in ledger.sums():
                counts.setdefault(key, []).append(of)
            for line in _lines(run_json, ledger):
                if any(counts.get(key) != self._counts.get(key) for key in line.keys):
                    self._read_line(ledger, line)
            self._counts = counts

    def _read_line(self, ledger: Ledger, line: _Line) -> None:
        changed: dict[tuple[str, int], float] = {}
        since: dict[StageKey, float] = {}
        for key in line.keys:
            before = self._since.get(key, 0.0)
            for prompt, repeat, at in ledger.settled_since(key, before - _OVERLAP):
                changed[prompt, repeat] = max(at, changed.get((prompt, repeat), 0.0))
                since[key] = max(at, since.get(key, before))
        prompts = self._prompts.get(line.task, {})
        scores = range(2, len(line.keys))
        columns = ["d0.status", _TITLE]
        columns += ["d1.key", "d1.status"] if len(line.keys) > 1 else []
        columns += [f"{name.format(n=n)}" for n in scores for name in ("d{n}.status", _SCORE)]
        rows: list[Row] = []
        for prompt, repeat, *of in ledger.rows(line.keys, ", ".join(columns), changed):
            if self._over:
                return
            rows.append(_row(line, prompts.get(prompt), prompt, repeat, changed[prompt, repeat], of))
            if len(rows) >= 1000:
                self.index.put(rows)
                self.ready.set()
                rows = []
        self.index.put(rows)
        now = time.time() + 60  # of a clock that was ahead for a while nothing is to be remembered
        self._since.update({key: min(at, now) for key, at in since.items()})

    def _load_prompts(self, run_json: RunJson) -> bool:
        """Look up the prompts of tasks, which takes seconds; return whether there are any that were not known."""
        missing = [task for task in run_json["tasks"] if task not in self._prompts]
        for task in missing:
            self._prompts[task] = _prompts(task, run_json["tasks"][task]["hash"])
        return any(self._prompts[task] for task in missing)


def _prompts(name: str, hash_: str) -> dict[str, Prompt]:
    """Return the prompts of an installed task by id; none if it is another task, or cannot be loaded."""
    for listed in registered_tasks():
        if listed.file is not None and listed.file.task == name:
            try:
                task = load_task(listed.path)
            except (PopbenchError, OSError):
                continue
            if task.hash == hash_:
                return {prompt.id: prompt for prompt in task.prompts}
    return {}


def _lines(run_json: RunJson, ledger: Ledger) -> Iterator[_Line]:
    """Yield the systems of a run on its tasks, with the keys under which the ledger has their results."""
    parts, harness = digests(run_json), harness_of(run_json)
    stop = run_json["config"].get("stop_after")
    predictors = () if stop else tuple(run_json["predictors"])
    for system, by_task in run_json["systems"].items():
        makers_of = [parts[name] for name in makers(system)]
        chains = [makers_of[:1]] if stop == "write" else [makers_of[:1], makers_of]
        chains += [[*makers_of, parts[f"predictor {predictor}"]] for predictor in predictors]
        for task in by_task:
            hash_ = run_json["tasks"][task]["hash"]
            mode = mode_of(run_json, system, task)
            made = [made_by(*chain, rendered=len(chain) > 1, harness=harness) for chain in chains]
            for fingerprint in ledger.modes(made[0], hash_) if mode is None else [mode]:
                keys = [
                    StageKey(digest, hash_, fingerprint, STAGES[len(chain) - 1])
                    for digest, chain in zip(made, chains, strict=True)
                ]
                yield _Line(system, task, tuple(keys), predictors)


def _row(line: _Line, prompt: Prompt | None, prompt_id: str, repeat: int, at: float, of: Sequence[Any]) -> Row:
    """Return a line of the index; `of` are status and title of the draft, key and status of the clip, then scores."""
    (draft, title), clip, scores = of[:2], of[2:4], of[4:]
    status = "ok" if draft == "ok" else "invalid"
    key = None
    if status == "ok" and clip:
        status = "drafted" if clip[1] is None else "invalid" if clip[1] != "ok" else "ok"
        key = clip[0] if status == "ok" else None
    if status == "ok" and scores:
        status = "rendered" if None in scores[::2] else "ok" if scores[0] == "ok" else "invalid"
    return Row(
        system=text_of(line.system),
        task=text_of(line.task),
        prompt_id=text_of(prompt_id),
        repeat=int(repeat),
        category=text_of(prompt.category if prompt else ""),
        status=status,
        score=number_of(scores[1]) if scores else None,
        at=float(at),
        title=text_of(title or "")[:LONGEST],
        prompt=text_of(prompt.text if prompt else "")[:LONGEST],
        clip=None if key is None else clip_file(f"videos/{clip_name(key)}"),
        error=None,
        offset=0,
    )


def _whole(run_json: RunJson, ledger: Ledger, line: _Line, row: Row, prompts: Mapping[str, Prompt]) -> Sample:
    """Read all that the ledger has of a sample."""
    columns = ", ".join(RESULT_COLUMNS.format(n=n) for n in range(len(line.keys)))
    ((_, _, *of),) = ledger.rows(line.keys, columns, [(row.prompt_id, row.repeat)])
    results: list[StageResult | str] = [
        read_result(ledger, key.stage, of[5 * n : 5 * n + 5]) or PENDING for n, key in enumerate(line.keys)
    ]
    real = [predictor for predictor in line.predictors if scale_of(run_json, predictor) == "real"]
    fields = assemble(
        results[0],
        results[1] if len(results) > 1 else PENDING,
        dict.fromkeys(run_json["predictors"], PENDING) | dict(zip(line.predictors, results[2:], strict=True)),
        human=line.system == HUMAN,
        stop_after=run_json["config"].get("stop_after"),
        real=real,
    )
    llm, mode, generator = line.system.split("|") if line.system != HUMAN else (None, None, None)
    prompt = prompts.get(row.prompt_id) or Prompt(row.prompt_id, row.prompt, row.category, row.task)
    extra = {**prompt.extra, **fields.get("extra", {})}
    about = {"system": row.system, "llm": llm, "mode": mode, "generator": generator, "task": row.task}
    made = {"prompt_id": prompt.id, "prompt": prompt.text, "category": prompt.category, "repeat": row.repeat}
    if fields.get("error") == PENDING:
        fields["error"] = None
    return make_sample({**about, **made, **fields, "extra": extra})
