"""From keys to the request that last concerned them, for the millions of conversions that a ledger remembers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcapi_dagster.delivery.keys import Columns, Entries, Fingerprints, Found, Keys, halves, zeros
from xcapi_dagster.delivery.sorted_keys import SortedKeys

_LEAST_BITS = 20  # of a place in the table: to grow often costs more than to begin with what few keys do not fill
_LEAST_ENTRIES = 1 << 16  # in columns, which grow as they are needed: to copy them costs little
_ENTERED_AT_ONCE = 1 << 16  # when the table grows


class KeyIndex:
    """The latest request of every key: what was loaded is sorted, what is added is in a hash table of columns.

    The table takes six to twelve bytes a key besides its columns, or four megabytes where keys are few, and a tenth of
    the time: the upper bits of a key, which is as good as random, say at which place of it the number of an entry
    stands, or else a few steps further. Each step is taken for thousands of keys at once.
    """

    def __init__(self, loaded: SortedKeys | None = None) -> None:
        """What was ``loaded``, to which nothing is added yet."""
        self._loaded = loaded or SortedKeys()
        self._end = 1  # the number of the next entry: 0 is nobody's and says so
        self._columns = Columns.of(self._end)
        self._table = zeros(0, np.int32)
        self._make_room(self._end + 1)

    def __len__(self) -> int:
        """Entries held; a key that was loaded and added, or added twice at once, counts twice."""
        return len(self._loaded) + self._end - 1

    def add(self, keys: Keys, fingerprints: Fingerprints, requests: NDArray[np.uint32]) -> None:
        """Let each key point to its request; of a key that is given twice, the later entry counts."""
        high, low = halves(keys)
        numbers = self._numbers(high, low)
        is_new = numbers == 0
        numbers[is_new] = self._append(high[is_new], low[is_new])
        self._columns.fingerprints[numbers] = fingerprints
        self._columns.requests[numbers] = requests

    def find(self, keys: Keys) -> Found:
        """The request and fingerprint of each key, zeros where the key is unknown."""
        numbers = self._numbers(*halves(keys))
        found = Found(self._columns.requests[numbers], self._columns.fingerprints[numbers])
        is_other = numbers == 0
        found.requests[is_other], found.fingerprints[is_other] = self._loaded.find(keys[is_other])
        return found

    def of_requests(self, requests: NDArray[np.uint32]) -> Entries:
        """The keys of which one of ``requests`` is the latest, each once."""
        added = self._columns.at(slice(1, self._end)).of_requests(requests)
        loaded = self._loaded.of_requests(requests)
        loaded = loaded.at(np.flatnonzero(self._numbers(loaded.high, loaded.low) == 0))
        return Columns(*(np.concatenate(columns) for columns in zip(added, loaded, strict=True))).entries()

    def _numbers(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The number of each key's entry, 0 where there is none."""
        places = self._places(high)
        numbers: NDArray[np.int32] = self._table[places]
        others, step = self._others(numbers, high, low), 1
        while len(others):
            places[others] = self._next(places[others], step)
            numbers[others] = found = self._table[places[others]]
            others, step = others[self._others(found, high[others], low[others])], step + 1
        return numbers

    def _others(
        self, numbers: NDArray[np.int32], high: NDArray[np.uint64], low: NDArray[np.uint64]
    ) -> NDArray[np.intp]:
        """Where the entry of that number is another key's."""
        is_other = numbers > 0
        same_high = np.flatnonzero(self._columns.high[numbers] == high)
        is_other[same_high] &= self._columns.low[numbers[same_high]] != low[same_high]
        return np.flatnonzero(is_other)

    def _append(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The number of a new entry for each of these keys; of a key that is there twice, the same."""
        start, end = self._end, self._end + len(high)
        self._make_room(end)
        self._end = end
        self._columns.high[start:end], self._columns.low[start:end] = high, low
        return self._enter(np.arange(start, end, dtype=np.int32))

    def _enter(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Let the table lead to the entries of these numbers; returns those that it leads to, earlier ones of a key."""
        high, low = self._columns.high[numbers], self._columns.low[numbers]
        places, left, entered, step = self._places(high), np.arange(len(numbers)), numbers.copy(), 1
        while len(left):
            is_free = self._table[places] == 0
            self._table[places[is_free]] = numbers[left[is_free]]  # of several at one place, one remains
            entered[left] = found = self._table[places]
            taken = np.flatnonzero(found != numbers[left])  # the others stand there now
            left, places, found = left[taken], places[taken], found[taken]
            others = self._others(found, high[left], low[left])
            left, places, step = left[others], self._next(places[others], step), step + 1
        return entered

    def _make_room(self, end: int) -> None:
        """Let there be room for entries up to ``end``, with at least a third of the table's places free."""
        if end > len(self._columns.high):
            size = max(_LEAST_ENTRIES, end, 2 * len(self._columns.high))
            waiting, self._columns = list(self._columns), Columns.of(0)
            grown = [_grown(waiting.pop(0), self._end, size) for _ in Columns._fields]  # one is there twice
            self._columns = Columns(*grown)
        if end * 3 // 2 >= len(self._table):
            self._enter_anew(max(_LEAST_BITS, (end * 3 // 2).bit_length()))

    def _enter_anew(self, bits: int) -> None:
        """Let a table of so many places, as a power of two, take the place of the one that there is."""
        self._shift = np.uint64(64 - bits)
        self._table = zeros(2**bits, np.int32)
        used = self._columns.requests[: self._end]
        for start in range(0, len(used), _ENTERED_AT_ONCE):
            counting = np.flatnonzero(used[start : start + _ENTERED_AT_ONCE])  # of a key added twice at once, the one
            self._enter((start + counting).astype(np.int32))

    def _places(self, high: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Where in the table to look for each key first."""
        return (high >> self._shift).astype(np.intp)

    def _next(self, places: NDArray[np.intp], step: int) -> NDArray[np.intp]:
        """Where to look after that: each step is one longer, which leads to every place, and out of crowded ones."""
        return (places + step) & (len(self._table) - 1)


def _grown(column: NDArray[Any], used: int, size: int) -> NDArray[Any]:
    """A column of ``size`` that begins with what is ``used`` of this one."""
    grown = zeros(size, column.dtype)
    grown[:used] = column[:used]
    return grown
