"""What the ledger knows, in numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.tables import SCHEMA_VERSION, allowance, instance, owner, request


class Overview(NamedTuple):
    """The ledger in numbers. ``blocked_until`` is the time, in seconds since 1970, until which X asked to wait."""

    ledger_id: str
    schema_version: int
    revision: int
    requests: dict[str, int]  # by state
    conversions: dict[str, int]  # by the state of their requests, each request's counted
    runs_under_way: int
    blocked_until: float | None
    instances: list[str]


def overview(database: Database) -> Overview:
    """The numbers as they are now. Raises LedgerError when the database fails."""
    with database.transaction() as connection:
        now = database.now(connection)
        by_state = connection.execute(
            select(request.c.state, func.count(), func.sum(request.c.size)).group_by(request.c.state)
        ).all()
        blocked = connection.execute(select(func.max(allowance.c.blocked_until))).scalar()
        return Overview(
            ledger_id=database.id,
            schema_version=SCHEMA_VERSION,
            revision=database.revision(connection),
            requests={state: count for state, count, _ in by_state},
            conversions={state: int(size) for state, _, size in by_state},
            runs_under_way=_alive(connection, now),
            blocked_until=float(blocked) if blocked and blocked > now else None,
            instances=[_told(row) for row in connection.execute(select(instance))],
        )


def runs_under_way(database: Database) -> int:
    """How many runs may send now. Raises LedgerError when the database fails."""
    with database.transaction() as connection:
        return _alive(connection, database.now(connection))


def lapsed_among(database: Database, run_ids: Sequence[str]) -> set[str]:
    """Those of these runs that still had their last lease when it ran out. Raises LedgerError when the database fails.

    They were killed, or have stood still for so long that they will send nothing more.
    """
    latest = func.max(owner.c.lease_until)  # 0 of a run that has given it up
    of_runs = select(owner.c.run_id).where(owner.c.run_id.in_(run_ids)).group_by(owner.c.run_id)
    with database.transaction() as connection:
        now = database.now(connection)
        return set(connection.execute(of_runs.having(latest > 0, latest <= now)).scalars())


def _alive(connection: Connection, now: float) -> int:
    alive = select(func.count()).select_from(owner).where(owner.c.lease_until > now)
    return int(connection.execute(alive).scalar_one())


def _told(row: Any) -> str:
    return f"{row.name} sends to {row.scope}, default event {row.event_id}"
