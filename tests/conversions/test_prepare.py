"""The transform as a whole: each order is sent or rejected, and nothing raw comes out."""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.columns import COLUMNS
from xcapi_dagster.conversions.duplicates import Duplicates
from xcapi_dagster.conversions.hashing import NORMALIZER_VERSION
from xcapi_dagster.conversions.payload import to_events
from xcapi_dagster.conversions.prepare import Prepared, Rules, prepare
from xcapi_dagster.conversions.schema import CONVERSIONS, REJECTIONS
from xcapi_dagster.sandbox.conversions import check
from xcapi_dagster.sandbox.world import Account

SAMPLE = Path(__file__).parents[2] / "sample_data" / "orders.parquet"

FULL: dict[str, Any] = {
    "order_id": " 1001 ",
    "ordered_at": "2026-11-02T10:30:00.1239+01:00",
    "conversion_id": "web-1001",
    "email": " Marie.Curie+x@Example.com\u200b",
    "phone": "07700 900123",
    "country": "gb",
    "landing_url": "https://shop.example.com/?a=1&twclid=23opevjt88psuo13lu8d020qkn",
    "ip_address": "8.25.197.25",
    "user_agent": " Mozilla/5.0 ",
    "value": 20.0,
    "currency": "gbp",
    "quantity": "3",
    "description": 'Note: "leave at the door"\n',
    "event_id": "tw-o8z6j-ol288",
    "consent": True,
    "updated_at": datetime(2026, 11, 2, 12, tzinfo=UTC),
    "items": [{"content_id": 7, "content_price": 10.0, "num_items": 2}],
    "margin": 0.4,
}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_an_order_in_full(rules: Rules) -> None:
    """Every column of a conversion, out of the types and spellings of some warehouse."""
    prepared = prepare(pa.Table.from_pylist([FULL]), 41, rules)
    assert len(prepared.rejections) == 0
    (conversion,) = prepared.conversions.to_pylist()
    assert conversion.pop("fingerprint") >> 56 == NORMALIZER_VERSION
    assert conversion == {
        "row": 41,
        "order_id": "1001",
        "conversion_id": "web-1001",
        "event_id": "tw-o8z6j-ol288",
        "conversion_time": datetime(2026, 11, 2, 9, 30, 0, 123000, UTC),
        "twclid": "23opevjt88psuo13lu8d020qkn",
        "hashed_email": sha256("marie.curie+x@example.com"),
        "hashed_phone_number": sha256("+447700900123"),
        "ip_address": "8.25.197.25",
        "user_agent": "Mozilla/5.0",
        "value": Decimal(20),
        "currency": "GBP",
        "number_items": 3,
        "description": 'Note: "leave at the door"',
        "contents": '[{"content_id":"7","content_price":"10.00","num_items":2}]',
        "event_source_url": None,
    }


def test_a_batch_and_a_table_are_the_same(rules: Rules) -> None:
    """As is a table in chunks, and columns in another order."""
    table = pa.Table.from_pylist([FULL] * 3)
    (batch,) = table.to_batches()
    chunks = pa.concat_tables([table.slice(0, 1), table.slice(1)]).select(sorted(table.column_names))
    expected = prepare(table, 0, rules).conversions
    for orders in (batch, batch.slice(0), chunks):
        assert prepare(orders, 0, rules).conversions.equals(expected)


def test_no_orders(rules: Rules) -> None:
    """Tables without rows, in their shapes."""
    duplicates = Duplicates(BytesIO())
    prepared = prepare(pa.Table.from_pylist([FULL]).slice(1), 0, rules, duplicates)
    assert prepared.conversions.equals(CONVERSIONS.empty_table())
    assert prepared.rejections.equals(REJECTIONS.empty_table())
    assert duplicates.losers().tolist() == []


def test_orders_of_nothing_but_nulls(rules: Rules) -> None:
    """In columns with a type and in columns without."""
    for kind in (pa.null(), pa.string(), pa.int64(), pa.timestamp("us"), pa.list_(pa.struct([]))):
        prepared = prepare(pa.table({name: pa.nulls(2, kind) for name in COLUMNS}), 0, rules)
        expected = ["missing_order_id", "invalid_time", "no_identifier", "consent_unknown"]
        assert prepared.rejections["reason_code"].to_pylist() == expected * 2
        assert len(prepared.conversions) == 0


def test_fingerprints_tell_every_change_that_is_sent(prepare_order: Any) -> None:
    """And no other: not the order id beside a conversion id, not the update, not white space."""
    full = {name: value for name, value in FULL.items() if name != "margin"}

    def fingerprint(**changed: Any) -> int:
        (found,) = prepare_order(**full | changed).conversions["fingerprint"].to_pylist()
        return int(found)

    sent = {
        "ordered_at": "2026-11-02",
        "conversion_id": "2",
        "email": "other@example.com",
        "phone": "+14155552671",
        "twclid": "other",
        "ip_address": "8.25.197.26",
        "user_agent": "other",
        "value": 20.01,
        "currency": "USD",
        "quantity": 4,
        "description": "other",
        "event_id": "ol288",
        "items": None,
    }
    fingerprints = [fingerprint(), *(fingerprint(**{name: value}) for name, value in sent.items())]
    assert len(set(fingerprints)) == len(sent) + 1
    unsent = {"order_id": "other", "updated_at": None, "description": FULL["description"] + "  ", "value": "20.000"}
    assert {fingerprint(**{name: value}) for name, value in unsent.items()} == {fingerprints[0]}


def test_what_is_sent_breaks_no_documented_rule() -> None:
    """The sandbox, which knows nothing of the transform, finds fault with one foreign event id of the sample alone."""
    rules = Rules("opurch1", "odemo1", None, None, "UTC", "suppress", True, True, datetime(2026, 11, 3, tzinfo=UTC))
    account = Account("18ce55demo0", {"odemo1": frozenset({"opurch1"})})
    events = to_events(prepare(pq.read_table(SAMPLE), 0, rules).conversions)
    errors = [
        check(json.loads(events.body(slice(start, start + 500))), account) for start in range(0, len(events), 500)
    ]
    found = {error for some in errors for error in some}
    assert {error.parameter for error in found} == {"event_id"}
    assert all("onotset" in error.message for error in found)


TEXT = st.none() | st.text(max_size=12) | st.sampled_from(["\0", "null", " ", '"', "\\", "+1", "a@b.co", "1e3", "[]"])
ORDERS = st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, TEXT)), min_size=1, max_size=12)


@given(ORDERS)
@settings(max_examples=25, deadline=None)
@example([dict.fromkeys(COLUMNS, "\ufffd")])
@example([dict.fromkeys(COLUMNS, '"\\\n\0😀' * 2_000)])
def test_whatever_the_text_every_order_is_sent_or_stopped(orders: list[dict[str, str | None]]) -> None:
    """Nothing raises, no order is lost or in both tables, and what would be sent is JSON."""
    rules = Rules("o87ne", "o8z6j", "US", "USD", "Europe/Berlin", "send", True, True, datetime(2026, 11, 3, tzinfo=UTC))
    every = [*orders, FULL | dict.fromkeys(("ordered_at", "items"), None) | {"quantity": "3", "value": "1"}]
    table = pa.table({name: pa.array([_text(order.get(name)) for order in every], pa.string()) for name in COLUMNS})
    prepared = prepare(table, 0, rules)
    stopped = prepared.rejections.filter(pc.not_equal(prepared.rejections["severity"], "degraded"))
    sent = prepared.conversions["row"].to_pylist()
    assert sorted(sent + sorted(set(stopped["row"].to_pylist()))) == list(range(len(every)))
    assert len(json.loads(to_events(prepared.conversions).body(slice(None)))["conversions"]) == len(sent)


def _text(value: Any) -> str | None:
    return value if value is None else str(value)


LOCAL = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789._+-éß", min_size=4, max_size=12)
ADDRESS = st.builds("{}@{}.example.com".format, LOCAL, st.text("abcxyz", min_size=3, max_size=8))
PHONE = st.builds("+4477009{:05d}".format, st.integers(0, 99_999))
SAID = st.sampled_from(["{}", " {} ", "for {}", "<{}>", "{}\n", "{};{}"])


PLACE = st.sampled_from([name for name in COLUMNS if name != "phone"])


@given(st.lists(st.tuples(ADDRESS, PHONE, SAID, PLACE), min_size=10, max_size=20))
@settings(max_examples=15, deadline=None)
def test_no_raw_address_or_phone_comes_out(people: list[tuple[str, str, str, str]]) -> None:
    """Wherever an e-mail address is, in whatever case and company, it is in no table and no payload."""
    rules = Rules("o87ne", "o8z6j", "US", "USD", "UTC", "send", True, True, datetime(2026, 11, 3, tzinfo=UTC))
    nothing = dict.fromkeys(COLUMNS) | {"order_id": "A-1", "ordered_at": "2026-11-02", "twclid": "x"}
    orders = [
        nothing | {"email": address, "phone": phone} | {column: said.format(address, address)}
        for address, phone, said, column in people
    ]
    table = pa.table({name: pa.array([order[name] for order in orders], pa.string()) for name in COLUMNS})
    written = everything(prepare(table, 0, rules)).lower()
    for address, phone, _, _ in people:
        assert address.lower() not in written
        assert phone[1:] not in written


def test_nor_out_of_landing_urls_and_items(prepare_order: Any) -> None:
    """Where it is percent-encoded, and deep inside."""
    url = "https://shop.example.com/?email=marie@example.com&twclid=marie%40example.com"
    items = [[{"content_id": "marie@example.com"}]]
    prepared = prepare_order(twclid=None, landing_url=url, items=pa.array(items), email="pierre@example.com")
    assert "marie" not in everything(prepared)
    assert prepared.rejections["column"].to_pylist() == ["twclid, items"]


def everything(prepared: Prepared) -> str:
    """All that the transform hands on, as text."""
    body = to_events(prepared.conversions).body(slice(None)).decode()
    return f"{prepared.conversions.to_pylist()}{prepared.rejections.to_pylist()}{body}"
