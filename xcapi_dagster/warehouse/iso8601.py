"""ISO 8601 text as time, column-wise: `2026-10-20`, `2026-10-20T08:15`, `2026-10-20 08:15:00.25+02:00`, `…Z`.

Only the extended calendar format is read: date, then optionally a time with or without seconds and fraction, then
optionally Z or an offset; white space around it is ignored. Everything else is unreadable.
"""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

_BLANK = r"[\s\p{Z}\p{C}]*"  # white space and invisible characters
_PATTERN = (
    rf"^{_BLANK}(?P<date>\d{{4}}-\d{{2}}-\d{{2}})"
    r"(?:[Tt ](?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:[.,](?P<fraction>\d+))?)?"
    r" ?(?P<zone>[Zz]|(?P<sign>[+-])(?P<zone_hour>[01]\d|2[0-3])(?::?(?P<zone_minute>[0-5]\d))?)?)?"
    rf"{_BLANK}$"
)


class Times(NamedTuple):
    """Two arrays as long as the texts; at each place at most one is not null."""

    instants: pa.Array  # timestamp[us, UTC], of texts with a zone
    local_times: pa.Array  # timestamp[us], of texts without


def parse(texts: pa.Array) -> Times:
    """What ``texts`` say, cut to whole microseconds; null in both arrays where a text is unreadable or null."""
    parts = pc.extract_regex(texts, _PATTERN)
    date, zone = _part(parts, "date"), _part(parts, "zone")
    midnight = pc.strptime(date, "%Y-%m-%d", "us", error_is_null=True)
    # strptime turns 30 February into 2 March
    exists = pc.equal(pc.strftime(midnight, "%Y-%m-%d"), date)
    local = pc.if_else(exists, pc.add(midnight, _time_of_day(parts)), None)
    instants = pc.subtract(local, _offset(parts)).cast(pa.timestamp("us", "UTC"))
    has_zone = pc.not_equal(zone, "")
    return Times(pc.if_else(has_zone, instants, None), pc.if_else(has_zone, None, local))


def _time_of_day(parts: pa.Array) -> pa.Array:
    seconds = _seconds(parts, "hour", "minute")
    seconds = pc.add(seconds, _number(parts, "second"))
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(_part(parts, "fraction"), 6, "0"), 0, 6).cast(pa.int64())
    return pc.add(pc.multiply(seconds, 1_000_000), fraction).cast(pa.duration("us"))


def _offset(parts: pa.Array) -> pa.Array:
    seconds = _seconds(parts, "zone_hour", "zone_minute")
    signed = pc.if_else(pc.equal(_part(parts, "sign"), "-"), pc.negate(seconds), seconds)
    return pc.multiply(signed, 1_000_000).cast(pa.duration("us"))


def _seconds(parts: pa.Array, hour: str, minute: str) -> pa.Array:
    return pc.add(pc.multiply(_number(parts, hour), 3600), pc.multiply(_number(parts, minute), 60))


def _number(parts: pa.Array, name: str) -> pa.Array:
    """A part of two digits, or zero where it was left out."""
    return pc.utf8_lpad(_part(parts, name), 2, "0").cast(pa.int64())


def _part(parts: pa.Array, name: str) -> pa.Array:
    """One named group: "" where it was left out, null where the text does not match."""
    return pc.struct_field(parts, name)
