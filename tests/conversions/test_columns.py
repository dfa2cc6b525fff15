"""Order columns of every type that Arrow has: text where it can be without loss, and never an exception."""

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from xcapi_dagster.conversions.columns import COLUMNS, check_columns, check_zone, column_of, plain, to_text
from xcapi_dagster.conversions.prepare import Prepared, prepare
from xcapi_dagster.conversions.texts import UNREADABLE
from xcapi_dagster.errors import ConfigurationError

ID = UUID("8d0f3a6e-0000-4000-8000-00000000002a")
TYPES: dict[str, tuple[pa.Array, list[str | None]]] = {
    "string": (pa.array(["a", None]), ["a", None]),
    "large_string": (pa.array(["a", None], pa.large_string()), ["a", None]),
    "string_view": (pa.array(["a", None], pa.string_view()), ["a", None]),
    "dictionary": (pa.array(["a", None]).dictionary_encode(), ["a", None]),
    "dictionary of large_string": (pa.array(["a", None], pa.large_string()).dictionary_encode(), ["a", None]),
    "run_end_encoded": (pc.run_end_encode(pa.array(["a", "a", None])), ["a", "a", None]),
    "binary": (pa.array([b"a", b"\xff", None]), ["a", UNREADABLE, None]),
    "large_binary": (pa.array([b"a", None], pa.large_binary()), ["a", None]),
    "binary_view": (pa.array([b"a", None], pa.binary_view()), ["a", None]),
    "fixed_size_binary": (pa.array([b"ab", None], pa.binary(2)), ["ab", None]),
    "uuid": (pa.array([ID.bytes, None], pa.uuid()), [str(ID), None]),
    "json": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["[]", None])), ["[]", None]),
    "inet": (pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "inet", "pg"), pa.array(["1.1.1.1"])), ["1.1.1.1"]),
    "int8": (pa.array([-1, None], pa.int8()), ["-1", None]),
    "int64": (pa.array([4155552671, None]), ["4155552671", None]),
    "uint64": (pa.array([2**64 - 1, None], pa.uint64()), [str(2**64 - 1), None]),
    "float": (pa.array([1.0, -0.0, 1.5, 1e300, float("nan"), None]), ["1", "0", UNREADABLE, UNREADABLE, None, None]),
    "half float": (pa.array(np.array([2.0, 0.5], np.float16)), ["2", UNREADABLE]),
    "decimal128": (pa.array([Decimal("7.00"), Decimal("7.50"), None]), ["7", UNREADABLE, None]),
    "decimal256": (pa.array([Decimal(7), None], pa.decimal256(70, 20)), ["7", None]),
    "decimal128 of many decimals": (
        pa.array([Decimal(0), Decimal(7), None], pa.decimal128(38, 9)),
        ["0", "7", None],
    ),
    "decimal32": (pa.array([Decimal(7), None], pa.decimal32(5, 0)), ["7", None]),
    "bool": (pa.array([True, None]), [UNREADABLE, None]),
    "bool8": (pa.array([1, None], pa.int8()).cast(pa.bool8()), ["1", None]),
    "date32": (pa.array([date(2026, 1, 1), None]), [UNREADABLE, None]),
    "date64": (pa.array([date(2026, 1, 1), None], pa.date64()), [UNREADABLE, None]),
    "timestamp": (pa.array([datetime(2026, 1, 1, tzinfo=UTC), None]), [UNREADABLE, None]),
    "time": (pa.array([time(1), None]), [UNREADABLE, None]),
    "duration": (pa.array([timedelta(1), None]), [UNREADABLE, None]),
    "interval": (pa.array([(1, 2, 3), None], pa.month_day_nano_interval()), [UNREADABLE, None]),
    "list": (pa.array([["a"], None]), [UNREADABLE, None]),
    "list_view": (pa.array([["a"], None], pa.list_view(pa.string())), [UNREADABLE, None]),
    "struct": (pa.array([{"a": 1}, None]), [UNREADABLE, None]),
    "map": (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())), [UNREADABLE, None]),
    "union": (
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
        [UNREADABLE, UNREADABLE],
    ),
    "null": (pa.nulls(2), [None, None]),
}


@pytest.mark.parametrize("name", TYPES)
def test_every_type_becomes_text_or_is_unreadable(name: str) -> None:
    """Without loss, in one piece or in chunks, from its beginning or from a slice."""
    column, expected = TYPES[name]
    assert to_text(plain(column)).to_pylist() == expected
    chunks = pa.chunked_array([column, column.slice(1)])
    assert to_text(column_of(pa.table({"items": chunks}), "items")).to_pylist() == [*expected, *expected[1:]]


@pytest.mark.parametrize(
    ("json_text", "text"),
    [
        ('"ann@example.com"', "ann@example.com"),
        ('" \\"q\\" \\u00e9"', ' "q" é'),
        ("12.50", "12.50"),
        ("-3", "-3"),
        ("1001.0", "1001"),
        ("1000.00", "1000"),
        ('"1001.0"', "1001.0"),
        ("10.010", "10.010"),
        ("true", "true"),
        ("null", None),
        ('["a"]', UNREADABLE),
        ("{}", UNREADABLE),
        ('"\\ud800"', UNREADABLE),
        ("not JSON", UNREADABLE),
        ("[" * 100_000, UNREADABLE),
    ],
)
def test_of_json_the_text_in_it_counts(json_text: str, text: str | None) -> None:
    """Its quotation marks would be part of every hash; items stay as they are."""
    column = pa.array([json_text, None]).cast(pa.json_())
    assert column_of(pa.table({"email": column}), "email").to_pylist() == [text, None]
    assert column_of(pa.table({"items": column}), "items").to_pylist() == [json_text, None]


@pytest.mark.parametrize(
    ("json_text", "value"),
    [
        ("12.50", Decimal("12.50")),
        ("59.970000000000006", Decimal("59.97")),
        ("1e2", Decimal(100)),
        ("1.999000000000000e+01", Decimal("19.99")),
        ('"19.99"', Decimal("19.99")),
        ('"59.970000000000006"', None),
        ("1e400000", None),
        ("NaN", None),
        ("true", None),
    ],
)
def test_amounts_in_json_are_floating_point_numbers(prepare_order: Any, json_text: str, value: Decimal | None) -> None:
    """As in items, and as in columns of such: rounded at the sixth decimal. A text is plain decimal, or no amount."""
    prepared: Prepared = prepare_order(value=pa.array([json_text]).cast(pa.json_()), currency="USD")
    assert prepared.conversions["value"].to_pylist() == ([] if value is None else [value])
    assert prepared.rejections["reason_code"].to_pylist() == (["invalid_value"] if value is None else [])


@pytest.mark.parametrize("name", TYPES)
def test_no_type_in_any_column_is_too_much(prepare_order: Any, name: str) -> None:
    """An order is sent or reported, whatever type its columns have."""
    array, _ = TYPES[name]
    prepared: Prepared = prepare_order(**dict.fromkeys(COLUMNS, array))
    stopped = prepared.rejections.filter(pc.not_equal(prepared.rejections["severity"], "degraded"))
    rows = prepared.conversions["row"].to_pylist() + stopped["row"].to_pylist()
    assert set(rows) == set(range(len(array)))


def test_text_that_is_no_utf_8_is_unreadable(prepare_order: Any) -> None:
    """Arrow does not check what it is told is text."""
    offsets, data = pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xffa")
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, data])
    assert to_text(plain(broken)).to_pylist() == [UNREADABLE, "a"]
    assert prepare_order(email=broken).rejections["reason_code"].to_pylist() == ["email_invalid"] * 2


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_are_text_in_every_column(prepare_order: Any, kind: pa.DataType) -> None:
    """As Parquet has it where its writer did not say that it is text: amounts and items are read of it too."""
    given = {"order_id": "A-1", "value": "19.99", "currency": "USD", "quantity": "2", "items": '[{"content_id":"a"}]'}
    prepared: Prepared = prepare_order(**{name: pa.array([text.encode()], kind) for name, text in given.items()})
    (conversion,) = prepared.conversions.to_pylist()
    assert (conversion["value"], conversion["number_items"]) == (Decimal("19.99"), 2)
    assert conversion["contents"] == given["items"]
    assert prepared.rejections.num_rows == 0


def test_digests_as_bytes_are_hashes(prepare_order: Any) -> None:
    """As PostgreSQL's and BigQuery's `sha256()` give them."""
    digest = hashlib.sha256(b"test@twitter.com").digest()
    assert prepare_order(hashed_email=pa.array([digest])).conversions["hashed_email"].to_pylist() == [digest.hex()]
    assert prepare_order(order_id=pa.array([digest])).rejections["reason_code"].to_pylist() == ["missing_order_id"]


@pytest.mark.parametrize("granted", [True, 1, 1.0, Decimal(1), "true", "granted", b"granted", b"\x01"])
def test_consent_as_a_boolean(prepare_order: Any, granted: Any) -> None:
    """In whatever type a warehouse has for it: SQLite's booleans are integers."""
    assert len(prepare_order(consent=granted).conversions) == 1


def test_missing_optional_columns(order: dict[str, Any], rules: Any) -> None:
    """Two required columns and an identifier are enough."""
    orders = pa.table({name: [order[name]] for name in ("order_id", "ordered_at", "twclid")})
    prepared = prepare(orders, 0, rules)
    assert prepared.rejections["reason_code"].to_pylist() == ["consent_unknown"]


SCHEMA = pa.schema([("order_id", pa.string()), ("ordered_at", pa.timestamp("us", "UTC")), ("consent", pa.bool_())])


def complaint(schema: pa.Schema, *, unknown_consent_is_set: bool = False) -> str:
    with pytest.raises(ConfigurationError) as raised:
        check_columns(schema, unknown_consent_is_set=unknown_consent_is_set)
    return str(raised.value)


def test_columns_that_are_right_pass() -> None:
    """Also with others that are unknown, and without consent where the setting says what that means."""
    check_columns(SCHEMA.append(pa.field("margin", pa.float64())), unknown_consent_is_set=False)
    check_columns(SCHEMA.remove(2), unknown_consent_is_set=True)


@pytest.mark.parametrize("name", ["order_id", "ordered_at"])
def test_a_missing_required_column_is_named(name: str) -> None:
    """With the setting, the mend, and the columns that there are."""
    message = complaint(SCHEMA.remove(SCHEMA.get_field_index(name)).append(pa.field("ts", pa.int64())))
    assert "XCAPI_ORDERS" in message
    assert f"AS {name}" in message
    assert "ts" in message


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.time64("us"), pa.bool_(), pa.list_(pa.string())])
def test_a_column_that_holds_no_time_is_named_with_the_cast(kind: pa.DataType) -> None:
    """Both times are checked, the one that is optional too."""
    assert "AS TIMESTAMP) AS ordered_at" in complaint(SCHEMA.set(1, pa.field("ordered_at", kind)))
    assert "AS TIMESTAMP) AS updated_at" in complaint(SCHEMA.append(pa.field("updated_at", kind)))


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32(), pa.string(), pa.null()])
@pytest.mark.parametrize("name", ["ordered_at", "updated_at"])
def test_a_zone_that_the_machine_lacks_is_named_where_it_is_needed(kind: pa.DataType, name: str) -> None:
    """Python has names of time zones that the system, which Arrow asks, may not have."""
    check_zone(SCHEMA, "Atlantis/Poseidonis")
    local = SCHEMA.remove(1).append(pa.field(name, kind))
    check_zone(local, "UTC")
    check_zone(local, "America/New_York")
    with pytest.raises(ConfigurationError, match="has no time zone Atlantis/Poseidonis: install"):
        check_zone(local, "Atlantis/Poseidonis")


def test_no_consent_column_and_no_setting_is_an_error() -> None:
    """It names both ways out."""
    message = complaint(SCHEMA.remove(2))
    assert "XCAPI_UNKNOWN_CONSENT" in message
    assert "consent" in message


def test_a_column_twice_is_an_error() -> None:
    """Nobody knows which one is meant."""
    assert "order_id twice" in complaint(SCHEMA.append(SCHEMA.field("order_id")))
