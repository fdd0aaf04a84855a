"""Shared by the commands: options that name encoders and devices, locking, interrupts and output."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.errors import UsageError
from popbench_mmra.encoders import ROLES
from popbench_mmra.settings import DEVICE, FRAMES, TARGETS, Machine, Settings

if TYPE_CHECKING:
    from popbench.progress import Progress
    from popbench_mmra.encoders import Encoder
    from popbench_mmra.features import Extractor

SPEC = "NAME[,KEY=VALUE]..."
_MODEL = "ID_OR_DIR"
_SHOWN: Mapping[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


def options(*decorators: Callable[..., Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add options to a command, in the order given."""

    def add(function: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(decorators):
            function = option(function)
        return function

    return add


DEFAULTS = Settings()
ENCODERS = tuple(
    click.option(f"--{name}", metavar=_MODEL, help=f"Encoder that {role.does}.  [default: {role.default}]")
    for name, role in ROLES.items()
)
"""The options of commands that are given a trained model: its encoders are the default."""
OWN_ENCODERS = tuple(
    click.option(f"--{name}", metavar=_MODEL, help=f"Encoder that {role.does}.  [default: the model's own]")
    for name, role in ROLES.items()
)
MACHINE = (
    click.option("--device", default="auto", show_default=True, help="auto, cpu, mps, cuda or cuda:INDEX."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
        default="auto",
        help="Of the captioner.  [default: float16 on CUDA, else float32]",
    ),
    click.option(
        "--encoder-batch-size",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Videos encoded together.  [default: 16 on CUDA, else 4]",
    ),
)


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:  # noqa: ARG001 - click's signature
    """Refuse NaN, which click's ranges accept because it compares as neither too small nor too large."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


RETRIEVED = click.option(
    "--retrieved",
    type=click.IntRange(min=1),
    default=DEFAULTS.retrieved,
    show_default=True,
    help="Similar videos that are looked up.",
)
VIDEO_FRAMES = click.option(
    "--frames", type=click.IntRange(1, 1000), metavar="N", help=f"Of each video.  [default: {FRAMES}, or the bank's]"
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the card as JSON.")
VIDEOS = click.option(
    "--videos",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Folder of the corpus's videos, ID.mp4.",
)
TARGET = click.option(
    "--target",
    type=click.Choice(TARGETS),
    default=TARGETS[0],
    show_default=True,
    help="What popularity counts.",
)


def out_folder(function: Callable[..., int]) -> Callable[..., int]:
    """Add --out."""
    return click.option(
        "--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder to write."
    )(function)


def check_encoders(encoders: Mapping[str, Encoder], device: str) -> None:
    """Raise UsageError with the problems of all encoders and of the device."""
    import re

    from popbench.local import device_problem
    from popbench_mmra.encoders import width_mismatch

    lacks = [encoder.problem for encoder in encoders.values()]
    if not re.match(DEVICE, device):
        lacks.append(f"device {device!r}: expected auto, cpu, mps, cuda or cuda:INDEX")
    elif device not in ("auto", "cpu"):
        lacks.append(device_problem(device))
    problems = [line for line in lacks if line is not None]
    wrong = width_mismatch(encoders) if not problems else None
    if problems or wrong:
        raise UsageError("\n".join(problems) or str(wrong))


@contextmanager
def extracting(encoders: Mapping[str, Encoder], given: Mapping[str, Any]) -> Iterator[Callable[[int], Extractor]]:
    """Yield a function that makes an Extractor for a number of frames; free its memory afterwards."""
    from contextlib import ExitStack, closing

    from popbench_mmra.features import Extractor

    machine = Machine(given["device"], given["precision"], given["encoder_batch_size"] or "auto")
    with ExitStack() as stack:
        yield lambda frames: stack.enter_context(closing(Extractor(encoders, frames, machine)))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; raises UsageError if another has it, or it cannot be made."""
    import re

    import filelock

    from popbench.errors import one_line

    if re.match(r"[a-z][a-z0-9+.-]+:/", str(folder), re.IGNORECASE):  # of which a folder would be made
        raise UsageError(f"--out: {str(folder)!r} looks like a URL, and a path on this machine is expected")
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise UsageError(f"{folder} is in use by another process: wait for it, or choose another --out") from None
    except (OSError, NotImplementedError) as error:
        raise UsageError(f"{folder}: no model can be kept here ({one_line(error)}): choose another --out") from error
    try:
        yield
    finally:
        lock.release()


KEPT = "what is done is kept, and the same command goes on"


def interruptible(work: Callable[[Progress], int], after: str = KEPT) -> int:
    """Run a command's work and show its progress. An interrupt prints one line, with `after`, and gives status 130."""
    from popbench.progress import make_progress

    progress = make_progress()
    try:
        return work(progress)
    except KeyboardInterrupt:
        progress.close()
        click.echo(f"popbench: interrupted; {after}", err=True)
        return 130
    finally:
        progress.close()


def show(card: Mapping[str, Any], folder: Path, *, as_json: bool) -> None:
    """Print the result: the card as JSON, or its metrics and the next command."""
    import json

    from popbench.progress import make_console
    from popbench_mmra.card_text import FLAT, quality

    if as_json:
        click.echo(json.dumps(card, ensure_ascii=False))
        return
    console = make_console()
    show_metrics(card.get("metrics"), card["target"], FLAT[card["kind"]], console)
    console.print(f"On boards: {quality(card)}.", **_SHOWN)
    console.print(f"{folder}: {', '.join(card['files'])}, card.json, README.md", **_SHOWN)
    option = "mmra,path" if card["kind"] == "mmra" else f"{card['kind']},model"
    console.print(f"To score with it: popbench eval --predictor {option}={folder} ...", **_SHOWN)


def show_metrics(metrics: Mapping[str, Any] | None, target: str, flat: str, console: Any) -> None:
    """Print a table of metrics of predicting a target, beside those of `flat`, and tables of pairwise accuracy."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from popbench.cards import metric_table, pair_tables

    if not metrics:
        console.print("Not measured: nothing is known of how well it predicts.", **_SHOWN)
        return
    (_, *names), *shown = metric_table(metrics, flat)
    counts = f"log2 {target}" if "mean" in metrics else target
    title = f"{metrics['model']['n']:,} videos of part {metrics['part']}, {counts}, 95 % intervals"
    table = Table(title=Text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, min_width=len(title))
    for name in ("", *names):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for cells in shown:
        table.add_row(*cells)
    console.print(table)
    for heading, rows in pair_tables(metrics):
        table = Table(title=Text("Two videos in the right order", "bold"), title_justify="left", box=box.SIMPLE_HEAD)
        for name in (heading, "pairs", "share"):
            table.add_column(name, justify="left" if name == heading else "right", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
