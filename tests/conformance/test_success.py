"""Cases 16 to 31: what X takes, asked of the sandbox."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.contract import CONVERSION_TIME
from xcapi_dagster.conversions.payload import to_events
from xcapi_dagster.conversions.schema import CONVERSIONS
from xcapi_dagster.sandbox import Rules

EMAIL = {"hashed_email": "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"}
PHONE = {"hashed_phone_number": "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231"}
TWCLID = {"twclid": "23opevjt88psuo13lu8d020qkn"}
ADDRESS, AGENT = {"ip_address": "8.25.197.25"}, {"user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"}

# X's reference, "Example Request"
EXAMPLE = {
    "conversion_time": "2022-02-18T01:14:00.603Z",
    "event_id": "ol288",
    "identifiers": [TWCLID, EMAIL, PHONE, {"ip_address": "1.0.0.0", **AGENT}],
    "value": "20.00",
    "number_items": 3,
    "conversion_id": "23294827",
    "description": "Pet supply purchases",
    "contents": [
        {
            "content_id": "1",
            "content_name": "Blankets",
            "content_type": "Pet supplies",
            "content_price": 100.99,
            "num_items": 1,
            "content_group_id": "123",
        }
    ],
}

Row = Callable[..., dict[str, Any]]


@pytest.mark.cases((16, "documented"))
def test_x_s_own_example(x: Any) -> None:
    """One processed, a debug id that is a UUID, and the account that owns the pixel."""
    answer = x.send(EXAMPLE)
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"request", "data"}
    assert body["request"] == {"params": {"account_id": "18ce552mlaq"}}
    assert body["data"]["conversions_processed"] == 1
    assert str(uuid.UUID(body["data"]["debug_id"])) == body["data"]["debug_id"]


@pytest.mark.cases(
    (17, "documented", {}),
    (18, "documented", {"identifiers": [EMAIL]}),
    (19, "documented", {"identifiers": [PHONE]}),
    (20, "observed", {"identifiers": [{**ADDRESS, **AGENT}]}),
    (21, "observed", {"identifiers": [{**EMAIL, **ADDRESS, **AGENT}]}),
    (22, "documented", {"identifiers": [TWCLID, EMAIL, PHONE, {**ADDRESS, **AGENT}]}),
    (23, "documented", {"event_id": "tw-oka17-ol288"}),
    (26, "documented", {"value": "20.00"}),
    (26, "observed", {"value": 20.5}),
    (26, "observed", {"value": 20.0}),
    (27, "documented", {"value": "20.00", "price_currency": None}),
    (28, "documented", {"contents": [{"content_id": "2"}]}),
    (29, "observed", {"event_source_url": "https%3A%2F%2Fexample.com"}),
)
def test_x_takes_it(case: dict[str, Any], x: Any, row: Row) -> None:
    """One conversion, processed and stored as it was sent."""
    conversion = row(**case)
    answer = x.send(conversion)
    assert (answer.status_code, answer.json()["data"]["conversions_processed"]) == (200, 1)
    assert [received.conversion for received in x.sandbox.received] == [conversion]


@pytest.mark.cases((24, "guess"))
def test_one_request_may_have_several_events_of_a_pixel(x: Any, row: Row) -> None:
    """A guess: X's reference says once "a single Event Tag ID"."""
    answer = x.send(row(), row(event_id="ol289"))
    assert (answer.status_code, answer.json()["data"]["conversions_processed"]) == (200, 2)


@pytest.mark.cases((25, "documented"))
def test_five_hundred_is_the_most(x: Any, rows: Any) -> None:
    """All of them are processed."""
    answer = x.send(*rows(500))
    assert (answer.status_code, answer.json()["data"]["conversions_processed"]) == (200, 500)


@pytest.mark.cases((30, "guess", "ol288", 1), (30, "guess", "ol289", 2))
def test_the_same_conversion_again(case: tuple[str, int], x: Any, clock: Any, row: Row) -> None:
    """A guess, for X promises deduplication only between pixel and API: X takes both and counts one of an event."""
    event, counted = case
    first = x.send(row(conversion_id="23294827"))
    clock.now += 47 * 3600
    second = x.send(row(conversion_id="23294827", event_id=event))
    assert [answer.status_code for answer in (first, second)] == [200, 200]
    assert len(x.sandbox.received) == 2
    assert x.sandbox.deduplicated == counted


@pytest.mark.cases((31, "documented", Rules(accept_whole_seconds=True), 200), (31, "documented", Rules(), 400))
def test_whole_seconds(case: tuple[Rules, int], start: Any, row: Row) -> None:
    """X's parameter table shows such a time, and X's error message refuses it: both can be had."""
    rules, status = case
    assert start(rules=rules).send(row(conversion_time="2017-10-05T00:00:00Z")).status_code == status


@pytest.mark.cases((31, "required"))
@settings(deadline=None)
@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.booleans())  # noqa: DTZ001 - UTC is added below
def test_we_never_send_whole_seconds(time: datetime, is_whole: bool) -> None:  # noqa: FBT001
    """Whatever the time, it goes out with milliseconds and a Z."""
    time = time.replace(tzinfo=UTC, microsecond=0 if is_whole else time.microsecond // 1000 * 1000)
    known = {"row": 0, "event_id": "ol288", "conversion_time": time, "twclid": "a", "fingerprint": 0}
    table = pa.Table.from_pylist([dict.fromkeys(CONVERSIONS.names) | known], schema=CONVERSIONS)
    text = json.loads(to_events(table).body(slice(None)))["conversions"][0]["conversion_time"]
    assert CONVERSION_TIME.fullmatch(text)
    assert abs(datetime.fromisoformat(text) - time) < timedelta(milliseconds=1)
