"""`popbench status`: shows the progress of runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from popbench.errors import PopbenchError
from popbench.text import counted

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType

    from popbench.progress.stages import Row
    from popbench.runs.status import Status

EVERY = 2.0


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and value != value:  # click's range accepts nan
        raise click.BadParameter("nan is no number of seconds.", context, parameter)
    return value


@click.command("status")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Look again and again, until no process has any of the runs.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1, max=86400),
    callback=_finite,
    metavar="SECONDS",
    help=f"How often to look; implies --watch.  [default: {EVERY:g}]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line each time.")
def command(runs: tuple[Path, ...], watch: bool, every: float | None, as_json: bool) -> int:
    """Say how far RUN is, a run directory, while it is at work or after: from its ledger, in its way in nothing.

    A line per component: what is done, the rate of the last minutes and the mean since the run was started, the time
    left, GPU-hours and spend. What failed is in no ledger and counts as not done. Several runs, such as the shards of
    one, get a line each and their sum.

    \b
    Examples:
      popbench status runs/popcorn-*
      popbench status runs/study --watch
      popbench status runs/study.shard-* --every 60
    """
    from popbench.progress.console import make_console

    console = make_console()
    if not watch and every is None:
        shown = _look(runs)
        _show(shown, console, as_json=as_json)
        return 1 if shown.problems else 0
    with suppress(KeyboardInterrupt):  # the way to end --watch
        _watch(runs, EVERY if every is None else every, console, as_json=as_json)
    return 0


class _Statuses(NamedTuple):
    """The statuses of runs, and problems with those that could not be read."""

    runs: list[Status]
    problems: list[str]

    @property
    def at_work(self) -> bool:
        """Whether a process works on any of the runs."""
        return any(status.holder for status in self.runs)


def _look(paths: Sequence[Path]) -> _Statuses:
    """Read the status of each run; raises the first problem if none can be read."""
    from popbench.runs.status_reading import read_status

    statuses, problems = [], []
    for path in paths:
        try:
            statuses.append(read_status(path))
        except PopbenchError as error:
            problems.append(error)
    if not statuses:
        raise problems[0]
    return _Statuses(statuses, [str(error) for error in problems])


def _watch(paths: Sequence[Path], seconds: float, console: Console, *, as_json: bool) -> None:
    """Show statuses again and again: redrawn in place on a terminal, else one below the other."""
    shown = _look(paths)
    if as_json or not console.is_terminal:
        _show(shown, console, as_json=as_json)
        while shown.at_work:
            time.sleep(seconds)
            shown = _look(paths)
            _show(shown, console, as_json=as_json)
        return
    from rich.live import Live

    with Live(_drawn(shown, console), console=console, auto_refresh=False) as live:
        while shown.at_work:
            time.sleep(seconds)
            shown = _look(paths)
            live.update(_drawn(shown, console), refresh=True)


def _show(shown: _Statuses, console: Console, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_json(shown), ensure_ascii=False))
    else:
        console.print(_drawn(shown, console))


def _as_json(shown: _Statuses) -> dict[str, Any]:
    left = [status.seconds_left for status in shown.runs]
    usd = [status.usd for status in shown.runs if status.usd is not None]
    return {
        "done": sum(stage.done for status in shown.runs for stage in status.stages),
        "total": sum(stage.total for status in shown.runs for stage in status.stages),
        "seconds_left": None if None in left else max(filter(None, left), default=0.0),
        "gpu_seconds": sum(status.gpu_seconds for status in shown.runs),
        "usd": sum(usd) if usd else None,
        "runs": [status.as_json() for status in shown.runs],
        "problems": shown.problems,
    }


def _drawn(shown: _Statuses, console: Console) -> Group:
    from rich.console import Group
    from rich.text import Text

    from popbench.progress.stages import table, totals

    runs = [_run(status) for status in shown.runs]
    text = totals(runs)
    if len(runs) + len(shown.problems) == 1:
        (status,) = shown.runs
        lines: list[RenderableType] = [Text(f"{status.path}: {_state(status)}")]
        lines += [Text(status.holder, style="dim")] if status.holder is not None else []
        lines.append(table([*_stages(status)], console.width))
    else:
        done, total = sum(row.done for row in runs), sum(row.total for row in runs)
        text = ", ".join([f"{counted(len(runs), 'run')}: {done}/{total} done", *filter(None, [text])])
        lines = [table(runs, console.width)]
    lines += [Text(text, style="dim")] if text else []
    notes = dict.fromkeys(note for status in shown.runs for note in status.notes)
    lines += [Text(note, style="yellow") for note in notes]
    return Group(*lines, *(Text(problem, style="red") for problem in shown.problems))


def _state(status: Status) -> str:
    from popbench.progress.stages import duration

    if status.holder is not None and not any(stage.left for stage in status.stages):
        text = "at work on samples and statistics"
    elif status.state == "stalled":
        text = f"stalled for {duration(status.silent)}"
    else:
        more = {
            "stopped": ", and the same command goes on",
            "incomplete": ", and the same command tries the rest again",
        }
        text = ("killed" if status.killed and status.state == "stopped" else status.state) + more.get(status.state, "")
    if status.last is None:
        return f"{text}; no result yet"
    if status.holder is not None:
        return f"{text}; last result {duration(max(status.now - status.last, 0.0))} ago"
    return f"{text}; last result at {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(status.last))}"


def _stages(status: Status) -> Iterator[Row]:
    from popbench.progress.stages import Row

    for stage in status.stages:
        yield Row(
            name=f"{stage.stage} {stage.component}",
            done=stage.done,
            total=stage.total,
            rate=stage.rate,
            mean=stage.mean_rate if status.holder is not None else None,
            left=stage.seconds_left,
            gpu_seconds=stage.gpu_seconds,
            usd=stage.usd,
            unpriced=stage.unpriced,
            invalid=stage.invalid,
        )


def _run(status: Status) -> Row:
    from popbench.progress.stages import Row, duration

    return Row(
        name=str(status.path),
        done=sum(stage.done for stage in status.stages),
        total=sum(stage.total for stage in status.stages),
        left=status.seconds_left,
        gpu_seconds=status.gpu_seconds,
        usd=status.usd,
        state=f"stalled {duration(status.silent)}" if status.state == "stalled" else status.state,
    )
