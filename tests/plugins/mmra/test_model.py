"""MMRA's forward pass follows the formulas of its paper for any sizes, and loads released weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import popbench_mmra
from popbench_mmra.model import from_state
from tiny_mmra import BRANCH, written_out


def draw(b: int, m: int, f: int, d: int, seed: int = 0) -> list[Any]:
    """Draw inputs: visual, textual, similarity, and those of the retrieved."""
    rng = np.random.default_rng(seed)
    shapes = [(b, f, d), (b, 1, d), (b, m), (b, m, f, d), (b, m, d), (b, m, 1)]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def by_hand(model: popbench_mmra.MMRA, visual: Any, textual: Any, similarity: Any, *near: Any) -> Any:
    """The steps of the paper for one item after the other, in NumPy and float64."""
    state = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in model.state_dict().items()}
    return np.array(
        [_one(state, model.alpha, *(row.astype(np.float64) for row in rows)) for rows in zip(
            visual, textual, similarity, *near, strict=True)]
    )  # fmt: skip


def _one(
    state: Any, alpha: float, visual: Any, textual: Any, similarity: Any, near_v: Any, near_t: Any, near_y: Any
) -> Any:
    def lin(name: str, x: Any) -> Any:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def softmax(x: Any, axis: int) -> Any:
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    d = visual.shape[1]

    def branch(prefix: str, v: Any, t: Any) -> tuple[Any, Any]:
        ve, te = np.tanh(lin(prefix + "visual_embedding", v)), np.tanh(lin(prefix + "textual_embedding", t))
        s = ve @ te.T / d
        p, q = softmax(s, 0), softmax(s.T, 0)
        t_plus, v_plus = p @ t, q @ v
        t_minus, v_minus = -alpha * p @ t, -alpha * q @ v
        t_star = np.tanh(lin(prefix + "dual_attention_linear_1", np.concatenate([t_plus, t_minus], 1)))
        v_star = np.tanh(lin(prefix + "dual_attention_linear_2", np.concatenate([v_plus, v_minus], 1)))
        vf = np.tanh(lin(prefix + "cross_modal_linear_1", np.concatenate([v, t_star], 1)))
        tf = np.tanh(lin(prefix + "cross_modal_linear_2", np.concatenate([t, v_star], 1)))
        pooled = []
        for name, x in (("uni_modal_linear_1", vf), ("uni_modal_linear_2", tf)):
            a = softmax(lin(prefix + name, x) / d, 0)
            pooled.append((a.T @ x)[0])
        return pooled[0], pooled[1]

    v, t = branch("", visual, textual)
    w = softmax(similarity, 0)
    nv = sum(weight * row for weight, row in zip(w, near_v, strict=True))
    nt = sum(weight * row for weight, row in zip(w, near_t, strict=True))[None]
    y = sum(weight * row for weight, row in zip(w, near_y, strict=True))
    rv, rt = branch("retrieval_", nv, nt)
    label = np.maximum(lin("label_embedding_linear", y), 0)
    x = np.concatenate([t, v, rt, rv, v * rv, v * rt, t * rv, t * rt, v * label, t * label])
    x = np.maximum(lin("prediction_module.0", x), 0)
    x = np.maximum(lin("prediction_module.2", x), 0)
    return lin("prediction_module.4", x)


@pytest.mark.parametrize(
    ("b", "m", "f", "d"),
    [(3, 10, 10, 64), (1, 1, 1, 1), (2, 1, 10, 48), (4, 3, 1, 33), (2, 7, 5, 17), (1, 10, 10, 768)],
)
@pytest.mark.parametrize("alpha", [0.6, 0.0, 1.3])
def test_the_forward_pass_is_the_papers(b: int, m: int, f: int, d: int, alpha: float) -> None:
    torch.manual_seed(d)
    model = popbench_mmra.MMRA(d, f, alpha).eval()
    rows = draw(b, m, f, d, seed=f)
    with torch.inference_mode():
        found = model(*map(torch.from_numpy, rows))
        plain = written_out(model, *map(torch.from_numpy, rows))
    assert found.shape == (b, 1)
    assert np.abs(found.numpy() - by_hand(model, *rows)).max() < 1e-5
    assert np.abs(plain.numpy() - by_hand(model, *rows)).max() < 1e-5


def test_every_part_of_the_input_counts() -> None:
    torch.manual_seed(1)
    model = popbench_mmra.MMRA(24, 4).eval()
    rows = [torch.from_numpy(row) for row in draw(2, 3, 4, 24)]
    with torch.inference_mode():
        before = model(*rows)
        for at, row in enumerate(rows):
            changed = [*rows[:at], row + 0.5 * torch.rand_like(row), *rows[at + 1 :]]
            assert not torch.allclose(model(*changed), before, atol=1e-7), at


def test_parameters_are_called_as_in_released_checkpoints() -> None:
    state = popbench_mmra.MMRA().state_dict()
    wanted = {"label_embedding_linear", *(f"prediction_module.{at}" for at in (0, 2, 4))}
    wanted |= {prefix + name for prefix in ("", "retrieval_") for name in BRANCH}
    assert set(state) == {f"{name}.{kind}" for name in wanted for kind in ("weight", "bias")}
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["dual_attention_linear_1.weight"] == (768, 1536)
    assert shapes["retrieval_uni_modal_linear_2.weight"] == (1, 768)
    assert shapes["label_embedding_linear.weight"] == (768, 1)
    assert shapes["prediction_module.0.weight"] == (800, 7680)
    assert shapes["prediction_module.4.bias"] == (1,)


def test_a_state_gives_its_model_back() -> None:
    torch.manual_seed(2)
    model = popbench_mmra.MMRA(12, 3, 0.4)
    again = from_state(model.state_dict(), 3, 0.4)
    rows = [torch.from_numpy(row) for row in draw(2, 2, 3, 12)]
    assert not again.training
    with torch.inference_mode():
        assert torch.equal(model.eval()(*rows), again(*rows))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.clear(), "MMRA has a square visual_embedding.weight"),
        (lambda state: state.pop("label_embedding_linear.bias"), "they lack label_embedding_linear.bias"),
        (lambda state: state.update(extra=torch.ones(1)), "they also have extra"),
        (
            lambda state: state.update({"prediction_module.4.weight": torch.ones(2, 200)}),
            r"prediction_module.4.weight has shape \(2, 200\), expected \(1, 200\)",
        ),
        (lambda state: state.update({"visual_embedding.weight": torch.ones(3, 4)}), "square visual_embedding.weight"),
    ],
)
def test_weights_of_another_model_are_told_in_one_line(change: Any, says: str) -> None:
    state = popbench_mmra.MMRA(8).state_dict()
    change(state)
    with pytest.raises(ValueError, match=says) as caught:
        from_state(state)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("at", range(6))
def test_inputs_of_another_shape_are_refused(at: int) -> None:
    model = popbench_mmra.MMRA(8, 4)
    rows = [torch.from_numpy(row) for row in draw(2, 3, 4, 8)]
    rows[at] = rows[at][..., :-1]
    with pytest.raises(ValueError, match="has shape"):
        model(*rows)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        popbench_mmra.MMRA(0)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = popbench_mmra.Nothing
