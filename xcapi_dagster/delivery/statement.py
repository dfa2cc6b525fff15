"""Statements that a delivery executes with every request: built and compiled once, then given to the driver as text.

Of the CPU that SQLAlchemy takes to execute a statement, three quarters are its own: with all of a request, a quarter of
what claiming and settling it costs. Every other statement is executed by SQLAlchemy.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Dialect
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement


class Statement:
    """A statement on any of the ledger's databases; ``columns`` are those of which an insert gives the values.

    Its parameters are numbers, texts, bytes and None, which the drivers take as they are. What goes wrong is an error
    of the driver's own.
    """

    def __init__(self, of: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._of = of
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def row(self, connection: Connection, **values: Any) -> tuple[Any, ...]:
        """The one row that it returns, executed in the transaction of ``connection`` with these parameters."""
        with closing(self._executed(connection, values)) as cursor:
            (row,) = cursor.fetchall()
            return tuple(row)

    def run(self, connection: Connection, **values: Any) -> int:
        """How many rows it has changed."""
        with closing(self._executed(connection, values)) as cursor:
            return cursor.rowcount

    def _executed(self, connection: Connection, values: Mapping[str, Any]) -> DBAPICursor:
        compiled = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, compiled.parameters(values))
        return cursor

    def _compile(self, dialect: Dialect) -> "_Compiled":
        compiled = cast("SQLCompiler", self._of.compile(dialect=dialect, column_keys=self._columns))
        order = compiled.positiontup if compiled.positional else None
        self._compiled[dialect.name] = found = _Compiled(str(compiled), order, compiled.params)
        return found


class _Compiled(NamedTuple):
    """A statement's text, the order of its parameters where the driver goes by that, and those with fixed values."""

    text: str
    order: Sequence[str] | None
    fixed: Mapping[str, Any]

    def parameters(self, values: Mapping[str, Any]) -> Sequence[Any] | Mapping[str, Any]:
        known = {**self.fixed, **values}
        return known if self.order is None else [known[name] for name in self.order]
