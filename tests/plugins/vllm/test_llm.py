"""Language models in vLLM's engine: whole evaluations and the promises that runs rely on, with a stand-in for vLLM."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import popbench
import vllm_stand_in
from popbench import testing
from popbench_vllm.llm import VLLM
from popbench_vllm.options import EngineOptions
from tiny_llms import build, tiny
from vllm_stand_in import LLMEngine

EVAL: dict[str, Any] = {
    "gen": "faulty", "predictor": "faulty", "corpus": "demo", "embedder": "hashing", "task": "popcorn_concrete",
    "limit": 6,
}  # fmt: skip
SCHEMA: dict[str, popbench.JSON] = {"type": "object", "properties": {"title": {"type": "string"}}}


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_BATCH_INVARIANT", raising=False)
    for name in ("VLLM_NO_USAGE_STATS", "VLLM_LOGGING_LEVEL", "VLLM_WORKER_MULTIPROCESSING_METHOD"):
        monkeypatch.setenv(name, "")  # so that it is as before at the end
        monkeypatch.delenv(name)
    vllm_stand_in.install(monkeypatch)


def make(model: Path | str | None = None, **options: Any) -> VLLM:
    return VLLM(EngineOptions(model=str(model or tiny()), **options))


def chat(text: str, id_: str = "one", **more: Any) -> popbench.Chat:
    messages = popbench.Message(role="system", content="Be brief."), popbench.Message(role="user", content=text)
    return popbench.Chat(id_, messages, **{"seed": 7, "schema": SCHEMA, **more})


def answer(llm: VLLM, *chats: popbench.Chat) -> list[Any]:
    return list(llm.generate(chats))


def engine() -> LLMEngine:
    (made,) = LLMEngine.made
    return made


# -- a whole run


def test_a_run_goes_from_prompts_to_a_board_and_a_second_one_asks_nothing(tmp_path: Path) -> None:
    llm = f"vllm,model={tiny()},max_tokens=300"
    run = popbench.evaluate(llm=llm, mode=["basic", "pe,k=2"], out=tmp_path / "run", **EVAL)
    assert run.complete
    samples = list(run.samples())
    assert len(samples) == 12
    for sample in samples:
        assert sample.status == "ok", sample.error
        assert "Here it is: " in str(sample.completion)
        assert sample.usage is not None
        assert sample.usage["input"] > 100
        assert (sample.seconds["llm"] or 0) > 0
    assert tiny().name in (run.path / "leaderboard.md").read_text()
    assert engine().ended == 1
    assert engine().most >= 6
    again = popbench.evaluate(llm=llm, mode=["basic", "pe,k=2"], out=tmp_path / "run", **EVAL)
    assert again.complete
    assert len(LLMEngine.made) == 1


def test_a_mode_of_several_turns_goes_through(tmp_path: Path) -> None:
    llm = f"vllm,model={tiny()},max_tokens=300,concurrency=3"
    run = popbench.evaluate(llm=llm, mode="refine", out=tmp_path / "run", **EVAL)
    assert run.complete
    assert engine().most == 3


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit() -> None:
    testing.check_llm(f"vllm,model={tiny()},max_tokens=200", other_options={"max_tokens": 64})


# -- batching


def test_answers_come_as_they_finish_and_others_take_their_places() -> None:
    llm = make(concurrency=2, max_tokens=400)
    taken: list[str] = []

    def chats() -> Iterator[popbench.Chat]:
        for id_, text in (("long", "a novel"), ("a", "tea"), ("b", "milk"), ("c", "ink")):
            taken.append(id_)
            yield chat(text, id_)

    answers = llm.generate(chats())
    assert next(answers).id == "a"
    assert taken == ["long", "a"], "two at a time"
    assert [each.id for each in answers] == ["b", "c", "long"]
    assert engine().most == 2
    llm.close()


def test_an_answer_depends_on_its_request_alone_and_seconds_are_shares() -> None:
    alone = answer(make(), chat("tea", "x"))[0]
    among = {each.id: each for each in answer(make(), *(chat(f"tea {n}", str(n)) for n in range(5)), chat("tea", "x"))}
    assert (among["x"].text, among["x"].usage) == (alone.text, alone.usage)
    assert answer(make(), chat("tea", seed=8))[0].text != alone.text
    assert all(each.seconds > 0 for each in among.values())


def test_an_iterator_that_is_closed_leaves_no_request_behind() -> None:
    llm = make()
    answers = llm.generate([chat("a novel", "long"), chat("tea", "short"), chat("ink", "other")])
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert engine().aborted >= 1
    assert not engine().has_unfinished_requests()
    assert [each.id for each in answer(llm, chat("milk", "next"))] == ["next"]


def test_a_closed_model_ends_its_engine_and_loads_again() -> None:
    llm = make()
    before = answer(llm, chat("tea"))[0].text
    llm.close()
    llm.close()
    assert engine().ended == 1
    assert answer(llm, chat("tea"))[0].text == before
    assert len(LLMEngine.made) == 2


# -- what the engine is asked


def test_options_reach_the_engine_and_statistics_of_use_are_off() -> None:
    llm = make(
        dtype="bfloat16", quantization="fp8", max_model_len=4096, tensor_parallel_size=2, gpu_memory_utilization=0.5,
        enforce_eager=True, concurrency=9, reasoning_parser="qwen3", temperature=0.5, top_p=0.8, top_k=5, min_p=0.1,
        repetition_penalty=1.2, max_tokens=77,
    )  # fmt: skip
    answer(llm, chat("tea"))
    args, params = engine().args, engine().asked["0"].params
    assert args.model == str(tiny().resolve())
    assert (args.dtype, args.quantization, args.max_model_len, args.tensor_parallel_size) == (
        "bfloat16",
        "fp8",
        4096,
        2,
    )
    assert (args.gpu_memory_utilization, args.enforce_eager, args.max_num_seqs) == (0.5, True, 9)
    assert (args.reasoning_parser, args.structured_outputs_config.backend) == ("qwen3", "guidance")
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.5, 0.8, 5, 0.1)
    assert (params.repetition_penalty, params.max_tokens, params.seed) == (1.2, 77, 7)
    assert params.structured_outputs is None
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"


def test_sampling_that_is_not_given_is_the_models_own(tmp_path: Path) -> None:
    folder = build(tmp_path / "m", do_sample=True, temperature=0.3, top_k=7, max_new_tokens=5)
    answer(make(folder, top_p=0.5), chat("tea"))
    params = engine().asked["0"].params
    assert (params.temperature, params.top_k, params.top_p, params.max_tokens) == (0.3, 7, 0.5, 2048)


def test_structured_holds_answers_to_the_schema_but_not_where_a_chat_reasons_first() -> None:
    found = answer(
        make(structured=True),
        chat("tea", "held"), chat("tea", "free", schema={}), chat("tea", "reasons", reasons=True),
    )  # fmt: skip
    texts = {each.id: each.text for each in found}
    assert list(json.loads(texts["held"])) == ["title", "video_prompt"]
    assert texts["free"].startswith(texts["reasons"][:5])
    held = [request.params.structured_outputs for request in engine().asked.values()]
    assert [each and each.json for each in held] == [SCHEMA, None, None]


def test_a_schema_that_vllm_does_not_take_is_a_failure_of_its_chat() -> None:
    refused, fine = answer(
        make(structured=True), chat("tea", "bad", schema={"unsupported": True}), chat("tea", "good")
    )  # fmt: skip
    assert isinstance(refused, popbench.Failure)
    assert refused.error == "vLLM refuses the request: Grammar error: unimplemented keys"
    assert fine.id == "good"


# -- thoughts and templates


def test_thoughts_of_an_open_section_end_where_the_model_ends_them() -> None:
    found = answer(make(tiny(style="thinking")), chat("tea"), chat("milk", "held"))[0]
    assert "</think>" in found.text  # popbench splits it off
    assert "Here it is" in found.text


def test_thoughts_that_never_end_are_no_answer() -> None:
    found = answer(make(tiny(style="thinking"), max_tokens=2), chat("tea"))[0]
    assert (found.text, bool(found.reasoning), found.cut) == ("", True, True)
    assert found.remarks == ("cut at the limit of tokens before any answer: allow more with max_tokens=",)


def test_a_schema_waits_for_the_end_of_thoughts_where_a_parser_is_named() -> None:
    answer(make(tiny(style="thinking"), structured=True), chat("tea"))
    answer(make(tiny(style="thinking"), structured=True, reasoning_parser="qwen3"), chat("tea"))
    without, with_parser = (made.asked["0"].params.structured_outputs for made in LLMEngine.made)
    assert without is None
    assert with_parser is not None


@pytest.mark.parametrize("style", ["no-system", "swallows-system", "no-template"])
def test_a_template_without_a_system_role_gets_the_systems_text_with_the_users(style: Any) -> None:
    llm = make(tiny(style=style))
    (found,) = answer(llm, chat("tea"))
    assert isinstance(found, popbench.Completion), found
    prompt = engine()._tokenizer.decode(engine().asked["0"].prompt)
    assert "Be brief." in prompt
    assert "tea" in prompt


def test_a_template_that_cannot_be_used_ends_the_model(tmp_path: Path) -> None:
    template = tmp_path / "bad.jinja"
    template.write_text("{{ raise_exception('never') }}")
    with pytest.raises(popbench.ComponentError, match="its chat template cannot be used: never"):
        answer(make(chat_template=str(template)), chat("tea"))
    assert not LLMEngine.made


# -- contexts


def test_a_prompt_that_is_too_long_is_a_failure_that_says_what_to_change() -> None:
    llm = make(max_model_len=64)
    reference = popbench.Reference("r", "t", "d", "c", "tag", 1)
    failed, fine = answer(llm, chat("tea " * 100, "long", references=(reference,)), chat("tea", "short"))
    assert isinstance(failed, popbench.Failure)
    assert (
        "and the model's context 64: choose a smaller RAG size (--mode pe,k=N; this chat has 1 references)"
        in failed.error
    )
    assert fine.cut
    assert fine.remarks[0].startswith("cut at the end of the context")


def test_what_fits_is_known_before_the_model_is_loaded() -> None:
    llm = make(max_model_len=200, max_tokens=40)
    assert llm.fits(chat("tea").messages)
    assert not llm.fits(chat("tea " * 200).messages)
    assert make().fits(chat("tea " * 200).messages)
    assert not LLMEngine.made


# -- faults


def test_a_request_that_vllm_ends_with_an_error_is_a_failure_that_is_tried_again() -> None:
    failed, fine = sorted(answer(make(), chat("poison", "a"), chat("tea", "b")), key=lambda each: each.id)
    assert isinstance(failed, popbench.Failure)
    assert not failed.invalid
    assert failed.error == "vLLM ended the request before its answer (error)"
    assert isinstance(fine, popbench.Completion)


def test_an_engine_that_stops_ends_the_model_with_one_line() -> None:
    with pytest.raises(popbench.ComponentError, match=r"vLLM has stopped \(EngineDeadError: .* above say more"):
        answer(make(), chat("a wreck"))


def test_a_model_that_does_not_load_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LLMEngine, "fails", "Engine core initialization failed. See root cause above.")
    with pytest.raises(popbench.ComponentError, match=r"vLLM cannot load it .*root cause.*max_model_len="):
        answer(make(), chat("tea"))
    monkeypatch.setattr(LLMEngine, "fails", None)
    with pytest.raises(popbench.ComponentError, match="Unknown quantization method: four"):
        answer(make(quantization="four"), chat("tea"))


def test_a_folder_that_changes_between_planning_and_loading_stops_the_model(tmp_path: Path) -> None:
    folder = shutil.copytree(tiny(), tmp_path / "m")
    llm = make(folder)
    llm.fingerprint()
    (folder / "generation_config.json").write_text('{"temperature": 0.1}')
    with pytest.raises(popbench.ComponentError, match="changed since the run was planned"):
        answer(llm, chat("tea"))
    assert not LLMEngine.made


# -- checks and identity


def test_checks_say_what_is_missing_in_one_line_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert make().check() == []
    assert make(tensor_parallel_size=3).check() == ["tensor_parallel_size=3: this machine has only 2 CUDA GPUs"]
    (line,) = make("./nowhere").check()
    assert "there is no such folder" in line
    (line,) = make(chat_template="./none.jinja").check()
    assert line == "chat_template ./none.jinja: No such file or directory; give a Jinja file"
    monkeypatch.setattr("popbench_vllm.checks.gpu_memory", lambda device: 1000.0)
    assert "spread it over more GPUs (tensor_parallel_size=)" in make().check()[0]
    assert make(quantization="fp8").check() == []
    monkeypatch.setattr("popbench_vllm.checks.gpu_count", lambda device: 0)
    assert make().check()[0].startswith("vLLM needs a CUDA GPU, and there is none here")
    folder = shutil.copytree(tiny(), tmp_path / "m")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    assert "holds no tokenizer" in make(folder).check()[0]


@pytest.mark.parametrize(("version", "said"), [(None, "not installed: pip"), ("0.27.1", "0.27.1 is too old")])
def test_without_vllm_there_is_one_line(version: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vllm_stand_in.install(monkeypatch, version)
    for name in [name for name in sys.modules if name == "vllm" or name.startswith("vllm.")]:
        monkeypatch.delitem(sys.modules, name)
    (line,) = make("./nowhere").check()
    assert said in line
    with pytest.raises(popbench.ComponentError, match=said):
        answer(make(), chat("tea"))


def test_labels_and_fingerprints_hold_what_determines_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(tiny(), tmp_path / "other")
    one = make().fingerprint()
    assert make(copy).fingerprint() == one
    assert make(tensor_parallel_size=2, concurrency=3, gpu_memory_utilization=0.4).fingerprint() == one
    assert make(temperature=0.5).fingerprint() != one != make(max_model_len=64).fingerprint()
    assert make(tiny("qwen2")).fingerprint()["weights"] != one["weights"]
    assert make(structured=True, concurrency=2).label() == f"{tiny().name}[structured=true]"
    assert not make().repeatable
    assert make(tensor_parallel_size=2).needs().gpus == 2
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    assert make().repeatable
    assert make().fingerprint() != one


def test_a_template_file_is_known_by_its_content(tmp_path: Path) -> None:
    files = [tmp_path / "a.jinja", tmp_path / "b.jinja", tmp_path / "c.jinja"]
    for file, text in zip(files, ("x", "x", "y"), strict=True):
        file.write_text(text)
    first, same, other = (make(chat_template=str(file)).fingerprint() for file in files)
    assert first == same != other
