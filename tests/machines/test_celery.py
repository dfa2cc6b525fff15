"""A backfill on four Celery workers, one of which is killed: nothing lost, nothing twice, the limit held."""

import json
import shutil
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from tests.machines.cluster import Cluster, running_cluster, until
from xcapi_dagster import Sandbox
from xcapi_dagster.settings import DEMO, VARIABLES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed"),
]
FIRST_DAY = date(2026, 10, 1)
PARTITIONS = [str(FIRST_DAY + timedelta(days=day)) for day in range(30)]
ORDERS = 600  # of a day: two requests
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
REQUESTS_PER_MIN = 45  # fewer than the backfill needs, so that the workers have to share them


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def cluster(tmp_path: Path, sandbox: Sandbox, new_database: Callable[[], str]) -> Iterator[Cluster]:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(f"""
            CREATE TABLE orders AS
            SELECT 'order-' || n AS order_id,
                   DATE '{FIRST_DAY}' + INTERVAL (n // {ORDERS}) DAY + INTERVAL (n % {ORDERS}) SECOND AS ordered_at,
                   'person' || n || '@example.com' AS email, 10 AS value, 'USD' AS currency, true AS consent
            FROM range({len(PARTITIONS) * ORDERS}) AS t(n)
        """)
    given = {
        **{name: value for name, value in DEMO.items() if name != "demo"},
        "pixel_also_fires": "false",
        "home": tmp_path / "home",
        "warehouse_url": f"duckdb:///{tmp_path}/shop.duckdb",
        "ledger_url": new_database(),
        "api_url": sandbox.url,
        "start_date": FIRST_DAY,
        "requests_per_min": REQUESTS_PER_MIN,
    }
    environ = {VARIABLES[field]: str(value) for field, value in given.items()}
    with running_cluster(tmp_path, new_database(), environ, workers=4) as cluster:
        yield cluster


def test_a_backfill_survives_a_killed_worker(cluster: Cluster, sandbox: Sandbox) -> None:
    cluster.backfill(PARTITIONS)
    until(lambda: len(sandbox.requests) >= 10)
    cluster.kill(0)
    left: set[str] = set()
    for orphans in (2, 0, 0):  # the killed worker may have had one run in hand and been given the next
        until(lambda most=orphans: len(under_way(cluster)) <= most, state=lambda: state_of(cluster))
        left |= (again := unfinished(cluster))
        if not again:
            break
        cluster.backfill(sorted(again))
    until(lambda: not unfinished(cluster), state=lambda: state_of(cluster))

    arrived = Counter(str(received.conversion["conversion_id"]) for received in sandbox.received)
    assert arrived.keys() == {f"order-{n}" for n in range(len(PARTITIONS) * ORDERS)}
    assert sandbox.deduplicated == len(arrived)
    assert {partition_of(order) for order, times in arrived.items() if times > 1} <= left
    assert most_in_a_minute(sandbox) <= REQUESTS_PER_MIN
    assert {key: states_of(cluster, key) for key in PARTITIONS} == {key: {"accepted": ORDERS} for key in PARTITIONS}
    assert json.loads(cluster.xcapi("ledger", "status", "--json"))["requests"].keys() <= {"accepted", "unknown"}


def unfinished(cluster: Cluster) -> set[str]:
    """The partitions whose latest run has not succeeded."""
    return {key for key, status in cluster.runs().items() if status is not dg.DagsterRunStatus.SUCCESS}


def under_way(cluster: Cluster) -> set[str]:
    """The partitions whose latest run has not ended, well or badly."""
    return {key for key, status in cluster.runs().items() if status not in _ENDED}


def state_of(cluster: Cluster) -> str:
    """What a test that hangs should tell."""
    return f"{cluster.runs()}\n{cluster.logs()}"


def partition_of(order: str) -> str:
    return PARTITIONS[int(order.removeprefix("order-")) // ORDERS]


def states_of(cluster: Cluster, partition: str) -> dict[str, int]:
    """How many conversions are in each state, by the partition's own file."""
    results = Path(cluster.environ["XCAPI_HOME"]) / "output" / "purchases" / "upload_results" / f"{partition}.parquet"
    return Counter(pq.read_table(results)["state"].to_pylist())


def most_in_a_minute(sandbox: Sandbox) -> int:
    """The most requests that X counted in any minute."""
    times = sorted(request.received_at for request in sandbox.requests)
    return max(bisect_left(times, start + 60) - position for position, start in enumerate(times))
