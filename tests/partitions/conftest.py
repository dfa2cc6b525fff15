"""A shop whose orders a test changes, and both stages of a partition over HTTP to a sandbox, without Dagster."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from xcapi_dagster.ads_api.auth import PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.conversions.prepare import Rules
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.deliver import Delivery, Terms
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.prepare import prepare_partition
from xcapi_dagster.partitions.upload import Uploaded, upload_partition
from xcapi_dagster.sandbox import DEMO_ACCOUNT_ID, DEMO_EVENT_ID, DEMO_PIXEL_ID, DEMO_PIXEL_TOKEN, Sandbox

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("order_id", "email", "value", "consent")]
    + [("ordered_at", pa.timestamp("us", "UTC"))]
)


@dataclass
class Shop:
    """One day's orders, and what a run makes of them."""

    folder: Path
    sandbox: Sandbox
    orders: list[dict[str, Any]] = field(default_factory=list)
    policy: Policy = field(default_factory=lambda: Policy(on_unknown="resend", pixel_also_fires=False))
    clock: float = (NOON + timedelta(hours=14)).timestamp()
    runs: int = 0
    key: str = "2026-11-20"

    def put(self, order_id: str, **columns: Any) -> None:
        """Add an order, or change it."""
        self.orders = [order for order in self.orders if order["order_id"] != order_id]
        good = {"email": f"{order_id}@example.com", "value": "1.00", "consent": "granted", "ordered_at": NOON}
        self.orders.append({"order_id": order_id} | good | columns)

    def remove(self, order_id: str) -> None:
        """The order is no longer in the partition."""
        self.orders = [order for order in self.orders if order["order_id"] != order_id]

    def read(self, _start: datetime, _end: datetime) -> Iterator[pa.RecordBatch]:
        """The orders, as a warehouse gives them."""
        yield from pa.Table.from_pylist(self.orders, schema=SCHEMA).to_batches()

    def sync(self) -> Uploaded:
        """One run of both stages."""
        self.runs += 1
        partition = Partition(self.key, NOON - timedelta(hours=12), NOON + timedelta(hours=12))
        rules = Rules(
            event_id=DEMO_EVENT_ID,
            pixel_id=DEMO_PIXEL_ID,
            default_country=None,
            default_currency="USD",
            source_timezone="UTC",
            unknown_consent="suppress",
            allow_ip_user_agent_only=True,
            now=NOON + timedelta(days=1),
        )
        prepare_partition(partition, self, rules, self.outputs)  # type: ignore[arg-type]
        client = AdsApiClient(
            self.sandbox.url,
            "12",
            DEMO_PIXEL_ID,
            PixelToken(DEMO_PIXEL_TOKEN),
            account_id=DEMO_ACCOUNT_ID,
            clock=lambda: self.clock,
        )
        with self.ledger() as ledger:
            delivery = Delivery(ledger, client, Terms(self.policy, DEMO_EVENT_ID), sleep=lambda _: None)
            return upload_partition(self.key, ledger, delivery, self.policy, self.outputs)

    def ledger(self) -> Ledger:
        """The ledger of one more run."""
        return Ledger(
            Database(f"sqlite:///{self.folder}/ledger/ledger.db", lambda: self.clock),
            account=f"loopback|{DEMO_ACCOUNT_ID}",
            scope=f"loopback|{DEMO_PIXEL_ID}",
            run_id=f"run-{self.runs}",
            limits=Limits(events=60_000, requests=400),
        )

    @property
    def outputs(self) -> Outputs:
        """The files."""
        return Outputs(UPath(self.folder / "output"), "purchases")

    def rows(self, kind: Any) -> list[dict[str, Any]]:
        """The rows of one of the partition's files."""
        return pq.read_table(str(self.outputs.path(kind, self.key))).to_pylist()

    @property
    def sent(self) -> list[str]:
        """What X accepted, each time that it did."""
        return [str(received.conversion["conversion_id"]) for received in self.sandbox.received]

    def forget_ledger(self) -> None:
        """The volume is lost."""
        for path in (self.folder / "ledger").iterdir():
            path.unlink()

    def database(self) -> closing[Database]:
        """The ledger's database."""
        return closing(Database(f"sqlite:///{self.folder}/ledger/ledger.db", lambda: self.clock))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop without orders, a sandbox that follows its clock, no ledger yet."""
    made: list[Shop] = []
    with Sandbox(clock=lambda: made[0].clock if made else 0.0) as sandbox:
        made.append(Shop(tmp_path, sandbox))
        yield made[0]
