"""Of which conversions something was heard since a moment: what a claim asks instead of looking its keys up anew."""

import numpy as np
from numpy.typing import NDArray

from xcapi_dagster.delivery.keys import Keys


class News:
    """Of which keys something was heard, and at what moment: a Bloom filter that holds moments in place of bits.

    A table of moments for each of three parts of a key: at 50,000 keys since a moment, one batch in twenty has a key
    that is among them by chance alone. Of most keys, the first table knows that they are not.
    """

    _BITS = 20
    _SHIFTS = (0, 20, 40)

    def __init__(self) -> None:
        self._heard_at = [np.zeros(1 << self._BITS, np.int32) for _ in self._SHIFTS]  # 0: never
        self.moment = 1  # now

    def next_moment(self) -> int:
        """Let another moment begin: what is heard from now on, was not heard before it."""
        self.moment += 1
        return self.moment

    def add(self, keys: Keys) -> int:
        """Something was heard of these; returns the moment of it, at which to add them again would change nothing."""
        high = keys["high"].astype(np.uint64)
        for heard_at, shift in zip(self._heard_at, self._SHIFTS, strict=True):
            heard_at[self._slots(high, shift)] = self.moment
        return self.moment

    def concern(self, keys: Keys, since: int) -> bool:
        """Whether any of these may be among those that were added at the moment ``since`` or later."""
        high = keys["high"].astype(np.uint64)
        for heard_at, shift in zip(self._heard_at, self._SHIFTS, strict=True):
            high = high[heard_at[self._slots(high, shift)] >= since]
        return len(high) > 0

    def _slots(self, high: NDArray[np.uint64], shift: int) -> NDArray[np.int64]:
        return (high >> np.uint64(shift) & np.uint64((1 << self._BITS) - 1)).view(np.int64)
