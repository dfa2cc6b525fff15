"""Who a conversion is: its key; and what is kept with keys."""

from collections.abc import Sequence
from hashlib import blake2b
from mmap import mmap
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xcapi_dagster.contract import short_event_id
from xcapi_dagster.conversions.hashing import KEY, Fingerprints, Keys

__all__ = ["KEY", "Columns", "Entries", "Fingerprints", "Found", "Keys", "conversion_keys", "halves", "zeros"]

_LEAST_MAPPED_BYTES = 1 << 20  # of less, memory of its own costs more time than it is worth


def conversion_keys(salt: bytes, scope: str, event_ids: Sequence[str], conversion_ids: Sequence[str]) -> Keys:
    """One 128-bit key per conversion, of (scope, short event id, conversion id), as an array of `KEY`.

    Keyed with the ledger's own ``salt``, so that no ledger can be joined with order ids elsewhere. At 128 bits two
    of 5,000,000 conversions collide with a probability of 4e-26; a collision would be an order silently unsent.
    """
    stems = {
        event: blake2b(f"{scope}\0{short_event_id(event)}\0".encode(), digest_size=KEY.itemsize, key=salt)
        for event in set(event_ids)
    }
    digests = bytearray()
    for event, conversion in zip(event_ids, conversion_ids, strict=True):
        digest = stems[event].copy()
        digest.update(conversion.encode())
        digests += digest.digest()
    return np.frombuffer(bytes(digests), KEY)


class Entries(NamedTuple):
    """Keys, the fingerprints that were sent with them and the requests that answer for them, a column each."""

    keys: Keys
    fingerprints: Fingerprints
    requests: NDArray[np.uint32]

    def where(self, mask: NDArray[np.bool_]) -> "Entries":
        """Those for which the mask is true."""
        return Entries(self.keys[mask], self.fingerprints[mask], self.requests[mask])


class Found(NamedTuple):
    """What an index holds for some keys: the request of each (0: none) and the fingerprint that was sent."""

    requests: NDArray[np.uint32]
    fingerprints: Fingerprints


class Columns(NamedTuple):
    """The same with keys in halves: 28 bytes an entry."""

    high: NDArray[Any]
    low: NDArray[Any]
    fingerprints: NDArray[Any]
    requests: NDArray[Any]

    @classmethod
    def of(cls, size: int) -> Self:
        """Room for so many entries: zeros."""
        return cls(*(zeros(size, kind) for kind in (np.uint64, np.uint64, np.uint64, np.uint32)))

    def at(self, order: NDArray[np.intp] | slice) -> Self:
        """The entries at these positions, in this order."""
        return type(self)(*(column[order] for column in self))

    def of_requests(self, requests: NDArray[np.uint32]) -> Self:
        """The entries for which one of ``requests`` answers."""
        return self.at(np.flatnonzero(np.isin(self.requests, requests)))

    def entries(self) -> Entries:
        """The same with whole keys, whose bytes are those of the ledger on every machine."""
        keys = np.empty(len(self.high), KEY)
        keys["high"], keys["low"] = self.high, self.low
        return Entries(keys, self.fingerprints, self.requests)


def zeros(size: int, kind: DTypeLike) -> NDArray[Any]:
    """So many zeros; where they are many, they take no memory until they are written, and none once they are let go of.

    Of large arrays that grow by being copied the process would keep most otherwise: some 20 bytes for each of
    5,000,000 keys.
    """
    kind = np.dtype(kind)
    if size * kind.itemsize < _LEAST_MAPPED_BYTES:
        return np.zeros(size, kind)
    return np.frombuffer(mmap(-1, size * kind.itemsize), kind)


def halves(keys: Keys) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The upper and the lower half of each key, as numbers of this machine."""
    return keys["high"].astype(np.uint64), keys["low"].astype(np.uint64)
