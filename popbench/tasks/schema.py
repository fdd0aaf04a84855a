"""The YAML file of a task: its keys, and how it is found and read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from popbench.errors import UsageError, damage, one_line, unknown
from popbench.files import read_yaml


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Blocks(_Strict):
    """Categories by position: the first `blocks_of` rows are of the first name, and so on."""

    blocks_of: int = pydantic.Field(gt=0)
    names: list[str] = pydantic.Field(min_length=1)


class Fields(_Strict):
    """The columns of the data. Without `id`, prompts are numbered; without `category`, they are one stratum.

    `extra` names further columns, for templates, samples and predictors.
    """

    id: str | None = None
    prompt: str
    category: str | Blocks | None = None
    extra: list[str] = []

    @pydantic.field_validator("extra")
    @classmethod
    def _once(cls, extra: list[str]) -> list[str]:
        for name in extra:
            if extra.count(name) > 1:
                raise ValueError(f"{name!r} stands there twice")
        return extra


class DraftField(_Strict):
    """A further field of drafts: its JSON type, an array being one of texts, and what it is, for LLMs."""

    type: Literal["string", "number", "integer", "boolean", "array"]
    description: str = ""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_type(cls, given: Any) -> Any:
        return {"type": given} if isinstance(given, str) else given


RESERVED = frozenset(
    {"title", "video_prompt", "reasoning", "id", "prompt", "category", "task", "video", "references", "draft", "extra"}
)
"""Names that no further field of drafts may have: those of what drafts and samples have already."""
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class DraftRules(_Strict):
    """The requirements on a draft; `clip_seconds` is text for templates only, `fields` are further ones by name."""

    title_max_chars: int = pydantic.Field(default=50, gt=0)
    clip_seconds: float | int = pydantic.Field(default=3, gt=0)
    fields: dict[str, DraftField] = {}

    @pydantic.field_validator("fields")
    @classmethod
    def _named(cls, fields: dict[str, DraftField]) -> dict[str, DraftField]:
        for name in fields:
            if name in RESERVED:
                raise ValueError(f"{name!r} is the name of something that every draft or sample has: choose another")
            if not _FIELD_NAME.fullmatch(name):
                raise ValueError(f"{name!r:.80} is no name of a field: letters, digits and _ only, 64 at most")
        return fields


class TaskFile(_Strict):
    """The keys of a task's YAML file. `question` is what people are asked about two clips."""

    task: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    version: int | str
    group: str | None = None
    description: str = ""
    question: str | None = pydantic.Field(default=None, min_length=1, max_length=300)
    dataset: dict[str, Any]
    fields: Fields
    where: dict[str, Any] = {}
    templates: dict[str, str] = pydantic.Field(min_length=1)
    draft: DraftRules = DraftRules()

    @pydantic.model_validator(mode="after")
    def _apart(self) -> TaskFile:
        for name in self.draft.fields:
            if name in self.fields.extra:
                raise ValueError(f"{name!r} is named by draft.fields and by fields.extra: rename one")
        return self


@dataclass(frozen=True, slots=True)
class Listed:
    """A task file in a folder: its content, or one line on why it cannot be read."""

    path: Path
    file: TaskFile | None
    error: str | None = None


def read_task_file(path: Path) -> TaskFile:
    """Read and check a task's YAML; raises UsageError that names the file and the key."""
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML ({damage(error)})") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a task file (expected keys such as task, dataset, fields, templates)")
    try:
        return TaskFile.model_validate(content)
    except pydantic.ValidationError as error:
        # Unknown keys first: a misspelt one explains why another is missing.
        errors = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        # For a category that is neither a column nor blocks, the errors of the blocks say more.
        first = next((item for item in errors if "Blocks" in item["loc"] and len(item["loc"]) > 3), errors[0])
        where = ".".join(str(part) for part in first["loc"] if part not in ("Blocks", "str"))
        if first["type"] == "extra_forbidden":
            models: dict[str, type[_Strict]] = {"fields": Fields, "draft": DraftRules, "Blocks": Blocks}
            parents = [models[str(part)] for part in first["loc"][:-1] if str(part) in models]
            parent = parents[-1] if parents else TaskFile
            if first["loc"][:2] == ("draft", "fields"):
                parent = DraftField
            raise UsageError(f"{path}: {unknown('key', where.rpartition('.')[2], parent.model_fields)}") from None
        why = one_line(first["msg"].removeprefix("Value error, "))
        raise UsageError(f"{path}: {where}: {why}" if where else f"{path}: {why}") from None


def find_task_files(folders: Iterable[Path]) -> Iterator[Listed]:
    """Yield the task files at any depth below each of `folders`, sorted by path."""
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".yaml", ".yml")):
            try:
                yield Listed(path, read_task_file(path))
            except UsageError as error:
                yield Listed(path, None, str(error))
