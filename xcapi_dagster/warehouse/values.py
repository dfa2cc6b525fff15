"""Python's values, as database drivers give them, as Arrow columns of a known type.

A driver may mix types within a column (SQLite does), and gives no type beforehand. So everything but times arrives as
text, which the transform reads just as it reads the same value of a column of its own type.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import pyarrow as pa

from xcapi_dagster.warehouse.query import NUMBER_COLUMNS

UNREADABLE: Final = "\N{REPLACEMENT CHARACTER}"  # no rule of any column accepts it

_EXACT: Final = 2.0**53  # floats above it have lost digits of the number they were made from
_LARGEST_AMOUNT: Final = 1e32
_DIGEST_BYTES: Final = 32
_SIXTH_DECIMAL: Final = Decimal("0.000001")
_DIGITS: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


def to_arrow(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """The values of a column in the type of ``field``; what cannot be text or time becomes what no rule accepts."""
    if isinstance(field.type, pa.JsonType):
        return to_arrow(values, field.with_type(pa.string())).cast(field.type)
    if pa.types.is_temporal(field.type):
        return pa.array([_time(value, field.type) for value in values], field.type)
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, UnicodeEncodeError):  # not all of them are text, or not such as can be written
        to_text = _amount if field.name in NUMBER_COLUMNS else _item_text if field.name == "items" else _text
        return pa.array([to_text(value) for value in values], field.type)


def decoded(data: bytes) -> str:
    """Bytes of UTF-8 as text; UNREADABLE if they are none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return UNREADABLE


def _text(value: Any) -> str | None:
    return None if value is None else _WRITERS.get(type(value), str)(value)


def _item_text(value: Any) -> str | None:
    return _of_items(value) if isinstance(value, (list, tuple, dict)) else _text(value)


def _amount(value: Any) -> str | None:
    """A number in plain digits; a float is rounded at the sixth decimal, as everywhere."""
    if isinstance(value, float) and abs(value) < _LARGEST_AMOUNT:
        return f"{_DIGITS.quantize(Decimal(repr(value)), _SIXTH_DECIMAL):f}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, float) else _text(value)


def _of_text(value: str) -> str:
    """The text, unless it holds halves of characters, which nothing can write."""
    return value if value.isascii() else decoded(value.encode(errors="surrogatepass"))


def _of_float(value: float) -> str | None:
    """The digits of a whole number; nothing for NaN."""
    if math.isnan(value):
        return None
    return str(int(value)) if abs(value) < _EXACT and value.is_integer() else UNREADABLE


def _of_decimal(value: Decimal) -> str:
    """The digits, of a whole number without a point: an id of 5.00 is 5."""
    return str(int(value)) if value.is_finite() and value == value.to_integral_value() else f"{value:f}"


def _of_bytes(value: bytes | bytearray | memoryview) -> str:
    """The text that they are, or the digits of a SHA-256 hash."""
    data = bytes(value)
    text = decoded(data)
    return data.hex() if text == UNREADABLE and len(data) == _DIGEST_BYTES else text


def _of_items(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


_WRITERS: Final[Mapping[type, Callable[[Any], str | None]]] = {
    str: _of_text,
    bool: lambda value: str(value).lower(),
    float: _of_float,
    Decimal: _of_decimal,
    **dict.fromkeys((bytes, bytearray, memoryview), _of_bytes),
    **dict.fromkeys((list, tuple, dict), lambda _: UNREADABLE),
}


def _time(value: Any, type_: pa.DataType) -> datetime | date | None:
    """A time as its column has it; null for what a driver gives where it could not read one."""
    if pa.types.is_date(type_):
        return value.date() if isinstance(value, datetime) else value if isinstance(value, date) else None
    if not isinstance(value, datetime):
        return None
    if type_.tz is None:
        return value if value.tzinfo is None else None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
