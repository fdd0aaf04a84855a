"""A file of a board's `submissions/`: what was run, the score of every sample, and a digest of the content.

It holds no videos, titles or completions. The digest shows whether a file was changed after it was submitted. It does
not show that the scores are true: that takes another run, for which the components, the seed and the clips' hashes are
kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self

import pydantic

from popbench.errors import UsageError, damage
from popbench.files import read_json, read_text, refuse_conflict
from popbench.prompting.originality import is_copy
from popbench.records import JSON
from popbench.scores.board_rules import INNER, Strict, Terms, mistake
from popbench.scores.rows import Rows, ScoreRow
from popbench.scores.scores import Scores, check_row

SCHEMA: Literal[1] = 1
_NAME_LENGTH = 60
_MARKS = {"schema", "sha256", "rows"}


class SubmittedScore(Strict):
    """The score of one sample. `originality` is as in samples.jsonl; the clip's hash is None if there was no clip.

    An invalid sample has popularity 0, and none on a real scale.
    """

    system: str
    task: str
    prompt_id: str
    repeat: int = pydantic.Field(ge=0)
    category: str
    status: Literal["ok", "invalid"]
    popularity: float | None = pydantic.Field(default=None, allow_inf_nan=False)
    compliance: bool | None = None
    originality: float | None = pydantic.Field(default=None, ge=0, le=1)
    video_sha256: str | None = pydantic.Field(default=None, pattern=r"^[0-9a-f]{64}$")


class Mode(Strict):
    """A mode: its name, its options, and by task the fingerprints of its template and references."""

    name: str
    options: dict[str, Any]
    fingerprints: dict[str, str]


class Component(Strict):
    """A component: its spec, and its fingerprint with the digest."""

    spec: str
    digest: str
    fingerprint: dict[str, Any]


class ReferencesOf(Strict):
    """Where references come from: the part of a corpus, the number of its videos, and the embedder."""

    corpus: str
    part: str
    videos: int = pydantic.Field(ge=0)
    embedder: str


_Number = Annotated[
    float,
    pydantic.Field(allow_inf_nan=False),
    pydantic.AfterValidator(lambda number: int(number) if number.is_integer() else number),
]
"""A number that is written without a point where it is whole."""


class Costs(Strict):
    """What one component's calls cost: `uncounted` are those of unknown usage, `cost` is in USD."""

    llm: str | None = None
    generator: str | None = None
    predictor: str | None = None
    calls: int = pydantic.Field(ge=0)
    uncounted: int = pydantic.Field(ge=0)
    usage: dict[str, _Number]
    cost: float | None = pydantic.Field(ge=0, allow_inf_nan=False)

    @pydantic.model_validator(mode="after")
    def _of_one(self) -> Self:
        if len([name for name in (self.llm, self.generator, self.predictor) if name is not None]) != 1:
            raise ValueError("costs are of one llm, generator or predictor")
        return self

    @pydantic.model_serializer(mode="wrap")
    def _named(self, write: pydantic.SerializerFunctionWrapHandler) -> dict[str, JSON]:
        return {
            name: value
            for name, value in write(self).items()
            if value is not None or name not in ("llm", "generator", "predictor")
        }

    @property
    def of(self) -> tuple[str, str]:
        """The kind and label of the component."""
        names = {"llm": self.llm, "generator": self.generator, "predictor": self.predictor}
        return next((kind, label) for kind, label in names.items() if label is not None)


class Unusable(Strict):
    """A system's number of answers, and the numbers of those without a usable draft by reason."""

    answers: int = pydantic.Field(ge=0)
    reasons: dict[str, int]


class Machine(Strict):
    """The machine that the run worked on."""

    platform: str
    cpus: int | None
    gpus: list[str]


class Tried(Strict):
    """How many variants of the systems were tried, those submitted included.

    `said` is the submitter's word, None if nothing was said. `recorded` counts the variants of which the run's ledger
    holds clips: at least what was tried in that folder.
    """

    said: int | None = pydantic.Field(default=None, ge=1, le=10**9)
    recorded: int | None = pydantic.Field(default=None, ge=0, le=10**9)


class Submission(Terms):
    """The content of a submission without its digest. `systems` maps a system to its fingerprints by task."""

    schema_: Literal[1] = pydantic.Field(alias="schema")
    popbench: str
    systems: dict[str, dict[str, str]] = pydantic.Field(min_length=1)
    modes: dict[str, Mode]
    components: dict[str, Component]
    notes: dict[str, str]
    references: list[ReferencesOf]
    remarks: list[str]
    costs: list[Costs]
    versions: dict[str, str]
    machine: Machine
    unusable: dict[str, Unusable] = pydantic.Field(default_factory=dict)
    tried: Tried | None = None
    """None in submissions of versions that did not ask."""
    rows: list[SubmittedScore] = pydantic.Field(min_length=1)

    _read: str = pydantic.PrivateAttr(default="")

    @property
    def sha256(self) -> str:
        """The digest of its content; for one that was read, the digest of the file."""
        return self._read or digest_of(self.content)

    @property
    def content(self) -> dict[str, JSON]:
        """The submission as JSON, without optional fields that are empty."""
        left_out = {name for name in ("unusable", "tried") if not getattr(self, name)}
        head = self.model_dump(by_alias=True, exclude={"rows", *left_out})
        return {**head, "rows": [row.model_dump(exclude_none=True) for row in self.rows]}

    def scores(self, source: str) -> Scores:
        """Return its scores; messages call them `source`."""
        rows = Rows()
        for row in self.rows:
            rows.add(
                row.system, (row.task, row.prompt_id), row.repeat, row.category, row.status, row.popularity,
                row.compliance, is_copy(row.originality),
            )  # fmt: skip
        return Scores(
            predictor=self.predictor.name,
            predictor_digest=self.predictor.digest,
            unit=self.predictor.unit,
            scale=self.predictor.scale,
            demo=self.demo,
            rows=rows,
            tasks={
                name: {"hash": task.hash, "group": task.group, "prompts": task.prompts}
                for name, task in self.tasks.items()
            },
            systems=dict(self.systems),
            source=source,
            modes={label: mode.name for label, mode in self.modes.items()},
            mode_fingerprints={label: mode.fingerprints for label, mode in self.modes.items()},
            notes=dict(self.notes),
            references=[of.model_dump() for of in self.references],
            remarks=list(self.remarks),
            unusable={system: of.model_dump() for system, of in self.unusable.items()},
        )

    def without(self, systems: Collection[str]) -> Submission | None:
        """Return what counts of a submission of which some systems are withdrawn; None if nothing does.

        It keeps its digest, which is that of the file.
        """
        kept = [system for system in self.systems if system not in systems]
        parts = {part for system in kept for part in system.split("|")}
        if not kept:
            return None
        rest = self.model_copy(
            update={
                "systems": {system: self.systems[system] for system in kept},
                "modes": {label: mode for label, mode in self.modes.items() if label in parts},
                "notes": {
                    label: note
                    for label, note in self.notes.items()
                    if label in parts or not any(label in system.split("|") for system in self.systems)
                },
                "remarks": [line for line in self.remarks if not line.startswith(tuple(f"{of}: " for of in systems))],
                "costs": [cost for cost in self.costs if cost.predictor is not None or cost.of[1] in parts],
                "unusable": {system: of for system, of in self.unusable.items() if system in kept},
                "rows": [row for row in self.rows if row.system in kept],
            }
        )
        rest._read = self.sha256
        return rest

    def missing(self) -> Iterator[str]:
        """Yield a line for each system and task with missing, duplicate or too many results."""
        results: dict[tuple[str, str], list[tuple[str, int]]] = {
            (system, task): [] for system in self.systems for task in self.tasks
        }
        for row in self.rows:
            if (row.system, row.task) not in results:
                yield f"system {row.system!r} has rows of task {row.task!r} that nothing is said of"
                return
            results[row.system, row.task].append((row.prompt_id, row.repeat))
        for (system, task), keys in sorted(results.items()):
            wanted = self.tasks[task].prompts * self.repeats
            if len(set(keys)) != len(keys):
                twice = next(key for key, count in Counter(keys).items() if count > 1)
                yield f"system {system!r} has two results for prompt {twice[0]!r} of task {task!r}, repeat {twice[1]}"
            elif len(keys) != wanted:
                yield f"system {system!r} has {len(keys):,} of the {wanted:,} results of task {task!r}"


_MODELS: Mapping[str, type[Strict]] = {
    **INNER,
    "": Submission,
    "modes": Mode,
    "components": Component,
    "references": ReferencesOf,
    "costs": Costs,
    "machine": Machine,
    "unusable": Unusable,
    "tried": Tried,
    "rows": SubmittedScore,
}


def digest_of(content: Mapping[str, JSON]) -> str:
    """Return the SHA-256 of a submission's content, whatever the order of its keys and the layout of the file."""
    kept = {key: value for key, value in content.items() if key != "sha256"}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def name_of(submission: Submission, sha256: str) -> str:
    """Return the name of a submission's file: its systems, and the beginning of its digest."""
    systems = sorted(submission.systems)
    parts = [system.split("|") for system in systems]
    if len(systems) > 1:  # only the LLMs, each once
        parts = [list(dict.fromkeys(part[0] for part in parts))]
    text = "-".join(part for of in parts for part in of)
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:_NAME_LENGTH].strip("-.").lower()
    return f"{slug or 'submission'}-{sha256[:8]}.json"


def write_submission(submission: Submission) -> tuple[str, str]:
    """Return the name and the text of a submission's file, with one row a line, so that diffs can be read."""
    content = submission.content
    sha256 = digest_of(content)
    fields = {key: value for key, value in content.items() if key != "rows"}
    head = json.dumps({"schema": fields.pop("schema"), "sha256": sha256, **fields}, indent=1, ensure_ascii=False)
    rows = ",\n".join(
        "  " + json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False) for row in content["rows"]
    )
    return name_of(submission, sha256), f'{head[:-2]},\n "rows": [\n{rows}\n ]\n}}\n'


def is_submission(path: Path) -> bool:
    """Return whether a file looks like a submission; it may be damaged."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with suppress(OSError, ValueError, RecursionError):
        content = read_json(path)
        return isinstance(content, dict) and set(content) >= _MARKS
    return False


def read_submission(path: Path, *, named: bool = True) -> Submission:
    """Read a submission; raises UsageError if it is damaged or was changed.

    With `named`, the file has to have the name that its content gives it; a copy elsewhere may have any name.
    """
    try:
        text = read_text(path)
        refuse_conflict(text)
        content = json.loads(text, parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a submission ({damage(error)})") from error
    if not isinstance(content, dict) or not set(content) >= _MARKS:
        raise UsageError(f"{path}: not a submission (expected an object with schema, sha256 and rows)")
    if content["schema"] != SCHEMA:
        raise UsageError(f"{path}: written by another popbench (schema {content['schema']}, this one reads {SCHEMA})")
    claimed = content.pop("sha256")
    try:
        sha256 = digest_of(content)
    except ValueError as error:  # 1e400 is read as infinity
        raise UsageError(f"{path}: holds a number that no float holds") from error
    if sha256 != claimed:
        raise UsageError(
            f"{path}: was changed after it was submitted: its content has the digest {sha256[:8]}…, and it says "
            f"{str(claimed)[:8]}…: restore it from its history, or submit the run again"
        )
    try:
        submission = Submission.model_validate(content)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {mistake(error, _MODELS)}") from None
    submission._read = sha256
    for row in submission.rows:
        check_row(
            ScoreRow(row.system, row.task, row.prompt_id, row.repeat, row.category, row.status, row.popularity),
            str(path), submission.predictor.scale,
        )  # fmt: skip
    if named and path.name != (name := name_of(submission, sha256)):
        raise UsageError(f"{path}: was renamed: a submission with this content is called {name}")
    return submission


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no score")
