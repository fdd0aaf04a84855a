"""Scores variants of samples with a predictor, through the local engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from popbench.audit.clips import Clips, Variant
from popbench.errors import ComponentError, RunError, one_line
from popbench.interfaces import Engine
from popbench.planning.systems import Part
from popbench.progress import Progress
from popbench.records import JSON, Failure, Score, ScoreRequest, Submitted
from popbench.video import VideoError


@dataclass
class Scored:
    """Scores of variants, failures of single ones, and why the predictor ended early, if it did."""

    popularity: dict[Variant, float] = field(default_factory=dict)
    extra: dict[Variant, Mapping[str, JSON]] = field(default_factory=dict)
    failures: dict[Variant, str] = field(default_factory=dict)
    ended: str | None = None


class Scorer:
    """Scores variants with one predictor."""

    def __init__(self, engine: Engine, predictor: Part, folder: Path, progress: Progress) -> None:
        self._engine = engine
        self._predictor = predictor
        self._folder = folder
        self._progress = progress

    def score(self, stage: str, wanted: Iterable[Variant]) -> Scored:
        """Score every variant once; raises RunError if the disk refuses.

        If the predictor breaks its contract, the scores so far are returned, and the next call loads it again.
        """
        variants = list(dict.fromkeys(wanted))
        by_id = {f"{number:06d}": variant for number, variant in enumerate(variants)}
        clips = Clips(self._folder, variants)
        scored = Scored()
        call = uuid4().hex  # no ledger is kept: an audit that is given again asks anew

        def requests() -> Iterator[ScoreRequest]:
            for id_, variant in by_id.items():
                try:
                    path = clips.path(variant)
                except (VideoError, MemoryError) as error:
                    scored.failures[variant] = one_line(str(error) or repr(error))
                    continue
                yield ScoreRequest(id_, variant.title, path, **json.loads(variant.others), key=f"{call}-{id_}")

        self._progress.stage(f"{stage} {self._predictor.label}", len(variants), 0)
        spec = self._predictor.resolved.spec
        answers = self._engine.map(spec, requests())
        try:
            with ExitStack() as stack:
                if (close := getattr(answers, "close", None)) is not None:  # generators have it, iterators need not
                    stack.callback(close)
                for answer in answers:
                    if isinstance(answer, Submitted):
                        continue
                    variant = by_id[answer.id]
                    if isinstance(answer, Score):
                        scored.popularity[variant] = answer.popularity
                        scored.extra[variant] = answer.extra
                    elif isinstance(answer, Failure):
                        scored.failures[variant] = answer.error
                    clips.done(variant)
                    self._progress.advance()
        except ComponentError as error:
            scored.ended = one_line(error)
            self._progress.problem(scored.ended)
            self._engine.release(spec)
        except OSError as error:
            raise RunError(f"changed videos cannot be written to {self._folder}: {one_line(error)}") from error
        return scored
