"""`openai,...,batch=true` through the real SDK: whole runs, results of every kind, costs, and what is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import openai_servers
import popbench
from batch_runs import KEY, KEY_ENV, BatchServer, at_work, errors_of, make, spec
from command_line import in_process
from popbench import testing
from popbench.records import Completion, Failure, Submitted
from popbench_openai import accepted, batch_lines, batches, faults
from popbench_openai.hiding import Hider
from video_renders import Run

# -- whole runs


def test_a_run_asks_all_its_prompts_in_one_batch(write: Run, batch: BatchServer) -> None:
    batch.plan(hours=0.1)
    run = write()
    assert run.complete
    assert [sample.status for sample in run.samples()] == ["ok"] * 6
    assert batch.sizes() == [6]
    assert at_work(run.path) == 0
    assert write().complete
    assert batch.sizes() == [6]


def test_batches_are_no_larger_than_they_may_be_and_at_work_side_by_side(write: Run, batch: BatchServer) -> None:
    batch.plan(hours=0.3)
    started = time.monotonic()
    assert write(options={"batch_size": 2}).complete
    assert batch.sizes() == [2, 2, 2]
    made = [each["made"] for each in batch.batches()]
    assert max(made) - min(made) < 0.3 < time.monotonic() - started


@pytest.mark.parametrize("limit", ["_MOST_BYTES", "_MOST_REQUESTS"])
def test_files_and_memory_have_limits(
    write: Run, batch: BatchServer, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, limit, 4000 if limit == "_MOST_BYTES" else 2)
    assert write().complete
    assert batch.sizes() == [2, 2, 2]


def test_drafts_are_those_of_the_same_model_online(write: Run, batch: BatchServer, tmp_path: Path) -> None:
    online = write(out="online", options={"batch": False})
    batched = write(out="batched")
    drafts = [[(sample.title, sample.video_prompt) for sample in run.samples()] for run in (online, batched)]
    assert drafts[0] == drafts[1]
    assert make(batch).fingerprint() == make(batch, batch=False).fingerprint()
    assert make(batch).label() == make(batch, batch=False).label()


def test_unusable_answers_are_asked_again_in_another_batch(write: Run, batch: BatchServer) -> None:
    batch.plan(text="I would rather not.")
    run = write(limit=4)
    assert run.complete
    assert run.invalid == 4
    assert batch.sizes() == [4, 4]
    seeds = [request["body"]["seed"] for each in batch.batches() for request in each["requests"]]
    assert len(set(seeds)) == 8


def test_each_turn_of_a_mode_is_a_batch(write: Run, batch: BatchServer) -> None:
    assert write(limit=3, mode="refine").complete
    assert batch.sizes() == [3, 3, 3]


def test_lines_hold_what_a_request_online_holds(batch: BatchServer) -> None:
    llm = make(batch, temperature=0.5, max_tokens=90, extra_body='{"reasoning_effort":"low"}')
    answers(llm, openai_servers.chat("one"))
    (made,) = batch.batches()
    (line,) = made["requests"]
    assert {name: line[name] for name in ("custom_id", "method", "url")} == {
        "custom_id": "one", "method": "POST", "url": "/v1/chat/completions",
    }  # fmt: skip
    body = line["body"]
    assert body["response_format"]["type"] == "json_schema"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert {name: body[name] for name in ("model", "temperature", "max_tokens", "reasoning_effort", "seed")} == {
        "model": "tiny", "temperature": 0.5, "max_tokens": 90, "reasoning_effort": "low", "seed": 1,
    }  # fmt: skip


def test_a_line_that_is_nested_too_deeply_is_an_error_of_its_request(batch: BatchServer) -> None:
    options = make(batch).asked  # type: ignore[attr-defined]
    request = accepted.Accepted(options).request(openai_servers.chat("one"))
    nested: Any = []
    for _ in range(900):
        nested = [nested]
    line = {"custom_id": "one", "response": {"status_code": 200, "body": {"choices": [], "error": nested}}}
    with pytest.raises(faults.CallError, match="nested too deeply"):
        batch_lines.answer(request, line, None, "", Hider("a-key-of-no-account"), options)


@pytest.mark.parametrize(
    ("began", "ended", "seconds"), [(5, 65, 60.0), (5, 10**400, None), (65, 5, None), ("5", 65, None), (5, None, None)]
)
def test_the_seconds_of_a_batch_are_those_that_can_be(began: Any, ended: Any, seconds: float | None) -> None:
    assert batch_lines.seconds_of({"created_at": began, "completed_at": ended}) == seconds


def answers(llm: popbench.LLM, *chats: popbench.Chat) -> list[Completion | Failure | Submitted]:
    """Return all that a model yields for chats."""
    try:
        return list(llm.generate(iter(chats)))
    finally:
        llm.close()


def test_a_batch_is_submitted_before_and_after_it_is_created(batch: BatchServer) -> None:
    found = answers(make(batch), openai_servers.chat("one"), openai_servers.chat("two"))
    jobs = [answer.job for answer in found if isinstance(answer, Submitted)]
    assert [job.get("batch") for job in jobs[:4]] == [None, None, "batch_0", "batch_0"]
    assert {job["file"] for job in jobs} == {"file-0"}
    assert [type(answer) for answer in found[-2:]] == [Completion, Completion]
    assert openai_servers.done(found[-1]).seconds == 60, "of the whole batch"  # type: ignore[arg-type]


def test_half_of_a_character_in_what_a_server_says_spoils_no_file(write: Run, batch: BatchServer) -> None:
    batch.plan(faults={"0": {"0": "half"}})
    run = write()
    assert "half of a character: ?" in errors_of(run)
    batch.plan(rejected=[{"code": "x", "message": "half \ud800", "line": 1}])
    ended = write()
    assert "batch_1 was rejected: half ? (line 1)" in errors_of(ended)
    assert ended.errors == 1


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit(batch: BatchServer) -> None:
    report = testing.check_llm(spec(batch, poll=0.01, price_in=2, price_out=8), other_options={"temperature": 0.5})
    assert "job" in report.rules


# -- results of every kind


@pytest.mark.parametrize("fault", ["500", "429", "missing", "empty"])
def test_lines_without_an_answer_are_asked_again_in_another_batch(write: Run, batch: BatchServer, fault: str) -> None:
    batch.plan(faults={"0": {"1": fault, "3": fault}})
    assert write().complete
    assert batch.sizes() == [6, 2]
    first, second = (each["ids"] for each in batch.batches())
    assert second == [first[1], first[3]]


def test_a_line_that_never_has_an_answer_is_an_error_after_some_batches(write: Run, batch: BatchServer) -> None:
    batch.plan(faults={str(number): {"0": "500"} for number in range(20)})
    run = write()
    assert run.errors == 1
    assert "gave no answer in 3 batches (last, batch_2: 500 The server had an error)" in errors_of(run)
    assert batch.sizes() == [6, 1, 1]
    assert at_work(run.path) == 0
    batch.plan()
    assert write().complete
    assert batch.sizes() == [6, 1, 1, 1]


def test_refusals_and_filters_are_invalid_and_final(write: Run, batch: BatchServer) -> None:
    batch.plan(faults={"0": {"0": "refusal", "1": "stopped", "2": "filter"}})
    run = write()
    assert (run.errors, run.invalid) == (0, 3)
    assert {"the model refused: I cannot help with that.", "content filter"} <= {
        part for error in errors_of(run).split("\n") for part in (error.partition(": ")[2], error.rpartition("'s ")[2])
    }
    assert write().errors == 0
    assert batch.sizes() == [6]


@pytest.mark.parametrize(("fault", "said"), [("400", "try another max_tokens="), ("long", "choose a smaller RAG size")])
def test_a_request_that_is_rejected_is_an_error_of_its_sample(
    write: Run, batch: BatchServer, fault: str, said: str
) -> None:
    batch.plan(faults={"0": {"2": fault}})
    run = write()
    assert run.errors == 1
    assert said in errors_of(run)
    assert batch.sizes() == [6]


def test_what_the_model_does_not_take_is_left_out_in_the_next_batch(write: Run, batch: BatchServer) -> None:
    batch.plan(faults={"0": {"all": "format"}, "1": {"all": "system"}})
    run = write(limit=3)
    assert run.complete
    assert batch.sizes() == [3, 3, 3]
    bodies = [each["requests"][0]["body"] for each in batch.batches()]
    kinds = [body["response_format"]["type"] for body in bodies]
    assert kinds == ["json_schema", "json_object", "json_object"]
    assert [len(body["messages"]) for body in bodies] == [2, 2, 1]


def test_what_one_batch_has_taught_is_known_to_the_next(write: Run, batch: BatchServer) -> None:
    batch.plan(faults={"0": {"all": "format"}}, text="I would rather not.")
    assert write(limit=2).invalid == 2
    asked = [each["requests"][0]["body"]["response_format"]["type"] for each in batch.batches()]
    assert asked == ["json_schema", "json_object", "json_object"]


def test_an_expired_batch_gives_what_it_has_and_the_rest_goes_into_another(write: Run, batch: BatchServer) -> None:
    batch.plan(status="expired", done=4)
    run = write()
    assert run.complete
    assert batch.sizes() == [6, 2]
    assert max(batch.paid().values()) == 1


def test_batches_that_always_expire_end_in_errors(write: Run, batch: BatchServer) -> None:
    batch.plan(status="expired", done=0)
    run = write()
    assert run.errors == 6
    assert "not answered within the batch's day" in errors_of(run)
    assert batch.sizes() == [6, 6, 6]


def test_a_batch_that_was_cancelled_gives_what_it_has_and_is_not_sent_again(write: Run, batch: BatchServer) -> None:
    batch.plan(status="cancelled", done=4)
    run = write()
    assert run.errors == 2
    assert "cancelled before it was answered" in errors_of(run)
    assert batch.sizes() == [6]
    batch.plan()
    assert write().complete
    assert batch.sizes() == [6, 2]


def test_a_used_up_quota_keeps_the_other_answers_and_ends_the_model(write: Run, batch: BatchServer) -> None:
    batch.plan(faults={"0": {"0": "quota"}})
    run = write()
    assert "no credit is left there: top up the account" in errors_of(run)
    assert len(batch.paid()) == 5
    batch.plan()
    assert write().complete
    assert batch.sizes() == [6, 1]
    assert max(batch.paid().values()) == 1


# -- batches that come to nothing

REJECTED = {"code": "model_not_found", "message": "The model 'tiny' has no batches.", "param": "body.model", "line": 1}


def test_a_batch_that_is_rejected_is_one_error(
    tmp_path: Path, batch: BatchServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.plan(rejected=[REJECTED])
    run = in_process(monkeypatch, capsys, tmp_path)
    command = ["eval", "--llm", spec(batch, batch_size=2), "--gen", "faulty", "--predictor", "faulty", "--corpus",
               "demo", "--mode", "basic", "--task", "popcorn_concrete", "--limit", 6, "--out", "run"]  # fmt: skip
    ended = run(*command)
    assert ended.status == 1
    said = "batch batch_0 was rejected: The model 'tiny' has no batches. (line 1): check model="
    assert ended.err.count(said) == 1
    assert "Traceback" not in ended.err
    batch.plan()
    assert run(*command).status == 0
    assert len(batch.requests()) == len(set(batch.requests())) == 6


def test_a_server_that_has_no_room_for_a_batch_is_waited_for(write: Run, batch: BatchServer) -> None:
    batch.plan(room=4, hours=0.2)
    assert write(options={"batch_size": 2}).complete
    assert len(batch.requests()) == len(set(batch.requests())) == 6


def test_a_batch_that_there_is_never_room_for_says_to_make_smaller_ones(write: Run, batch: BatchServer) -> None:
    batch.plan(room=3)
    run = write(options={"retry_seconds": 0.1})
    assert "Enqueued token limit reached" in errors_of(run)
    assert "choose a smaller batch_size=" in errors_of(run)
    assert write(options={"batch_size": 3}).complete


def test_a_server_without_batches_ends_the_model(write: Run, batch: BatchServer) -> None:
    batch.plan(batches=False)
    assert "404 Invalid URL (POST /v1/files): it may have no Batch API: leave out batch=true" in errors_of(write())
    assert write(options={"batch": False}).complete


def test_an_address_where_nothing_listens_ends_the_model(write: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FIRST_CONTACT", 0)
    assert "Connection refused" in errors_of(write(options={"base_url": "http://127.0.0.1:9/v1"}))


def test_a_server_that_is_away_is_waited_for(write: Run, batch: BatchServer) -> None:
    batch.plan(cut=2, lost=2)
    assert write().complete
    assert batch.sizes() == [6]
    batch.plan(down=["POST"])
    assert "503 overloaded" in errors_of(write(out="two", seed=3, options={"retry_seconds": 0.1}))


def test_a_status_that_is_unknown_keeps_the_batch(write: Run, batch: BatchServer) -> None:
    batch.plan(words="dreaming")
    run = write()
    assert "'dreaming'" in errors_of(run)
    assert at_work(run.path) == 6
    batch.plan()
    assert write().complete
    assert batch.sizes() == [6]


def test_a_component_that_waits_for_long_is_not_given_up(
    write: Run, batch: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_BEAT", 0.1)
    batch.plan(hours=1.5)
    assert write(limit=2, options={"poll": 0.7}, engine="local,inactivity_limit=0.5").complete


def test_a_key_that_the_server_repeats_is_in_no_file(write: Run, batch: BatchServer, tmp_path: Path) -> None:
    batch.plan(text=f"No, {KEY}.")
    write(limit=2)
    batch.plan(echo=True, key="sk-another-0123456789")
    assert f"check the key in {KEY_ENV}" in errors_of(write(out="two", seed=3))
    assert not openai_servers.holders(KEY[:12], tmp_path)
