"""Reading the orders: the story of this package, the same for every warehouse.

A database opens short sessions; a session names its columns, each with the SQL that reads it as a type Arrow has, and
streams the answer to a query.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.warehouse import iso8601
from xcapi_dagster.warehouse.query import Column, Relation, known, select
from xcapi_dagster.warehouse.window import time_kind, window_between


class Session(Protocol):
    """A read-only connection. What it raises is ours: one line that holds neither a secret nor a value of a row."""

    order_by: ClassVar[tuple[str, ...]]
    """The columns to sort by so that a query's order is the same every time; none when it is so anyway."""

    def columns(self) -> list[Column]:
        """All columns of the orders. ConfigurationError when there are no such orders or they may not be read."""

    def schema(self, query: str) -> pa.Schema:
        """The columns that ``query`` would give, without running it. ConfigurationError when it is none."""

    def stream(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of ``query``, in batches of any size and in bounded memory. WarehouseError, also halfway."""


class Database(Protocol):
    """A warehouse of one kind."""

    def connect(self, orders: Relation) -> AbstractContextManager[Session]:
        """A session about ``orders``. ConfigurationError when it cannot be had, WarehouseError while it is busy."""


@dataclass(frozen=True, slots=True)
class Warehouse:
    """The orders of one table or query. Every method uses a connection of its own and closes it."""

    database: Database
    orders: Relation
    source_timezone: ZoneInfo

    def describe(self) -> pa.Schema:
        """The columns of the orders that this package knows, by lower-case name; no order is read.

        Raises ConfigurationError, naming the setting, when the warehouse cannot be reached or has no such orders.
        """
        with self.database.connect(self.orders) as session:
            return self._schema(session, known(session.columns()))

    def read(self, start: datetime, end: datetime, batch_rows: int = 50_000) -> Iterator[pa.RecordBatch]:
        """The orders with ``start`` <= ordered_at < ``end`` (aware), in an order that is the same every time.

        All batches share one schema, that of `describe`, and but for the last have ``batch_rows`` rows. Raises
        WarehouseError when reading fails, also halfway, and ConfigurationError where `describe` would.
        """
        window = window_between(start, end, self.source_timezone)
        with self.database.connect(self.orders) as session:
            columns = self._columns_with_time(session)
            schema = self._schema(session, columns)
            kind = time_kind(schema.field("ordered_at").type)
            condition = window.condition(columns["ordered_at"], kind)
            batches = session.stream(select(columns, self.orders, condition, session.order_by))
            if kind == "text":
                batches = (batch.filter(window.holds(batch.column("ordered_at"))) for batch in batches)
            yield from _in_batches_of(batch_rows, batches, schema)

    def count_without_time(self) -> int:
        """How many orders no window has: their ordered_at is null, infinite or unreadable text."""
        with self.database.connect(self.orders) as session:
            columns = self._columns_with_time(session)
            ordered_at = columns["ordered_at"]
            if time_kind(self._schema(session, columns).field("ordered_at").type) == "text":
                texts = session.stream(select({"ordered_at": ordered_at}, self.orders))
                return sum(_unreadable(batch.column("ordered_at")) for batch in texts)
            condition = f"{ordered_at} IS NULL OR NOT isfinite({ordered_at})"
            counts = session.stream(select({"orders": "count(*)"}, self.orders, condition))
            return sum(pc.sum(batch.column("orders")).as_py() for batch in counts)

    def _columns_with_time(self, session: Session) -> dict[str, str]:
        columns = known(session.columns())
        if "ordered_at" not in columns:
            raise ConfigurationError(
                f"XCAPI_ORDERS: {self.orders.words} has no column ordered_at; "
                "rename the column that holds the time of the order to it, in a .sql query"
            )
        return columns

    def _schema(self, session: Session, columns: dict[str, str]) -> pa.Schema:
        """The schema of ``columns``, free of what a driver notes beside a type."""
        if not columns:
            return pa.schema([])
        return pa.schema([(field.name, field.type) for field in session.schema(select(columns, self.orders))])


def _in_batches_of(rows: int, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    held = schema.empty_table()
    for batch in batches:
        held = pa.concat_tables([held, pa.Table.from_arrays(batch.columns, schema=schema)])
        while held.num_rows >= rows:
            yield _one_batch(held.slice(0, rows))
            held = held.slice(rows)
    if held.num_rows:
        yield _one_batch(held)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def _unreadable(texts: pa.Array) -> int:
    """How many texts say no time."""
    instants, local_times = iso8601.parse(texts)
    return int(instants.null_count + local_times.null_count - len(texts))
