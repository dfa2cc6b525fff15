"""Orders out of PostgreSQL through ADBC, which streams by COPY in bounded memory. Needs the extra `postgres`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

import pyarrow as pa

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.query import TIME_COLUMNS, Column, Relation, quoted, select_all

if TYPE_CHECKING:  # an extra: imported only when a PostgreSQL warehouse is opened
    from adbc_driver_manager.dbapi import Connection

_BATCH_SIZE: Final = {"adbc.postgresql.batch_size_hint_bytes": str(4 << 20)}
_SECONDS_TO_CONNECT: Final = 10
_EXACT: Final = (pa.bool_(), pa.int16(), pa.int32(), pa.float32(), pa.float64(), pa.binary())

# A pattern of what libpq or the server says -> what is wrong. Their own words are never passed on: where a password
# holds a bare "@" or "/", they quote a part of it.
_CONNECTION_PROBLEMS: Final = {
    r"\bURI\b|invalid (integer value|port)": (
        "it cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters percent-encoded"
    ),
    r"translate host name": "its host is unknown; check the name, and percent-encode what is special in the password",
    r"pg_hba\.conf": "the server lets nobody of this name in from here; check user, network and sslmode",
    r"authentication failed|no password supplied|role .* does not exist": "the server refuses this user or password",
    r"database .* does not exist": "the server has no database of this name",
    r"refused|timeout|timed out|unreachable|No (such file|route)": "no server answers there; check host and port",
    r"SSL|certificate": "TLS cannot be agreed on; check sslmode and the certificates",
}

# SQLSTATE -> what is wrong (https://www.postgresql.org/docs/current/errcodes-appendix.html)
_QUERY_PROBLEMS: Final = {
    "42P01": "cannot be read: the warehouse has no table {name}",
    "42703": "cannot be read: there is no column {name}",
    "42501": "may not be read by this user; grant SELECT on it",
    "42601": "is not one valid SELECT; run it in psql to see where",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL database, by its libpq URL."""

    url: str = field(repr=False)

    @contextmanager
    def connect(self, orders: Relation) -> Iterator["PostgresSession"]:
        """A session in one read-only transaction."""
        try:
            from adbc_driver_postgresql import dbapi  # noqa: PLC0415  an extra, and slow to import
        except ImportError:
            raise ConfigurationError(
                "XCAPI_WAREHOUSE_URL is of PostgreSQL, and its driver is not installed: "
                "pip install 'xcapi-dagster[postgres]'"
            ) from None
        try:
            connection = dbapi.connect(self._url_with_patience())
        except dbapi.Error as error:
            raise _cannot_connect(error) from None
        with connection:
            session = PostgresSession(connection, orders)
            session.begin()
            yield session

    def _url_with_patience(self) -> str:
        """The URL with an end to the wait for a host that never answers, unless it sets one."""
        if "connect_timeout=" in self.url:
            return self.url
        return f"{self.url}{'&' if '?' in self.url else '?'}connect_timeout={_SECONDS_TO_CONNECT}"


@dataclass(frozen=True, slots=True)
class PostgresSession:
    """A read-only connection to a PostgreSQL database."""

    connection: "Connection"
    orders: Relation
    order_by: ClassVar[tuple[str, ...]] = ("ordered_at", "order_id")  # a table has no order of its own

    def begin(self) -> None:
        """Start the one transaction of this session."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
                cursor.execute("SET LOCAL TIME ZONE 'UTC'")
        except self.connection.Error as error:
            raise _cannot_connect(error) from None

    def columns(self) -> list[Column]:
        """All columns of the orders, those of types that have no exact Arrow type read as text."""
        found = self.schema(select_all(self.orders))
        return [Column(column.name, _expression(column.name, column.type)) for column in found]

    def schema(self, query: str) -> pa.Schema:
        """The columns that ``query`` would give; run without a row, because only then rights are checked."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(f"{query}\nLIMIT 0")
                return cursor.fetch_record_batch().schema
        except self.connection.Error as error:
            raise ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} {_problem(error)}") from None

    def stream(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of ``query``, in batches of a few megabytes."""
        try:
            with self.connection.cursor() as cursor:
                cursor.adbc_statement.set_options(**_BATCH_SIZE)
                cursor.execute(query)
                yield from cursor.fetch_record_batch()
        except (self.connection.Error, pa.ArrowException, OSError) as error:
            raise _interrupted(error) from None


def _expression(name: str, type_: pa.DataType) -> str:
    column = quoted(name)
    if type_ in _EXACT or (name.lower() in TIME_COLUMNS and not pa.types.is_string(type_)):
        return column
    if pa.types.is_int64(type_):  # bigint, but also money, which would become a number of cents
        return f"{column}::numeric::text"
    if pa.types.is_nested(type_):
        return f"to_json({column})::text"
    return f"{column}::text"  # also char(n), enum and citext, which lose their padding and their own comparisons


def _cannot_connect(error: Exception) -> ConfigurationError:
    message = str(error)
    problems = (words for pattern, words in _CONNECTION_PROBLEMS.items() if re.search(pattern, message))
    return ConfigurationError(f"XCAPI_WAREHOUSE_URL: {next(problems, 'the server does not accept the connection')}")


def _problem(error: Exception) -> str:
    """What is wrong with the orders, from the SQLSTATE and names alone: the rest of a message may hold values."""
    state = getattr(error, "sqlstate", None)
    missing = re.search(r"(?:relation|column) \"?([\w.$]+)\"? does not exist", str(error))
    words = _QUERY_PROBLEMS.get(state or "", f"cannot be read (SQLSTATE {state}); run it in psql to see why")
    return words.format(name=missing[1] if missing else "of a name that it uses")


def _interrupted(error: Exception) -> WarehouseError:
    """Reading broke off. Nothing of the message is passed on, since it may hold values of a row."""
    state = getattr(error, "sqlstate", None)
    why = f"SQLSTATE {state}" if state else "the connection broke or the query failed on a row"
    return WarehouseError(f"PostgreSQL could not give the orders to the end: {why}; its log has the reason")
