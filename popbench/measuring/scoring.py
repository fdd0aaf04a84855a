"""Asks a predictor for the scores of real videos. Each answer is kept before the next is taken: none is paid twice.

scores.jsonl has a line for each final answer, by the key that the score has in any run.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from popbench.errors import ComponentError, RunError, UsageError, one_line
from popbench.interfaces import Engine
from popbench.planning.systems import Part
from popbench.progress import Progress
from popbench.records import Failure, Score, ScoreRequest, Submitted
from popbench.registry import Resolved

FILE = "scores.jsonl"


@dataclass
class Answers:
    """Answers by key: scores, and why there is none; `usage` is what those took that are kept."""

    scores: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """The predictor's own failures, which are final."""
    errors: dict[str, str] = field(default_factory=dict)
    """The world's failures, which are tried again."""
    usage: Counter[str] = field(default_factory=Counter)

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line of scores.jsonl."""
        if "score" in line:
            self.scores[line["key"]] = float(line["score"])
        else:
            self.refused[line["key"]] = str(line["refused"])
        self.usage.update(line.get("usage") or {})


def read(file: Path) -> Answers:
    """Read what is kept; a last line that a kill cut off is left out. Raises UsageError for a damaged file."""
    answers = Answers()
    try:
        *lines, rest = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return answers
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read ({one_line(error)}): restore it, or remove it") from error
    for number, line in enumerate(lines, 1):
        try:
            answers.add(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UsageError(f"{file}: line {number} is no answer: remove the line, or the file") from None
    if rest:
        with suppress(OSError):
            os.truncate(file, file.stat().st_size - len(rest.encode()))
    return answers


def ask(predictor: Part, engine: Resolved, requests: Iterable[ScoreRequest], file: Path, progress: Progress) -> Answers:
    """Score what `file` does not hold yet, and return all answers to these requests.

    Raises UsageError if something is missing to work, and RunError where the predictor ended early or the disk refused;
    the answers until then are kept.
    """
    kept = read(file)
    wanted = {request.id: request for request in requests}
    left = [request for id_, request in wanted.items() if id_ not in kept.scores and id_ not in kept.refused]
    if left:
        _check(predictor, engine)
        _announce(predictor, len(left), progress)
        progress.stage(f"score videos with {predictor.label}", len(wanted), len(wanted) - len(left))
        try:
            with file.open("a", encoding="utf-8") as lines, _working(engine.component):
                _score(predictor, engine.component, left, lines, kept, progress)
        except ComponentError as error:
            raise RunError(
                f"predictor {predictor.label}: {one_line(error)} ({len(kept.scores):,} scores are kept, and the same "
                "command goes on)"
            ) from error
        except OSError as error:
            raise RunError(f"{file}: cannot be written ({one_line(error)}): free space and run it again") from error
    return Answers(
        {id_: kept.scores[id_] for id_ in wanted if id_ in kept.scores},
        {id_: kept.refused[id_] for id_ in wanted if id_ in kept.refused},
        kept.errors,
        kept.usage,
    )


def _score(
    predictor: Part, engine: Engine, left: list[ScoreRequest], lines: TextIO, kept: Answers, progress: Progress
) -> None:
    answers = engine.map(predictor.resolved.spec, iter(left))
    with ExitStack() as stack:
        if (close := getattr(answers, "close", None)) is not None:  # generators have it, iterators need not
            stack.callback(close)
        for answer in answers:
            if isinstance(answer, Submitted):
                continue
            progress.advance()
            line: dict[str, Any]
            if isinstance(answer, Failure) and not answer.invalid:
                kept.errors[answer.id] = answer.error
                kept.usage.update(answer.usage or {})
                continue
            if isinstance(answer, Score):
                line = {"key": answer.id, "score": answer.value}
            else:
                line = {"key": answer.id, "refused": one_line(answer.error)}  # type: ignore[union-attr]
            if answer.usage:
                line["usage"] = dict(answer.usage)
            lines.write(json.dumps(line) + "\n")
            lines.flush()
            kept.add(line)


def _check(predictor: Part, engine: Resolved) -> None:
    lacks = []
    for resolved in (predictor.resolved, engine):
        try:
            lines = resolved.component.check()
        except Exception as error:  # a plugin's check may raise anything
            lines = [f"its check failed: {one_line(error)}"]
        lacks += [f"{resolved.spec.kind} {resolved.spec.label}: {line}" for line in lines]
    if lacks:
        raise UsageError("\n".join(lacks))


def _announce(predictor: Part, count: int, progress: Progress) -> None:
    most = predictor.estimate(count)
    if most is not None:
        progress.notice(f"{count:,} scores by {predictor.label} cost at most about {most:.2f} USD")


@contextmanager
def _working(engine: Engine) -> Iterator[None]:
    """Start an engine in a temporary folder; afterwards the engine is closed and the folder removed."""
    with tempfile.TemporaryDirectory(prefix="popbench-measure-", ignore_cleanup_errors=True) as folder:
        engine.start(Path(folder))
        try:
            yield
        finally:
            engine.close()
