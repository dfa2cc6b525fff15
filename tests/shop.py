"""A shop whose orders a test changes, and both stages of its partitions over HTTP, without Dagster.

A shop can be pickled: what a test sends to another process runs there as it runs here.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath
from urllib3 import HTTPConnectionPool

from tests.clocks import Clock, FrozenClock
from tests.contracts import CONTRACTS
from xcapi_dagster.ads_api.auth import OAuth1, PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.ads_api.transport import open_pool
from xcapi_dagster.conversions.prepare import Rules
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.deliver import Delivery, Terms
from xcapi_dagster.delivery.engines import may_exist
from xcapi_dagster.delivery.forgotten import Forgotten
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.prepare import Prepared, prepare_partition
from xcapi_dagster.partitions.upload import Uploaded, upload_partition
from xcapi_dagster.sandbox import (
    DEMO_ACCESS_TOKEN,
    DEMO_ACCESS_TOKEN_SECRET,
    DEMO_ACCOUNT_ID,
    DEMO_CONSUMER_KEY,
    DEMO_CONSUMER_SECRET,
    DEMO_EVENT_ID,
    DEMO_PIXEL_ID,
    DEMO_PIXEL_TOKEN,
)

DAY = "2026-11-20"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NEXT_MORNING = (NOON + timedelta(hours=14)).timestamp()  # when a daily sync runs

RESEND = Policy(on_unknown="resend", pixel_also_fires=False)
HOLD = Policy(on_unknown="hold", pixel_also_fires=False)

_TEXTS = ("order_id", "conversion_id", "event_id", "email", "value", "consent", "description")
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXTS]
    + [(name, pa.timestamp("us", "UTC")) for name in ("ordered_at", "updated_at")]
)
_FILES = ("upload_results", "requests", "rejection_report", "rejection_csv")


def _nothing(_moment: str) -> None:
    """Let the process live."""


@dataclass(kw_only=True)
class Shop:
    """Orders of some days, and what runs make of them. Each run is as one in a process of its own."""

    folder: Path
    api_url: str
    clock: Clock
    ledger_url: str = ""  # SQLite in the folder unless given
    orders: list[dict[str, Any]] = field(default_factory=list)
    key: str = DAY
    policy: Policy = RESEND
    limits: Limits = field(default_factory=lambda: Limits(events=60_000, requests=400))
    name: str = "purchases"  # of the component instance
    pixel_id: str = DEMO_PIXEL_ID
    event_id: str = DEMO_EVENT_ID
    uses_oauth: bool = False
    batch_rows: int = 10_000  # of each row group, whose conversions are in requests of their own
    pool_factory: Callable[[str], HTTPConnectionPool] = open_pool
    senders: int = 1
    spread: float = 0.5  # where in its range each random pause is
    spoiled: dict[str, dict[str, Any]] = field(default_factory=dict)
    run_id: str | None = None
    runs: int = 0

    def __post_init__(self) -> None:
        self.ledger_url = self.ledger_url or f"sqlite:///{self.folder}/ledger/ledger.db"

    def put(self, order_id: str, **columns: Any) -> None:
        """Add an order, or change it."""
        self.remove(order_id)
        self.orders.append(_order(order_id, **columns))

    def put_many(self, count: int, prefix: str = "order", **columns: Any) -> list[str]:
        """Add so many orders; returns their ids."""
        ids = [f"{prefix}-{number}" for number in range(count)]
        self.orders += [_order(order_id, **columns) for order_id in ids]
        return ids

    def remove(self, order_id: str) -> None:
        """The order is no longer in the warehouse."""
        self.orders = [order for order in self.orders if order["order_id"] != order_id]

    def spoil(self, order_id: str, **columns: Any) -> None:
        """Let the transform have a defect: these columns of the order's conversion are not as X wants them."""
        self.spoiled[order_id] = columns

    def read(self, start: datetime, end: datetime) -> Iterator[pa.RecordBatch]:
        """The orders of a window, as a warehouse gives them."""
        rows = [order for order in self.orders if start <= order["ordered_at"] < end]
        yield from pa.Table.from_pylist(rows, schema=_SCHEMA).to_batches()

    def sync(self, *, failpoint: Callable[[str], None] = _nothing, **terms: Any) -> Uploaded:
        """One run of both stages."""
        self.prepare()
        return self.upload(failpoint=failpoint, **terms)

    def prepare(self) -> Prepared:
        """One run of the first stage, which keeps nothing of what the ledger, if there is one, says is forgotten."""
        prepared = prepare_partition(
            self.partition,
            self,  # type: ignore[arg-type]
            self.rules,
            self.outputs,
            self.forgotten,
        )
        if self.spoiled or prepared.ready > self.batch_rows:
            self._write_anew()
        return prepared

    @property
    def partition(self) -> Partition:
        """The day."""
        start = datetime.fromisoformat(self.key).replace(tzinfo=UTC)
        return Partition(self.key, start, start + timedelta(days=1))

    @property
    def rules(self) -> Rules:
        """What decides the transform now."""
        return Rules(
            event_id=self.event_id,
            pixel_id=self.pixel_id,
            default_country=None,
            default_currency="USD",
            source_timezone="UTC",
            unknown_consent="suppress",
            allow_ip_user_agent_only=True,
            send_event_source_url=False,
            now=datetime.fromtimestamp(self.clock(), UTC),
        )

    def upload(self, *, failpoint: Callable[[str], None] = _nothing, **terms: Any) -> Uploaded:
        """One run of the second stage."""
        self.runs += 1
        one_sleeps = threading.Lock()  # of several senders, as there is one heart
        with self.ledger() as ledger:

            def sleep(seconds: float) -> None:
                if not isinstance(self.clock, FrozenClock):
                    self.clock.sleep(seconds)
                    return
                with one_sleeps:
                    self.clock.sleep(seconds)
                    ledger._lease.prolong()  # the heart beats every 15 s, which do not pass

            delivery = Delivery(
                ledger,
                self.client(),
                Terms(self.policy, self.event_id, **{"senders": self.senders} | terms),
                sleep=sleep,
                jitter=lambda: self.spread,
                failpoint=failpoint,
            )
            return upload_partition(self.key, ledger, delivery, self.policy, self.outputs)

    def client(self) -> AdsApiClient:
        """The real client."""
        oauth = partial(OAuth1, DEMO_CONSUMER_KEY, DEMO_CONSUMER_SECRET, DEMO_ACCESS_TOKEN, DEMO_ACCESS_TOKEN_SECRET)
        return AdsApiClient(
            self.api_url,
            "12",
            self.pixel_id,
            oauth() if self.uses_oauth else PixelToken(DEMO_PIXEL_TOKEN),
            account_id=DEMO_ACCOUNT_ID,
            pool_factory=self.pool_factory,
            clock=self.clock,
        )

    def ledger(self) -> Ledger:
        """The ledger of one more run."""
        return Ledger(
            self.open_database(),
            account=f"loopback|{DEMO_ACCOUNT_ID}",
            scope=f"loopback|{self.pixel_id}",
            run_id=self.run_id or f"run-{self.runs}",
            limits=self.limits,
            instance=self.name,
            steady=self.clock.steady,
        )

    def open_database(self) -> Database:
        """A connection to the ledger's database."""
        return Database(self.ledger_url, self.clock)

    def database(self) -> closing[Database]:
        """The same, closed after a block."""
        return closing(self.open_database())

    def open_now(self) -> float:
        """Seconds since 1970 by the ledger's clock."""
        with self.database() as database:
            return database.now()

    @property
    def outputs(self) -> Outputs:
        """The files."""
        return Outputs(UPath(self.folder / "output"), self.name)

    def rows(self, kind: Any) -> list[dict[str, Any]]:
        """The rows of one of the partition's files, which keep its contract."""
        table = pq.read_table(str(self.outputs.path(kind, self.key)))
        return (CONTRACTS[kind].prove(table) if kind in CONTRACTS else table).to_pylist()

    def files(self) -> Mapping[str, bytes]:
        """The files that the second stage wrote for the partition."""
        return {kind: self.outputs.path(kind, self.key).read_bytes() for kind in _FILES}  # type: ignore[arg-type]

    @property
    def states(self) -> Counter[str]:
        """How many conversions are in each state, by the partition's results."""
        return Counter(row["state"] for row in self.rows("upload_results"))

    def forgotten(self) -> Forgotten | None:
        """The orders that the ledger has tombstones of."""
        if not may_exist(self.ledger_url):
            return None
        with self.database() as database:
            return Forgotten.of(database, f"loopback|{self.pixel_id}", self.name)

    def forget_ledger(self) -> None:
        """The volume is lost."""
        for path in (self.folder / "ledger").iterdir():
            path.unlink()

    def _write_anew(self) -> None:
        """The conversions in groups of `batch_rows`, and not as X wants them where they are to be spoiled."""
        path = str(self.outputs.path("conversions", self.key))
        with pq.ParquetFile(path) as file:
            facts, schema, table = file.metadata.metadata, file.schema_arrow, file.read()
        if self.spoiled:
            rows = [row | self.spoiled.get(row["order_id"], {}) for row in table.to_pylist()]
            table = pa.Table.from_pylist(rows, schema)
        written = f"{path}.{os.getpid()}"  # renamed when whole: another process may be reading the other
        with pq.ParquetWriter(written, schema) as writer:
            writer.write_table(table, row_group_size=self.batch_rows)
            writer.add_key_value_metadata({name: facts[name] for name in facts if name != b"ARROW:schema"})
        Path(written).replace(path)


def _order(order_id: str, **columns: Any) -> dict[str, Any]:
    good = {"email": f"{order_id}@example.com", "value": "1.00", "consent": "granted", "ordered_at": NOON}
    return {"order_id": order_id} | good | columns
