"""`databricks.sql`: types by their names in SQL, tables of at most so many rows until one is empty."""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Self

import pyarrow as pa
from urllib3 import HTTPSConnectionPool
from urllib3.exceptions import MaxRetryError

from tests.warehouse.contract.clouds import Closing, Cloud, RefusedError, described, modules

_NAMES = {
    "varchar": "string", "bigint": "bigint", "integer": "int", "decimal": "decimal", "double": "double",
    "boolean": "boolean", "blob": "binary", "date": "date", "timestamp with time zone": "timestamp",
    "timestamp": "timestamp_ntz", "list": "array",
}  # fmt: skip
_CLASSES = {
    "table": "TABLE_OR_VIEW_NOT_FOUND",
    "column": "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION",
    "syntax": "PARSE_SYNTAX_ERROR",
}


class Error(Exception):
    """The connector's, whose message begins with a class in brackets."""


class Cursor(Closing):
    """A cursor, whose placeholders are question marks."""

    description: Sequence[tuple[Any, ...]] = ()
    _chunks: Iterator[pa.Table] = iter(())

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def execute(self, sql: str, values: Sequence[Any]) -> Self:
        """Run a query; a datetime would be bound as an instant, whatever it is."""
        assert all(isinstance(value, str | int) for value in values)
        try:
            found = self._cloud.run(sql, values)
        except RefusedError as error:
            raise Error(f"[{_CLASSES[error.what]}] {error} SQLSTATE: 42000") from error
        self.description = [(name, _NAMES[kind], None, None, None, None, True) for name, kind, _ in described(found)]
        self._result = found.to_arrow_table()
        self._chunks = self._cloud.chunks(self._result, Error("[CANCELED] while at ann@example.com"))
        return self

    def fetchmany_arrow(self, size: int) -> pa.Table:
        """The next rows, fewer than asked for where a chunk ends."""
        return next(self._chunks, self._result.slice(0, 0))


class Connection(Closing):
    """A connection of whoever has the token `hunter2`."""

    def __init__(
        self, cloud: Cloud, server_hostname: str, http_path: str, access_token: str | None = None, **given: Any
    ) -> None:
        assert (server_hostname, http_path) == ("dbc.example.com", "/sql/1.0/warehouses/1")
        assert given == {"session_configuration": {"timezone": "UTC"}, "catalog": "main"}
        if access_token != "hunter2":  # which is what the real one raises when nobody answers
            raise MaxRetryError(HTTPSConnectionPool(server_hostname), http_path, Error(access_token))
        self._cloud = cloud

    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor(self._cloud)


def driver(cloud: Cloud) -> dict[str, ModuleType]:
    """The modules of the driver, by name."""
    return modules("databricks.sql", connect=lambda **given: Connection(cloud, **given), Error=Error)
