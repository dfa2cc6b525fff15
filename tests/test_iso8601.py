"""ISO 8601 text, against the standard library's reading of it."""
# ruff: noqa: DTZ001  local times are a part of the subject

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster import iso8601
from xcapi_dagster.conversions.times import to_utc
from xcapi_dagster.warehouse.window import window_between

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
YEARS = {"min_value": datetime(2, 1, 1), "max_value": datetime(9998, 12, 31)}
ENDS = st.text(" \t\n\v\x00\x1c\x85\u00a0\u200b\u200e\u2028\ufeff", max_size=3)
TEXTS = st.tuples(  # times as databases and people write them, and what comes near
    ENDS,
    st.from_regex(r"(19[7-9]|20[0-2])[0-9]-[01][0-9]-[0-3][0-9]", fullmatch=True),  # where all know when clocks change
    st.just("") | st.from_regex(r"[Tt ][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{0,12})?)?", fullmatch=True),
    st.just("") | st.from_regex(r" ?([Zz]|[+-][0-2][0-9](:?[0-6][0-9])?)", fullmatch=True),
    ENDS,
).map("".join)


def parse_one(text: str | None) -> tuple[datetime | None, datetime | None]:
    instants, local_times, _ = iso8601.parse(pa.array([text], pa.string()))
    assert instants.type == pa.timestamp("us", "UTC")
    assert local_times.type == pa.timestamp("us")
    return instants[0].as_py(), local_times[0].as_py()


@given(st.datetimes(**YEARS, timezones=OFFSETS), st.sampled_from("T "))
def test_text_with_an_offset_is_an_instant(moment: datetime, separator: str) -> None:
    """Whatever `isoformat` writes with an offset reads as the same instant, and as no local time."""
    assert parse_one(moment.isoformat(sep=separator)) == (moment.astimezone(UTC), None)


@given(st.datetimes(**YEARS), st.sampled_from(["auto", "minutes", "seconds", "milliseconds"]))
def test_text_without_an_offset_is_local_time(moment: datetime, precision: str) -> None:
    """Whatever `isoformat` writes without an offset reads as the same local time, and as no instant."""
    text = moment.isoformat(timespec=precision)

    assert parse_one(text) == (None, datetime.fromisoformat(text))


@given(st.dates(date(2, 1, 1), date(9998, 12, 31)))
def test_a_date_is_its_midnight(day: date) -> None:
    """A date without a time is local midnight."""
    assert parse_one(day.isoformat()) == (None, datetime.combine(day, time()))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-10-20T08:15:00Z", datetime(2026, 10, 20, 8, 15, tzinfo=UTC)),
        ("2026-10-20t08:15:00z", datetime(2026, 10, 20, 8, 15, tzinfo=UTC)),
        ("2026-10-20 08:15:00+02", datetime(2026, 10, 20, 6, 15, tzinfo=UTC)),
        ("2026-10-20 08:15:00 -0330", datetime(2026, 10, 20, 11, 45, tzinfo=UTC)),
        ("2026-10-20 08:15:00 UTC", datetime(2026, 10, 20, 8, 15, tzinfo=UTC)),
        ("2026-10-20 08:15:00.5 UTC", datetime(2026, 10, 20, 8, 15, 0, 500_000, tzinfo=UTC)),
        ("\t 2026-10-20T08:15Z \r\n", datetime(2026, 10, 20, 8, 15, tzinfo=UTC)),
        ("\ufeff\u00a0\x1c2026-10-20T08:15Z\u200b\x85\v", datetime(2026, 10, 20, 8, 15, tzinfo=UTC)),
        ("2026-10-20T08:15:00.5Z", datetime(2026, 10, 20, 8, 15, 0, 500_000, tzinfo=UTC)),
        ("2026-10-20T08:15:00,25Z", datetime(2026, 10, 20, 8, 15, 0, 250_000, tzinfo=UTC)),
        ("2026-10-20T23:59:59.9999999Z", datetime(2026, 10, 20, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_spellings_that_databases_write(text: str, instant: datetime) -> None:
    """Each of these is the instant a reader of ISO 8601 expects; digits after the sixth are cut off."""
    assert parse_one(text) == (instant, None)


@pytest.mark.parametrize(
    "text",
    [None, "", " ", "yesterday", "2026-02-30", "2023-02-29T00:00:00Z", "2026-13-01", "2026-10-20T24:00:00Z",
     "2026-10-20T08:60:00Z", "2026-10-20T08:15:61Z", "2026-10-20T08:15:00+24:00", "20261020", "20.10.2026",
     "10/20/2026", "2026-10-20T", "2026-10-20Z", "2026-10-20T08:15:00 Europe/Berlin",
     "2026-10-20 08:15:00 CET", "2026-10-20 08:15:00 UTC+2", "2026-10-20 UTC", "+2026-10-20", "1792484100"],
)  # fmt: skip
def test_anything_else_is_unreadable(text: str | None) -> None:
    """Null in both arrays, never an error and never a day that does not exist."""
    assert parse_one(text) == (None, None)


@given(st.lists(st.one_of(st.none(), st.text()), max_size=20))
def test_no_text_is_an_error(texts: list[str | None]) -> None:
    """Any text at all gives two arrays as long as the texts."""
    assert [len(array) for array in iso8601.parse(pa.array(texts, pa.string()))] == [len(texts)] * 3


@given(TEXTS | st.text(), st.sampled_from([ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Africa/Cairo")]))
@settings(max_examples=500)
def test_an_order_is_of_the_partition_of_the_time_that_it_is_sent_with(text: str, zone: ZoneInfo) -> None:
    """The window from that time on holds it, and no window holds what the transform cannot read."""
    texts = pa.array([text], pa.string())
    (time,) = to_utc(texts, zone.key).to_pylist()
    if time is not None:
        assert window_between(time, time + timedelta.resolution, zone).holds(texts).to_pylist() == [True]
    elif zone.key == "UTC":  # elsewhere there are times that clocks show never, or twice
        years = window_between(datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC), zone)
        assert years.holds(texts).to_pylist() == [False]


@pytest.mark.parametrize(
    "text", ["\ufeff2026-10-20T08:15Z", "2026-10-20T08:15Z\u200b", "2026-10-20T08:15:00.0123456789Z"]
)
def test_what_a_window_holds_is_read(text: str) -> None:
    """A byte order mark, a zero-width space and more digits than nanoseconds have are no reason to lose an order."""
    texts = pa.array([text, None], pa.string())
    day = window_between(datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 10, 21, tzinfo=UTC), ZoneInfo("UTC"))

    assert day.holds(texts).to_pylist() == [True, False]
    assert [each and each.replace(microsecond=0) for each in to_utc(texts, "UTC").to_pylist()] == [
        datetime(2026, 10, 20, 8, 15, tzinfo=UTC), None
    ]  # fmt: skip
