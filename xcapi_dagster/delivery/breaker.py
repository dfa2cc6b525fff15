"""What tells a run that something is wrong with all rows, not with some."""

import threading
from collections import Counter

from xcapi_dagster.delivery.records import Settlement

_MOST_SUSPECTED = 3  # refused alone, each in words that X does not document
_FEWEST = 500  # conversions tried before their share means anything


class Breaker:
    """Counts what became of one run's conversions. Safe for threads."""

    def __init__(self, most_rejected: float, most_silences: int) -> None:
        """``most_rejected`` is a share of the conversions, ``most_silences`` a number of batches in a row."""
        self._most_rejected = most_rejected
        self._most_silences = most_silences
        self._lock = threading.Lock()
        self._has_accepted = False
        self._tried = 0
        self._rejected = Counter[str]()
        self._grouped = 0
        self._suspected: list[str | None] = []
        self._silences = 0

    def note(self, settlement: Settlement, tried: int, *, gave_up: bool) -> str | None:
        """Take in how a request was settled; returns why to send no more, if that is so.

        ``tried`` are its conversions, 0 for a part of a batch that was refused: they were counted with that.
        """
        with self._lock:
            for _, ruling in settlement.verdicts:
                if ruling.state == "grouped":
                    self._grouped += 1
                else:
                    self._rejected[ruling.reason_code] += 1
                if ruling.state == "suspected":
                    self._suspected.append(ruling.detail)
            self._has_accepted |= settlement.state == "accepted"
            if settlement.state in ("accepted", "refused"):
                self._tried += tried
                self._silences = 0
            self._silences += gave_up
            return self._reason()

    def _reason(self) -> str | None:
        if self._silences >= self._most_silences:
            return "X does not answer: some conversions are in doubt, the others wait for the next run"
        if not self._has_accepted and len(self._suspected) >= _MOST_SUSPECTED:
            return f"X refuses one order after the other and says only: {self._suspected[-1]}. None of them is rejected"
        rejected = self._rejected.total()
        judged = self._tried - self._grouped  # of a group nothing is known but that some of it is bad
        if self._tried < _FEWEST or rejected <= self._most_rejected * judged:
            return None
        (worst, _), *_ = self._rejected.most_common(1)
        return (
            f"X rejected {rejected} of {judged} conversions, most of them as {worst}: "
            "that is a mistake in the query or the settings, not in single orders"
        )
