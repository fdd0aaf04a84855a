"""Names that look the same are found, and names that do not are told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popbench.text import as_seen, look_alike


@pytest.mark.parametrize(
    "twin",
    [
        "gem ma|pe|clip ",
        " gem ma|pe|clip",
        "gem  ma|pe|clip",
        "gem ma |pe|clip",
        "gem ma| pe|clip",
        "gem\u00a0ma|pe|clip",
        "gem\u3000ma|pe|clip",
        "gem\tma|pe|clip",
        "gem\u2028ma|pe|clip",
        "gem\u2800ma|pe|clip",
        "gem\u3164ma|pe|clip",
        "g\u200bem ma|pe|clip",
        "g\u2060em ma|pe|clip",
        "g\u00adem ma|pe|clip",
        "\ufeffgem ma|pe|clip",
        "\u202agem ma|pe|clip\u202c",
        "gem ma|pe|clip\u200f",
        "gem ma|p\u034fe|clip",
        "gem ma\ufe0f|pe|clip",
        "gem ma\U000e0101|pe|clip",
        "gem ma\U000e0041|pe|clip",
        "gem\x7f ma|pe|clip",
    ],
)
def test_names_that_differ_in_what_is_not_seen_look_alike(twin: str) -> None:
    name = "gem ma|pe|clip"
    assert look_alike(["other", name, "x", twin]) == (name, twin)


def test_composed_and_decomposed_letters_look_alike() -> None:
    assert look_alike(["caf\u00e9", "cafe\u0301"]) is not None
    assert look_alike(["a-b", "a\u2011b"]) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "b"),
        ("a", "A"),
        ("ab", "a b"),
        ("x2", "x\u00b2"),
        ("a|b", "a/b"),
        ("a", "\u00e4"),
        ("a-b", "a_b"),
        ("", "a"),
    ],
)
def test_names_that_can_be_told_apart_do_not(one: str, other: str) -> None:
    assert look_alike([one, other, one]) is None


@given(st.text())
def test_what_is_seen_of_a_name_looks_like_itself(name: str) -> None:
    assert as_seen(as_seen(name)) == as_seen(name)


@given(st.text(alphabet="ab |-_", max_size=8), st.text(alphabet="ab |-_", max_size=8))
def test_plain_names_are_compared_as_any_others(one: str, other: str) -> None:
    """Names of ASCII take a short way."""
    assert (as_seen(one) == as_seen(other)) == (as_seen(one + "\u200b") == as_seen(other + "\u200b"))
