"""Counts of what was skipped or mended while rows were read, told one line for each file and kind."""

from __future__ import annotations

from popbench.text import counted


class Tally:
    """Collects what is told of the rows read last."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], tuple[int, str]] = {}
        self._told: list[str] = []

    def add(self, where: str, noun: str, fate: str, place: str) -> None:
        """Count one thing: `noun` in the singular, what became of it, and its place, of which the first is told."""
        count, first = self._found.get((where, noun, fate), (0, place))
        self._found[where, noun, fate] = count + 1, first

    def malformed(self, where: str, line: int) -> None:
        """Count a line that cannot be read."""
        self.add(where, "malformed line", "skipped", f"line {line:,}")

    def repeated(self, where: str, line: int) -> None:
        """Count a line of a video that has one already."""
        self.add(where, "line", "of a video that has one already skipped", f"line {line:,}")

    def tell(self, line: str) -> None:
        """Add a line as it is, once."""
        if line not in self._told:
            self._told.append(line)

    def lines(self) -> list[str]:
        """Return all of it, one line each."""
        return [
            f"{where}: {counted(count, noun)} {fate} (the first is {first})"
            for (where, noun, fate), (count, first) in self._found.items()
        ] + self._told
