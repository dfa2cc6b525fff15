"""Entries that do not change any more, in as little memory as they can be found in.

Millions that a ledger knew when a run began, or the hundreds that are in flight: they are sorted ten times faster than
they are entered into a table.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from xcapi_dagster.delivery.keys import Columns, Entries, Found, Keys, halves


class SortedKeys:
    """Entries sorted by key, each key once, and nothing besides: 28 bytes a key, and probing copies nothing."""

    def __init__(self, parts: Iterable[Entries] = (), size: int = 0) -> None:
        """The entries of ``parts``, ``size`` in all; of a key that is given twice, the later entry counts.

        Sorted once and column by column, since millions of entries are held in memory but once this way.
        """
        whole, end = Columns.of(size), 0
        for keys, fingerprints, requests in parts:
            here = slice(end, end := end + len(keys))
            whole.high[here], whole.low[here] = halves(keys)
            whole.fingerprints[here], whole.requests[here] = fingerprints, requests
        self._columns = _sorted_in_place(whole.at(slice(0, end)))

    def __len__(self) -> int:
        """The keys that are held."""
        return len(self._columns.high)

    def find(self, keys: Keys) -> Found:
        """The request and fingerprint of each key, zeros where the key is unknown."""
        found = Found(np.zeros(len(keys), np.uint32), np.zeros(len(keys), np.uint64))
        if len(self):
            high, low = halves(keys)
            order = np.argsort(high)  # probing in order is some twenty times faster
            positions, entries = _matches(self._columns, high[order], low[order])
            found.requests[order[positions]] = self._columns.requests[entries]
            found.fingerprints[order[positions]] = self._columns.fingerprints[entries]
        return found

    def of_requests(self, requests: NDArray[np.uint32]) -> Columns:
        """The entries for which one of ``requests`` answers."""
        return self._columns.of_requests(requests)


def _sorted_in_place(entries: Columns) -> Columns:
    """By key, the last entry of each key alone, in the memory of ``entries`` and one more column."""
    order, is_distinct = _order(entries)
    for column in entries:
        column[:] = column[order]
    return entries if is_distinct else _last_of_each(entries)


def _order(entries: Columns) -> tuple[NDArray[np.intp], bool]:
    """The order by key, in which the entries of one key stay as they are, and whether all keys differ by their halves.

    That they do is the rule, and then the order of upper halves by NumPy's vectorized sort, which is not stable, is it.
    """
    order = np.argsort(entries.high)
    high = entries.high[order]
    if (high[1:] != high[:-1]).all():
        return order, True
    return np.lexsort((entries.low, entries.high)), False


def _last_of_each(ordered: Columns) -> Columns:
    """The last entry of each key."""
    changes = (ordered.high[1:] != ordered.high[:-1]) | (ordered.low[1:] != ordered.low[:-1])
    return ordered.at(np.flatnonzero(np.append(changes, True)))


def _matches(
    known: Columns, high: NDArray[np.uint64], low: NDArray[np.uint64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions in the probe and among the entries of the keys that both hold."""
    entries = np.searchsorted(known.high, high)
    wanted = np.arange(len(high))
    found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    while len(wanted):  # once, but for keys that share their upper half
        inside = entries < len(known.high)
        inside[inside] = known.high[entries[inside]] == high[wanted[inside]]
        wanted, entries = wanted[inside], entries[inside]
        equal = known.low[entries] == low[wanted]
        found.append((wanted[equal], entries[equal]))
        wanted, entries = wanted[~equal], entries[~equal] + 1
    if not found:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])
