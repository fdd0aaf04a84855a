"""Numbers that people write: read in the form that was named, and refused where they can be read in two ways."""

from __future__ import annotations

import pytest

from popbench.tables import NumberForm, PointWatch, read_form


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        ("", "1037", 1037), ("", "1037.5", 1037.5), ("", "1e3", 1000), ("", " .5 ", 0.5), ("", "-2.", -2),
        ("thousands=point", "1.037", 1037), ("thousands=point", "1.037.500", 1037500), ("thousands=point", "889", 889),
        ("thousands=point", "1.037,5", 1037.5), ("thousands=comma", "1,037.5", 1037.5), ("thousands=comma", "12", 12),
        ("thousands=space", "1 037", 1037), ("thousands=space", "1\u00a0037\u202f000", 1037000),
        ("thousands=apostrophe", "1'037", 1037), ("thousands='", "1’037.25", 1037.25),
        ("decimal=comma", "0,25", 0.25), ("decimal=,", "1,037", 1.037), ("decimal=point", "1.037", 1.037),
        ("decimal=comma,thousands=space", "1 037,5", 1037.5), ("thousands=.,decimal=,", "-1.037,5", -1037.5),
    ],
)  # fmt: skip
def test_a_number_is_read_in_the_form_that_is_named(form: str, text: str, value: float) -> None:
    assert (read_form(form) if form else NumberForm()).number(text) == value


@pytest.mark.parametrize(
    ("form", "text", "advice"),
    [
        ("", "1,037", "thousands=comma or decimal=comma"), ("", "12,5", "decimal=comma"),
        ("", "1.037,5", "thousands=point"), ("", "1,037.5", "thousands=comma"), ("", "1.037.500", "thousands=point"),
        ("", "1 037", "thousands=space"), ("", "1\u00a0037", "thousands=space"), ("", "1'037", "thousands=apostrophe"),
        ("decimal=comma", "1.5", "decimal=point"), ("thousands=point", "1.5", "decimal=point"),
        ("thousands=comma", "1,03", "decimal=comma"), ("thousands=point", "0.125", "decimal=point"),
        ("", "1 037,5", "say decimal=comma,thousands=space"),
    ],
)  # fmt: skip
def test_a_number_in_another_form_is_refused_with_that_form(form: str, text: str, advice: str) -> None:
    with pytest.raises(ValueError, match="is not a number as it is written") as caught:
        (read_form(form) if form else NumberForm()).number(text)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "abc", "1.2k", "12 %", "$5", "1_000", "٣", "１２", "0x1", "−5", "1,2,3", "1 2", "1.0.0"]
)
def test_what_is_no_number_in_any_form_gets_no_advice(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number$"):
        NumberForm().number(text)


@pytest.mark.parametrize(
    "text",
    ["", "point", "decimal=space", "decimal=;", "thousands=point,thousands=comma", "decimal=,,thousands=,"],
)
def test_a_form_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_form(text)


def watched(texts: list[str], *, counts: bool = False, form: str = "") -> str | None:
    watch = PointWatch(read_form(form) if form else NumberForm(), counts=counts)
    for text in texts:
        watch.see(text)
    return watch.problem()


@pytest.mark.parametrize("texts", [["1.037", "889"], ["7", "210.500"], ["-1.250", "3"], ["2500", "1.037"]])
def test_points_before_three_digits_beside_whole_numbers_are_in_doubt(texts: list[str]) -> None:
    for order in (texts, texts[::-1]):
        problem = watched(order)
        assert problem is not None
        assert "decimal=point or thousands=point" in problem
        assert watched(order, form="decimal=point") is None
        assert watched(order, form="thousands=point") is None


@pytest.mark.parametrize(
    "texts",
    [
        ["1.037", "2.5"], ["1.037", "2.500", "11.474"], ["889", "12"], ["1.037", "0.123", "3"], ["1.0375", "3"],
        ["1.037", "1e3", "2"], ["1000.123", "4", "1.037"], ["1.037", "0"], ["1.037", "5.", "5"], [],
    ],
)  # fmt: skip
def test_a_column_of_decimals_is_in_no_doubt(texts: list[str]) -> None:
    for order in (texts, texts[::-1]):
        assert watched(order) is None


def test_counts_are_in_doubt_without_whole_numbers_beside_them() -> None:
    assert watched(["1.037", "12.500"], counts=True) is not None
    assert watched(["1.037", "12.5"], counts=True) is None
