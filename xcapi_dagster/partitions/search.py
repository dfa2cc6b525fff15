"""What the files of a partition hold about one order, without reading all of them."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from xcapi_dagster.outputs import FileKind, Outputs
from xcapi_dagster.parquet import parquet_file


def rows_of(outputs: Outputs, kind: FileKind, partition: str, order_id: str) -> list[dict[str, Any]]:
    """The rows about the order in a file; none where there is no such file any more."""
    with suppress(FileNotFoundError), parquet_file(outputs.path(kind, partition)) as parquet:
        return [row for group in _groups(parquet, order_id) for row in _of_order(parquet, group, order_id)]
    return []


def _groups(parquet: pq.ParquetFile, order_id: str) -> Iterator[int]:
    """The row groups that may hold the order, by what the file says of them."""
    column = parquet.schema_arrow.get_field_index("order_id")
    for group in range(parquet.num_row_groups):
        known = parquet.metadata.row_group(group).column(column).statistics
        if known is None or not known.has_min_max or known.min <= order_id <= known.max:
            yield group


def _of_order(parquet: pq.ParquetFile, group: int, order_id: str) -> list[dict[str, Any]]:
    ids = parquet.read_row_group(group, columns=["order_id"])["order_id"]
    is_it = pc.equal(ids, order_id)
    if not pc.any(is_it).as_py():
        return []
    rows: list[dict[str, Any]] = parquet.read_row_group(group).filter(is_it).to_pylist()
    return rows
