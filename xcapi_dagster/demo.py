"""The demo: a DuckDB warehouse built from `sample_data`, and the sandbox in the place of X."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.outputs import check_folder
from xcapi_dagster.sandbox import Sandbox
from xcapi_dagster.settings import FIRST_DAY, VARIABLES, Settings

PARTITIONS = tuple((FIRST_DAY + timedelta(days=day)).isoformat() for day in range(14))

# sample_data lies beside this package, in the repository as in the wheel
SAMPLE_ORDERS = Path(__file__).parents[1] / "sample_data" / "orders.parquet"


def build_warehouse(settings: Settings) -> None:
    """Create the demo's warehouse, with the table `orders`, unless it is there already.

    Raises ConfigurationError when its folder cannot be used.
    """
    check_folder(settings.home, VARIABLES["home"])
    path = Path(settings.warehouse_url.removeprefix("duckdb:///"))
    if path.exists():
        return
    if not SAMPLE_ORDERS.exists():
        raise ConfigurationError(f"the demo's orders are missing: {SAMPLE_ORDERS}; set XCAPI_WAREHOUSE_URL to your own")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with duckdb.connect(str(unfinished)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.from_parquet(str(SAMPLE_ORDERS)).create("orders")
    unfinished.rename(path)


@contextmanager
def running_sandbox(settings: Settings) -> Iterator[str]:
    """The URL of a sandbox that runs during the block and remembers, in the home folder, what it received.

    Raises ConfigurationError when that folder cannot be used.
    """
    check_folder(settings.home, VARIABLES["home"])
    record = settings.home / "sandbox" / "received.jsonl"
    record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Sandbox(record=record) as sandbox:
        yield sandbox.url


def environment(settings: Settings, api_url: str) -> Mapping[str, str]:
    """The variables that say explicitly what the demo ``settings`` say, with a sandbox that runs at ``api_url``."""
    told = {field: getattr(settings, field) for field in VARIABLES} | {"api_url": api_url}
    return {VARIABLES[field]: _text(value) for field, value in told.items() if value is not None}


def _text(value: object) -> str:
    if hasattr(value, "get_secret_value"):
        return str(value.get_secret_value())
    return str(value).lower() if isinstance(value, bool) else str(value)
