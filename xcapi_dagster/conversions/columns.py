"""The order columns: which there are, and the first step, out of whatever types a warehouse gives them.

Nothing is judged here. What has no place in its column's type becomes UNREADABLE (text), is marked (amounts) or
becomes null (times); the rules find it there.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.amounts import Amounts, digits_of, rounded, to_amounts
from xcapi_dagster.conversions.texts import UNREADABLE, drop_where, flags, has_halves, keep_where, map_distinct, whole
from xcapi_dagster.conversions.times import can_hold_time, knows_zone, needs_zone, to_comparable, to_utc
from xcapi_dagster.errors import ConfigurationError

TIMES = ("ordered_at", "updated_at")
NUMBERS = ("value", "quantity")
HASHES = ("hashed_email", "hashed_phone_number")
TEXTS = (
    "order_id", "conversion_id", "email", "phone", "country", "twclid", "landing_url", "ip_address", "user_agent",
    "currency", "description", "event_id", "consent", "event_source_url",
)  # fmt: skip
COLUMNS = (*TEXTS, *HASHES, *TIMES, *NUMBERS, "items")

_REQUIRED = ("order_id", "ordered_at")
_EXACT = 2.0**53  # doubles above it have lost digits of the number they were made from
_WHOLE = r"^-?[0-9]+(?:\.0*)?$"
_DIGEST_BYTES = 32


class Columns(NamedTuple):
    """A chunk of orders in this package's types; a column that the query does not give is null throughout."""

    texts: Mapping[str, pa.Array]
    amounts: Mapping[str, Amounts]
    times: Mapping[str, pa.Array]
    items: pa.Array


def check_columns(columns: pa.Schema, *, unknown_consent_is_set: bool) -> None:
    """Raise ConfigurationError, naming setting and mend, unless these columns can be read as orders."""
    for name in COLUMNS:
        if columns.names.count(name) > 1:
            raise ConfigurationError(f"XCAPI_ORDERS gives the column {name} twice: name each column once in the query")
    if missing := [name for name in _REQUIRED if name not in columns.names]:
        raise ConfigurationError(
            f"XCAPI_ORDERS gives no column {' and no column '.join(missing)}: rename columns in the query "
            f"(… AS {', … AS '.join(missing)}); of the names that are read it has {', '.join(columns.names) or 'none'}"
        )
    for name in TIMES:
        if name in columns.names and not can_hold_time(columns.field(name).type):
            raise ConfigurationError(
                f"XCAPI_ORDERS gives {name} as {columns.field(name).type}, which is no time: put "
                f"CAST(… AS TIMESTAMP) AS {name} into the query, or to_timestamp(…) for seconds since 1970"
            )
    if "consent" not in columns.names and not unknown_consent_is_set:
        raise ConfigurationError(
            "XCAPI_ORDERS gives no column consent: add it to the query, or set XCAPI_UNKNOWN_CONSENT to say "
            "whether orders without a consent value are sent (send) or not (suppress)"
        )


def check_zone(columns: pa.Schema, source_timezone: str) -> None:
    """Raise ConfigurationError where a checked column of times is local and this machine does not know the zone."""
    is_local = any(needs_zone(columns.field(name).type) for name in TIMES if name in columns.names)
    if is_local and not knows_zone(source_timezone):
        raise ConfigurationError(
            f"XCAPI_SOURCE_TIMEZONE: this machine has no time zone {source_timezone}: install its package tzdata, "
            "which for older names such as US/Eastern may be tzdata-legacy, or give the zone's newer name"
        )


def convert(orders: pa.Table | pa.RecordBatch, source_timezone: str) -> Columns:
    """The orders' columns in this package's types, whatever types they come in."""
    given = {name: column_of(orders, name) for name in COLUMNS}
    texts = {name: to_text(given[name]) for name in TEXTS}
    texts |= {name: to_text(given[name], read_digests=True) for name in HASHES}
    if pa.types.is_boolean(given["consent"].type):
        texts["consent"] = given["consent"].cast(pa.string())
    return Columns(
        texts=texts,
        amounts={name: to_amounts(_text_of_bytes(given[name])) for name in NUMBERS},
        times={
            "ordered_at": to_utc(given["ordered_at"], source_timezone),
            "updated_at": to_comparable(given["updated_at"], source_timezone),
        },
        items=_text_of_bytes(given["items"]),
    )


def column_of(orders: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    """The column as one plain array; nulls if there is none."""
    if name not in orders.schema.names:
        return pa.nulls(orders.num_rows, pa.string())
    column = whole(orders.column(name))
    if isinstance(column.type, pa.JsonType) and name != "items":
        return map_distinct(plain(column), _amount_from_json if name in NUMBERS else _from_json)
    return plain(column)


def _amount_from_json(text: str) -> str | None:
    return _from_json(text, of_fraction=rounded)


def _without_zeros(fraction: str) -> str:
    """The digits of a whole number without what follows them: an id of 5.00 is 5, as in other columns of numbers."""
    return re.sub(r"\.0+$", "", fraction)


def _from_json(text: str, of_fraction: Callable[[str], str] = _without_zeros) -> str | None:
    """The text that is in a JSON text, the digits of a number, true or false; UNREADABLE for lists and objects."""
    try:
        value = json.loads(text, parse_int=str, parse_float=of_fraction, parse_constant=str)
    except (ValueError, ArithmeticError, RecursionError):
        return UNREADABLE
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or (isinstance(value, str) and not has_halves(value)):
        return value
    return UNREADABLE


def plain(column: pa.Array) -> pa.Array:
    """The same values without dictionary, run lengths, extension type or a variant of text: those are `string`."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(column))
    if isinstance(kind, pa.UuidType):
        return map_distinct(column.storage, _uuid_text)
    if isinstance(kind, pa.BaseExtensionType):
        return plain(column.storage)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _decode(column.cast(pa.binary()), read_digests=False)
    return column


def to_text(column: pa.Array, *, read_digests: bool = False) -> pa.Array:
    """A plain column as text: text, UTF-8, and whole numbers of any type; NaN is null, all else UNREADABLE.

    With ``read_digests``, 32 bytes that are no UTF-8 become 64 hexadecimal digits.
    """
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        return _from_floats(column.cast(pa.float64()))
    if pa.types.is_decimal(kind):
        texts = digits_of(column)
        is_whole = flags(pc.match_substring_regex(texts, _WHOLE))
        return _or_unreadable(column, is_whole, pc.replace_substring_regex(texts, r"\.0*$", ""))
    if _is_bytes(kind):
        return _decode(column.cast(pa.binary()), read_digests=read_digests)
    return _or_unreadable(column, pa.repeat(False, len(column)), pa.nulls(len(column), pa.string()))


def _uuid_text(value: bytes) -> str:
    return str(UUID(bytes=value))


def _text_of_bytes(column: pa.Array) -> pa.Array:
    """The column, of bytes as text: so Parquet has it where its writer did not say that it is."""
    return to_text(column) if _is_bytes(column.type) else column


def _is_bytes(kind: pa.DataType) -> bool:
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return bool(is_binary or pa.types.is_fixed_size_binary(kind))


def _decode(column: pa.Array, *, read_digests: bool) -> pa.Array:
    """Bytes as text; text too is checked here, since not all that writes Arrow makes sure that it is UTF-8."""

    def decoded(value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex() if read_digests and len(value) == _DIGEST_BYTES else UNREADABLE

    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return map_distinct(column, decoded)


def _from_floats(column: pa.Array) -> pa.Array:
    is_whole = flags(pc.and_(pc.less(pc.abs(column), _EXACT), pc.equal(pc.floor(column), column)))
    texts = keep_where(is_whole, column).cast(pa.int64()).cast(pa.string())
    return _or_unreadable(drop_where(pc.is_nan(column), column), is_whole, texts)


def _or_unreadable(given: pa.Array, is_text: pa.Array, texts: pa.Array) -> pa.Array:
    """The texts where there are some, UNREADABLE where something else is given, and null."""
    return pc.if_else(is_text, texts, keep_where(given.is_valid(), pa.repeat(UNREADABLE, len(texts))))
