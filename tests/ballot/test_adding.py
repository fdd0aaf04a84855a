"""Votes that come back: which are taken, which are refused and why, and what is counted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import filelock
import pytest

from ballot_runs import SYSTEMS, best_of, key_of, make_ballot_run, votes_of, write_votes
from command_line import Done, Run, in_process
from popbench.ballot.make import make_ballot


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a ballot, of which each test gets a copy."""
    folder = tmp_path_factory.mktemp("made")
    run = make_ballot_run(folder / "run", prompts=4)
    make_ballot(run, 20, folder / "vote.html")
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture
def add(popbench: Run, run: Path, tmp_path: Path) -> Callable[..., Done]:
    """Add contents of files to the run by the command."""

    def call(*contents: Any, options: tuple[object, ...] = ()) -> Done:
        files = [write_votes(tmp_path / f"votes-{number}.json", votes) for number, votes in enumerate(contents)]
        return popbench("ballot", "add", "run", *(file.name for file in files), *options)

    return call


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "votes.jsonl").read_text(encoding="utf-8").splitlines()]


def edited(run: Path, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    votes = votes_of(key_of(run), best_of(SYSTEMS))
    change(votes)
    return votes


def test_votes_are_stored_with_both_systems_as_they_were_shown(run: Path, add: Callable[..., Done]) -> None:
    key = key_of(run)
    done = add(*(votes_of(key, best_of(SYSTEMS), voter, f"Voter {voter}") for voter in range(4)))
    assert (done.status, done.err) == (0, "")
    assert "80 votes added, of 4 files" in done.out
    lines = lines_of(run)
    assert len(lines) == 80
    assert {line["voter"] for line in lines} == {f"{voter:016x}" for voter in range(4)}
    for line in lines:
        chosen, other = line[line["choice"]], line["right" if line["choice"] == "left" else "left"]
        assert SYSTEMS.index(chosen) < SYSTEMS.index(other)
    assert len({(line["pair"], line["left"]) for line in lines}) == 40
    assert {*lines[0]} == {
        "ballot", "pair", "task", "prompt_id", "category", "repeat", "left", "right", "choice", "question", "voter",
        "name", "seconds", "at",
    }  # fmt: skip


def test_win_rates_order_effects_and_voters_are_told(run: Path, add: Callable[..., Done]) -> None:
    key = key_of(run)

    def first(pair: dict[str, Any]) -> str:
        return best_of(SYSTEMS)(pair) if pair["check"] else "left"

    done = add(*(votes_of(key, first, voter) for voter in range(10)))
    out = " ".join(done.out.split())
    assert "both: what people say: 200 votes by 10 voters" in out
    assert "The clip shown first was chosen in 100.0 [" in out
    assert "% of votes without a tie, an order effect; sides are balanced" in out
    told = json.loads(add(options=("votes-0.json", "--json")).out)
    (votes,) = told["people"]["sources"]
    assert (told["added"], told["known"], votes["first"]["value"]) == (0, ["votes-0.json"], 1.0)
    assert (votes["count"], votes["voters"], votes["skipped"], votes["left_out"]) == (200, 10, 0, 0)
    assert {round(pair["labels"]["value"], 6) for pair in told["people"]["pairs"]} == {0.5}
    assert all(pair["labels"]["low"] < 0.5 < pair["labels"]["high"] for pair in told["people"]["pairs"])


def test_one_voter_gives_no_interval(run: Path, add: Callable[..., Done]) -> None:
    done = add(votes_of(key_of(run), best_of(SYSTEMS)))
    assert "Without an interval: one voter tells nothing about others" in done.out


def test_a_voters_later_file_adds_what_is_new(run: Path, add: Callable[..., Done]) -> None:
    whole = votes_of(key_of(run), best_of(SYSTEMS))
    part = {**whole, "votes": whole["votes"][:10]}
    few = sum(pair["check"] is None for pair in key_of(run)["pairs"][:10])
    assert f"{few} votes added" in add(part).out
    assert f"{20 - few} votes added" in add(whole).out
    before = (run / "votes.jsonl").read_bytes()
    done = add(whole, part)
    assert (done.status, done.err) == (0, "")
    assert "0 votes added, of 0 files; 2 files had nothing new" in done.out
    assert (run / "votes.jsonl").read_bytes() == before


def test_a_voter_who_votes_twice_is_refused(run: Path, add: Callable[..., Done]) -> None:
    key = key_of(run)
    add(votes_of(key, best_of(SYSTEMS), 0, "Ada"))
    before = (run / "votes.jsonl").read_bytes()
    done = add(votes_of(key, best_of(SYSTEMS[::-1]), 0, "Ada"))
    assert done.status == 2
    assert "votes-0.json: refused, since voter Ada has voted on pair" in done.line
    assert "already, otherwise" in done.line
    assert (
        "a voter of the name 'ada' has voted on this ballot already"
        in add(votes_of(key, best_of(SYSTEMS), 7, " ada")).line
    )
    assert (run / "votes.jsonl").read_bytes() == before


def test_a_copy_of_a_file_under_another_id_is_refused(run: Path, add: Callable[..., Done]) -> None:
    votes = votes_of(key_of(run), best_of(SYSTEMS), 0, "Ada")
    add(votes)
    before = (run / "votes.jsonl").read_bytes()
    even = add({**votes, "voter": "e" * 16, "name": "Eve"})
    assert (
        f"votes-0.json: refused, since its votes were given in the same moments as those of voter {0:016x}" in even.line
    )
    odd = add({**votes, "voter": "f" * 16, "name": "Eve"})
    assert f"its sides are not those that voter {'f' * 16} saw: the file was edited" in odd.line
    assert (even.status, odd.status) == (2, 2)
    assert (run / "votes.jsonl").read_bytes() == before


def test_a_file_without_its_attention_checks_is_refused(run: Path, add: Callable[..., Done]) -> None:
    key = key_of(run)
    checks = {pair["id"] for pair in key["pairs"] if pair["check"]}
    votes = votes_of(key, best_of(SYSTEMS))
    done = add({**votes, "votes": [vote for vote in votes["votes"] if vote["pair"] not in checks]})
    assert done.status == 2
    assert "an attention check between its votes has none" in done.line
    assert not (run / "votes.jsonl").exists()


def test_a_refused_file_keeps_out_no_other(run: Path, add: Callable[..., Done]) -> None:
    key = key_of(run)
    done = add(votes_of(key, best_of(SYSTEMS), 0), "[]", votes_of(key, best_of(SYSTEMS), 1))
    assert done.status == 2
    assert "votes-1.json: not a file of votes" in done.line
    assert "40 votes added, of 2 files" in done.out


@pytest.mark.parametrize(
    ("kind", "choice", "told"),
    [
        ("same", "left", "preferred a clip to itself"),
        ("black", "tie", "did not prefer a clip to a black one"),
        ("black", "dark", "did not prefer a clip to a black one"),
    ],
)
def test_failed_attention_checks_are_refused_unless_they_are_allowed(
    run: Path, add: Callable[..., Done], kind: str, choice: str, told: str
) -> None:
    def careless(pair: dict[str, Any]) -> str:
        if pair["check"] != kind:
            return best_of(SYSTEMS)(pair)
        return choice if choice != "dark" else "left" if pair["left"]["system"] is None else "right"

    for voter in (0, 1):
        votes = votes_of(key_of(run), careless, voter)
        assert f"1 attention check of 2 failed: the voter {told} (--allow-failed 1 takes" in add(votes).line
        assert not (run / "votes.jsonl").exists()
    assert add(votes, options=("--allow-failed", 1)).status == 0


def test_a_voter_who_skips_all_checks_is_refused_and_skips_are_no_votes(run: Path, add: Callable[..., Done]) -> None:
    key = key_of(run)
    evasive = votes_of(key, lambda pair: "skip" if pair["check"] else "left")
    assert "all its attention checks were skipped" in add(evasive).line
    tired = votes_of(key, lambda pair: best_of(SYSTEMS)(pair) if pair["check"] == "black" else "skip")
    done = add(tired)
    assert (done.status, "20 votes added" in done.out) == (0, True)
    assert json.loads(add(tired, options=("--json",)).out)["people"]["sources"][0]["skipped"] == 20


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda votes: votes.update(ballot="0" * 16), "which is none of run: name its run"),
        (lambda votes: votes.update(ballot="../../run.json"), "not a file of votes (ballot: "),
        (lambda votes: votes.update(schema=2), "not a file of votes (schema: "),
        (lambda votes: votes.update(votes=[]), "it has no votes"),
        (lambda votes: votes.update(votes=votes["votes"] * 60), "not a file of votes (votes: "),
        (lambda votes: votes["votes"].append(votes["votes"][0]), "has two votes"),
        (lambda votes: votes["votes"][3].update(pair="f" * 16), "is none of the ballot's"),
        (lambda votes: votes["votes"][3].update(left="f" * 16), "is none of its pair's"),
        (lambda votes: votes["votes"][3].update(left=votes["votes"][4]["left"]), "is none of its pair's"),
        (lambda votes: votes["votes"][3].update(choice="both"), "not a file of votes (votes.3.choice: "),
        (lambda votes: votes["votes"][3].update(seconds=float("nan")), "not a file of votes (votes.3.seconds: "),
        (lambda votes: votes["votes"][3].update(seconds=-1), "not a file of votes (votes.3.seconds: "),
        (lambda votes: votes["votes"][3].update(seconds="2"), "not a file of votes (votes.3.seconds: "),
        (lambda votes: votes["votes"][3].update(at="soon"), "'soon' is no moment"),
        (lambda votes: votes["votes"][3].update(at="0001-01-01T00:00:00+23:59"), "given before the ballot was made"),
        (lambda votes: votes["votes"][3].update(at=str(NOW - timedelta(days=3))), "given before the ballot was made"),
        (lambda votes: votes["votes"][3].update(at=str(NOW + timedelta(days=3))), "given in the future"),
        (lambda votes: votes.update(name="x" * 61), "not a file of votes (name: "),
        (lambda votes: votes.update(voter=["\x1b[2J"]), "not a file of votes (voter: "),
        (lambda votes: votes.pop("voter"), "not a file of votes (voter is missing)"),
    ],
)  # fmt: skip
def test_edited_votes_are_refused_in_a_line(
    run: Path, add: Callable[..., Done], change: Callable[[dict[str, Any]], object], told: str
) -> None:
    done = add(edited(run, change))
    assert (done.status, told in done.line) == (2, True), done.err
    assert not (run / "votes.jsonl").exists()


def test_votes_with_some_sides_changed_are_refused(run: Path, add: Callable[..., Done]) -> None:
    key = key_of(run)
    there, back = votes_of(key, best_of(SYSTEMS), 0), votes_of(key, best_of(SYSTEMS), 1)
    there["votes"][5] = back["votes"][5]
    assert "some pairs have their sides changed and others have not" in add(there).line


@pytest.mark.parametrize(
    "content",
    ["", "{", "[" * 100_000, '{"schema": ' + "9" * 5000 + "}", "\x00", '"votes"', "[1]", "NaN", '{"a":' * 2000,
     " " * 2**21],
    ids=range(10),
)  # fmt: skip
def test_files_that_hold_no_votes_are_told_in_plain_words(run: Path, add: Callable[..., Done], content: str) -> None:
    done = add(content)
    assert done.status == 2
    assert "votes-0.json: " in done.line
    assert len(done.line) < 300
    assert "Error" not in done.line


def test_votes_on_another_run_or_on_clips_that_are_gone_are_refused(
    popbench: Run, run: Path, add: Callable[..., Done], tmp_path: Path
) -> None:
    other = make_ballot_run(tmp_path / "other", prompts=2)
    votes = votes_of(key_of(run), best_of(SYSTEMS))
    write_votes(tmp_path / "votes.json", votes)
    assert "which is none of other: name its run" in popbench("ballot", "add", "other", "votes.json").line
    assert not (other / "votes.jsonl").exists()
    rows = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [json.dumps({**row, "video_sha256": "f" * 64}) + "\n" for row in rows]
    (run / "samples.jsonl").write_text("".join(texts), encoding="utf-8")
    assert "the run has no longer the clip of" in add(votes).line
    assert "votes.json: " in popbench("ballot", "add", "run", "gone/votes.json").line


def test_a_run_at_work_and_damaged_files_of_it_are_told_and_kept(run: Path, add: Callable[..., Done]) -> None:
    votes = votes_of(key_of(run), best_of(SYSTEMS))
    with filelock.FileLock(run / ".lock"):
        assert "is in use by" in add(votes).line
    (run / "votes.jsonl").write_text('{"ballot": 1}\n', encoding="utf-8")
    assert "votes.jsonl: line 1 is no vote" in add(votes).line
    assert (run / "votes.jsonl").read_text(encoding="utf-8") == '{"ballot": 1}\n'
    (run / "votes.jsonl").unlink()
    (key,) = (run / "ballots").iterdir()
    key.write_text(key.read_text(encoding="utf-8").replace('"pairs"', '"twos"'), encoding="utf-8")
    assert f"{key.name}: cannot be read" in add(votes).line


def test_a_damaged_board_is_told_before_votes_are_taken(run: Path, add: Callable[..., Done]) -> None:
    results = (run / "results.json").read_text(encoding="utf-8")
    (run / "results.json").write_text(results.replace('"pairs"', '"twos"'), encoding="utf-8")
    done = add(votes_of(key_of(run), best_of(SYSTEMS)))
    assert (done.status, "results.json cannot be read as a board" in done.line) == (2, True)
    assert not (run / "votes.jsonl").exists()
