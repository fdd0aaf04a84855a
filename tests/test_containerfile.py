"""The Containerfile: its steps name files that are there, are shell, and end in a command that popbench installs."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEPS = [
    tuple(line.split(" ", 1))
    for line in (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def test_what_is_copied_is_tracked() -> None:
    sources = [word for step, rest in STEPS if step == "COPY" for word in rest.split()[:-1]]
    assert {"pyproject.toml", "constraints.txt", "popbench", "tasks", "plugins"} <= set(sources)
    for source in sources:
        found = subprocess.run(["git", "ls-files", source], cwd=ROOT, capture_output=True, text=True, check=True)
        assert found.stdout, source


def test_all_packages_of_the_distribution_are_copied() -> None:
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"].values()
    sources = {word for step, rest in STEPS if step == "COPY" for word in rest.split()[:-1]}
    assert {folder.split("/")[0] for folder in folders} <= sources


def test_its_steps_are_shell() -> None:
    runs = [rest for step, rest in STEPS if step == "RUN"]
    assert runs
    for run in runs:
        subprocess.run(["sh", "-n", "-c", run], check=True)


def test_its_entry_point_is_a_command_of_popbench() -> None:
    (entry,) = [rest for step, rest in STEPS if step == "ENTRYPOINT"]
    (command,) = json.loads(entry)
    assert command in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
