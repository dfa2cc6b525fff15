"""What is in the warehouse beside what was settled: partitions that a sync would still change."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from xcapi_dagster.partitions import Partition
from xcapi_dagster.reports.summary import Summary
from xcapi_dagster.warehouse import Warehouse

_OPEN = ("pending", "unknown", "held")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A partition: its orders in the warehouse now, and when it was last synced, None before the first time."""

    partition: str
    in_warehouse: int
    read: int | None = None
    accepted: int = 0
    lost: int = 0
    pending: int = 0
    unknown: int = 0
    held: int = 0
    last_settled_at: datetime | None = None

    @property
    def difference(self) -> int:
        """How many orders more there are than when it was synced: those that came late."""
        return self.in_warehouse - (self.read or 0)

    @property
    def is_settled(self) -> bool:
        """Whether a sync would find nothing to do, as far as numbers tell."""
        return self.difference == 0 and not (self.pending or self.unknown or self.held)

    @property
    def told(self) -> str:
        """The same in words."""
        if self.read is None:
            return "never synced" if self.in_warehouse else "no orders"
        if self.difference:
            return f"{self.difference:+,} orders since"
        return "settled" if self.is_settled else "open"

    def as_dict(self) -> dict[str, Any]:
        """All by name."""
        return asdict(self) | {"difference": self.difference, "is_settled": self.is_settled}


def watch(partitions: Sequence[Partition], warehouse: Warehouse, summaries: Mapping[str, Summary]) -> Iterator[Watched]:
    """Each of ``partitions``, whose ``summaries`` say what became of it. Raises WarehouseError."""
    for partition in partitions:
        in_warehouse = warehouse.count(partition.start, partition.end)
        summary = summaries.get(partition.key)
        if summary is None:
            yield Watched(partition=partition.key, in_warehouse=in_warehouse)
            continue
        counts = {state: worth.orders for state, worth in summary.states.items()}
        yield Watched(
            partition=partition.key,
            in_warehouse=in_warehouse,
            read=summary.read.orders,
            accepted=counts.get("accepted", 0) + counts.get("changed", 0),
            lost=counts.get("invalid", 0) + counts.get("rejected", 0) + counts.get("too_late", 0),
            last_settled_at=summary.last_settled_at,
            **{state: counts.get(state, 0) for state in _OPEN},
        )
