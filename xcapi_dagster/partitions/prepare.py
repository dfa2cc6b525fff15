"""The first stage: the orders of a partition become conversions ready to send, and rejections.

Raw e-mail addresses and phone numbers are in memory here, one chunk at a time, and nowhere else.
"""

from collections import Counter
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from upath import UPath

from xcapi_dagster.conversions.duplicates import Duplicates, duplicate_rejections
from xcapi_dagster.conversions.prepare import Rules, prepare
from xcapi_dagster.conversions.schema import CONVERSIONS, REJECTIONS
from xcapi_dagster.outputs import Outputs, parquet_file, parquet_writer
from xcapi_dagster.partitions import Partition
from xcapi_dagster.reports.identifiers import Identifiers, IdentifierTally
from xcapi_dagster.reports.summary import order_states
from xcapi_dagster.warehouse import Warehouse

_FACTS = b"xcapi.prepared"  # key of the counts in the conversions file's metadata


class Prepared(BaseModel):
    """What became of the orders read, before anything is sent; ``identifiers`` are those of the ones ready."""

    model_config = ConfigDict(frozen=True)

    read: int = 0
    invalid: int = 0
    suppressed: int = 0
    duplicate: int = 0
    ready: int = 0
    identifiers: Identifiers = Identifiers()

    @classmethod
    def of_file(cls, outputs: Outputs, partition: str) -> "Prepared":
        """What the conversions file of ``partition`` says of itself."""
        with parquet_file(outputs.path("conversions", partition)) as parquet:
            return cls.model_validate_json(parquet.metadata.metadata[_FACTS])


def prepare_partition(partition: Partition, warehouse: Warehouse, rules: Rules, outputs: Outputs) -> Prepared:
    """Write the conversions and the invalid orders of ``partition``; returns the counts, which add up.

    Raises WarehouseError when the orders could not be read to the end: then no file was changed.
    """
    with (
        outputs.writing("conversions", partition.key) as conversions,
        outputs.writing("invalid", partition.key) as invalid,
    ):
        duplicates = Duplicates()
        with _PartitionFiles(conversions, invalid) as files:
            for orders in warehouse.read(partition.start, partition.end):
                prepared = prepare(orders, files.read, rules)
                losers = duplicates.add(prepared.versions)
                tables = _without(losers, prepared.conversions, prepared.rejections)
                files.write(*tables, len(orders), prepared.mistyped_domains)
        pa.default_memory_pool().release_unused()  # a chunk's memory, which is more than sending needs
        losers = duplicates.losers()
        return _rewrite(losers, conversions, invalid, files.prepared) if len(losers) else files.prepared


class _PartitionFiles:
    """The two files of a partition, growing chunk by chunk, and the counts of what is in them."""

    def __init__(self, conversions: UPath, invalid: UPath) -> None:
        self._paths = (conversions, invalid)
        self._stack = ExitStack()
        self._tally = Counter[str]()
        self._identifiers = IdentifierTally()

    def __enter__(self) -> Self:
        conversions, invalid = self._paths
        self._conversions = self._stack.enter_context(parquet_writer(conversions, CONVERSIONS))
        self._invalid = self._stack.enter_context(parquet_writer(invalid, REJECTIONS))
        return self

    def __exit__(self, *raised: Any) -> None:
        self._conversions.add_key_value_metadata({_FACTS: self.prepared.model_dump_json().encode()})
        self._stack.__exit__(*raised)

    def write(self, conversions: pa.Table, rejections: pa.Table, read: int = 0, mistyped_domains: int = 0) -> None:
        """Add a chunk, and what was counted when it was prepared: all rejections of an order are in the same one."""
        self._conversions.write_table(conversions)
        self._invalid.write_table(rejections)
        self._tally.update(order_states(rejections)["state"].to_pylist())
        self._tally.update(read=read, ready=len(conversions))
        self._identifiers.add(conversions, mistyped_domains=mistyped_domains)

    @property
    def read(self) -> int:
        """Orders so far."""
        return self._tally["read"]

    @property
    def prepared(self) -> Prepared:
        """The counts so far."""
        names = ("read", "invalid", "suppressed", "duplicate", "ready")
        return Prepared(**{name: self._tally[name] for name in names}, identifiers=self._identifiers.found)


def _rewrite(losers: NDArray[np.int64], conversions: UPath, invalid: UPath, all_orders: Prepared) -> Prepared:
    """Write both files anew with the older versions of orders as duplicates: the latest version alone decides."""
    old = tuple(path.with_name(f"{path.name}.all") for path in (conversions, invalid))
    conversions.rename(old[0])
    invalid.rename(old[1])
    try:
        with _PartitionFiles(conversions, invalid) as files, parquet_file(old[0]) as all_, parquet_file(old[1]) as bad:
            for group in range(all_.num_row_groups):
                files.write(*_without(losers, all_.read_row_group(group), REJECTIONS.empty_table()))
            for group in range(bad.num_row_groups):
                files.write(*_without(losers, CONVERSIONS.empty_table(), bad.read_row_group(group)))
            told = (all_orders.read, all_orders.identifiers.mistyped_domains)
            files.write(CONVERSIONS.empty_table(), REJECTIONS.empty_table(), *told)
        return files.prepared
    finally:
        for path in old:
            path.unlink(missing_ok=True)


def _without(losers: NDArray[np.int64], conversions: pa.Table, rejections: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The tables with the rows in ``losers`` as duplicates, whatever else was found about them."""
    if len(losers) == 0:
        return conversions, rejections
    lost = pa.array(losers)
    loses, is_told = pc.is_in(conversions["row"], lost), pc.is_in(rejections["row"], lost)
    unsent = rejections.filter(pc.and_(is_told, pc.not_equal(rejections["severity"], "degraded")))
    duplicates = [duplicate_rejections(each) for each in (conversions.filter(loses), _one_per_row(unsent))]
    found = pa.concat_tables([rejections.filter(pc.invert(is_told)), *duplicates])
    return conversions.filter(pc.invert(loses)), found.take(pc.sort_indices(found["row"]))


def _one_per_row(rejections: pa.Table) -> pa.Table:
    _, first = np.unique(rejections["row"].to_numpy(), return_index=True)
    return rejections.take(pa.array(np.sort(first)))
