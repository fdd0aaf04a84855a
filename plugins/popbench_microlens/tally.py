"""Counts what is skipped or repaired while rows are read, and reports one line for each file and kind."""

from __future__ import annotations

from popbench.text import counted


class Tally:
    """Counts skipped and repaired items, and collects remarks."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], tuple[int, str]] = {}
        self._extra: list[str] = []

    def add(self, where: str, noun: str, fate: str, place: str, number: int = 1) -> None:
        """Count items: `noun` in the singular, `fate` (what was done with them), and the place of the first. Only the
        first place is reported.
        """
        count, first = self._counts.get((where, noun, fate), (0, place))
        self._counts[where, noun, fate] = count + number, first

    def malformed(self, where: str, line: int) -> None:
        """Count a line that cannot be read."""
        self.add(where, "malformed line", "skipped", f"line {line:,}")

    def repeated(self, where: str, line: int) -> None:
        """Count a line of a video that has one already."""
        self.add(where, "line", "of a video that has one already skipped", f"line {line:,}")

    def add_line(self, line: str) -> None:
        """Add a line, once."""
        if line not in self._extra:
            self._extra.append(line)

    def lines(self) -> list[str]:
        """Return one line for each kind of item, and the added lines."""
        return [
            f"{where}: {counted(count, noun)} {fate} (the first is {first})"
            for (where, noun, fate), (count, first) in self._counts.items()
        ] + self._extra
