"""Which orders belong to a window of time, whatever type their `ordered_at` has. Exactly one window has each order.

An instant (a timestamp with a zone) is compared with the window itself. Local time, without a zone, is compared with
local bounds that follow from the window, so that an index on the column serves. Where clocks change, local time is read
so that it never runs backwards: a time that exists twice counts as the first of the two, and a time that does not exist
counts as the moment of the change. (Such orders become rejections later; here it matters that one partition, and one
only, counts each of them.)
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from xcapi_dagster import iso8601
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.warehouse.query import Expression

TimeKind = Literal["instant", "local", "date", "text"]
Bound = Callable[[datetime | date], Expression]

_ONE_DAY = timedelta(days=1)
_ONE: Expression = sa.literal_column("1")
_TEN: Expression = sa.literal_column("10")


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open: instants (aware, UTC) from ``start``, local times (naive) from ``local_start``, to before the ends."""

    start: datetime
    end: datetime
    local_start: datetime
    local_end: datetime

    def condition(self, ordered_at: Expression, kind: TimeKind, bound: Bound = sa.literal) -> Expression:
        """What holds for the orders of this window; for text it is only a wide sieve, for `holds` to finish.

        ``bound`` makes a value of the query out of a time or a date.
        """
        match kind:
            case "instant":
                return _between(ordered_at, bound(self.start), bound(self.end))
            case "local":
                return _between(ordered_at, bound(self.local_start), bound(self.local_end))
            case "date":
                first, last = _first_midnight(self.local_start), _first_midnight(self.local_end)
                return _between(ordered_at, bound(first), bound(last))
            case "text":
                return self._sieve(ordered_at)

    def _sieve(self, ordered_at: Expression) -> Expression:
        """What no text of this window fails: its date is near, or it begins with something else, as a space."""
        # An offset is less than a day, so a text's own date is at most a day away from that in UTC.
        first = min(self.start.date(), self.local_start.date()) - _ONE_DAY
        last = max(self.end.date(), self.local_end.date()) + _ONE_DAY
        begins_otherwise = sa.not_(sa.func.substring(ordered_at, _ONE, _ONE).between("0", "9"))
        return sa.or_(begins_otherwise, sa.func.substring(ordered_at, _ONE, _TEN).between(str(first), str(last)))

    def holds(self, texts: pa.Array) -> pa.BooleanArray:
        """Whether each ISO 8601 text lies in this window; false for what cannot be read."""
        instants, local_times, _ = iso8601.parse(texts)
        inside = pc.or_kleene(
            pc.and_(pc.greater_equal(instants, self.start), pc.less(instants, self.end)),
            pc.and_(pc.greater_equal(local_times, self.local_start), pc.less(local_times, self.local_end)),
        )
        return inside.fill_null(False)


def window_between(start: datetime, end: datetime, zone: ZoneInfo) -> Window:
    """The window from ``start`` to before ``end`` (aware), where times without a zone are local to ``zone``."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    return Window(start, end, _first_local_time(start, zone), _first_local_time(end, zone))


def time_kind(type_: pa.DataType) -> TimeKind:
    """How a column of this type tells time. ConfigurationError, with the cast to write, when it cannot."""
    if pa.types.is_timestamp(type_):
        return "local" if type_.tz is None else "instant"
    if pa.types.is_date(type_):
        return "date"
    if pa.types.is_string(type_):
        return "text"
    raise not_a_time("ordered_at", type_)


def not_a_time(name: str, given: object, cast: str = "to_timestamp({name})") -> ConfigurationError:
    """The error of a column that must tell time and is ``given`` in a type that cannot, with the ``cast`` to write."""
    return ConfigurationError(
        f"XCAPI_ORDERS gives {name} as {given}, which is no time: cast it in a .sql query, "
        f"for example {cast.format(name=name)} AS {name} for seconds since 1970"
    )


def _between(ordered_at: Expression, first: Expression, end: Expression) -> Expression:
    return sa.and_(ordered_at >= first, ordered_at < end)


def _first_midnight(local: datetime) -> date:
    """The first date whose midnight is ``local`` or later."""
    return local.date() if local.time() == time() else local.date() + _ONE_DAY


def _first_local_time(instant: datetime, zone: ZoneInfo) -> datetime:
    """The first local time (naive) that counts as ``instant`` or later."""
    before = (instant - timedelta.resolution).astimezone(zone)
    if before.fold:
        return _end_of_repetition(before)
    return before.replace(tzinfo=None) + timedelta.resolution


def _end_of_repetition(local: datetime) -> datetime:
    """The first local time (naive) after ``local``, which clocks show twice, that they show once."""
    second = local.replace(microsecond=0)

    def is_over(seconds: int) -> bool:
        return not _between_passes(second + timedelta(seconds=seconds))

    seconds = int(_between_passes(second).total_seconds())
    return (second + timedelta(seconds=bisect_left(range(seconds), True, key=is_over))).replace(tzinfo=None)


def _between_passes(local: datetime) -> timedelta:
    """The time from the first to the second moment at which clocks show ``local``; zero when there is only one."""
    return local.replace(fold=1).astimezone(UTC) - local.replace(fold=0).astimezone(UTC)
