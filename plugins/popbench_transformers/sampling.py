"""Chooses the next token. Each row of a batch draws from its own seed, so that results do not depend on the batch.

The noise of a draw is a pure function of (seed, step, token). It is added to the log-probabilities and the largest
sum wins, which draws from their softmax (the Gumbel-max trick); so `model.generate` runs with plain argmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from popbench_transformers.rows import Row

if TYPE_CHECKING:
    from popbench_transformers.options import TransformersOptions

_GOLDEN, _ONE, _TWO = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_WORD = 2**64
_BELOW_ONE = 1 - 2.0**-24
"""The largest float32 below 1: the noise of a uniform number of 1 would be infinite."""

TOP_K = 50
"""The top_k of transformers' `generate` if neither the call nor the model's generation config sets it."""

NO_NUMBERS = "the model's logits are not numbers: try dtype=bfloat16 or dtype=float32, or other weights"
"""The error for an overflow in float16, and for broken weights."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Settings of sampling. `temperature` 0 takes the most likely token, `top_k` 0 keeps all."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float

    @classmethod
    def resolve(cls, options: TransformersOptions, config: Any) -> Decoding:
        """Fill settings that the options leave open from a model's generation config, as `generate` would.

        A model whose config does not ask for sampling decodes greedily, unless the options ask for it.
        """

        def pick(name: str, default: float) -> Any:
            given = getattr(options, name)
            own = getattr(config, name, None)
            return given if given is not None else own if own is not None else default

        asked = any(getattr(options, name) is not None for name in ("temperature", "top_p", "top_k", "min_p"))
        penalty = float(pick("repetition_penalty", 1.0))
        samples = asked or bool(getattr(config, "do_sample", False))
        return cls(
            temperature=float(pick("temperature", 1.0)) if samples else 0.0,
            top_p=float(pick("top_p", 1.0)),
            top_k=int(pick("top_k", TOP_K)),
            min_p=float(pick("min_p", 0.0)),
            repetition_penalty=penalty if penalty > 0 else 1.0,  # some configs hold 0, and the penalty is a divisor
        )

    def warpers(self) -> list[Any]:
        """Return transformers' processors for these settings, in its order. Each treats rows independently."""
        if not self.temperature:
            return []
        made: list[Any] = []
        if self.temperature != 1:
            made.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k:
            made.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1:
            made.append(TopPLogitsWarper(self.top_p))
        if self.min_p:
            made.append(MinPLogitsWarper(self.min_p))
        return made


class Sampler:
    """A logits processor for `generate(do_sample=False)`: it makes the argmax of every row its draw."""

    def __init__(self, rows: Sequence[Row], decoding: Decoding) -> None:
        self._rows = rows
        self._decoding = decoding
        self._warpers = decoding.warpers()
        self._seen: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Take ids (rows, length) and logits (rows, vocabulary); return scores whose argmax is the next token."""
        scores = self._penalised(input_ids, self._numbers(scores.float()))
        for index, row in enumerate(self._rows):
            if row.going:
                self._guide(scores, index, row)
        drawn = self._drawn(input_ids, scores, range(len(self._rows)))
        free = [index for index, row in enumerate(self._rows) if row.guide is not None and row.guide.free]
        if free:
            choices = drawn.argmax(dim=-1).tolist()
            for index in free:
                row = self._rows[index]
                if row.going and row.guide is not None and row.guide.interrupts(choices[index]):
                    row.guide.begin()
                    self._guide(scores, index, row)
                    drawn[index] = self._drawn(input_ids[index : index + 1], scores[index : index + 1], [index])[0]
        return drawn

    def _numbers(self, scores: torch.Tensor) -> torch.Tensor:
        """End rows with logits that no token can be drawn from. A NaN would win every argmax."""
        usable = scores.amax(dim=-1).isfinite()  # the largest is NaN where one is, and -inf where all are
        if bool(usable.all()):
            return scores
        for row, fine in zip(self._rows, usable.tolist(), strict=True):
            if not fine and row.going:
                row.error = NO_NUMBERS
        return torch.where(usable[:, None], scores, 0.0)

    def _guide(self, scores: torch.Tensor, index: int, row: Row) -> None:
        """Restrict a row to the tokens that its guide allows. A guide that fails ends its row, not the batch."""
        if row.guide is None:
            return
        try:
            _restrict(scores, index, row.guide.allowed(row.left))
        except ValueError as error:
            row.error = f"structured=true: {error}"

    def _penalised(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Make tokens that a row already holds less likely (CTRL, arXiv 1909.05858).

        Padding does not count: it often is the end token, and would make a row depend on its batch.
        """
        penalty = self._decoding.repetition_penalty
        if penalty == 1:
            return scores.clone()
        if self._seen is None:
            self._seen = torch.zeros(scores.shape, dtype=torch.bool)
            for index, row in enumerate(self._rows):
                self._seen[index, row.prompt] = True
            self._seen = self._seen.to(scores.device)
        else:
            self._seen.scatter_(1, input_ids[:, -1:].to(scores.device), True)
        return torch.where(self._seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)

    def _drawn(self, input_ids: torch.Tensor, scores: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        if not self._decoding.temperature:
            return scores
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        rows = [self._rows[index] for index in indices]
        return scores + gumbel([(row.chat.seed, len(row.tokens)) for row in rows], scores.shape[-1], scores.device)


def _restrict(scores: torch.Tensor, index: int, allowed: torch.Tensor | None) -> None:
    if allowed is None:
        return
    size = scores.shape[-1]
    if allowed.shape[0] < size:  # embeddings are often padded beyond the tokenizer's vocabulary
        allowed = torch.nn.functional.pad(allowed, (0, size - allowed.shape[0]))
    scores[index].masked_fill_(~allowed[:size].to(scores.device), float("-inf"))


def gumbel(places: Sequence[tuple[int, int]], vocabulary: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return standard Gumbel noise (places, vocabulary), float32, for places given as (seed, step).

    It is counter-based (SplitMix64, doi 10.1145/2660193.2660195), so the value at (seed, step, token) is the same in
    any batch and after a restart. On another device the integers are the same, and the logarithm may differ in the
    last bit: of 6 texts drawn in float32, an H100 and a processor gave all 6 alike.
    """
    bases = [_signed(_mix((_mix(seed % _WORD) + _GOLDEN * (step + 1)) % _WORD)) for seed, step in places]
    start = torch.tensor(bases, dtype=torch.int64, device=device)[:, None]
    token = torch.arange(1, vocabulary + 1, dtype=torch.int64, device=device)[None, :]
    word = start + token * _signed(_GOLDEN)
    word = (word ^ _shifted(word, 30)) * _signed(_ONE)
    word = (word ^ _shifted(word, 27)) * _signed(_TWO)
    word = word ^ _shifted(word, 31)
    # 63 bits, of which float32 keeps the leading 24 of every number: small ones stay distinct. These become the large
    # noise, up to 44, that draws rare tokens; -log1p(-u) keeps them exact
    uniform = ((_shifted(word, 1).float() + 0.5) * 2.0**-63).clamp(max=_BELOW_ONE)
    return -torch.log(-torch.log1p(-uniform))


def _mix(word: int) -> int:
    word = (word ^ (word >> 30)) * _ONE % _WORD
    word = (word ^ (word >> 27)) * _TWO % _WORD
    return word ^ (word >> 31)


def _signed(word: int) -> int:
    return word - _WORD if word >= _WORD // 2 else word


def _shifted(word: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift right and fill with zeros; torch has no unsigned 64-bit arithmetic."""
    return torch.bitwise_and(word >> bits, 2 ** (64 - bits) - 1)
