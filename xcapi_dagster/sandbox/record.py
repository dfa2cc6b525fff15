"""What the sandbox received: every request, every accepted conversion, and how many X would count."""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from xcapi_dagster import contract
from xcapi_dagster.sandbox.answers import to_json

_WINDOW_SECONDS = contract.DEDUPLICATION_HOURS * 3600


@dataclass(frozen=True, slots=True)
class Received:
    """One accepted conversion: the number of its request, when it came (Unix seconds), and all that was sent."""

    request: int
    received_at: float
    account_id: str
    pixel_id: str
    conversion: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """The accepted conversions of one request: one line of the file."""

    request: int
    received_at: float
    account_id: str
    pixel_id: str
    conversions: list[dict[str, Any]]

    def received(self) -> list[Received]:
        """Its conversions, one by one."""
        return [
            Received(self.request, self.received_at, self.account_id, self.pixel_id, conversion)
            for conversion in self.conversions
        ]


@dataclass(frozen=True, slots=True)
class HandledRequest:
    """One request to the API. ``status`` is None when it was never answered; ``size`` is its body's, in bytes."""

    number: int
    received_at: float
    method: str
    path: str
    status: int | None
    size: int
    conversions: int
    is_faulty: bool


class Record:
    """Keeps what came in, in memory and, when it has a file, also there.

    An accepted request is in the file before it is answered, so the record survives the process; an existing file
    is continued. Raises ValueError for a file that is no such record.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._requests: list[HandledRequest] = []
        self._received: list[Received] = []
        self._first_counted: dict[tuple[str, str], float] = {}
        self._last_of_event: dict[str, float] = {}
        self._deduplicated = 0
        self._last_number = 0
        self._file = None if path is None else open(path, "ab+", opener=_open_private)  # noqa: SIM115 - see close
        if self._file is not None:
            self._continue(self._file)

    @property
    def requests(self) -> list[HandledRequest]:
        """Every finished request to the API, in the order of their numbers."""
        with self._lock:
            return sorted(self._requests, key=lambda request: request.number)

    @property
    def received(self) -> list[Received]:
        """Every accepted conversion, in the order of acceptance."""
        with self._lock:
            return list(self._received)

    @property
    def deduplicated(self) -> int:
        """How many conversions count when one event and conversion_id counts once within 48 hours of receipt."""
        with self._lock:
            return self._deduplicated

    def last_received(self, event_id: str) -> float | None:
        """When the last accepted conversion of an event came; None when none did."""
        with self._lock:
            return self._last_of_event.get(event_id)

    def next_number(self) -> int:
        """The number of a request that just came in, counting from 1."""
        with self._lock:
            self._last_number += 1
            return self._last_number

    def accept(self, batch: Batch) -> None:
        """Keeps all conversions of one request."""
        with self._lock:
            if self._file is not None:
                with _locked(self._file):
                    self._file.write(to_json(asdict(batch)) + b"\n")
                    self._file.flush()
            self._keep(batch)

    def finish(self, request: HandledRequest) -> None:
        """Keeps what became of a request."""
        with self._lock:
            self._requests.append(request)

    def close(self) -> None:
        """Closes the file; what is in memory stays readable."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _keep(self, batch: Batch) -> None:
        received = batch.received()
        self._received += received
        events = {contract.short_event_id(each.conversion["event_id"]) for each in received}
        self._last_of_event |= dict.fromkeys(events, batch.received_at)
        self._deduplicated += sum(self._counts(conversion) for conversion in received)
        self._last_number = max(self._last_number, batch.request)

    def _counts(self, received: Received) -> bool:
        conversion_id = received.conversion.get("conversion_id")
        if not conversion_id:
            return True
        key = (contract.short_event_id(received.conversion["event_id"]), conversion_id)
        first = self._first_counted.get(key)
        if first is not None and received.received_at - first <= _WINDOW_SECONDS:
            return False
        self._first_counted[key] = received.received_at
        return True

    def _continue(self, file: BinaryIO) -> None:
        with _locked(file):
            file.seek(0)
            content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            try:
                for line in whole.splitlines():
                    self._keep(Batch(**json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError):
                file.close()
                raise ValueError(f"{file.name} is not a record of this sandbox") from None
            file.truncate(len(whole))  # a kill cut the last line off: that request was never answered


@contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """No other sandbox that shares the file writes during the block, nor cuts off what looks unfinished."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if not file.closed:
            fcntl.flock(file, fcntl.LOCK_UN)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
