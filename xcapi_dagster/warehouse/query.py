"""The SQL text that reads orders: plain enough for every warehouse, with every name quoted.

No text from outside is ever formatted into a query except quoted names, which are checked before, and the user's own
`.sql` file, which stands in parentheses.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy.engine.default import DefaultDialect

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
    "consent",
    "updated_at",
    "items",
)
# Those that are never cast to text, so that the check of the columns sees whether they can tell time.
TIME_COLUMNS: Final = ("ordered_at", "updated_at")

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,127}")
_LAST_SEMICOLON = re.compile(r";(?=(?:\s|;|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*\Z)", re.DOTALL)
_STANDARD_SQL = DefaultDialect().identifier_preparer


@dataclass(frozen=True, slots=True)
class Relation:
    """The orders, as ``sql`` for a FROM clause and in the ``words`` that messages use."""

    sql: str
    words: str


class Column(NamedTuple):
    """A column's ``name`` as the warehouse spells it, and the SQL ``expression`` that reads it as a type Arrow has."""

    name: str
    expression: str


def relation(orders: str) -> Relation:
    """What the setting XCAPI_ORDERS names: `table`, `schema.table` or a path ending in `.sql`."""
    if orders.endswith(".sql"):
        return Relation(f"(\n{_query_in(Path(orders))}\n) AS orders", f"the query in {orders}")
    parts = orders.split(".")
    if len(parts) > 2 or not all(_IDENTIFIER.fullmatch(part) for part in parts):
        raise ConfigurationError(
            "XCAPI_ORDERS must be table, schema.table or a path ending in .sql; "
            "for a name with other characters, put SELECT * FROM it into a .sql file"
        )
    return Relation(".".join(map(quoted, parts)), f"the table {orders}")


def quoted(name: str) -> str:
    """The SQL identifier that means exactly ``name``."""
    return _STANDARD_SQL.quote_identifier(name)


def known(columns: Iterable[Column]) -> dict[str, str]:
    """The expressions of those columns that an order knows, by lower-case name, in the order of KNOWN_COLUMNS."""
    found: dict[str, str] = {}
    for column in columns:
        name = column.name.lower()
        if name in found:
            raise ConfigurationError(f"XCAPI_ORDERS gives the column {name} twice; rename or drop one of them")
        if name in KNOWN_COLUMNS:
            found[name] = column.expression
    return {name: found[name] for name in KNOWN_COLUMNS if name in found}


def select(columns: Mapping[str, str], source: Relation, where: str = "", order_by: Iterable[str] = ()) -> str:
    """A SELECT of ``columns`` (expressions by name) from ``source``, sorted by those of ``order_by`` that there are."""
    lines = ["SELECT " + ", ".join(f"{expression} AS {quoted(name)}" for name, expression in columns.items())]
    lines.append(f"FROM {source.sql}")
    if where:
        lines.append(f"WHERE {where}")
    if names := [quoted(name) for name in order_by if name in columns]:
        lines.append(f"ORDER BY {', '.join(names)}")
    return "\n".join(lines)


def select_all(source: Relation) -> str:
    """A SELECT of all columns of ``source``."""
    return "\n".join(["SELECT *", f"FROM {source.sql}"])


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
    return _LAST_SEMICOLON.sub("", text)
