"""Modes of several turns: each call is stored on its own, and none is made twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import popbench
import popbench_runs
from made_tasks import task_file
from mode_runs import Write, calls, first, forgotten, iter_of, odd, run
from popbench.progress import Progress
from popbench.registry import load_registry
from turning_modes import ASKED, Again, Clerk, Longest
from usage_errors import refusal


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    with forgotten():
        yield


# -- what a sample of several turns holds


def test_each_turn_is_a_call_of_its_own_and_its_costs_are_added_up(tmp_path: Path) -> None:
    done = run(tmp_path / "run")
    sample = first(done)
    assert (sample.status, sample.attempts, sample.unusable) == ("ok", 3, ())
    assert sample.usage == {"input": 30, "output": 3}
    assert sample.cost == pytest.approx(0.03)
    assert sample.seconds["llm"] == 3.0
    assert calls(tmp_path / "run") == len(ASKED) == 6
    assert len({chat.seed for chat in ASKED}) == 6
    assert [bool(chat.schema) for chat in ASKED] == [True, False, True] * 2
    assert sample.title == f"Title {ASKED[2].seed}"
    assert json.loads(sample.completion or "")["title"] == sample.title


def test_the_first_turn_is_the_call_that_the_template_makes(tmp_path: Path) -> None:
    run(tmp_path / "run", mode=["basic", Again])
    assert len(ASKED) == 2 + 2 * 2


def test_drafts_are_finished_before_others_are_begun(tmp_path: Path) -> None:
    """So a later stage has work early, and no more conversations are open than the LLM has calls at once."""
    run(tmp_path / "run", limit=20)
    left, most = dict[str, int](), 0
    for chat in ASKED:
        left[chat.prompt] = left.get(chat.prompt, 3) - 1
        most = max(most, sum(number > 0 for number in left.values()))
    assert most <= 4


def test_batches_and_orders_of_calls_change_no_draft(tmp_path: Path) -> None:
    expected = popbench_runs.outcome((run(tmp_path / "one", mode=[Again, "best,n=3", "refine"], limit=7)).path)
    for batch in (2, 5, 100):
        clerk = Clerk(Clerk.Options(batch=batch))
        done = run(tmp_path / str(batch), llm=clerk, mode=[Again, "best,n=3", "refine"], limit=7)
        assert popbench_runs.outcome(done.path) == expected


# -- resumes


@pytest.mark.parametrize("after", range(1, 9))
def test_no_call_is_repeated_after_an_end_at_any_turn(after: int, tmp_path: Path) -> None:
    modes = [Again(Again.Options(rounds=2)), "best,n=2"]
    expected = popbench_runs.outcome(run(tmp_path / "whole", mode=modes).path)
    ASKED.clear()
    stopped = run(tmp_path / "run", llm=Clerk(Clerk.Options(stop_after=after)), mode=modes)
    assert not stopped.complete
    asked = {chat.id for chat in ASKED[:after]}
    ASKED.clear()
    resumed = run(tmp_path / "run", mode=modes)
    assert resumed.complete
    assert not asked & {chat.id for chat in ASKED}
    assert popbench_runs.outcome(resumed.path) == expected


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_random_moments_no_stored_call_is_made_again(how: signal.Signals, tmp_path: Path) -> None:
    arguments = [
        "eval", "--limit", "4", "--task", "popcorn_concrete", "--llm", "counting", "--mode", "refine,rounds=2",
        "--mode", "best,n=3", "--mode", "few", "--gen", "counting,width=96,height=64", "--predictor", "counting",
        "--corpus", "demo", "--out", "run",
    ]  # fmt: skip
    (tmp_path / "whole").mkdir()
    process = popbench_runs.start(arguments, tmp_path / "whole")
    process.join(100)
    assert process.exitcode == 0, (tmp_path / "whole" / "stderr.txt").read_text()
    draw, starts = random.Random(7), 0
    while True:
        before, log = popbench_runs.committed(tmp_path / "run"), tmp_path / f"asked-{starts}.txt"
        starts += 1
        process = popbench_runs.start(arguments, tmp_path, log)
        while process.is_alive() and not popbench_runs.committed(tmp_path / "run") - before:
            time.sleep(0.002)
        # At once at first, so that some are stopped on a fast machine too.
        process.join(0 if starts < 5 else draw.uniform(0, 0.15) if starts < 12 else 100)
        if process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(process.pid or 0, how)
        process.join(60)
        asked = log.read_text().split() if log.exists() else []
        assert len(asked) == len(set(asked)), "one start asked for one item twice"
        assert not before & set(asked), "a committed call was repeated"
        if process.exitcode == 0:
            break
        assert process.exitcode in (-how, 130), (tmp_path / "stderr.txt").read_text()
    assert starts > 3
    assert popbench_runs.outcome(tmp_path / "run") == popbench_runs.outcome(tmp_path / "whole" / "run")


def test_an_error_of_a_turn_is_an_error_of_the_sample_and_a_resume_goes_on_from_there(tmp_path: Path) -> None:
    done = run(tmp_path / "run", llm=Clerk(Clerk.Options(fail="Criticise")))
    assert (first(done).status, first(done).error) == ("error", "the line is dead")
    ASKED.clear()
    assert run(tmp_path / "run").complete
    assert [chat.messages[-1]["content"][:7] for chat in ASKED] == ["Critici", "Rewrite"] * 2


# -- answers that are no use


def test_a_refusal_of_a_turn_makes_the_sample_invalid(tmp_path: Path) -> None:
    sample = first(run(tmp_path / "run", llm=Clerk(Clerk.Options(refuse="Criticise"))))
    assert (sample.status, sample.error, sample.unusable) == ("invalid", "it would not", ("refusal",))
    assert sample.attempts == 2
    assert sample.usage == {"input": 20, "output": 2}


def test_a_draft_that_is_not_required_may_be_missing(tmp_path: Path) -> None:
    sample = first(run(tmp_path / "run", llm=Clerk(Clerk.Options(silent="Rewrite")), limit=1))
    assert (sample.status, sample.attempts, sample.unusable) == ("ok", 5, ("no JSON",) * 3)
    assert sample.title == f"Title {ASKED[0].seed}"
    assert len({chat.seed for chat in ASKED}) == 5


def test_a_draft_that_is_required_makes_the_sample_invalid(tmp_path: Path) -> None:
    mode = odd(lambda self, prompt, references, ask: iter_of([ask("Criticise"), ask.draft("Rewrite")]))
    sample = first(run(tmp_path / "run", llm=Clerk(Clerk.Options(silent="Rewrite")), mode=mode))
    assert (sample.status, sample.error) == ("invalid", "no usable draft in 3 answers: no JSON (3)")


def test_best_goes_on_without_drafts_that_are_unusable_and_is_invalid_without_any(tmp_path: Path) -> None:
    sample = first(run(tmp_path / "run", llm=Clerk(Clerk.Options(silent="micro-video")), mode="best,n=2"))
    assert (sample.status, sample.error) == ("invalid", "no usable draft in 6 answers: no JSON (6)")


def test_a_draft_that_a_mode_made_is_checked_like_one_that_was_read(tmp_path: Path) -> None:
    def write(title: str) -> Write:
        def write(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
            draft = yield ask.draft()
            yield popbench.Draft(title, draft.video_prompt)

        return write

    long = first(run(tmp_path / "long", mode=odd(write("x" * 60))))
    assert (long.status, long.compliance) == ("ok", False)
    assert long.notes == ("title has 60 characters, more than 50",)
    empty = first(run(tmp_path / "empty", mode=odd(write(" "))))
    assert (empty.status, empty.error) == ("invalid", "no usable draft in 1 answer: empty (1)")


# -- names, options, labels


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("refine", "refine"),
        ("refine,rounds=2", "refine[rounds=2]"),
        ("refine,template=pe,k=3", "refine[template=pe,k=3]"),
        ("few,k=4,shots=1", "few[shots=1,k=4]"),
        ("popbench/best,n=2", "popbench/best[n=2]"),
        ("best,n=2,label=two", "two"),
    ],
)
def test_a_registered_mode_is_labelled_by_what_differs(spec: str, label: str, tmp_path: Path) -> None:
    done = run(tmp_path / "run", mode=spec, limit=1)
    assert first(done).mode == label
    entry = json.loads((tmp_path / "run" / "run.json").read_text())
    assert entry["components"][f"mode {label}"]["spec"] == spec
    assert entry["modes"][label]["name"] == spec.partition(",")[0]


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("refin", "did you mean 'refine'? (possible: "),
        ("refin", "basic, best, few, pe, refine)"),
        ("refine,round=2", "unknown option of mode refine 'round': did you mean 'rounds'?"),
        ("refine,k=3", "unknown option of mode refine 'k'"),
        ("few,shoots=3", "did you mean 'shots'?"),
        ("few,k=0", "mode few: k: "),
        ("refine,rounds=0", "mode refine: rounds: "),
        ("refine,template=p", "mode refine: unknown template of task popcorn_concrete 'p'"),
        ("nobody/refine", "unknown mode 'nobody/refine'"),
    ],
)
def test_a_wrong_name_or_option_is_told_with_what_is_possible(spec: str, what: str, tmp_path: Path) -> None:
    assert what in refusal(lambda: run(tmp_path / "run", mode=spec))


def test_a_template_of_ones_own_that_never_shows_the_prompt_is_refused(tmp_path: Path) -> None:
    text = "{% block system %}Be brief.{% endblock %}{% block user %}Write a video.{% endblock %}"
    (tmp_path / "same.j2").write_text(text, encoding="utf-8")
    message = refusal(lambda: run(tmp_path / "run", mode=str(tmp_path / "same.j2")))
    assert "same.j2: it shows the model no prompt, and every prompt would get the same draft: put {{ " in message


def test_a_template_of_the_task_comes_before_a_mode_of_its_name(tmp_path: Path) -> None:
    path = task_file(tmp_path / "task", templates={"basic": "basic.j2", "refine": "basic.j2"})
    done = run(tmp_path / "run", mode=["refine", "popbench/refine"], task=str(path), limit=1)
    assert {sample.mode: sample.attempts for sample in done.samples()} == {"refine": 1, "popbench/refine": 3}


def test_instances_run_beside_names_and_options_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    done = run(tmp_path / "run", mode=[Again(Again.Options(rounds=2)), Again, "basic"], limit=1)
    assert {sample.mode: sample.attempts for sample in done.samples()} == {"Again[rounds=2]": 5, "Again": 3, "basic": 1}
    entry = json.loads((tmp_path / "run" / "run.json").read_text())["modes"]
    assert len({json.dumps(mode["fingerprints"]) for mode in entry.values()}) == 3


def test_another_version_of_a_mode_writes_anew_and_the_run_says_so(tmp_path: Path) -> None:
    class Notes(Progress):
        def __init__(self) -> None:
            self.told: list[str] = []

        def notice(self, text: str) -> None:
            self.told.append(text)

    run(tmp_path / "run", mode=odd(Again.write, Options=Again.Options))
    notes = Notes()
    run(tmp_path / "run", mode=odd(Again.write, Options=Again.Options, version="2"), progress=notes)
    assert "mode Odd: version 1 → 2: 2 drafts of this run are made again" in notes.told


# -- a predictor that picks


def test_a_predictor_of_titles_picks_without_a_call(tmp_path: Path) -> None:
    load_registry().adopt("predictor", Longest)
    done = run(tmp_path / "run", mode='best,n=4,picker="Longest"', limit=1)
    assert len(ASKED) == first(done).attempts == 4
    assert first(done).title == f"Title {max((chat.seed for chat in ASKED), key=lambda seed: seed % 1000)}"
    assert first(done).mode == "best[n=4,picker=Longest]"
    entry = json.loads((tmp_path / "run" / "run.json").read_text())["components"]["mode best[n=4,picker=Longest]"]
    assert entry["fingerprint"]["picker"]["version"] == "1"


@pytest.mark.parametrize(
    ("picker", "what"),
    [
        ("nobody", "unknown predictor 'nobody'"),
        ("demo", "picker=demo: the predictor uses video, which drafts do not have yet"),
        ("Longest,lacking=true", "set LONGEST_KEY"),
        ("Longest,long=true", "unknown option of predictor Longest 'long'"),
    ],
)
def test_a_predictor_that_cannot_pick_is_told_before_any_work(picker: str, what: str, tmp_path: Path) -> None:
    load_registry().adopt("predictor", Longest)
    assert what in refusal(lambda: run(tmp_path / "run", mode=f'best,n=4,picker="{picker}"', limit=1))


def test_a_predictor_that_fails_to_pick_ends_the_run_with_one_line(tmp_path: Path) -> None:
    load_registry().adopt("predictor", Longest)
    with pytest.raises(popbench.RunError, match=r"^mode best.*: picker Longest.*: it cannot read$"):
        run(tmp_path / "run", mode='best,n=2,picker="Longest,broken=true"', limit=1)


# -- references


def test_a_mode_gets_as_many_references_as_its_first_call_has_room_for(tmp_path: Path) -> None:
    def write(self: Any, prompt: Any, references: Any, ask: Any) -> popbench.Writing:
        yield (yield ask.draft("x" * 100 * len(references) + "y"))

    mode = odd(write, uses_references=True)
    done = run(tmp_path / "run", llm=Clerk(Clerk.Options(room=350)), mode=mode, limit=1)
    assert len(first(done).references) == len(ASKED[0].references) == 3
    assert first(done).notes[0] == "references cut from 10 to 3: more do not fit the model's context"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["modes"]["Odd"]["options"]["k"] == 10


def test_few_shows_popular_references_as_answers(tmp_path: Path) -> None:
    run(tmp_path / "run", mode="few,shots=2", limit=1)
    (chat,) = ASKED
    roles = [message["role"] for message in chat.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    shown = [json.loads(message["content"])["title"] for message in chat.messages if message["role"] == "assistant"]
    popular = [" ".join(one.title.split()) for one in chat.references if one.popular]
    assert shown == popular[:2][::-1]
