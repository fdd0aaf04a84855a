"""The bank finds the same videos as plain arithmetic, measures novelty, and refuses malformed files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from popbench_mmra.bank import Bank, read_bank, write_bank
from tiny_mmra import as_parquet
from usage_errors import refusal


def bank(n: int = 40, frames: int = 3, d: int = 8, r: int = 6, seed: int = 0) -> Bank:
    rng = np.random.default_rng(seed)
    vector = rng.standard_normal((n, r)).astype(np.float32)
    return Bank(
        [f"v{at}" for at in range(n)],
        rng.standard_normal((n, frames, d)).astype(np.float32),
        rng.standard_normal((n, d)).astype(np.float32),
        vector / np.linalg.norm(vector, axis=1, keepdims=True),
        rng.uniform(0, 9, n).astype(np.float32),
    )


@pytest.mark.parametrize("n", [12, 40, 3000])
def test_similar_items_are_those_of_highest_cosine(n: int) -> None:
    made = bank(n)
    queries = bank(30, seed=1).vector
    places, cosines = made.similar(queries, 10)
    exact = queries.astype(np.float64) @ made.vector.astype(np.float64).T
    assert places.shape == cosines.shape == (30, 10)
    for row in range(30):
        assert list(places[row]) == list(np.argsort(-exact[row], kind="stable")[:10])
    assert np.abs(cosines - np.take_along_axis(exact, places, 1)).max() < 1e-6
    one, _ = made.similar(queries[7:8], 10)
    assert (one[0] == places[7]).all()


def test_an_item_never_finds_itself_but_its_twin() -> None:
    made = bank()
    made.vector[5] = made.vector[3]
    places, _ = made.similar(made.vector, 39, made.ids)
    assert all(row not in found for row, found in enumerate(places))
    assert places[5][0] == 3
    assert places[3][0] == 5
    found, _ = made.similar(made.vector[:2], 1, ["elsewhere", "v1"])
    assert found[0][0] == 0
    assert found[1][0] != 1


def test_too_few_items_are_told() -> None:
    with pytest.raises(ValueError, match="holds 4 videos, too few to retrieve 5"):
        bank(4).similar(bank(1).vector, 5)
    with pytest.raises(ValueError, match="holds 4 videos, too few to retrieve 4"):
        bank(4).similar(bank(1).vector, 4, ["v0"])


def test_novelty_is_the_quantile_of_the_distance_to_the_nearest() -> None:
    made = bank(300)
    centres = made.visual.mean(axis=1).astype(np.float64)
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    np.fill_diagonal(between, np.inf)
    own = np.sort(between.min(axis=1))
    new = bank(50, seed=3)
    found = made.novelty.quantiles(new.visual, new.textual)
    for at, row in enumerate(found):
        distance = np.linalg.norm(centres - new.visual[at].mean(axis=0), axis=1).min()
        assert row["video"] == pytest.approx((own <= distance).mean(), abs=0.005)
        assert 0 <= row["title"] <= 1
    far = made.novelty.quantiles(new.visual + 100, new.textual - 100)
    assert all(row == {"video": 1.0, "title": 1.0} for row in far)
    assert made.novelty.quantiles(made.visual[:2], made.textual[:2]) == [{"video": 0.0, "title": 0.0}] * 2


def test_a_bank_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = bank()
    write_bank(made, tmp_path / "bank.safetensors")
    again = read_bank(tmp_path / "bank.safetensors")
    assert again.ids == made.ids
    for name in ("visual", "textual", "vector", "target"):
        assert (getattr(again, name) == getattr(made, name)).all()
    assert again.distances is not None
    assert (again.distances[0] == made.novelty.visual_distances).all()
    assert isinstance(again.visual, np.memmap)


def test_parquet_is_read_like_safetensors(tmp_path: Path) -> None:
    made = bank()
    again = read_bank(as_parquet(made, tmp_path / "bank.parquet"))
    assert again.ids == made.ids
    for name in ("visual", "textual", "vector", "target"):
        assert (getattr(again, name) == getattr(made, name)).all()


def test_a_bank_by_other_people_needs_no_distances(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    made = bank()
    tensors = {name: getattr(made, name) for name in ("visual", "textual", "vector", "target")}
    save_file(tensors, tmp_path / "b.safetensors", metadata={"ids": json.dumps(list(range(40)))})
    again = read_bank(tmp_path / "b.safetensors")
    assert again.ids[:2] == ["0", "1"]
    assert again.novelty.quantiles(made.visual[:1], made.textual[:1]) == [{"video": 0.0, "title": 0.0}]


def changed(**changes: Any) -> Bank:
    made = bank()
    return Bank(
        **{**{name: getattr(made, name) for name in ("ids", "visual", "textual", "vector", "target")}, **changes}
    )


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (changed(ids=["v1"] * 40), "holds an id twice"),
        (changed(ids=["v1"]), "visual has shape (40, 3, 8), expected (n, frames, D) with n = 1 ids"),
        (changed(textual=np.zeros((40, 9), np.float32)), "visual features have 8 numbers and textual ones 9"),
        (changed(vector=2 * bank().vector), "vectors have lengths from 2 to 2, expected 1"),
        (changed(target=np.full(40, np.nan, np.float32)), "target holds NaN"),
        (changed(visual=np.zeros((40, 24), np.float32)), "visual has shape (40, 24), expected (n, frames, D)"),
    ],
)
def test_what_is_no_sound_bank_is_one_line(made: Bank, says: str, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = {name: getattr(made, name) for name in ("visual", "textual", "vector", "target")}
    save_file(tensors, tmp_path / "b.safetensors", metadata={"ids": json.dumps(made.ids)})
    assert says in refusal(lambda: read_bank(tmp_path / "b.safetensors"))


def test_files_that_are_no_banks_are_one_line(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "b.safetensors"
    path.write_bytes(b"nothing of the kind")
    assert "the bank cannot be read" in refusal(lambda: read_bank(path))
    save_file({"visual": bank().visual}, path)
    assert "lacks textual, vector, target" in refusal(lambda: read_bank(path))
    made = bank()
    tensors = {name: getattr(made, name) for name in ("visual", "textual", "vector", "target")}
    save_file(tensors, path)
    assert "lacks the ids" in refusal(lambda: read_bank(path))
    save_file({**tensors, "visual": made.visual.astype(np.float16)}, path, metadata={"ids": json.dumps(made.ids)})
    assert "visual is F16, expected F32" in refusal(lambda: read_bank(path))
    assert "the bank lacks the column target" in refusal(
        lambda: read_bank(as_parquet(made, tmp_path / "b.parquet", target=None))
    )
    ragged = [*made.textual.tolist()[:-1], [1.0]]
    assert "column textual does not hold equally many numbers" in refusal(
        lambda: read_bank(as_parquet(made, tmp_path / "b.parquet", textual=ragged))
    )
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    assert "the bank cannot be read" in refusal(lambda: read_bank(tmp_path / "b.parquet"))
    assert "there is no such file" in refusal(lambda: read_bank(tmp_path / "none.parquet"))


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran.txt"),))


def test_pickled_data_is_not_read(in_tmp: Path) -> None:
    path = in_tmp / "bank.pkl"
    path.write_bytes(pickle.dumps(Evil()))
    told = refusal(lambda: read_bank(path))
    assert "pickled data can run code when it is read, so it is not; write it as Parquet" in told
    assert not (in_tmp / "ran.txt").exists()
