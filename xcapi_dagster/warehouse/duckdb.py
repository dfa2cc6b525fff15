"""Orders out of a DuckDB file, which this package never writes to, creates or keeps open."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import ClassVar, Final, Self

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from duckdb.sqltypes import DuckDBPyType

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.dialects import SqlType, Standard
from xcapi_dagster.warehouse.query import (
    JSON,
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

MEMORY_LIMIT: Final = "512MB"
_ROWS_PER_BATCH: Final = 2048  # as DuckDB itself works, so that memory is bounded where rows are large
_BATCHES_KEPT: Final = 100  # whose blocks of the file stay in memory
_ROOM_BYTES: Final = 8 << 20  # for the blocks that are being read
_DIALECT: Final = Standard()
_INSTANT_NS: Final = SqlType("TIMESTAMPTZ_NS")

# One thread, because only then is the order of a query with joins or groups the same every time; it still reads
# several million rows a second. Without replacements, a table's name never means a Python variable.
_SESSION = f"""
    SET threads = 1;
    SET memory_limit = '{MEMORY_LIMIT}';
    SET TimeZone = 'UTC';
    SET enable_progress_bar = false;
    SET python_enable_replacements = false;
"""

_WORKING_MEMORY = """
    SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()
    WHERE tag NOT IN ('BASE_TABLE', 'EXTERNAL_FILE_CACHE')
"""

_INTERRUPTED = "Query interrupted"  # DuckDB's whole message
_MIXED_LINE_ENDS = "CSV Parser state machine reached an invalid state"  # as it says of them, and of nothing else

# `md:shop`, `s3://bucket/shop.duckdb` and the like, but not the drive of `C:/shop.duckdb`
_ELSEWHERE = re.compile(r"/*[A-Za-z][A-Za-z0-9+.-]+:")

_INTEGERS = {"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint"}
_EXACT = {*_INTEGERS, "float", "double", "decimal", "boolean", "varchar", "blob"}
_NESTED = {"list", "array", "struct", "map", "union"}
_TEXT_BYTES = 100_000  # longer texts are too long for any column
_ITEMS_BYTES = 800_000  # of items, with fields that are not read
_LONG_ITEMS = f'[{{"content_id":"{"x" * (_TEXT_BYTES + 1)}"}}]'  # in place of longer ones, of which a part is no JSON


@dataclass(frozen=True, slots=True)
class DuckDB:
    """A DuckDB file."""

    path: Path
    naming: ClassVar[Naming] = Naming()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The file of `duckdb:///relative/path` or `duckdb:////absolute/path`, taken as it is written."""
        path = url.removeprefix("duckdb:///")
        if path in ("", url) or path.startswith(":"):
            raise ConfigurationError("XCAPI_WAREHOUSE_URL must name a DuckDB file: duckdb:///FILE, with three slashes")
        if "?" in path or _ELSEWHERE.match(path):  # then it may hold a token, and is not shown
            raise ConfigurationError(
                "XCAPI_WAREHOUSE_URL must name a DuckDB file on this machine, duckdb:///FILE, without parameters or "
                "tokens: MotherDuck and files elsewhere are not read, and a file needs no credentials"
            )
        return cls(Path(path))

    @contextmanager
    def connect(self, orders: Relation) -> Iterator["DuckDBSession"]:
        """A session on the file, which must exist and which nobody may be writing to."""
        try:
            if not self.path.is_file():
                raise ConfigurationError(f"XCAPI_WAREHOUSE_URL names a DuckDB file that does not exist: {self.path}")
            connection = duckdb.connect(self.path, read_only=True)
        except OSError as error:
            raise ConfigurationError(f"XCAPI_WAREHOUSE_URL: {self.path} cannot be read ({error.strerror})") from None
        except duckdb.Error as error:
            raise self._cannot_open(error) from None
        with interruptible(), connection:
            start_session(connection)
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
    """A connection to a DuckDB database, to read from."""

    connection: duckdb.DuckDBPyConnection
    orders: Relation
    reading: str = "DuckDB"  # what breaks off when reading does
    order_by: ClassVar[tuple[str, ...]] = ()  # one thread keeps the order of insertion, or of the user's query
    has_infinite_times: ClassVar[bool] = True

    def columns(self) -> list[Column]:
        """All columns of the orders, those of types that have no exact Arrow type read as text."""
        text, values = compiled(select_all(self.orders), _DIALECT)
        try:
            self._refuse_more_than_one_statement(text)
            found = self.connection.sql(text, params=values)
            types = found.limit(0).to_arrow_reader().schema.types
            names = self._names(found)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} {_problem(error)}") from None
        return [_column(*each) for each in zip(names, found.types, types, strict=True)]

    def bound(self, time: datetime | date) -> Expression:
        """``time`` as it is: DuckDB gives it the type that it has."""
        return sa.literal(time)

    def stream(self, query: Query, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - the types are right
        """The rows of ``query``. They stream from `sql`; `execute` would keep them all in memory."""
        text, values = compiled(query, _DIALECT)
        try:
            batches = self.connection.sql(text, params=values).to_arrow_reader(_ROWS_PER_BATCH)
            for read, batch in enumerate(batches, 1):
                yield batch
                if read % _BATCHES_KEPT == 0:
                    self._let_go_of_blocks()
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise _interrupted(self.reading, error) from None

    def _let_go_of_blocks(self) -> None:
        """Give back the memory of what was read of the file, which DuckDB keeps until it reaches its limit.

        It lets go of blocks that it can read again before anything else; what a query works with stays. Where it
        cannot, they stay too. For that moment the limit is that of all sessions of this process on the file.
        """
        with self.connection.cursor() as beside:
            (working,) = beside.sql(_WORKING_MEMORY).fetchall()[0]
            with suppress(duckdb.Error):
                beside.execute(f"SET memory_limit = '{working + _ROOM_BYTES}B'")
            beside.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")

    def _names(self, found: duckdb.DuckDBPyRelation) -> list[str]:
        """The columns' names as the orders give them: around a query, DuckDB makes an `email_1` of a second `email`."""
        source = self.orders.source
        if not isinstance(source, sa.Subquery):
            return found.columns
        return self.connection.sql(str(source.element.compile(dialect=_DIALECT))).columns

    def _refuse_more_than_one_statement(self, text: str) -> None:
        """A `.sql` file may close the parenthesis in which it stands, and begin something that writes."""
        if len(self.connection.extract_statements(text)) > 1:
            raise duckdb.ParserException


@contextmanager
def interruptible() -> Iterator[None]:
    """Has a signal end what DuckDB computes in the block by KeyboardInterrupt, as it ends all else.

    Whatever the signal's handler raises, DuckDB forgets it, and raises an error of its own.
    """
    try:
        yield
    except RuntimeError as error:
        if str(error) != _INTERRUPTED:
            raise
        raise KeyboardInterrupt from None


def start_session(connection: duckdb.DuckDBPyConnection) -> None:
    """Set what makes reading the same every time, and bounds its memory."""
    connection.execute(_SESSION)


def _column(name: str, type_: DuckDBPyType, arrow_type: pa.DataType) -> Column:
    found = column(name)
    is_text = pa.types.is_string(arrow_type) or pa.types.is_dictionary(arrow_type)
    if name.lower() in TIME_COLUMNS:
        kind = "json" if str(type_) == "JSON" else type_.id  # JSON is a name for text, with quotes in it
        if is_text and kind != "varchar":  # a UUID or an enumeration would pass for text that may be a time
            raise not_a_time(name.lower(), kind.upper())
        # This one compares with no other, and rounded to microseconds the end of a day would be of the next day.
        return Column(name, found, arrow_type, bound_type=_INSTANT_NS if str(type_) == _INSTANT_NS.name else None)
    if str(type_) == "JSON":
        return Column(name, sa.cast(found, sa.String), JSON)
    if type_.id in _NESTED and not _is_list_of_exact_structs(type_):
        return Column(name, sa.cast(sa.func.to_json(found), sa.String), JSON)
    if type_.id == "varchar":
        return Column(name, _shortened(found, is_items=name.lower() == "items"), arrow_type)
    if type_.id in _EXACT or type_.id in _NESTED:
        return Column(name, found, arrow_type)
    return Column(name, sa.cast(found, sa.String), pa.string())  # also hugeint, which may not fit Arrow's decimals


def _shortened(text: Expression, *, is_items: bool) -> Expression:
    """The text, but of one that is too long only so much that it still is: two thousand rows of it may be gigabytes."""
    if is_items:
        return sa.case((sa.func.strlen(text) > _ITEMS_BYTES, sa.literal(_LONG_ITEMS)), else_=text)
    return sa.case((sa.func.strlen(text) > _TEXT_BYTES, sa.func.left(text, _TEXT_BYTES + 1)), else_=text)


def _is_list_of_exact_structs(type_: DuckDBPyType) -> bool:
    elements = _parts(type_) if type_.id == "list" else []
    return any(element.id == "struct" and all(map(_is_exact, _parts(element))) for element in elements)


def _is_exact(type_: DuckDBPyType) -> bool:
    return type_.id in _EXACT and str(type_) != "JSON"


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


def _interrupted(reading: str, error: Exception) -> WarehouseError:
    """Reading broke off. DuckDB's message begins with its class ("Conversion Error:"); what follows may hold values."""
    if line := re.search(r"CSV Error on Line: (\d+)", str(error)):
        return WarehouseError(f"{reading} could not be read to the end: CSV error in line {line[1]}")
    if _MIXED_LINE_ENDS in str(error):
        file = re.search(r"^ *file = (.+)$", str(error), re.MULTILINE)
        which = f"of {file[1]} " if file else ""
        return WarehouseError(
            f"{reading} could not be read to the end: the lines {which}do not all end alike, in LF or in CRLF"
        )
    kind = re.match(r"[A-Z][A-Za-z ]{2,30}(?=:)", str(error))
    why = kind[0] if kind else type(error).__name__
    if why == "Out of Memory Error":
        why = f"the query needs more than {MEMORY_LIMIT}; store its result as a table and read that"
    return WarehouseError(f"{reading} could not be read to the end: {why}")
