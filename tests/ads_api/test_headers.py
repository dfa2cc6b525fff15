"""Limits, waits and clocks out of headers, and nonsense out of them as nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.ads_api.headers import RateHeaders, lowered, rate_headers, retry_after, server_date

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def test_the_account_goes_before_the_user() -> None:
    """X documents two families of headers and which one counts."""
    headers = {
        "x-rate-limit-limit": "10",
        "x-rate-limit-remaining": "9",
        "x-rate-limit-reset": "1800000100",
        "x-account-rate-limit-limit": "60000",
        "x-account-rate-limit-remaining": "59500",
        "x-account-rate-limit-reset": "1800000900",
    }
    assert rate_headers(headers, NOW) == RateHeaders(59_500, 1_800_000_900.0)


def test_the_user_counts_when_the_account_says_nothing_usable() -> None:
    """A family is never mixed from two: what remains of one and the reset of the other mean nothing."""
    headers = {
        "x-account-rate-limit-remaining": "many",
        "x-rate-limit-remaining": "0",
        "x-rate-limit-reset": "1800000100",
    }
    assert rate_headers(headers, NOW) == RateHeaders(0, 1_800_000_100.0)
    assert rate_headers(headers | {"x-account-rate-limit-remaining": "5"}, NOW) == RateHeaders(remaining=5)


@pytest.mark.parametrize(
    ("text", "reset"),
    [
        ("1800000900", 1_800_000_900.0),
        ("1800000900500", 1_800_000_900.5),  # milliseconds
        ("1800007200", 1_800_007_200.0),  # two hours ahead: the caller decides how long it waits
        ("1799999999", None),  # in the past
        ("1800000000", None),
        ("1800086401", None),  # more than a day ahead
        ("900", None),
        ("-5", None),
        ("1e9", None),
        ("NaN", None),
        ("", None),
        ("9" * 400, None),
        ("١٨٠٠٠٠٠٩٠٠", None),
    ],
)
def test_a_reset_is_soon_or_unknown(text: str, reset: float | None) -> None:
    """Seconds, or milliseconds by mistake; anything else reads as absent."""
    assert rate_headers({"x-account-rate-limit-reset": text}, NOW).reset == reset


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "", "60000, 60000", "9" * 20, "٦"])
def test_a_count_is_a_number_or_unknown(text: str) -> None:
    """Nonsense in one header leaves the others of its family."""
    headers = {"x-account-rate-limit-remaining": text, "x-account-rate-limit-reset": "1800000900"}
    assert rate_headers(headers, NOW) == RateHeaders(reset=1_800_000_900.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("99999999", 86_400.0),
        ("Fri, 15 Jan 2100 08:00:00 GMT", 86_400.0),
        ("-7", None),
        ("soon", None),
        ("inf", None),
        ("", None),
        ("Fri, 15 Jan 2027 08:02:00 -0000", 120.0),
        ("Fri, 15 Jan 2027 09:02:00 +0100", 120.0),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
        ("Fri, 15 Jan 99999999999999999999 08:00:00 GMT", None),
    ],
)
def test_a_wait_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """Both forms of `retry-after`, at most a day, and nonsense as nothing."""
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_the_date_is_x_clock() -> None:
    """The `Date` header, whatever the case of its name."""
    assert server_date(lowered({"DATE": " Fri, 15 Jan 2027 08:00:00 GMT "})) == NOW
    assert server_date({}) is None
    assert server_date({"date": "yesterday"}) is None


@settings(max_examples=200)
@given(st.text(), st.text("0123456789.:,-+ GMTFriJan"))
def test_takes_any_text(one: str, other: str) -> None:
    """No header of X's can break a run."""
    for text in (one, other):
        headers = lowered(dict.fromkeys(("Date", "Retry-After", "X-Rate-Limit-Reset", "X-Rate-Limit-Limit"), text))
        server_date(headers)
        retry_after(headers, NOW)
        rate_headers(headers, NOW)
