"""The command line: help that loads nothing, and errors in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import faults
from command_line import Run, in_process
from popbench.cli import BUILT_IN
from popbench.registry import load_registry


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


HEAVY = (
    "torch", "transformers", "diffusers", "datasets", "faiss", "scipy", "pandas", "pydantic", "numpy", "rich",
    "sentence_transformers", "av", "jinja2", "yaml", "pluggy", "pyarrow", "huggingface_hub",
)  # fmt: skip


def python(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=100, check=False)


# -- help


@pytest.mark.parametrize(
    "arguments",
    [(), ("eval",), ("task",), ("task", "show"), ("leaderboard", "build"), ("doctor",), ("predictor", "audit")],
)
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code = (
        "import sys\n"
        "from popbench.cli import main\n"
        "sys.argv[0] = 'popbench'\n"
        "try:\n    main()\n"
        "finally:\n"
        f"    print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = python(code, *arguments, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "Usage: popbench" in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_help_of_the_predictor_group_imports_the_modules_of_its_commands_and_nothing_heavy(tmp_path: Path) -> None:
    """A plugin's package is the module of its hooks, which takes pluggy: that is small."""
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules]))\n"
        "from popbench.cli import main\n"
        "sys.argv[0] = 'popbench'\n"
        "main()\n"
    )
    done = python(code, "predictor", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] in ("HEAVY []", "HEAVY ['pluggy']")


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, popbench; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert python(code, cwd=tmp_path).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [
        "",
        *BUILT_IN,
        "task list",
        "task show",
        "task validate",
        "leaderboard build",
        "predictor audit",
        "ballot make",
        "ballot add",
        "labels add",
    ],
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(run: Run, command: str, flag: str) -> None:
    done = run(*command.split(), flag)
    assert (done.status, done.err) == (0, "")
    assert f"Usage: popbench {command}".strip() in done.out


def test_help_names_every_command(run: Run) -> None:
    out = run("--help").out
    for name, summary in BUILT_IN.items():
        assert name in out
        assert summary.split(":")[0] in " ".join(out.split())


def test_the_version_is_told(run: Run) -> None:
    done = run("--version")
    assert (done.status, done.out) == (0, f"popbench, version {version('popbench')}\n")


@pytest.mark.parametrize("command", [("task",), ("ballot",), ("labels",), ("leaderboard",), ("predictor",)])
def test_a_group_without_a_command_shows_its_help_as_it_is(run: Run, command: tuple[str, ...]) -> None:
    done = run(*command)
    shown = (done.out + done.err).splitlines()
    assert shown[0].startswith(f"Usage: {' '.join(('popbench', *command))}")
    assert len(shown) > 5


# -- bad input


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("eval", "--llm", "verbatm"), "did you mean 'verbatim'?"),
        (("eval", "--gen", "kinetik"), "did you mean 'kinetic'?"),
        (("eval", "--task", "popcron"), "did you mean 'popcorn'?"),
        (("eval", "--mode", "pee"), "did you mean 'pe'?"),
        (("eval", "--predictor", "deom"), "did you mean 'demo'?"),
        (("eval", "--corpus", "dmo"), "did you mean 'demo'?"),
        (("eval", "--embedder", "hasing"), "did you mean 'hashing'?"),
        (("eval", "--engine", "locl"), "did you mean 'local'?"),
        (("eval", "--gen", "kinetic,fsp=8"), "did you mean 'fps'?"),
        (("eval", "--gen", "kinetic,fps=fast"), "fps: "),
        (("eval", "--gen", "kinetic,fps"), "is not key=value"),
        (("eval", "--gen", "kinetic,label=a|b"), "without '|'"),
        (("eval", "--mode", "pe,k=0"), "k: "),
        (("eval", "--mode", "pe,kk=5"), "did you mean 'k'?"),
        (("eval", "--mode", "basic,k=5"), "unknown option of mode basic 'k'"),
        (("eval", "--llm", ""), "llm"),
        (("eval", "--llm", "verbatim,x='"), "not closed"),
        (("eval", "--llm", "verbatim,label=a", "--llm", "shotlist,label=a"), "label=NAME"),
        (("eval", "--mode", "pe,label=basic", "--mode", "basic"), "label=NAME"),
        (("eval", "--limit", "0"), "--limit"),
        (("eval", "--limit", "-3"), "--limit"),
        (("eval", "--limit", "some"), "'some'"),
        (("eval", "--repeats", "0"), "--repeats"),
        (("eval", "--seed", "-1"), "--seed"),
        (("eval", "--concurrency", "0"), "--concurrency"),
        (("eval", "--stop-after", "score"), "--stop-after"),
        (("eval", "--lmm", "x"), "--lmm"),
        (("eval", "verbatim"), "verbatim"),
        (("eval", "--llm"), "--llm"),
        (("eval", "--config", "gone.toml"), "gone.toml"),
        (("eval", "--config", "."), "--config"),
        (("evla",), "evla"),
        (("--lmm",), "--lmm"),
        (("task", "shw"), "shw"),
        (("task", "show"), "TASK"),
        (("task", "show", "popcron"), "did you mean 'popcorn'?"),
        (("task", "show", "popcorn_concrete", "--prompt", "concrete-anime-1"), "did you mean 'concrete-anime-"),
        (("task", "show", "popcorn_concrete", "--mode", "pee"), "did you mean 'pe'?"),
        (("task", "validate"), "TASK"),
        (("task", "validate", "popcorn_concrete", "popcron"), "did you mean 'popcorn'?"),
        (("task", "validate", "gone.yaml"), "gone.yaml"),
        (("leaderboard", "build", "--out", "x"), "RUN_OR_SCORES"),
        (("leaderboard", "build", "gone.csv", "--out", "x"), "gone.csv"),
        (("leaderboard", "build", ".", "--out", "x"), "no finished run here"),
        (("leaderboard", "build", "."), "--out"),
        (("predictor", "audt"), "did you mean 'audit'?"),
        (("predictor", "--frob"), "--frob"),
        (("predictor", "audit", "gone"), "no such folder"),
        (("plugins", "--frob"), "--frob"),
        (("plugins", "kinetik"), "did you mean 'kinetic'?"),
    ],
)
def test_bad_input_is_one_line_and_status_2(run: Run, arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert done.out == ""
    assert told in done.line
    assert not (tmp_path / "runs").exists()


# -- boards


def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    for arguments in (["plugins"], ["--help"]):
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            done = subprocess.run(
                [sys.executable, "-m", "popbench", *arguments],
                stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=100, check=False,
            )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr == "popbench: output cannot be written (No space left on device)\n"


@pytest.mark.parametrize("command", [["view"], ["status"], ["report"], ["best", "a cat", "--out"]])
def test_a_path_that_cannot_be_looked_at_is_one_line_with_its_name(command: list[str], run: Run) -> None:
    done = run(*command, "x" * 300)  # as a folder without rights, whose rights do not hold for root
    assert (done.status, done.out) == (2, "")
    assert done.line.startswith("popbench: " + "x" * 199)
    assert done.line.endswith("cannot be used (File name too long)")


def test_leaderboard_build_ranks_bare_scores(run: Run, tmp_path: Path) -> None:
    rows = [f"{system},t,{prompt},{prompt + len(system)}\n" for system in ("a", "bb") for prompt in range(5)]
    (tmp_path / "s.csv").write_text("system,task,prompt_id,popularity\n" + "".join(rows))
    done = run("leaderboard", "build", "s.csv", "--out", "board", "--title", "Mine")
    assert (done.status, done.err) == (0, "")
    assert "board: README.md, board.json" in done.out
    assert (tmp_path / "board" / "README.md").read_text().startswith("# Mine\n")


def test_leaderboard_build_tells_what_does_not_compare(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("system,task,prompt_id,popularity\na,t,1,3\na,t,2,3\nb,t,1,4\n")
    done = run("leaderboard", "build", "s.csv", "--out", "board")
    assert (done.status, done.out) == (2, "")
    assert "system 'b' lacks 1 result" in done.line
    assert run("leaderboard", "build", "s.csv", "--out", "board", "--common").status == 0


# -- doctor and plugins


@pytest.mark.slow
def test_doctor_tells_which_keys_are_set_and_never_their_values(tmp_path: Path) -> None:
    """In a process of its own, with a key in every place that could be printed."""
    secret = "sk-secret-0123456789abcdef"
    code = "import sys; from popbench.cli import main; sys.argv[0] = 'popbench'; main()"
    environ = {**os.environ, "OPENAI_API_KEY": secret, "HF_TOKEN": secret, "COLUMNS": "200"}
    environ.pop("DEEPSEEK_API_KEY", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "doctor", "--offline"],
        capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert secret not in done.stdout
    assert "secret" not in done.stdout
    rows = {
        line.split()[0]: line.split(maxsplit=1)[1].strip() for line in done.stdout.splitlines() if " " in line.strip()
    }
    assert (rows["OPENAI_API_KEY"], rows["HF_TOKEN"], rows["DEEPSEEK_API_KEY"]) == ("set", "set", "not set")
    assert "not tried" in done.stdout
    assert "llm verbatim" in done.stdout
    assert "ready" in done.stdout


def test_doctor_says_what_a_component_needs_without_its_name_again(run: Run) -> None:
    """A model that takes options is not broken."""
    faults.install()
    rows = [line.strip("│ ").split("│") for line in run("doctor", "--offline").out.splitlines() if "│" in line]
    told = {cells[0].strip(): cells[1].strip() for cells in rows if len(cells) == 2}
    assert told["generator finished"] == "needs path=VALUE"
    assert told["generator kinetic"] == "ready"


def test_plugins_lists_the_embedded_defaults(run: Run) -> None:
    done = run("plugins", "--json")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    named = {(item["kind"], item["name"]) for item in found["components"]}
    assert {("llm", "verbatim"), ("generator", "kinetic"), ("predictor", "demo"), ("engine", "local")} <= named
    assert all(item["summary"] for item in found["components"] if item["distribution"] == "popbench")
    assert run("plugins").status == 0


def test_plugins_lists_components_by_kind_a_line_each_in_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of popbench's own, presets too, says in that line what it is, and no other one says the same."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.rstrip() for line in run("plugins").out.splitlines()]
    assert all(len(line) <= 80 for line in lines)
    found = json.loads(run("plugins", "--json").out)["components"]
    own = [each for each in found if each["distribution"] == "popbench"]
    assert len({each["summary"] for each in own}) == len(own)
    for each in own:
        assert [each["name"], *each["summary"].split()] in [line.split() for line in lines]
    kinds = [line for line in lines if line and not line.startswith(" ")]
    assert kinds == ["corpus", "embedder", "engine", "generator", "llm", "mode", "predictor", "tracker"]
    assert len(lines) == len(found) + 2 * len(kinds) - 1
    told = {each["name"]: each["summary"] for each in own}
    assert told["cogvideox-5b"] == "CogVideoX, 5.6B: 720x480, 49 frames at 8 fps; 26 GiB GPU"
    assert told["llama-3.3-70b"] == "Llama 3.3 70B here, in 4 bits; 42 GiB GPU"
    assert told["deepseek-v4-pro-thinking"] == "DeepSeek-V4-Pro, thinking; needs a key"


def test_plugins_cuts_a_line_that_does_not_fit_and_keeps_whose_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wordy(faults.CountingLLM):
        """Writes drafts that say a great deal, in many words, 雨の夜に, about nothing that anybody has asked for."""

    monkeypatch.setenv("COLUMNS", "80")
    registry = load_registry()
    monkeypatch.setattr(registry, "registrations", dict(registry.registrations))
    registry.adopt("llm", Wordy)
    (line,) = (line for line in run("plugins").out.splitlines() if line.startswith(" Wordy "))
    assert "…" in line
    assert line.endswith("]")
    assert (
        "many words, 雨の夜に, about nothing"
        in json.loads(run("plugins", "Wordy", "--json").out)["components"][0]["summary"]
    )


def test_plugins_tells_the_options_of_a_component_as_its_class_has_them(run: Run) -> None:
    """A preset counts as a default; a star marks what results do not depend on."""
    done = run("plugins", "deepseek-r1")
    assert (done.status, done.err) == (0, "")
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in done.out.splitlines() if "│" in line]
    told = {row[0]: row[1:] for row in rows}
    assert told["model"] == ["text", "", "the model's id there, if it is not the one that the provider uses"]
    assert told["concurrency*"][:2] == ["whole number (at least 1, at most 1000)", "16"]
    assert "label" in told
    assert done.out.splitlines()[-1] == "* results do not depend on it"
    assert "│ required │" in run("plugins", "openai").out


def test_plugins_tells_options_as_json(run: Run) -> None:
    faults.install()
    (kinetic,) = json.loads(run("plugins", "kinetic", "--json").out)["components"]
    assert kinetic["options"][0] == {
        "name": "width", "type": "whole number (at least 64, at most 3840)", "required": False, "default": 320,
        "runtime": False, "description": "",
    }  # fmt: skip
    (finished,) = json.loads(run("plugins", "finished", "--json").out)["components"]
    assert [(item["type"], item["required"], item["default"]) for item in finished["options"]] == [("path", True, None)]
    found = json.loads(run("plugins", "--json").out)["components"]
    assert kinetic in found


def test_components_of_several_kinds_may_share_a_name(run: Run) -> None:
    out = run("plugins", "demo").out
    assert "corpus demo: " in out
    assert "predictor demo: " in out


def test_every_type_of_option_has_words() -> None:
    from popbench.cli._options import options_of
    from typed_option_component import Thing, registry_of

    (thing, _) = registry_of(Thing)
    assert {item["name"]: item["type"] for item in options_of(thing)} == {
        "count": "whole number (at least 0, at most 99)",
        "ratio": "number",
        "flag": "true or false",
        "text": "text",
        "maybe": "whole number or null",
        "word": "text or null",
        "sizes": "list[whole number]",
        "table": "dict[text, number]",
        "folder": "path or null",
        "step": "8 or 16",
        "pace": "slow or fast",
        "scale": "number or auto",
        "concurrency": "whole number (at least 1)",
    }


def test_a_dry_run_tells_only_of_the_stages_that_are_run(run: Run) -> None:
    asked = ("eval", "--llm", "verbatim", "--corpus", "demo", "--limit", 1, "--dry-run")
    told = {stage: run(*asked, *(("--stop-after", stage) if stage else ())).out for stage in ("write", "render", "")}
    assert ["Disk for clips" in out for out in told.values()] == [False, True, True]
    assert ["Demo: the scores" in out for out in told.values()] == [False, False, True]
    assert "1 sample each" in told[""]
