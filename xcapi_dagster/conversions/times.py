"""Points in time out of timestamps, dates and ISO 8601 text."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster import iso8601
from xcapi_dagster.conversions.texts import keep_where

UTC_TIME = pa.timestamp("us", "UTC")
MILLISECONDS = pa.timestamp("ms", "UTC")

_END = pa.scalar(iso8601.LAST, UTC_TIME)
_LOCAL_TIME = pa.timestamp("us")
_FOR_EVER = r"(?i)^\s*(infinity\s*$|9999-12-31)"
_NO_CHANGES = "UTC"  # whose local times are read without the system's database of time zones, which containers may lack
_MICROSECONDS = {"s": 10**6, "ms": 10**3, "us": 1}

FromLocal = Callable[[pa.Array, str], pa.Array]  # local times and their zone


def can_hold_time(kind: pa.DataType) -> bool:
    """Whether values of this type may be points in time: timestamps, dates, texts."""
    if pa.types.is_dictionary(kind):
        return can_hold_time(kind.value_type)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(is_text or pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_null(kind))


def needs_zone(kind: pa.DataType) -> bool:
    """Whether values of this type, which can hold time, may be local times, of which only a zone says when they are."""
    return not (pa.types.is_timestamp(kind) and kind.tz is not None)


def knows_zone(zone: str) -> bool:
    """Whether local times of this zone can be read: other names than Python's may be missing on a machine.

    Python has a database of time zones of its own where the system has none, and Arrow has not.
    """
    try:
        _first_moment(pa.array([0], _LOCAL_TIME), zone)
    except pa.ArrowInvalid:
        return False
    return True


def to_utc(column: pa.Array, source_timezone: str) -> pa.Array:
    """The times in a column as UTC_TIME, rounded down; null where there is none, or none that is certain.

    Without a zone they are in ``source_timezone``; a local time that does not exist there, or exists twice, is null.
    A date is the start of its day. Times outside the years 1 to 9999 and columns of other types are null.
    """
    return _to_utc(column, source_timezone, _certain_moment)


def to_comparable(column: pa.Array, source_timezone: str) -> pa.Array:
    """The same of times that say which of two is the later: a local time that does not exist, or exists twice, too.

    They never run backwards: one that exists twice is the first of the two, one that does not the moment of the change.
    One beyond the year 9999, as `infinity` is, which tables of versions have for the one that holds, is later than all.
    """
    return pc.if_else(_is_beyond(column), _END, _to_utc(column, source_timezone, _first_moment))


def _to_utc(column: pa.Array, source_timezone: str, from_local: FromLocal) -> pa.Array:
    kind = column.type
    if column.null_count == len(column):
        return pa.nulls(len(column), UTC_TIME)
    if pa.types.is_date(kind):
        return _first_moment(_without_zone(column.cast(pa.timestamp("ms"))), source_timezone)
    if pa.types.is_timestamp(kind):
        times = _without_zone(column)
        return from_local(times, source_timezone) if kind.tz is None else times.cast(UTC_TIME)
    if pa.types.is_string(kind):
        return _from_text(column, source_timezone, from_local)
    return pa.nulls(len(column), UTC_TIME)


def _is_beyond(column: pa.Array) -> pa.Array | pa.Scalar:
    """Whether each time is later than the year 9999; of nanoseconds none is."""
    kind = column.type
    if pa.types.is_string(kind):
        return pc.match_substring_regex(column, _FOR_EVER)
    if pa.types.is_date(kind):
        return _is_beyond(column.cast(pa.timestamp("ms")))
    if pa.types.is_timestamp(kind) and kind.unit in _MICROSECONDS:
        return pc.greater(column.cast(pa.int64()), iso8601.LAST // _MICROSECONDS[kind.unit])
    return pa.scalar(False)


def to_milliseconds(times: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """UTC_TIME rounded down to milliseconds, the precision that X takes."""
    return pc.floor_temporal(times.cast(_LOCAL_TIME), unit="millisecond").cast(MILLISECONDS)


def _without_zone(column: pa.Array) -> pa.Array:
    """Timestamps as microseconds, without their zone; null outside the years 1 to 9999."""
    ticks, unit = column.cast(pa.int64()), column.type.unit
    if unit == "ns":
        whole = pc.divide(ticks, 1000)  # towards zero; the kernel floor_temporal overflows at the earliest times
        return pc.subtract(whole, pc.less(ticks, pc.multiply(whole, 1000)).cast(pa.int64())).cast(_LOCAL_TIME)
    size = _MICROSECONDS[unit]
    is_inside = pc.and_(pc.greater_equal(ticks, iso8601.FIRST // size), pc.less_equal(ticks, iso8601.LAST // size))
    return pc.multiply(keep_where(is_inside, ticks), size).cast(_LOCAL_TIME)


def _certain_moment(times: pa.Array, zone: str) -> pa.Array:
    """Local times in UTC; null where the zone's clocks skip that time or show it twice."""
    if zone == _NO_CHANGES:
        return times.cast(UTC_TIME)
    earliest = pc.assume_timezone(times, zone, ambiguous="earliest", nonexistent="earliest")
    latest = pc.assume_timezone(times, zone, ambiguous="latest", nonexistent="latest")
    return keep_where(pc.equal(earliest, latest), earliest).cast(UTC_TIME)


def _first_moment(times: pa.Array, zone: str) -> pa.Array:
    """Local times in UTC: the first of two, and where clocks skip that time, as some do midnight, when they jump."""
    if zone == _NO_CHANGES:
        return times.cast(UTC_TIME)
    return pc.assume_timezone(times, zone, ambiguous="earliest", nonexistent="latest").cast(UTC_TIME)


def _from_text(texts: pa.Array, source_timezone: str, from_local: FromLocal) -> pa.Array:
    instants, local_times, are_dates = iso8601.parse(texts)
    starts = _first_moment(local_times, source_timezone)
    return pc.coalesce(instants, pc.if_else(are_dates, starts, from_local(local_times, source_timezone)))
