"""Reading the orders: the story of this package, the same for every warehouse.

A database opens short sessions; a session names its columns, each with the SQL that reads it as a type Arrow has, and
streams the answer to a query.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from xcapi_dagster import iso8601
from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.batches import in_batches_of, in_types_of
from xcapi_dagster.warehouse.query import (
    KNOWN_COLUMNS,
    NAME,
    Column,
    Expression,
    Naming,
    Query,
    Relation,
    known,
    select,
)
from xcapi_dagster.warehouse.window import Window, time_kind, window_between

_FORM_CHARACTERS = 30
_INFINITE: list[Expression] = [sa.literal_column("'infinity'"), sa.literal_column("'-infinity'")]


class Session(Protocol):
    """A connection that cannot write, where the warehouse has such.

    What it raises is ours: one line that holds neither a secret nor a value of a row.
    """

    order_by: ClassVar[tuple[str, ...]]
    """The columns to sort by so that a query's order is the same every time; none when it is so anyway."""
    has_infinite_times: ClassVar[bool]
    """Whether a time may be infinite, and the SQL writes such as `'infinity'`."""

    def columns(self) -> list[Column]:
        """All columns of the orders. ConfigurationError when there are no such orders or they may not be read."""

    def bound(self, time: datetime | date) -> Expression:
        """``time`` as a value of a query: an instant when aware, else local time or a date."""

    def stream(self, query: Query, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """All rows of ``query``, in bounded memory, in batches of any size; the types may differ from ``schema``'s.

        WarehouseError when it breaks off, also halfway, and when there are fewer rows than the warehouse promised.
        """


class Database(Protocol):
    """A warehouse of one kind."""

    naming: ClassVar[Naming]

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
            return _schema(known(session.columns()))

    def unread(self) -> list[str]:
        """The names of the orders' other columns. Raises ConfigurationError where `describe` would.

        Only such as names of columns are: what is taken for the names of a file that has none are people's data.
        """
        with self.database.connect(self.orders) as session:
            others = [column.name for column in session.columns() if column.name.lower() not in KNOWN_COLUMNS]
        return [name for name in others if re.fullmatch(NAME, name)]

    def read(self, start: datetime, end: datetime, batch_rows: int = 49_152) -> Iterator[pa.RecordBatch]:
        """The orders with ``start`` <= ordered_at < ``end`` (aware), in an order that is the same every time.

        All batches share one schema, that of `describe`, and but for the last have ``batch_rows`` rows, or fewer where
        rows are so large that more would be many megabytes. Raises WarehouseError when reading fails, also halfway,
        and ConfigurationError where `describe` would.
        """
        window = window_between(start, end, self.source_timezone)
        with self.database.connect(self.orders) as session:
            columns = self._columns_with_time(session)
            ordered_at = columns["ordered_at"]
            kind = time_kind(ordered_at.type)
            condition = _condition(window, ordered_at, session)
            expressions = {name: column.expression for name, column in columns.items()}
            query = select(expressions, self.orders, condition, order_by=session.order_by)
            batches = _stream(session, query, _schema(columns))
            if kind == "text":
                batches = (batch.filter(window.holds(batch.column("ordered_at"))) for batch in batches)
            yield from in_batches_of(batch_rows, batches, _schema(columns))

    def count(self, start: datetime, end: datetime) -> int:
        """How many orders `read` would give, counted by the warehouse where its times are no text."""
        window = window_between(start, end, self.source_timezone)
        with self.database.connect(self.orders) as session:
            ordered_at = self._columns_with_time(session)["ordered_at"]
            kind = time_kind(ordered_at.type)
            condition = _condition(window, ordered_at, session)
            if kind == "text":
                query = select({"ordered_at": ordered_at.expression}, self.orders, condition)
                texts = _stream(session, query, _schema({"ordered_at": ordered_at}))
                return sum(pc.sum(window.holds(batch.column("ordered_at"))).as_py() or 0 for batch in texts)
            return _counted(session, self.orders, condition)

    def count_without_time(self) -> int:
        """How many orders no window has: their ordered_at is null, infinite or unreadable text."""
        with self.database.connect(self.orders) as session:
            ordered_at = self._columns_with_time(session)["ordered_at"]
            if time_kind(ordered_at.type) == "text":
                return sum(len(texts) for texts in self._unreadable_times(session, ordered_at))
            condition: Expression = ordered_at.operand.is_(None)
            if session.has_infinite_times:
                condition = sa.or_(condition, ordered_at.operand.in_(_INFINITE))
            return _counted(session, self.orders, condition)

    def forms_without_time(self, most: int) -> list[str]:
        """How the texts look that are to be an ordered_at and say no time: the first ``most`` forms, as `99.99.9999`.

        Each digit is a 9 and each letter an `a`, so that nobody's data is in them. None of empty texts, nor where
        times are no text.
        """
        forms: dict[str, None] = {}
        with self.database.connect(self.orders) as session:
            ordered_at = self._columns_with_time(session)["ordered_at"]
            if time_kind(ordered_at.type) == "text":
                for texts in self._unreadable_times(session, ordered_at):
                    forms |= dict.fromkeys(pc.unique(_form(texts.drop_null())).to_pylist())
                    if len(forms) > most:  # one of them may be empty
                        break
        return [form for form in forms if form][:most]

    def _unreadable_times(self, session: Session, ordered_at: Column) -> Iterator[pa.Array]:
        query = select({"ordered_at": ordered_at.expression}, self.orders)
        for batch in _stream(session, query, _schema({"ordered_at": ordered_at})):
            texts = batch.column("ordered_at")
            instants, local_times, _ = iso8601.parse(texts)
            yield texts.filter(pc.and_(instants.is_null(), local_times.is_null()))

    def _columns_with_time(self, session: Session) -> dict[str, Column]:
        columns = known(session.columns())
        if "ordered_at" not in columns:
            raise ConfigurationError(
                f"XCAPI_ORDERS: {self.orders.words} has no column ordered_at; "
                "rename the column that holds the time of the order to it, in a .sql query"
            )
        return columns


def _schema(columns: dict[str, Column]) -> pa.Schema:
    return pa.schema([(name, column.type) for name, column in columns.items()])


def _condition(window: Window, ordered_at: Column, session: Session) -> Expression:
    """What holds for the orders of ``window``."""

    def bound(time: datetime | date) -> Expression:
        value = session.bound(time)
        return value if ordered_at.bound_type is None else sa.cast(value, ordered_at.bound_type)

    return window.condition(ordered_at.operand, time_kind(ordered_at.type), bound)


def _stream(session: Session, query: Query, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of ``query`` in batches of ``schema``."""
    for batch in session.stream(query, schema):
        try:
            typed = in_types_of(schema, batch)
        except pa.ArrowException:
            raise WarehouseError("the warehouse gave a value that is not of its column's type") from None
        yield typed


def _counted(session: Session, orders: Relation, condition: Expression) -> int:
    """How many orders fulfil the condition."""
    query = select({"orders": sa.func.count()}, orders, condition)
    counts = _stream(session, query, pa.schema([("orders", pa.int64())]))
    return sum(pc.sum(batch.column("orders")).as_py() for batch in counts)


def _form(texts: pa.Array) -> pa.Array:
    """Each text with a 9 for each digit, an `a` for each letter and a `?` for each sign that times do not have."""
    for sign, shown in ((r"\p{N}", "9"), (r"\p{L}", "a"), (r"[^9a .,:/+-]", "?")):
        texts = pc.replace_substring_regex(texts, sign, shown)
    return pc.utf8_slice_codeunits(texts, 0, _FORM_CHARACTERS)
