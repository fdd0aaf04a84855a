"""The command line: help that loads nothing, errors in one line, and where settings come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from popbench.cli import BUILT_IN, main

HEAVY = (
    "torch", "transformers", "diffusers", "datasets", "faiss", "scipy", "pandas", "pydantic", "numpy", "rich",
    "sentence_transformers", "av", "jinja2", "yaml", "pluggy", "pyarrow", "huggingface_hub",
)  # fmt: skip


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr."""
        (line,) = self.err.splitlines()
        assert line.startswith("popbench: ")
        return line


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
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


@pytest.fixture
def plan(run: Run) -> Callable[..., dict[str, Any]]:
    """The plan of `popbench eval` on one prompt, as JSON."""

    def call(*arguments: object) -> dict[str, Any]:
        done = run("eval", "--dry-run", "--json", *arguments)
        assert (done.status, done.err) == (0, "")
        found: dict[str, Any] = json.loads(done.out)
        return found

    return call


def python(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=100, check=False)


# -- help


@pytest.mark.parametrize(
    "arguments", [(), ("eval",), ("task",), ("task", "show"), ("leaderboard", "build"), ("doctor",)]
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


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, popbench; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert python(code, cwd=tmp_path).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    ["", *BUILT_IN, "task list", "task show", "task validate", "leaderboard build"],
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


@pytest.mark.parametrize("command", [(), ("task",), ("leaderboard",)])
def test_a_group_without_a_command_shows_its_help_as_it_is(run: Run, command: tuple[str, ...]) -> None:
    done = run(*command)
    shown = (done.out + done.err).splitlines()
    assert shown[0].startswith(f"Usage: {' '.join(('popbench', *command))}")
    assert len(shown) > 5


# -- bad input


EVAL = ("eval", "--dry-run", "--limit", "1", "--task", "popcorn_concrete")


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
        (("plugins", "--frob"), "--frob"),
    ],
)
def test_bad_input_is_one_line_and_status_2(run: Run, arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert done.out == ""
    assert told in done.line
    assert not (tmp_path / "runs").exists()


def task_folder(tmp_path: Path, template: str = "{{ prompt }}", **changes: Any) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "t.jsonl").write_text('{"id": "a", "prompt": "A cat"}\n{"id": "b", "prompt": "a  CAT"}\n')
    blocks = "{% block system %}Be brief.{% endblock %}{% block user %}" + template + "{% endblock %}"
    (folder / "basic.j2").write_text(blocks)
    content = {
        "task": "mine",
        "version": 1,
        "description": "A task [of mine]",
        "dataset": {"path": "json", "data_files": "t.jsonl"},
        "fields": {"id": "id", "prompt": "prompt"},
        "templates": {"basic": "basic.j2"},
        **changes,
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return folder / "mine.yaml"


COMMANDS = [("eval", "--mode", "basic", "--task"), ("task", "show"), ("task", "validate")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_mistake_in_a_task_is_one_line_and_status_2(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, task_folder(tmp_path, tempaltes={}))
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'templates'?" in done.line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_mistake_in_a_template_is_one_line_and_status_2(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, task_folder(tmp_path, "{{ promt }}"))
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'prompt'?" in done.line
    assert "basic.j2" in done.line


def test_a_template_that_fails_on_some_prompts_is_told_by_validate(run: Run, tmp_path: Path) -> None:
    path = task_folder(tmp_path, "{{ prompt.split('  ')[0] }}{{ 1 // (prompt == 'A cat') }}")
    done = run("task", "validate", path)
    assert done.status == 2
    assert "prompt 'b'" in done.line


# -- settings


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("popbench.toml", "llm = [", "popbench.toml: cannot be read"),
        ("popbench.toml", "lmm = 'verbatim'", "popbench.toml: unknown setting 'lmm': did you mean 'llm'?"),
        ("popbench.toml", "limit = 0", "popbench.toml: limit: expected a whole number of at least 1, not 0"),
        ("popbench.toml", "limit = '5'", "popbench.toml: limit: "),
        ("popbench.toml", "limit = true", "popbench.toml: limit: "),
        ("popbench.toml", "llm = 5", "popbench.toml: llm: expected a spec or a list of specs, not 5"),
        ("popbench.toml", "llm = true", "popbench.toml: llm: "),
        ("popbench.toml", "llm = []", "popbench.toml: llm: "),
        ("popbench.toml", "llm = ['']", "popbench.toml: llm: "),
        ("popbench.toml", "llm = [['verbatim']]", "popbench.toml: llm: "),
        ("popbench.toml", "[llm]\nname = 'verbatim'", "popbench.toml: llm: "),
        ("popbench.toml", "corpus = ['demo']", "popbench.toml: corpus: "),
        ("popbench.toml", "stop-after = 'score'", "popbench.toml: unknown stage"),
        ("popbench.toml", "llm = 'verbatm'", "did you mean 'verbatim'?"),
        ("xdg/popbench/popbench.toml", "lmm = 1", "popbench.toml: unknown setting 'lmm'"),
    ],
)
def test_a_bad_settings_file_is_one_line_and_status_2(
    run: Run, tmp_path: Path, name: str, content: str, told: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    done = run("eval")
    assert (done.status, done.out) == (2, "")
    assert told in done.line


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("c.toml", "lmm = 'x'", "c.toml: unknown setting 'lmm': did you mean 'llm'?"),
        ("c.json", '{"config": {"lmm": "x"}}', "c.json: unknown setting 'lmm'"),
        ("c.json", '{"llm": 5}', "c.json: llm: "),
        ("c.json", "[1]", "c.json: not a configuration"),
        ("c.json", '{"config": 3}', "c.json: not a configuration"),
        ("c.json", "{", "c.json: cannot be read"),
        ("c.toml", "llm = ", "c.toml: cannot be read"),
        ("c.toml", "\udcff", "c.toml: cannot be read"),
    ],
)
def test_a_bad_config_is_one_line_and_status_2(run: Run, tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", errors="surrogateescape")
    done = run("eval", "--config", name)
    assert (done.status, done.out) == (2, "")
    assert told in done.line


def test_options_beat_config_beats_folder_beats_user(plan: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    user = tmp_path / "xdg" / "popbench"
    user.mkdir(parents=True)

    def systems(*arguments: str) -> list[str]:
        found: list[str] = plan("--task", "popcorn_concrete", "--limit", "1", "--mode", "basic", *arguments)["systems"]
        return [system.split("|")[2] for system in found]

    assert systems("--llm", "verbatim") == ["kinetic"]
    (user / "popbench.toml").write_text("llm = 'verbatim'\ngen = 'kinetic,label=user'\n")
    assert systems() == ["user"]
    (tmp_path / "popbench.toml").write_text("gen = ['kinetic,label=folder', 'kinetic,label=folder']\n")
    assert systems() == ["folder"]
    (tmp_path / "c.toml").write_text("gen = 'kinetic,label=config'\n")
    assert systems("--config", "c.toml") == ["config"]
    assert systems("--config", "c.toml", "--gen", "kinetic,label=option") == ["option"]


def test_every_option_can_be_a_setting(plan: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "popbench.toml").write_text(
        "llm = ['verbatim', 'shotlist']\ngen = 'kinetic'\nmode = 'pe,k=3'\ntask = ['popcorn_abstract']\n"
        "predictor = 'demo'\ncorpus = 'demo'\nembedder = 'hashing,dim=64'\nlimit = 7\nrepeats = 2\nseed = 1\n"
        "out = 'elsewhere'\nengine = 'local'\nconcurrency = 2\nstop-after = 'render'\n"
    )
    found = plan()
    assert found["run"] == "elsewhere"
    assert found["systems"] == ["shotlist|pe[k=3]|kinetic", "verbatim|pe[k=3]|kinetic"]
    assert found["prompts"] == {"popcorn_abstract": 7}
    assert [(stage["stage"], stage["items"]) for stage in found["stages"]] == [
        ("write", 14), ("write", 14), ("render", 28),
    ]  # fmt: skip
    (tmp_path / "popbench.toml").write_text("stop_after = 'write'\n")
    assert {stage["stage"] for stage in plan("--limit", "1")["stages"]} == {"write"}


def test_a_config_may_be_a_run_json(plan: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    from popbench.plan import EvalConfig

    config = EvalConfig(llm=("verbatim",), mode=("basic",), task=("popcorn_concrete",), limit=3, seed=9)
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "demo": True, "config": config.as_json()}))
    found = plan("--config", "run.json")
    assert found["systems"] == ["verbatim|basic|kinetic"]
    assert found["prompts"] == {"popcorn_concrete": 3}
    same = plan("--llm", "verbatim", "--mode", "basic", "--task", "popcorn_concrete", "--limit", "3", "--seed", "9")
    assert found == same


# -- dry runs


def test_a_dry_run_tells_the_plan_and_does_nothing(run: Run, tmp_path: Path) -> None:
    done = run("eval", "--dry-run", "--limit", "2", "--mode", "basic", "--mode", "pe,k=3", "--gen", "kinetic,fps=12")
    assert (done.status, done.err) == (0, "")
    assert "Systems: 4" in done.out
    assert "shotlist|pe[k=3]|kinetic[fps=12.0]" in done.out
    assert "popcorn_abstract 2, popcorn_concrete 2" in done.out
    assert "Title: " in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_labels_whole_in_its_table(run: Run) -> None:
    done = run(*EVAL, "--gen", "kinetic,fps=12", "--llm", "verbatim")
    assert [line for line in done.out.splitlines() if "render" in line and "kinetic[fps=12.0]" in line]


def test_a_demo_component_marks_the_plan(plan: Callable[..., dict[str, Any]]) -> None:
    assert plan("--limit", "1", "--task", "popcorn_concrete")["demo"] is True


# -- tasks


def test_task_list_names_tasks_groups_and_modes(run: Run) -> None:
    done = run("task", "list")
    assert (done.status, done.err) == (0, "")
    for text in ("popcorn_concrete", "popcorn_abstract", "llmpopcorn_abstract", "llmpopcorn", "basic, pe"):
        assert text in done.out


def test_task_show_prints_the_exact_messages(run: Run, tmp_path: Path) -> None:
    path = task_folder(tmp_path, "[bold]{{ prompt }}[/x]: {{ draft.title_max_chars }}")
    done = run("task", "show", path)
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "# mine/a, category all, mode basic\n\n## system\n\nBe brief.\n\n## user\n\n[bold]A cat[/x]: 50\n\n"
    )
    assert "[bold]a  CAT[/x]" in run("task", "show", path, "--prompt", "b").out


def test_task_show_prints_references_in_their_mode(run: Run) -> None:
    done = run("task", "show", "popcorn_concrete", "--mode", "pe,k=5,negative_ratio=0.4")
    assert (done.status, done.err) == (0, "")
    assert "mode pe[k=5,negative_ratio=0.4]" in done.out
    assert done.out.count("Title: ") == 5
    assert done.out.count("(unpopular)") == 2


def test_task_show_takes_the_first_prompt_of_the_first_task(run: Run, tmp_path: Path) -> None:
    rows = [f"{kind},Prompt {n} of {kind}\n" for kind in ("abstract", "concrete") for n in range(100)]
    (tmp_path / "hub.csv").write_text("type,prompt\n" + "".join(rows))
    done = run("task", "show", "llmpopcorn,path=hub.csv")
    assert done.out.startswith("# llmpopcorn_abstract/0001, category Anime, mode basic\n")


def test_task_validate_counts_prompts_and_tells_repeated_ones(run: Run, tmp_path: Path) -> None:
    done = run("task", "validate", task_folder(tmp_path), "popcorn_concrete")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "mine: 2 prompts (all 2), modes basic: ok",
        "mine: 2 prompts read 'a cat'",
        "popcorn_concrete: 100 prompts (Anime 20, Delicacy 20, Daily Sharing 20, Film and TV 20, Game 20), "
        "modes basic, pe: ok",
    ]


# -- boards


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


def test_plugins_lists_the_embedded_defaults(run: Run) -> None:
    done = run("plugins", "--json")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    named = {(item["kind"], item["name"]) for item in found["components"]}
    assert {("llm", "verbatim"), ("generator", "kinetic"), ("predictor", "demo"), ("engine", "local")} <= named
    assert all(item["summary"] for item in found["components"] if item["distribution"] == "popbench")
    assert run("plugins").status == 0
