"""The split of MicroLens-100k is that of MMRA's training, with any installed libraries."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popbench_microlens.split import VIDEOS, parts, selection_remark


@pytest.mark.parametrize("count", [2, 5, 10, 35, 97, 1000, VIDEOS])
def test_the_parts_are_those_of_the_two_calls_of_scikit_learn(count: int) -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    # ids in an order that is neither that of numbers nor that of texts
    ids = [str(7919 * number % 100_003) for number in range(count)]
    train, rest = selection.train_test_split(ids, test_size=0.2, random_state=9)
    test, valid = selection.train_test_split(rest, test_size=0.5, random_state=18) if len(rest) > 1 else ([], rest)
    found = parts(ids)
    for part, expected in (("train", train), ("valid", valid), ("test", test)):
        assert {id_ for id_, of in found.items() if of == part} == set(expected), part


def test_the_parts_of_the_whole_data_set_have_the_known_sizes() -> None:
    found = parts([str(number) for number in range(1, VIDEOS + 1)])
    assert Counter(found.values()) == {"train": 15790, "valid": 1974, "test": 1974}
    # as scikit-learn 1.9.1 drew them, for environments without it
    first = {number: found[str(number)] for number in range(1, 41)}
    assert [number for number, part in first.items() if part == "test"] == [5, 8, 23, 37, 40]
    assert [number for number, part in first.items() if part == "valid"] == [15, 35]


@given(st.lists(st.text(max_size=5), unique=True, max_size=60))
def test_every_id_is_in_one_part_in_the_order_given(ids: list[str]) -> None:
    found = parts(ids)
    assert list(found) == ids
    assert set(found.values()) <= {"train", "valid", "test"}
    assert found == parts(ids)


def test_the_order_decides_the_split() -> None:
    ids = [str(number) for number in range(100)]
    assert parts(ids) != parts(ids[::-1])


def test_a_split_of_other_videos_is_said_to_be_another() -> None:
    assert selection_remark(dict.fromkeys(map(str, range(VIDEOS)), "train")) == []
    (line,) = selection_remark({"1": "train"})
    assert "MMRA's split is over 19,738" in line


def test_splitting_needs_no_scikit_learn_and_the_plugin_nothing_heavy() -> None:
    code = (
        "import sys, popbench_microlens, popbench_microlens.table, popbench_microlens.microlens\n"
        "heavy = {'pandas', 'datasets', 'pyarrow', 'torch', 'huggingface_hub'} & set(sys.modules)\n"
        "from popbench_microlens.split import parts\n"
        "parts(list(map(str, range(50))))\n"
        "print(sorted(heavy), 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[] False"
