"""What the three commands share: options that name encoders and devices, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.errors import UsageError

if TYPE_CHECKING:
    from popbench.progress import Progress
    from popbench_mmra.encoders import Encoder
    from popbench_mmra.features import Extractor

SPEC = "NAME[,KEY=VALUE]..."
_MODEL = "ID_OR_DIR"
_SHOWN: Mapping[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


def options(*of: Callable[..., Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add options in the order given."""

    def add(function: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(of):
            function = option(function)
        return function

    return add


ENCODERS = (
    click.option("--visual", metavar=_MODEL, help="Encoder of frames.  [default: google/vit-base-patch16-224-in21k]"),
    click.option(
        "--textual", metavar=_MODEL, help="Encoder of titles.  [default: SeanLee97/angle-bert-base-uncased-nli-en-v1]"
    ),
    click.option(
        "--captioner", metavar=_MODEL, help="Captions frames.  [default: Salesforce/blip-image-captioning-base]"
    ),
    click.option(
        "--retriever", metavar=_MODEL, help="Encoder that finds similar videos.  [default: WhereIsAI/UAE-Large-V1]"
    ),
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
        "--encode",
        type=click.IntRange(min=1),
        metavar="N",
        help="Videos encoded together.  [default: 16 on CUDA, else 4]",
    ),
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
    type=click.Choice(["comments", "views", "likes"]),
    default="comments",
    show_default=True,
    help="What popularity counts.",
)


def out_folder(function: Callable[..., int]) -> Callable[..., int]:
    """Add --out."""
    return click.option(
        "--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder to write."
    )(function)


def ready(encoders: Mapping[str, Encoder], device: str) -> None:
    """Raise UsageError that tells of every encoder and of a device that cannot be had."""
    import re

    from popbench.local import device_problem

    lacks = [encoder.problem for encoder in encoders.values()]
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        lacks.append(f"device {device!r}: expected auto, cpu, mps, cuda or cuda:INDEX")
    elif device not in ("auto", "cpu"):
        lacks.append(device_problem(device))
    told = [line for line in lacks if line is not None]
    if told:
        raise UsageError("\n".join(told))


@contextmanager
def extracting(encoders: Mapping[str, Encoder], frames: int, given: Mapping[str, Any]) -> Iterator[Extractor]:
    """Lend what makes features, by the options of MACHINE; its memory is free afterwards."""
    from popbench_mmra.features import Extractor, Machine

    extractor = Extractor(encoders, frames, Machine(given["device"], given["precision"], given["encode"] or "auto"))
    try:
        yield extractor
    finally:
        extractor.close()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a folder to this process; raises UsageError where another has it, or none can be made."""
    import filelock

    from popbench.errors import one_line

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


def interruptible(work: Callable[[Progress], int]) -> int:
    """Run a command's work with its progress shown; an interrupt is one line and status 130."""
    from popbench.cli._progress import make_progress

    progress = make_progress()
    try:
        return work(progress)
    except KeyboardInterrupt:
        progress.close()
        click.echo("popbench: interrupted; what is done is kept, and the same command goes on", err=True)
        return 130
    finally:
        progress.close()


def show(card: Mapping[str, Any], folder: Path, *, as_json: bool) -> None:
    """Print what came of it: the card as JSON, or its metrics and what comes next."""
    import json

    from rich.console import Console

    if as_json:
        click.echo(json.dumps(card, ensure_ascii=False))
        return
    console = Console()
    show_metrics(card.get("metrics"), card["target"], console)
    console.print(f"{folder}: {', '.join(card['files'])}, card.json, README.md", **_SHOWN)
    console.print(f"To score with it: popbench eval --predictor mmra,path={folder} ...", **_SHOWN)


def show_metrics(metrics: Mapping[str, Any] | None, target: str, console: Any) -> None:
    """Print a table of metrics, beside those of always predicting the mean."""
    from rich import box
    from rich.table import Table

    from popbench_mmra.cards import METRICS, metric

    if not metrics:
        console.print("Not measured: nothing is known of how well it predicts.", **_SHOWN)
        return
    model, flat = metrics["model"], metrics["mean"]
    title = f"{model['n']:,} videos of part {metrics['part']}, log2 {target}, 95 % intervals"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in ("", "this model", "the mean of its bank"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, shown in METRICS.items():
        table.add_row(shown, metric(model[name]), metric(flat[name]))
    console.print(table)
