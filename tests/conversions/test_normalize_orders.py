"""Consent, free text, ids, money and which identifier goes first: what becomes of an order's other columns."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from xcapi_dagster.contract import MAX_BODY_BYTES
from xcapi_dagster.conversions import normalize
from xcapi_dagster.conversions.normalize import Normalized, normalize_consent, normalize_text

# X's guide (business.x.com, docs.x.com): its own examples
TEST_TWITTER = "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"
TEST_EMAIL = "e586883b2b4faf78d48300a79e0e15138d664cdf796ffb86e533170a9893eda8"
X_PHONE = "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231"


def column(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def only(normalized: Normalized) -> str | None:
    """The one value, or else the reason why there is none."""
    reasons = [code for code, rows in normalized.faults.items() if rows.to_pylist() == [True]]
    (value,) = normalized.values.to_pylist()
    assert len(reasons) <= 1
    assert value is None or not reasons
    return reasons[0] if reasons else value


@pytest.mark.parametrize(
    ("raw", "suppress", "send"),
    [
        ("granted", "granted", "granted"),
        (" Granted ", "granted", "granted"),
        ("true", "granted", "granted"),
        ("1", "granted", "granted"),
        ("t", "granted", "granted"),
        ("\x01", "granted", "granted"),
        ("denied", "denied", "denied"),
        ("FALSE", "denied", "denied"),
        ("0", "denied", "denied"),
        ("f", "denied", "denied"),
        ("\x00", "denied", "denied"),
        (None, "unknown", "granted"),
        ("  ", "unknown", "granted"),
        ("withdrawn", "unknown", "unknown"),
        ("no", "unknown", "unknown"),
        ("\ufffd", "unknown", "unknown"),
    ],
)
def test_consent(raw: str | None, suppress: str, send: str) -> None:
    """Orders without a consent value follow the setting; a value that is not understood is never taken for consent."""
    assert normalize_consent(column(raw), "suppress").to_pylist() == [suppress]
    assert normalize_consent(column(raw), "send").to_pylist() == [send]


def test_free_text_is_short_and_without_addresses() -> None:
    """Otherwise it is dropped; up to the limit it stays as it is."""
    assert only(normalize_text(column(" a\tb "))) == "a\tb"
    assert only(normalize_text(column("x" * 500), 500)) == "x" * 500
    assert only(normalize_text(column("x" * 501), 500)) == "text_too_long"
    assert only(normalize_text(column("é" * 50_001))) == "text_too_long"
    assert only(normalize_text(column("for marie@example.com"))) == "text_has_identifier"
    assert only(normalize_text(column("\ufffd"))) == "text_unreadable"


def test_a_conversion_always_fits_into_a_request() -> None:
    """Even when JSON writes each byte of its conversion id, twclid and user agent in six."""
    longest = 6 * 3 * normalize._TEXT_BYTES + normalize._TEXT_BYTES + 6 * 4 * normalize._DESCRIPTION_CHARACTERS
    assert longest + 10_000 < MAX_BODY_BYTES


def sent(prepared: Any, *names: str) -> list[Any]:
    return [prepared.conversions[name].to_pylist() for name in names]


def test_conversion_ids(prepare_order: Any) -> None:
    """The column, else the order id; blank is none; one that cannot be sent must not become another id."""
    assert sent(prepare_order(conversion_id=column(None, " ", "web-1")), "conversion_id") == [["A-1", "A-1", "web-1"]]
    unusable = prepare_order(conversion_id=pa.array([b"\xff", b"marie@example.com-7"]))
    assert sent(unusable, "conversion_id") == [[]]
    assert (
        unusable.rejections.select(["reason_code", "column"]).to_pylist()
        == [{"reason_code": "invalid_conversion_id", "column": "conversion_id"}] * 2
    )


def test_conversion_ids_that_stand_for_nothing_are_no_duplicates(prepare_order: Any) -> None:
    """Different orders with the same `null` are each told to be without an id; none is sent, and none lost silently."""
    words = ("null", " NULL ", "undefined", "None", "NaN", "nil", "N/A", "na", "unknown", "-", r"\N", "<NA>")
    rows = prepare_order(conversion_id=column(*words, "nullable"), order_id=column(*(f"A-{n}" for n in range(13))))
    assert sent(rows, "order_id", "conversion_id") == [["A-12"], ["nullable"]]
    assert rows.rejections["reason_code"].to_pylist() == ["invalid_conversion_id"] * 12
    assert rows.rejections["conversion_id"].to_pylist() == [None] * 12


@pytest.mark.parametrize(
    ("columns", "value", "currency"),
    [
        ({"value": 20.0, "currency": "usd"}, "20.000000", "USD"),
        ({"value": "0", "currency": " EUR "}, "0.000000", "EUR"),
        ({"value": 1000, "currency": "JPY"}, "1000.000000", "JPY"),
        ({"currency": "USD"}, None, None),
        ({"value": "", "currency": "nonsense"}, None, None),
    ],
)
def test_value_and_currency_go_together(
    prepare_order: Any, columns: dict[str, Any], value: str | None, currency: str | None
) -> None:
    """Or not at all: a currency without a value is left out whatever it is."""
    (values,), (currencies,) = sent(prepare_order(**columns), "value", "currency")
    assert (values, currencies) == (value and Decimal(value), currency)


def test_the_default_currency(prepare_order: Any) -> None:
    """Used where the row has none."""
    columns = {"value": pa.array([1, 1, None]), "currency": None}
    assert sent(prepare_order(rules={"default_currency": "GBP"}, **columns), "currency") == [["GBP", "GBP", None]]
    assert sent(prepare_order(rules={"default_currency": "GBP"}, value=1, currency="USD"), "currency") == [["USD"]]


def test_event_ids(prepare_order: Any) -> None:
    """The row's, verbatim, else the rule's."""
    events = column(None, " ", "ol288", "tw-o8z6j-ol288")
    assert sent(prepare_order(event_id=events), "event_id") == [["o87ne", "o87ne", "ol288", "tw-o8z6j-ol288"]]


def test_raw_identifiers_go_before_hashed_ones(prepare_order: Any) -> None:
    """The raw e-mail address or phone where it can be used, else what came hashed."""
    emails = column("test@twitter.com", "broken", None)
    hashed = prepare_order(email=emails, hashed_email=TEST_EMAIL)
    assert sent(hashed, "hashed_email") == [[TEST_TWITTER, TEST_EMAIL, TEST_EMAIL]]
    phones = prepare_order(phone=column("+11234567890", "12"), hashed_phone_number=TEST_EMAIL)
    assert sent(phones, "hashed_phone_number") == [[X_PHONE, TEST_EMAIL]]


def test_whole_numbers_are_phones_too(prepare_order: Any) -> None:
    """An integer or a whole float; any other float is not."""
    for kind, numbers in ((pa.int64(), [1234567890]), (pa.float64(), [1234567890.0, 1234567890.5, 4.15e20])):
        prepared = prepare_order(phone=pa.array(numbers, kind), country="US")
        assert sent(prepared, "hashed_phone_number")[0][0] == X_PHONE
        reasons = prepared.rejections["reason_code"].to_pylist()
        assert reasons == ["phone_invalid"] * (len(numbers) - 1)


def test_local_times_are_in_the_source_time_zone(prepare_order: Any) -> None:
    """As the rules say."""
    prepared = prepare_order(rules={"source_timezone": "Europe/Berlin"}, ordered_at="2026-11-02 01:00")
    assert prepared.conversions["conversion_time"].cast(pa.string()).to_pylist() == ["2026-11-02 00:00:00.000Z"]
