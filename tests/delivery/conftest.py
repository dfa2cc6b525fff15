"""A clock that tests move, databases for a ledger, runs on it, and conversions as JSON."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from xcapi_dagster.conversions.payload import Events
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.throttle import Limits

LIMITS = Limits(events=60_000, requests=400)
START = 1_790_000_000.0  # 2026-09-21, in Unix seconds


class Clock:
    """Unix seconds that stand still until somebody sleeps. Safe for threads."""

    def __init__(self, now: float = START) -> None:
        self.now = now
        self.naps: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.naps.append(seconds)
            self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """A clock at the same moment in every test."""
    return Clock()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A ledger's file that does not exist yet."""
    return f"sqlite:///{tmp_path}/ledger/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A new ledger on each kind of database."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgresql_ledger_url")
    return url


OpenLedger = Callable[..., Ledger]


@pytest.fixture
def open_ledger(clock: Clock) -> Iterator[OpenLedger]:
    """Enter a run's ledger on a connection of its own, as another process would; it is left after the test."""
    with ExitStack() as stack:

        def opened(
            url: str,
            run_id: str = "run-1",
            *,
            account: str = "loopback|account",
            scope: str = "loopback|odemo1",
            limits: Limits = LIMITS,
        ) -> Ledger:
            database = Database(url, clock)
            ledger = Ledger(database, account=account, scope=scope, run_id=run_id, limits=limits, steady=clock)
            return stack.enter_context(ledger)

        yield opened


@pytest.fixture
def query() -> Callable[..., list[Any]]:
    """Look into a ledger, or change it, with plain SQL and without the code under test."""

    def run(url: str, statement: str, **values: object) -> list[Any]:
        driver = "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"
        engine = sa.create_engine(sa.make_url(url).set(drivername=driver))
        try:
            with engine.begin() as connection:
                result = connection.execute(sa.text(statement), values)
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()

    return run


def _event(conversion_id: str, **fields: Any) -> dict[str, Any]:
    event = {
        "conversion_time": "2026-09-21T10:00:00.000Z",
        "event_id": "opurch1",
        "identifiers": [{"twclid": f"click-{conversion_id}"}],
        "conversion_id": conversion_id,
    } | fields
    return {name: value for name, value in event.items() if value is not None}


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """One purchase that the sandbox takes, with any field changed; None takes a field away."""
    return _event


@pytest.fixture
def events() -> Callable[[Sequence[dict[str, Any]]], Events]:
    """The events with these members, as the transform hands them on."""
    return _events


def _events(members: Sequence[dict[str, Any]]) -> Events:
    texts = [json.dumps(member).encode() + b"," for member in members]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return Events(memoryview(b"".join(texts)), ends)


@pytest.fixture
def chunk(clock: Clock) -> Callable[..., Chunk]:
    """Conversions ready to send: ``members`` as JSON; ``version`` tells one state of an order from the next."""

    def made(ledger: Ledger, members: Sequence[dict[str, Any]], *, version: int = 1, age_hours: float = 1.0) -> Chunk:
        return Chunk(
            keys=ledger.keys([m["event_id"] for m in members], [m["conversion_id"] for m in members]),
            fingerprints=np.full(len(members), (1 << 56) + version, np.uint64),
            times=np.full(len(members), int((clock() - age_hours * 3600) * 1000), np.int64),
            render=lambda positions: _events([members[int(position)] for position in positions]),
        )

    return made
