"""Compare a wheel with the files that git tracks, and a source distribution with the wheel that is made of it.

Usage: contents.py WHEEL [SDIST]. A file that a package needs and the wheel lacks breaks only what is installed from it.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
_ONLY_FOR_READERS = ("README.md",)
"""Names of files that stand beside packages for people, and are in no wheel; those of tasks are shown by commands."""


def main() -> int:
    """Print what differs; the exit status is 1 if anything does."""
    wheel = {
        name for name in zipfile.ZipFile(sys.argv[1]).namelist() if ".dist-info/" not in name and not name.endswith("/")
    }
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    expected = packaged(tracked)
    problems = [f"not in the wheel: {name}" for name in sorted(expected - wheel)]
    problems += [f"in the wheel, and no tracked file: {name}" for name in sorted(wheel - expected)]
    if len(sys.argv) > 2:
        with tarfile.open(sys.argv[2]) as archive:
            inside = packaged([name.partition("/")[2] for name in archive.getnames()])
        problems += [f"not in the source distribution: {name}" for name in sorted(wheel - inside)]
    print("\n".join(problems) or f"contents: {len(wheel)} files, as tracked")
    return 1 if problems else 0


def packaged(names: list[str]) -> set[str]:
    """Return the names in a wheel of the tracked files that belong into it."""
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    found = set()
    for package, folder in folders.items():
        for name in names:
            inside = name.startswith(f"{folder}/") and Path(name).suffix and "__pycache__" not in name
            if inside and (package == "popbench_tasks" or Path(name).name not in _ONLY_FOR_READERS):
                found.add(package + name.removeprefix(folder))
    return found


if __name__ == "__main__":
    sys.exit(main())
