"""What answers say of themselves reaches samples, boards, summaries: reasons, remarks, cuts, calls of unknown usage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import popbench
import popbench_runs
from command_line import in_process
from popbench.prompting.drafts import CUT, NO_JSON
from popbench.prompting.usable import COPIED, PLACEHOLDER
from talking_llm import DRAFT, REMARK, TOO_LITTLE, Talking, install, run_shown, task

EVAL = "eval --llm talking,say={} --gen faulty --predictor faulty --mode basic --task {} --corpus demo"


@pytest.fixture(autouse=True)
def _talking() -> None:
    install()


def one(run: popbench.Run) -> popbench.Sample:
    return next(iter(run.samples()))


# -- reasons


@pytest.mark.parametrize(
    ("say", "unusable", "error"),
    [
        ("n", (NO_JSON,) * 3, "no usable draft in 3 answers: no JSON (3)"),
        ("cxp", (COPIED, CUT, PLACEHOLDER), None),
        ("ccx", (COPIED, COPIED, CUT), "no usable draft in 3 answers: copied the example (2), cut at the limit (1)"),
        ("f", ("content filter",), "stopped: by a filter"),
        ("nf", (NO_JSON, "content filter"), "stopped: by a filter"),
        ("o", ("other",), "it would not"),
    ],
)
def test_each_answer_without_a_draft_has_its_reason(
    say: str, unusable: tuple[str, ...], error: str | None, tmp_path: Path
) -> None:
    run = run_shown(tmp_path / "run", llm=f"talking,say={say}", limit=2)
    sample = one(run)
    assert (sample.status, sample.unusable, sample.attempts) == ("invalid", unusable, len(unusable))
    assert error in (None, sample.error)
    assert run.results is not None
    (system,) = run.unusable
    counts = {reason: 2 * unusable.count(reason) for reason in unusable}
    assert run.results["unusable"] == run.unusable == {system: {"answers": 2 * len(unusable), "reasons": counts}}


def test_answers_before_a_usable_one_count_too(tmp_path: Path) -> None:
    run = run_shown(tmp_path / "run", llm="talking,say=cnd", limit=2)
    assert run.invalid == 0
    assert one(run).unusable == (COPIED, NO_JSON)
    assert run.results is not None
    board = (run.path / "leaderboard.md").read_text(encoding="utf-8")
    line = "4 of 6 answers gave no usable draft: copied the example (2, 33.3 %), no JSON (2, 33.3 %)"
    assert f"faulty: {line}" in board


def test_where_all_answers_are_usable_nothing_is_written_of_it(tmp_path: Path) -> None:
    run = run_shown(tmp_path / "run", llm="talking")
    assert not {"unusable", "remarks", "uncounted"} & set(popbench_runs.samples(run.path)[0])
    assert run.results is not None
    assert "unusable" not in run.results
    assert "usable draft" not in (run.path / "leaderboard.md").read_text(encoding="utf-8")


# -- the same answer again


@pytest.mark.parametrize(("say", "attempts"), [("n", 2), ("nc", 3), ("ncn", 3), ("nd", 2), ("nnd", 2)])
def test_an_llm_that_repeats_its_answer_is_not_asked_once_more(say: str, attempts: int, tmp_path: Path) -> None:
    run = run_shown(tmp_path / "run", llm=f"talking,say={say},same=true", limit=2)
    sample = one(run)
    assert sample.attempts == attempts
    assert run.costs[0]["calls"] == 2 * attempts
    if say in ("n", "nnd"):
        assert sample.error == "no usable draft in 2 equal answers: no JSON (2)"
        assert run.results is not None
        told = "the same answer to another seed, as greedy decoding gives it: not asked a third time"
        assert run.results["remarks"][-1].endswith(f": 2 of 2 drafts: {told}")
    again = run_shown(tmp_path / "run", llm=f"talking,say={say},same=true", limit=2)
    assert [dict(row) for row in again.costs] == [dict(row) for row in run.costs]


# -- remarks


def test_remarks_are_counted_once_for_the_systems_that_share_drafts(tmp_path: Path) -> None:
    run = run_shown(tmp_path / "run", llm=["talking,say=r", "faulty"], gen=["faulty", "faulty,label=two"], limit=3)
    assert run.results is not None
    label = "talking[say=r]"
    lines = [line for line in run.results["remarks"] if line.startswith(label)]
    assert lines[0] == f"{label}: 3 of 3 drafts: {REMARK}"
    assert len(lines) == len(set(lines)) == 4
    assert tuple(run.remarks) == tuple(lines)
    board = (run.path / "leaderboard.md").read_text(encoding="utf-8")
    assert f"3 of 3 drafts: {REMARK}" in board
    sample = next(sample for sample in run.samples() if sample.llm == label)
    assert sample.remarks[0] == REMARK
    assert len(sample.remarks) == 2


@pytest.mark.parametrize(("say", "remark"), [("l", TOO_LITTLE), ("xd", "cut at the limit of tokens")])
def test_cut_answers_are_remarked_on_with_the_remedy_of_the_component(say: str, remark: str, tmp_path: Path) -> None:
    run = run_shown(tmp_path / "run", llm=f"talking,say={say}", limit=4)
    assert run.results is not None
    assert run.results["remarks"][-1] == f"talking[say={say}]: 4 of 4 drafts: {remark}"


def test_without_a_board_the_summary_tells_of_remarks_and_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run, shown = in_process(monkeypatch, capsys, tmp_path), task(tmp_path / "task")
    for command in ("--stop-after write --out a", "--out b"):
        told = run(*EVAL.format("lcn", shown).split(), "--limit", "2", *command.split()).out
        assert f"talking[say=lcn]: 2 of 2 drafts: {TOO_LITTLE}" in told
        told = run(
            *EVAL.format("cnx", shown).split(), "--limit", "2", *command.replace("--out ", "--out c").split()
        ).out
        assert (
            "talking[say=cnx]|basic|faulty: 6 of 6 answers gave no usable draft: copied the example (2, 33.3 %)" in told
        )
        assert "2 of 2 samples are invalid and score 0: no usable draft in 3 answers (2)" in told
    found = json.loads(run(*EVAL.format("r", shown).split(), "--limit", "2", "--out", "d", "--json").out)
    assert f"talking[say=r]: 2 of 2 drafts: {REMARK}" in found["remarks"]


def test_texts_of_components_do_not_steer_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<script>x</script> | a\n# b \x1b[31m " + "long " * 100

    def answer(self: Talking, letter: str, chat: popbench.Chat, end: str) -> Any:
        if letter == "f":
            return popbench.Failure(chat.id, "no", invalid=True, reason=hostile)
        return popbench.Completion(chat.id, json.dumps(DRAFT), remarks=[hostile])  # type: ignore[arg-type]

    monkeypatch.setattr(Talking, "_answer", answer)
    run = run_shown(tmp_path / "run", llm=["talking,say=f", "talking,say=d"], limit=2)
    board = (run.path / "leaderboard.md").read_text(encoding="utf-8")
    assert "<script>" not in board
    assert "\x1b" not in board
    assert not any(line.startswith("# b") for line in board.splitlines())
    assert run.results is not None
    assert all(len(line) < 300 for line in run.results["remarks"])
    assert all(len(reason) <= 60 for of in run.unusable.values() for reason in of["reasons"])
    assert "script" in popbench_report(run)
    assert "<script>x" not in popbench_report(run)


def popbench_report(run: popbench.Run) -> str:
    from popbench.report.page import run_page

    return run_page(run.path)


@pytest.mark.parametrize("wrong", [{"remarks": "one text"}, {"remarks": [3]}, {"cut": "yes"}, {"cut": 1}])
def test_remarks_and_cuts_of_other_types_are_errors_of_the_answer(
    wrong: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: Talking, letter: str, chat: popbench.Chat, end: str) -> Any:
        return popbench.Completion(chat.id, json.dumps(DRAFT), **wrong)

    monkeypatch.setattr(Talking, "_answer", answer)
    run = run_shown(tmp_path / "run", llm="talking", limit=1)
    assert run.errors == 1
    assert next(iter(wrong)) in str(one(run).error)


# -- usage


@pytest.mark.parametrize(
    ("say", "uncounted", "told"),
    [
        ("U", 0, "2 calls, spend unknown: the server told no usage for 2 of 2 calls"),
        ("u", 0, "6 calls, spend unknown: the server told no usage for 6 of 6 calls"),
        ("un", 1, "6 calls, 400 input and 40 output tokens, $0.40 (spend unknown for 2 of 6 calls: {})"),
        ("nu", 2, "6 calls, 200 input and 20 output tokens, $0.20 (spend unknown for 4 of 6 calls: {})"),
        ("nd", 0, "4 calls, 400 input and 40 output tokens, $0.40"),
    ],
)  # fmt: skip
def test_spend_says_what_is_unknown(say: str, uncounted: int, told: str, tmp_path: Path) -> None:
    run = run_shown(tmp_path / "run", llm=f"talking,say={say},priced=true", limit=2)
    assert {sample.uncounted for sample in run.samples()} == {uncounted}
    board = (run.path / "leaderboard.md").read_text(encoding="utf-8")
    line = next(line for line in board.splitlines() if "drafts by" in line).replace("\\", "")
    assert line.endswith(told.format("the server told no usage"))


def test_without_prices_and_usage_nothing_is_said_of_spend(tmp_path: Path) -> None:
    run = run_shown(tmp_path / "run", llm="talking,say=U", limit=2)
    assert "drafts by" not in (run.path / "leaderboard.md").read_text(encoding="utf-8")
    assert run.costs[0]["cost"] is None
