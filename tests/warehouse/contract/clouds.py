"""What stands behind the fakes of cloud warehouses' drivers: a DuckDB, and ways to fail.

The SQL that a fake gets is read by sqlglot in the warehouse's own dialect, so that what the warehouse would not
understand fails here too. What a fake cannot show is that the real service answers like this.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, Literal, Self

import duckdb
import pyarrow as pa
import sqlglot

_CHUNK = 3  # rows: few, so that the tests' results have several chunks


class RefusedError(Exception):
    """A query cannot run, for a reason that each warehouse tells in its own way."""

    def __init__(self, what: Literal["table", "column", "syntax"], message: str) -> None:
        super().__init__(message)
        self.what = what


@dataclass
class Cloud:
    """A warehouse that understands the SQL of ``dialect``."""

    dialect: str
    behind: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    breaks_after: float = math.inf  # chunks
    loses: int = 0  # rows, at the end, of those promised
    queries: list[tuple[str, list[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.behind.execute("SET TimeZone = 'UTC'")
        self.behind.execute("CREATE MACRO to_json_string(x) AS CAST(to_json(x) AS VARCHAR)")

    def run(self, sql: str, values: Sequence[Any]) -> duckdb.DuckDBPyRelation:
        """The result of ``sql``."""
        self.queries.append((sql, list(values)))
        try:
            (statement,) = sqlglot.transpile(sql, read=self.dialect, write="duckdb")
            return self.behind.sql(statement, params=list(values))
        except duckdb.CatalogException as error:
            raise RefusedError("table", str(error)) from error
        except duckdb.BinderException as error:
            raise RefusedError("column", str(error)) from error
        except (sqlglot.ParseError, ValueError, duckdb.ParserException) as error:
            raise RefusedError("syntax", str(error)) from error

    def chunks(self, result: pa.Table, broken: Exception) -> Iterator[pa.Table]:
        """The result in parts, until it breaks."""
        shown = result.slice(0, len(result) - self.loses)
        for number, start in enumerate(range(0, len(shown), _CHUNK)):
            if number >= self.breaks_after:
                raise broken
            yield shown.slice(start, _CHUNK)


class Closing:
    """What a driver opens."""

    opened: ClassVar[list["Closing"]] = []  # and not closed yet

    def __enter__(self) -> Self:
        self.opened.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.remove(self)


def described(result: duckdb.DuckDBPyRelation) -> list[tuple[str, str, Any]]:
    """The columns: their names, and their types by name and whole."""
    return [(name, str(type_.id), type_) for name, type_ in zip(result.columns, result.types, strict=True)]


def modules(name: str, **members: Any) -> dict[str, ModuleType]:
    """A module with these members, and the packages that it is in."""
    parts = name.split(".")
    found = {".".join(parts[:end]): ModuleType(".".join(parts[:end])) for end in range(1, len(parts) + 1)}
    vars(found[name]).update(members)
    return found
