"""Orders out of a warehouse, as Arrow record batches of one partition's window, in bounded memory.

Reading order: `reader.py` is the story; `query.py` writes the SQL and `window.py` says which orders belong to a window;
`duckdb.py`, `files.py`, `postgres.py`, `snowflake.py`, `bigquery.py`, `databricks.py` and `sqlalchemy.py` hold what
differs between warehouses, and a new one needs a module like them and a line in `open_warehouse`. `parquet_types.py`
keeps each value of files that differ what it is in its own, and `paths.py` knows what their folders say.
"""

import re
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.stores import OBJECT_STORES
from xcapi_dagster.warehouse.bigquery import BigQuery
from xcapi_dagster.warehouse.databricks import Databricks
from xcapi_dagster.warehouse.duckdb import DuckDB
from xcapi_dagster.warehouse.files import Files
from xcapi_dagster.warehouse.postgres import Postgres
from xcapi_dagster.warehouse.query import relation
from xcapi_dagster.warehouse.reader import Database, Warehouse
from xcapi_dagster.warehouse.snowflake import Snowflake
from xcapi_dagster.warehouse.sqlalchemy import SqlAlchemy, has_dialect

__all__ = ["Warehouse", "open_warehouse"]

# What a URL begins with -> the kind of warehouse. Everything else is SQLAlchemy's, if it knows it.
_DATABASES: Mapping[str, Callable[[str], Database]] = {
    "duckdb": DuckDB.from_url,
    **dict.fromkeys(("parquet", "csv", "file", *OBJECT_STORES), Files.from_url),
    **dict.fromkeys(("postgresql", "postgres"), Postgres.from_url),
    "snowflake": Snowflake.from_url,
    "bigquery": BigQuery.from_url,
    "databricks": Databricks.from_url,
}


_SUPPORTED = (
    "supported are duckdb:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE, parquet:///PATH, csv:///PATH, "
    "s3://BUCKET/PATH and other object stores, snowflake://, bigquery://, databricks://, sqlite:///FILE, mysql:// "
    "and what else SQLAlchemy has a dialect for"
)


def open_warehouse(url: str, orders: str, source_timezone: str) -> Warehouse:
    """The warehouse at ``url``, whose orders are the table or `.sql` file that ``orders`` names.

    Nothing is connected to yet. Raises ConfigurationError for a URL of no supported kind, a table name that is none and
    a `.sql` file that cannot be read; no message holds more of the URL than its scheme.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+._-]*", scheme):
        raise ConfigurationError(f"XCAPI_WAREHOUSE_URL is no URL; {_SUPPORTED}")
    database = _database_of(scheme)(url)
    return Warehouse(database, relation(orders, database.naming), ZoneInfo(source_timezone))


def _database_of(scheme: str) -> Callable[[str], Database]:
    """Of `postgresql+psycopg`, as SQLAlchemy writes it, the part before the plus decides."""
    kind = scheme.partition("+")[0]
    if kind in _DATABASES:
        return _DATABASES[kind]
    if not has_dialect(kind):
        raise ConfigurationError(f"XCAPI_WAREHOUSE_URL is a URL of the kind {scheme}://; {_SUPPORTED}")
    return SqlAlchemy.from_url
