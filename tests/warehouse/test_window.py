"""Which window an order belongs to, above all where clocks change."""
# ruff: noqa: DTZ001  local times are the subject
# ruff: noqa: DTZ001  local times are the subject

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.warehouse.window import time_kind, window_between

# Zone and a time (UTC, to the day) of a change: an hour at night, half an hour, at midnight, and a day left out.
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29)),
    ("Europe/Berlin", datetime(2026, 10, 25)),
    ("America/New_York", datetime(2026, 11, 1)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5)),
    ("Australia/Lord_Howe", datetime(2026, 10, 4)),
    ("America/Havana", datetime(2026, 3, 8)),
    ("America/Havana", datetime(2026, 11, 1)),
    ("Atlantic/Azores", datetime(2026, 10, 25)),
    ("Pacific/Apia", datetime(2011, 12, 30)),
    ("Asia/Kathmandu", datetime(2026, 1, 1)),
]
HOURS_AROUND = timedelta(hours=40)


def instants_shown_as(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the instants at which clocks in ``zone`` show ``local``: none, one or two."""
    candidates = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(c for c in candidates if c.astimezone(zone).replace(tzinfo=None) == local)


def change_that_skips(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the first minute at which clocks in ``zone`` show more than ``local``, which they never show."""
    minute = local.replace(second=0, microsecond=0, tzinfo=UTC) - timedelta(hours=48)
    while minute.astimezone(zone).replace(tzinfo=None) < local:
        minute += timedelta(minutes=1)
    return minute


@given(
    st.sampled_from(CHANGES),
    st.timedeltas(-HOURS_AROUND, HOURS_AROUND),
    st.timedeltas(-HOURS_AROUND, HOURS_AROUND),
    st.timedeltas(timedelta(minutes=1), timedelta(hours=31)),
)
def test_local_bounds_hold_exactly_the_local_times_of_the_window(
    change: tuple[str, datetime], to_order: timedelta, to_start: timedelta, length: timedelta
) -> None:
    """A local time is inside when its instant is: its only one, its first one, or the change that skips it."""
    zone, day = ZoneInfo(change[0]), change[1]
    local, start = day + to_order, day.replace(tzinfo=UTC) + to_start
    window = window_between(start, start + length, zone)

    instants = instants_shown_as(local, zone) or [change_that_skips(local, zone)]

    assert (window.local_start <= local < window.local_end) == (start <= instants[0] < start + length)


@given(st.sampled_from(CHANGES), st.timedeltas(-HOURS_AROUND, HOURS_AROUND))
def test_hourly_windows_leave_no_gap_and_no_overlap(change: tuple[str, datetime], to_order: timedelta) -> None:
    """Of the hours of four days, exactly one has a given local time, even one that clocks show twice or never."""
    zone, day = ZoneInfo(change[0]), change[1]
    local = day + to_order
    hours = [day.replace(tzinfo=UTC) + timedelta(hours=hour) for hour in range(-72, 72)]

    windows = [window_between(hour, hour + timedelta(hours=1), zone) for hour in hours]

    assert sum(window.local_start <= local < window.local_end for window in windows) == 1


def test_an_hour_shown_twice_belongs_to_its_first_pass() -> None:
    """Berlin, 25 October 2026: 02:30 local is counted from 00:00 to 01:00 UTC, not an hour later."""
    zone, two_thirty = ZoneInfo("Europe/Berlin"), datetime(2026, 10, 25, 2, 30)
    first = window_between(datetime(2026, 10, 25, 0, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC), zone)
    second = window_between(datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2026, 10, 25, 2, tzinfo=UTC), zone)

    assert first.local_start <= two_thirty < first.local_end
    assert second.local_start == second.local_end == datetime(2026, 10, 25, 3)


def test_a_skipped_hour_belongs_to_the_moment_of_the_change() -> None:
    """Berlin, 29 March 2026: 02:30 local never was, and is counted from 01:00 UTC on."""
    zone, two_thirty = ZoneInfo("Europe/Berlin"), datetime(2026, 3, 29, 2, 30)
    window = window_between(datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 3, 29, 2, tzinfo=UTC), zone)

    assert (window.local_start, window.local_end) == (datetime(2026, 3, 29, 2), datetime(2026, 3, 29, 4))
    assert window.local_start <= two_thirty < window.local_end


def test_bounds_in_another_zone_mean_the_same_instants() -> None:
    """A day in New York, asked for as such, is the same window as its instants in UTC."""
    new_york = ZoneInfo("America/New_York")
    day = window_between(datetime(2026, 10, 20, tzinfo=new_york), datetime(2026, 10, 21, tzinfo=new_york), new_york)

    assert (day.start, day.end) == (datetime(2026, 10, 20, 4, tzinfo=UTC), datetime(2026, 10, 21, 4, tzinfo=UTC))
    assert (day.local_start, day.local_end) == (datetime(2026, 10, 20), datetime(2026, 10, 21))


@pytest.mark.parametrize(
    "type_", [pa.int64(), pa.float64(), pa.bool_(), pa.time64("us"), pa.binary(), pa.null(), pa.list_(pa.string())]
)
def test_a_type_that_is_no_time_is_refused_with_the_cast_to_write(type_: pa.DataType) -> None:
    """The message names the setting, the column and SQL that mends it."""
    with pytest.raises(ConfigurationError, match=r"XCAPI_ORDERS.*ordered_at.*to_timestamp\(ordered_at\)"):
        time_kind(type_)
