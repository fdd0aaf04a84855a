"""Merging the shards of a run into the whole run: ledgers and clips first, then the files that `eval` writes.

The shards are not changed. A merge that was killed goes on when it is given again: each clip is put into place whole
and before the rows that name it, and the rows of a shard are taken over all at once.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.evaluation.finish import finish
from popbench.files import copy_whole, read_lines, sha256
from popbench.keys import clip_name
from popbench.ledger.ledger import Call, Ledger
from popbench.pipeline.items import ResultErrors, SampleKey
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.config import read_config
from popbench.planning.foreign_specs import SPECS
from popbench.planning.plan import Plan
from popbench.planning.resolve import make_plan
from popbench.progress import Progress
from popbench.records import JSON
from popbench.runs.directory import HeldDirectory, RunDirectory
from popbench.runs.run import Run
from popbench.runs.run_json import FILE, describe, describe_merged
from popbench.runs.shards import Shard, as_recorded, check_alike, read_shards, whole_config
from popbench.tasks.task import Task
from popbench.text import counted

STAGE = "merge shards"
_TOLD = 3
_ERROR = '"status":"error"'


def merge(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    link: bool = False,
    task: str | Sequence[str] | None = None,
    config: str | Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Merge the shards of a run, or go on with that, and return the whole run.

    Args:
        runs: the shards' run directories, in any order. Those that are missing are told of in `Run.problems`, as are
            samples without a result; merging again, also the missing ones alone, adds what has come since.
        out: the directory of the whole run; by default beside the shards, by their name.
        link: link clips instead of copying them, so that both runs share the bytes.
        task: the tasks of the run, where the shards name them by a path: what a run names is not looked up elsewhere.
        config: a file that names components and tasks of the run, for the same reason; a shard's own run.json says
            that it is to be believed.
        progress: where to tell how it goes.

    Raises:
        UsageError: these are no shards of one run, or one of them is in use or was changed by hand. If that is found
            only after others were taken over, they are kept, and the same call goes on.
        RunError: the merge could not go on (for instance a full disk); the same call goes on.
    """
    progress, started = progress or Progress(), time.time()
    shards = read_shards([Path(run) for run in runs])
    entries = [shard.entry for shard in shards]
    target = _target(shards, None if out is None else Path(out))
    given = _given(task, config)
    plan = make_plan(whole_config(shards[0], None if out is None else target, given))
    plan.config = as_recorded(plan.config, shards[0], given)
    with closing(plan):
        if plan.corpus is not None and any(shard.run_json.get("references") for shard in shards):
            _load_references(plan, progress)
        check_alike(shards[0], describe(plan, 0), "what is installed here is not what made the shards")
        with RunDirectory(target, plan, progress.notice) as directory:
            directory.write_json(FILE, describe_merged(plan, entries, started))
            problems = _bring_all(shards, directory, progress, link=link)
            joined = time.time()
            view = LedgerView(directory.ledger, directory.videos)
            run = finish(plan, directory, view, _errors(plan, shards))
            seconds = round(time.time() - joined, 3)
            directory.write_json(FILE, describe_merged(plan, entries, started, {"statistics_seconds": seconds}))
    return replace(run, problems=(*_left(plan.tasks, shards, run, target), *problems))


def _given(task: str | Sequence[str] | None, config: str | Path | None) -> dict[str, JSON]:
    """Return the settings that the user has named, as `eval` takes them."""
    named = {"task": (task,) if isinstance(task, str) else tuple(task)} if task else {}
    file = {} if config is None else read_config(Path(config), named)
    return {**{name: value for name, value in file.items() if name in SPECS and value is not None}, **named}


def _target(shards: Sequence[Shard], out: Path | None) -> Path:
    targets = {str(shard.whole): shard.whole for shard in shards}
    target = out or next(iter(targets.values()))
    if target is None or (out is None and len(targets) > 1):
        raise UsageError("the shards lie in different places or were renamed: say with --out where the run goes")
    for shard in shards:
        if target.resolve() == shard.path.resolve():
            raise UsageError(f"{target} is one of the shards: choose another --out")
    return target


def _load_references(plan: Plan, progress: Progress) -> None:
    """Load the index of references, whose size and warnings stand on the board; it is built again if it is gone."""
    assert plan.embedder is not None
    try:
        plan.retriever.load(progress)
    finally:
        plan.embedder.resolved.component.close()


def _bring_all(shards: Sequence[Shard], directory: RunDirectory, progress: Progress, *, link: bool) -> list[str]:
    """Bring in the clips and ledger of every shard; return what is wrong with some clips, one line each."""
    problems: list[str] = []
    progress.stage(STAGE, len(shards), 0)
    try:
        for shard in shards:
            with HeldDirectory(shard.path):
                problems += _bring_clips(shard, directory, link=link)
                directory.ledger.merge(shard.path / "ledger.sqlite")
            progress.advance(1, STAGE)
    except OSError as error:
        raise RunError(f"{directory.path}: {one_line(error)}; the same command goes on") from error
    finally:
        progress.finish(STAGE)
        progress.close()
    return problems


def _bring_clips(shard: Shard, directory: RunDirectory, *, link: bool) -> Iterator[str]:
    ledger = Ledger(shard.path / "ledger.sqlite", read_only=True)
    theirs, ours = LedgerView(ledger, shard.path / "videos"), LedgerView(directory.ledger, directory.videos)
    changed = []
    try:
        for call in ledger.clips():
            if not re.fullmatch("[0-9a-f]{32}", call.key):  # it is about to name a file
                raise UsageError(f"{shard.path}: its ledger was changed by hand: {call.key!r} is no key of a clip")
            own = directory.ledger.get(call.key, call.stage)
            same = own is not None and own.payload["sha256"] == call.payload["sha256"] and ours.has_clip(own)
            if not same and theirs.has_clip(call) and not _bring(call, theirs, ours, link=link):
                changed.append(call.key)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{shard.path}: its ledger was changed by hand ({one_line(error)})") from error
    finally:
        ledger.close()
    if changed:
        yield (
            f"{theirs.videos}: {counted(len(changed), 'clip')} of other bytes than were rendered, such as "
            f"{clip_name(changed[0])}: remove it, give the shard's command again, then merge again"
        )


def _bring(call: Call, theirs: LedgerView, ours: LedgerView, *, link: bool) -> bool:
    """Put a clip into place, whole or not at all; return False if its bytes are not those that were rendered."""
    source, target = (view.videos / clip_name(call.key) for view in (theirs, ours))
    wanted = call.payload["sha256"]
    if source.is_symlink():  # no run makes such links: somebody has put it here, and it may lead to any file
        return False
    if ours.has_clip(call) and sha256(target) == wanted:  # an earlier merge was killed after this clip
        return True
    if link:
        if sha256(source) != wanted:
            return False
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(source)
        except OSError as error:
            raise RunError(f"{source} cannot be linked ({one_line(error)}): leave out --link") from error
        return True
    return bool(copy_whole(source, target, wanted) == wanted)


def _errors(plan: Plan, shards: Sequence[Shard]) -> ResultErrors:
    """Return why samples of the shards have no result, as their samples.jsonl says."""
    failed: dict[tuple[str, str], list[tuple[str, int, str]]] = {}
    for shard in shards:
        for system, task, *sample in _failed(shard):
            failed.setdefault((system, task), []).append((sample[0], sample[1], sample[2]))
    errors = ResultErrors()
    for system, samples in plan.system_samples():
        method = samples.method
        of_set = failed.get((method.label if system is None else system.id, method.task.name), ())
        scores = [samples.extended(predictor).stage_key("score") for predictor in plan.predictors] if of_set else []
        for prompt, repeat, error in of_set:
            errors.update({SampleKey(key, prompt, repeat): error for key in (*samples.stage_keys, *scores)})
    return errors


def _failed(shard: Shard) -> Iterator[tuple[JSON, JSON, JSON, JSON, str]]:
    """Yield a shard's samples in error, without parsing the others; none of a file that is damaged."""
    try:
        for line in read_lines(shard.path / "samples.jsonl"):
            if _ERROR in line:
                values = json.loads(line)
                if values["status"] == "error":
                    yield values["system"], values["task"], values["prompt_id"], values["repeat"], str(values["error"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return


def _left(tasks: Sequence[Task], shards: Sequence[Shard], run: Run, target: Path) -> Iterator[str]:
    """Yield which shards have samples without a result, and how to go on."""
    if not run.errors:
        return
    number = shards[0].number
    dealt = {task.name: task.shards(number) for task in tasks}
    lacking = Counter(dealt[sample.task][sample.prompt_id] for sample in run.samples() if sample.status == "error")
    given = {shard.which: shard for shard in shards}
    missing = [which for which in sorted(lacking) if which not in given]
    if missing:
        names = _ranges(missing)
        what = f"shard {names} of {number} is" if len(missing) == 1 else f"shards {names} of {number} are"
        yield f"{what} missing ({counted(sum(lacking[which] for which in missing), 'sample')}): run, then merge again"
    for which in [which for which in sorted(lacking) if which in given][:_TOLD]:
        again = ["popbench", "eval", "--config", str(given[which].path / "run.json"), "--out", str(target)]
        how = "" if given[which].whole is None else f" ({shlex.join(again)})"
        yield (
            f"shard {which} of {number} has no result for {counted(lacking[which], 'sample')}: give its command "
            f"again{how}, then merge again"
        )


def _ranges(numbers: Sequence[int]) -> str:
    """Show ascending numbers in short: `1, 3 to 5 and 8`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
