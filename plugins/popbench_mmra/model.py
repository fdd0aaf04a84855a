"""MMRA as a torch module. It predicts log2 popularity from the features of a titled video and of similar ones.

It is the multimodal retrieval-augmented predictor of SIGIR 2024 (doi 10.1145/3626772.3657929). Its parameters have the
names of the released checkpoints, so that their state loads unchanged. It reads no videos, titles or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_HIDDEN = (800, 200)
"""Widths of the last network's inner layers."""


class MMRA(nn.Module):
    """Predict log2 popularity from features and from those of retrieved videos.

    `feature_dim` is D, the width of visual and textual features alike, `frames` F, and `alpha` weighs the negative
    attention. The target's branch and the retrieved one have separate weights of one form.
    """

    def __init__(self, feature_dim: int = 768, frames: int = 10, alpha: float = 0.6) -> None:
        super().__init__()
        if feature_dim < 1 or frames < 1:
            raise ValueError(f"feature_dim is {feature_dim} and frames {frames}, expected at least 1 of each")
        self.feature_dim, self.frames, self.alpha = feature_dim, frames, alpha
        d = feature_dim
        for prefix in ("", "retrieval_"):
            for name, inputs, outputs in (
                ("visual_embedding", d, d),
                ("textual_embedding", d, d),
                ("dual_attention_linear_1", 2 * d, d),
                ("dual_attention_linear_2", 2 * d, d),
                ("cross_modal_linear_1", 2 * d, d),
                ("cross_modal_linear_2", 2 * d, d),
                ("uni_modal_linear_1", d, 1),
                ("uni_modal_linear_2", d, 1),
            ):
                self.add_module(prefix + name, nn.Linear(inputs, outputs))
        self.label_embedding_linear = nn.Linear(1, d)
        first, second = _HIDDEN
        self.prediction_module = nn.Sequential(
            nn.Linear(10 * d, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 1)
        )

    def forward(
        self,
        visual: Tensor,
        textual: Tensor,
        similarity: Tensor,
        retrieved_visual: Tensor,
        retrieved_textual: Tensor,
        retrieved_target: Tensor,
    ) -> Tensor:
        """Return log2 popularity, (B, 1).

        Takes visual (B, F, D), textual (B, 1, D), similarity (B, m), retrieved_visual (B, m, F, D),
        retrieved_textual (B, m, D) and retrieved_target (B, m, 1). Raises ValueError for other shapes.
        """
        self._check(visual, textual, similarity, retrieved_visual, retrieved_textual, retrieved_target)
        weights = similarity.softmax(dim=1).unsqueeze(1)
        near_visual = (weights @ retrieved_visual.flatten(2)).view_as(visual)
        near_textual = weights @ retrieved_textual
        near_target = (weights @ retrieved_target).squeeze(1)
        v, t = self._branch("", visual, textual)
        near_v, near_t = self._branch("retrieval_", near_visual, near_textual)
        label = self.label_embedding_linear(near_target).relu()
        parts = [t, v, near_t, near_v, v * near_v, v * near_t, t * near_v, t * near_t, v * label, t * label]
        predicted: Tensor = self.prediction_module(torch.cat(parts, dim=1))
        return predicted

    def _branch(self, prefix: str, visual: Tensor, textual: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled visual and textual vectors of one branch, (B, D) each.

        The textual side has one row, which makes much of the attention a product of a number and a row: what the
        formulas write as maps of (F, 2D) is one map of a row, scaled frame by frame.
        """
        linear: dict[str, Any] = {name: self._modules[prefix + name] for name in _NAMES}
        embedded_visual = linear["visual_embedding"](visual).tanh()
        embedded_textual = linear["textual_embedding"](textual).tanh()
        attention = (embedded_visual @ embedded_textual.transpose(1, 2) / self.feature_dim).softmax(dim=1)  # (B, F, 1)
        # [T+, T-] = [P T, -alpha P T], so that its map is P times one row
        crossed_textual = self._signed(linear["dual_attention_linear_1"], textual, attention)
        # the other softmax is over one row, hence all ones: V+ is the sum over frames
        crossed_visual = self._signed(linear["dual_attention_linear_2"], visual.sum(dim=1, keepdim=True))
        fused_visual = _joined(linear["cross_modal_linear_1"], visual, crossed_textual)
        fused_textual = _joined(linear["cross_modal_linear_2"], textual, crossed_visual)
        scores = (linear["uni_modal_linear_1"](fused_visual) / self.feature_dim).softmax(dim=1)
        # one row pools to itself, whatever uni_modal_linear_2 gives it
        return (scores.transpose(1, 2) @ fused_visual).squeeze(1), fused_textual.squeeze(1)

    def _signed(self, linear: Any, row: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return tanh(Lin([s x, -alpha s x])) for a row x (B, 1, D) and scales s (B, F, 1), by one map of D to D."""
        positive, negative = linear.weight.split(self.feature_dim, dim=1)
        weight = torch.sub(positive, negative, alpha=self.alpha)
        if scale is None:
            return functional.linear(row, weight, linear.bias).tanh()
        return torch.addcmul(linear.bias, scale, functional.linear(row, weight)).tanh()

    def _check(self, visual: Tensor, textual: Tensor, similarity: Tensor, *retrieved: Tensor) -> None:
        b, f, d, m = visual.shape[0], self.frames, self.feature_dim, similarity.shape[-1]
        wanted = {
            "visual": (visual, (b, f, d)),
            "textual": (textual, (b, 1, d)),
            "similarity": (similarity, (b, m)),
            "retrieved_visual": (retrieved[0], (b, m, f, d)),
            "retrieved_textual": (retrieved[1], (b, m, d)),
            "retrieved_target": (retrieved[2], (b, m, 1)),
        }
        for name, (tensor, shape) in wanted.items():
            if tuple(tensor.shape) != shape or m < 1:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}, expected {shape} with at least one retrieved"
                )


def _joined(linear: Any, left: Tensor, right: Tensor) -> Tensor:
    """Return tanh(Lin([left, right])) without joining them."""
    of_left, of_right = linear.weight.split(left.shape[-1], dim=1)
    return (functional.linear(left, of_left, linear.bias) + functional.linear(right, of_right)).tanh()


_NAMES = (
    "visual_embedding", "textual_embedding", "dual_attention_linear_1", "dual_attention_linear_2",
    "cross_modal_linear_1", "cross_modal_linear_2", "uni_modal_linear_1",
)  # fmt: skip


def from_state(state: Mapping[str, Tensor], frames: int = 10, alpha: float = 0.6) -> MMRA:
    """Build the model of a state, in evaluation mode; raises ValueError for the state of another model."""
    weight = state.get("visual_embedding.weight")
    if weight is None or weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
        raise ValueError("these are weights of another model: MMRA has a square visual_embedding.weight")
    model = MMRA(int(weight.shape[0]), frames, alpha)
    own = model.state_dict()
    for names, what in ((own.keys() - state.keys(), "lack"), (state.keys() - own.keys(), "also have")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"these are weights of another model: they {what} {min(names)}{more}")
    for name, tensor in own.items():
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
            raise ValueError(f"these are weights of another model: {name} has shape {shapes}")
    model.load_state_dict(dict(state))
    return model.eval()
