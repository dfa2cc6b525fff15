"""The limit that all processes of an ads account share, kept in the ledger.

Every POST counts its events and one request, whatever comes of it: X may count it when it arrives or when it answers,
so it counts from its claim until one window after it was settled.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    Connection,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from xcapi_dagster.delivery.statement import Statement
from xcapi_dagster.delivery.tables import allowance, request, spending

LONGEST_BLOCK_SECONDS = 1200.0  # X's windows last 900: a later reset is a mistake of somebody's clock or unit
# A block that ends later, or what was spent later from now, was written by a clock that was ahead and is right again.
_LATEST_END_SECONDS = LONGEST_BLOCK_SECONDS + 60.0
# A slice counts until all of it is a window old, so this share of a limit is lost: 0.3 % and 1.7 %.
_SLICES_PER_WINDOW = 300
_SLICES_PER_REQUEST_WINDOW = 60
_NO_WAIT = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be sent: events in any ``window`` seconds, requests in any ``request_window`` seconds."""

    events: int
    requests: int
    window: float = 900.0
    request_window: float = 60.0

    def shared(self, share: float) -> "Limits":
        """This part of the limits, for a run that leaves the rest to others."""
        return replace(self, events=max(1, int(self.events * share)), requests=max(1, int(self.requests * share)))

    @property
    def slice_seconds(self) -> float:
        """The length of a slice in `spending`."""
        return min(self.window / _SLICES_PER_WINDOW, self.request_window / _SLICES_PER_REQUEST_WINDOW)


def reserve(connection: Connection, account: str, events: int, limits: Limits, now: float) -> float:
    """How long until one request of ``events`` may be sent; 0 when it may be now.

    Then its row in flight counts it, which the caller writes in the same transaction; here it is taken off what X said
    is left.
    """
    width = limits.slice_seconds
    for_events, for_requests = (_first_slice(now, window, width) for window in (limits.window, limits.request_window))
    last = math.floor((now + limits.window) / width)
    slices = {"in_window": for_events, "in_request_window": for_requests, "until": last}
    usage = _Usage(*_USAGE.row(connection, account=account, **slices))
    if (blocked := _blocked_for(usage, now)) > 0:
        return blocked
    room_for_events = limits.events - int(usage.events_in_flight) - events
    room_for_requests = limits.requests - int(usage.requests_in_flight) - 1
    if usage.events > room_for_events or usage.requests > room_for_requests:
        spent = _spent(connection, account, min(for_events, for_requests), last, width)
        return max(
            _until_free([(end, used) for end, used, _ in spent], room_for_events, limits.window, now),
            _until_free([(end, used) for end, _, used in spent], room_for_requests, limits.request_window, now),
        )
    if usage.requests_left:
        _TAKE_ONE.run(connection, of_account=account)
    return _NO_WAIT


def _first_slice(now: float, window: float, width: float) -> int:
    """The first slice of which some part is less than a ``window`` old."""
    return math.floor((now - window) / width)


def _spent(connection: Connection, account: str, first: int, last: int, width: float) -> list[tuple[float, int, int]]:
    """The ends of the slices from ``first`` to ``last``, with their events and requests."""
    rows = connection.execute(
        select(spending.c.slice, spending.c.events, spending.c.requests)
        .where(spending.c.account == account, spending.c.slice >= first, spending.c.slice <= last)
        .order_by(spending.c.slice)
    )
    return [(row.slice * width + width, row.events, row.requests) for row in rows]


def _until_free(spent: list[tuple[float, int]], room: int, window: float, now: float) -> float:
    """Seconds until what was ``spent`` (ends of slices, amounts) within ``window`` is at most ``room``."""
    counting = [(end, used) for end, used in spent if end + window > now and used]
    total = sum(used for _, used in counting)
    wait = _NO_WAIT
    for end, used in counting:
        if total <= room:
            break
        total -= used
        wait = end + window - now
    if total > room:  # requests in flight take the rest: look again when one may have come back
        return max(wait, window / _SLICES_PER_WINDOW)
    return wait


def spend(connection: Connection, account: str, events: int, limits: Limits, now: float) -> None:
    """Count one settled request, and now and then forget slices that no window reaches any more."""
    this_slice = math.floor(now / limits.slice_seconds)
    _SPEND[connection.dialect.name].run(connection, account=account, slice=this_slice, events=events, requests=1)
    if this_slice % _SLICES_PER_REQUEST_WINDOW == 0:
        oldest = math.floor((now - 2 * max(limits.window, limits.request_window)) / limits.slice_seconds)
        connection.execute(delete(spending).where(spending.c.account == account, spending.c.slice < oldest))


def block(connection: Connection, account: str, until: float) -> None:
    """Let nobody send for ``account`` before ``until``; a later end that somebody else was told stands."""
    known = connection.execute(select(allowance.c.blocked_until).where(allowance.c.account == account)).scalar() or 0.0
    _remember(connection, account, blocked_until=known if until < known < until + _LATEST_END_SECONDS else until)


def learn(connection: Connection, account: str, requests_left: int | None, resets_in: float | None, now: float) -> None:
    """Take X's own word for how many requests are left, and in how many seconds its window resets.

    What is in flight may or may not be counted in it already; it is taken as not counted.
    """
    if requests_left is None or resets_in is None or not 0 < resets_in <= LONGEST_BLOCK_SECONDS:
        return
    flying = _FLYING.row(connection, account=account)[0]
    _remember(connection, account, requests_left=max(0, requests_left - flying), resets_at=now + resets_in)


def _blocked_for(known: "_Usage", now: float) -> float:
    left = [(known.blocked_until or now) - now]
    if known.requests_left == 0:
        left.append((known.resets_at or now) - now)
    return max([_NO_WAIT, *(seconds for seconds in left if seconds < _LATEST_END_SECONDS)])


def _remember(connection: Connection, account: str, **values: float | int) -> None:
    changed = connection.execute(update(allowance).where(allowance.c.account == account).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(allowance).values({"account": account, "blocked_until": 0.0} | values))


class _Usage(NamedTuple):
    """What counts against an account's limit, and what X said of it."""

    events_in_flight: int
    requests_in_flight: int
    events: int
    requests: int
    blocked_until: float | None
    requests_left: int | None
    resets_at: float | None


def _usage() -> ClauseElement:
    """That in one row."""
    flying = (
        select(
            func.coalesce(func.sum(request.c.size), 0).label("events_in_flight"),
            func.count().label("requests_in_flight"),
        )
        .where(request.c.state == "in_flight", request.c.account == bindparam("account"))
        .subquery()
    )
    in_window = spending.c.slice >= bindparam("in_window", type_=BigInteger)
    in_request_window = spending.c.slice >= bindparam("in_request_window", type_=BigInteger)
    spent = (
        select(
            func.coalesce(func.sum(case((in_window, spending.c.events), else_=0)), 0).label("events"),
            func.coalesce(func.sum(case((in_request_window, spending.c.requests), else_=0)), 0).label("requests"),
        )
        .where(spending.c.account == bindparam("account"), in_window | in_request_window)
        .where(spending.c.slice <= bindparam("until", type_=BigInteger))
        .subquery()
    )
    said = allowance.c.account == bindparam("account")
    return select(
        flying, spent, allowance.c.blocked_until, allowance.c.requests_left, allowance.c.resets_at
    ).select_from(flying.join(spent, true()).outerjoin(allowance, said))


def _spend(insert_of: Callable[[Table], Any]) -> Statement:
    statement = insert_of(spending)
    added = {
        "events": spending.c.events + statement.excluded.events,
        "requests": spending.c.requests + statement.excluded.requests,
    }
    upsert = statement.on_conflict_do_update(index_elements=["account", "slice"], set_=added)
    return Statement(upsert, [column.name for column in spending.columns])


_USAGE = Statement(_usage())
_SPEND = {"sqlite": _spend(sqlite.insert), "postgresql": _spend(postgresql.insert)}
_FLYING = Statement(
    select(func.count()).where(request.c.state == "in_flight", request.c.account == bindparam("account"))
)
_TAKE_ONE = Statement(
    update(allowance)
    .where(allowance.c.account == bindparam("of_account"), allowance.c.requests_left > 0)
    .values(requests_left=allowance.c.requests_left - 1)
)
