"""Plugins of installed distributions: a broken one is reported, and the others work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

RUN = "import sys; from popbench.cli import main; sys.argv[0] = 'popbench'; main()"
PLUGIN = """
import popbench

class {name}(popbench.LLM):
    "A model of {name}."
    def generate(self, chats):
        for chat in chats:
            yield popbench.Completion(chat.id, "")

@popbench.hookimpl
def register_llms(register):
    register("{name_lower}", {name})
    register("shared", {name})
    register("{name_lower}-lazy", "{module}_lazy:Lazy")
"""
LAZY = "from {module} import {name}\nprint('LAZY IMPORTED')\nclass Lazy({name}): 'Lazy.'\n"


def distribute(folder: Path, name: str, module: str, source: str, group: str = "popbench", **others: str) -> None:
    """Install a distribution into a folder: its modules, and metadata with one entry point of its name."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    for other, text in others.items():
        (folder / f"{other}.py").write_text(text, encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name}-plugin = {module}\n", encoding="utf-8")


def popbench_in(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", **environ}
    command = [sys.executable, "-W", "error", "-c", RUN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, timeout=100, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two distributions that share a name, and one that does not import."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("Alpha", "Beta"):
        module = f"{name.lower()}_module"
        lazy = {f"{module}_lazy": LAZY.format(module=module, name=name)}
        source = PLUGIN.format(name=name, name_lower=name.lower(), module=module)
        distribute(folder, f"dist-{name.lower()}", module, source, **lazy)
    distribute(folder, "dist-broken", "broken_module", "raise OSError('no licence\\nfile found')\n")
    return folder


@pytest.mark.slow
def test_plugins_lists_what_is_installed_and_says_what_is_broken(site: Path) -> None:
    done = popbench_in(site, "plugins")
    assert done.returncode == 1
    assert "dist-alpha 1.0" in done.stdout
    assert "A model of Beta." in done.stdout
    assert "verbatim" in done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "dist-broken-plugin of dist-broken is broken: OSError: no licence file found" in lines[0]
    assert "'shared' is registered twice, by dist-alpha (dist-alpha-plugin) and dist-beta" in lines[1]


@pytest.mark.slow
def test_plugins_as_json_holds_components_broken_plugins_and_conflicts(site: Path) -> None:
    done = popbench_in(site, "plugins", "--json", POPBENCH_PLUGINS="dist-alpha-plugin,dist-broken-plugin")
    assert done.returncode == 1
    found = json.loads(done.stdout.replace("LAZY IMPORTED\n", ""))
    assert found["broken"] == {"dist-broken-plugin": "OSError: no licence file found"}
    assert found["conflicts"] == []
    (alpha,) = [item for item in found["components"] if item["name"] == "alpha"]
    assert alpha == {
        "kind": "llm",
        "name": "alpha",
        "distribution": "dist-alpha",
        "version": "1.0",
        "preset": {},
        "summary": "A model of Alpha.",
        "options": [],
    }


@pytest.mark.slow
def test_a_broken_plugin_and_a_shared_name_leave_the_rest_usable(site: Path) -> None:
    common = ("eval", "--dry-run", "--json", "--task", "popcorn_concrete", "--mode", "basic", "--limit", "1")
    done = popbench_in(site, *common, "--llm", "alpha", "--llm", "beta")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["systems"] == ["alpha|basic|kinetic", "beta|basic|kinetic"]
    done = popbench_in(site, *common, "--llm", "shared")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "dist-alpha" in done.stderr
    assert "dist-beta" in done.stderr


@pytest.mark.slow
def test_a_lazy_target_of_a_distribution_is_not_imported_before_use(site: Path) -> None:
    common = ("eval", "--dry-run", "--json", "--task", "popcorn_concrete", "--mode", "basic", "--limit", "1")
    assert "LAZY IMPORTED" not in popbench_in(site, *common, "--llm", "alpha").stdout
    assert "LAZY IMPORTED" in popbench_in(site, *common, "--llm", "alpha-lazy").stdout


@pytest.mark.slow
def test_the_list_of_plugins_limits_what_is_loaded(site: Path) -> None:
    done = popbench_in(site, "plugins", POPBENCH_PLUGINS="dist-alpha-plugin")
    assert (done.returncode, done.stderr) == (0, "")
    assert "alpha" in done.stdout
    assert "beta" not in done.stdout
    assert "verbatim" in done.stdout


@pytest.mark.slow
def test_an_empty_list_of_plugins_leaves_the_embedded_ones(site: Path) -> None:
    done = popbench_in(site, "plugins", POPBENCH_PLUGINS="")
    assert (done.returncode, done.stderr) == (0, "")
    assert "alpha" not in done.stdout
    assert "verbatim" in done.stdout


@pytest.mark.slow
def test_an_unknown_plugin_in_the_list_is_told_with_the_closest(site: Path) -> None:
    done = popbench_in(site, "plugins", POPBENCH_PLUGINS="dist-alpa-plugin")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "did you mean 'dist-alpha-plugin'?" in done.stderr


@pytest.mark.slow
def test_doctor_says_which_plugins_are_broken(site: Path) -> None:
    done = popbench_in(site, "doctor", "--offline")
    assert done.returncode == 1
    assert "broken: OSError: no licence file found" in done.stdout
    assert "registered twice" in done.stderr


@pytest.mark.slow
def test_a_plugin_may_exit_while_it_is_imported_and_is_broken_then(tmp_path: Path) -> None:
    distribute(tmp_path, "dist-exit", "exit_module", "raise SystemExit(3)\n")
    done = popbench_in(tmp_path, "plugins")
    assert done.returncode == 1
    assert "dist-exit is broken: SystemExit" in done.stderr


@pytest.mark.slow
def test_a_component_whose_lazy_class_does_not_load_is_broken_and_counts(tmp_path: Path) -> None:
    source = (
        "import popbench\n"
        "@popbench.hookimpl\n"
        "def register_llms(register):\n"
        "    register('lost', 'lost_module_xyz:Lost')\n"
    )
    distribute(tmp_path, "dist-lost", "lost_module", source)
    done = popbench_in(tmp_path, "plugins")
    assert "ModuleNotFoundError" in " ".join(done.stdout.split())
    assert done.returncode == 1


def test_another_distribution_may_add_a_command(tmp_path: Path) -> None:
    source = "import click\n@click.command()\ndef hello():\n    'Say hello.'\n    print('hello there')\n"
    distribute(tmp_path, "dist-hello", "hello_module:hello", "", group="popbench.commands", hello_module=source)
    distribute(tmp_path, "dist-bad", "bad_module:nothing", "", group="popbench.commands", bad_module="x = 1\n")
    done = popbench_in(tmp_path, "--help")
    assert done.returncode == 0
    assert "dist-hello-plugin" in done.stdout
    assert popbench_in(tmp_path, "dist-hello-plugin").stdout == "hello there\n"
    done = popbench_in(tmp_path, "dist-bad-plugin")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_another_distribution_may_add_a_command_to_the_predictor_group(tmp_path: Path) -> None:
    """Its summary is its own; one that does not load is told, and leaves the group's help as it is."""
    group = "popbench.predictor_commands"
    source = "import click\n@click.command()\ndef tune():\n    'Tune it.'\n    print('in tune')\n"
    distribute(tmp_path, "dist-tune", "tune_module:tune", "", group=group, tune_module=source)
    distribute(tmp_path, "dist-lost", "lost_module:lost", "", group=group, lost_module="import nowhere\n")
    done = popbench_in(tmp_path, "predictor", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ")}
    assert lines["dist-tune-plugin"].endswith(" Tune it.")
    assert "From dist-lost: command 'dist-lost-plugin' does not load" in " ".join(done.stdout.split())
    assert "Find out what moves the scores" in lines["audit"]
    assert popbench_in(tmp_path, "predictor", "dist-tune-plugin").stdout == "in tune\n"
    done = popbench_in(tmp_path, "predictor", "dist-tune")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "did you mean 'dist-tune-plugin'?" in done.stderr


def test_commands_of_the_predictor_group_do_not_slow_the_help_of_all(tmp_path: Path) -> None:
    """Looking up entry points takes as long as all of click: that is for distributions with commands of the root."""
    distribute(tmp_path, "dist-tune", "tune_module", "", group="popbench.predictor_commands")
    code = f"import sys, atexit\natexit.register(lambda: print('METADATA', 'importlib.metadata' in sys.modules))\n{RUN}"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "--help"],
        capture_output=True, text=True, env=env, cwd=tmp_path, timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "METADATA False"
