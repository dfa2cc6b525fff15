"""Orders out of Snowflake, through its own connector's Arrow results. Needs the extra `snowflake`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Final, Self

import pyarrow as pa
import sqlalchemy as sa

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.dialects import SqlType, Standard
from xcapi_dagster.warehouse.drivers import VARIABLE, all_of, driver, parameters, parsed
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

_FORM: Final = "snowflake://USER:PASSWORD@ACCOUNT/DATABASE/SCHEMA?warehouse=NAME&role=NAME"
_DIALECT: Final = Standard()
_INSTANT, _LOCAL, _DATE = SqlType("TIMESTAMP_TZ"), SqlType("TIMESTAMP_NTZ(6)"), SqlType("DATE")
_UTC: Final[Expression] = sa.literal_column("'UTC'")  # no value from outside, and Snowflake wants a constant

# The connector's codes of types (snowflake.connector.constants.FIELD_ID_TO_NAME)
_FIXED, _TEXT, _DAY = 0, 2, 3
_EXACT: Final = {1: pa.float64(), _TEXT: pa.string(), _DAY: pa.date32(), 11: pa.binary(), 13: pa.bool_()}
_WITH_ZONE: Final = (6, 7)  # TIMESTAMP_LTZ, TIMESTAMP_TZ
_WITHOUT_ZONE: Final = 8
_SEMI_STRUCTURED: Final = (5, 9, 10)  # VARIANT, OBJECT, ARRAY

# Snowflake's number of an error -> what is wrong with the orders
_QUERY_PROBLEMS: Final = {
    2003: "cannot be read: the warehouse has no such table, or this role may not read it",
    904: "cannot be read: there is no column of a name that it uses",
    1003: "is not one valid SELECT; run it in Snowflake to see where",
}


@dataclass(frozen=True, slots=True)
class Snowflake:
    """A Snowflake account; what the URL says after the question mark goes to the connector as it is."""

    url: sa.URL = field(repr=False)
    naming: ClassVar[Naming] = Naming(
        "table, schema.table, database.schema.table", rf"(?:{NAME}\.){{0,2}}{NAME}", is_exact=False
    )

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The account of a URL in the form that Snowflake's SQLAlchemy dialect takes."""
        found = parsed(url, _FORM)
        if not found.host:
            raise ConfigurationError(f"{VARIABLE} names no account: write {_FORM}")
        return cls(found)

    @contextmanager
    def connect(self, orders: Relation) -> Iterator["SnowflakeSession"]:
        """A session in UTC; Snowflake has none that cannot write: give the user a role that can only read."""
        connector = driver("snowflake.connector", "Snowflake", "snowflake")
        database, _, schema = (self.url.database or "").partition("/")
        names = {"user": self.url.username, "password": self.url.password, "database": database, "schema": schema}
        try:
            connection = connector.connect(
                account=self.url.host,
                **{name: value for name, value in names.items() if value},
                **parameters(self.url),
                paramstyle="qmark",
                session_parameters={"TIMEZONE": "UTC"},
            )
        except (connector.Error, TypeError, ValueError, OSError) as error:
            told = _told(error)
            raise ConfigurationError(
                f"{VARIABLE}: Snowflake refuses the connection ({told}); check account, user, credentials and role"
            ) from None
        with connection:
            yield SnowflakeSession(connection, orders, connector.Error)


@dataclass(frozen=True, slots=True)
class SnowflakeSession:
    """A connection to Snowflake."""

    connection: Any
    orders: Relation
    error: type[Exception]
    has_infinite_times: ClassVar[bool] = False
    order_by: ClassVar[tuple[str, ...]] = ("ordered_at", "order_id")

    def columns(self) -> list[Column]:
        """All columns of the orders, described without running the query."""
        text, values = compiled(select_all(self.orders), _DIALECT)
        try:
            with self.connection.cursor() as cursor:
                found = cursor.describe(text, values)
        except self.error as error:
            number = getattr(error, "errno", None)
            words = _QUERY_PROBLEMS.get(number or 0, f"cannot be read ({_told(error)}); run it in Snowflake to see why")
            raise ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} {words}") from None
        return [_column(each.name, each.type_code, each.precision, each.scale) for each in found]

    def bound(self, time: datetime | date) -> Expression:
        """``time`` as text that Snowflake casts: bound as it is, it would lose its zone."""
        if not isinstance(time, datetime):
            return sa.cast(sa.literal(time.isoformat()), _DATE)
        return sa.cast(sa.literal(time.isoformat(" ")), _INSTANT if time.tzinfo else _LOCAL)

    def stream(self, query: Query, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - read as they come
        """The rows of ``query``, chunk by chunk as Snowflake cuts the result."""
        text, values = compiled(query, _DIALECT)
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(text, values)
                batches = (batch for table in cursor.fetch_arrow_batches() for batch in table.to_batches())
                yield from all_of(cursor.rowcount, batches, "Snowflake")
        except (self.error, pa.ArrowException, OSError) as error:
            raise WarehouseError(f"Snowflake could not give the orders to the end ({_told(error)})") from None


def _column(name: str, code: int, precision: int | None, scale: int | None) -> Column:
    found, is_time = column(name), name.lower() in TIME_COLUMNS
    if code in _WITH_ZONE:  # in Arrow, a TIMESTAMP_TZ is a struct; in UTC and without its zone it is a time
        in_utc = sa.cast(sa.func.convert_timezone(_UTC, found), _LOCAL)
        return Column(name, in_utc, pa.timestamp("us", "UTC"), compared=found)
    if code == _WITHOUT_ZONE:
        return Column(name, sa.cast(found, _LOCAL), pa.timestamp("us"), compared=found)
    if is_time and code not in (_TEXT, _DAY):
        raise not_a_time(name.lower(), f"type {code} of Snowflake")
    if code in _EXACT and (is_time or code != _DAY):
        return Column(name, found, _EXACT[code])
    if code in _SEMI_STRUCTURED:
        return Column(name, sa.func.to_json(found), JSON)
    # as text a number is exact, whatever the connector makes of numbers
    is_number = code == _FIXED and precision is not None and scale is not None
    return Column(name, sa.func.to_varchar(found), pa.decimal128(precision, scale) if is_number else pa.string())


def _told(error: Exception) -> str:
    """What kind of error it is, without its words: they may hold values, or a part of the URL."""
    number = getattr(error, "errno", None)
    return f"error {number}" if isinstance(number, int) and number > 0 else type(error).__name__
