"""Other runs whose finished calls this one takes: `eval --reuse RUN`.

A call's key holds all that determines its result, so an answer of another run under the same key is this run's answer
too. The other run is only read: it may be at work, and its disk may be read-only. Its rows are checked like those of
this run's ledger, and a clip counts only with the bytes that were rendered.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.files import copy_whole, opened
from popbench.keys import clip_name
from popbench.ledger.ledger import STAGES, Call, Done, Ledger, StageKey, StageName
from popbench.ledger.opening import Tell
from popbench.pipeline.ledger_view import LedgerView
from popbench.text import counted

_MADE: Mapping[StageName, str] = {"write": "draft", "render": "clip", "score": "score"}


class OtherRun:
    """One other run, open for reading. `taken` counts the calls that were taken from it, by stage."""

    def __init__(self, path: Path, tell: Tell | None = None) -> None:
        """Open it; raises UsageError if it is no run, or its ledger is damaged."""
        self.path = path
        self.taken: Counter[StageName] = Counter()
        self._told: Counter[StageName] = Counter()
        self._changed: set[str] = set()
        if not path.is_dir():
            raise UsageError(f"reuse: {path}: no such folder: give the directory of a run")
        try:
            ledger = Ledger.peek(path / "ledger.sqlite", tell=tell)
        except UsageError as error:
            raise UsageError(f"reuse: {error}") from error
        if ledger is None:
            raise UsageError(f"reuse: {path}: no run has begun here (there is no ledger): give the directory of a run")
        self._ledger = ledger
        self._view = LedgerView(ledger, path / "videos")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except RunError as error:
            raise RunError(f"reuse: {error}, or leave out --reuse {self.path}") from error

    @property
    def seed(self) -> int | None:
        """The run's seed, None if its ledger does not say it."""
        with suppress(ValueError, TypeError, KeyError, RecursionError):  # a stranger's ledger may hold anything
            seed = json.loads(self._ledger.about("identity") or "")["seed"]
            return seed if isinstance(seed, int) else None
        return None

    def drafts(self, key: StageKey) -> Mapping[tuple[str, int], Done]:
        """Return the settled drafts under a stage key, by prompt id and repeat."""
        with self._reading():
            return self._ledger.done(key)

    def holds(self, call: Call) -> bool:
        """Return whether it has this very call. Raises RunError if the ledger is damaged."""
        with self._reading():
            return self._ledger.get(call.key, call.stage) == call

    def get(self, key: str, stage: StageName, videos: Path) -> Call | None:
        """Return a finished call, with its clip brought into the folder `videos`; None if there is none to be had.

        Raises RunError if the ledger is damaged, or the clip cannot be written.
        """
        with self._reading():
            call = self._ledger.get(key, stage)
        if call is None or (stage == "render" and call.status == "ok" and not self._bring(call, videos)):
            return None
        self.taken[stage] += 1
        return call

    def _bring(self, call: Call, videos: Path) -> bool:
        """Copy a clip whole into `videos`; return False if it is gone, or holds other bytes than were rendered."""
        source, target = (folder / clip_name(call.key) for folder in (self._view.videos, videos))
        wanted = call.payload["sha256"]
        if not source.is_symlink():  # no run makes such links
            try:
                opened(source).close()
            except (OSError, ValueError):
                return False
            try:
                if self._view.has_clip(call) and copy_whole(source, target, wanted) == wanted:
                    return True
            except OSError as error:
                raise RunError(f"clip {source} cannot be copied to {videos}: {one_line(error)}") from error
        self._changed.add(call.key)
        return False

    def told(self) -> Iterator[str]:
        """Yield what was taken since the last time, and which clips could not be, one line each."""
        new = self.taken - self._told
        if new:
            made = [counted(new[stage], _MADE[stage]) for stage in STAGES if new[stage]]
            listed = made[0] if len(made) == 1 else f"{', '.join(made[:-1])} and {made[-1]}"
            more = " more" * bool(self._told)
            yield f"{listed}{more} {'is' if new.total() == 1 else 'are'} taken from {self.path}"
        if self._changed:
            yield (
                f"{self.path}: {counted(len(self._changed), 'clip')} of other bytes than were rendered "
                f"{'is' if len(self._changed) == 1 else 'are'} not taken"
            )
        self._told, self._changed = self.taken.copy(), set()

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()


class OtherRuns:
    """All runs that `--reuse` names, in their order: of several answers to one call, the first counts."""

    def __init__(self, paths: Sequence[str], own: Path, tell: Tell | None = None) -> None:
        """Open them; raises UsageError for what is no run, and for the run `own`, whose calls are there anyway."""
        self.runs: list[OtherRun] = []
        try:
            for path in dict.fromkeys(map(Path, paths)):
                if path.resolve() == own.resolve():
                    raise UsageError(f"reuse: {path} is the directory of this run, which is gone on with anyway")
                self.runs.append(OtherRun(path, tell))
        except BaseException:
            self.close()
            raise

    def get(self, key: str, stage: StageName, videos: Path) -> Call | None:
        """Return a finished call of the first run that has it, with its clip in `videos`; None if none has."""
        return next(filter(None, (run.get(key, stage, videos) for run in self.runs)), None)

    @property
    def taken(self) -> dict[str, dict[str, int]]:
        """How many calls of each stage were taken, by the path of the run; runs of which none was are left out."""
        return {str(run.path): {stage: run.taken[stage] for stage in run.taken} for run in self.runs if run.taken}

    def told(self, seed: int | None = None) -> Iterator[str]:
        """Yield what was taken since the last time; with the `seed` of this run, also why nothing was at all."""
        for run in self.runs:
            yield from run.told()
            if seed is not None and not run.taken:
                why = (
                    f"its seed is {run.seed}, here {seed}"
                    if run.seed != seed
                    else "it has none of the calls that were needed"
                )
                yield f"nothing is taken from {run.path}: {why}"

    def close(self) -> None:
        """Close their ledgers."""
        for run in self.runs:
            run.close()
