"""Points in time out of timestamps, dates and ISO 8601 text."""

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.texts import keep_where, strip

UTC_TIME = pa.timestamp("us", "UTC")
MILLISECONDS = pa.timestamp("ms", "UTC")

_LOCAL_TIME = pa.timestamp("us")
_MICROSECONDS = {"s": 10**6, "ms": 10**3, "us": 1}
# In microseconds since 1970, with a day to spare at both ends: no zone moves a time into a year without four digits.
_FIRST, _LAST = -62_135_510_400_000_000, 253_402_214_400_000_000  # 0001-01-02, 9999-12-31

# ISO 8601, extended format, as databases print it: a space may stand for the T, and before the zone.
_ISO_8601 = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>[0-9]{2}:[0-9]{2})(?P<seconds>:[0-9]{2}(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"(?: ?(?P<zone>[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?))?)?$"
)


def can_hold_time(kind: pa.DataType) -> bool:
    """Whether values of this type may be points in time: timestamps, dates, texts."""
    if pa.types.is_dictionary(kind):
        return can_hold_time(kind.value_type)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(is_text or pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_null(kind))


def to_utc(column: pa.Array, source_timezone: str) -> pa.Array:
    """The times in a column as UTC_TIME, rounded down; null where there is none, or none that is certain.

    Without a zone they are in ``source_timezone``; a local time that does not exist there, or exists twice, is null.
    A date is the start of its day. Times outside the years 1 to 9999 and columns of other types are null.
    """
    kind = column.type
    if column.null_count == len(column):
        return pa.nulls(len(column), UTC_TIME)
    if pa.types.is_date(kind):
        return _start_of_day(_without_zone(column.cast(pa.timestamp("ms"))), source_timezone)
    if pa.types.is_timestamp(kind):
        times = _without_zone(column)
        return _from_local(times, source_timezone) if kind.tz is None else times.cast(UTC_TIME)
    if pa.types.is_string(kind):
        return _from_text(strip(column), source_timezone)
    return pa.nulls(len(column), UTC_TIME)


def to_milliseconds(times: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """UTC_TIME rounded down to milliseconds, the precision that X takes."""
    return pc.floor_temporal(times.cast(_LOCAL_TIME), unit="millisecond").cast(MILLISECONDS)


def _without_zone(column: pa.Array) -> pa.Array:
    """Timestamps as microseconds, without their zone; null outside the years 1 to 9999."""
    ticks, unit = column.cast(pa.int64()), column.type.unit
    if unit == "ns":
        return pc.floor_temporal(ticks.cast(pa.timestamp("ns")), unit="microsecond").cast(_LOCAL_TIME)
    size = _MICROSECONDS[unit]
    is_inside = pc.and_(pc.greater_equal(ticks, _FIRST // size), pc.less_equal(ticks, _LAST // size))
    return pc.multiply(keep_where(is_inside, ticks), size).cast(_LOCAL_TIME)


def _from_local(times: pa.Array, zone: str) -> pa.Array:
    """Local times in UTC; null where the zone's clocks skip that time or show it twice."""
    if zone == "UTC":
        return times.cast(UTC_TIME)
    earliest = pc.assume_timezone(times, zone, ambiguous="earliest", nonexistent="earliest")
    latest = pc.assume_timezone(times, zone, ambiguous="latest", nonexistent="latest")
    return keep_where(pc.equal(earliest, latest), earliest).cast(UTC_TIME)


def _start_of_day(midnights: pa.Array, zone: str) -> pa.Array:
    """The first moment of local days in UTC: where clocks skip midnight, the one that they jump to."""
    return pc.assume_timezone(midnights, zone, ambiguous="earliest", nonexistent="latest").cast(UTC_TIME)


def _from_text(texts: pa.Array, source_timezone: str) -> pa.Array:
    parts = pc.extract_regex(texts, _ISO_8601)
    day, time, zone = (pc.struct_field(parts, name) for name in ("date", "time", "zone"))
    local = _clock_time(day, time, pc.struct_field(parts, "seconds"), pc.struct_field(parts, "fraction"))
    without_zone = _from_local(local, source_timezone)
    without_time = _start_of_day(local, source_timezone)
    with_zone = pc.subtract(local, _offset(zone)).cast(UTC_TIME)
    return pc.case_when(
        pc.make_struct(pc.equal(time, ""), pc.equal(zone, "")), without_time, without_zone, with_zone
    )  # fmt: skip


def _clock_time(day: pa.Array, time: pa.Array, seconds: pa.Array, fraction: pa.Array) -> pa.Array:
    """What a clock and a calendar on the wall show; null for days and times that there are not, as February 30."""
    to_the_second = pc.utf8_slice_codeunits(_or(":00", seconds), 0, 3)
    texts = pc.binary_join_element_wise(day, " ", _or("00:00", time), to_the_second, "")
    times = pc.strptime(texts, format="%Y-%m-%d %H:%M:%S", unit="s", error_is_null=True)
    does_exist = pc.equal(times.cast(pa.string()), texts)  # strptime makes March 2 of February 30
    microseconds = pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, 6, "0"), 0, 6).cast(pa.int64())
    return pc.add(_without_zone(keep_where(does_exist, times)), microseconds.cast(pa.duration("us")))


def _offset(zones: pa.Array) -> pa.Array:
    """Offsets from UTC as durations; none is zero."""
    digits = pc.utf8_rpad(pc.replace_substring_regex(zones, "[^0-9]", ""), 4, "0")
    hours, minutes = pc.utf8_slice_codeunits(digits, 0, 2), pc.utf8_slice_codeunits(digits, 2, 4)
    seconds = pc.add(pc.multiply(hours.cast(pa.int64()), 3600), pc.multiply(minutes.cast(pa.int64()), 60))
    signed = pc.if_else(pc.starts_with(zones, "-"), pc.negate(seconds), seconds)
    return signed.cast(pa.duration("s")).cast(pa.duration("us"))


def _or(default: str, texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), default, texts)
