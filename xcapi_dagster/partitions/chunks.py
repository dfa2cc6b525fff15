"""The conversions of a partition's file as delivery takes them, a row group at a time."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from upath import UPath

from xcapi_dagster.conversions.payload import Events, to_events
from xcapi_dagster.conversions.schema import CONVERSIONS
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.keys import Keys, Texts
from xcapi_dagster.parquet import parquet_file

_READ = [name for name in CONVERSIONS.names if name not in ("row", "order_id")]  # what is sent, and the fingerprint


class MakesKeys(Protocol):
    """A ledger, or a view of one."""

    def keys(self, event_ids: Texts, conversion_ids: Texts) -> Keys:
        """The keys of these conversions in it."""


def chunks(path: UPath, ledger: MakesKeys) -> Iterator[Chunk]:
    """The conversions in the file at ``path``, with their keys in ``ledger``."""
    return map(partial(_chunk, ledger), row_groups(path, _READ))  # a loop would hold one while the next is read


def _chunk(ledger: MakesKeys, conversions: pa.Table) -> Chunk:
    fingerprints, times = versions(conversions)
    return Chunk(
        keys=keys_of(ledger, conversions), fingerprints=fingerprints, times=times, render=_renderer(conversions)
    )


def keys_of(ledger: MakesKeys, conversions: pa.Table) -> Keys:
    """The key of each conversion."""
    return ledger.keys(conversions["event_id"], conversions["conversion_id"])


def row_groups(path: UPath, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of the file at ``path``, as they were written."""
    with parquet_file(path) as parquet:
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns)


def versions(conversions: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Fingerprints and times, in milliseconds since 1970."""
    return conversions["fingerprint"].to_numpy(), conversions["conversion_time"].cast(pa.int64()).to_numpy()


def _renderer(conversions: pa.Table) -> Callable[[NDArray[np.intp]], Events]:
    return lambda positions: to_events(
        conversions if len(positions) == len(conversions) else conversions.take(pa.array(positions))
    )
