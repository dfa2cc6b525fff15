"""The SQL that reads orders, as SQLAlchemy expressions: SQLAlchemy quotes every name and binds every value.

The one text in it is the user's own `.sql` file, which stands in parentheses.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.types import TypeEngine

from xcapi_dagster.errors import ConfigurationError

# The columns of an order that mean something (design: "Order columns"); a query's other columns are not read.
KNOWN_COLUMNS: Final = (
    "order_id",
    "ordered_at",
    "conversion_id",
    "email",
    "phone",
    "hashed_email",
    "hashed_phone_number",
    "country",
    "twclid",
    "landing_url",
    "ip_address",
    "user_agent",
    "value",
    "currency",
    "quantity",
    "description",
    "event_id",
    "event_source_url",
    "consent",
    "updated_at",
    "items",
)
# Those that are never cast to text, so that the check of the columns sees whether they can tell time.
TIME_COLUMNS: Final = ("ordered_at", "updated_at")
# Those that are amounts; all others but the items are texts.
NUMBER_COLUMNS: Final = ("value", "quantity")

# Of columns that hold JSON, and of those that are read as JSON because they hold several values.
JSON: Final = pa.json_()

NAME: Final = r"[A-Za-z_][A-Za-z0-9_$]{0,127}"

_SEMICOLONS = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|--[^\n]*|/\*.*?\*/|(?P<semicolon>;)""", re.DOTALL)
_NOTHING_MORE = re.compile(r"(?:\s|;|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*\Z", re.DOTALL)

Expression = sa.ColumnElement[Any]
Query = sa.Select[Any]


class Naming(NamedTuple):
    """How a kind of warehouse names a table, and what such a name means."""

    form: str = "table, schema.table"
    pattern: str = rf"(?:{NAME}\.)?{NAME}"
    is_exact: bool = True  # else a name in lower case means any case, as in the warehouse's own SQL


@dataclass(frozen=True, slots=True)
class Relation:
    """The orders, as the ``source`` of a query and in the ``words`` that messages use."""

    source: sa.FromClause
    words: str


class Column(NamedTuple):
    """A column's ``name`` as the warehouse spells it, the ``expression`` that reads it, and the type that gives."""

    name: str
    expression: Expression
    type: pa.DataType
    compared: Expression | None = None  # what to compare with a time, where that is not the expression
    bound_type: TypeEngine[Any] | None = None  # of the times to compare it with, where they must be cast for that

    @property
    def operand(self) -> Expression:
        """What conditions are about."""
        return self.expression if self.compared is None else self.compared


def relation(orders: str, naming: Naming) -> Relation:
    """What the setting XCAPI_ORDERS names: a table, or a path ending in `.sql`."""
    if orders.endswith(".sql"):
        # A colon would begin the name of a parameter, were it not escaped.
        text = sa.text(_query_in(Path(orders)).replace(":", r"\:") + "\n")
        return Relation(text.columns().subquery("orders"), f"the query in {orders}")
    if not re.fullmatch(naming.pattern, orders):
        raise ConfigurationError(
            f"XCAPI_ORDERS must be {naming.form} or a path ending in .sql; "
            "for a name with other characters, use a .sql file that selects everything from it"
        )
    schema, _, table = orders.rpartition(".")
    quote = True if naming.is_exact else None
    source = sa.table(quoted_name(table, quote), schema=quoted_name(schema, quote) if schema else None)
    return Relation(source, f"the table {orders}")


def column(name: str) -> sa.ColumnClause[Any]:
    """The column of exactly this ``name``."""
    return sa.column(exact(name))


def exact(name: str) -> quoted_name:
    """The identifier that means exactly ``name``."""
    return quoted_name(name, quote=True)


def known(columns: Iterable[Column]) -> dict[str, Column]:
    """Those columns that an order knows, by lower-case name, in the order of KNOWN_COLUMNS."""
    found: dict[str, Column] = {}
    for each in columns:
        name = each.name.lower()
        if name not in KNOWN_COLUMNS:
            continue
        if name in found:
            raise ConfigurationError(f"XCAPI_ORDERS gives the column {name} twice; rename or drop one of them")
        found[name] = each
    return {name: found[name] for name in KNOWN_COLUMNS if name in found}


def select(
    columns: Mapping[str, Expression], source: Relation, *where: Expression, order_by: Iterable[str] = ()
) -> Query:
    """A SELECT of ``columns`` (expressions by name) from ``source``, sorted by those of ``order_by`` that there are."""
    labelled = [expression.label(exact(name)) for name, expression in columns.items()]
    query = sa.select(*labelled).select_from(source.source).where(*where)
    return query.order_by(*[exact(name) for name in order_by if name in columns])


def select_all(source: Relation) -> Query:
    """A SELECT of all columns of ``source``."""
    return sa.select(sa.literal_column("*")).select_from(source.source)


def compiled(query: Query, dialect: sa.Dialect) -> tuple[str, list[Any]]:
    """The text of ``query`` with a question mark for each of the values."""
    found = query.compile(dialect=dialect)
    assert isinstance(found, sa.sql.compiler.SQLCompiler)  # noqa: S101 - what a query compiles to
    return str(found), [found.params[name] for name in found.positiontup or ()]


def _query_in(path: Path) -> str:
    """The SELECT in a `.sql` file, without the semicolon that may end it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"XCAPI_ORDERS names a file that does not exist: {path}") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"XCAPI_ORDERS names a file that cannot be read as UTF-8 text: {path}") from None
    if not text.strip():
        raise ConfigurationError(f"XCAPI_ORDERS names an empty file: put a SELECT into {path}")
    ends = (found.start() for found in _SEMICOLONS.finditer(text) if found["semicolon"])
    return text[: next((end for end in ends if _NOTHING_MORE.match(text, end)), len(text))]
