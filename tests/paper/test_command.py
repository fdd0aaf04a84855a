"""`popbench report --paper` on real runs: one, several together, with their costs, and what it refuses."""

from __future__ import annotations

import html
import json
import statistics
from pathlib import Path
from typing import Any

import pytest

import faults
import popbench_runs
from command_line import Run, in_process
from made_paper_scores import TASKS
from popbench.errors import RunError
from popbench.paper.choices import Asked, choose
from popbench.paper.cost_tables import llm_costs, stages
from popbench.paper.entries import Lookup
from popbench.paper.evidence import read_evidence
from popbench.paper.report import write_paper
from usage_errors import refusal

SHAPE: dict[str, Any] = {"task": list(TASKS), "mode": ["basic", "pe", "pe,k=20"], "embedder": "hashing"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two runs that compare, of an LLM each, and one by another predictor."""
    faults.install()
    folder = tmp_path_factory.mktemp("runs")
    made: dict[str, dict[str, Any]] = {
        "shotlist": {"llm": "shotlist"},
        "verbatim": {"llm": "verbatim", "gen": ["faulty", "counting"]},
        "other": {"llm": "faulty", "predictor": "demo"},
    }
    for name, changes in made.items():
        assert popbench_runs.run_fast(folder / name, **SHAPE, **changes).complete
    return {name: folder / name for name in made}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    faults.install()
    return in_process(monkeypatch, capsys, tmp_path)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_run_s_report_goes_into_its_folder_with_every_choice_told(run: Run, runs: dict[str, Path]) -> None:
    done = run("report", runs["verbatim"], "--paper", "--rag-size", "20", "--match", "verbatim=gpt-4o")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "Tables 4 to 7: RAG size 20, mode pe[k=20] (as asked)." in lines
    assert "Concrete prompts: task popcorn_concrete (by its name; --concrete chooses)." in lines
    assert "Beside the paper's numbers: verbatim as ChatGPT-4o (--match adds to these)." in lines
    assert any(line.startswith("Tables 2, 3, 4 and 6: generator ") for line in lines)
    covered = "Covered: tables 2, 3, 4, 5, 7, 8, 9 and 10, figures 3, 4, 5, 7 and 8. Not covered: table 6."
    assert covered in lines
    folder = runs["verbatim"] / "paper"
    pictures = [f"figures/figure-{number}.svg" for number in (3, 4, 5, 7, 8)]
    assert files(folder) == [*pictures, "paper.html", "paper.md"]
    text = (folder / "paper.md").read_text(encoding="utf-8")
    assert text.splitlines()[2:4][0] == "> [!WARNING]"
    assert "Demo scores." in text.splitlines()[3]
    for picture in pictures:
        assert f"]({picture})" in text
    page = (folder / "paper.html").read_text(encoding="utf-8")
    assert page.count("<svg") == len(pictures)
    assert "http" not in page.replace("http://www.w3.org/", "")
    assert all(line in html.unescape(page) for line in lines[:-1])


@pytest.mark.slow
def test_several_runs_make_one_report(run: Run, runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "both"
    done = run("report", runs["shotlist"], runs["verbatim"], "--paper", "--out", out)
    assert done.status == 0
    assert "6" in done.out.split("Covered: tables ")[1].split(", figures")[0]
    text = (out / "paper.md").read_text(encoding="utf-8")
    assert "| shotlist | verbatim |" in text
    assert "| verbatim | shotlist |" in text
    assert "laid out as there, from the systems of shotlist and verbatim" in text


def test_costs_are_those_of_the_runs_calls_each_once(runs: dict[str, Path]) -> None:
    evidence = read_evidence([runs["shotlist"], runs["verbatim"]])
    look = Lookup(evidence, choose(evidence, Asked()))
    samples = [
        json.loads(line)
        for name in ("shotlist", "verbatim")
        for line in (runs[name] / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    ]

    def median(stage: str, key: list[str], **of: str) -> float:
        chosen = {
            tuple(sample[name] for name in key): sample["seconds"][stage]
            for sample in reversed(samples)
            if all(sample[name] == value for name, value in of.items())
        }
        return float(statistics.median(chosen.values()))

    found = {names[0]: entries[1].value for names, entries in stages(look).rows}
    assert found["retrieval"] is None
    assert found["counting"] == pytest.approx(median("generate", ["video"], generator="counting"))
    assert found["faulty"] == pytest.approx(median("generate", ["llm", "video"], generator="faulty"))
    assert found["evaluation"] == pytest.approx(median("predict", ["llm", "video", "title"]))
    drafts = {tuple(names): entries[1] for names, entries in llm_costs(look).rows}
    assert list(drafts) == [
        (llm, size, mode)
        for llm in ("shotlist", "verbatim")
        for size, mode in (("basic", "basic"), ("10", "pe"), ("20", "pe[k=20]"))
    ]
    entry = drafts["verbatim", "10", "pe"]
    assert entry.value == pytest.approx(median("llm", ["task", "prompt_id"], llm="verbatim", mode="pe"))
    assert (entry.low or 0) <= (entry.value or 0) <= (entry.high or 0)


def test_an_llm_of_the_paper_s_that_lacks_a_rag_size_is_told_with_that_size(runs: dict[str, Path]) -> None:
    evidence = read_evidence([runs["shotlist"]])
    for names, expected in (
        (["shotlist=Llama-3.3-70B"], "Not in these runs: Qwen-2.5-72B, mode pe,k=50, mode pe,k=100."),
        ([], "Not in these runs: Qwen-2.5-72B, Llama-3.3-70B."),
    ):
        gap = llm_costs(Lookup(evidence, choose(evidence, Asked(matches=names)))).gap
        assert gap is not None
        assert gap[0] == f"{expected} To run: "


@pytest.mark.slow
def test_a_later_report_leaves_no_figure_of_an_earlier_one(runs: dict[str, Path], tmp_path: Path) -> None:
    write_paper([runs["shotlist"], runs["verbatim"]], tmp_path / "out")
    assert "figures/figure-6.svg" in files(tmp_path / "out")
    (tmp_path / "out" / "figures" / "mine.svg").write_text("mine", encoding="utf-8")
    written = write_paper([runs["shotlist"]], tmp_path / "out")
    assert "figures/figure-6.svg" not in written.files
    assert files(tmp_path / "out") == sorted([*written.files, "figures/mine.svg"])


def test_the_same_runs_make_the_same_report(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_paper([runs["shotlist"]], tmp_path / name)
    for file in files(tmp_path / "one"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_what_is_wrong_is_one_line_and_writes_nothing(run: Run, runs: dict[str, Path], tmp_path: Path) -> None:
    one, other = runs["shotlist"], runs["other"]
    out = tmp_path / "out"
    for arguments, told in (
        ((one, "--paper", "--llm", "shotlst"), "unknown llm 'shotlst': did you mean 'shotlist'?"),
        ((one, "--paper", "--rag-size", "50"), "unknown RAG size '50'"),
        ((one, "--paper", "--predictor", "demo"), "unknown predictor 'demo' (possible: faulty); in --predictor"),
        ((one, tmp_path / "none", "--paper"), "no such run or score file"),
        ((one, tmp_path, "--paper"), "no finished run here"),
        ((one, "--paper", "--embed", "3"), "--embed belongs to a run's page"),
        ((one, "--rag-size", "10"), "--rag-size belongs to the paper's tables: give --paper too"),
        ((one, "--match", "a=b"), "--match belongs to the paper's tables"),
    ):  # fmt: skip
        done = run("report", *arguments, "--out", out)
        assert done.status == 2
        assert told in done.line
        assert not out.exists()
    assert refusal(lambda: read_evidence([one, other], "mine")).startswith("unknown predictor 'mine'")


def test_a_damaged_run_is_told_of_in_one_line(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    about = json.loads((runs["shotlist"] / "run.json").read_text(encoding="utf-8"))
    (folder / "samples.jsonl").write_bytes((runs["shotlist"] / "samples.jsonl").read_bytes())
    for change in ({"components": {"llm shotlist": 3}}, {"machine": {"gpus": [1]}}, {"modes": 7}):
        (folder / "run.json").write_text(json.dumps({**about, **change}), encoding="utf-8")
        assert "run.json" in refusal(lambda: read_evidence([folder]))


def test_boards_and_exports_are_read_as_scores(runs: dict[str, Path], tmp_path: Path) -> None:
    from popbench.export.eee import write_eee

    write_eee(runs["shotlist"], tmp_path / "eee")
    found = read_evidence([tmp_path / "eee"])
    assert found.systems == read_evidence([runs["shotlist"]]).systems
    assert not found.costs.drafts


def test_a_folder_that_cannot_be_written_is_told_of(runs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file", encoding="utf-8")
    with pytest.raises(RunError, match=r"figure-3\.svg: cannot be written"):
        write_paper([runs["shotlist"]], tmp_path)
    assert files(tmp_path) == ["figures"]
