"""Installs a distribution of the tests into a folder, without building it, and gives commands that find it there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

_MADE = shutil.ignore_patterns("__pycache__")


def install(source: Path, site: Path) -> Path:
    """Copy the packages of a distribution into `site`, with the metadata that its pyproject.toml stands for."""
    about = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    project = about["project"]
    for package in about["tool"]["setuptools"]["packages"]:
        shutil.copytree(source / package, site / package, ignore=_MADE)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    groups = project.get("entry-points", {})
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in each.items()) for group, each in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return site


def popbench(site: Path, folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Give a command of popbench, or of `python -m words[1]` where the first word is `-m`, in `folder`."""
    command = list(words) if words[:1] == ("-m",) else ["-m", "popbench", *words]
    env = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200", "OMP_NUM_THREADS": "1", **environ}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False
    )
