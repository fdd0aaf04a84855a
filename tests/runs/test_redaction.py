"""What a submission tells of a run's settings: no keys, no credentials, no folders; and the human baseline in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import corpus_files
from command_line import Run, in_process
from made_boards import edit_samples, evaluate, submissions
from popbench.runs.redaction import HIDDEN, public, public_machine, public_spec, public_text
from popbench.specs import parse_spec


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("openai,model=gpt-4o,temperature=0.2", {"model": "gpt-4o", "temperature": "0.2"}),
        ("openai,base_url=https://me:pass@host.example:8/v1?k=1#x", {"base_url": "https://host.example:8/v1"}),
        ("ltx,model=/srv/models/ltx-2", {"model": "ltx-2"}),
        ("ltx,model=~/models/ltx-2", {"model": "ltx-2"}),
        (r"ltx,model=C:\Users\me\ltx-2", {"model": "ltx-2"}),
        ("hosted,api_key=sk-123,hf_token=abc,Password=x", {"api_key": HIDDEN, "hf_token": HIDDEN, "Password": HIDDEN}),
        ("hosted,auth=sk-1,pat=ghp_1,bearer=x,api_key=12345,accessToken=x",
         dict.fromkeys(("auth", "pat", "bearer", "api_key", "accessToken"), HIDDEN)),
        ("hosted,access=sk-proj-012345678,base_url=me:pw@host:80/v1", {"access": HIDDEN, "base_url": "host:80/v1"}),
        ('hosted,headers={"X-Auth": "abc"}', {"headers": json.dumps({"X-Auth": HIDDEN})}),
        ("x,tokenizer=gpt2,monkey=1,keyframes=auto", {"tokenizer": "gpt2", "monkey": "1", "keyframes": "auto"}),
        ("openai,api_key_env=MY_KEY,max_tokens=100", {"api_key_env": "MY_KEY", "max_tokens": "100"}),
        ('openai,extra_body={"headers": {"Authorization": "Bearer x"}, "n": 1}',
         {"extra_body": json.dumps({"headers": {"Authorization": HIDDEN}, "n": 1})}),
        ('table,files=["/data/a.csv", "b.csv"]', {"files": '["a.csv", "b.csv"]'}),
        ('x,prefix="say: and/or, then"', {"prefix": "say: and/or, then"}),
        ("x,date=2026/11/27", {"date": "2026/11/27"}),
        ("x,prompt=Say 1/2 or org/model-7B", {"prompt": "Say 1/2 or org/model-7B"}),
    ],
)  # fmt: skip
def test_a_spec_is_published_without_secrets_and_folders(spec: str, shown: dict[str, str]) -> None:
    found = public_spec(spec)
    assert parse_spec(found) == (parse_spec(spec)[0], shown)
    if parse_spec(spec)[1] == shown:
        assert found == spec


def test_texts_lose_folders_and_keep_everything_else() -> None:
    assert public_text("no file in /srv/data/videos: see https://a:b@c.example/x?y") == (
        "no file in videos: see https://c.example/x"
    )
    for text in ("pe: 3 of 100 drafts", "and/or", "https://c.example/a/b", "org/model", "a ~ b", "1/2"):
        assert public_text(text) == text


def test_values_are_looked_into() -> None:
    given = {"server": "http://u:p@h.example/v1", "weights": {"path": "/a/b/c.safetensors", "n": 3}, "secrets": ["x"]}
    assert public(given) == {
        "server": "http://h.example/v1",
        "weights": {"path": "c.safetensors", "n": 3},
        "secrets": [HIDDEN],
    }


def test_a_machine_is_told_without_its_kernel() -> None:
    given = {"platform": "Linux-6.1.2-private-build-x86_64-with-glibc2.36", "cpus": 8, "gpus": ["H100", "H100"]}
    assert public_machine(given) == {"platform": "Linux x86_64", "cpus": 8, "gpus": ["H100", "H100"]}
    assert public_machine({}) == {"platform": "", "cpus": None, "gpus": []}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    call = in_process(monkeypatch, capsys, tmp_path)
    return lambda *arguments: call("leaderboard", *arguments)


@pytest.fixture
def human(tmp_path: Path) -> dict[str, str]:
    """Settings of runs that have the human baseline."""
    table = corpus_files.rows()
    videos = corpus_files.videos(tmp_path / "private" / "videos", table)
    corpus = corpus_files.spec(corpus_files.write(tmp_path / "private" / "mine.csv", table), videos=videos)
    return {"baseline": "human", "corpus": corpus, "embedder": "hashing"}


@pytest.mark.slow
def test_runs_that_share_the_human_baseline_share_a_board(run: Run, human: dict[str, str], tmp_path: Path) -> None:
    evaluate(tmp_path / "one", llm="verbatim", **human)
    evaluate(tmp_path / "two", llm="shotlist", **human)
    assert run("add", "board", "one").status == 0
    done = run("add", "board", "two")
    assert done.status == 0, done.err
    assert "human is left out: the board has it already, with the same results" in done.out
    assert run("check", "board").out == "board: ok: 3 systems, 2 submissions\n"
    texts = [path.read_text(encoding="utf-8") for path in submissions(tmp_path / "board")]
    assert sorted('"baseline human"' in text for text in texts) == [False, True]
    assert not any("private" in text for text in texts)


def test_a_human_baseline_that_was_changed_by_hand_is_refused(run: Run, human: dict[str, str], tmp_path: Path) -> None:
    evaluate(tmp_path / "one", llm="verbatim", **human)
    samples = (tmp_path / "one/samples.jsonl").read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(samples) if json.loads(line)["system"] == "human")
    edit_samples(tmp_path / "one", lambda row: row["match"].update(similarity=1.0), at)
    done = run("add", "board", "one")
    assert done.status == 2
    assert "samples.jsonl does not match the ledger in match: system 'human', cats/p" in done.line
