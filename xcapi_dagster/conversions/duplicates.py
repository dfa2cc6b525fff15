"""Which orders of a partition are older versions of others: decided over the whole partition, in bounded memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from xcapi_dagster.conversions.hashing import KEY, Fingerprints, Keys
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.conversions.schema import REJECTIONS
from xcapi_dagster.errors import XConversionsError

NEVER = np.iinfo(np.int64).min

Rows = npt.NDArray[np.int64]

NONE: Rows = np.empty(0, np.int64)

_KINDS = (KEY, np.dtype(np.int64), np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.uint32))  # of versions
_BYTES_IN_MEMORY = 16 << 20  # those of some 380,000 orders


class Versions(NamedTuple):
    """What decides between orders of one key; 44 bytes an order. Times are microseconds since 1970, or NEVER."""

    keys: Keys
    updated_at: npt.NDArray[np.int64]
    ordered_at: npt.NDArray[np.int64]
    fingerprints: Fingerprints
    rows: npt.NDArray[np.uint32]

    def where(self, mask: npt.NDArray[np.bool_]) -> "Versions":
        """Those for which the mask is true."""
        keys, updated_at, ordered_at, fingerprints, rows = self
        return Versions(keys[mask], updated_at[mask], ordered_at[mask], fingerprints[mask], rows[mask])


class Duplicates:
    """Collects the versions of a partition's orders, chunk by chunk.

    Of each order half a key stays in memory, 8 bytes; the versions wait in a ``file`` until it is known which keys
    repeat. Raises XConversionsError when it cannot be written or read.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._chunks: list[npt.NDArray[np.uint64]] = []  # the upper halves of their keys

    def add(self, versions: Versions) -> Rows:
        """Add a chunk's versions; returns the rows, ascending, that are older versions of others of the chunk."""
        losers = _losers(versions)
        if len(losers):
            versions = versions.where(~np.isin(versions.rows, losers))
        self._chunks.append(_in_arrow_memory(versions.keys["high"].astype(np.uint64)))
        with _told():
            for column in versions:
                self._file.write(column.tobytes())
        return losers

    def losers(self) -> Rows:
        """The rows, ascending, that are older versions of others in another chunk."""
        repeated = _repeated(np.concatenate([np.empty(0, np.uint64), *self._chunks]))
        if len(repeated) == 0:
            return NONE
        with _told():
            self._file.seek(0)
            some = [_read(self._file, len(chunk)).where(np.isin(chunk, repeated)) for chunk in self._chunks]
        return _losers(Versions(*(np.concatenate(columns) for columns in zip(*some, strict=True))))


@contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
    """A file for Duplicates, in memory until it is large; that it cannot be closed is no matter, since all was read."""
    file = SpooledTemporaryFile(_BYTES_IN_MEMORY)  # noqa: SIM115 - it is closed below, whatever comes of that
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


@contextmanager
def _told() -> Iterator[None]:
    """Tell what keeps a temporary file from being written or read."""
    try:
        yield
    except OSError as error:
        raise XConversionsError(
            f"the folder for temporary files cannot be written ({os.strerror(error.errno or 0).lower()}): "
            "let TMPDIR name one with room"
        ) from None


def _read(file: IO[bytes], size: int) -> Versions:
    """The next so many versions."""
    columns: list[Any] = [np.frombuffer(file.read(kind.itemsize * size), kind) for kind in _KINDS]
    return Versions(*columns)


def _in_arrow_memory(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The same where Arrow allocates: of what NumPy frees in pieces of this size, the process gives little back."""
    copy: npt.NDArray[np.uint64] = np.frombuffer(pa.allocate_buffer(numbers.nbytes), np.uint64)
    copy[:] = numbers
    return copy


def _losers(versions: Versions) -> Rows:
    """The rows, ascending, that are not the winner of their key.

    The latest ``updated_at`` wins, never being the earliest; then the latest ``ordered_at``, then the smaller
    fingerprint, then the earlier row.
    """
    high = versions.keys["high"].astype(np.uint64)
    some = versions.where(np.isin(high, _repeated(high)))
    high, low = some.keys["high"].astype(np.uint64), some.keys["low"].astype(np.uint64)
    best_first = np.lexsort((some.rows, some.fingerprints, ~some.ordered_at, ~some.updated_at, low, high))
    high, low = high[best_first], low[best_first]
    is_same = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    return np.sort(some.rows[best_first[1:][is_same]]).astype(np.int64)


def _repeated(high: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The upper halves of keys that occur more than once: few, so that only these versions need sorting in full."""
    in_order = np.sort(high)
    repeated: npt.NDArray[np.uint64] = in_order[1:][in_order[1:] == in_order[:-1]]
    return repeated


def duplicate_rejections(orders: pa.Table) -> pa.Table:
    """REJECTIONS that say of each of these orders, given as CONVERSIONS or as REJECTIONS, that another is newer."""
    told = REASONS["duplicate_order"].columns()
    columns = [
        pa.repeat(told[field.name], len(orders))
        if field.name in told
        else (pa.nulls(len(orders), field.type) if field.name in ("column", "detail") else orders[field.name])
        for field in REJECTIONS
    ]
    return pa.table(columns, schema=REJECTIONS)
