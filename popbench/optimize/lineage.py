"""The lineage of a search in a file to which lines are only added: what a resumed search is checked against.

A search is replayed from the ledger, line by line. Lines that are there already must be the same: if they are not, the
ledger, or popbench, is another one than the search was made with, and what it decided would not be what it says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.files import read_bytes
from popbench.records import JSON

FILE = "lineage.jsonl"


class Lineage:
    """The lines so far, and where the replay is in them."""

    def __init__(self, path: Path) -> None:
        """Read the file; a last line that is not whole, as a kill may leave it, is removed."""
        self.path = path
        self._at = 0
        try:
            data = read_bytes(path) if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            self._lines = [json.loads(line) for line in whole.decode().splitlines()]
            if not all(isinstance(line, dict) and "kind" in line for line in self._lines):
                raise ValueError("a line is none of a lineage")
            if whole != data:
                with path.open("r+b") as file:
                    file.truncate(len(whole))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{path}: cannot be read ({one_line(str(error))}): choose another --out") from error

    @property
    def first(self) -> JSON:
        """The first line, None if there is none yet."""
        return self._lines[0] if self._lines else None

    def has(self, kind: str) -> bool:
        """Say whether there is a line of a kind."""
        return any(line.get("kind") == kind for line in self._lines)

    def tell(self, kind: str, content: Mapping[str, JSON]) -> None:
        """Add a line, or check that it is the next one. Raises RunError if it is not, or the disk refuses."""
        line = json.loads(json.dumps({"kind": kind, **content}))
        if self._at < len(self._lines):
            if self._lines[self._at] != line:
                raise RunError(
                    f"{self.path}: line {self._at + 1} is not what the search comes to now: its ledger, or popbench, "
                    "was changed since: choose another --out"
                )
        else:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise RunError(f"{self.path} cannot be written: {one_line(error)}") from error
            self._lines.append(line)
        self._at += 1
