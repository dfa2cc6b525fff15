"""ISO 8601 text as time, column-wise: `2026-10-20`, `2026-10-20T08:15`, `2026-10-20 08:15:00.25+02:00`, `…Z`.

Only the extended calendar format is read, as databases print it: date, then optionally a time with or without seconds
and fraction, then optionally Z, an offset or UTC, as BigQuery exports it, before which a space may stand; white space
and invisible characters at both ends are ignored. Everything else is unreadable. The warehouse's windows and the
transform both read times here, so that no order is of a partition and then has no time.
"""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

# In microseconds since 1970, with a day to spare at both ends: no zone moves a time into a year without four digits.
FIRST, LAST = -62_135_510_400_000_000, 253_402_214_400_000_000  # 0001-01-02, 9999-12-31

_LOCAL_TIME = pa.timestamp("us")
# what str.isspace() finds, and format characters: zero-width spaces, byte order marks, marks of direction
_INVISIBLE = r"[\p{Z}\p{Cf}\t-\r\x1c-\x1f\x{85}]+"
_PATTERN = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>[0-9]{2}:[0-9]{2})(?P<seconds>:[0-9]{2}(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?: ?(?P<zone>[Zz]|UTC|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?))?)?$"
)


class Times(NamedTuple):
    """Arrays as long as the texts; at each place at most one of the first two is not null."""

    instants: pa.Array  # timestamp[us, UTC], of texts with a zone
    local_times: pa.Array  # timestamp[us], of texts without
    are_dates: pa.Array  # whether a text has no time of day, so that its local time is midnight; null where unreadable


def parse(texts: pa.Array) -> Times:
    """What ``texts`` say, cut to whole microseconds; null in both arrays of times where one is unreadable or null."""
    parts = pc.extract_regex(_bare(texts), _PATTERN)
    day, time, zone = (pc.struct_field(parts, name) for name in ("date", "time", "zone"))
    local = _clock_time(day, time, pc.struct_field(parts, "seconds"), pc.struct_field(parts, "fraction"))
    has_zone = pc.not_equal(zone, "")
    instants = pc.subtract(local, _offset(zone)).cast(pa.timestamp("us", "UTC"))
    return Times(pc.if_else(has_zone, instants, None), pc.if_else(has_zone, None, local), pc.equal(time, ""))


def _bare(texts: pa.Array) -> pa.Array:
    """The texts without white space and invisible characters at their ends; ASCII has only white space of both."""
    texts = pc.utf8_trim_whitespace(texts)
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:  # None where there is no text
        return texts
    return pc.replace_substring_regex(texts, f"^{_INVISIBLE}|{_INVISIBLE}$", "")


def _clock_time(day: pa.Array, time: pa.Array, seconds: pa.Array, fraction: pa.Array) -> pa.Array:
    """What a clock and a calendar on the wall show; null for days and times that there are not, as February 30."""
    to_the_second = pc.utf8_slice_codeunits(_or(":00", seconds), 0, 3)
    texts = pc.binary_join_element_wise(day, " ", _or("00:00", time), to_the_second, "")
    times = pc.strptime(texts, format="%Y-%m-%d %H:%M:%S", unit="us", error_is_null=True)
    # strptime makes March 2 of February 30
    does_exist = pc.equal(times.cast(pa.timestamp("s")).cast(pa.string()), texts)
    ticks = times.cast(pa.int64())
    does_fit = pc.and_(pc.greater_equal(ticks, FIRST), pc.less_equal(ticks, LAST))
    microseconds = pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, 6, "0"), 0, 6).cast(pa.int64())
    kept = pc.if_else(pc.and_(does_exist, does_fit), times, None)
    return pc.add(kept, microseconds.cast(pa.duration("us")))


def _offset(zones: pa.Array) -> pa.Array:
    """Offsets from UTC as durations; none is zero."""
    digits = pc.utf8_rpad(pc.replace_substring_regex(zones, "[^0-9]", ""), 4, "0")
    hours, minutes = pc.utf8_slice_codeunits(digits, 0, 2), pc.utf8_slice_codeunits(digits, 2, 4)
    seconds = pc.add(pc.multiply(hours.cast(pa.int64()), 3600), pc.multiply(minutes.cast(pa.int64()), 60))
    signed = pc.if_else(pc.starts_with(zones, "-"), pc.negate(seconds), seconds)
    return signed.cast(pa.duration("s")).cast(pa.duration("us"))


def _or(default: str, texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), default, texts)
