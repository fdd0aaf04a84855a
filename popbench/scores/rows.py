"""Score rows stored by column, so that a million of them fit into memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from popbench.errors import UsageError
from popbench.records import MAX_PARTS

Name = TypeVar("Name", bound=Hashable)

ERROR, INVALID = "error", "invalid"
_SAID: dict[bool | None, int] = {None: -1, False: 0, True: 1}


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One sample's score by one predictor; `popularity` is None if the status is error, and if it is invalid on a real
    scale.

    `copied` is whether the draft copies one of the references it was shown; None if it was shown none.
    """

    system: str
    task: str
    prompt_id: str
    repeat: int
    category: str
    status: str
    popularity: float | None
    compliance: bool | None = None
    copied: bool | None = None


class NameCodes(Generic[Name]):
    """Assigns numbers to names, in the order in which they are added."""

    def __init__(self, names: Iterable[Name] = ()) -> None:
        self.names: list[Name] = []
        self._codes: dict[Name, int] = {}
        for name in names:
            self.code(name)

    def code(self, name: Name) -> int:
        """Return a name's number; a new name gets the next one."""
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.names)
            self.names.append(name)
        return code

    def __len__(self) -> int:
        return len(self.names)


class Rows(Sequence[ScoreRow]):
    """Score rows, about 40 bytes each; as a sequence, it makes a `ScoreRow` when one is read.

    `systems`, `prompts` (task, prompt id), `categories` and `statuses` hold the names; the columns hold their numbers.
    """

    def __init__(self, rows: Iterable[ScoreRow] = ()) -> None:
        self.systems: NameCodes[str] = NameCodes()
        self.prompts: NameCodes[tuple[str, str]] = NameCodes()
        self.categories: NameCodes[str] = NameCodes()
        self.statuses: NameCodes[str] = NameCodes(("ok", INVALID, ERROR))
        self._system, self._prompt, self._category = array("i"), array("i"), array("i")
        self._repeat, self._popularity = array("q"), array("d")
        self._status, self._compliance, self._copied = array("b"), array("b"), array("b")
        self._parts: dict[str, array[float]] = {}
        for row in rows:
            self.append(row)

    @classmethod
    def of(cls, rows: Iterable[ScoreRow]) -> Rows:
        """Return rows by column; `Rows` are returned as they are."""
        return rows if isinstance(rows, Rows) else cls(rows)

    def append(self, row: ScoreRow) -> None:
        """Add a row."""
        self.add(
            row.system, (row.task, row.prompt_id), row.repeat, row.category, row.status, row.popularity,
            row.compliance, row.copied,
        )  # fmt: skip

    def add(
        self,
        system: str,
        prompt: tuple[str, str],
        repeat: int,
        category: str,
        status: str,
        popularity: float | None,
        compliance: bool | None,
        copied: bool | None,
        parts: Mapping[str, float] | None = None,
    ) -> None:
        """Add a row by its values; `prompt` is (task, prompt id). Raises UsageError if the repeat is too large."""
        try:
            self._repeat.append(repeat)
        except OverflowError:
            raise UsageError(f"repeat {repeat} of prompt {prompt[1]!r} is too large a number") from None
        self._system.append(self.systems.code(system))
        self._prompt.append(self.prompts.code(prompt))
        self._category.append(self.categories.code(category))
        self._status.append(self.statuses.code(status))
        self._popularity.append(np.nan if popularity is None else popularity)
        self._compliance.append(_SAID[compliance])
        self._copied.append(_SAID[copied])
        if parts or self._parts:
            for name in parts or ():
                if name not in self._parts and len(self._parts) < MAX_PARTS:  # names that hold ids would have no end
                    self._parts[name] = array("d", [np.nan]) * (len(self) - 1)
            for name, column in self._parts.items():
                column.append((parts or {}).get(name, np.nan))

    def __len__(self) -> int:
        return len(self._system)

    @overload
    def __getitem__(self, at: int) -> ScoreRow: ...
    @overload
    def __getitem__(self, at: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> ScoreRow | Rows:
        if isinstance(index, slice):
            chosen = np.zeros(len(self), bool)
            chosen[index] = True
            return self.where(chosen)
        status, value = self.statuses.names[self._status[index]], self._popularity[index]
        return ScoreRow(
            self.systems.names[self._system[index]],
            *self.prompts.names[self._prompt[index]],
            self._repeat[index],
            self.categories.names[self._category[index]],
            status,
            None if status != "ok" and value != value else value,
            _said(self._compliance[index]),
            _said(self._copied[index]),
        )

    def __iter__(self) -> Iterator[ScoreRow]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == theirs for one, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    @property
    def system(self) -> NDArray[np.int32]:
        """The number of each row's system in `systems`."""
        return np.frombuffer(self._system, np.int32)

    @property
    def prompt(self) -> NDArray[np.int32]:
        """The number of each row's prompt in `prompts`."""
        return np.frombuffer(self._prompt, np.int32)

    @property
    def category(self) -> NDArray[np.int32]:
        """The number of each row's category in `categories`."""
        return np.frombuffer(self._category, np.int32)

    @property
    def repeat(self) -> NDArray[np.int64]:
        """Each row's repeat."""
        return np.frombuffer(self._repeat, np.int64)

    @property
    def popularity(self) -> NDArray[np.float64]:
        """Each row's popularity, NaN for none."""
        return np.frombuffer(self._popularity, np.float64)

    @property
    def part_names(self) -> list[str]:
        """The parts that any row has, in the order in which they came."""
        return list(self._parts)

    def part(self, name: str) -> NDArray[np.float64]:
        """Each row's number of a part, NaN for none."""
        return np.frombuffer(self._parts[name], np.float64)

    @property
    def compliance(self) -> NDArray[np.int8]:
        """1 for true, 0 for false, -1 for unknown."""
        return np.frombuffer(self._compliance, np.int8)

    @property
    def copied(self) -> NDArray[np.int8]:
        """1 for true, 0 for false, -1 for unknown."""
        return np.frombuffer(self._copied, np.int8)

    @property
    def status(self) -> NDArray[np.int8]:
        """The number of each row's status in `statuses`."""
        return np.frombuffer(self._status, np.int8)

    def has_status(self, status: str) -> NDArray[np.bool_]:
        """Return for each row whether it has a status."""
        has: NDArray[np.bool_] = self.status == self.statuses.code(status)
        return has

    def of_tasks(self, tasks: Iterable[str]) -> NDArray[np.bool_]:
        """Return for each row whether it belongs to one of the tasks."""
        wanted = set(tasks)
        return _bools(task in wanted for task, _ in self.prompts.names)[self.prompt]

    def of_systems(self, systems: Iterable[str]) -> NDArray[np.bool_]:
        """Return for each row whether it belongs to one of the systems."""
        wanted = set(systems)
        return _bools(system in wanted for system in self.systems.names)[self.system]

    def of_prompts(self, prompts: Iterable[tuple[str, str]]) -> NDArray[np.bool_]:
        """Return for each row whether it belongs to one of the prompts, each (task, prompt id)."""
        wanted = set(prompts)
        return _bools(prompt in wanted for prompt in self.prompts.names)[self.prompt]

    @property
    def system_names(self) -> list[str]:
        """The systems that have rows, sorted."""
        return sorted(self.systems.names[code] for code in np.unique(self.system))

    @property
    def prompt_names(self) -> list[tuple[str, str]]:
        """The prompts that have rows, as (task, prompt id)."""
        return [self.prompts.names[code] for code in np.unique(self.prompt)]

    def sample_codes(self) -> NDArray[np.int64]:
        """Return a number for each row's sample; rows with the same system, prompt and repeat have the same number."""
        repeats = self.repeat_codes()
        codes: NDArray[np.int64] = self.system * (repeats.max(initial=0) + 1) + repeats
        return codes

    def repeat_codes(self) -> NDArray[np.int64]:
        """Return a number for each row's (prompt, repeat)."""
        repeats, repeat = np.unique(self.repeat, return_inverse=True)
        codes: NDArray[np.int64] = self.prompt.astype(np.int64) * len(repeats) + repeat
        return codes

    def where(self, chosen: NDArray[np.bool_]) -> Rows:
        """Return the chosen rows."""
        return self._columns(lambda column, kind: np.frombuffer(column, kind)[chosen])

    def renamed(self, name: Callable[[str], str]) -> Rows:
        """Return all rows with other names of their systems."""
        rows = self._columns(lambda column, kind: np.frombuffer(column, kind))
        new_names = NameCodes(map(name, self.systems.names))
        codes = np.array([new_names.code(name(each)) for each in self.systems.names], np.int32)
        rows.systems, rows._system = new_names, array("i", codes[self.system].tobytes())
        return rows

    def joined(self, other: Rows) -> Rows:
        """Return these rows, followed by the others."""
        rows = self._columns(lambda column, kind: np.frombuffer(column, kind))
        for mine, theirs, column, codes in (
            (rows.systems, other.systems, rows._system, other.system),
            (rows.prompts, other.prompts, rows._prompt, other.prompt),
            (rows.categories, other.categories, rows._category, other.category),
            (rows.statuses, other.statuses, rows._status, other.status),
        ):
            number: Callable[[Any], int] = mine.code
            kind = codes.dtype
            column.frombytes(np.array([number(name) for name in theirs.names], kind)[codes].tobytes())
        for name in ("_repeat", "_popularity", "_compliance", "_copied"):
            getattr(rows, name).extend(getattr(other, name))
        for name in dict.fromkeys((*self._parts, *other._parts)):
            columns = (of._parts.get(name) or array("d", [np.nan]) * len(of) for of in (self, other))
            rows._parts[name] = next(columns) + next(columns)
        return rows

    def _columns(self, change: Callable[[array[Any], Any], NDArray[Any]]) -> Rows:
        rows = Rows()
        for name in ("systems", "prompts", "categories", "statuses"):
            setattr(rows, name, NameCodes(getattr(self, name).names))
        for name, column in list(vars(self).items()):
            if isinstance(column, array):
                setattr(rows, name, array(column.typecode, change(column, column.typecode).tobytes()))
        rows._parts = {name: array("d", change(column, "d").tobytes()) for name, column in self._parts.items()}
        return rows


def _said(value: int) -> bool | None:
    return None if value < 0 else bool(value)


def _bools(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, np.bool_)
