"""Points in time out of timestamps, dates and ISO 8601 text, and none where it would be a guess."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.times import can_hold_time, to_comparable, to_milliseconds, to_utc

BERLIN = ZoneInfo("Europe/Berlin")


def local_times(first_year: int, last_year: int) -> st.SearchStrategy[datetime]:
    """What clocks may show, without a zone."""
    return st.datetimes(*(datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (first_year, last_year)))


def times(column: pa.Array, zone: str = "UTC") -> list[datetime | None]:
    values: list[datetime | None] = to_utc(column, zone).to_pylist()
    return values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-11T10:20:30.123Z", datetime(2026, 2, 11, 10, 20, 30, 123000, UTC)),
        ("2026-02-11T10:20:30.123456789Z", datetime(2026, 2, 11, 10, 20, 30, 123456, UTC)),
        ("2026-02-11t10:20:30,5z", datetime(2026, 2, 11, 10, 20, 30, 500000, UTC)),
        ("2026-02-11 10:20:30+00", datetime(2026, 2, 11, 10, 20, 30, 0, UTC)),
        ("2026-02-11 10:20:30 +05:30", datetime(2026, 2, 11, 4, 50, 30, 0, UTC)),
        ("2026-02-11 10:20:30-0130", datetime(2026, 2, 11, 11, 50, 30, 0, UTC)),
        (" 2026-02-11T10:20:30\n", datetime(2026, 2, 11, 9, 20, 30, 0, UTC)),
        ("2026-07-11 10:20", datetime(2026, 7, 11, 8, 20, 0, 0, UTC)),
        ("2026-02-11", datetime(2026, 2, 10, 23, 0, 0, 0, UTC)),
        ("2024-02-29", datetime(2024, 2, 28, 23, 0, 0, 0, UTC)),
        ("2026-10-25 02:30:00+02:00", datetime(2026, 10, 25, 0, 30, 0, 0, UTC)),
        ("2026-03-29 02:30", None),  # the clocks skip it
        ("2026-10-25 02:30", None),  # the clocks show it twice
        ("2026-02-30", None),
        ("2026-02-28 24:00:00", None),
        ("2026-02-28 23:59:60", None),
        ("2026-13-01", None),
        ("0000-01-01", None),
        ("2026-02-11Z", None),
        ("2026-02-11T10:20:30+25:00", None),
        ("11.02.2026", None),
        ("02/11/2026 10:20", None),
        ("1770805230", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_iso_8601_in_berlin(text: str | None, expected: datetime | None) -> None:
    """Text with a zone is what it says, text without is Berlin's time, and what is neither or uncertain is none."""
    assert times(pa.array([text], pa.string()), "Europe/Berlin") == [expected]


@given(st.lists(local_times(1900, 2100), max_size=10), st.integers(-14 * 60, 14 * 60))
@settings(max_examples=50)
def test_what_python_writes_is_read(moments: list[datetime], minutes: int) -> None:
    """`datetime.isoformat` with any offset comes back as the same moment."""
    zoned = [moment.replace(tzinfo=timezone(timedelta(minutes=minutes))) for moment in moments]
    assert times(pa.array([moment.isoformat() for moment in zoned], pa.string())) == zoned


@given(st.lists(local_times(2020, 2037), max_size=20))
@settings(max_examples=50)
def test_local_times_are_what_zoneinfo_says(moments: list[datetime]) -> None:
    """A time that both of Python's folds read alike, and that exists, is that moment; any other is none."""
    expected = []
    for moment in moments:
        first, second = (moment.replace(tzinfo=BERLIN, fold=fold) for fold in (0, 1))
        is_certain = first.utcoffset() == second.utcoffset()
        expected.append(first.astimezone(UTC) if is_certain else None)
    assert times(pa.array(moments, pa.timestamp("us")), "Europe/Berlin") == expected


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)], ids=str)
def test_times_that_are_compared_never_run_backwards(day: date) -> None:
    """None is missing where clocks change, as text or not; those that are certain are what they always are."""
    minutes = [datetime.combine(day, time()) + timedelta(minutes=minute) for minute in range(360)]
    for column in (pa.array(minutes, pa.timestamp("us")), pa.array(map(str, minutes))):
        found = to_comparable(column, "Europe/Berlin").to_pylist()
        assert found == sorted(found)
        assert all(each in (None, other) for each, other in zip(times(column, "Europe/Berlin"), found, strict=True))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_every_unit(unit: str) -> None:
    """With a zone the moment, without one the local time; sentinels beyond the year 9999 are none."""
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert times(pa.array([moment], pa.timestamp(unit, "America/New_York")), "Europe/Berlin") == [moment]
    local = pa.array(["2026-07-01 14:00:00", "2026-03-29 02:30:00"]).cast(pa.timestamp(unit))
    assert times(local, "Europe/Berlin") == [moment, None]
    if unit != "ns":
        assert times(pa.array([2**62, -(2**62), None], pa.int64()).cast(pa.timestamp(unit, "UTC"))) == [None] * 3


@given(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 1 - 2**63, 2**63 - 1])),
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from([None, "UTC", "America/New_York"]),
    st.sampled_from(["UTC", "Pacific/Kiritimati"]),
)
@settings(max_examples=200)
def test_no_timestamp_raises(ticks: list[int | None], unit: str, zone: str | None, source: str) -> None:
    """Whatever 64 bits hold. Where it needs no zone, the moment in whole microseconds, if it is in years that count."""
    column = pa.array(ticks, pa.int64()).cast(pa.timestamp(unit, zone))
    found = to_utc(column, source)
    assert len(to_milliseconds(found)) == len(ticks)
    if zone or source == "UTC":
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        moments = [None if each is None else each * 10**6 // per_second for each in ticks]
        first, last = (int(datetime(*day, tzinfo=UTC).timestamp()) * 10**6 for day in ((1, 1, 2), (9999, 12, 31)))
        expected = [each if each is not None and first <= each <= last else None for each in moments]
        assert found.cast(pa.int64()).to_pylist() == expected


def test_a_date_is_the_start_of_its_day() -> None:
    """Also where the clocks skip midnight: Cairo's 24 April 2026 begins at one."""
    for kind in (pa.date32(), pa.date64()):
        column = pa.array([date(2026, 4, 24), date(2026, 4, 25), None], kind)
        assert times(column, "Africa/Cairo") == [
            datetime(2026, 4, 23, 22, tzinfo=UTC),
            datetime(2026, 4, 24, 21, tzinfo=UTC),
            None,
        ]
        assert times(pa.array([2**31 - 1, 0], pa.int32()).cast(pa.date32()))[0] is None


def test_rounding_is_downwards() -> None:
    """Nanoseconds to microseconds, microseconds to milliseconds, also before 1970."""
    assert to_utc(pa.array([1999, -1], pa.timestamp("ns")), "UTC").cast(pa.int64()).to_pylist() == [1, -1]
    microseconds = pa.array([1_999, -1], pa.timestamp("us", "UTC"))
    assert to_milliseconds(microseconds).cast(pa.int64()).to_pylist() == [1, -1]


def test_other_types_hold_no_time() -> None:
    """A number or a time of day is no point in time, neither to the check of columns nor in the rows."""
    for kind in (pa.int64(), pa.float64(), pa.time64("us"), pa.duration("s"), pa.bool_()):
        assert not can_hold_time(kind)
        assert times(pa.array([1], pa.int64()).cast(kind) if kind != pa.bool_() else pa.array([True])) == [None]
    text_types = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
    for kind in [*text_types, pa.timestamp("ns"), pa.timestamp("s", "UTC"), pa.date32(), pa.date64(), pa.null()]:
        assert can_hold_time(kind)
