"""Local language models: whole evaluations with tiny ones, and the promises that runs rely on."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import typing
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import transformers as _transformers

import popbench
from popbench import testing
from popbench.prompting.usable import is_placeholder
from popbench.registry import Plugin, load_registry
from popbench_transformers import decoding, loading
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from popbench_transformers.structured import Grammars
from tiny_llms import Family, build, quantized, tiny

transformers: Any = _transformers  # much of it is untyped

EVAL: dict[str, Any] = {
    "gen": "kinetic", "predictor": "demo", "corpus": "demo", "embedder": "hashing", "task": "popcorn_concrete",
    "limit": 2,
}  # fmt: skip


def make(folder: Path, **options: Any) -> TransformersLLM:
    values = {"model": str(folder), "dtype": "float32", "max_new_tokens": 24, **options}
    return TransformersLLM(TransformersOptions(**values))


def rows(run: popbench.Run) -> list[dict[str, Any]]:
    # not splitlines: models write every character, and that would also part lines at U+2028
    return [json.loads(line) for line in (run.path / "samples.jsonl").read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_structured_model_answers_every_prompt_of_a_run_in_valid_json(family: Family, tmp_path: Path) -> None:
    run = popbench.evaluate(
        llm=f"transformers,model={tiny(family)},temperature=1,max_new_tokens=48,structured=true",
        mode=["basic", "pe,k=2"],
        out=tmp_path / "run",
        **{**EVAL, "gen": "faulty", "predictor": "faulty", "limit": 20},
    )
    assert run.complete
    samples = rows(run)
    assert len(samples) == 40
    for sample in samples:
        reasons = sample["mode"].startswith("pe")
        answer = json.loads(sample["completion"][sample["completion"].rindex('{"title":') if reasons else 0 :])
        assert list(answer) == ["title", "video_prompt"]
        # Tokens of a model without training: a value that says nothing, or was cut before it began, makes no draft.
        assert sample["status"] == "ok" or is_placeholder(answer["title"]) or is_placeholder(answer["video_prompt"])
        assert sample["usage"]["input"] > 100
        assert sample["usage"]["output"] <= 48 * sample["attempts"]
        assert sample["seconds"]["llm"] > 0
        assert sample["peak_memory_mb"]["llm"] is None


class Witness(popbench.VideoGenerator):
    """Renders noise, and notes which language models are alive meanwhile."""

    seen: ClassVar[list[int]] = []
    known: ClassVar[list[Any]] = []

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip]:
        for request in requests:
            self.seen.append(sum(all(model is not other for other in self.known) for model in living()))
            frames = np.random.default_rng(request.seed).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
            yield popbench.Clip(request.id, frames, 8.0)


class _Module:
    @staticmethod
    @popbench.hookimpl
    def register_generators(register: Any) -> None:
        register("witness", Witness)


def living() -> list[Any]:
    """Return the language models that something still holds; called without collecting, as a generator would load."""
    return [found for found in gc.get_objects() if type(found) is transformers.LlamaForCausalLM]


@pytest.mark.slow
def test_a_model_is_loaded_once_and_freed_before_the_generator_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = load_registry()
    if ("generator", "witness") not in registry.registrations:
        registry.add(_Module, Plugin("witness", "popbench-witness", "1", "witness"))
    made: list[int] = []
    kept: list[TransformersLLM] = []  # so that only `close` frees a model
    load, init = loading.load, TransformersLLM.__init__

    def keeping(self: TransformersLLM, options: popbench.Options | None = None) -> None:
        kept.append(self)
        init(self, options)

    def counted(options: TransformersOptions, weights: Any) -> Any:
        loaded = load(options, weights)
        made.append(sum(model is loaded.model for model in living()))
        return loaded

    monkeypatch.setattr(loading, "load", counted)
    monkeypatch.setattr(TransformersLLM, "__init__", keeping)
    gc.collect()
    Witness.seen.clear()
    Witness.known[:] = living()  # of other tests
    run = popbench.evaluate(
        llm=f"transformers,model={tiny()},temperature=1,max_new_tokens=40,structured=true",
        mode=["basic", "pe,k=2"],
        out=tmp_path / "run",
        **{**EVAL, "gen": "witness", "predictor": "faulty"},
    )
    Witness.known.clear()
    assert run.complete
    assert made == [1]  # so that what `living` finds is what is looked for
    assert Witness.seen  # once for every draft that differs
    assert set(Witness.seen) == {0}


def test_annotations_can_be_read_at_run_time() -> None:
    for method in ("fingerprint", "check", "needs", "label", "generate", "close"):
        assert "return" in typing.get_type_hints(getattr(TransformersLLM, method))
    typing.get_type_hints(TransformersLLM)
    typing.get_type_hints(Grammars.matcher)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_model_that_writes_nonsense_is_asked_three_times_and_loaded_once(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load = loading.load

    def counted(options: TransformersOptions, weights: Any) -> Any:
        loads.append(options.model)
        return load(options, weights)

    monkeypatch.setattr(loading, "load", counted)
    run = popbench.evaluate(
        llm=f"transformers,model={tiny(family)},temperature=1,max_new_tokens=8",
        mode="basic",
        out=tmp_path / "run",
        **EVAL,
    )
    samples = rows(run)
    assert [sample["status"] for sample in samples] == ["invalid"] * 2
    assert [sample["attempts"] for sample in samples] == [3, 3]
    assert loads == [str(tiny(family))]


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit() -> None:
    report = testing.check_llm(make(tiny("qwen2"), temperature=1.0), requests=testing.sample_chats()[:3])
    assert report.ok


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit_with_structured_answers() -> None:
    llm = make(tiny(), temperature=1.0, structured=True, max_new_tokens=48)
    report = testing.check_llm(llm, requests=testing.sample_chats()[1:4])
    assert report.ok
    assert not any("(no JSON)" in note for note in report.notes)


def test_an_answer_of_free_text_is_not_held_to_json() -> None:
    chat = replace(testing.sample_chats()[0], schema={})
    held, free = (make(tiny(), temperature=1.0, structured=held, max_new_tokens=8) for held in (True, False))
    (one,), (other,) = held.generate([chat]), free.generate([chat])
    assert isinstance(one, popbench.Completion)
    assert isinstance(other, popbench.Completion)
    assert one.text == other.text


@pytest.mark.slow
def test_only_new_tokens_are_in_the_answer_and_all_are_counted() -> None:
    chat = testing.sample_chats()[0]
    llm = make(tiny(), temperature=0.0, max_new_tokens=5)
    answer = next(iter(llm.generate([chat])))
    assert isinstance(answer, popbench.Completion)
    assert answer.usage is not None
    assert answer.usage["output"] == 5
    assert "micro-videos" not in answer.text
    assert "assistant" not in answer.text
    assert (answer.cut, answer.remarks, answer.notes) == (
        True,
        ("cut at the limit of tokens: allow more with max_new_tokens=",),
        (),
    )
    llm.close()


def test_an_answer_ends_at_any_of_the_end_tokens(tmp_path: Path) -> None:
    chats = testing.sample_chats()
    greedy = make(tiny(), temperature=0.0, max_new_tokens=4)
    first = {answer.id: answer for answer in greedy.generate(chats)}
    # the model's third token becomes an end token in its generation config, beside the tokenizer's own
    loaded = greedy._loaded
    assert loaded is not None
    third = _tokens(greedy, chats[0])[2]
    folder = build(tmp_path / "ends", eos_token_id=[third, *loaded.eos])
    answer = next(iter(make(folder, temperature=0.0, max_new_tokens=4).generate(chats[:1])))
    assert isinstance(answer, popbench.Completion)
    assert answer.usage is not None
    assert answer.usage["output"] <= 2
    assert first[chats[0].id] != answer
    assert answer.notes == ()


def _tokens(llm: TransformersLLM, chat: popbench.Chat) -> list[int]:
    assert llm._loaded is not None
    loaded = llm._loaded
    prompt = loaded.format.encode(chat.messages).tokens
    import torch

    config = loaded.generation_config(4)
    ids = torch.tensor([prompt])
    mask = torch.ones_like(ids)
    found = loaded.model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [int(token) for token in found[0, len(prompt) :]]


@pytest.mark.slow
def test_close_frees_the_model_and_a_later_call_loads_it_again() -> None:
    chats = testing.sample_chats()[:1]
    llm = make(tiny(), temperature=1.0)
    first = [answer.text for answer in llm.generate(chats) if isinstance(answer, popbench.Completion)]
    assert llm._loaded is not None
    alive = weakref.ref(llm._loaded.model)
    llm.close()
    gc.collect()
    assert alive() is None
    again = [answer.text for answer in llm.generate(chats) if isinstance(answer, popbench.Completion)]
    assert first == again
    llm.close()
    llm.close()


@pytest.mark.slow
def test_answers_come_as_rows_finish_and_closing_stops_the_decoding() -> None:
    llm = make(tiny(), temperature=1.0, max_new_tokens=4000)
    chats = testing.sample_chats()
    answers = llm.generate(iter(chats))
    assert next(answers).id in {chat.id for chat in chats}
    assert llm._loaded is not None
    steps: list[None] = []
    llm._loaded.model.register_forward_pre_hook(lambda *_: steps.append(None))
    answers.close()  # type: ignore[attr-defined]
    assert len(steps) < 100  # of thousands
    assert not [thread for thread in threading.enumerate() if thread.name == decoding.THREAD]
    llm.close()


@pytest.mark.slow
def test_an_error_inside_the_model_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = make(tiny())
    list(llm.generate(testing.sample_chats()[:1]))
    assert llm._loaded is not None

    def broken(**_: Any) -> None:
        raise ValueError("kernel missing")

    monkeypatch.setattr(llm._loaded.model, "generate", broken)
    with pytest.raises(ValueError, match="kernel missing"):
        list(llm.generate(testing.sample_chats()))
    llm.close()


def test_labels_name_the_model_and_what_differs() -> None:
    registry = load_registry()
    resolve = registry.resolve
    assert resolve("llm", "transformers,model=org/Some-7B").spec.label == "Some-7B"
    label = resolve("llm", "transformers,model=/a/b/some,temperature=0.5,structured=true,batch_size=4").spec.label
    assert label == "some[temperature=0.5,structured=true,batch_size=4]"
    assert (
        make(Path("~/models/some"), revision="feature/a|b").label()
        == "some[revision=a/b,dtype=float32,max_new_tokens=24]"
    )
    assert TransformersLLM(TransformersOptions(model="./a|b/")).label() == "a/b"
    assert resolve("llm", "llama-3.3-70b").spec.label == "llama-3.3-70b"
    assert resolve("llm", "qwen-2.5-72b,structured=true").spec.label == "qwen-2.5-72b[structured=true]"


@pytest.mark.parametrize(
    ("name", "model", "note"),
    [
        ("llama-3.3-70b", "meta-llama/Llama-3.3-70B-Instruct", "Built with Llama"),
        ("qwen-2.5-72b", "Qwen/Qwen2.5-72B-Instruct", "Qwen License"),
    ],
)
def test_presets_decode_as_the_paper_does_and_show_their_licence(name: str, model: str, note: str) -> None:
    component = load_registry().resolve("llm", name).component
    options = component.options
    assert (options.model, options.quantization, options.max_new_tokens) == (model, "4bit", 5000)
    assert (options.temperature, options.top_p, options.repetition_penalty) == (0.7, 0.9, 1.1)
    assert options.top_k is None
    assert note in component.note


def test_naming_a_model_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from popbench_transformers.llm import TransformersLLM as T;"
        "T(T.Options(model='org/name')).label(); print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


@pytest.mark.slow
def test_quantized_weights_run_on_a_processor() -> None:
    if find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    chats = testing.sample_chats()[:2]
    texts = []
    for _ in range(2):
        llm = make(tiny(), quantization="4bit", temperature=1.0, max_new_tokens=4)
        assert llm.check() == []
        answers = sorted(llm.generate(chats), key=lambda answer: answer.id)
        assert llm._loaded is not None
        assert "Linear4bit" in str(llm._loaded.model)
        texts.append([answer.text for answer in answers if isinstance(answer, popbench.Completion)])
        llm.close()
    assert texts[0] == texts[1]
    assert len(texts[0]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "4bit"])
def test_a_folder_of_quantized_weights_runs_with_and_without_the_option(quantization: str, tmp_path: Path) -> None:
    if find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    folder = quantized(tiny(), tmp_path / "quantized")
    llm = make(folder, quantization=quantization, max_new_tokens=3)
    assert llm.check() == []
    answers = list(llm.generate(testing.sample_chats()[:1]))
    assert isinstance(answers[0], popbench.Completion)
    assert llm._loaded is not None
    assert "Linear4bit" in str(llm._loaded.model)
    llm.close()
