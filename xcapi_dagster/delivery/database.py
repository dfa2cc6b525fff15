"""The ledger's database: one writer at a time, one clock, one version of the tables."""

import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import BigInteger, Connection, Text, func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from xcapi_dagster.delivery import engines, migrations, sqlite_file
from xcapi_dagster.delivery.engines import engine_for, failed, file_of
from xcapi_dagster.delivery.statement import Statement
from xcapi_dagster.delivery.tables import SCHEMA_VERSION, gap, meta
from xcapi_dagster.errors import LedgerError, XConversionsError

T = TypeVar("T")

_ADVISORY_LOCK = 0x7863_6170_6964_6167  # any number that no other application uses: "xcapidag"
_REVISION = Statement(select(meta.c.value).where(meta.c.name == "revision"))
_COUNT_REVISION = Statement(
    update(meta)
    .where(meta.c.name == "revision")
    .values(value=sa.cast(sa.cast(meta.c.value, BigInteger) + 1, Text))
    .returning(meta.c.value)
)
_LOCK = select(func.pg_advisory_xact_lock(_ADVISORY_LOCK))
_DATABASE_TIME = text("SELECT extract(epoch FROM clock_timestamp())")
_RETRY_SECONDS = 0.2
_LONGEST_LEAP = 1 << 31  # of revisions, of which 64 bits have room for four milliard such leaps


def uptime() -> float:
    """Seconds that nobody sets back, and that go on while the machine sleeps where the system can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))  # Windows has neither
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Stamp(NamedTuple):
    """A ledger at some time: its id, and the number of its latest change."""

    ledger_id: str
    revision: int


@dataclass(slots=True, eq=False)
class _Task(Generic[T]):
    """Work that waits for a transaction, and what came of it; whoever has the database's lock does it."""

    work: Callable[[Connection], T]
    result: T | None = None
    error: BaseException | None = None
    is_done: bool = False

    def do(self, connection: Connection) -> None:
        """Do the work; it has an error when it may not be done."""
        try:
            self.result = self.work(connection)
        except XConversionsError as error:
            self.error = error


class Database:
    """A connection to the ledger. Safe for threads: transactions of one process queue here, not in the database."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        """Connect to ``url``, creating the tables on first use and bringing older ones up to date.

        Raises ConfigurationError for a URL that names no usable database and LedgerError for one that is damaged,
        unreachable, in an unsafe place, short of room, or written by a newer version of this package.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[_Task[Any]] = deque()
        self._engine = engine_for(url)
        self._driver_error = self._engine.dialect.loaded_dbapi.Error
        self._path = file_of(self._engine)
        self.is_shared = self._path is None
        self._was_reached = False
        self._said: tuple[float, float] | None = None  # the database's time when last asked, and the uptime then
        self.has_failed = False  # a transaction was undone: this process may believe what no ledger has
        self.has_leapt = False  # since the database was connected to: another server may have taken the place of one
        self._idle: Connection | None = None  # the one that transactions use, between two of them
        self._read: int | None = None  # the latest revision in this transaction, once that was asked for
        self._has_counted = False  # a change of this transaction, whose number all of it bears
        self._known = 0  # the latest revision after the transactions that are durable
        try:
            if self._path is not None:
                sqlite_file.create(self._path)
                sqlite_file.check_room(self._path)
                sqlite_file.check_soundness(self._path)
            facts = self._opened()
            migrations.check_facts(facts)
        except BaseException:
            self.close()
            raise
        self.id, self.key_digest = facts["id"], migrations.key_digest_of(facts)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One durable transaction that no other of any process overlaps. Raises LedgerError when it fails."""
        with self._lock, self._begun() as connection:
            yield connection

    def grouped(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, once it is durable, in one transaction with the work of threads that wait meanwhile.

        So many senders cost one commit. Work that raises one of this package's errors must have written nothing;
        anything else that goes wrong undoes the whole transaction, and all whose work was in it are told.
        """
        mine = _Task(work)
        self._waiting.append(mine)
        with self._lock:
            while not mine.is_done:  # else whoever was in here before has done it
                self._work_off()  # once more, when other work that came before it fails
        if mine.error is not None:
            raise mine.error
        return cast("T", mine.result)

    def _work_off(self) -> None:
        group: list[_Task[Any]] = []
        try:
            with self._begun() as connection:
                while self._waiting:  # for what comes while the others' is done as well
                    group.append(self._waiting.popleft())
                    group[-1].do(connection)
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told
            if not group:  # it could not begin, for none of them
                group = [self._waiting.popleft() for _ in range(len(self._waiting))]
            for task in group:
                task.error = error
        for task in group:
            task.is_done = True

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        """The transaction of whoever has the lock, committed at the end of the block.

        All use the same connection: to take one out of its pool and give it back costs as much as what they do.
        """
        idle, self._idle = self._idle, None
        self._read, self._has_counted = None, False
        try:
            connection = self._connected(idle)
            try:
                yield connection
                connection.commit()
            except BaseException:
                self.has_failed = True
                self._undo(connection)
                raise
        except (SQLAlchemyError, self._driver_error) as error:
            raise failed(error) from None
        self._idle = connection
        self._known = max(self._known, self._read or 0)

    def _undo(self, connection: Connection) -> None:
        """End the transaction and give back the connection, which SQLAlchemy leaves in one whose commit failed."""
        if not connection.invalidated:
            with suppress(self._driver_error):  # of one that is broken, too
                connection.connection.rollback()
        connection.close()

    def _connected(self, idle: Connection | None) -> Connection:
        """A connection in a new transaction, ``idle`` if that is one and still connected.

        A server that was reached before may be away for a while, when it is restarted or another takes its place:
        nothing was read or written yet, so this waits for it.
        """
        deadline = time.monotonic() + engines.BUSY_SECONDS
        connection = idle
        while True:
            try:
                if connection is None:
                    connection, self.has_leapt = self._engine.connect(), False
                connection.begin()
                if self.is_shared:
                    connection.execute(_LOCK)
            except (DBAPIError, self._driver_error) as error:
                is_away = connection is None or (isinstance(error, DBAPIError) and error.connection_invalidated)
                if connection:
                    connection.close()
                if not is_away or not self._was_reached or time.monotonic() > deadline:
                    raise
                connection = None
                time.sleep(_RETRY_SECONDS)
            else:
                self._was_reached = self.is_shared
                return connection

    def now(self, connection: Connection | None = None) -> float:
        """Seconds since 1970: the database's clock where several machines share it, else this machine's.

        Without a ``connection`` it is what the database said last and the time since, so that nobody is waited for.
        Raises LedgerError when the database does not answer.
        """
        if not self.is_shared:
            return self._clock()
        if connection is not None:
            self._said = float(connection.execute(_DATABASE_TIME).scalar_one()), uptime()
        elif self._said is None:
            with self.transaction() as own:
                return self.now(own)
        said, at = self._said
        return said + uptime() - at

    def next_revision(self, connection: Connection) -> int:
        """A number greater than that of every earlier transaction's change, for the rows that this one changes."""
        if self._read is None or not self._has_counted:
            self._read, self._has_counted = int(_COUNT_REVISION.row(connection)[0]), True
        return self._read

    def revision(self, connection: Connection) -> int:
        """The number of the latest change. Raises LedgerError when the ledger lacks changes that it had before."""
        if self._read is not None:
            return self._read
        read = int(_REVISION.row(connection)[0])
        if read < self._known or (not self.has_leapt and self.skips(connection, self._known)):
            raise LedgerError(
                "the ledger has forgotten what was written to it, as when a server that lags behind takes the place of "
                "another: nothing more is sent. Restore what was lost, or run `xcapi ledger accept-restored`"
            )
        self._read = read
        return read

    def leap(self, connection: Connection, beyond: int = 0) -> None:
        """Go on with numbers of changes that nobody can foretell, ``beyond`` that one at least.

        So a copy that is put back never comes to the numbers that were given after it was made: it is known ever after
        that it lacks those changes, however many others it makes.
        """
        after = self.revision(connection)
        until = max(after, beyond) + 1 + secrets.randbelow(_LONGEST_LEAP)
        connection.execute(insert(gap).values(after=after, until=until))
        connection.execute(update(meta).where(meta.c.name == "revision").values(value=str(until)))
        self._read, self.has_leapt = until, True

    def skips(self, connection: Connection, revision: int) -> bool:
        """Whether no change of this ledger has this number: it is of one that it is a copy of, from a later time."""
        skipping = select(func.count()).select_from(gap).where(gap.c.after < revision, gap.c.until > revision)
        return int(connection.execute(skipping).scalar_one()) > 0

    def stamp(self, connection: Connection | None = None) -> Stamp:
        """Which ledger this is, and its latest change."""
        if connection is None:
            with self.transaction() as own:
                return self.stamp(own)
        return Stamp(self.id, self.revision(connection))

    def latest_stamp(self) -> Stamp:
        """The same as far as this connection knows, without asking the database."""
        return Stamp(self.id, self._known)

    def close(self) -> None:
        """Give back all connections; used again, the database opens new ones."""
        if self._idle:
            self._idle.close()
            self._idle = None
        self._engine.dispose()

    def _opened(self) -> dict[str, str]:
        """The facts in `meta`, after the tables were made or brought up to date, if need be."""
        with self.transaction() as connection:
            if not inspect(connection).has_table(meta.name):
                migrations.create(connection)
            facts = migrations.facts_of(connection)
            version = migrations.version_of(facts)
            if version == SCHEMA_VERSION:
                return facts
            if self._path is not None:
                _back_up(self._path, version)
            migrations.migrate(connection, version)
            return migrations.facts_of(connection)


def _back_up(path: Path, version: int) -> None:
    """A copy of the ledger as it is, beside it, before its tables change."""
    copy = path.with_name(f"{path.name}.version-{version}")
    copy.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(copy)) as new:
        old.backup(new)
