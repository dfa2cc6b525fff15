"""What a run opens is closed when it ends, however it ends."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import date
from pathlib import Path

import pytest

from tests.ads_api.conftest import Wire
from xcapi_dagster import Settings, from_environment, resources
from xcapi_dagster.delivery.database import Stamp
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.errors import LedgerError
from xcapi_dagster.settings import DEMO

Opened = Callable[[Settings], AbstractContextManager[Ledger]]


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_environment(
        {},
        home=tmp_path / "home",
        warehouse_url=f"duckdb:///{tmp_path}/shop.duckdb",
        api_url="http://127.0.0.1:1",
        start_date=date(2026, 11, 1),
        **{name: value for name, value in DEMO.items() if name not in ("demo", "unknown_consent")},
    )


def open_files(folder: Path) -> list[str]:
    """The files below ``folder`` that this process has open."""
    found = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [str(path) for path in found if path.is_relative_to(folder)]


def test_a_ledger_is_open_while_it_is_used(settings: Settings, tmp_path: Path) -> None:
    with resources.ledger_of(settings, "run-1") as ledger:
        assert ledger.now() > 0
        assert open_files(tmp_path)
    assert open_files(tmp_path) == []


def test_a_ledger_that_is_refused_is_closed(settings: Settings, tmp_path: Path) -> None:
    """A materialization tells of another one. The exception is kept, and so are the objects on its way."""
    with pytest.raises(LedgerError) as told, resources.ledger_of(settings, "run-1", [Stamp("f" * 32, 9)]):
        pass
    assert open_files(tmp_path) == []
    assert told


@pytest.mark.parametrize("opened", [lambda of: resources.ledger_of(of, "run-1"), resources.operators_ledger_of])
def test_a_ledger_that_cannot_be_entered_is_closed(settings: Settings, tmp_path: Path, opened: Opened) -> None:
    """A table is gone: it is admitted, and then gives no lease."""
    with resources.ledger_of(settings, "run-1"):
        pass
    with closing(sqlite3.connect(tmp_path / "home" / "ledger" / "ledger.db")) as connection:
        connection.execute("DROP TABLE owner")
    with pytest.raises(LedgerError) as told, opened(settings):
        pass
    assert open_files(tmp_path) == []
    assert told


def test_connections_to_x_are_closed(settings: Settings, wire: Wire) -> None:
    """The server sees the end of the one that was kept for the next request."""
    server = wire.serve(wire.accepting())
    with resources.api_client_of(settings.model_copy(update={"api_url": server.url})) as client:
        assert client.post_conversions(b'{"conversions":[]}', request_id="1", sent=1).status == 200
    (connection,) = server.connections
    connection.settimeout(10)
    assert connection.recv(1) == b""
