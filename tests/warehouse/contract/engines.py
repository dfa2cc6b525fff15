"""The kinds of warehouse, each with a way to put the same orders into it, in types of its own."""

import csv
import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from psycopg.types.json import Jsonb
from sqlalchemy.dialects import mysql

from tests.warehouse.contract import fake_bigquery, fake_databricks, fake_snowflake
from tests.warehouse.contract.clouds import Cloud

Kind = Literal["text", "instant", "local", "date", "decimal", "float", "integer", "boolean", "bytes", "items"]
Types = Mapping[str, Kind]  # a column's name -> what it holds
Rows = Sequence[Mapping[str, Any]]

_ITEMS = pa.list_(
    pa.struct(
        [
            ("content_id", pa.string()),
            ("content_group_id", pa.string()),
            ("content_name", pa.string()),
            ("content_price", pa.decimal128(18, 3)),
            ("content_type", pa.string()),
            ("num_items", pa.int64()),
        ]
    )
)
_ARROW: Mapping[Kind, pa.DataType] = {
    "text": pa.string(), "instant": pa.timestamp("us", "UTC"), "local": pa.timestamp("us"), "date": pa.date32(),
    "decimal": pa.decimal128(15, 3), "float": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(),
    "bytes": pa.binary(), "items": _ITEMS,
}  # fmt: skip
_POSTGRES: Mapping[Kind, str] = {
    "text": "text", "instant": "timestamptz", "local": "timestamp", "date": "date", "decimal": "numeric(15, 3)",
    "float": "double precision", "integer": "bigint", "boolean": "boolean", "bytes": "bytea", "items": "jsonb",
}  # fmt: skip
_MYSQL: Mapping[Kind, sa.types.TypeEngine[Any]] = {
    "text": mysql.VARCHAR(500, charset="utf8mb4"), "instant": mysql.TIMESTAMP(fsp=6), "local": mysql.DATETIME(fsp=6),
    "date": sa.Date(), "decimal": sa.Numeric(15, 3), "float": sa.Double(), "integer": sa.BigInteger(),
    "boolean": sa.Boolean(), "bytes": sa.LargeBinary(), "items": mysql.JSON(),
}  # fmt: skip
_SQLITE: Mapping[Kind, str] = {
    "text": "TEXT", "instant": "DATETIME", "local": "DATETIME", "date": "DATE", "decimal": "NUMERIC(15, 3)",
    "float": "REAL", "integer": "INTEGER", "boolean": "BOOLEAN", "bytes": "BLOB", "items": "JSON",
}  # fmt: skip


class Engine(Protocol):
    """A warehouse with no orders in it yet."""

    url: str

    def create(self, types: Types, rows: Rows) -> None:
        """Make the table `orders`."""


def table_of(types: Types, rows: Rows) -> pa.Table:
    """The orders in Arrow's types."""
    return pa.Table.from_pylist([dict(row) for row in rows], pa.schema([(n, _ARROW[t]) for n, t in types.items()]))


@dataclass
class DuckDBEngine:
    """A DuckDB file."""

    folder: Path

    @property
    def url(self) -> str:
        """The URL by which the package reads it."""
        return f"duckdb:///{self.folder / 'shop.duckdb'}"

    def create(self, types: Types, rows: Rows) -> None:
        """Make the table `orders`."""
        with duckdb.connect(self.folder / "shop.duckdb") as connection:
            connection.from_arrow(table_of(types, rows)).create("orders")


@dataclass
class ParquetEngine:
    """A folder of two Parquet files."""

    folder: Path

    @property
    def url(self) -> str:
        """The URL by which the package reads it."""
        return f"parquet://{self.folder}/orders"

    def create(self, types: Types, rows: Rows) -> None:
        """Write the files."""
        (self.folder / "orders").mkdir()
        table, half = table_of(types, rows), len(rows) // 2
        pq.write_table(table.slice(0, half), self.folder / "orders" / "1.parquet")
        pq.write_table(table.slice(half), self.folder / "orders" / "2.parquet")


@dataclass
class CSVEngine:
    """A CSV file, in which everything is text."""

    folder: Path

    @property
    def url(self) -> str:
        """The URL by which the package reads it."""
        return f"csv://{self.folder}/*.csv"

    def create(self, types: Types, rows: Rows) -> None:
        """Write the file."""
        with (self.folder / "orders.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(types)
            for row in rows:
                writer.writerow([self._text(row[name], types[name]) for name in types])

    def _text(self, value: Any, kind: Kind) -> str:
        if value is None:
            return ""
        return value.hex() if kind == "bytes" else str(_plain(value))


@dataclass
class SQLiteEngine:
    """A SQLite file, in which a time is text and a decimal a float."""

    folder: Path

    @property
    def url(self) -> str:
        """The URL by which the package reads it."""
        return f"sqlite:///{self.folder}/shop.sqlite"

    def create(self, types: Types, rows: Rows) -> None:
        """Make the table `orders`."""
        columns = ", ".join(f'"{name}" {_SQLITE[type_]}' for name, type_ in types.items())
        connection = sqlite3.connect(self.folder / "shop.sqlite")
        with connection:
            connection.execute(f"CREATE TABLE orders ({columns})")
            marks = ", ".join("?" * len(types))
            values = [[self._value(row[name]) for name in types] for row in rows]
            connection.executemany(f"INSERT INTO orders VALUES ({marks})", values)
        connection.close()

    def _value(self, value: Any) -> Any:
        return float(value) if isinstance(value, Decimal) else value if isinstance(value, bytes) else _plain(value)


@dataclass
class PostgresEngine:
    """A schema of its own in a PostgreSQL server."""

    server: str
    schema: str
    connection: psycopg.Connection[Any]

    @property
    def url(self) -> str:
        """The URL by which the package reads it."""
        return f"{self.server}&options=-csearch_path%3D{self.schema}"

    def create(self, types: Types, rows: Rows) -> None:
        """Make the table `orders`."""
        columns = ", ".join(f'"{name}" {_POSTGRES[type_]}' for name, type_ in types.items())
        self.connection.execute(f"CREATE TABLE orders ({columns})")  # type: ignore[call-overload]
        marks = ", ".join(["%s"] * len(types))
        values = [[self._value(row[name]) for name in types] for row in rows]
        self.connection.cursor().executemany(f"INSERT INTO orders VALUES ({marks})", values)  # type: ignore[arg-type]

    def _value(self, value: Any) -> Any:
        return Jsonb(value, dumps=lambda items: json.dumps(items, default=float)) if isinstance(value, list) else value


@contextmanager
def postgres_engine(server: str) -> Iterator[PostgresEngine]:
    """A schema that is there during the block."""
    schema = f"contract_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}; SET search_path = {schema}; SET TimeZone = 'UTC'")  # type: ignore[call-overload]
        yield PostgresEngine(server, schema, connection)
        connection.execute(f"DROP SCHEMA {schema} CASCADE")  # type: ignore[call-overload]


@dataclass
class MySQLEngine:
    """A database in a MySQL or MariaDB server, which must be there: no package brings one."""

    url: str

    def create(self, types: Types, rows: Rows) -> None:
        """Make the table `orders`."""
        columns = [sa.Column(name, _MYSQL[type_], nullable=True) for name, type_ in types.items()]
        orders = sa.Table("orders", sa.MetaData(), *columns)
        engine = sa.create_engine(self.url.replace("mysql://", "mysql+pymysql://"))
        with engine.begin() as connection:
            connection.exec_driver_sql("SET time_zone = '+00:00'")
            orders.drop(connection, checkfirst=True)
            orders.create(connection)
            connection.execute(orders.insert(), [{name: self._value(row[name]) for name in types} for row in rows])
        engine.dispose()

    def _value(self, value: Any) -> Any:
        return json.loads(json.dumps(value, default=float)) if isinstance(value, list) else value


@dataclass
class CloudEngine:
    """A fake of a warehouse in the cloud."""

    cloud: Cloud
    url: str

    def create(self, types: Types, rows: Rows) -> None:
        """Make the table `orders`."""
        self.cloud.behind.from_arrow(table_of(types, rows)).create("orders")


# the dialect of its SQL -> a URL, and its driver
CLOUDS = {
    "snowflake": ("snowflake://shop:hunter2@org-account/shop/main?warehouse=small", fake_snowflake.driver),
    "databricks": (
        "databricks://token:hunter2@dbc.example.com?http_path=/sql/1.0/warehouses/1&catalog=main",
        fake_databricks.driver,
    ),
    "bigquery": ("bigquery://my-project/main?location=EU", fake_bigquery.driver),
}


@contextmanager
def cloud_engine_of(dialect: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudEngine]:
    """A warehouse whose driver is there during the block."""
    cloud = Cloud(dialect)
    url, driver = CLOUDS[dialect]
    for name, module in driver(cloud).items():
        monkeypatch.setitem(sys.modules, name, module)
    with cloud.behind:
        yield CloudEngine(cloud, url)


def _plain(value: Any) -> Any:
    """A value as a file or SQLite holds it."""
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat(sep=" ")
        case date():
            return value.isoformat()
        case list():
            return json.dumps(value, default=float)
    return value
