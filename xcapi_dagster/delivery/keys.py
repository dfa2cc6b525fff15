"""Who a conversion is: its key; and what is kept with keys."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from mmap import mmap
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from xcapi_dagster.contract import short_event_id
from xcapi_dagster.conversions.hashing import KEY, Fingerprints, Keys, to_keys
from xcapi_dagster.conversions.texts import whole

__all__ = [
    "KEY", "KEY_DIGESTS", "Columns", "Entries", "Fingerprints", "Found", "KeyDigest", "Keys", "Texts",
    "conversion_keys", "halves", "zeros",
]  # fmt: skip

_LEAST_MAPPED_BYTES = 1 << 20  # of less, memory of its own costs more time than it is worth

Texts: TypeAlias = "pa.Array | pa.ChunkedArray | Sequence[str]"  # none of them null


class KeyDigest(NamedTuple):
    """How a ledger makes keys: with the digest of this name in KEY_DIGESTS, and with its own salt."""

    name: str
    salt: bytes


def conversion_keys(digest: KeyDigest, scope: str, event_ids: Texts, conversion_ids: Texts) -> Keys:
    """One 128-bit key per conversion, of (scope, short event id, conversion id), as an array of `KEY`.

    Keyed with the ledger's own salt, so that no ledger can be joined with order ids elsewhere. At 128 bits two
    of 5,000,000 conversions collide with a probability of 4e-26; a collision would be an order silently unsent.
    """
    return KEY_DIGESTS[digest.name](digest.salt, scope, event_ids, conversion_ids)


def _siphash_keys(salt: bytes, scope: str, event_ids: Texts, conversion_ids: Texts) -> Keys:
    secrets = blake2b(scope.encode(), digest_size=2 * KEY.itemsize, key=salt).digest()
    columns = (_column(event_ids), _column(conversion_ids))
    return to_keys(*columns, (secrets[: KEY.itemsize], secrets[KEY.itemsize :]))


def _blake2b_keys(salt: bytes, scope: str, event_ids: Texts, conversion_ids: Texts) -> Keys:
    """Those of ledgers that were begun before schema version 6: they take three times as long."""
    digests = bytearray()
    for event, conversion in zip(_column(event_ids).to_pylist(), _column(conversion_ids).to_pylist(), strict=True):
        text = f"{scope}\0{short_event_id(event)}\0{conversion}".encode()
        digests += blake2b(text, digest_size=KEY.itemsize, key=salt).digest()
    return np.frombuffer(bytes(digests), KEY)


def _column(texts: Texts) -> pa.Array:
    return whole(texts) if isinstance(texts, (pa.Array, pa.ChunkedArray)) else pa.array(texts, pa.string())


# A ledger keeps to the one that it was begun with: the ids of what it knows are nowhere.
KEY_DIGESTS: Mapping[str, Callable[[bytes, str, Texts, Texts], Keys]] = {
    "siphash": _siphash_keys,
    "blake2b": _blake2b_keys,
}


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
