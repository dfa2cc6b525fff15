"""The first stage: the orders of a partition become conversions ready to send, and rejections.

Raw e-mail addresses and phone numbers are in memory here, one chunk at a time, and nowhere else.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from upath import UPath

from xcapi_dagster.conversions.duplicates import Duplicates, duplicate_rejections, temporary_file
from xcapi_dagster.conversions.forgotten import forgotten_rejections
from xcapi_dagster.conversions.prepare import Rules, prepare
from xcapi_dagster.conversions.rejections import told_anew
from xcapi_dagster.conversions.schema import CONVERSIONS, REJECTIONS
from xcapi_dagster.delivery.forgotten import Forgotten
from xcapi_dagster.outputs import FileKind, Outputs, is_there
from xcapi_dagster.parquet import ParquetFile, parquet_file, parquet_writer
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.changes import drop_aside, set_aside
from xcapi_dagster.partitions.chunks import row_groups
from xcapi_dagster.reports.identifiers import Identifiers, IdentifierTally
from xcapi_dagster.reports.summary import order_states
from xcapi_dagster.warehouse import Warehouse
from xcapi_dagster.writing import written

_Tables = tuple[pa.Table, pa.Table]  # of CONVERSIONS and of REJECTIONS

PREPARED_FILES: tuple[FileKind, ...] = ("conversions", "invalid")  # of a partition, that this stage leaves

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
            return cls.of(parquet)

    @classmethod
    def of(cls, conversions: ParquetFile) -> "Prepared":
        """The same of the open file ``conversions``."""
        return cls.model_validate_json(conversions.metadata.metadata[_FACTS])


def missing_file(partition: str, outputs: Outputs) -> UPath | None:
    """One of the two files of ``partition`` that is not there, None when both are: of one alone nobody knows counts."""
    paths = [outputs.path(kind, partition) for kind in PREPARED_FILES]
    return next((path for path in paths if not is_there(path)), None)


def prepare_partition(
    partition: Partition,
    warehouse: Warehouse,
    rules: Rules,
    outputs: Outputs,
    forgotten: Callable[[], Forgotten | None] = lambda: None,
) -> Prepared:
    """Write the conversions and the invalid orders of ``partition``; returns the counts, which add up.

    Of orders that are ``forgotten``, also while this is going on, nothing is left but that there were so many.
    Raises WarehouseError when the orders could not be read to the end: then no file was changed.
    """
    known = forgotten()
    prepared = _write_files(partition, warehouse, rules, outputs, known)
    known_now = forgotten()
    if known_now and len(known_now) > len(known or ()):
        drop_aside(partition.key, outputs)  # the copy of what was there may be older than its erasing
        return forget_prepared(partition.key, known_now, outputs)
    return prepared


def _write_files(
    partition: Partition, warehouse: Warehouse, rules: Rules, outputs: Outputs, forgotten: Forgotten | None
) -> Prepared:
    with (
        outputs.writing("conversions", partition.key) as conversions,
        outputs.writing("invalid", partition.key) as invalid,
    ):
        with _PartitionFiles(conversions, invalid) as files:
            losers = _prepare_chunks(warehouse.read(partition.start, partition.end), files, rules, forgotten)
        _release_memory()
        set_aside(partition.key, outputs)
        return _settle_duplicates(losers, conversions, invalid, files.prepared) if len(losers) else files.prepared


def _prepare_chunks(
    chunks: Iterable[pa.RecordBatch], files: "_PartitionFiles", rules: Rules, forgotten: Forgotten | None
) -> NDArray[np.int64]:
    """Prepare all chunks into ``files``; returns the rows that are older versions of orders in another chunk."""
    with temporary_file() as file:
        duplicates = Duplicates(file)
        for orders in chunks:
            files.write(*_prepare_chunk(orders, files.read, rules, duplicates, forgotten))
        _release_memory()
        return duplicates.losers()


def _release_memory() -> None:
    """Give back what Arrow holds for the next chunk: the next step needs its own."""
    pa.default_memory_pool().release_unused()


def _prepare_chunk(
    orders: pa.RecordBatch, first_row: int, rules: Rules, duplicates: Duplicates, forgotten: Forgotten | None
) -> tuple[pa.Table, pa.Table, int, int]:
    """What the files are to hold of a chunk, and the counts of it; afterwards nothing else of it is in memory."""
    prepared = prepare(orders, first_row, rules, duplicates)
    tables = (prepared.conversions, prepared.rejections)
    if forgotten:
        tables = _without_forgotten(forgotten, *tables)
    return *tables, len(orders), prepared.mistyped_domains


def forget_prepared(partition: str, forgotten: Forgotten, outputs: Outputs) -> Prepared:
    """Write the files of ``partition`` anew without what they hold about ``forgotten`` orders, which still count.

    Returns the counts as they are then.
    """
    old = (outputs.path("conversions", partition), outputs.path("invalid", partition))
    prepared = Prepared.of_file(outputs, partition)
    with outputs.writing("conversions", partition) as conversions, outputs.writing("invalid", partition) as invalid:
        return _rewrite(partial(_without_forgotten, forgotten), old, (conversions, invalid), prepared)


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
        self._stack.push(self._add_facts)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.__exit__(*raised)

    def _add_facts(self, kind: type[BaseException] | None, *_raised: object) -> None:
        """The counts, when all that they count is there."""
        if kind is None:
            self._conversions.add_metadata({_FACTS: self.prepared.model_dump_json().encode()})

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


def _settle_duplicates(losers: NDArray[np.int64], conversions: UPath, invalid: UPath, all_orders: Prepared) -> Prepared:
    """Write both files anew with the older versions of orders as duplicates: the latest version alone decides."""
    old = (conversions.with_name(f"{conversions.name}.all"), invalid.with_name(f"{invalid.name}.all"))
    for path, new in zip((conversions, invalid), old, strict=True):
        with written(new):
            path.rename(new)
    try:
        change = partial(told_anew, losers, duplicate_rejections)
        return _rewrite(change, old, (conversions, invalid), all_orders)
    finally:
        for path in old:
            path.unlink(missing_ok=True)


def _rewrite(
    change: Callable[[pa.Table, pa.Table], _Tables],
    old: tuple[UPath, UPath],
    new: tuple[UPath, UPath],
    all_orders: Prepared,
) -> Prepared:
    """Write the ``new`` files, of conversions and of invalid orders, with the changed rows of the ``old`` ones."""
    with _PartitionFiles(*new) as files:
        for conversions in row_groups(old[0]):
            files.write(*change(_completed(conversions, CONVERSIONS), REJECTIONS.empty_table()))
        for rejections in row_groups(old[1]):
            files.write(*change(CONVERSIONS.empty_table(), _completed(rejections, REJECTIONS)))
        told = (all_orders.read, all_orders.identifiers.mistyped_domains)
        files.write(CONVERSIONS.empty_table(), REJECTIONS.empty_table(), *told)
    return files.prepared


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with nulls for what it lacks of the schema, as files of earlier versions do."""
    if table.column_names == schema.names:
        return table
    return pa.concat_tables([schema.empty_table(), table], promote_options="default")


def _without_forgotten(forgotten: Forgotten, conversions: pa.Table, rejections: pa.Table) -> _Tables:
    """The tables with the orders that are forgotten as such."""
    rows = [
        table["row"].to_numpy()[forgotten.among(table["order_id"].to_pylist())] for table in (conversions, rejections)
    ]
    return told_anew(np.unique(np.concatenate(rows)), forgotten_rejections, conversions, rejections)
