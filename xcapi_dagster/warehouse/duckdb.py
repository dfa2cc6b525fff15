"""Orders out of a DuckDB file, which this package never writes to, creates or keeps open."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

import duckdb
import pyarrow as pa
from duckdb.sqltypes import DuckDBPyType

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.query import TIME_COLUMNS, Column, Relation, quoted, select_all

MEMORY_LIMIT: Final = "512MB"
_ROWS_PER_BATCH: Final = 50_000

# One thread, because only then is the order of a query with joins or groups the same every time; it still reads
# several million rows a second. Without replacements, a table's name never means a Python variable.
_SESSION = f"""
    SET threads = 1;
    SET memory_limit = '{MEMORY_LIMIT}';
    SET TimeZone = 'UTC';
    SET enable_progress_bar = false;
    SET python_enable_replacements = false;
"""

_INTEGERS = {"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint"}
_EXACT = {*_INTEGERS, "float", "double", "decimal", "boolean", "varchar", "blob"}


@dataclass(frozen=True, slots=True)
class DuckDB:
    """A DuckDB file."""

    path: Path

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The file of `duckdb:///relative/path` or `duckdb:////absolute/path`, taken as it is written."""
        path = url.removeprefix("duckdb:///")
        if path in ("", url) or path.startswith(":"):
            raise ConfigurationError("XCAPI_WAREHOUSE_URL must name a DuckDB file: duckdb:///FILE, with three slashes")
        return cls(Path(path))

    @contextmanager
    def connect(self, orders: Relation) -> Iterator["DuckDBSession"]:
        """A session on the file, which must exist and which nobody may be writing to."""
        if not self.path.is_file():
            raise ConfigurationError(f"XCAPI_WAREHOUSE_URL names a DuckDB file that does not exist: {self.path}")
        try:
            connection = duckdb.connect(self.path, read_only=True)
        except duckdb.Error as error:
            raise self._cannot_open(error) from None
        with connection:
            connection.execute(_SESSION)
            yield DuckDBSession(connection, orders)

    def _cannot_open(self, error: duckdb.Error) -> ConfigurationError | WarehouseError:
        if isinstance(error, duckdb.ConnectionException) or "lock" in str(error):
            return WarehouseError(f"{self.path} is open for writing; run again when the writer has closed it")
        return ConfigurationError(
            f"XCAPI_WAREHOUSE_URL names a file that DuckDB {duckdb.__version__} cannot open: {self.path}; "
            "check that it is a DuckDB database, not of a newer version, and that this user may read it"
        )


@dataclass(frozen=True, slots=True)
class DuckDBSession:
    """A read-only connection to a DuckDB file."""

    connection: duckdb.DuckDBPyConnection
    orders: Relation
    order_by: ClassVar[tuple[str, ...]] = ()  # one thread keeps the order of insertion, or of the user's query

    def columns(self) -> list[Column]:
        """All columns of the orders, those of types that have no exact Arrow type read as text."""
        try:
            found = self.connection.sql(select_all(self.orders))
        except duckdb.Error as error:
            raise self._cannot_read(error) from None
        return [Column(name, _expression(name, type_)) for name, type_ in zip(found.columns, found.types, strict=True)]

    def schema(self, query: str) -> pa.Schema:
        """The columns that ``query`` would give."""
        try:
            return self.connection.sql(query).limit(0).to_arrow_reader().schema
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self._cannot_read(error) from None

    def stream(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of ``query``. They stream from `sql`; `execute` would keep them all in memory."""
        try:
            yield from self.connection.sql(query).to_arrow_reader(_ROWS_PER_BATCH)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise _interrupted(error) from None

    def _cannot_read(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} {_problem(error)}")


def _expression(name: str, type_: DuckDBPyType) -> str:
    column = quoted(name)
    if type_.id in _EXACT or name.lower() in TIME_COLUMNS or _is_list_of_exact_structs(type_):
        return column
    if name.lower() == "items":
        return f"CAST(to_json({column}) AS VARCHAR)"
    return f"CAST({column} AS VARCHAR)"  # also hugeint, which may not fit Arrow's decimals, and enum


def _is_list_of_exact_structs(type_: DuckDBPyType) -> bool:
    elements = _parts(type_) if type_.id == "list" else []
    return any(element.id == "struct" and all(part.id in _EXACT for part in _parts(element)) for element in elements)


def _parts(type_: DuckDBPyType) -> list[DuckDBPyType]:
    return [part for _, part in type_.children if isinstance(part, DuckDBPyType)]


def _problem(error: Exception) -> str:
    """What is wrong with the orders, from names alone: the rest of DuckDB's message may hold values."""
    message = str(error)
    if missing := re.search(r"Table with name \"?([\w.$]+)\"? does not exist", message):
        return f"cannot be read: the warehouse has no table {missing[1]}"
    if missing := re.search(r"column \"?([\w.$]+)\"? not found", message):
        return f"cannot be read: there is no column {missing[1]}"
    if isinstance(error, duckdb.ParserException):
        return "is not one valid SELECT; run it in DuckDB to see where"
    return f"cannot be read: DuckDB says {type(error).__name__}; run it in DuckDB to see why"


def _interrupted(error: Exception) -> WarehouseError:
    """Reading broke off. DuckDB's message begins with its class ("Conversion Error:"); what follows may hold values."""
    kind = re.match(r"[A-Z][A-Za-z ]{2,30}(?=:)", str(error))
    why = kind[0] if kind else type(error).__name__
    if why == "Out of Memory Error":
        why = f"the query needs more than {MEMORY_LIMIT}; store its result as a table and read that"
    return WarehouseError(f"DuckDB could not read the orders to the end: {why}")
