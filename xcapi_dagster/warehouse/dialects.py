"""What SQLAlchemy must know of the SQL of warehouses that this package talks to without a dialect of theirs."""

from typing import Any

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import IdentifierPreparer
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.types import UserDefinedType


class _Names(IdentifierPreparer):
    """Quotes each part of `catalog.schema` by itself."""

    def quote_schema(self, schema: str) -> str:
        parts = schema.split(".")
        return ".".join(self.quote(quoted_name(part, getattr(schema, "quote", None))) for part in parts)


class _NamesInBackticks(_Names):
    def __init__(self, dialect: Any) -> None:
        super().__init__(dialect, initial_quote="`")


class Standard(DefaultDialect):
    """Names in double quotes, values as question marks."""

    supports_statement_cache = False
    preparer: type[IdentifierPreparer] = _Names
    default_paramstyle = "qmark"


class Backticks(Standard):
    """Names in backticks, values as question marks."""

    supports_statement_cache = False
    preparer = _NamesInBackticks


class SqlType(UserDefinedType[Any]):
    """A type by its name in a warehouse's SQL, to cast to."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name  # SQLAlchemy copies types by what is called as their parameters are

    def get_col_spec(self, **_: Any) -> str:
        """Return the name."""
        return self.name
