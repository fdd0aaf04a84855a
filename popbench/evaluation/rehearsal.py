"""A copy of a run directory in which other runs' calls are taken over, to see what is left to do then: `--dry-run`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from popbench.ledger.ledger import Ledger
from popbench.pipeline.ledger_view import LedgerView
from popbench.pipeline.other_runs import OtherRuns
from popbench.pipeline.take_over import take_over
from popbench.planning.plan import Plan
from popbench.runs.directory import check_identity
from popbench.runs.run_json import FILE


@contextmanager
def rehearsed(plan: Plan, path: Path, others: OtherRuns) -> Iterator[Path]:
    """Yield a copy of the run directory `path`, which is there as long as the block, with what `others` have for it.

    Clips of the run are links in it.
    """
    with tempfile.TemporaryDirectory(prefix="popbench-") as name:
        copy = Path(name)
        (copy / "videos").mkdir()
        with suppress(OSError):
            shutil.copyfile(path / FILE, copy / FILE)
        ledger = Ledger.peek(path / "ledger.sqlite")
        if ledger is not None:
            with closing(ledger):
                check_identity(ledger, path, plan)
                ledger.copy(copy / "ledger.sqlite")
            for clip in (path / "videos").glob("*.mp4"):
                (copy / "videos" / clip.name).symlink_to(clip.absolute())
        with closing(Ledger(copy / "ledger.sqlite")) as taken:
            check_identity(taken, copy, plan)
            take_over(plan, LedgerView(taken, copy / "videos"), others)
        yield copy
