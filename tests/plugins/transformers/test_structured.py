"""Structured answers of local language models: always valid JSON, in any budget, also after free reasoning."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers as _transformers
from tokenizers import Tokenizer, models

import popbench
from popbench import testing
from popbench.local import Encoded
from popbench.prompting.drafts import DRAFT_SCHEMA
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from popbench_transformers.structured import Grammars, Guide
from tiny_llms import END, THINK, UNTHINK, Style, make_tokenizer, tiny

transformers: Any = _transformers  # much of it is untyped

NESTED = {
    "type": "object",
    "properties": {
        "shots": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "kind": {"enum": ["short", "a much longer name"]},
        "title": {"type": "string", "minLength": 3},
        "live": {"type": "boolean"},
    },
    "required": ["shots", "kind", "title", "live"],
    "additionalProperties": False,
}


def grammars(style: Style = "system") -> Grammars:
    tokenizer = make_tokenizer(style)
    return Grammars(tokenizer, [tokenizer.eos_token_id])


def write(own: Grammars, schema: Mapping[str, Any], reasons: bool, prompt: Encoded, budget: int, seed: int) -> str:
    """Let a model with random taste write under a guide."""
    generator = torch.Generator().manual_seed(seed)
    guide = own.guide(schema, reasons, prompt, budget)
    tokens: list[int] = []
    while len(tokens) < budget:
        taste = torch.rand(len(own.texts), generator=generator)
        allowed = guide.allowed(budget - len(tokens))
        choice = int((taste if allowed is None else taste.masked_fill(~allowed, -1)).argmax())
        if guide.free and guide.interrupts(choice):
            guide.begin()
            allowed = guide.allowed(budget - len(tokens))
            assert allowed is not None
            choice = int(taste.masked_fill(~allowed, -1).argmax())
        assert allowed is None or allowed[choice]
        if choice in own.eos:
            break
        tokens.append(choice)
        if guide.accept(choice):
            break
    return b"".join(own.texts[token] for token in tokens).decode("utf-8", "replace")


@pytest.mark.slow
@pytest.mark.parametrize("schema", [DRAFT_SCHEMA, NESTED, {"type": "number"}, {"type": "array"}])
def test_every_answer_is_complete_json_in_any_budget(schema: Mapping[str, Any]) -> None:
    own = grammars()
    shortest = len(own.ending(own.matcher(schema)))
    rnd = random.Random(1)
    for seed in range(40):
        budget = shortest + (seed if seed < 20 else rnd.randrange(20, 200))
        value = json.loads(write(own, schema, False, Encoded([]), budget, seed))
        if schema is DRAFT_SCHEMA:
            assert list(value) == ["title", "video_prompt"]
            assert all(isinstance(text, str) and text for text in value.values())


@pytest.mark.parametrize("thinking", [False, True])
def test_reasoning_comes_first_and_leaves_room_for_the_answer(thinking: bool) -> None:
    own = grammars("thinking")
    for seed in range(12):
        text = write(own, DRAFT_SCHEMA, True, Encoded([], thinking=thinking), 60 + 20 * seed, seed)
        value = json.loads(text[text.rindex('{"title"') :])
        assert all(value[name] for name in ("title", "video_prompt"))
        if thinking:
            assert UNTHINK in text


def test_thoughts_that_a_template_opens_are_closed_before_the_answer() -> None:
    own = grammars("thinking")
    text = write(own, DRAFT_SCHEMA, False, Encoded([], thinking=True), 80, 5)
    thoughts, answer = text.split(UNTHINK)
    assert thoughts
    assert json.loads(answer)


def test_a_model_may_open_thoughts_itself_before_an_answer_that_comes_at_once() -> None:
    own = grammars("thinks-itself")
    think, unthink = own.think, own.think_end()
    assert think is not None
    guide = own.guide(DRAFT_SCHEMA, False, Encoded([]), 200)
    first = guide.allowed(200)
    assert first is not None
    assert first[think]
    guide.accept(think)
    assert guide.free
    assert not guide.interrupts(own.single["{"])  # a brace in a thought is a thought
    assert guide.interrupts(min(own.eos))
    for token in unthink:
        guide.accept(token)
    after = guide.allowed(190)
    assert after is not None
    assert own.single["{"] in after.nonzero().flatten().tolist()
    assert not after[think]
    again = own.guide(DRAFT_SCHEMA, False, Encoded([], thought=True), 200).allowed(200)
    assert again is not None
    assert not again[think]


def test_an_end_or_a_brace_in_free_text_becomes_the_start_of_the_answer() -> None:
    own = grammars()
    for token in (min(own.eos), own.single["{"]):
        guide = own.guide(DRAFT_SCHEMA, True, Encoded([]), 500)
        assert guide.allowed(500) is None
        assert guide.interrupts(token)
        guide.begin()
        mask = guide.allowed(500)
        assert mask is not None
        assert all(own.texts[index].startswith(b"{") for index in mask.nonzero().flatten().tolist())
    assert not own.guide(DRAFT_SCHEMA, True, Encoded([]), 500).interrupts(own.single["a"])


def test_a_budget_that_no_answer_fits_in_is_said_with_the_number_needed() -> None:
    own = grammars()
    shortest = len(own.ending(own.matcher(DRAFT_SCHEMA)))
    llm = TransformersLLM(
        TransformersOptions(model=str(tiny()), max_new_tokens=shortest - 1, structured=True, temperature=1.0)
    )
    answers = list(llm.generate(testing.sample_chats()[:2]))
    for answer in answers:
        assert isinstance(answer, popbench.Failure)
        assert f"at least {shortest} tokens, and {shortest - 1} are left" in answer.error
        assert "max_new_tokens" in answer.error
    llm.close()


@pytest.mark.slow
@pytest.mark.parametrize("style", ["system", "thinking", "thinks-itself", "no-template"])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_real_models_give_valid_drafts_with_and_without_reasoning(family: Any, style: Style) -> None:
    base = testing.sample_chats()
    chats = [replace(base[index % len(base)], id=f"{index}", seed=index, reasons=index % 2 == 0) for index in range(6)]
    for length in (40, 60):
        llm = TransformersLLM(
            TransformersOptions(model=str(tiny(family, style)), temperature=1.5, max_new_tokens=length, structured=True)
        )
        for answer in llm.generate(chats):
            assert isinstance(answer, popbench.Completion)
            assert answer.usage is not None
            assert answer.usage["output"] <= length
            value = json.loads(answer.text[answer.text.rindex('{"title":') :])
            assert set(value) == {"title", "video_prompt"}
            assert all(value.values())
            assert END not in answer.text
            assert THINK not in answer.text or UNTHINK in answer.text
        llm.close()


def test_an_answer_that_the_budget_ended_says_so() -> None:
    llm = TransformersLLM(
        TransformersOptions(model=str(tiny()), temperature=1.0, max_new_tokens=40, structured=True, top_k=0)
    )
    answers = [answer for answer in llm.generate(testing.sample_chats()) if isinstance(answer, popbench.Completion)]
    remarks = ("cut at the limit of tokens: allow more with max_new_tokens=",)
    assert any(answer.cut and answer.remarks == remarks for answer in answers)
    llm.close()


@pytest.mark.parametrize("begun", ['{"n":1', '{"n":-', '{"n":1.5e'])
def test_a_number_that_has_begun_is_ended(begun: str) -> None:
    own = grammars()
    properties = {"n": {"type": "number"}, "t": {"type": "string"}}
    matcher = own.matcher(
        {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    )
    for token in own.vocabulary.tokenize_str(begun):
        assert matcher.consume_token(token)
    ending = own.ending(matcher)
    assert len(ending) < 20
    assert list(json.loads(begun.encode() + b"".join(own.texts[token] for token in ending))) == ["n", "t"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["allowed", "accept"])
def test_an_answer_that_cannot_go_on_is_an_error_of_its_row(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = testing.sample_chats()
    bad: list[Guide] = []
    init, own = Guide.__init__, getattr(Guide, where)

    def first(self: Guide, *given: Any) -> None:
        init(self, *given)
        if not bad:
            bad.append(self)

    def failing(self: Guide, given: int) -> Any:
        if self is bad[0]:
            raise ValueError("the schema has no short ending")
        return own(self, given)

    monkeypatch.setattr(Guide, "__init__", first)
    monkeypatch.setattr(Guide, where, failing)
    llm = TransformersLLM(
        TransformersOptions(model=str(tiny()), max_new_tokens=40, structured=True, temperature=1.0, dtype="float32")
    )
    answers = {answer.id: answer for answer in llm.generate(chats)}
    failure = answers.pop(chats[0].id)
    assert isinstance(failure, popbench.Failure)
    assert failure.error == "structured=true: the schema has no short ending"
    assert not failure.invalid
    assert len(answers) == len(chats) - 1
    assert all(isinstance(answer, popbench.Completion) and json.loads(answer.text) for answer in answers.values())
    llm.close()


def test_a_model_that_cannot_be_held_to_a_schema_is_said_to_be() -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "</s>": 2}, unk_token="<unk>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>")
    for eos, says in (([2], "tokenizer cannot be followed"), ([], "no end token")):
        with pytest.raises(popbench.UsageError, match=f"structured=true: .*{says}.*leave structured=true out"):
            Grammars(tokenizer, eos)
