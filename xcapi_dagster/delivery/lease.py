"""Which process owns a request in flight, and whether it still lives."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.tables import owner, request
from xcapi_dagster.errors import DeliveryHaltedError, LedgerError

LEASE_SECONDS = 300.0
HEARTBEAT_SECONDS = 15.0
_LONGEST_LEASE_SECONDS = 3600.0  # one that lasts longer was taken by a clock that was ahead and is right again

_LOST = "this run's lease on the ledger ran out while it stood still: start it again"


class Lease:
    """The life sign of one run: as long as it lasts, the run's requests in flight are its own.

    It ends by the ledger's clock, by which others judge, and by ``steady``, this machine's own.
    """

    def __init__(self, database: Database, run_id: str, steady: Callable[[], float]) -> None:
        self._database = database
        self._run_id = run_id
        self._steady = steady
        self._until = 0.0
        self._deadline = 0.0
        self.owner_id = 0

    def take(self, connection: Connection, now: float) -> None:
        """Become an owner, in the caller's transaction."""
        self._until, self._deadline = now + LEASE_SECONDS, self._steady() + LEASE_SECONDS
        row = {"run_id": self._run_id, **this_process(), "lease_until": self._until}
        self.owner_id = connection.execute(insert(owner).values(row).returning(owner.c.id)).scalar_one()

    def prolong(self) -> None:
        """Hold the lease for another while, unless it ran out: then others may have taken over."""
        began = self._steady()
        with self._database.transaction() as connection:
            now = self._database.now(connection)
            if now >= self._until:
                return
            self._end_at(connection, now + LEASE_SECONDS)
        self._until, self._deadline = now + LEASE_SECONDS, began + LEASE_SECONDS

    def give_up(self) -> None:
        """Let whatever is still in flight pass for unknown."""
        self._until = self._deadline = 0.0
        with self._database.transaction() as connection:
            self._end_at(connection, 0.0)

    def check(self, now: float | None = None) -> None:
        """Raises DeliveryHaltedError when this run stood still for so long that others may send in its place.

        ``now`` is the ledger's time, if that is known.
        """
        if self._steady() >= self._deadline or (now is not None and now >= self._until):
            raise DeliveryHaltedError(_LOST)

    def _end_at(self, connection: Connection, until: float) -> None:
        connection.execute(update(owner).where(owner.c.id == self.owner_id).values(lease_until=until))


class Heartbeat:
    """Calls ``beat`` from a thread of its own until it is stopped. A failing beat is left to the claims to notice."""

    def __init__(self, beat: Callable[[], None], every: float = HEARTBEAT_SECONDS) -> None:
        self._beat = beat
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xcapi-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, when a beat under way is over."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            with contextlib.suppress(LedgerError):
                self._beat()


def in_flight_of_the_dead(connection: Connection, account: str, scope: str, now: float) -> Sequence[Any]:
    """The requests in flight, with id, account and size, of the account or the scope whose owner is no more.

    The leases of processes that have ended, as far as this machine can tell, end here; so do those of a time to come,
    which the heart of a run that lives sets right.
    """
    _end_leases_of_the_gone(connection, now)
    in_flight = (
        select(request.c.id, request.c.account, request.c.size)
        .join(owner, request.c.owner_id == owner.c.id)
        .where(request.c.state == "in_flight", (request.c.account == account) | (request.c.scope == scope))
        .where(owner.c.lease_until <= now)
    )
    return connection.execute(in_flight).all()


def _end_leases_of_the_gone(connection: Connection, now: float) -> None:
    alive = connection.execute(select(owner).where(owner.c.lease_until > now))
    gone = [row.id for row in alive if is_gone(row) or (_is_of_a_time_to_come(row, now) and not _is_from_here(row))]
    if gone:
        connection.execute(update(owner).where(owner.c.id.in_(gone)).values(lease_until=now))


def this_process() -> dict[str, str | int]:
    """Host, boot and pid: what tells this process from every other that may use the ledger."""
    return {"host": socket.gethostname(), "boot": _boot_id(), "pid": os.getpid()}


def _is_of_a_time_to_come(owner_row: Any, now: float) -> bool:
    return bool(owner_row.lease_until > now + _LONGEST_LEASE_SECONDS)


def _is_from_here(owner_row: Any) -> bool:
    here = this_process()
    return bool(here["boot"]) and (owner_row.host, owner_row.boot) == (here["host"], here["boot"])


def is_gone(owner_row: Any) -> bool:
    """Whether ``owner_row``'s host, boot and pid were those of a process of this machine that has ended."""
    if not _is_from_here(owner_row):
        return False
    try:
        os.kill(owner_row.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _boot_id() -> str:
    """What tells one start of this machine, and one container's pids, from others; empty where that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"[:64]
    except OSError:
        return ""
