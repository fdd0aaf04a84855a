"""Names for trackers: readable, within what every store takes, and never one for two numbers."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from popbench import Metric, TrackedClip
from popbench_trackers.names import clip_names, metrics_by_name, names, settings_by_name

LABELS = (
    st.text(st.characters(exclude_categories=()), max_size=30)
    | st.text("a./|\\ :", max_size=6)
    | st.text("雨", min_size=50, max_size=200)
)


def test_a_name_says_statistic_table_and_system() -> None:
    metrics = [
        Metric("median", ("popcorn", "demo", "shotlist|pe,k=20|kinetic"), 2.0, 1.0, 3.0),
        Metric("win_rate", ("popcorn", "demo", "a|b|c", "human"), 0.5),
        Metric("seconds", (), 7.5),
    ]
    assert metrics_by_name(metrics) == {
        "median/popcorn/demo/shotlist pe_k_20 kinetic": 2.0,
        "median_low/popcorn/demo/shotlist pe_k_20 kinetic": 1.0,
        "median_high/popcorn/demo/shotlist pe_k_20 kinetic": 3.0,
        "win_rate/popcorn/demo/a b c vs human": 0.5,
        "seconds": 7.5,
    }


def test_labels_that_would_get_one_name_get_a_digest_each() -> None:
    named = names([("n", "a|b"), ("n", "a b"), ("n", "c")])
    assert len(set(named.values())) == 3
    assert all(re.fullmatch(r"n/a b-[0-9a-f]{8}", named["n", label]) for label in ("a|b", "a b"))
    assert named["n", "c"] == "n/c"


@settings(max_examples=40)
@given(st.lists(st.tuples(LABELS, LABELS, LABELS), unique=True, max_size=8))
def test_any_labels_become_names_that_stores_take_and_no_two_the_same(labels: list[tuple[str, str, str]]) -> None:
    named = names(labels)
    assert len(set(named.values())) == len(labels)
    for name in named.values():
        assert len(name) <= 250
        assert re.fullmatch(r"[/\w.\- ]*", name)
        for part in name.split("/"):
            assert part.strip(".")
            assert len(part.encode()) <= 255


def test_settings_keep_their_values_and_clips_say_what_they_are() -> None:
    assert settings_by_name({"seed": 42, "task_hash/a|b": "1f"}) == {"seed": 42, "task_hash/a b": "1f"}
    clips = [TrackedClip(Path("x"), "a|b|c", "cats", "p/1", repeat, "", None) for repeat in (0, 1)]
    assert list(clip_names(clips).values()) == ["cats/p_1/a b c.mp4", "cats/p_1/a b c 1.mp4"]
