"""The ledger's database: opening it safely, one writer at a time, one clock.

SQLite in WAL mode with full synchronization by default, since a claim that a power cut forgets is an order sent
twice; PostgreSQL, with its own clock, when runs are on several machines.
"""

import os
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, inspect, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from xcapi_dagster.delivery.tables import SCHEMA_VERSION, meta, metadata
from xcapi_dagster.errors import ConfigurationError, LedgerError

_ADVISORY_LOCK = 0x7863_6170_6964_6167  # any number that no other application uses: "xcapidag"
_BUSY_SECONDS = 60
_WAL_RETRY_SECONDS = 0.02
_CONNECT_SECONDS = 10
_DATABASE_TIME = text("SELECT extract(epoch FROM clock_timestamp())")


class Database:
    """A connection to the ledger. Safe for threads: transactions of one process queue here, not in the database."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        """Connect to ``url``, creating the tables on first use.

        Raises ConfigurationError for a URL that names no usable database and LedgerError for one that is damaged,
        unreachable, or written by a newer version of this package.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._engine = _engine(url)
        if self._engine.dialect.name == "sqlite":
            _create_file(Path(str(self._engine.url.database)))
        self.is_shared = self._engine.dialect.name != "sqlite"
        try:
            self.salt = self._opened()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One durable transaction that no other of any process overlaps. Raises LedgerError when it fails."""
        try:
            with self._lock, self._engine.begin() as connection:
                if self.is_shared:
                    connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
                yield connection
        except SQLAlchemyError as error:
            raise _failed(error) from None

    def now(self, connection: Connection | None = None) -> float:
        """Seconds since 1970: the database's clock where several machines share it, else this machine's.

        Without a ``connection`` nobody is waited for. Raises LedgerError when the database does not answer.
        """
        if not self.is_shared:
            return self._clock()
        if connection is not None:
            return float(connection.execute(_DATABASE_TIME).scalar_one())
        try:
            with self._engine.connect() as own:
                return float(own.execute(_DATABASE_TIME).scalar_one())
        except SQLAlchemyError as error:
            raise _failed(error) from None

    def next_revision(self, connection: Connection) -> int:
        """A number greater than that of every earlier change, for the rows that this transaction changes."""
        revision = 1 + self.revision(connection)
        connection.execute(update(meta).where(meta.c.name == "revision").values(value=str(revision)))
        return revision

    def revision(self, connection: Connection) -> int:
        """The number of the latest change."""
        return int(connection.execute(select(meta.c.value).where(meta.c.name == "revision")).scalar_one())

    def close(self) -> None:
        """Give back all connections; used again, the database opens new ones."""
        self._engine.dispose()

    def _opened(self) -> bytes:
        """The ledger's salt, after its tables were made, if need be, and found to be this version's."""
        with self.transaction() as connection:
            if not inspect(connection).has_table(meta.name):
                _create(connection)
            facts = {row.name: row.value for row in connection.execute(select(meta))}
        version = facts.get("schema_version", "")
        if not version.isdecimal() or "salt" not in facts:
            raise LedgerError("XCAPI_LEDGER_URL names a database that has another application's table `meta`")
        if int(version) != SCHEMA_VERSION:
            raise LedgerError(
                f"the ledger has schema version {version} and this package reads {SCHEMA_VERSION}: "
                "install the version of xcapi-dagster that wrote it, or a newer one"
            )
        return bytes.fromhex(facts["salt"])


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    facts = {"schema_version": str(SCHEMA_VERSION), "salt": secrets.token_hex(16), "revision": "0"}
    connection.execute(insert(meta), [{"name": name, "value": value} for name, value in facts.items()])


def check_ledger_url(url: str) -> None:
    """Raise ConfigurationError unless a ledger can be at ``url``. Nothing is created."""
    engine = _engine(url)
    try:
        if engine.dialect.name != "sqlite":
            engine.connect().close()
        elif not _could_be_a_ledger(Path(str(engine.url.database))):
            raise ConfigurationError("XCAPI_LEDGER_URL names a file that is no SQLite database or cannot be written")
    except SQLAlchemyError:
        raise ConfigurationError("XCAPI_LEDGER_URL: the database cannot be reached; check host and sign-in") from None
    finally:
        engine.dispose()


def _could_be_a_ledger(path: Path) -> bool:
    existing = next(each for each in (path, *path.parents) if each.exists())
    if existing != path:
        return existing.is_dir() and os.access(existing, os.W_OK)
    with suppress(OSError), path.open("rb") as file:
        return os.access(path, os.W_OK) and file.read(16) in (b"", b"SQLite format 3\0")
    return False


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter, for a port that is no number, quotes what may be a password
        raise ConfigurationError("XCAPI_LEDGER_URL is not a database URL such as sqlite:////path/ledger.db") from None
    dialect = parsed.get_backend_name()
    if dialect == "sqlite":
        return _sqlite(parsed)
    if dialect in ("postgresql", "postgres"):
        return _postgresql(parsed)
    raise ConfigurationError("XCAPI_LEDGER_URL: the ledger is SQLite (sqlite:////path) or PostgreSQL (postgresql://)")


def _sqlite(url: URL) -> Engine:
    if sys.platform == "win32":
        raise ConfigurationError("XCAPI_LEDGER_URL: a SQLite ledger is not supported on Windows; use PostgreSQL")
    path = Path(url.database or ":memory:")
    if not path.is_absolute():
        raise ConfigurationError(
            "XCAPI_LEDGER_URL must name a file by its absolute path, sqlite:////path/ledger.db: a ledger in memory or "
            "in another folder would forget what was sent"
        )
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _create_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives -wal and -shm the same mode
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be written ({error.strerror}): check its folder") from None


def _configure_sqlite(connection: Any, _record: object) -> None:
    _use_wal(connection)
    for pragma in ("synchronous = FULL", "fullfsync = ON", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: Any) -> None:
    """The one statement for which SQLite does not wait when several processes open a new file at once."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
        else:
            return


def _postgresql(url: URL) -> Engine:
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS},
        )
    except ModuleNotFoundError:
        raise ConfigurationError(
            "XCAPI_LEDGER_URL names PostgreSQL; its driver is missing: pip install 'xcapi-dagster[postgres]'"
        ) from None
    event.listen(engine, "connect", _configure_postgresql)
    return engine


def _configure_postgresql(connection: Any, _record: object) -> None:
    """Nobody waits for ever, neither for a process that stands still in a transaction nor as that process."""
    for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(f"SET {setting} = '{_BUSY_SECONDS}s'")
    connection.commit()


def _failed(error: SQLAlchemyError) -> LedgerError:
    """The driver's own words in one line; they name files and hosts, never parameters."""
    original = getattr(error, "orig", None) or error
    lines = str(original).strip().splitlines()
    return LedgerError(f"the ledger could not be written or read ({lines[0] if lines else type(original).__name__})")
