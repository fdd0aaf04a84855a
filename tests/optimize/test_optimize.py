"""A whole search: what it leaves, how it is gone on with, what it is used for, and what is refused."""

from __future__ import annotations

import html
import json
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import knob_world
import search_kills
from command_line import Done, Run, in_process
from popbench.errors import UsageError
from popbench.optimize.optimize import optimize
from popbench.optimize.options import read_options
from popbench.optimize.output import use_command
from popbench.optimize.search import Candidate
from popbench.optimize.study import Study
from popbench.planning.config import make_config
from popbench.planning.resolve import make_plan
from popbench.progress import Progress
from popbench.prompting.mode_files import find_mode_file


@pytest.fixture(autouse=True)
def _installed() -> None:
    knob_world.install()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def searched(folder: Path, *more: str, **options: Any) -> dict[str, Any]:
    """Search without the command line, whose options `knob_world.command` gives."""
    command = knob_world.command(folder, *more, **options)
    given = dict(zip(command[3::2], command[4::2], strict=True))
    config = make_config({
        "llm": [given["--llm"]], "gen": given["--gen"], "predictor": given["--predictor"], "task": given["--task"],
        "mode": given.get("--from", "basic"),
    })  # fmt: skip
    judges = (given["--judge"],) if given["--judge"] else ()
    asked = read_options(config, given["--out"], given["--budget"], judges, given.get("--reflect"), ("options",))
    return optimize(asked, Progress())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished search."""
    folder = tmp_path_factory.mktemp("search")
    knob_world.install()
    searched(folder)
    return folder


def read(folder: Path, name: str = "optimize.json") -> Any:
    return json.loads((folder / "o" / name).read_text(encoding="utf-8"))


def test_the_file_tells_the_lineage_the_rounds_and_the_proof(found: Path) -> None:
    content = read(found)
    assert content["state"] == "finished"
    assert content["verdict"] == "proved"
    assert [row["role"] for row in content["proof"]["predictors"]] == ["P", "Q"]
    ids = [row["id"] for row in content["candidates"]]
    assert ids == [f"c{number}" for number in range(len(ids))]
    for row in content["candidates"]:
        assert all(ids.index(parent) < ids.index(row["id"]) for parent in row["parents"])
        assert (found / "o" / row["template"]).read_text(encoding="utf-8") == row["text"]
    assert content["rounds"][-1]["spent"] <= content["selection"]["spent"] <= content["budget"]["spent"] <= 160
    assert content["candidates"][0]["win_rate"] is None
    assert next(row for row in content["candidates"] if row["status"] == "best")["id"] == content["best"]["id"]


def test_the_parts_share_no_prompt_and_the_proof_is_on_its_own(found: Path) -> None:
    splits = read(found)["splits"]
    chosen = {name: {id_ for _, id_ in part["prompts"]} for name, part in splits.items()}
    assert len(set.union(*chosen.values())) == sum(part["n"] for part in splits.values()) == 90
    lines = (found / "o" / "proof" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    assert {sample["prompt_id"] for sample in samples} == chosen["proof"]
    assert len(samples) == 2 * splits["proof"]["n"]
    with closing(sqlite3.connect(found / "o" / "search" / "ledger.sqlite")) as ledger:
        tried = {prompt for (prompt,) in ledger.execute("SELECT DISTINCT prompt FROM done")}
    assert not tried & chosen["proof"]


def test_no_more_clips_are_rendered_than_the_budget_has(found: Path) -> None:
    assert 0 < len(search_kills.clips(found / "o")) <= 160


def test_the_line_that_says_how_to_use_it_runs_and_stands_on_the_page_too(found: Path, run: Run) -> None:
    shown = run(*knob_world.command(found))
    (line,) = (line for line in shown.out.splitlines() if line.startswith("To use it: popbench "))
    page = html.unescape((found / "o" / "index.html").read_text(encoding="utf-8"))
    assert f"<code>{line.removeprefix('To use it: ')}</code>" in page
    done = run(*shlex.split(line.removeprefix("To use it: popbench ")), "--dry-run")
    assert done.status == 0, done.err
    assert "best-of-o" in done.out


@pytest.mark.parametrize(("corpus", "embedder", "told"), [
    (None, None, ""),
    ("microlens", "all-MiniLM-L12-v2", ""),
    ("demo", "hashing", " --corpus demo"),
    ("demo", "mine", " --corpus demo --embedder mine"),
    ("microlens", "hashing", " --embedder hashing"),
])  # fmt: skip
def test_the_line_takes_references_from_where_the_search_took_them(
    corpus: str | None, embedder: str | None, told: str
) -> None:
    asked: dict[str, Any] = {"gen": "ltx", "task": ["popcorn"], "predictor": "demo", "start": "pe,k=9"}
    asked |= {"corpus": corpus, "embedder": embedder}
    line = use_command({"options": asked, "best": {"llm": "shotlist", "mode": "best-of-o"}})
    assert line == f"popbench eval --llm shotlist --gen ltx --mode pe,k=9 --mode best-of-o{told}"


def test_what_was_found_is_a_mode_with_its_options(found: Path, run: Run) -> None:
    components = ["--llm", "knob-writer", "--gen", "knob-clips", "--predictor", knob_world.judge({}, "P")]
    modes = ["--mode", "basic", "--mode", f"best-of-{found / 'o'}"]
    task = ["--task", found / "task" / "knobs.yaml", "--limit", 10]
    done = run("eval", *components, *modes, *task, "--out", "run")
    assert done.status == 0, done.err
    recorded = json.loads(Path("run/run.json").read_text(encoding="utf-8"))["modes"]["best-of-o"]
    changed = {name.removeprefix("option."): value for name, value in _best(found)["changes"].items()}
    assert {name: recorded["options"][name] for name in changed} == changed
    assert "Verdict: proved." in (found / "o" / "best.j2").read_text(encoding="utf-8")


def _best(folder: Path) -> dict[str, Any]:
    content = read(folder)
    return next(row for row in content["candidates"] if row["id"] == content["best"]["id"])


def test_a_finished_search_is_shown_and_its_proof_not_used_again(found: Path, run: Run) -> None:
    before = _files_of(found / "o")
    done = run(*knob_world.command(found))
    assert done.status == 0
    assert "the prompts of its proof are used" in done.err
    assert "Verdict: proved" in done.out
    assert "P: P" in done.out
    assert before == _files_of(found / "o")


def _files_of(folder: Path) -> dict[Path, int]:
    """Return all files with their times of change, but for locks, and the page, which is made of the others."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("index.html", ".lock"))
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.parametrize(("changed", "value", "named"), [
    ("--budget", "clips=300", "budget: 'clips=160', now 'clips=300'"), ("--seed", "7", "seed: 42, now 7"),
    ("--judge", knob_world.judge({}, "R"), "judge: "),
])  # fmt: skip
def test_another_search_in_the_same_directory_is_refused(
    found: Path, run: Run, changed: str, value: str, named: str
) -> None:
    done = run(*knob_world.command(found, changed, value))
    assert done.status == 2
    assert named in done.line
    assert "another --out" in done.line


def test_a_lineage_that_no_longer_follows_from_the_ledger_is_told(found: Path, tmp_path: Path) -> None:
    shutil.copytree(found, tmp_path / "copy")
    lineage = tmp_path / "copy" / "o" / "lineage.jsonl"
    lines = lineage.read_text(encoding="utf-8").splitlines()[:-1]
    lines[2] = lines[2].replace('"edit"', '"merge"')
    lineage.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = knob_world.command(tmp_path / "copy", "--task", str(found / "task" / "knobs.yaml"))
    header = json.loads(lines[0])["options"]["task"]
    assert header == [command[command.index("--task") + 1]]
    with pytest.raises(Exception, match="line 3 is not what the search comes to now"):
        searched(tmp_path / "copy", "--task", str(found / "task" / "knobs.yaml"))


def test_a_proof_whose_lineage_is_gone_is_not_made_again(found: Path, tmp_path: Path, run: Run) -> None:
    shutil.copytree(found, tmp_path / "copy")
    (tmp_path / "copy" / "o" / "lineage.jsonl").unlink()
    assert "its prompts are used once" in run(*knob_world.command(tmp_path / "copy")).line


def test_a_search_from_what_another_found_says_if_it_has_the_prompts_of_its_proof(found: Path, tmp_path: Path) -> None:
    task = ["--task", str(found / "task" / "knobs.yaml")]
    content = searched(tmp_path, "--from", f"best-of-{found / 'o'}", *task)
    assert any("another --seed has others" in remark for remark in content["remarks"])
    assert content["candidates"][0]["options"] == _best(found)["options"]


def test_candidates_with_options_of_the_llm_are_systems_of_their_own(tmp_path: Path) -> None:
    config = make_config({"llm": ["knob-writer"], "gen": "knob-clips", "mode": "basic",
                          "task": str(knob_world.task(tmp_path / "task", 60))})  # fmt: skip
    study = Study(make_plan(config), tmp_path / "o", tmp_path)
    assert study.space["llm.temperature"] == [0.3, 1.0, 1.3]
    assert study.space["option.shots"] == [1, 4]
    assert not study.valid({"option.shots": "many"})
    plan = study.planned([Candidate(0, {}), Candidate(1, {"llm.temperature": 1.0, "option.hook": True})])
    assert [system.id for system in plan.systems] == [
        "knob-writer[temperature=1.0]|c1|knob-clips", "knob-writer|c0|knob-clips",
    ]  # fmt: skip
    for stage in ("write", "render"):
        assert sum(len(samples) for _, sets in plan.stage_samples(stage) for samples in sets) == 2 * 60
    plan.close()


def test_a_gain_that_only_p_sees_is_not_proved_for_q(tmp_path: Path) -> None:
    effects = {"hook": {"true": 3.0}}
    content = searched(tmp_path, "--predictor", knob_world.judge(effects, "P"), "--judge", knob_world.judge({}, "Q"),
                       clips=150)  # fmt: skip
    assert content["verdict"] == "proved for P, not for Q: the search exploited the predictor"
    assert [row["proved"] for row in content["proof"]["predictors"]] == [True, False]


def test_a_reflecting_llm_finds_what_popbench_cannot_and_its_bad_answers_are_counted(tmp_path: Path) -> None:
    effects = {"bonus": {"true": 3.0}}
    content = searched(
        tmp_path, "--predictor", knob_world.judge(effects, "P"), "--judge", knob_world.judge(effects, "Q", salt=1),
        "--reflect", "knob-reflector", clips=150,
    )  # fmt: skip
    told = content["reflection"]
    assert told["asked"] == told["answered"] == told["used"] + sum(told["refused"].values())
    assert told["used"]
    assert set(told["refused"]) <= {"no JSON object", "a template that does not parse or fails", "has been tried"}
    assert any(row["why"] == "A bonus is rewarded." for row in content["candidates"])
    assert "Always knob bonus=true." in (tmp_path / "o" / "best.j2").read_text(encoding="utf-8")
    assert content["verdict"] == "proved"


def test_a_budget_in_usd_is_kept(tmp_path: Path) -> None:
    content = searched(tmp_path, "--budget", "usd=1.5")
    assert content["state"] == "finished"
    assert content["budget"]["spent"] <= 1.5
    with_costs = [json.loads(line)["cost"] for line in (tmp_path / "o/proof/samples.jsonl").read_text().splitlines()]
    assert all(cost == pytest.approx(0.015) for cost in with_costs)


@pytest.mark.parametrize(("more", "line"), [
    (["--budget", "clips=90"], "--budget: 90 clips are too few"),
    (["--budget", "gpu-hours=3"], "neither the LLM nor the generator uses a GPU"),
    (["--from", "refine"], "--from refine: is code of a plugin"),
    (["--from", "nothing.j2"], "mode nothing.j2: no such file"),
    (["--from", "best-of-nowhere"], "nowhere: no such folder"),
    (["--llm", "no-such"], "unknown llm 'no-such'"),
    (["--judge", "judge-pairwise,model=seer,base_url=http://127.0.0.1:9"], "compares systems of a run"),
    (["--judge", knob_world.judge(knob_world.WORLDS["three of eight"], "P2")], "--judge: P is the predictor"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path: Path, run: Run, more: list[str], line: str) -> None:
    done: Done = run(*knob_world.command(tmp_path, *more))
    assert done.status == 2
    assert line in done.line
    assert not (tmp_path / "o" / "lineage.jsonl").exists()


def test_components_of_popbench_toml_count_and_settings_for_studies_are_left_out(tmp_path: Path, run: Run) -> None:
    Path("popbench.toml").write_text('limit = 5\nrepeats = 3\nuntil = "best"\n', encoding="utf-8")
    # A budget that is too small is told only after everything else has been found in order.
    assert "90 clips are too few" in run(*knob_world.command(tmp_path, "--budget", "clips=90")).line
    Path("popbench.toml").write_text('llm = "no-such"\n', encoding="utf-8")
    assert "unknown llm 'no-such'" in run("optimize", "--budget", "clips=400", "--out", "o").line
    Path("popbench.toml").write_text("max_cost = 5.0\n", encoding="utf-8")
    assert "--budget usd=X does" in run("optimize", "--budget", "clips=400", "--out", "o").line


def test_a_folder_of_other_files_is_refused_and_stays_as_it_is(tmp_path: Path, run: Run) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o/index.html").write_text("mine", encoding="utf-8")
    done: Done = run(*knob_world.command(tmp_path))
    assert (done.status, "o holds other files (index.html), and no search" in done.line) == (2, True)
    assert {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "o").iterdir()} == {
        "index.html": "mine"
    }


@pytest.mark.parametrize("text", ["[]\n", "5\n", "{}\n", "{\n", "\0\n"])
def test_a_lineage_that_is_none_is_told(tmp_path: Path, run: Run, text: str) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o/lineage.jsonl").write_text(text, encoding="utf-8")
    done: Done = run(*knob_world.command(tmp_path))
    assert (done.status, "lineage.jsonl: cannot be read" in done.line) == (2, True)


def test_too_few_prompts_are_refused_in_one_line(tmp_path: Path, run: Run) -> None:
    assert "49 prompts are too few" in run(*knob_world.command(tmp_path, n=49)).line


def test_a_damaged_provenance_is_told(tmp_path: Path) -> None:
    (tmp_path / "best.j2").write_text("x", encoding="utf-8")
    (tmp_path / "best.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match=r"best\.json: cannot be read"):
        find_mode_file(f"best-of-{tmp_path}")


@pytest.mark.slow
def test_a_killed_search_comes_to_the_same_lineage_and_renders_nothing_twice(tmp_path: Path) -> None:
    counts = search_kills.check(tmp_path, 2, seed=4, budget=115, n=55)
    assert len(counts) == 3
