"""Orders out of a warehouse, as Arrow record batches of one partition's window, in bounded memory.

Reading order: `reader.py` is the story; `query.py` writes the SQL and `window.py` says which orders belong to a window;
`duckdb.py` and `postgres.py` hold what differs between warehouses, and a new one needs a module like them and a line
in `open_warehouse`.
"""

import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.warehouse.duckdb import DuckDB
from xcapi_dagster.warehouse.postgres import Postgres
from xcapi_dagster.warehouse.query import relation
from xcapi_dagster.warehouse.reader import Database, Warehouse

__all__ = ["Warehouse", "open_warehouse"]

_DATABASES: dict[str, Callable[[str], Database]] = {
    "duckdb": DuckDB.from_url,
    "postgresql": Postgres,
    "postgres": Postgres,
}


def open_warehouse(url: str, orders: str, source_timezone: str) -> Warehouse:
    """The warehouse at ``url``, whose orders are the table or `.sql` file that ``orders`` names.

    Nothing is connected to yet. Raises ConfigurationError for a URL of no supported kind, a table name that is none and
    a `.sql` file that cannot be read; no message holds more of the URL than its scheme.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _DATABASES:
        is_url = separator and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme)
        found = f"a URL of the kind {scheme}://" if is_url else "no URL"
        raise ConfigurationError(
            f"XCAPI_WAREHOUSE_URL is {found}; supported are duckdb:///FILE and postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    return Warehouse(_DATABASES[scheme](url), relation(orders), ZoneInfo(source_timezone))
