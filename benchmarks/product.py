"""The product, measured in a process of its own: a partition from the warehouse to its files.

    python -m benchmarks.product ORDERS.duckdb FOLDER URL [--senders N]

prints one line of JSON. CPU is that of the whole process, all threads, in seconds; memory its peak, in bytes.
"""

import argparse
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path

from benchmarks.orders import DAY, PARTITION
from xcapi_dagster import resources
from xcapi_dagster.contract import EVENTS_PER_WINDOW_MAX, REQUESTS_PER_MINUTE_MAX
from xcapi_dagster.delivery.deliver import Delivery
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.prepare import prepare_partition
from xcapi_dagster.partitions.upload import upload_partition
from xcapi_dagster.settings import DEMO, OAUTH_FIELDS, Settings, from_environment


@dataclass
class Stages:
    """CPU and wall time of each stage, in seconds, in the order in which they ran."""

    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """What the block takes."""
        cpu, wall = time.process_time(), time.monotonic()
        yield
        self.cpu[stage] = time.process_time() - cpu
        self.wall[stage] = time.monotonic() - wall


def settings_for(orders: Path, folder: Path, url: str, *, senders: int = 4) -> Settings:
    """The demo's account at ``url``, with X's larger documented limit, signed with OAuth 1.0a."""
    return from_environment(
        {},
        **{name: DEMO[name] for name in ("pixel_also_fires", "unknown_consent", "account_id", "pixel_id", "event_id")},
        **dict.fromkeys(OAUTH_FIELDS, "benchmark"),
        home=folder,
        warehouse_url=f"duckdb:///{orders}",
        api_url=url,
        events_per_15_min=EVENTS_PER_WINDOW_MAX,
        requests_per_min=REQUESTS_PER_MINUTE_MAX,
        senders=senders,
    )


def run(settings: Settings) -> dict[str, object]:
    """Send the partition; returns what it took and what became of the orders."""
    stages = Stages()
    start = datetime.combine(date.fromisoformat(DAY), datetime.min.time(), UTC)
    outputs = resources.outputs_of(settings)
    with stages.measure("start"):
        warehouse = resources.warehouse_of(settings)
        rules = resources.rules_of(settings, start + timedelta(days=1))
    with stages.measure("prepare"):
        prepare_partition(Partition(PARTITION, start, start + timedelta(days=1)), warehouse, rules, outputs)
    with stages.measure("upload"):
        terms = resources.terms_of(settings, is_history=False)
        with resources.api_client_of(settings) as client, resources.ledger_of(settings, "benchmark") as ledger:
            uploaded = upload_partition(PARTITION, ledger, Delivery(ledger, client, terms), terms.policy, outputs)
    return {
        "counts": uploaded.counts.as_dict(),
        "halted": uploaded.halted,
        "cpu": stages.cpu,
        "wall": stages.wall,
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """The most memory that this process had; getrusage would also tell what its parent had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    import_module("hypothesis.extra.pandas")  # with the first validation pandera imports it where it is: users lack it
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("url")
    parser.add_argument("--senders", type=int, default=4)
    given = parser.parse_args()
    print(json.dumps(run(settings_for(given.orders, given.folder, given.url, senders=given.senders))))
