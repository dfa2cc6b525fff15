"""What warehouses with a driver of their own share: it is an extra, and it may promise a number of rows."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from xcapi_dagster.errors import ConfigurationError, WarehouseError

VARIABLE: Final = "XCAPI_WAREHOUSE_URL"


def driver(module: str, warehouse: str, extra: str) -> Any:
    """The driver's ``module``, imported only now: drivers are large. ConfigurationError, naming the ``extra``."""
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationError(
            f"{VARIABLE} is of {warehouse}, and its driver is not installed: pip install 'xcapi-dagster[{extra}]'"
        ) from None


def parsed(url: str, form: str) -> sa.URL:
    """The parts of ``url``. ConfigurationError, showing the ``form``, unless it is one."""
    try:
        return sa.make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            f"{VARIABLE} cannot be read; write {form}, special characters percent-encoded"
        ) from None


def parameters(url: sa.URL) -> dict[str, str]:
    """What follows the question mark; of a name that comes twice, the last."""
    return {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}


def all_of(promised: int | None, batches: Iterable[pa.RecordBatch], warehouse: str) -> Iterator[pa.RecordBatch]:
    """The batches. WarehouseError when they end before all the rows have come that the warehouse ``promised``."""
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        yield batch
    if promised is not None and rows < promised:
        raise WarehouseError(f"{warehouse} promised {promised} orders and gave {rows}; run again")
