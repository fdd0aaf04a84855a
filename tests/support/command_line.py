"""Runs popbench's command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from popbench.cli import main


@dataclass(frozen=True)
class Done:
    """The result of a command: status, output and errors."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """Return the one line on stderr; fails if there are others."""
        (line,) = self.err.splitlines()
        assert line.startswith("popbench: ")
        return line


Run = Callable[..., Done]


def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run popbench in this process, in an empty folder, without settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("POPBENCH_PLUGINS", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # or click shows `python -m pytest` as its name

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["popbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Done(caught.value.code, captured.out, captured.err)

    return call
