"""A shop beside X for each fault, on either kind of database, in this process or in others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clocks import FrozenClock, SharedClock
from tests.faults.trial import Trial
from tests.faults.worker import Processes
from tests.shop import NEXT_MORNING, Shop
from xcapi_dagster.sandbox import Sandbox

Try = Callable[..., Trial]


@pytest.fixture
def ledger_kind() -> str:
    """The kind of database of the ledger, unless a test is parametrized by it."""
    return "sqlite"


@pytest.fixture
def ledger_url(ledger_kind: str, request: pytest.FixtureRequest) -> str:
    """Where the ledger is to be; nothing is there yet. Empty: in a file in the shop's folder."""
    return "" if ledger_kind == "sqlite" else str(request.getfixturevalue("postgresql_ledger_url"))


@pytest.fixture
def attempt(tmp_path: Path, ledger_url: str) -> Iterator[Try]:
    """Open a shop, on a clock that stands still or on one that other processes share, and X beside it."""
    with ExitStack() as stack:

        def opened(*, live: bool = False, sandbox: dict[str, Any] | None = None, **options: Any) -> Trial:
            clock = SharedClock.starting_at(NEXT_MORNING, tmp_path / "clock") if live else FrozenClock(NEXT_MORNING)
            x = stack.enter_context(Sandbox(**{"clock": clock} | (sandbox or {})))
            values = {"api_url": x.url, "ledger_url": ledger_url} | options
            return Trial(Shop(folder=tmp_path, clock=clock, **values), x)

        yield opened


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Processes that end with the test."""
    running = Processes()
    yield running
    running.end()
