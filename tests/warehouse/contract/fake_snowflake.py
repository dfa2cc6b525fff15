"""`snowflake.connector`: upper-case names, types by number, tables with times in nanoseconds."""

from collections.abc import Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import duckdb
import pyarrow as pa

from tests.warehouse.contract.clouds import Closing, Cloud, RefusedError, described, modules

_CODES = {
    "varchar": 2, "bigint": 0, "integer": 0, "decimal": 0, "double": 1, "boolean": 13, "blob": 11, "date": 3,
    "timestamp with time zone": 7, "timestamp": 8, "list": 10,
}  # fmt: skip
_NUMBERS = {"table": 2003, "column": 904, "syntax": 1003}


class Error(Exception):
    """The connector's, with Snowflake's number of what is wrong."""

    def __init__(self, msg: str, errno: int) -> None:
        super().__init__(f"{errno:06}: {msg}")
        self.errno = errno


class Cursor(Closing):
    """A cursor, whose placeholders are question marks."""

    rowcount: int | None = None

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def describe(self, sql: str, values: Sequence[Any]) -> list[SimpleNamespace]:
        """The columns of a result, without it."""
        return [
            SimpleNamespace(name=name.upper(), type_code=_CODES[kind], **_digits(kind, type_))
            for name, kind, type_ in described(self._run(sql, values))
        ]

    def execute(self, sql: str, values: Sequence[Any]) -> Self:
        """Run a query; a datetime would lose its zone when it is bound."""
        assert all(isinstance(value, str) for value in values)
        self._result = self._run(sql, values).to_arrow_table()
        self.rowcount = len(self._result)
        return self

    def fetch_arrow_batches(self) -> Iterator[pa.Table]:
        """The result, chunk by chunk."""
        for chunk in self._cloud.chunks(self._result, Error("Connection reset at ann@example.com", 250003)):
            types = [pa.timestamp("ns") if pa.types.is_timestamp(type_) else type_ for type_ in chunk.schema.types]
            columns = [column.cast(type_) for column, type_ in zip(chunk.columns, types, strict=True)]
            yield pa.table(columns, [name.upper() for name in chunk.column_names])

    def _run(self, sql: str, values: Sequence[Any]) -> duckdb.DuckDBPyRelation:
        try:
            return self._cloud.run(sql, values)
        except RefusedError as error:
            raise Error(f"SQL compilation error:\n{error}", _NUMBERS[error.what]) from error


def _digits(kind: str, type_: Any) -> dict[str, int | None]:
    if kind in ("bigint", "integer"):
        return {"precision": 38, "scale": 0}
    return dict(type_.children) if kind == "decimal" else {"precision": None, "scale": None}


class Connection(Closing):
    """A connection of a user whose password is `hunter2`."""

    def __init__(self, cloud: Cloud, **given: Any) -> None:
        assert given["paramstyle"] == "qmark"
        assert given["session_parameters"]["TIMEZONE"] == "UTC"
        assert (given["account"], given["database"], given["schema"]) == ("org-account", "shop", "main")
        if given["password"] != "hunter2":
            raise Error(f"Incorrect username or password for {given['user']}", 250001)
        self._cloud = cloud

    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor(self._cloud)


def driver(cloud: Cloud) -> dict[str, ModuleType]:
    """The modules of the driver, by name."""
    return modules("snowflake.connector", connect=lambda **given: Connection(cloud, **given), Error=Error)
