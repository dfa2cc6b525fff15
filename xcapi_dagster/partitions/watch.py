"""What is in the warehouse beside what was settled: partitions that a sync would still change, and until when."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.contract import DEDUPLICATION_HOURS
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.chunks import row_groups
from xcapi_dagster.reports.summary import WAITING, Summary
from xcapi_dagster.warehouse import Warehouse

WARNING_AGE = timedelta(hours=40)  # of an order that X does not have: there is time left to find out why, and to send
_TOO_LATE = timedelta(hours=DEDUPLICATION_HOURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A partition: its orders in the warehouse now, and when it was last synced, None before the first time."""

    partition: str
    in_warehouse: int
    read: int | None = None
    accepted: int = 0
    lost: int = 0
    too_late: int = 0
    pending: int = 0
    unknown: int = 0
    held: int = 0
    last_settled_at: datetime | None = None
    left_out: int = 0  # without consent, or replaced by newer versions
    may_be_purged: bool = False  # it is older than reports are kept, so that none says nothing

    @property
    def difference(self) -> int:
        """How many orders more there are than when it was synced, those that came late; below 0, how many fewer."""
        return self.in_warehouse - (self.read or 0)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell of it: no orders, and it was never synced."""
        return self.read is None and not self.in_warehouse

    @property
    def is_settled(self) -> bool:
        """Whether a sync would find nothing to do, as far as numbers tell."""
        return self.difference == 0 and not (self.pending or self.unknown or self.held)

    @property
    def told(self) -> str:
        """The same in words."""
        if self.read is None:
            return "no orders" if self.is_empty else "no report left" if self.may_be_purged else "never synced"
        if self.difference:
            return f"{self.difference:+,} orders since"
        return "settled" if self.is_settled else "open"

    def as_dict(self) -> dict[str, Any]:
        """All by name."""
        return asdict(self) | {"difference": self.difference, "is_settled": self.is_settled}


def watch(
    partitions: Sequence[Partition],
    warehouse: Warehouse,
    summaries: Mapping[str, Summary],
    kept_since: datetime | None = None,
) -> Iterator[Watched]:
    """Each of ``partitions``, whose ``summaries``, kept from that time on, say what became of it.

    Raises WarehouseError.
    """
    for partition in partitions:
        in_warehouse = warehouse.count(partition.start, partition.end)
        summary = summaries.get(partition.key)
        if summary is None:
            may_be_purged = kept_since is not None and partition.end < kept_since
            yield Watched(partition=partition.key, in_warehouse=in_warehouse, may_be_purged=may_be_purged)
            continue
        counts = {state: worth.orders for state, worth in summary.states.items()}
        yield Watched(
            partition=partition.key,
            in_warehouse=in_warehouse,
            read=summary.read.orders,
            accepted=counts.get("accepted", 0) + counts.get("changed", 0),
            lost=counts.get("invalid", 0) + counts.get("rejected", 0),
            too_late=counts.get("too_late", 0),
            left_out=counts.get("suppressed", 0) + counts.get("duplicate", 0),
            last_settled_at=summary.last_settled_at,
            pending=counts.get("pending", 0),
            unknown=counts.get("unknown", 0),
            held=counts.get("held", 0),
        )


@dataclass(frozen=True, slots=True)
class Ageing:
    """The orders of a partition that X does not have at 40 hours of age; of them, how many are older than 48."""

    partition: str
    orders: int
    too_late: int
    is_synced: bool

    @property
    def told(self) -> str:
        """The same in words."""
        told = f"{self.orders:,} waiting" if self.is_synced else f"{self.orders:,} in the warehouse, never synced"
        return f"{told}, {self.too_late:,} past {DEDUPLICATION_HOURS} h" if self.too_late else told


def ageing(
    partitions: Sequence[Partition],
    warehouse: Warehouse,
    outputs: Outputs,
    summaries: Mapping[str, Summary],
    now: datetime,
) -> Iterator[Ageing]:
    """Those of ``partitions`` with such orders. Raises WarehouseError.

    Of a partition that was never synced, the orders that are too late are not counted: it is history by then.
    """
    warned, too_late = now - WARNING_AGE, now - _TOO_LATE
    for partition in partitions:
        summary = summaries.get(partition.key)
        if summary is None:
            start, end = max(partition.start, too_late), min(partition.end, warned)
            found = Ageing(partition.key, warehouse.count(start, end) if start < end else 0, 0, is_synced=False)
        elif summary.of(WAITING).orders:
            times = _times_of_waiting(partition.key, outputs)
            orders, late = (
                sum(pc.sum(pc.less_equal(each, at)).as_py() or 0 for each in times) for at in (warned, too_late)
            )
            found = Ageing(partition.key, orders, late, is_synced=True)
        else:
            continue
        if found.orders:
            yield found


def _times_of_waiting(partition: str, outputs: Outputs) -> list[pa.ChunkedArray]:
    """When the orders were placed that wait, by the results; none where those are not kept any more."""
    with suppress(FileNotFoundError):
        groups = row_groups(outputs.path("upload_results", partition), columns=["state", "conversion_time"])
        return [each["conversion_time"].filter(pc.is_in(each["state"], pa.array(WAITING))) for each in groups]
    return []
