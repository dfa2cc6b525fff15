"""Decimal amounts, exact, out of every type that a warehouse may have for them."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.amounts import to_amounts, to_counts, to_text


def sent(column: pa.Array) -> list[str | None]:
    """Each amount as X gets it, "unreadable", or None where there is none."""
    amounts = to_amounts(column)
    pairs = zip(to_text(amounts.values).to_pylist(), amounts.unreadable.to_pylist(), strict=True)
    return ["unreadable" if unreadable else text for text, unreadable in pairs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20", "20.00"),  # the examples of the design: exact, two decimals at least, more where there are more
        ("1000", "1000.00"),
        ("1.234", "1.234"),
        ("0", "0.00"),
        ("-0.0", "0.00"),
        ("-7.5", "-7.50"),
        (" 1234.50\n", "1234.50"),
        ("+5", "5.00"),
        (".5", "0.50"),
        ("5.", "5.00"),
        ("0.000001", "0.000001"),
        ("0.1000000000", "0.10"),
        ("0" * 60 + "7", "7.00"),
        ("9" * 32, "9" * 32 + ".00"),
        ("", None),
        ("  ", None),
        (None, None),
        ("0.0000001", "unreadable"),
        ("9" * 33, "unreadable"),
        ("1e3", "unreadable"),
        ("1,5", "unreadable"),
        ("1.234.5", "unreadable"),
        ("$5", "unreadable"),
        ("5 EUR", "unreadable"),
        ("NaN", "unreadable"),
        ("Infinity", "unreadable"),
        ("\uff11\uff12", "unreadable"),
        (".", "unreadable"),
        ("-", "unreadable"),
        ("null", "unreadable"),
    ],
)
def test_text_is_plain_decimal(text: str | None, expected: str | None) -> None:
    """Plain decimal text is exact; anything else is unreadable, and blank is nothing."""
    assert sent(pa.array([text], pa.string())) == [expected]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (20.0, "20.00"),
        (19.99, "19.99"),
        (0.1 + 0.2, "0.30"),
        (33.333333333333336, "33.333333"),
        (123456789012.1, "123456789012.10"),  # its binary value is …100006103515625
        (1e22, "1" + "0" * 22 + ".00"),
        (2.5e-6, "0.000002"),
        (5e-7, "0.00"),
        (1e-300, "0.00"),
        (-0.0, "0.00"),
        (float("nan"), "unreadable"),
        (float("inf"), "unreadable"),
        (-float("inf"), "unreadable"),
        (1e33, "unreadable"),
        (None, None),
    ],
)
def test_floats_lose_their_noise(number: float | None, expected: str | None) -> None:
    """Floating-point numbers are rounded half to even at the sixth decimal of their shortest text."""
    assert sent(pa.array([number], pa.float64())) == [expected]


@given(st.lists(st.floats(-1e15, 1e15), max_size=20))
@settings(max_examples=50)
def test_floats_are_what_decimal_makes_of_their_shortest_text(numbers: list[float]) -> None:
    """Python's `repr` and `decimal` come to the same amounts."""
    expected = [Decimal(repr(number)).quantize(Decimal("1e-6"), ROUND_HALF_EVEN) for number in numbers]
    assert to_amounts(pa.array(numbers, pa.float64())).values.to_pylist() == expected


def test_every_type_of_number_gives_the_same_amount() -> None:
    """Twelve hundred is twelve hundred in all of Arrow's types."""
    decimals = [(pa.decimal32, 9, 2), (pa.decimal64, 18, 4), (pa.decimal128, 38, 10), (pa.decimal256, 76, 30)]
    kinds = [pa.int16(), pa.int32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.string()]
    kinds += [build(precision, scale) for build, precision, scale in decimals] + [pa.decimal128(5, -2)]
    for kind in kinds:
        value = "1200" if kind == pa.string() else Decimal(1200) if pa.types.is_decimal(kind) else 1200
        assert sent(pa.array([value, None], kind)) == ["1200.00", None], kind
    assert sent(pa.array(np.array([1.5], np.float16))) == ["1.50"]
    assert sent(pa.array([1234.56], pa.float32())) == ["1234.56"]


def test_decimals_are_exact_or_unreadable() -> None:
    """More than six decimals that are not zero, or too many digits before the point, are refused, never rounded."""
    tiny = pa.array([Decimal("0.0000000001"), Decimal("1.0000010000"), Decimal(0)], pa.decimal128(38, 10))
    assert sent(tiny) == ["unreadable", "1.000001", "0.00"]
    assert sent(pa.array([Decimal(10) ** 40, Decimal(1)], pa.decimal256(76, 2))) == ["unreadable", "1.00"]
    assert sent(pa.array([2**64 - 1], pa.uint64())) == ["18446744073709551615.00"]


@given(st.integers(0, 6).flatmap(lambda places: st.lists(st.decimals(0, 10**25, places=places), max_size=20)))
@settings(max_examples=100)
def test_the_text_is_the_amount_with_two_decimals_or_more(amounts: list[Decimal]) -> None:
    """Nothing is lost, no exponent appears, and no zero follows the second decimal."""
    texts = to_text(pa.array(amounts, pa.decimal128(38, 6))).to_pylist()
    for text, amount in zip(texts, amounts, strict=True):
        whole, decimals = text.split(".")
        assert whole.isdigit()
        assert decimals.isdigit()
        assert Fraction(text) == Fraction(amount)
        assert len(decimals) == 2 or (len(decimals) > 2 and not decimals.endswith("0"))


def test_other_types_are_unreadable() -> None:
    """A boolean, a date or a list is no amount; null of that type is none."""
    for column in (pa.array([True, None]), pa.array([0, None], pa.date32()), pa.array([[1], None])):
        assert sent(column) == ["unreadable", None]
    assert sent(pa.nulls(1)) == [None]


def test_counts_are_whole_and_above_zero() -> None:
    """Quantities: 3 and 3.0 are three, zero, halves and what a 64-bit integer cannot hold are unreadable."""
    texts = ["3", "3.0", "0", "-1", "1.5", "x", str(2**63 - 1), str(2**63), None]
    counts = to_counts(to_amounts(pa.array(texts)))
    assert counts.values.to_pylist() == [3, 3, None, None, None, None, 2**63 - 1, None, None]
    assert counts.unreadable.to_pylist() == [False, False, True, True, True, True, False, True, False]
