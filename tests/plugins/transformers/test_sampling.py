"""Sampling of local language models: each row draws from its own seed and from the right distribution."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from scipy import stats

import popbench
from popbench import testing
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from popbench_transformers.rows import Row
from popbench_transformers.sampling import _GOLDEN, _ONE, _TWO, Decoding, Sampler, gumbel
from tiny_llms import tiny

_hf: Any = transformers
PLAIN = Decoding(temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, repetition_penalty=1.0)
CHAT = testing.sample_chats()[0]


def options(**given: Any) -> TransformersOptions:
    return TransformersOptions(model="any", **given)


def test_draws_follow_the_distribution_that_the_logits_stand_for() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5, -3.0, 1.5, float("-inf")])
    count = 20_000
    noise = gumbel([(seed, seed % 7) for seed in range(count)], len(logits))
    drawn = torch.bincount((logits + noise).argmax(dim=-1), minlength=len(logits))
    expected = logits.double().softmax(dim=-1) * count
    assert drawn[-1] == 0
    assert stats.chisquare(drawn[:-1].numpy(), expected[:-1].numpy()).pvalue > 1e-3


def test_noise_is_standard_gumbel_at_every_token_and_step() -> None:
    noise = gumbel([(seed, step) for seed in (0, 1, 2**31 - 1) for step in range(40)], 500)
    assert torch.isfinite(noise).all()
    assert stats.kstest(noise.flatten().numpy(), "gumbel_r").pvalue > 1e-3
    between_steps = torch.corrcoef(noise[:40])
    assert (between_steps - torch.eye(40)).abs().max() < 0.25


def _unmixed(word: int) -> int:
    """Undo SplitMix64's mixing of a word."""
    for bits, factor in ((31, _TWO), (27, _ONE)):
        word = word ^ (word >> bits) ^ (word >> 2 * bits)
        word = word * pow(factor, -1, 2**64) % 2**64
    return word ^ (word >> 30) ^ (word >> 60)


def _seed_of(word: int, token: int) -> int:
    """Return the seed whose first step has this word of 64 random bits at a token."""
    start = (_unmixed(word) - (token + 1) * _GOLDEN) % 2**64
    return _unmixed((_unmixed(start) - _GOLDEN) % 2**64)


def test_noise_reaches_as_far_as_rare_tokens_need_and_no_further() -> None:
    """A token of probability 1e-8 wins with noise of 18.4 and more, which 23 random bits never gave."""
    token = 137_000
    for word, expected in ((0, 64 * math.log(2)), (2**30, 34 * math.log(2)), (2**63, -math.log(math.log(2)))):
        assert gumbel([(_seed_of(word, token), 0)], 200_000)[0, token].item() == pytest.approx(expected, rel=1e-5)
    smallest = gumbel([(_seed_of(2**64 - 1, token), 0)], 200_000)
    assert smallest.argmin().item() == token
    assert torch.isfinite(smallest).all()
    logits = torch.full((200_001,), math.log(1e-8))
    logits[-1] = math.log(1 - 200_000 * 1e-8)
    assert (logits + gumbel([(_seed_of(2**35, token), 0)], 200_001)[0]).argmax().item() == token


def test_large_noise_is_as_fine_as_small() -> None:
    tail = torch.cat([found[found > 10] for seed in range(40) for found in gumbel([(seed, 0)], 200_000)])
    assert stats.kstest((tail - 10).numpy(), "expon").pvalue > 1e-3
    assert len(set(tail.tolist())) > 0.99 * len(tail)


def test_noise_depends_on_seed_step_and_token_alone() -> None:
    alone = torch.cat([gumbel([(seed, 3)], 1000) for seed in (5, 6, 7)])
    assert torch.equal(gumbel([(5, 3), (6, 3), (7, 3)], 1000), alone)
    assert torch.equal(gumbel([(5, 3)], 300)[0], alone[0, :300])
    assert not torch.equal(gumbel([(5, 4)], 1000)[0], alone[0])


def sampler(decoding: Decoding, prompts: list[list[int]]) -> Sampler:
    return Sampler([Row(replace(CHAT, seed=index), prompt, 8) for index, prompt in enumerate(prompts)], decoding)


@pytest.mark.parametrize(
    "setting",
    [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.6}, {"min_p": 0.2}, {"repetition_penalty": 1.3},
     {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.1}],
)  # fmt: skip
def test_settings_do_what_generate_of_transformers_does_with_them(setting: dict[str, Any]) -> None:
    decoding = replace(PLAIN, **setting)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 60, generator=generator) * 2
    prompts = [[3, 4, 5, 3], [7, 8, 9, 10]]
    ids = torch.tensor(prompts)
    own = sampler(decoding, prompts)(ids, logits) - gumbel([(0, 0), (1, 0)], 60)
    config = _hf.GenerationConfig(do_sample=True, **{"top_k": 0, **setting})
    model = _hf.AutoModelForCausalLM.from_pretrained(tiny())
    model.generation_config = _hf.GenerationConfig()
    prepared, _ = model._prepare_generation_config(config)
    prepared._eos_token_tensor = None
    theirs = model._get_logits_processor(prepared, input_ids_seq_length=4)(ids, logits.clone())
    assert torch.equal(torch.isfinite(own), torch.isfinite(theirs))
    finite = torch.isfinite(theirs)
    assert torch.allclose(own[finite], theirs[finite], atol=1e-4)


def test_padding_is_not_taken_for_repeated_text() -> None:
    decoding = replace(PLAIN, temperature=0.0, repetition_penalty=2.0)
    logits = torch.ones(2, 10)
    padded = torch.tensor([[0, 0, 3], [1, 2, 3]])
    scores = sampler(decoding, [[3], [1, 2, 3]])(padded, logits)
    assert scores[0].tolist() == [1, 1, 1, 0.5, 1, 1, 1, 1, 1, 1]
    assert scores[1].tolist() == [1, 0.5, 0.5, 0.5, 1, 1, 1, 1, 1, 1]


def test_what_is_not_given_is_the_model_s_own() -> None:
    own = SimpleNamespace(do_sample=True, temperature=0.6, top_p=0.8, top_k=20, repetition_penalty=1.05)
    silent = SimpleNamespace(do_sample=None)
    assert Decoding.resolve(options(), own) == Decoding(0.6, 0.8, 20, 0.0, 1.05)
    assert Decoding.resolve(options(top_p=0.5), own) == Decoding(0.6, 0.5, 20, 0.0, 1.05)
    assert Decoding.resolve(options(), silent).temperature == 0
    assert Decoding.resolve(options(temperature=0.0), own).temperature == 0
    assert Decoding.resolve(options(temperature=0.7), silent) == Decoding(0.7, 1.0, 50, 0.0, 1.0)


@pytest.mark.slow
def test_temperature_zero_is_greedy_decoding() -> None:
    model = _hf.AutoModelForCausalLM.from_pretrained(tiny(), dtype="float32")
    tokenizer = _hf.AutoTokenizer.from_pretrained(tiny())
    llm = TransformersLLM(TransformersOptions(model=str(tiny()), dtype="float32", temperature=0.0, max_new_tokens=12))
    for chat, answer in zip(testing.sample_chats(), llm.generate(testing.sample_chats()), strict=True):
        del chat
        assert isinstance(answer, popbench.Completion)
        asked = next(other for other in testing.sample_chats() if other.id == answer.id)
        ids = tokenizer.apply_chat_template(
            list(asked.messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        found = model.generate(**ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
        text = tokenizer.decode(found[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer.text == text
    llm.close()


def test_a_penalty_that_would_divide_by_zero_is_left_out() -> None:
    assert Decoding.resolve(options(), SimpleNamespace(repetition_penalty=0.0)).repetition_penalty == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_rows_without_numbers_are_ended_and_the_others_left_alone(bad: float) -> None:
    rows = [Row(replace(CHAT, seed=index), [3, 4], 8) for index in range(3)]
    ids = torch.tensor([[3, 4]] * 3)
    logits = torch.randn(3, 20, generator=torch.Generator().manual_seed(1))
    expected = Sampler(rows, replace(PLAIN, top_p=0.9))(ids, logits)
    broken = logits.clone()
    broken[1] = bad
    found = Sampler(rows, replace(PLAIN, top_p=0.9))(ids, broken)
    assert [row.error is None for row in rows] == [True, False, True]
    assert torch.equal(found[[0, 2]], expected[[0, 2]])
    assert not found.isnan().any()
