"""The limit that all processes of an ads account share, kept in the ledger.

Every POST counts its events and one request, whatever comes of it: X may count it when it arrives or when it answers,
so it counts from its claim until one window after it was settled.
"""

import math
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from xcapi_dagster.delivery.tables import allowance, request, spending

LONGEST_BLOCK_SECONDS = 1200.0  # X's windows last 900: a later reset is a mistake of somebody's clock or unit
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


def seconds_to_wait(connection: Connection, account: str, events: int, limits: Limits, now: float) -> float:
    """How long until one request of ``events`` may be sent; 0 when it may be now."""
    blocked = _blocked_for(connection, account, now)
    if blocked > 0:
        return blocked
    flying_events, flying_requests = connection.execute(
        select(func.coalesce(func.sum(request.c.size), 0), func.count()).where(
            request.c.state == "in_flight", request.c.account == account
        )
    ).one()
    width = limits.slice_seconds
    oldest = math.floor((now - max(limits.window, limits.request_window)) / width) - 1
    spent = [
        (row.slice * width + width, row.events, row.requests)
        for row in connection.execute(
            select(spending.c.slice, spending.c.events, spending.c.requests)
            .where(spending.c.account == account, spending.c.slice >= oldest)
            .order_by(spending.c.slice)
        )
    ]
    for_events = _until_free(
        [(end, used) for end, used, _ in spent], limits.events - int(flying_events) - events, limits.window, now
    )
    for_requests = _until_free(
        [(end, used) for end, _, used in spent],
        limits.requests - int(flying_requests) - 1,
        limits.request_window,
        now,
    )
    return max(for_events, for_requests)


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
    """Count one settled request, and forget slices that no window reaches any more."""
    this_slice = math.floor(now / limits.slice_seconds)
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(spending).values(account=account, slice=this_slice, events=events, requests=1)
    added = {
        "events": spending.c.events + statement.excluded.events,
        "requests": spending.c.requests + statement.excluded.requests,
    }
    connection.execute(statement.on_conflict_do_update(index_elements=["account", "slice"], set_=added))
    oldest = math.floor((now - 2 * max(limits.window, limits.request_window)) / limits.slice_seconds)
    connection.execute(delete(spending).where(spending.c.account == account, spending.c.slice < oldest))


def block(connection: Connection, account: str, until: float) -> None:
    """Let nobody send for ``account`` before ``until``; a later end that somebody else was told stands."""
    known = connection.execute(select(allowance.c.blocked_until).where(allowance.c.account == account)).scalar()
    _remember(connection, account, blocked_until=max(until, known or 0.0))


def learn(connection: Connection, account: str, requests_left: int | None, resets_in: float | None, now: float) -> None:
    """Take X's own word for how many requests are left, and in how many seconds its window resets.

    What is in flight may or may not be counted in it already; it is taken as not counted.
    """
    if requests_left is None or resets_in is None or not 0 < resets_in <= LONGEST_BLOCK_SECONDS:
        return
    flying = connection.execute(
        select(func.count()).where(request.c.state == "in_flight", request.c.account == account)
    ).scalar_one()
    _remember(connection, account, requests_left=max(0, requests_left - flying), resets_at=now + resets_in)


def take_one(connection: Connection, account: str) -> None:
    """Count one request against what X said is left."""
    connection.execute(
        update(allowance)
        .where(allowance.c.account == account, allowance.c.requests_left > 0)
        .values(requests_left=allowance.c.requests_left - 1)
    )


def _blocked_for(connection: Connection, account: str, now: float) -> float:
    known = connection.execute(select(allowance).where(allowance.c.account == account)).one_or_none()
    if known is None:
        return _NO_WAIT
    used_up = known.requests_left == 0 and known.resets_at is not None
    until = max(known.blocked_until, known.resets_at) if used_up else known.blocked_until
    return max(_NO_WAIT, float(until) - now)


def _remember(connection: Connection, account: str, **values: float | int) -> None:
    changed = connection.execute(update(allowance).where(allowance.c.account == account).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(allowance).values({"account": account, "blocked_until": 0.0} | values))
