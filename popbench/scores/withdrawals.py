"""A file of a board's `withdrawn/`: the systems of one submission that no longer count, since when, and why.

The submission stays where it is, so that the board's history can be read in the board itself; one that was removed by
hand is still named here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from popbench.errors import UsageError, damage, one_line
from popbench.files import read_json
from popbench.records import JSON
from popbench.scores.board_rules import Line, Strict, mistake
from popbench.scores.submission import Submission

WITHDRAWN = "withdrawn"
SCHEMA: Literal[1] = 1
_NAME = r"^[a-z0-9][a-z0-9.-]{0,60}-[0-9a-f]{8}\.json$"


class Withdrawn(Strict):
    """Why a system does not count, the day (UTC) from which on, and the submission that took its place, if any."""

    reason: Annotated[Line, pydantic.Field(max_length=500)]
    date: str = pydantic.Field(pattern=r"^\d{4}-\d\d-\d\d$")
    replaced_by: str | None = pydantic.Field(default=None, pattern=_NAME)


class Withdrawal(Strict):
    """The content of a file: of which submission, by its file's name and digest, which systems are withdrawn."""

    schema_: Literal[1] = pydantic.Field(default=SCHEMA, alias="schema")
    submission: str = pydantic.Field(pattern=_NAME)
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    systems: dict[str, Withdrawn] = pydantic.Field(min_length=1)

    def wrong(self, submission: Submission | None) -> Iterator[str]:
        """Yield a line for each mistake about its submission, which is None where that was removed."""
        digest = self.sha256 if submission is None else submission.sha256
        if digest != self.sha256 or self.submission.rpartition("-")[2] != f"{self.sha256[:8]}.json":
            yield f"its digest is not that of submission {self.submission}"
        elif submission is not None and (unknown := sorted(set(self.systems) - set(submission.systems))):
            yield f"submission {self.submission} has no system {unknown[0]!r:.100}"


def files_in(folder: Path, what: str) -> list[Path]:
    """Return the files in a folder of a board, none if it is not there; raises UsageError where it cannot be read."""
    try:
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except FileNotFoundError:
        files = []
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({one_line(error)})") from error
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link: a board has its {what} itself")
    return files


def read_withdrawals(path: Path) -> tuple[dict[str, Withdrawal], list[str]]:
    """Return a board's withdrawals by the file name of their submission, and one line for each file that is none."""
    withdrawals: dict[str, Withdrawal] = {}
    wrong: list[str] = []
    folder = path / WITHDRAWN
    for file in files_in(folder, "withdrawals"):
        shown = file if file.name.isprintable() else folder / ascii(file.name)
        try:
            content = read_json(file)
            withdrawal = Withdrawal.model_validate(content)
        except pydantic.ValidationError as error:
            wrong.append(f"{shown}: {mistake(error, {'': Withdrawal, 'systems': Withdrawn})}")
        except (OSError, ValueError, RecursionError) as error:
            wrong.append(f"{shown}: cannot be read as a withdrawal ({damage(error)})")
        else:
            if file.name != withdrawal.submission:
                wrong.append(f"{shown}: was renamed: a withdrawal of this submission is called {withdrawal.submission}")
            else:
                withdrawals[file.name] = withdrawal
    return withdrawals, wrong


def write_withdrawal(withdrawal: Withdrawal) -> str:
    """Return the text of a file of `withdrawn/`."""
    content: dict[str, Any] = withdrawal.model_dump(by_alias=True, exclude_none=True)
    content["systems"] = {name: content["systems"][name] for name in sorted(content["systems"])}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def entries(withdrawals: Mapping[str, Withdrawal]) -> list[dict[str, JSON]]:
    """Return what board.json says of withdrawals: a row for each system, the latest first."""
    rows: list[dict[str, JSON]] = [
        {"submission": name, "system": system, **withdrawn.model_dump(exclude_none=True)}
        for name, withdrawal in sorted(withdrawals.items())
        for system, withdrawn in sorted(withdrawal.systems.items())
    ]
    return sorted(rows, key=lambda row: str(row["date"]), reverse=True)
