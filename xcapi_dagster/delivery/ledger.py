"""The ledger: what was claimed, what became of it, and who may send now. It is the guard, on every path.

A request is claimed in one durable transaction, with its conversions' keys, the first time they were possibly sent and
its share of the limit, before it is sent; a second transaction settles it. Any other order loses rows or doubles them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from xcapi_dagster.contract import MAX_CONVERSIONS_PER_REQUEST
from xcapi_dagster.delivery import journal, throttle
from xcapi_dagster.delivery.database import Database, Stamp, uptime
from xcapi_dagster.delivery.keys import Entries, Fingerprints, Keys, Texts, conversion_keys
from xcapi_dagster.delivery.lease import Heartbeat, Lease, in_flight_of_the_dead
from xcapi_dagster.delivery.memory import LONG_AGO, Memory
from xcapi_dagster.delivery.records import Request, RequestState, Settlement, checksum_of
from xcapi_dagster.delivery.standing import is_within_horizon
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.errors import DeliveryHaltedError, LedgerError


@dataclass(frozen=True, slots=True)
class Claim:
    """Leave to send: the request, None when there is nothing to send, and which of the batch's conversions it has."""

    request: Request | None
    kept: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Wait:
    """No leave yet: the limit allows it in so many seconds."""

    seconds: float


class Ledger:
    """One run's hold on the ledger, for one pixel. A context: entering takes a lease, leaving gives it up.

    What any component instance sent to the pixel is known, by the conversions' keys; partitions, and what is in doubt
    of them, are those of ``instance``. ``steady`` counts seconds and is never set back. Safe for threads. All methods
    raise LedgerError when the database fails.
    """

    def __init__(
        self,
        database: Database,
        *,
        account: str,
        scope: str,
        run_id: str,
        limits: Limits,
        instance: str = "",
        steady: Callable[[], float] = uptime,
    ) -> None:
        self._database = database
        self._account = account
        self.scope = scope
        self._instance = instance
        self.run_id = run_id
        self._limits = limits
        self._lease = Lease(database, run_id, steady)
        self._heartbeat = Heartbeat(self._lease.prolong)
        self.memory = Memory(scope)

    def __enter__(self) -> Self:
        with self._database.transaction() as connection:
            now = self._database.now(connection)
            self._give_up_the_dead(connection, now)
            self._lease.take(connection, now)
            self._catch_up(connection)
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heartbeat.stop()
        try:
            self._lease.give_up()
        except LedgerError:
            if error is None:  # else that says more; the lease runs out by itself
                raise
        finally:
            self._database.close()

    def now(self) -> float:
        """Seconds since 1970 by the ledger's clock, which is not asked for it."""
        return self._database.now()

    def stamp(self) -> Stamp:
        """Which ledger this is, and its latest change."""
        return self._database.stamp()

    def latest_stamp(self) -> Stamp:
        """The same as far as this run knows, also when the database does not answer any more."""
        return self._database.latest_stamp()

    def new_stamp(self) -> Stamp:
        """A stamp to which no copy of the ledger that was made before will ever come."""
        with self._database.transaction() as connection:
            self._next_revision(connection)
            return self._database.stamp(connection)

    def keys(self, event_ids: Texts, conversion_ids: Texts) -> Keys:
        """The keys of these conversions in this ledger."""
        return conversion_keys(self._database.key_digest, self.scope, event_ids, conversion_ids)

    def refresh(self) -> float:
        """Learn what other runs did; returns the ledger's time."""
        with self._database.transaction() as connection:
            now = self._database.now(connection)
            self._give_up_the_dead(connection, now)
            self._catch_up(connection)
        return now

    def check_lease(self) -> None:
        """Raises DeliveryHaltedError when this process stood still for so long that others may send in its place."""
        self._lease.check()

    def largest_batch(self, share: float) -> int:
        """The most conversions that one request can ever get leave for."""
        return min(MAX_CONVERSIONS_PER_REQUEST, self._limits.shared(share).events)

    def claim(
        self,
        partition: str,
        keys: Keys,
        fingerprints: Fingerprints,
        known: NDArray[np.uint32],
        *,
        parent: Request | None,
        share: float,
        moment: int = LONG_AGO,
        until: NDArray[np.float64] | None = None,
        may_be_late: bool = False,
    ) -> Claim | Wait:
        """Leave to send these conversions in one request, or how long to wait for it.

        Kept are the conversions of which nothing new was heard: what was ``known``, at that ``moment`` of the memory,
        is still so. None is that X accepted, that an operator must decide about or that is forgotten; nor, unless that
        does not matter, one that may be sent ``until`` an earlier time only, or any when ``parent`` was first sent too
        long ago. When none is kept, nothing was written.
        Raises DeliveryHaltedError when the lease was lost, or the ledger has failed in this run.
        """

        def work(connection: Connection) -> Claim | Wait:
            if self._database.has_failed:  # what the memory has of that, it would not learn anew from others
                raise DeliveryHaltedError("the ledger failed: this run sends nothing more")
            now = self._database.now(connection)
            self._lease.check(now)
            self._catch_up(connection)
            is_late = parent is not None and not may_be_late and not is_within_horizon(parent.first_sent_at, now)
            kept = np.empty(0, np.intp) if is_late else self.memory.unchanged(keys, known, moment)
            if until is not None and not may_be_late:
                kept = kept[now <= until[kept]]
            if len(kept) == 0:
                return Claim(None, kept)
            limits = self._limits.shared(share)
            wait = throttle.reserve(connection, self._account, len(kept), limits, now)
            if wait > 0:
                self._give_up_the_dead(connection, now)  # what they had in flight may be what is waited for
                return Wait(wait)
            first_sent_at = min(now, parent.first_sent_at) if parent else now
            claimed = self._write(
                connection, "in_flight", partition, keys[kept], fingerprints[kept], parent, first_sent_at, now
            )
            self.memory.claim(claimed, keys[kept])
            return Claim(claimed, kept)

        return self._database.grouped(work)

    def settle(self, claimed: Request, keys: Keys, fingerprints: Fingerprints, settlement: Settlement) -> None:
        """Record what became of a request; from here on the ledger answers for its conversions.

        When this run's lease was lost meanwhile and the request is unknown to all, only a certain outcome changes that.
        """

        def work(connection: Connection) -> Request:
            now, revision = self._database.now(connection), self._next_revision(connection)
            state = journal.settle(connection, claimed.id, settlement, revision=revision, now=now)
            journal.rule(connection, self.scope, keys, settlement.verdicts, revision=revision)
            throttle.spend(connection, self._account, claimed.size, self._limits, now)
            throttle.learn(connection, self._account, settlement.requests_left, settlement.resets_in, now)
            if settlement.blocked_for is not None:
                throttle.block(connection, self._account, now + settlement.blocked_for)
            status, debug_id, message = settlement.http_status, settlement.debug_id, settlement.message
            return replace(claimed, state=state, settled_at=now, http_status=status, debug_id=debug_id, message=message)

        settled = self._database.grouped(work)
        self.memory.settle(settled, keys, fingerprints, settlement.verdicts)

    def overrule(self, doubtful: Entries, state: RequestState, *, by: str, why: str) -> int:
        """Let ``state`` stand for these conversions in place of what became of their requests; nothing is sent.

        Returns of how many: what became of the others meanwhile stands. ``by`` and ``why`` are kept.
        """
        overruled = 0
        with self._database.transaction() as connection:
            self._catch_up(connection)
            known = self.memory.look_up(doubtful.keys)
            is_of_them = (known.requests == doubtful.requests) | (known.heard == doubtful.requests)
            is_still_so = is_of_them & ~self.memory.are(known.requests, "accepted")
            for request_id in np.unique(doubtful.requests[is_still_so]).tolist():
                these = is_still_so & (doubtful.requests == request_id)
                parent = self.memory.requests[request_id]
                self._decide(connection, state, doubtful.where(these), parent.partition, parent, by=by, why=why)
                overruled += int(these.sum())
        return overruled

    def adopt(
        self,
        partition: str,
        keys: Keys,
        state: RequestState,
        *,
        by: str,
        why: str,
        first_sent_at: float | None = None,
    ) -> None:
        """Learn from elsewhere that conversions of ``partition`` are in ``state``, as if a request had told so.

        They count as unchanged, since nothing is known of what was sent, and as first sent now unless that is given.
        """
        with self._database.transaction() as connection:
            for start in range(0, len(keys), MAX_CONVERSIONS_PER_REQUEST):
                part = keys[start : start + MAX_CONVERSIONS_PER_REQUEST]
                learned = Entries(part, np.zeros(len(part), np.uint64), np.zeros(len(part), np.uint32))
                self._decide(connection, state, learned, partition, None, by=by, why=why, first_sent_at=first_sent_at)

    def entries_of(self, *states: RequestState, partition: str | None = None) -> Entries:
        """The instance's conversions, of one partition or all, whose latest request is in one of ``states``."""
        return self.memory.entries_of(*states, instance=self._instance, partition=partition)

    def requests_of(self, partition: str) -> list[dict[str, Any]]:
        """Every request that carried conversions of ``partition``, oldest first, by the ledger's names of columns."""
        with self._database.transaction() as connection:
            return journal.of_partition(connection, self.scope, self._instance, partition)

    def drop_details(self, before: float) -> int:
        """Forget X's words and debug ids of what was settled ``before`` that time, not what became of it.

        Returns of how many requests.
        """
        with self._database.transaction() as connection:
            return journal.drop_details(connection, self.scope, self._instance, before)

    def _decide(
        self,
        connection: Connection,
        state: RequestState,
        entries: Entries,
        partition: str,
        parent: Request | None,
        *,
        by: str,
        why: str,
        first_sent_at: float | None = None,
    ) -> None:
        """Write down a state that no answer of X's led to."""
        now = self._database.now(connection)
        keys, fingerprints, _ = entries
        first_sent_at = min(now, parent.first_sent_at if parent else first_sent_at or now)
        told = {"settled_at": now, "message": why, "decided_by": by}
        decided = self._write(connection, state, partition, keys, fingerprints, parent, first_sent_at, now, **told)
        self.memory.settle(decided, keys, fingerprints, ())

    def _write(
        self,
        connection: Connection,
        state: RequestState,
        partition: str,
        keys: Keys,
        fingerprints: Fingerprints,
        parent: Request | None,
        first_sent_at: float,
        now: float,
        **told: Any,
    ) -> Request:
        values = {
            "state": state,
            "instance": self._instance,
            "partition": partition,
            "run_id": self.run_id,
            "owner_id": self._lease.owner_id,
            "size": len(keys),
            "first_sent_at": first_sent_at,
            "parent_id": parent.id if parent else None,
            **told,
        }
        row = values | {
            "account": self._account,
            "scope": self.scope,
            "revision": self._next_revision(connection),
            "keys": (of_keys := keys.tobytes()),
            "fingerprints": (of_fingerprints := fingerprints.tobytes()),
            "checksum": checksum_of(of_keys, of_fingerprints, first_sent_at),
            "claimed_at": now,
        }
        return Request(id=journal.write(connection, row), **values)

    def _catch_up(self, connection: Connection) -> None:
        revision = self._database.revision(connection)
        if revision != self.memory.revision:
            self.memory.catch_up(connection, revision, self._lease.owner_id)

    def _next_revision(self, connection: Connection) -> int:
        """The number of a change of this run's own, which it need not be told of."""
        revision = self._changed(connection)
        if revision == self.memory.revision + 1:
            self.memory.revision = revision
        return revision

    def _changed(self, connection: Connection) -> int:
        """The number of a change; that of this run's first on a connection is one that nobody can foretell."""
        if not self._database.has_leapt:
            self._database.leap(connection)
        return self._database.next_revision(connection)

    def _give_up_the_dead(self, connection: Connection, now: float) -> None:
        """Let what nobody owns any more be unknown, which this run learns at once."""
        dead = in_flight_of_the_dead(connection, self._account, self.scope, now)
        if not dead:
            return
        revision = self._changed(connection)
        journal.give_up(connection, [row.id for row in dead], revision=revision, now=now)
        for row in dead:
            throttle.spend(connection, row.account, row.size, self._limits, now)
        self.memory.revision = min(self.memory.revision, revision - 1)  # the number may be that of changes of its own
        self._catch_up(connection)
