"""Orders out of PostgreSQL through ADBC, which streams by COPY in bounded memory. Needs the extra `postgres`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, ClassVar, Final, Self

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDialect

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.drivers import driver
from xcapi_dagster.warehouse.query import (
    JSON,
    NUMBER_COLUMNS,
    TIME_COLUMNS,
    Column,
    Expression,
    Naming,
    Query,
    Relation,
    column,
    select_all,
)

if TYPE_CHECKING:  # an extra: imported only when a PostgreSQL warehouse is opened
    from adbc_driver_manager.dbapi import Connection

_BATCH_SIZE: Final = {"adbc.postgresql.batch_size_hint_bytes": str(4 << 20)}
_SECONDS_TO_CONNECT: Final = 10
# other styles of parameters would double each percent sign
_DIALECT: Final = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]
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
    naming: ClassVar[Naming] = Naming()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The database of a URL of libpq's, or of SQLAlchemy's, which names another driver after a plus."""
        scheme, _, rest = url.partition("://")
        return cls(f"{scheme.partition('+')[0]}://{rest}")

    @contextmanager
    def connect(self, orders: Relation) -> Iterator["PostgresSession"]:
        """A session in one read-only transaction."""
        dbapi = driver("adbc_driver_postgresql.dbapi", "PostgreSQL", "postgres")
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
    has_infinite_times: ClassVar[bool] = True
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
        """All columns of the orders, those of types that have no exact Arrow type read as text.

        The query is run, without a row, because only then rights are checked.
        """
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(_text(select_all(self.orders).limit(0)))
                found = cursor.fetch_record_batch().schema
        except self.connection.Error as error:
            raise ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} {_problem(error)}") from None
        return [_column(each.name, each.type) for each in found]

    def bound(self, time: datetime | date) -> Expression:
        """``time`` as it is: PostgreSQL gives a literal the type that it is compared with."""
        return sa.literal(time)

    def stream(self, query: Query, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - the types are right
        """The rows of ``query``, in batches of a few megabytes."""
        try:
            with self.connection.cursor() as cursor:
                cursor.adbc_statement.set_options(**_BATCH_SIZE)
                cursor.execute(_text(query))
                yield from cursor.fetch_record_batch()
        except (self.connection.Error, pa.ArrowException, OSError) as error:
            raise _interrupted(error) from None


def _text(query: Query) -> str:
    """The text of ``query`` with its values as literals, which SQLAlchemy writes.

    PostgreSQL streams by COPY, which takes no parameters, and keeps the whole result of a query with parameters in
    memory.
    """
    return str(query.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _column(name: str, type_: pa.DataType) -> Column:
    found: Expression = column(name)
    is_time = name.lower() in TIME_COLUMNS
    if name.lower() == "updated_at" and pa.types.is_temporal(type_):  # no window has an infinite ordered_at
        found = _without_infinity(found)
    if type_ in _EXACT or (is_time and not pa.types.is_string(type_)):
        return Column(name, found, type_)
    if pa.types.is_int64(type_):  # bigint, but also money, which would become a number of cents
        return Column(name, sa.cast(sa.cast(found, sa.Numeric), sa.Text), pa.string())
    if isinstance(type_, pa.JsonType):
        return Column(name, sa.cast(found, sa.Text), JSON)
    if pa.types.is_nested(type_):
        return Column(name, sa.cast(sa.func.to_json(found), sa.Text), JSON)
    if _is_numeric(type_) and name.lower() not in NUMBER_COLUMNS:  # an id of 5.00 is 5
        return Column(name, sa.cast(sa.func.trim_scale(found), sa.Text), pa.string())
    # also char(n), enum and citext, which lose their padding and their own comparisons
    return Column(name, sa.cast(found, sa.Text), pa.string())


def _without_infinity(times: Expression) -> Expression:
    """The times with the end of the calendar for `infinity`, which on its way to Arrow becomes a time before all."""
    return sa.case((times == sa.literal_column("'infinity'"), sa.literal_column("'9999-12-31'")), else_=times)


def _is_numeric(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.OpaqueType) and type_.type_name == "numeric"


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
