"""The conversions of a partition's file as delivery takes them, a row group at a time."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from upath import UPath

from xcapi_dagster.conversions.payload import Events, to_events
from xcapi_dagster.conversions.schema import CONVERSIONS
from xcapi_dagster.conversions.texts import whole
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.keys import Keys
from xcapi_dagster.parquet import parquet_file

_READ = [name for name in CONVERSIONS.names if name not in ("row", "order_id")]  # what is sent, and the fingerprint


class KeepsKeys(Protocol):
    """A ledger, or a view of one."""

    def keys(self, event_ids: Sequence[str], conversion_ids: Sequence[str]) -> Keys:
        """The keys of these conversions in it."""


def chunks(path: UPath, keys_of: Callable[[pa.Table], Keys]) -> Iterator[Chunk]:
    """The conversions in the file at ``path``, with the keys that ``keys_of`` gives for them."""
    return map(partial(_chunk, keys_of), row_groups(path, _READ))  # a loop would hold one while the next is read


def _chunk(keys_of: Callable[[pa.Table], Keys], conversions: pa.Table) -> Chunk:
    fingerprints, times = versions(conversions)
    return Chunk(keys=keys_of(conversions), fingerprints=fingerprints, times=times, render=_renderer(conversions))


def row_groups(path: UPath, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of the file at ``path``, as they were written."""
    with parquet_file(path) as parquet:
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns)


def versions(conversions: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Fingerprints and times, in milliseconds since 1970."""
    return conversions["fingerprint"].to_numpy(), conversions["conversion_time"].cast(pa.int64()).to_numpy()


def keys_of(ledger: KeepsKeys, conversions: pa.Table) -> Keys:
    """The key of each conversion."""
    return ledger.keys(_shared(conversions["event_id"]), conversions["conversion_id"].to_pylist())


class KeptKeys:
    """Keys in ``ledger`` that are computed once, though a run reads its conversions again to tell what became of them.

    A key is 16 bytes, and the longest part of reading conversions without their identifiers; those of the first million
    are kept. They are found by a digest of the ids that they are the keys of: in the meantime another file may have
    taken the place of the first.
    """

    MOST = 1 << 20

    def __init__(self, ledger: KeepsKeys) -> None:
        self._ledger = ledger
        self._kept: dict[bytes, Keys] = {}

    def keep(self, conversions: pa.Table) -> Keys:
        """The key of each conversion, to be kept for whoever takes them."""
        digest = _digest(conversions)
        if digest in self._kept:
            return self._kept[digest]
        keys = keys_of(self._ledger, conversions)
        if sum(map(len, self._kept.values())) < self.MOST:
            self._kept[digest] = keys
        return keys

    def take(self, conversions: pa.Table) -> Keys:
        """The key of each conversion, which are not kept any longer."""
        kept = self._kept.pop(_digest(conversions), None)
        return keys_of(self._ledger, conversions) if kept is None else kept


def _shared(texts: pa.ChunkedArray) -> list[str]:
    """The texts, those that are equal as one object, which is made and hashed once: one event has most conversions."""
    encoded = whole(texts).dictionary_encode()
    shared: list[str] = np.array(encoded.dictionary.to_pylist(), object)[encoded.indices.to_numpy()].tolist()
    return shared


def _digest(conversions: pa.Table) -> bytes:
    digest = sha256()
    for batch in conversions.select(["event_id", "conversion_id"]).to_batches():
        digest.update(batch.serialize())
    return digest.digest()


def _renderer(conversions: pa.Table) -> Callable[[NDArray[np.intp]], Events]:
    return lambda positions: to_events(
        conversions if len(positions) == len(conversions) else conversions.take(pa.array(positions))
    )
