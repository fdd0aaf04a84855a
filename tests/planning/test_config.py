"""Settings of `popbench eval`: where they come from, which one counts, and the plan that a dry run tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import Run, in_process


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def plan(run: Run) -> Callable[..., dict[str, Any]]:
    """The plan of `popbench eval` on one prompt, as JSON."""

    def call(*arguments: object) -> dict[str, Any]:
        done = run("eval", "--dry-run", "--json", *arguments)
        assert (done.status, done.err) == (0, "")
        found: dict[str, Any] = json.loads(done.out)
        return found

    return call


# -- settings


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("popbench.toml", "llm = [", "popbench.toml: cannot be read"),
        ("popbench.toml", "lmm = 'verbatim'", "popbench.toml: unknown setting 'lmm': did you mean 'llm'?"),
        ("popbench.toml", "limit = 0", "popbench.toml: limit: expected a whole number of at least 1, not 0"),
        ("popbench.toml", "limit = '5'", "popbench.toml: limit: "),
        ("popbench.toml", "limit = true", "popbench.toml: limit: "),
        ("popbench.toml", "llm = 5", "popbench.toml: llm: expected NAME[,key=value]... or a list of such, not 5"),
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
    from popbench.planning.config import EvalConfig

    config = EvalConfig(llm=("verbatim",), mode=("basic",), task=("popcorn_concrete",), limit=3, seed=9)
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "demo": True, "config": config.as_json()}))
    found = plan("--config", "run.json")
    assert found["systems"] == ["verbatim|basic|kinetic"]
    assert found["prompts"] == {"popcorn_concrete": 3}
    same = plan("--llm", "verbatim", "--mode", "basic", "--task", "popcorn_concrete", "--limit", "3", "--seed", "9")
    assert found == same


# -- dry runs


EVAL = ("eval", "--dry-run", "--limit", "1", "--task", "popcorn_concrete")


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


@pytest.mark.parametrize("repeats", [999_999_999, 10**30])
def test_a_run_that_no_machine_could_hold_is_refused_at_once(run: Run, repeats: int) -> None:
    refused = run("eval", "--dry-run", "--limit", 1, "--repeats", repeats)
    assert refused.status == 2
    assert "are more than the 10,000,000 samples that a run can have: give fewer --repeats" in refused.line
