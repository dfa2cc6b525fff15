"""Orders out of SQLite, MySQL, Redshift and whatever SQLAlchemy has a dialect for, through a streaming cursor."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.query import (
    JSON,
    TIME_COLUMNS,
    Column,
    Expression,
    Naming,
    Query,
    Relation,
    select,
    select_all,
)
from xcapi_dagster.warehouse.values import decoded, to_arrow
from xcapi_dagster.warehouse.window import not_a_time

_ROWS_PER_FETCH: Final = 2_000
_VARIABLE: Final = "XCAPI_WAREHOUSE_URL"

# dialect -> the driver that this package's extra of that name brings
_DRIVERS: Final[Mapping[str, str]] = {
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "redshift": "redshift+redshift_connector",
}
_EXTRAS: Final[Mapping[str, str]] = {"mysql": "mysql", "mariadb": "mysql", "redshift": "redshift"}

# dialect -> what makes a session unable to write, and shows instants in UTC
_MYSQL_SESSION: Final = ("SET SESSION TRANSACTION READ ONLY", "SET time_zone = '+00:00'")
_SESSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "mysql": _MYSQL_SESSION,
    "mariadb": _MYSQL_SESSION,
    "sqlite": ("PRAGMA query_only = ON",),
}
# https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html
_MYSQL_TIMESTAMP: Final = 7
_MYSQL_JSON: Final = 245
_CASTS: Final[Mapping[str, str]] = {
    "sqlite": "datetime({name}, 'unixepoch')",
    "mysql": "from_unixtime({name})",
    "mariadb": "from_unixtime({name})",
}

# A pattern of what databases say -> what is wrong. The rest of what they say may hold values.
_QUERY_PROBLEMS: Final = {
    r"no such table: ([\w.$]+)|Table '([\w.$]+)' doesn't exist": "cannot be read: the warehouse has no table {}",
    r"no such column: \"?([\w.$]+)|Unknown column '([\w.$]+)'": "cannot be read: there is no column {}",
    r"syntax error|SQL syntax|incomplete input|one statement at a time": (
        "is not one valid SELECT; run it in the database's own client to see where"
    ),
    r"denied": "may not be read by this user; grant SELECT on it",
}


def has_dialect(name: str) -> bool:
    """Whether SQLAlchemy has a dialect of this name, or an extra of this package would bring it."""
    try:
        registry.load(name)
    except NoSuchModuleError:
        return name in _EXTRAS
    return True


@dataclass(frozen=True, slots=True)
class SqlAlchemy:
    """A database by its SQLAlchemy URL."""

    url: sa.URL = field(repr=False)
    naming: ClassVar[Naming] = Naming(is_exact=False)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The database at ``url``; a dialect without a driver gets this package's."""
        try:
            found = sa.make_url(url)
        except (ArgumentError, ValueError):
            raise ConfigurationError(
                f"{_VARIABLE} cannot be read; write DIALECT://USER:PASSWORD@HOST:PORT/DATABASE, "
                "special characters percent-encoded"
            ) from None
        if found.get_backend_name() == "sqlite":  # a path is taken as it is written
            return cls(found.set(database=url.partition(":///")[2].partition("?")[0]))
        return cls(found.set(drivername=_DRIVERS.get(found.drivername, found.drivername)))

    @contextmanager
    def connect(self, orders: Relation) -> Iterator["SqlAlchemySession"]:
        """A session, which cannot write where that is known of the dialect."""
        engine = self._engine()
        try:
            connection = engine.connect()
        except SQLAlchemyError as error:
            raise _cannot_connect(error) from None
        with connection:
            session = SqlAlchemySession(connection, orders)
            session.begin()
            yield session

    def _engine(self) -> sa.Engine:
        name = self.url.get_backend_name()
        try:
            engine = sa.create_engine(_read_only(self.url), poolclass=NullPool, hide_parameters=True)
        except NoSuchModuleError:
            raise ConfigurationError(
                f"{_VARIABLE} is of {name}, for which no SQLAlchemy dialect is installed{_how_to_install(name)}"
            ) from None
        except ImportError as error:
            raise ConfigurationError(
                f"{_VARIABLE} is of {name}, and its driver {error.name} is not installed{_how_to_install(name)}"
            ) from None
        except SQLAlchemyError:
            raise ConfigurationError(f"{_VARIABLE} is not what the SQLAlchemy dialect {name} takes") from None
        if name == "sqlite":
            sa.event.listen(engine, "connect", _read_any_text)
        return engine


@dataclass(frozen=True, slots=True)
class SqlAlchemySession:
    """A connection to a database."""

    connection: sa.Connection
    orders: Relation
    has_infinite_times: ClassVar[bool] = False
    order_by: ClassVar[tuple[str, ...]] = ("ordered_at", "order_id")

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name for this kind of database."""
        return self.connection.dialect.name

    def begin(self) -> None:
        """Make the session one that reads only."""
        try:
            for statement in _SESSIONS.get(self.dialect, ()):
                self.connection.exec_driver_sql(statement)
        except SQLAlchemyError as error:
            raise _cannot_connect(error) from None

    def columns(self) -> list[Column]:
        """All columns of the orders: those that tell time in a type of time or text, all others as text."""
        try:
            described = self._describe()
            return [Column(name, sa.column(name), self._type(name, code)) for name, code in described]
        except DBAPIError as error:
            raise self._cannot_read(error) from None

    def bound(self, time: datetime | date) -> Expression:
        """``time`` as the dialect writes it; a session of MySQL is in UTC, and its values have no zone."""
        if isinstance(time, datetime) and self.dialect in ("mysql", "mariadb"):
            time = time.replace(tzinfo=None)
        return sa.literal(time)

    def stream(self, query: Query, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of ``query``, some at a time."""
        try:
            result = self.connection.execution_options(yield_per=_ROWS_PER_FETCH).execute(query)
            for rows in result.partitions():
                columns = [
                    to_arrow(values, field) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                yield pa.record_batch(columns, schema=schema)
        except DBAPIError as error:
            why = type(error.orig).__name__
            raise WarehouseError(f"{self.dialect} could not give the orders to the end ({why})") from None

    def _describe(self) -> list[tuple[str, Any]]:
        """Names and the driver's codes of types."""
        result = self.connection.execute(select_all(self.orders).limit(0))
        with result:
            assert result.cursor is not None  # noqa: S101 - a SELECT has one
            names, codes = zip(*[(str(each[0]), each[1]) for each in result.cursor.description], strict=True)
        return list(zip(_as_given(names), codes, strict=True))

    def _type(self, name: str, code: Any) -> pa.DataType:
        is_mysql = self.dialect in ("mysql", "mariadb")
        if name.lower() not in TIME_COLUMNS:
            return JSON if is_mysql and code == _MYSQL_JSON else pa.string()
        if is_mysql and code == _MYSQL_TIMESTAMP:
            return pa.timestamp("us", "UTC")
        found: Expression = sa.column(name)
        query = select({name: found}, self.orders, found.is_not(None)).limit(1)
        match self.connection.execute(query).scalar():
            case datetime(tzinfo=None):
                return pa.timestamp("us")
            case datetime():
                return pa.timestamp("us", "UTC")
            case date():
                return pa.date32()
            case str() | None:
                return pa.string()
            case other:
                raise not_a_time(name.lower(), type(other).__name__, _CASTS.get(self.dialect, "to_timestamp({name})"))

    def _cannot_read(self, error: DBAPIError) -> ConfigurationError | WarehouseError:
        if "locked" in str(error.orig):
            return WarehouseError("the warehouse is being written to; run again when the writer is done")
        for pattern, words in _QUERY_PROBLEMS.items():
            if found := re.search(pattern, str(error.orig)):
                name = next((group for group in found.groups() if group), "")
                return ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} {words.format(name)}")
        why = type(error.orig).__name__
        return ConfigurationError(
            f"XCAPI_ORDERS: {self.orders.words} cannot be read ({why}); run it in the database's own client to see why"
        )


def _as_given(names: Sequence[str]) -> list[str]:
    """Columns as a query names them: of two called `email`, SQLite calls the second `email:1`."""
    known = {name.lower() for name in names}
    firsts = [re.sub(r":\d+$", "", name) for name in names]
    return [first if first.lower() in known else name for name, first in zip(names, firsts, strict=True)]


def _read_only(url: sa.URL) -> sa.URL:
    """The URL of a SQLite file that must exist and is not written to; any other as it is."""
    if url.get_backend_name() != "sqlite":
        return url
    path = Path(url.database or "")
    if not url.database or url.database.startswith((":", "file:")):
        raise ConfigurationError(f"{_VARIABLE} must name a SQLite file: sqlite:///FILE, with three slashes")
    try:
        if not path.is_file():
            raise ConfigurationError(f"{_VARIABLE} names a SQLite file that does not exist: {path}")
    except OSError as error:
        raise ConfigurationError(f"{_VARIABLE}: {path} cannot be read ({error.strerror})") from None
    return url.set(database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})


def _read_any_text(connection: Any, _record: object) -> None:
    """Let SQLite give text that is not UTF-8 as a row's fault, not as a failure."""
    connection.text_factory = decoded


def _how_to_install(name: str) -> str:
    return f": pip install 'xcapi-dagster[{_EXTRAS[name]}]'" if name in _EXTRAS else ""


def _cannot_connect(error: SQLAlchemyError) -> ConfigurationError:
    """The database's own words may hold a part of the URL."""
    why = type(getattr(error, "orig", None) or error).__name__
    return ConfigurationError(
        f"{_VARIABLE}: the database cannot be opened ({why}); check host, port, user, password and database"
    )
