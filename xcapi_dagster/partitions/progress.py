"""How far the delivery of a large partition is: told now and then, with its rate and the time that is left."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

EVERY_SECONDS = 30.0


class Progress:
    """Counts conversions of ``partition`` that were sent, of ``total`` at most, and tells. Safe for threads.

    ``clock`` gives seconds.
    """

    def __init__(
        self, partition: str, total: int, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._partition = partition
        self._total = total
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._sent = 0
        self._started = self._told = clock()

    def add(self, conversions: int) -> None:
        """Count so many more; tells when it did not for a while."""
        with self._lock:
            self._sent += conversions
            now, sent = self._clock(), self._sent
            if now - self._told < EVERY_SECONDS or not sent:
                return
            self._told = now
        rate = sent / (now - self._started)
        left = timedelta(seconds=round(max(0, self._total - sent) / rate))
        self._tell(
            f"{self._partition}: {sent:,} of at most {self._total:,} conversions sent, {rate:,.0f} a second, "
            f"{left} left"
        )
