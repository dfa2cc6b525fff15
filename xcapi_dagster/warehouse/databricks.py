"""Orders out of a Databricks SQL warehouse, through its own connector's Arrow results. Needs the extra `databricks`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Final, Self

import pyarrow as pa
import sqlalchemy as sa
from urllib3.exceptions import HTTPError

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.dialects import Backticks, SqlType
from xcapi_dagster.warehouse.drivers import VARIABLE, driver, parameters, parsed
from xcapi_dagster.warehouse.query import (
    JSON,
    NAME,
    TIME_COLUMNS,
    Column,
    Expression,
    Naming,
    Query,
    Relation,
    column,
    compiled,
    select_all,
)
from xcapi_dagster.warehouse.window import not_a_time

_FORM: Final = "databricks://token:TOKEN@HOST?http_path=/sql/1.0/warehouses/ID&catalog=NAME&schema=NAME"
_DIALECT: Final = Backticks()
_STRING, _INSTANT, _LOCAL, _DATE = (SqlType(name) for name in ("STRING", "TIMESTAMP", "TIMESTAMP_NTZ", "DATE"))
_ZEROS_BEHIND_POINT: Final[Expression] = sa.literal_column("'[.]0+$'")
_NOTHING: Final[Expression] = sa.literal_column("''")
_ROWS_PER_FETCH: Final = 10_000

_TIMES: Final = {"timestamp": pa.timestamp("us", "UTC"), "timestamp_ntz": pa.timestamp("us"), "date": pa.date32()}
_EXACT: Final = {
    "boolean": pa.bool_(), "tinyint": pa.int8(), "smallint": pa.int16(), "int": pa.int32(), "bigint": pa.int64(),
    "float": pa.float32(), "double": pa.float64(), "string": pa.string(), "binary": pa.binary(),
}  # fmt: skip
_NESTED: Final = ("array", "struct", "map", "variant")

# The class of an error, with which Databricks' messages begin -> what is wrong with the orders
_QUERY_PROBLEMS: Final = {
    "TABLE_OR_VIEW_NOT_FOUND": "cannot be read: the warehouse has no such table",
    "UNRESOLVED_COLUMN": "cannot be read: there is no column of a name that it uses",
    "PARSE_SYNTAX_ERROR": "is not one valid SELECT; run it in Databricks to see where",
    "INSUFFICIENT_PERMISSIONS": "may not be read by this user; grant SELECT on it",
}


@dataclass(frozen=True, slots=True)
class Databricks:
    """A SQL warehouse of Databricks."""

    url: sa.URL = field(repr=False)
    naming: ClassVar[Naming] = Naming("table, schema.table, catalog.schema.table", rf"(?:{NAME}\.){{0,2}}{NAME}")

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The warehouse of a URL in the form that Databricks' SQLAlchemy dialect takes."""
        found = parsed(url, _FORM)
        if not found.host or "http_path" not in found.query:
            raise ConfigurationError(f"{VARIABLE} names no host or no http_path: write {_FORM}")
        return cls(found)

    @contextmanager
    def connect(self, orders: Relation) -> Iterator["DatabricksSession"]:
        """A session in UTC; Databricks has none that cannot write: give the token's user SELECT alone."""
        sql = driver("databricks.sql", "Databricks", "databricks")
        errors = (sql.Error, HTTPError)  # where nobody answers, the connector lets urllib3's through
        try:
            connection = sql.connect(
                server_hostname=self.url.host,
                access_token=self.url.password,
                session_configuration={"timezone": "UTC"},
                **parameters(self.url),
            )
        except (*errors, TypeError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"{VARIABLE}: Databricks refuses the connection ({_told(error)}); check host, http_path and token"
            ) from None
        with connection:
            yield DatabricksSession(connection, orders, errors)


@dataclass(frozen=True, slots=True)
class DatabricksSession:
    """A connection to Databricks."""

    connection: Any
    orders: Relation
    errors: tuple[type[Exception], ...]
    has_infinite_times: ClassVar[bool] = False
    order_by: ClassVar[tuple[str, ...]] = ("ordered_at", "order_id")

    def columns(self) -> list[Column]:
        """All columns of the orders, those of types that have no exact Arrow type read as text."""
        text, values = compiled(select_all(self.orders).limit(0), _DIALECT)
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(text, values)
                return [_column(each[0], each[1]) for each in cursor.description]
        except self.errors as error:
            told = _told(error)
            words = f"cannot be read ({told}); run it in Databricks to see why"
            known = (what for name, what in _QUERY_PROBLEMS.items() if told.startswith(name))
            raise ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} {next(known, words)}") from None

    def bound(self, time: datetime | date) -> Expression:
        """``time`` as text that Databricks casts: bound as it is, local time would be taken for an instant."""
        if not isinstance(time, datetime):
            return sa.cast(sa.literal(time.isoformat()), _DATE)
        return sa.cast(sa.literal(time.isoformat(" ")), _INSTANT if time.tzinfo else _LOCAL)

    def stream(self, query: Query, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - read as they come
        """The rows of ``query``, some at a time."""
        text, values = compiled(query, _DIALECT)
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(text, values)
                while (table := cursor.fetchmany_arrow(_ROWS_PER_FETCH)).num_rows:
                    yield from table.to_batches()
        except (*self.errors, pa.ArrowException, OSError) as error:
            raise WarehouseError(f"Databricks could not give the orders to the end ({_told(error)})") from None


def _column(name: str, type_: str) -> Column:
    found, kind = column(name), type_.lower()
    if name.lower() in TIME_COLUMNS:
        if kind in _TIMES:
            return Column(name, found, _TIMES[kind])
        if kind != "string":
            raise not_a_time(name.lower(), kind, "timestamp_seconds({name})")
    if kind in _EXACT:
        return Column(name, found, _EXACT[kind])
    if kind in _NESTED:
        return Column(name, sa.func.to_json(found), JSON)
    text = sa.cast(found, _STRING)
    if kind == "decimal":  # whose digits are not described; an id of 5.00 is 5
        return Column(name, sa.func.regexp_replace(text, _ZEROS_BEHIND_POINT, _NOTHING), pa.string())
    return Column(name, text, pa.string())


def _told(error: Exception) -> str:
    """The class of Databricks' error; its words may hold values, or a part of the URL."""
    named = re.match(r"(?:\W*)\[([A-Z_.]+)\]", str(error))
    return named[1] if named else type(error).__name__
