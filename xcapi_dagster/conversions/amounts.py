"""Decimal amounts: out of whatever a warehouse gives, exact, and into the text that X gets."""

from contextlib import suppress
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.texts import flags, keep_where, strip

AMOUNT = pa.decimal128(38, 6)

_CENTS = pa.decimal128(38, 2)
_WHOLE_DIGITS = 32  # of AMOUNT
_PLAIN = rf"^[+-]?0*(?:[0-9]{{1,{_WHOLE_DIGITS}}}(?:\.[0-9]{{0,6}}0*)?|\.[0-9]{{1,6}}0*)$"
_TOO_PRECISE = r"(\.[0-9]{6})0+$"

# The shortest text of any double from _TINY up to 32 whole digits fits in here.
_WIDE = pa.decimal256(76, 30)
_TINY = 1e-7
_SIXTH_DECIMAL = Decimal("0.000001")
_DIGITS = Context(prec=60, rounding=ROUND_HALF_EVEN)
_CUT_TO_COUNT = pc.CastOptions(pa.int64(), allow_decimal_truncate=True, allow_int_overflow=True)


class Amounts(NamedTuple):
    """Amounts of type AMOUNT, null where there is none, and whether there is something that is no such amount."""

    values: pa.Array
    unreadable: pa.Array


def to_amounts(column: pa.Array) -> Amounts:
    """The amounts in a column of numbers or text.

    Whole, decimal and text columns are read exactly or not at all; floating-point numbers are taken by their
    shortest text and rounded half to even at the sixth decimal. Text is plain decimal: no exponent, sign of
    currency or comma. NaN, infinities and other types are unreadable, a blank text is nothing.
    """
    kind = column.type
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or _fits(kind):
        return _checked(column, column.cast(AMOUNT))
    if pa.types.is_string(kind):
        texts = strip(column)
        return _checked(texts, _from_text(texts))
    if pa.types.is_floating(kind):
        return _checked(column, _from_floats(column))
    if pa.types.is_decimal(kind):
        return _checked(column, _from_text(digits_of(column)))
    return _checked(column, pa.nulls(len(column), AMOUNT))


def to_counts(amounts: Amounts) -> Amounts:
    """The amounts that are whole and above zero, as int64; all others are unreadable."""
    counts = amounts.values.cast(options=_CUT_TO_COUNT)  # fractions and what is too large do not come back the same
    is_count = pc.and_(pc.greater(counts, 0), pc.equal(counts.cast(AMOUNT), amounts.values))
    given = pc.or_(amounts.values.is_valid(), amounts.unreadable)
    values = keep_where(is_count, counts)
    return Amounts(values, pc.and_not(given, values.is_valid()))


def to_text(amounts: pa.Array) -> pa.Array:
    """Amounts as X gets them: at least two decimals, more only where they are not zero ("20.00", "1.234")."""
    with suppress(pa.ArrowInvalid):  # some have more than two
        return amounts.cast(_CENTS).cast(pa.string())
    texts = amounts.cast(pa.string())
    cents, more = pc.utf8_slice_codeunits(texts, 0, -4), pc.utf8_slice_codeunits(texts, -4)
    return pc.binary_join_element_wise(cents, pc.utf8_rtrim(more, characters="0"), "")


@lru_cache(maxsize=4096)  # prices come again and again
def rounded(number: str) -> str:
    """A JSON number as plain decimal text: they are floating-point numbers to most that write them.

    ArithmeticError for one of more than 60 digits.
    """
    text = f"{_DIGITS.quantize(Decimal(number), _SIXTH_DECIMAL):f}"
    return text.rstrip("0").rstrip(".")


def digits_of(decimals: pa.Array) -> pa.Array:
    """Decimals as text, in which a zero with more than six decimals has no exponent, as Arrow would write it."""
    return pc.replace_substring_regex(decimals.cast(pa.string()), r"^0E[+-]?[0-9]+$", "0")


def _fits(kind: pa.DataType) -> bool:
    """Whether every decimal of this type is an AMOUNT."""
    if not pa.types.is_decimal(kind):
        return False
    return bool(kind.scale <= AMOUNT.scale and kind.precision - kind.scale <= _WHOLE_DIGITS)


def _checked(given: pa.Array, values: pa.Array) -> Amounts:
    return Amounts(values, pc.and_not(given.is_valid(), values.is_valid()))


def _from_text(texts: pa.Array) -> pa.Array:
    plain = keep_where(pc.match_substring_regex(texts, _PLAIN), texts)
    return pc.replace_substring_regex(plain, _TOO_PRECISE, r"\1").cast(AMOUNT)


def _from_floats(numbers: pa.Array) -> pa.Array:
    if pa.types.is_float16(numbers.type):
        numbers = numbers.cast(pa.float32())
    sizes = pc.abs(numbers)
    readable = pc.less(sizes, 10.0**_WHOLE_DIGITS)  # false for NaN and infinity
    numbers = pc.if_else(flags(pc.less(sizes, _TINY)), pa.scalar(0, numbers.type), numbers)
    shortest = keep_where(readable, numbers).cast(pa.string())
    return pc.round(shortest.cast(_WIDE), AMOUNT.scale, round_mode="half_to_even").cast(AMOUNT)
