"""What the daily run costs: `xcapi sync` through Dagster, in processes of its own, against the sandbox.

    python -m benchmarks.daily [--orders 5000] [--partitions 30]

CPU of one partition with many orders on top of the imports, and of each of many partitions with a hundred orders, of
which one `xcapi sync` does all.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import duckdb

from benchmarks.__main__ import positive
from xcapi_dagster import Sandbox
from xcapi_dagster.settings import DEMO, VARIABLES

_FIRST = date(2026, 9, 1)  # of the small partitions; the large one is the day before
_ORDERS_OF_A_SMALL_ONE = 100
_SYNC = """
import sys
from xcapi_dagster.cli import main
try:
    main(["sync", *sys.argv[2:]], standalone_mode=False)
finally:
    open(sys.argv[1], "w").write("\\n".join(sys.modules))
"""
_IMPORT = """
import sys
from importlib import import_module
for name in open(sys.argv[1]).read().split():
    if name not in sys.modules and not name.startswith("__"):
        try:
            import_module(name)
        except ImportError:
            pass
"""


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=positive, default=5_000)
    parser.add_argument("--partitions", type=positive, default=30)
    given = parser.parse_args()
    large = str(_FIRST - timedelta(days=1))
    days = [str(_FIRST + timedelta(days=day)) for day in range(given.partitions + 1)]
    with tempfile.TemporaryDirectory(prefix="xcapi-benchmark-") as name, Sandbox() as sandbox:
        folder = Path(name)
        write_orders(folder / "shop.duckdb", given.orders, given.partitions + 1)
        environ = environment(folder, sandbox.url)
        cpu(_SYNC, folder / "modules", "--partition", days[0], environ=environ)  # makes Dagster's databases
        imports = cpu(_IMPORT, folder / "modules", environ=environ)
        one = cpu(_SYNC, folder / "modules", "--partition", large, environ=environ)
        many = cpu(_SYNC, folder / "modules", "--from", days[1], "--to", days[-1], environ=environ)
        sent = len(sandbox.received)
    if sent != given.orders + _ORDERS_OF_A_SMALL_ONE * len(days):
        raise RuntimeError(f"{sent} conversions arrived")
    each = (many - imports) / given.partitions
    small = f"each of {given.partitions} with {_ORDERS_OF_A_SMALL_ONE} orders"
    print(f"Load {os.getloadavg()[0]:.1f}. Seconds of CPU:")
    print(f"  {imports:6.2f}  the imports")
    print(f"  {one - imports:6.2f}  on top of them a partition of {given.orders:,} orders")
    print(f"  {each:6.2f}  {small}")


def write_orders(path: Path, orders: int, partitions: int) -> None:
    """One day with ``orders`` and then ``partitions`` days with a hundred each."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"""
            CREATE TABLE orders AS
            SELECT 'order-' || n AS order_id,
                   TIMESTAMPTZ '{_FIRST} 00:00:00+00' + CASE WHEN n < {orders} THEN INTERVAL (n - {orders}) SECOND
                   ELSE INTERVAL ((n - {orders}) // {_ORDERS_OF_A_SMALL_ONE}) DAY END AS ordered_at,
                   'person' || n || '@example.com' AS email, '+1415555' || lpad((n % 10000)::VARCHAR, 4, '0') AS phone,
                   10.50 AS value, 'USD' AS currency, true AS consent
            FROM range({orders + partitions * _ORDERS_OF_A_SMALL_ONE}) AS t(n)
        """)


def environment(folder: Path, url: str) -> dict[str, str]:
    """The settings for the sandbox at ``url``, with everything in ``folder``."""
    given = {
        **{name: value for name, value in DEMO.items() if name != "demo"},
        "pixel_also_fires": "false",
        "home": folder / "home",
        "warehouse_url": f"duckdb:///{folder}/shop.duckdb",
        "api_url": url,
        "start_date": _FIRST - timedelta(days=1),
    }
    settings = {VARIABLES[field]: str(value) for field, value in given.items()}
    return {**os.environ, **settings, "DAGSTER_HOME": "", "DAGSTER_DISABLE_TELEMETRY": "1"}


def cpu(code: str, modules: Path, *arguments: str, environ: dict[str, str]) -> float:
    """The seconds of CPU that a process takes to run ``code``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", code, str(modules), *arguments]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
