"""Clocks that tests move: one stands still until somebody sleeps, one goes on and is shared by processes."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xcapi_dagster.delivery.database import uptime


class Clock(Protocol):
    """Unix seconds, and what goes by them."""

    def __call__(self) -> float:
        """Now."""

    def steady(self) -> float:
        """Seconds that nobody sets back."""

    def sleep(self, seconds: float) -> None:
        """Let so many pass."""


class FrozenClock:
    """Stands still until somebody sleeps. Safe for threads."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.naps: list[float] = []
        self._slept = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def steady(self) -> float:
        """What was slept: setting ``now`` changes nothing in it."""
        return self._slept

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.naps.append(seconds)
            self.now += seconds
            self._slept += seconds


@dataclass(frozen=True, slots=True)
class SharedClock:
    """Goes on as time does, from where its file says; every process that has the file sees the same."""

    path: Path

    @classmethod
    def starting_at(cls, now: float, path: Path) -> "SharedClock":
        """A clock that shows ``now``."""
        path.write_text(repr(now - time.time()))
        return cls(path)

    def __call__(self) -> float:
        return time.time() + self._offset()

    def steady(self) -> float:
        return uptime() + self._offset()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Let all processes believe that so much time has passed."""
        written = self.path.with_suffix(".new")
        written.write_text(repr(self._offset() + seconds))
        written.rename(self.path)

    def _offset(self) -> float:
        return float(self.path.read_text())
