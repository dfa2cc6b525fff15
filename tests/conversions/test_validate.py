"""Every broken rule of every order, as the reason codes say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from xcapi_dagster.conversions.prepare import Prepared
from xcapi_dagster.conversions.reasons import REASONS

NOBODY: dict[str, Any] = {"twclid": None}
MD5 = "d41d8cd98f00b204e9800998ecf8427e"
EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

BROKEN: list[tuple[dict[str, Any], list[str]]] = [
    ({"order_id": None}, ["missing_order_id"]),
    ({"order_id": " ", "conversion_id": "web-1"}, ["missing_order_id"]),
    ({"order_id": float("nan")}, ["missing_order_id"]),
    ({"order_id": " Null "}, ["missing_order_id"]),
    ({"order_id": "undefined", "conversion_id": "web-1"}, ["missing_order_id"]),
    ({"order_id": 1.5}, ["missing_order_id"]),
    ({"ordered_at": None}, ["invalid_time"]),
    ({"ordered_at": "soon"}, ["invalid_time"]),
    ({"ordered_at": 1_700_000_000}, ["invalid_time"]),
    ({"ordered_at": datetime(2026, 11, 3, 12, 10, 0, 1, UTC)}, ["future_time"]),
    ({"value": "12,50", "currency": "EUR"}, ["invalid_value"]),
    ({"value": float("nan"), "currency": "EUR"}, ["invalid_value"]),
    ({"value": True, "currency": "EUR"}, ["invalid_value"]),
    ({"value": -0.01, "currency": "EUR"}, ["negative_value"]),
    ({"value": 5}, ["missing_currency"]),
    ({"value": 0, "currency": " "}, ["missing_currency"]),
    ({"value": 5, "currency": "EURO"}, ["invalid_currency"]),
    ({"value": 5, "currency": "$"}, ["invalid_currency"]),
    ({"value": 5, "currency": True}, ["invalid_currency"]),
    ({"value": "?", "currency": None}, ["invalid_value", "missing_currency"]),
    ({"value": -5, "currency": "EURO"}, ["negative_value", "invalid_currency"]),
    ({"event_id": "Purchase"}, ["invalid_event_id"]),
    ({"event_id": "tw-o8z6j-"}, ["invalid_event_id"]),
    ({"event_id": "tw-other-o87ne"}, ["invalid_event_id"]),
    ({"event_id": "o87ne\nx"}, ["invalid_event_id"]),
    ({"event_id": {"a": 1}}, ["invalid_event_id"]),
    (NOBODY, ["no_identifier"]),
    (NOBODY | {"email": "broken"}, ["no_identifier", "email_invalid"]),
    (NOBODY | {"phone": "07700 900123"}, ["no_identifier", "phone_no_country"]),
    (NOBODY | {"twclid": b"\xff"}, ["no_identifier", "text_unreadable"]),
    (NOBODY | {"landing_url": b"https://shop.example/caf\xe9?twclid=a"}, ["no_identifier", "text_unreadable"]),
    (NOBODY | {"ip_address": "8.25.197.25"}, ["needs_second_identifier"]),
    (NOBODY | {"user_agent": "Mozilla"}, ["needs_second_identifier"]),
    (NOBODY | {"ip_address": "10.0.0.1", "user_agent": "Mozilla"}, ["needs_second_identifier", "ip_not_public"]),
    (NOBODY | {"ip_address": "10.0.0.1"}, ["no_identifier", "ip_not_public"]),
    ({"consent": "denied"}, ["consent_denied"]),
    ({"consent": False}, ["consent_denied"]),
    ({"consent": None}, ["consent_unknown"]),
    ({"consent": "maybe"}, ["consent_unknown"]),
    ({"consent": "denied", "order_id": None}, ["missing_order_id", "consent_denied"]),
    ({"conversion_id": b"\xff"}, ["invalid_conversion_id"]),
    ({"conversion_id": "marie@example.com-7"}, ["invalid_conversion_id"]),
    ({"conversion_id": "x" * 100_001}, ["invalid_conversion_id"]),
    ({"order_id": "for marie@example.com"}, ["missing_order_id", "text_has_identifier"]),
]
DEGRADED: list[tuple[dict[str, Any], list[str]]] = [
    ({"quantity": 0}, ["invalid_quantity"]),
    ({"quantity": "1.5"}, ["invalid_quantity"]),
    ({"items": "{}"}, ["invalid_items"]),
    ({"items": [{"content_price": -1.0}]}, ["invalid_items"]),
    ({"items": [{"content_name": "for marie@example.com"}]}, ["text_has_identifier"]),
    ({"items": [{"content_name": "x" * 100_000}]}, ["text_too_long"]),
    ({"event_source_url": "shop.example/thanks"}, ["invalid_url"]),
    ({"event_source_url": "https://shop.example/of/marie@example.com"}, ["text_has_identifier"]),
    ({"event_source_url": b"https://shop.example/caf\xe9"}, ["invalid_url"]),
    ({"description": b"caf\xe9"}, ["text_unreadable"]),
    ({"user_agent": b"\xff"}, ["text_unreadable"]),
    ({"description": "x" * 501}, ["text_too_long"]),
    ({"description": "for marie@example.com"}, ["text_has_identifier"]),
    ({"description": "x" * 501 + "for marie@example.com"}, ["text_too_long", "text_has_identifier"]),
    ({"user_agent": "Bot (bot@example.com)"}, ["text_has_identifier"]),
    ({"email": "broken"}, ["email_invalid"]),
    ({"email": EMPTY_HASH}, ["email_invalid"]),
    ({"email": 5}, ["email_invalid"]),
    ({"email": "null"}, ["email_placeholder"]),
    ({"phone": "call me"}, ["phone_invalid"]),
    ({"phone": 0.5}, ["phone_invalid"]),
    ({"phone": "07700 900123"}, ["phone_no_country"]),
    ({"hashed_email": MD5}, ["hash_invalid"]),
    ({"hashed_phone_number": "marie@example.com"}, ["hash_invalid"]),
    ({"hashed_email": MD5, "hashed_phone_number": MD5}, ["hash_invalid"]),
    ({"hashed_email": EMPTY_HASH}, ["hash_placeholder"]),
    ({"hashed_email": EMPTY_HASH, "hashed_phone_number": MD5}, ["hash_invalid", "hash_placeholder"]),
    ({"ip_address": "2600:1700::5:8"}, ["ip_not_ipv4"]),
    ({"ip_address": "192.168.1.20"}, ["ip_not_public"]),
]


def codes(prepared: Prepared) -> list[str]:
    found: list[str] = prepared.rejections["reason_code"].to_pylist()
    return found


@pytest.mark.parametrize(("columns", "expected"), BROKEN, ids=str)
def test_orders_that_are_not_sent(prepare_order: Any, columns: dict[str, Any], expected: list[str]) -> None:
    """Each broken rule is reported, and the order is not sent."""
    prepared = prepare_order(**columns)
    assert codes(prepared) == expected
    assert len(prepared.conversions) == 0


@pytest.mark.parametrize(("columns", "expected"), DEGRADED, ids=str)
def test_orders_that_are_sent_without_a_field(prepare_order: Any, columns: dict[str, Any], expected: list[str]) -> None:
    """What is wrong is reported, and what was sent has nothing of it."""
    rules = {"send_event_source_url": True}
    prepared = prepare_order(rules=rules, **columns)
    assert codes(prepared) == expected
    without = prepare_order(rules=rules, **dict.fromkeys(columns))
    assert prepared.conversions.equals(without.conversions)
    assert len(prepared.conversions) == 1


def test_every_reason_of_the_transform_is_covered() -> None:
    """But those of duplicates, found over a whole partition, and of forgotten orders, which the ledger knows."""
    found = {code for _, expected in BROKEN + DEGRADED for code in expected}
    ours = {code for code, reason in REASONS.items() if reason.stage in ("validate", "consent")}
    assert ours - found == {"duplicate_order", "forgotten"}
    assert {code for _, expected in DEGRADED for code in expected} == {
        code for code, reason in REASONS.items() if reason.severity == "degraded" and reason.stage == "validate"
    }


@pytest.mark.parametrize(
    "columns",
    [
        {"order_id": 1001},
        {"order_id": 1001.0},
        {"ordered_at": datetime(2026, 11, 3, 12, 10, tzinfo=UTC)},  # ten minutes ahead, to the microsecond
        {"ordered_at": datetime(1990, 1, 1, tzinfo=UTC)},
        {"value": 0, "currency": "USD"},
        {"currency": "nonsense"},
        {"event_id": "tw-o8z6j-o87ne"},
        {"quantity": 3.0},
        {"description": "x" * 500},
        {"items": "[]"},
        {"email": "test@twitter.com"},
        {"ip_address": "1.0.0.0"},
        {"user_agent": "Mozilla"},
        NOBODY | {"ip_address": "8.25.197.25", "user_agent": "Mozilla"},
        NOBODY | {"landing_url": "https://shop.example.com/?twclid=x"},
    ],
    ids=str,
)
def test_orders_without_fault(prepare_order: Any, columns: dict[str, Any]) -> None:
    """Nothing is reported, and they are sent."""
    prepared = prepare_order(**columns)
    assert codes(prepared) == []
    assert len(prepared.conversions) == 1


def test_the_pair_may_be_refused(prepare_order: Any) -> None:
    """IP address with user agent is enough unless the rules say otherwise; with another identifier it always is."""
    rules = {"allow_ip_user_agent_only": False}
    pair = {"ip_address": "8.25.197.25", "user_agent": "Mozilla"}
    assert codes(prepare_order(rules=rules, **NOBODY, **pair)) == ["needs_second_identifier"]
    assert codes(prepare_order(rules=rules, **pair)) == []


def test_unknown_consent_may_be_sent(prepare_order: Any) -> None:
    """Where the setting says so, and only where no value is given."""
    prepared = prepare_order(rules={"unknown_consent": "send"}, consent=pa.array([None, "", "granted", "denied", "no"]))
    assert prepared.conversions["row"].to_pylist() == [0, 1, 2]
    assert codes(prepared) == ["consent_denied", "consent_unknown"]


def test_the_clock_is_the_rules(prepare_order: Any, rules: Any, order: dict[str, Any]) -> None:
    """Nothing here looks at a clock of its own."""
    now = order["ordered_at"] - timedelta(minutes=11)
    assert codes(prepare_order(rules={"now": now})) == ["future_time"]
    assert replace(rules, now=now) != rules


def test_each_row_has_its_own_reasons(prepare_order: Any) -> None:
    """The reasons of many rows are in the rows' order, and those of one in the catalogue's."""
    emails = pa.array(["a@example.com", "broken", None, "null", "b@example.com"])
    prepared = prepare_order(email=emails, value=-1, currency=pa.array(["USD", "EURO", "USD", "USD", "EURO"]))
    rows = prepared.rejections.select(["row", "reason_code"]).to_pylist()
    assert [(each["row"], each["reason_code"]) for each in rows] == [
        (0, "negative_value"),
        (1, "negative_value"),
        (1, "invalid_currency"),
        (1, "email_invalid"),
        (2, "negative_value"),
        (3, "negative_value"),
        (3, "email_placeholder"),
        (4, "negative_value"),
        (4, "invalid_currency"),
    ]
