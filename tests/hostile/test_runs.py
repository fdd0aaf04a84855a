"""Run directories of a stranger: nothing in one is run, leads out of it, or stops a command with more than a line."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import Run, in_process
from hostile_cases import SECRET, Outside, check_end, harmless, link, outside, pipe, steps
from made_boards import ROWS, edit, edit_samples, evaluate

Change = Callable[[Path, Outside], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate(tmp_path_factory.mktemp("made") / "run", ROWS[:3])


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture
def of(tmp_path: Path) -> Outside:
    return outside(tmp_path / "outside")


def bytes_in(name: str, data: bytes) -> Change:
    return lambda run, _: (run / name).write_bytes(data)


def huge(name: str, size: int) -> Change:
    def change(run: Path, _: Outside) -> None:
        with (run / name).open("wb") as file:
            file.truncate(size)

    return change


def about(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda run, _: edit(run / "run.json", change)


def results(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda run, _: edit(run / "results.json", change)


def sample(**values: Any) -> Change:
    return lambda run, _: edit_samples(run, lambda row: row.update(values))


def raw_sample(old: str, new: str) -> Change:
    """Write into the first sample what no JSON writer would."""

    def change(run: Path, _: Outside) -> None:
        path = run / "samples.jsonl"
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8", errors="surrogatepass")

    return change


def ledger(*statements: str) -> Change:
    def change(run: Path, _: Outside) -> None:
        db = sqlite3.connect(run / "ledger.sqlite")
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()

    return change


FOREVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT"
ENDLESS = "transformers,model=x,chat_template=/dev/zero"
CLUSTER = "ray,address=ray://example.invalid:1"
STATUS = ("status", "run")
EVAL = ("eval", "--config", "run/run.json", "--out", "run")
REPORT, EMBED = ("report", "run"), ("report", "run", "--embed", "4")
BUILD, ADD = ("leaderboard", "build", "run", "--out", "board"), ("leaderboard", "add", "published", "run")
EXPORT, AUDIT = ("export", "run", "--format", "jsonl", "--out", "x.jsonl"), ("predictor", "audit", "run")
PAPER = ("report", "run", "--paper", "--concrete", "cats", "--out", "paper")
DEEP = b"[" * 200_000

CASES: dict[str, tuple[Change, tuple[str, ...], str]] = {
    # in the place of files: pipes, devices, links, too much
    "about-is-a-pipe": (pipe("run.json"), BUILD, "not a regular file"),
    "about-is-a-device": (link("run.json", "/dev/zero"), REPORT, "not a regular file"),
    "about-is-a-folder": (link("run.json", "/tmp"), BUILD, "Is a directory"),
    "samples-are-a-pipe": (pipe("samples.jsonl"), EXPORT, "not a regular file"),
    "samples-are-a-device": (link("samples.jsonl", "/dev/zero"), BUILD, "not a regular file"),
    "samples-are-one-endless-line": (huge("samples.jsonl", 2**40), PAPER, "a line is longer than 64 MiB"),
    "results-are-a-pipe": (pipe("results.json"), REPORT, "not a regular file"),
    "results-claim-a-terabyte": (huge("results.json", 2**40), REPORT, "larger than 512 MiB"),
    "about-claims-a-gigabyte": (huge("run.json", 2**30), ADD, "larger than 512 MiB"),
    "about-is-a-link-to-itself": (link("run.json", "run.json"), BUILD, "run.json is missing"),
    "ledger-is-a-pipe": (pipe("ledger.sqlite"), ADD, "ledger"),
    "ledger-is-text": (bytes_in("ledger.sqlite", b"x" * 5000), ADD, "not a database"),
    "ledger-is-empty": (bytes_in("ledger.sqlite", b""), ADD, "ledger.sqlite is missing"),
    "status-of-a-pipe": (pipe("run.json"), STATUS, "not a regular file"),
    "status-of-a-device": (link("run.json", "/dev/zero"), STATUS, "not a regular file"),
    "status-of-a-holder-that-steers": (bytes_in(".holder", b"\x1b]0;owned\x07"), STATUS, ""),
    "status-of-a-holder-without-end": (link(".holder", "/dev/zero"), STATUS, ""),
    "status-of-a-view-without-end": (
        ledger("DROP TABLE done", f"CREATE VIEW done AS {FOREVER} x AS system FROM c"), STATUS, "the view 'done'"
    ),
    "status-of-sums-that-are-texts": (ledger("UPDATE tally SET n = 'x', last = 'y'"), STATUS, ""),
    "status-of-labels-that-steer": (
        about(lambda of: of["components"].update({"llm \x1b[2J": {"spec": "\x1b[2J", "fingerprint": {}}})), STATUS, ""
    ),
    "status-of-numbers-without-end": (
        about(lambda of: of["tasks"]["cats"].update(n=float("inf"))), STATUS, "run.json cannot be read"
    ),
    "draft-rules-that-are-a-text": (
        about(lambda of: of["tasks"]["cats"].update(draft="x")), EXPORT, "tasks.cats.draft: expected an object"
    ),
    "status-of-moments-beyond-time": (ledger("UPDATE tally SET last = 1e300"), STATUS, ""),
    "status-of-a-model-without-end": (
        steps(
            about(lambda of: [part.update(spec=ENDLESS) for name, part in of["components"].items() if "llm" in name]),
            ledger("INSERT INTO used SELECT part, 'input', 5 FROM spent WHERE stage = 'write'"),
        ),
        STATUS, "",
    ),
    # links that would have another file written
    "lock-leads-out": (link(".lock"), REPORT, ""),
    "holder-leads-out": (link(".holder"), AUDIT, "is a link, and nothing is written through it"),
    "page-part-leads-out": (link(".report.html.part"), REPORT, ""),
    "page-leads-out": (link("report.html"), REPORT, ""),
    "audit-part-leads-out": (link(".audit.json.part"), AUDIT, ""),
    "ledger-leads-out": (link("ledger.sqlite"), AUDIT, "is a link"),
    "clips-lead-out": (link("videos", "."), AUDIT, "is a link"),
    "log-leads-out": (link("errors.log"), AUDIT, "is a link"),
    "export-leads-out": (lambda run, of: (run.parent / "x.jsonl").symlink_to(of.secret), EXPORT, "would be replaced"),
    # clips that are none, or somebody else's
    "clip-below-the-root": (sample(video="/etc/passwd"), EMBED, ""),
    "clip-above-the-run": (sample(video="videos/../../outside/secret.txt"), EMBED, ""),
    "clip-with-nul": (sample(video="videos/a\0b.mp4"), EMBED, "missing"),
    "clip-of-a-long-name": (sample(video="videos/" + "x" * 5000), EMBED, "File name too long"),
    "clip-is-a-pipe": (steps(sample(video="p"), pipe("p")), EMBED, "not a regular file"),
    "clip-leads-out": (steps(sample(video="l"), link("l")), EMBED, "leads out of the run"),
    "clip-is-a-device": (
        steps(sample(video="d"), link("d", "/dev/zero")), EMBED, "leads out of the run"
    ),
    "clip-leads-to-itself": (steps(sample(video="s"), link("s", "s")), EMBED, "missing"),
    "clip-that-is-audited-leads-out": (
        steps(sample(video="l"), link("l")), AUDIT, "names a video outside the run"
    ),
    # JSON
    "nested-deeply": (bytes_in("run.json", DEEP), BUILD, "nested too deeply"),
    "results-nested-deeply": (bytes_in("results.json", DEEP), REPORT, "nested too deeply"),
    "sample-nested-deeply": (bytes_in("samples.jsonl", DEEP), EXPORT, "nested too deeply"),
    "no-utf-8": (bytes_in("run.json", b'{"finished": "\xff"}'), BUILD, "no UTF-8 text"),
    "utf-16": (bytes_in("run.json", "{}".encode("utf-16")), REPORT, "no UTF-8 text"),
    "nul": (bytes_in("run.json", b"\0" * 100), ADD, "run.json cannot be read"),
    "a-list": (bytes_in("run.json", b"[1]"), ADD, "run.json cannot be read"),
    "an-endless-number": (bytes_in("run.json", b'{"finished": ' + b"9" * 5000 + b"}"), BUILD, "a number is too long"),
    "a-score-beyond-floats": (raw_sample('"scores":{"faulty":', '"scores":{"faulty":1e400,"x":'), BUILD, "inf is no"),
    "a-score-that-is-none": (sample(scores={"faulty": float("nan")}), REPORT, "nan is no number"),
    "a-time-that-is-huge": (sample(seconds={"llm": 10**300}), REPORT, ""),
    "a-time-beyond-floats": (sample(seconds={"llm": 10**400}), PAPER, "is no number"),
    "keys-twice": (raw_sample('{"system":', '{"system":"x","system":'), BUILD, ""),
    "half-a-character-in-a-title": (sample(title="\ud83d"), REPORT, ""),
    "half-a-character-in-a-system": (sample(system="\ud83d|basic|g"), EXPORT, "no such system"),
    "compliance-is-an-object": (sample(compliance={"a": 1}), BUILD, "compliance is {'a': 1}"),
    "notes-are-numbers": (sample(notes=[[[]]]), REPORT, "notes is [[[]]]"),
    "cost-is-a-list": (sample(cost=[]), REPORT, "cost is []"),
    "usage-is-nested": (sample(usage={"input": {"x": 1}}), REPORT, "is no number"),
    "more-fields": (sample(__class__="os.system"), BUILD, "is no sample"),
    "repeats-beyond-all-numbers": (about(lambda of: of["config"].update(repeats=10**4000)), ADD, "config.repeats: "),
    "prompts-are-negative": (about(lambda of: of["tasks"]["cats"].update(prompts=-(10**30))), ADD, "cats.prompts: "),
    "a-group-that-is-a-list": (about(lambda of: of["tasks"]["cats"].update(group=[[]])), BUILD, "cannot be read"),
    "a-median-beyond-floats": (
        results(lambda of: of["systems"][0]["median"].update(value=1e308 * 10)), REPORT, "no number that a popularity"
    ),
    "a-rate-that-is-a-text": (results(lambda of: of["pairs"][0].update(win_rate="<b>")), REPORT, "results.json"),
    # what a run asks for
    "a-predictor-with-code": (
        about(lambda of: of["config"].update(predictor=["faulty,trust_remote_code=true"])), AUDIT, "not trusted to"
    ),
    "a-cluster-elsewhere": (about(lambda of: of["config"].update(engine=CLUSTER)), AUDIT, ""),
    "a-corpus-elsewhere": (
        about(lambda of: of["config"].update(corpus="table,path=http://example.invalid/x.parquet")), REPORT, ""
    ),
    # ledgers
    "a-view-without-end": (
        ledger("DROP TABLE done", f"CREATE VIEW done AS {FOREVER} x AS system FROM c"), ADD, "the view 'done'"
    ),
    "a-view-of-what-it-says": (
        ledger("DROP TABLE about", f"CREATE VIEW about AS {FOREVER} 'schema' AS name, x AS value FROM c"),
        ADD, "the view"
    ),
    "a-trigger": (ledger("CREATE TRIGGER evil AFTER INSERT ON about BEGIN DELETE FROM calls; END"), ADD, "the trigger"),
    "a-column-of-gigabytes": (
        ledger("ALTER TABLE about ADD COLUMN x TEXT AS (printf('%.*c', 900000000, 'x'))"), ADD, "the table 'about'"
    ),
    "a-virtual-table": (ledger("CREATE VIRTUAL TABLE evil USING fts5(x)"), ADD, "popbench does not make"),
    "an-index-that-computes": (ledger("CREATE INDEX evil ON about(upper(value))"), ADD, "the index 'evil'"),
    "rows-that-are-no-json": (ledger("UPDATE done SET value = '{'"), ADD, "a row is damaged"),
    "rows-of-bytes": (ledger("UPDATE calls SET payload = x'ff00ff'"), ADD, "a row is damaged"),
    "a-draft-without-a-title": (ledger("UPDATE done SET value = '{}' WHERE stage = 'write'"), ADD, "its attempts is"),
    "a-draft-without-a-title-to-go-on-from": (
        ledger("UPDATE done SET value = '{}' WHERE stage = 'write'", "DELETE FROM done WHERE stage != 'write'"),
        EVAL, "its attempts is"
    ),
    "a-title-that-is-a-list": (
        ledger("UPDATE done SET value = json_set(value, '$.title', json('[]')) WHERE stage = 'write'"),
        EVAL, "its title is []"
    ),
    "tokens-that-are-texts": (
        ledger("UPDATE done SET value = json_set(value, '$.usage', json('{\"input\":\"x\"}')) WHERE stage = 'write'"),
        EVAL, "its usage has 'x'"
    ),
    "reasons-that-are-numbers": (
        ledger("UPDATE done SET value = json_set(value, '$.unusable', json('[1]')) WHERE stage = 'write'"),
        EVAL, "its unusable is [1]"
    ),
    "remarks-that-are-a-text": (
        ledger("UPDATE done SET value = json_set(value, '$.remarks', 'all is well') WHERE stage = 'write'"),
        EVAL, "its remarks is 'all is well'"
    ),
    "a-cut-that-is-a-list": (
        ledger("UPDATE calls SET payload = json_set(payload, '$.cut', json('[]')) WHERE stage = 'write'"),
        EVAL, "its cut is []"
    ),
    "a-clip-of-no-size": (ledger("UPDATE calls SET payload = '{}' WHERE stage = 'render'"), EVAL, ""),
    "a-clip-as-large-as-a-text": (
        ledger("UPDATE calls SET payload = json_set(payload, '$.bytes', 'x') WHERE stage = 'render'"), EVAL, ""
    ),
    "a-score-that-is-a-text": (
        ledger("UPDATE calls SET payload = json_set(payload, '$.popularity', 'x') WHERE stage = 'score'"),
        EVAL, "its popularity is 'x'"
    ),
    "a-system-without-a-mode": (sample(system="x"), ADD, "system is 'x', and not LLM|MODE|GENERATOR"),
    "a-system-of-four-parts": (sample(system="a|b|c|d"), BUILD, "and not LLM|MODE|GENERATOR"),
    "a-system-without-a-name": (sample(system=""), REPORT, "and not LLM|MODE|GENERATOR"),
    "an-identity-of-bytes": (ledger("UPDATE about SET value = x'ff' WHERE name = 'identity'"), ADD, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_run_of_a_stranger_harms_nobody(popbench: Run, run: Path, of: Outside, name: str) -> None:
    change, command, told = CASES[name]
    change(run, of)
    with harmless(of):
        done = popbench(*command)
    check_end(done, talks=command == EVAL)
    assert told in done.err
    if command == STATUS and not told:
        assert (done.status, "write" in done.out) == (0, True), done
    for written in (*run.glob("*.html"), *run.parent.glob("board/*"), *run.parent.glob("x.jsonl")):
        if written.is_file() and not written.is_symlink():
            assert SECRET.encode() not in written.read_bytes()


@pytest.mark.slow
def test_the_run_itself_is_a_sound_one(popbench: Run, run: Path, of: Outside) -> None:
    for command in (REPORT, EMBED, BUILD, ADD, EXPORT, AUDIT, PAPER, EVAL, STATUS):
        with harmless(of):
            done = popbench(*command)
        assert (done.status, json.loads((run / "run.json").read_text(encoding="utf-8"))["finished"]) == (0, True), done
