"""Numbers as the pages write them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.reports.pages.formats import amount, percent, shortened


@pytest.mark.parametrize(
    ("total", "text"),
    [("1204.000000", "USD 1,204"), ("12.500000", "USD 12.50"), ("1.234", "USD 1.234"), ("0", "USD 0"),
     ("-5.1", "USD -5.10"), ("-0.5", "USD -0.50"), ("1E+3", "USD 1,000"),
     ("9" * 30 + ".5", f"USD {int('9' * 30):,}.50")],
)  # fmt: skip
def test_amounts_are_exact_and_short(total: str, text: str) -> None:
    """No decimals where there are none, else at least two and all."""
    assert amount("USD", Decimal(total)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**30), max_value=10**30))
def test_amounts_lose_nothing(total: Decimal) -> None:
    """What is written is the number."""
    assert Decimal(amount("USD", total).removeprefix("USD ").replace(",", "")) == total


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 10, "0%"), (10, 10, "100%"), (1, 8, "12.5%"), (1, 10**6, "<0.1%"), (10**6 - 1, 10**6, "99.9%"), (0, 0, "–")],
)
def test_nearly_all_is_not_all(part: int, whole: int, text: str) -> None:
    """0% and 100% are said only of nothing and of everything."""
    assert percent(part, whole) == text


def test_a_long_text_is_cut() -> None:
    """An order id may have any length."""
    assert shortened("x" * 10_000) == "x" * 100 + "…"
    assert shortened("x" * 100) == "x" * 100
