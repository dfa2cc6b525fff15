"""Who a conversion is (its key) and a compact index from keys to the request that last concerned them."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xcapi_dagster.contract import short_event_id
from xcapi_dagster.conversions.hashing import KEY, Fingerprints, Keys

__all__ = ["KEY", "Entries", "Fingerprints", "Found", "KeyIndex", "Keys", "conversion_keys"]

_LEAST_BITS = 10  # of a place in the table
_ENTERED_AT_ONCE = 1 << 16  # when the table grows


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
    """What the index holds for some keys: the request of each (0: none) and the fingerprint that was sent."""

    requests: NDArray[np.uint32]
    fingerprints: Fingerprints


class _Columns(NamedTuple):
    """The entries of an index; number 0 is nobody's and says so."""

    high: NDArray[Any]
    low: NDArray[Any]
    fingerprints: NDArray[Any]
    requests: NDArray[Any]

    @classmethod
    def of(cls, size: int) -> Self:
        """Room for so many, which takes no memory until it is used."""
        return cls(*(np.zeros(size, kind) for kind in (np.uint64, np.uint64, np.uint64, np.uint32)))


class KeyIndex:
    """The latest request of every key, in 28 bytes a key and six to twelve of the table that leads to them.

    A hash table of columns: the upper bits of a key, which is as good as random, say at which place of the table the
    number of its entry stands, or else a few places further. Each step is taken for thousands of keys at once.
    """

    def __init__(self, size: int = 0) -> None:
        """Empty, with room for ``size`` keys; it grows when there are more."""
        self._end = 1  # the number of the next entry
        self._columns = _Columns.of(self._end)
        self._make_room(self._end + max(size, 1))

    def __len__(self) -> int:
        """Entries held; a key that was added twice counts twice."""
        return self._end - 1

    def add(self, keys: Keys, fingerprints: Fingerprints, requests: NDArray[np.uint32]) -> None:
        """Let each key point to its request; of a key that is given twice, the later entry counts."""
        start, end = self._end, self._end + len(keys)
        self._make_room(end)
        self._end = end
        self._columns.high[start:end], self._columns.low[start:end] = _halves(keys)
        numbers = self._enter(np.arange(start, end, dtype=np.int32))
        self._columns.fingerprints[numbers] = fingerprints
        self._columns.requests[numbers] = requests

    def find(self, keys: Keys) -> Found:
        """The request and fingerprint of each key, zeros where the key is unknown."""
        numbers = self._numbers(*_halves(keys))
        return Found(self._columns.requests[numbers], self._columns.fingerprints[numbers])

    def of_requests(self, requests: NDArray[np.uint32]) -> Entries:
        """The keys of which one of ``requests`` is the latest, each once."""
        high, low, fingerprints, of_requests = (column[: self._end] for column in self._columns)
        numbers = np.flatnonzero(np.isin(of_requests, requests))
        keys = np.empty(len(numbers), KEY)
        keys["high"], keys["low"] = high[numbers], low[numbers]
        return Entries(keys, fingerprints[numbers], of_requests[numbers])

    def _numbers(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The number of each key's entry, 0 where there is none."""
        places = self._places(high)
        numbers: NDArray[np.int32] = self._table[places]
        others = self._others(numbers, high, low)
        while len(others):
            places[others] = self._next(places[others])
            numbers[others] = found = self._table[places[others]]
            others = others[self._others(found, high[others], low[others])]
        return numbers

    def _others(
        self, numbers: NDArray[np.int32], high: NDArray[np.uint64], low: NDArray[np.uint64]
    ) -> NDArray[np.intp]:
        """Where the entry of that number is another key's."""
        is_other = numbers > 0
        same_high = np.flatnonzero(self._columns.high[numbers] == high)
        is_other[same_high] &= self._columns.low[numbers[same_high]] != low[same_high]
        return np.flatnonzero(is_other)

    def _enter(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Let the table lead to the entries of these numbers; returns those that it leads to, earlier ones of a key."""
        high, low = self._columns.high[numbers], self._columns.low[numbers]
        places, left, entered = self._places(high), np.arange(len(numbers)), numbers.copy()
        while len(left):
            is_free = self._table[places] == 0
            self._table[places[is_free]] = numbers[left[is_free]]  # of several at one place, one remains
            entered[left] = found = self._table[places]
            others = self._others(found, high[left], low[left])
            left, places = left[others], self._next(places[others])
        return entered

    def _make_room(self, end: int) -> None:
        """Let there be room for entries up to ``end``, with at least a third of the table's places free."""
        if end <= len(self._columns.high):
            return
        bits = max(_LEAST_BITS, (end * 3 // 2).bit_length())
        older, self._columns = self._columns, _Columns.of(2**bits * 2 // 3)
        for column, values in zip(self._columns, older, strict=True):
            column[: self._end] = values[: self._end]
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(2**bits, np.int32)
        counting = np.flatnonzero(older.requests).astype(np.int32)  # not the second of a key that was added twice
        for start in range(0, len(counting), _ENTERED_AT_ONCE):
            self._enter(counting[start : start + _ENTERED_AT_ONCE])

    def _places(self, high: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Where in the table to look for each key first."""
        return (high >> self._shift).astype(np.intp)

    def _next(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        return (places + 1) & (len(self._table) - 1)


def _halves(keys: Keys) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return keys["high"].astype(np.uint64), keys["low"].astype(np.uint64)
