"""Whether this ledger may answer for an instance: it knows all that was sent, and the instance still sends there.

A ledger that was lost or restored from an old copy, and an instance that was given another pixel, default event or
host, would both send history again by accident: nothing is sent until somebody has agreed to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from xcapi_dagster.delivery.database import Database, Stamp
from xcapi_dagster.delivery.tables import instance, predecessor, request
from xcapi_dagster.errors import ConfigurationError, LedgerError

_AT_X = ("accepted", "in_flight", "unknown", "held")  # X has what these requests carried, or may have it
_TRIALS = ("loopback", "ads-api-sandbox.x.com")  # hosts by which nothing reaches X's production


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a component instance sends: its scope (host and pixel) and its default event's short id."""

    host: str
    name: str
    scope: str
    event_id: str


def admit(database: Database, destination: Destination, stamps: Iterable[Stamp], *, remember: bool = True) -> None:
    """Let the instance send, and remember where to.

    ``stamps`` are what files and materializations say of the ledger that wrote them. Raises LedgerError when this
    one knows less than they do, and ConfigurationError when the instance used to send elsewhere.
    """
    with database.transaction() as connection:
        _check_stamps(database, connection, destination, stamps)
        _check_destination(connection, destination)
        if remember:
            _remember(connection, destination, at=database.now(connection))


def admit_none(stamps: Iterable[Stamp]) -> None:
    """As `admit`, where there is no ledger yet: a new one would know nothing of what ``stamps`` tell of."""
    if any(stamps):
        raise _refusal("is not the one that sent before")


def accept_destination(database: Database, destination: Destination, *, by: str, why: str) -> None:
    """Let the instance send to another pixel or default event from now on, by somebody's word."""
    with database.transaction() as connection:
        _remember(connection, destination, at=database.now(connection), accepted_by=by, accepted_why=why)


def accept_stamps(database: Database, destination: Destination, stamps: Iterable[Stamp], *, by: str, why: str) -> None:
    """Let this ledger stand in the place of those that wrote the instance's ``stamps``, by somebody's word.

    For this instance alone: of what others sent with those ledgers, this one has learned nothing yet.
    """
    with database.transaction() as connection:
        own, now = database.stamp(connection), database.now(connection)
        of_instance = {"host": destination.host, "name": destination.name}
        for stamp in sorted(set(stamps) - set(_accepted(connection, destination))):
            is_own = stamp.ledger_id == own.ledger_id
            if is_own:
                database.leap(connection, beyond=stamp.revision)  # stamps from here on are no lost one's
            row = {"ledger_id": stamp.ledger_id, "revision": stamp.revision, "known": own.revision if is_own else -1}
            word = {"accepted_by": by, "accepted_why": why, "at": now}
            connection.execute(insert(predecessor).values(of_instance | row | word))


def unknown_stamps(database: Database, destination: Destination, stamps: Iterable[Stamp]) -> list[Stamp]:
    """Those of the instance's ``stamps`` that tell of more than this ledger knows."""
    with database.transaction() as connection:
        return _unknown(database, connection, destination, stamps)


def _check_stamps(
    database: Database, connection: Connection, destination: Destination, stamps: Iterable[Stamp]
) -> None:
    if not (unknown := _unknown(database, connection, destination, stamps)):
        return
    is_older = all(stamp.ledger_id == database.id for stamp in unknown)
    raise _refusal(
        "is older than the files that were written with it" if is_older else "is not the one that sent before"
    )


def _refusal(what: str) -> LedgerError:
    return LedgerError(
        f"the ledger {what}: with it, accepted orders would be sent again, so nothing is sent. Put the right one "
        "back, or correct XCAPI_LEDGER_URL; if it is lost, run `xcapi ledger accept-restored`"
    )


def _unknown(
    database: Database, connection: Connection, destination: Destination, stamps: Iterable[Stamp]
) -> list[Stamp]:
    own, accepted = database.stamp(connection), _accepted(connection, destination)
    of_own = select(predecessor.c.known, predecessor.c.revision).where(predecessor.c.ledger_id == own.ledger_id)
    lost = connection.execute(of_own).all()  # the revisions in between were made before this ledger was restored

    def is_known(stamp: Stamp) -> bool:
        if any(stamp.ledger_id == each.ledger_id and stamp.revision <= each.revision for each in accepted):
            return True
        is_own, is_past = stamp.ledger_id == own.ledger_id, stamp.revision <= own.revision
        is_remembered = not any(known < stamp.revision <= until for known, until in lost)
        return is_own and is_past and is_remembered and not database.skips(connection, stamp.revision)

    return [stamp for stamp in stamps if not is_known(stamp)]


def _accepted(connection: Connection, destination: Destination) -> list[Stamp]:
    """The stamps that somebody has agreed to for this instance."""
    is_of = (predecessor.c.host == destination.host) & (predecessor.c.name == destination.name)
    rows = connection.execute(select(predecessor.c.ledger_id, predecessor.c.revision).where(is_of))
    return [Stamp(*row) for row in rows]


def _check_destination(connection: Connection, now: Destination) -> None:
    before = connection.execute(
        select(instance).where(instance.c.host == now.host, instance.c.name == now.name)
    ).one_or_none()
    if before is None:
        _check_host(connection, now)
        return
    if (before.scope, before.event_id) == (now.scope, now.event_id):
        return
    if sent := _sent(connection, now.name, before.scope):
        pixel = before.scope.removeprefix(f"{now.host}|")
        raise ConfigurationError(
            f"{now.name} sent {sent:,} orders to the pixel {pixel} with the default event {before.event_id}: "
            "with another X_ADS_PIXEL_ID or X_ADS_EVENT_ID they would all be sent again. Set them back, or run "
            "`xcapi ledger accept-scope`"
        )


def _check_host(connection: Connection, now: Destination) -> None:
    """The instance sends to this host for the first time: another may have been another way to the same X."""
    elsewhere = select(instance).where(instance.c.name == now.name, instance.c.host.not_in(_TRIALS))
    for before in () if now.host in _TRIALS else connection.execute(elsewhere).all():
        if sent := _sent(connection, now.name, before.scope):
            raise ConfigurationError(
                f"{now.name} sent {sent:,} orders to {before.host}: with another X_ADS_API_URL they would all be sent "
                "again. Set it back, or run `xcapi ledger accept-scope`"
            )


def _sent(connection: Connection, name: str, scope: str) -> int:
    """How many orders of the instance X has there, or may have."""
    of_instance = (request.c.scope == scope) & request.c.instance.in_(("", name)) & request.c.state.in_(_AT_X)
    return int(connection.execute(select(func.coalesce(func.sum(request.c.size), 0)).where(of_instance)).scalar_one())


def _remember(connection: Connection, destination: Destination, at: float, **accepted: str) -> None:
    of_instance = (instance.c.host == destination.host) & (instance.c.name == destination.name)
    same = of_instance & (instance.c.scope == destination.scope) & (instance.c.event_id == destination.event_id)
    if not accepted and connection.execute(select(func.count()).select_from(instance).where(same)).scalar_one():
        return
    connection.execute(delete(instance).where(of_instance))
    row = {"host": destination.host, "name": destination.name, "scope": destination.scope, "at": at}
    connection.execute(insert(instance).values(row | {"event_id": destination.event_id} | accepted))
