"""Connections to the ledger's database that lose nothing and wait for nobody for ever.

SQLite in WAL mode with full synchronization by default, since a claim that a power cut forgets is an order sent
twice; PostgreSQL when runs are on several machines.
"""

import re
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from xcapi_dagster.delivery import sqlite_file
from xcapi_dagster.errors import ConfigurationError, LedgerError

BUSY_SECONDS = 60
_GARBLED = "Could not decode to UTF-8"  # the words of the module sqlite3, which quotes the text after them
_WAL_RETRY_SECONDS = 0.02
_CONNECT_SECONDS = 10

# What to do about what PostgreSQL says, by its SQLSTATE.
_ADVICE: Mapping[str, str] = {
    "53100": "free some space on the server's disk and run again: what was not settled is unknown, not lost",
    "55P03": "another process holds it: run again when that has ended",
    "25006": "the server takes no writes, as a standby does: let XCAPI_LEDGER_URL name the primary",
}

# A pattern of what the driver or the server says of a connection -> what is wrong. Their own words are never passed on:
# they quote users, databases and hosts, and take for the host what follows a bare "@" in a password.
_CONNECTION_PROBLEMS: Final = {
    r"connection option|bad value|invalid (integer value|port)|invalid \w+ value": (
        "the URL cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters "
        "percent-encoded"
    ),
    r"resolve host|label (empty|too long)": (
        "its host is unknown; check the name, and percent-encode what is special in the password"
    ),
    r"pg_hba\.conf": "the server lets nobody of this name in from here; check user, network and sslmode",
    r"authentication failed|no password supplied|role .* does not exist": "the server refuses this user or password",
    r"database .* does not exist": "the server has no database of this name",
    r"too many (clients|connections)|connection slots|starting up|shutting down": (
        "the server takes no more connections now; run again later"
    ),
    r"refused|timeout|timed out|unreachable|No (such file|route)": "no server answers there; check host and port",
    r"SSL|certificate": "TLS cannot be agreed on; check sslmode and the certificates",
}
# The classes of SQLSTATE that are about a connection; a proxy that pools some may refuse one at any statement.
_OF_CONNECTIONS: Final = ("08", "28", "3D")


def engine_for(url: str) -> Engine:
    """An engine for the ledger at ``url``; nothing is connected or created. Raises ConfigurationError."""
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


def file_of(engine: Engine) -> Path | None:
    """The ledger's file, None where it is on a server."""
    return Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None


def check_ledger_url(url: str) -> None:
    """Raise ConfigurationError unless a ledger can be at ``url``. Nothing is created."""
    engine = engine_for(url)
    path = file_of(engine)
    try:
        if path is None:
            engine.connect().close()
        elif not sqlite_file.could_be_a_ledger(path):
            raise ConfigurationError("XCAPI_LEDGER_URL names a file that is no SQLite database or cannot be written")
    except SQLAlchemyError:
        raise ConfigurationError("XCAPI_LEDGER_URL: the database cannot be reached; check host and sign-in") from None
    finally:
        engine.dispose()


def may_exist(url: str) -> bool:
    """False where there is certainly no ledger at ``url``: of one on a server, nobody is asked.

    Raises ConfigurationError where this user may not look.
    """
    path = file_of(engine_for(url))
    try:
        return path is None or path.exists()
    except OSError as error:
        raise ConfigurationError(f"XCAPI_LEDGER_URL names a file that cannot be used: {error.strerror}") from None


def failed(error: Exception) -> LedgerError:
    """What went wrong in one line, and what to do; it may name files and tables, never parameters or a user."""
    original = getattr(error, "orig", None) or error
    words = _words(original)
    if words.startswith(_GARBLED):
        return LedgerError(f"the ledger is damaged (a text in it is not as it was written): {sqlite_file.RESTORE}")
    code = getattr(original, "sqlite_errorcode", 0) & 0xFF  # the lower byte is the primary one
    advice = sqlite_file.ADVICE.get(code) or _ADVICE.get(getattr(original, "sqlstate", None) or "")
    told = f"the ledger could not be written or read ({words})"
    return LedgerError(f"{told}: {advice}" if advice else told)


def _words(error: Exception) -> str:
    """The driver's own words, the first line of them; ours where they are about a connection."""
    lines = str(error).strip().splitlines()
    if (getattr(error, "sqlstate", None) or "").startswith(_OF_CONNECTIONS):
        return _connection_problem(str(error))
    return lines[0] if lines else type(error).__name__


def _connection_problem(said: str) -> str:
    problems = (words for pattern, words in _CONNECTION_PROBLEMS.items() if re.search(pattern, said))
    return next(problems, "the server does not accept the connection")


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
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", lambda connection: connection.connection.execute("BEGIN IMMEDIATE"))
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    _use_wal(connection)
    for pragma in ("synchronous = FULL", "fullfsync = ON", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: Any) -> None:
    """The one statement for which SQLite does not wait when several processes open a new file at once."""
    deadline = time.monotonic() + BUSY_SECONDS
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
            isolation_level="READ COMMITTED",  # whoever waited for the lock must see what was written meanwhile
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS},
        )
    except ModuleNotFoundError:
        raise ConfigurationError(
            "XCAPI_LEDGER_URL names PostgreSQL; its driver is missing: pip install 'xcapi-dagster[postgres]'"
        ) from None
    except ArgumentError:
        raise ConfigurationError("XCAPI_LEDGER_URL has a parameter that PostgreSQL does not know") from None
    event.listen(engine, "do_connect", _connect_to_postgresql)
    event.listen(engine, "connect", _configure_postgresql)
    return engine


def _connect_to_postgresql(dialect: Dialect, _record: object, arguments: Any, named: Any) -> Any:
    """A connection of the driver's. What it raises says in our words why there is none."""
    try:
        return dialect.connect(*arguments, **named)
    except (dialect.loaded_dbapi.Error, UnicodeError) as error:  # the latter for what can be no host's name
        raise dialect.loaded_dbapi.OperationalError(_connection_problem(str(error))) from None


def _configure_postgresql(connection: Any, _record: object) -> None:
    """A commit is on the disk; nobody waits for ever, neither for a process that stands still nor as that process."""
    connection.execute("SET synchronous_commit = 'on'")
    for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(f"SET {setting} = '{BUSY_SECONDS}s'")
    connection.commit()
