"""A copy of the example distribution is built, installed, listed, run and tested by itself."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "plugins" / "example"
RUN_POPBENCH = "import sys; from popbench.cli import main; sys.argv[0] = 'popbench'; main()"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, so that building it leaves nothing in the source tree."""
    folder = tmp_path_factory.mktemp("example") / "copy"
    left_out = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(EXAMPLE, folder, ignore=left_out)
    return folder


@pytest.fixture(scope="session")
def python(copy: Path) -> Path:
    """An interpreter that has the example installed, and everything that this one has; nothing is downloaded."""
    pytest.importorskip(
        "setuptools", minversion="77", reason="the build backend of the example, part of popbench[test]"
    )
    folder = copy.parent / "venv"
    venv.create(folder, symlinks=True)
    found = folder / "bin" / "python"
    packages = sysconfig.get_path("purelib", "venv", vars={"base": str(folder), "platbase": str(folder)})
    # addsitedir, unlike a plain path, also runs the .pth file that an editable install of popbench consists of.
    here = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    lines = [f"import site; site.addsitedir({path!r})\n" for path in here]
    Path(packages, "parent.pth").write_text("".join(lines), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(found), "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--no-index", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return found


@pytest.fixture
def run(python: Path, tmp_path: Path) -> Run:
    """Run a command in the new environment, away from the source tree and from the user's settings."""

    def run(*words: str, cwd: Path = tmp_path, **extra: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("POPBENCH_", "PYTHON"))}
        env = {**kept, "XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "200", "OMP_NUM_THREADS": "1", **extra}
        return subprocess.run(
            [str(python), *words], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    return run


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Name what `popbench plugins --json` lists from the example, with the kind of each."""
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["broken"]
    assert not found["conflicts"]
    return {item["name"]: item["kind"] for item in found["components"] if item["distribution"] == "popbench-example"}


@pytest.mark.slow
def test_what_it_registers_is_listed_under_its_name(run: Run) -> None:
    done = run("-c", RUN_POPBENCH, "plugins", "--json")
    assert listed(done) == {"haiku": "llm", "haiku-hot": "llm", "waves": "generator"}
    shown = run("-c", RUN_POPBENCH, "plugins").stdout
    (line,) = (line for line in shown.splitlines() if " haiku-hot " in line)
    assert "popbench-example 1.0.0" in line
    assert "Answers every prompt with a haiku, filmed in three shots. (temperature=1.2)" in line


def test_listing_it_imports_only_its_hooks(run: Run) -> None:
    code = (
        "import sys; from popbench.registry import load_registry; load_registry();"
        "print([m for m in sys.modules if m.startswith('popbench_example')])"
    )
    assert run("-c", code).stdout.strip() == "['popbench_example']"


@pytest.mark.slow
def test_it_is_left_out_where_the_plugin_list_leaves_it_out(run: Run) -> None:
    assert listed(run("-c", RUN_POPBENCH, "plugins", "--json", POPBENCH_PLUGINS="")) == {}
    assert len(listed(run("-c", RUN_POPBENCH, "plugins", "--json", POPBENCH_PLUGINS="example"))) == 3
    done = run("-c", RUN_POPBENCH, "eval", "--llm", "haiku", "--dry-run", POPBENCH_PLUGINS="")
    assert done.returncode == 2
    assert "unknown llm 'haiku'" in done.stderr


@pytest.mark.slow
def test_it_runs_next_to_a_baseline(run: Run, tmp_path: Path) -> None:
    words = "eval --llm haiku --llm verbatim --gen waves --mode basic --task popcorn_concrete --limit 2 --out DIR"
    done = run("-c", RUN_POPBENCH, *words.split())
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "DIR" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted({row["system"] for row in rows}) == ["haiku|basic|waves", "verbatim|basic|waves"]
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert all(row["compliance"] for row in rows if row["llm"] == "haiku")
    assert all((tmp_path / "DIR" / row["video"]).is_file() for row in rows)


@pytest.mark.slow
def test_its_own_tests_pass(run: Run, copy: Path) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=copy)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_kit_checks_it_from_the_command_line(run: Run) -> None:
    done = run("-m", "popbench.testing", "llm", "haiku,temperature=0.2", "haiku-hot,pause=0.001")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("keeps all") == 2


def test_its_types_reach_those_who_install_it(python: Path) -> None:
    (marker,) = python.parents[1].glob("lib/*/site-packages/popbench_example/py.typed")
    assert marker.is_file()
