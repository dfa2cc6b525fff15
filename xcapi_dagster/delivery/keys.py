"""Who a conversion is (its key) and a compact index from keys to the request that last concerned them."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcapi_dagster.contract import short_event_id
from xcapi_dagster.conversions.hashing import KEY, Fingerprints, Keys

__all__ = ["KEY", "Entries", "Fingerprints", "Found", "KeyIndex", "Keys", "conversion_keys"]

_MERGE_RATIO = 4  # a segment is merged into its elder when that is less than so many times larger


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


class Segment(NamedTuple):
    """Entries sorted by key, each key once, a column an array: probing copies nothing."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    fingerprints: Fingerprints
    requests: NDArray[np.uint32]

    def at(self, order: NDArray[np.intp] | slice) -> "Segment":
        """The entries at these positions, in this order."""
        return Segment(self.high[order], self.low[order], self.fingerprints[order], self.requests[order])

    def followed_by(self, newer: "Segment") -> "Segment":
        """These entries and then those of ``newer``."""
        return Segment(
            np.concatenate([self.high, newer.high]),
            np.concatenate([self.low, newer.low]),
            np.concatenate([self.fingerprints, newer.fingerprints]),
            np.concatenate([self.requests, newer.requests]),
        )


class KeyIndex:
    """The latest request of every key, in 28 bytes a key.

    Sorted segments, newest last; small ones are merged, so that a look-up visits few and adding stays cheap.
    Sorting and probing in order is what makes 5,000,000 keys a matter of seconds.
    """

    def __init__(self) -> None:
        self._segments: list[Segment] = []

    def __len__(self) -> int:
        """Entries held; a key that was added twice may count twice."""
        return sum(len(segment.high) for segment in self._segments)

    @classmethod
    def loaded(cls, parts: Iterable[Entries], size: int) -> "KeyIndex":
        """An index of ``parts``, of ``size`` entries in all; of a key that is given twice, the later entry counts.

        Sorted once and column by column, since millions of entries are held in memory but once this way.
        """
        high, low, fps = (np.empty(size, np.uint64) for _ in range(3))
        whole = Segment(high, low, fps, np.empty(size, np.uint32))
        end = 0
        for keys, fingerprints, requests in parts:
            here = slice(end, end := end + len(keys))
            whole.high[here], whole.low[here] = _halves(keys)
            whole.fingerprints[here], whole.requests[here] = fingerprints, requests
        index = cls()
        if end:
            index._segments.append(_sorted_in_place(whole.at(slice(0, end))))
        return index

    def add(self, keys: Keys, fingerprints: Fingerprints, requests: NDArray[np.uint32]) -> None:
        """Let each key point to its request; of a key that is given twice, the later entry counts."""
        if len(keys) == 0:
            return
        self._segments.append(_sorted(Segment(*_halves(keys), fingerprints, requests)))
        while len(self._segments) > 1 and len(self._segments[-2].high) < _MERGE_RATIO * len(self._segments[-1].high):
            self._merge_latest()

    def _merge_latest(self) -> None:
        """Make one segment of the two latest."""
        older, newer = self._segments[-2:]
        at = np.searchsorted(older.high, newer.high)
        has_common = (older.high.take(at, mode="clip") == newer.high).any()  # a key, or the upper half of two
        del self._segments[-2:]
        if has_common:
            self._segments.append(_sorted_in_place(older.followed_by(newer)))
            return
        columns = list(older), list(newer)
        del older, newer  # memory is short: each column goes when it was copied
        self._segments.append(_interleaved(*columns, at))

    def find(self, keys: Keys) -> Found:
        """The request and fingerprint of each key, zeros where the key is unknown."""
        requests = np.zeros(len(keys), np.uint32)
        fingerprints = np.zeros(len(keys), np.uint64)
        if not self._segments:
            return Found(requests, fingerprints)
        high, low = _halves(keys)
        order = np.argsort(high)  # probing in order is some twenty times faster
        for segment in self._segments:
            positions, entries = _matches(segment, high[order], low[order])
            requests[order[positions]] = segment.requests[entries]
            fingerprints[order[positions]] = segment.fingerprints[entries]
        return Found(requests, fingerprints)

    def of_requests(self, requests: NDArray[np.uint32]) -> Entries:
        """The keys of which one of ``requests`` is the latest, each once."""
        parts = [segment.at(np.flatnonzero(np.isin(segment.requests, requests))) for segment in self._segments]
        if not parts:
            return Entries(np.empty(0, KEY), np.empty(0, np.uint64), np.empty(0, np.uint32))
        some = Segment(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        high, low, _, told = _sorted(some)  # a request may have been told twice, before and after its late answer
        keys = np.empty(len(high), KEY)
        keys["high"], keys["low"] = high, low
        latest = self.find(keys)
        return Entries(keys, latest.fingerprints, told).where(latest.requests == told)


def _halves(keys: Keys) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return keys["high"].astype(np.uint64), keys["low"].astype(np.uint64)


def _interleaved(older: list[Any], newer: list[Any], at: NDArray[np.intp]) -> Segment:
    """Two sorted segments without a common upper half as one, where the entries of ``newer`` belong ``at`` in older.

    Their columns are taken out of the lists one by one.
    """
    is_newer = np.zeros(len(older[0]) + len(newer[0]), np.bool_)
    is_newer[at + np.arange(len(at))] = True
    columns: list[Any] = []
    while older:
        column = np.empty(len(is_newer), older[0].dtype)
        column[is_newer] = newer.pop(0)
        column[~is_newer] = older.pop(0)
        columns.append(column)
    return Segment(*columns)


def _sorted(entries: Segment) -> Segment:
    """By key, the last entry of each key alone."""
    order, is_distinct = _order(entries)
    return entries.at(order) if is_distinct else _last_of_each(entries.at(order))


def _sorted_in_place(entries: Segment) -> Segment:
    """As `_sorted`, in the memory of ``entries`` and one more column."""
    order, is_distinct = _order(entries)
    for column in entries:
        column[:] = column[order]
    return entries if is_distinct else _last_of_each(entries)


def _order(entries: Segment) -> tuple[NDArray[np.intp], bool]:
    """The order by key, in which the entries of one key stay as they are, and whether all keys differ by their halves.

    That they do is the rule, and then the order of upper halves by NumPy's vectorized sort, which is not stable, is it.
    """
    order = np.argsort(entries.high)
    high = entries.high[order]
    if (high[1:] != high[:-1]).all():
        return order, True
    return np.lexsort((entries.low, entries.high)), False


def _last_of_each(ordered: Segment) -> Segment:
    """The last entry of each key."""
    changes = (ordered.high[1:] != ordered.high[:-1]) | (ordered.low[1:] != ordered.low[:-1])
    return ordered.at(np.flatnonzero(np.append(changes, True)))


def _matches(
    segment: Segment, high: NDArray[np.uint64], low: NDArray[np.uint64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions in the probe and in the segment of the keys that both hold."""
    entries = np.searchsorted(segment.high, high)
    wanted = np.arange(len(high))
    found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    while len(wanted):  # once, but for keys that share their upper half
        inside = entries < len(segment.high)
        inside[inside] = segment.high[entries[inside]] == high[wanted[inside]]
        wanted, entries = wanted[inside], entries[inside]
        equal = segment.low[entries] == low[wanted]
        found.append((wanted[equal], entries[equal]))
        wanted, entries = wanted[~equal], entries[~equal] + 1
    if not found:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])
