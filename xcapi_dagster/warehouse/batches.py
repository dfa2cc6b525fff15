"""Batches of a bounded size, whatever sizes a driver gives: bounded in rows, and in bytes where rows are large."""

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa

BATCH_BYTES: Final = 24 << 20  # what 49,152 usual orders have, and far below what a text column may hold


def in_batches_of(
    rows: int, batches: Iterable[pa.RecordBatch], schema: pa.Schema, most_bytes: int = BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """The rows of ``batches``, which have the columns of ``schema``, in its types, in batches of ``rows``.

    A batch has fewer only if it is the last, or if one more row would make it larger than ``most_bytes``; a single
    larger row is a batch of its own.
    """
    held = _Held(schema)
    for batch in batches:
        for part, size in _parts(pa.Table.from_arrays(batch.columns, schema=schema), most_bytes):
            if held.rows and held.bytes + size > most_bytes:
                yield held.take(held.rows)
            held.add(part, size)
            while held.rows >= rows:
                yield held.take(rows)
    if held.rows:
        yield held.take(held.rows)


class _Held:
    """Rows that wait for more of them."""

    def __init__(self, schema: pa.Schema) -> None:
        self._tables = [schema.empty_table()]
        self.rows = 0
        self.bytes = 0

    def add(self, table: pa.Table, size: int) -> None:
        """Add a table that has so many bytes."""
        self._tables.append(table)
        self.rows += table.num_rows
        self.bytes += size

    def take(self, rows: int) -> pa.RecordBatch:
        """The first ``rows`` as one batch; the others wait on."""
        held = pa.concat_tables(self._tables)
        rest = held.slice(rows)
        self._tables, self.rows, self.bytes = [rest], rest.num_rows, rest.nbytes
        return held.slice(0, rows).combine_chunks().to_batches()[0]


def in_types_of(schema: pa.Schema, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns of ``batch``, in order, in the types of ``schema``; times are cut to its units.

    Raises pa.ArrowException where a value has no place in its type.
    """
    columns = [
        column if column.type == field.type else column.cast(field.type, safe=not pa.types.is_timestamp(field.type))
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.record_batch(columns, schema=schema)


def _parts(table: pa.Table, most_bytes: int) -> Iterator[tuple[pa.Table, int]]:
    """The table in parts of at most ``most_bytes``, or of a single row, and how many bytes each has."""
    size = table.nbytes  # to ask for it takes as long as a column does
    if size <= most_bytes or table.num_rows <= 1:
        yield table, size
        return
    half = table.num_rows // 2
    yield from _parts(table.slice(0, half), most_bytes)
    yield from _parts(table.slice(half), most_bytes)
