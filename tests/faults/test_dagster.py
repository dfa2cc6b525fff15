"""Runs in Dagster's own processes, asked for and cancelled as its UI does, with the bundled `dagster.yaml`.

Faults 29, 30, 45 and 46. The daemon looks but every half a minute whether a backfill has runs to start: one is asked
for first and looked at last.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest
import requests

import dagster_project
from tests.holding import TELLS_OF_A_HALT, XCAPI_TELLING_OF_A_HALT, Held, holding
from tests.ports import reserved_port
from xcapi_dagster import build_x_conversions_assets, from_environment
from xcapi_dagster.delivery import journal
from xcapi_dagster.errors import LedgerError
from xcapi_dagster.sandbox import Match, Sandbox
from xcapi_dagster.settings import DEMO, VARIABLES

pytestmark = pytest.mark.slow

THIRTY = [f"{date(2026, 10, 1) + timedelta(days=age)}" for age in range(30)]
TWICE, CANCELLED, STOPPED, INTERRUPTED, RETRIED = (f"2026-11-{day}" for day in range(10, 15))
DEFINITIONS = f"""
{TELLS_OF_A_HALT}
import dagster as dg
from xcapi_dagster import build_x_conversions_assets, from_environment

assets = build_x_conversions_assets(from_environment(os.environ), partitions_per_run=10)
defs = dg.Definitions(assets=assets, executor=dg.in_process_executor)
"""
ASSETS = [{"path": ["purchases", name]} for name in ("conversions", "upload_results", "rejection_report")]
OVER = ("SUCCESS", "FAILURE", "CANCELED")
PATIENCE_SECONDS = 240.0


@dataclass
class Shop:
    """Twenty orders a day in October, 1,200 on each of five days in November, and X."""

    folder: Path
    sandbox: Sandbox

    @property
    def environ(self) -> dict[str, str]:
        """A complete configuration. One request at a time."""
        given = {
            "home": str(self.folder / "home"),
            "warehouse_url": f"duckdb:///{self.folder}/shop.duckdb",
            "start_date": THIRTY[0],
            "pixel_also_fires": "false",
            "senders": "1",
            "api_url": self.sandbox.url,
            **{name: str(DEMO[name]) for name in ("account_id", "pixel_id", "event_id", "pixel_token")},
        }
        return {VARIABLES[name]: value for name, value in given.items()} | {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "HALTED": str(self.halted),
        }

    @property
    def halted(self) -> Path:
        """The file that is there once a run knows that it is to stop."""
        return self.folder / "halted"

    def arrived(self, key: str) -> Counter[str]:
        """How often X accepted each conversion of a partition."""
        ids = [str(each.conversion["conversion_id"]) for each in self.sandbox.received]
        return Counter(each for each in ids if each.startswith(key))

    def holding(self, key: str) -> AbstractContextManager[Held]:
        """X holds the first request of a partition, and no other, until the block ends."""
        return holding(self.sandbox, Match(conversion_id=f"{key}-0"))

    def query(self, statement: str, *values: object) -> list[Any]:
        """Look into the ledger; empty while there is none."""
        try:
            with closing(sqlite3.connect(f"file:{self.folder}/home/ledger/ledger.db?mode=ro", uri=True)) as connection:
                return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError:
            return []

    def requests_of(self, key: str) -> list[str]:
        """The states of the requests with conversions of a partition."""
        return [row[0] for row in self.query("SELECT state FROM request WHERE partition = ? ORDER BY id", key)]

    def states(self, key: str) -> Counter[str]:
        """How many conversions are in each state, by the partition's results."""
        path = self.folder / "home" / "output" / "purchases" / "upload_results" / f"{key}.parquet"
        return Counter(pq.read_table(path)["state"].to_pylist())

    def judge(self, key: str, orders: int) -> None:
        """All were accepted, each once, and nobody holds anything."""
        assert self.states(key) == {"accepted": orders}
        assert set(self.arrived(key).values()) == {1}
        assert len(self.arrived(key)) == orders
        assert self.query("SELECT id FROM request WHERE state = 'in_flight' AND partition = ?", key) == []


def until(is_so: Callable[[], Any], what: str) -> Any:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := is_so()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Before any run."""
    folder = tmp_path_factory.mktemp("shop")
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("""
            CREATE TABLE orders AS
            SELECT strftime(day, '%Y-%m-%d') || '-' || n AS order_id, day + INTERVAL 12 HOUR AS ordered_at,
                n || '@example.com' AS email, true AS consent
            FROM range(TIMESTAMPTZ '2026-10-01', TIMESTAMPTZ '2026-11-15', INTERVAL 1 DAY) AS d(day),
                range(1200) AS t(n)
            WHERE n < 20 OR day >= TIMESTAMPTZ '2026-11-10'
        """)
    with Sandbox() as sandbox:
        yield Shop(folder, sandbox)


class Dagster:
    """Webserver, daemon and code location, by the API of the UI."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer to a GraphQL query that has one part."""
        answer = requests.post(self._url, json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer
        (part,) = answer["data"].values()
        return part

    def is_up(self) -> bool:
        """Whether the code location is loaded."""
        try:
            return bool(self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")["nodes"])
        except requests.ConnectionError:
            return False

    def launch(self, key: str) -> str:
        """Ask for a run of a partition; returns its id."""
        where = {"repositoryName": "__repository__", "repositoryLocationName": "shop_definitions"}
        launched = self.ask(
            """mutation($p: ExecutionParams!) {
                launchRun(executionParams: $p) { ... on LaunchRunSuccess { run { id } } }
            }""",
            p={
                "selector": where | {"pipelineName": "__ASSET_JOB", "assetSelection": ASSETS},
                "runConfigData": {},
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": key}]},
            },
        )
        return str(launched["run"]["id"])

    def backfill(self, keys: Sequence[str]) -> str:
        """Ask for a backfill; returns its id."""
        mutation = """mutation($p: LaunchBackfillParams!) {
            launchPartitionBackfill(backfillParams: $p) { ... on LaunchBackfillSuccess { backfillId } }
        }"""
        return str(self.ask(mutation, p={"assetSelection": ASSETS, "partitionNames": keys})["backfillId"])

    def cancel(self, run: str) -> None:
        """As its button does."""
        self.ask(
            "mutation($r: String!) { terminateRun(runId: $r) { ... on TerminateRunSuccess { run { id } } } }", r=run
        )["run"]

    def ended(self, run: str) -> str:
        """How the run ended, once it has."""
        query = "query($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }"
        return str(until(lambda: (now := self.ask(query, r=run)["status"]) in OVER and now, "the run does not end"))

    def backfilled(self, backfill: str) -> str:
        """How the backfill ended, once it has."""
        query = (
            "query($b: String!) { partitionBackfillOrError(backfillId: $b) { ... on PartitionBackfill { status } } }"
        )
        is_over = lambda: (now := self.ask(query, b=backfill)["status"]) not in ("REQUESTED", "CANCELING") and now  # noqa: E731
        return str(until(is_over, "the backfill does not end"))

    def taken_slots(self) -> int:
        """Places in pools that are not free."""
        limits = self.ask("{ instance { concurrencyLimits { activeSlotCount pendingStepCount } } }")[
            "concurrencyLimits"
        ]
        return sum(limit["activeSlotCount"] + limit["pendingStepCount"] for limit in limits)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of the webserver."""
    with reserved_port() as port:
        yield port


@pytest.fixture(scope="module")
def dagster(shop: Shop, port: int) -> Iterator[Dagster]:
    """Running."""
    home = shop.folder / "dagster"
    home.mkdir()
    shutil.copy(Path(str(dagster_project.__file__)).with_name("dagster.yaml"), home)
    (shop.folder / "shop_definitions.py").write_text(DEFINITIONS)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "shop_definitions", "-h", "127.0.0.1", "-p", str(port)]
    environ = shop.environ | {"DAGSTER_HOME": str(home)}
    with (shop.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environ, cwd=shop.folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        dagster = Dagster(port)
        until(lambda: process.poll() is not None or dagster.is_up(), "Dagster does not start")
        yield dagster
    finally:
        process.send_signal(signal.SIGINT)  # it ends its services, unless this very process ignores the signal
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def backfill(dagster: Dagster) -> str:
    """One of thirty partitions in three runs, under way."""
    return dagster.backfill(THIRTY)


def test_fault_29_two_runs_of_dagster_on_one_partition(shop: Shop, dagster: Dagster, backfill: str) -> None:
    """One has a request under way when the other sends its first: both end well, and X gets each conversion once."""
    with shop.holding(TWICE):
        runs = [dagster.launch(TWICE) for _ in range(2)]
        until(lambda: len(shop.requests_of(TWICE)) > 1, "the other run sends nothing beside it")
    assert [dagster.ended(run) for run in runs] == ["SUCCESS"] * 2
    assert set(shop.arrived(TWICE).values()) == {1}
    assert dagster.ended(dagster.launch(TWICE)) == "SUCCESS"
    shop.judge(TWICE, 1200)


def test_fault_45_a_run_that_is_cancelled_in_the_ui(shop: Shop, dagster: Dagster, backfill: str) -> None:
    """The request under way is answered and settled, no other is begun, and nothing stays taken; a new run goes on."""
    with shop.holding(CANCELLED) as first:
        run = dagster.launch(CANCELLED)
        until(first.came.is_set, "nothing is sent")
        dagster.cancel(run)
        until(shop.halted.exists, "the run does not hear of it")
    assert dagster.ended(run) == "CANCELED"
    until(lambda: shop.requests_of(CANCELLED) == ["accepted"], "the request is not settled")
    assert shop.query("SELECT lease_until FROM owner WHERE run_id = ?", run) == [(0.0,)]
    assert shop.states(CANCELLED) == {"accepted": 500, "pending": 700}
    assert dagster.ended(dagster.launch(CANCELLED)) == "SUCCESS"
    assert shop.requests_of(CANCELLED) == ["accepted"] * 3
    shop.judge(CANCELLED, 1200)


@pytest.mark.parametrize(("number", "key"), [(signal.SIGTERM, STOPPED), (signal.SIGINT, INTERRUPTED)])
def test_fault_45_a_command_that_is_stopped(shop: Shop, number: signal.Signals, key: str, tmp_path: Path) -> None:
    """As by `kill` or Ctrl-C: the same, it says so in one line with status 1, and the next one goes on at once."""
    own = Shop(tmp_path, shop.sandbox)
    environ = shop.environ | {"XCAPI_HOME": str(tmp_path / "home"), "HALTED": str(own.halted)}
    command = [sys.executable, "-c", XCAPI_TELLING_OF_A_HALT, "sync", "--partition", key]
    with subprocess.Popen(command, env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        with shop.holding(key) as first:
            until(first.came.is_set, "nothing is sent")
            process.send_signal(number)
            until(own.halted.exists, "the command does not hear of it")
        _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert [line for line in told.splitlines() if line] == ["xcapi: the run was stopped: run it again to send the rest"]
    assert (own.requests_of(key), shop.arrived(key).total()) == (["accepted"], 500)
    assert own.states(key) == {"accepted": 500, "pending": 700}
    done = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert (done.returncode, own.requests_of(key)) == (0, ["accepted"] * 3)
    own.judge(key, 1200)


def test_fault_46_a_step_that_is_retried(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first attempt fails with an answer that it cannot settle: in doubt, and sent once more by the second."""
    environ = shop.environ | {"XCAPI_HOME": str(tmp_path / "home")}
    assets = [
        each for each in build_x_conversions_assets(from_environment(environ)) if isinstance(each, dg.AssetsDefinition)
    ]
    selection = dg.AssetSelection.assets(*[each for each in assets if each.partitions_def])
    job = dg.define_asset_job("patient", selection, op_retry_policy=dg.RetryPolicy(max_retries=2))
    failures = iter([LedgerError("the disk is gone")])
    settle = journal.settle

    def fails_once(*arguments: Any, **more: Any) -> Any:
        for failure in failures:
            raise failure
        return settle(*arguments, **more)

    monkeypatch.setattr(journal, "settle", fails_once)
    result = (
        dg.Definitions(assets=assets, jobs=[job])
        .resolve_job_def("patient")
        .execute_in_process(
            partition_key=RETRIED, instance=dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)), raise_on_error=False
        )
    )
    assert result.success
    assert sum(event.event_type_value == "STEP_RESTARTED" for event in result.all_events) == 1
    own = Shop(tmp_path, shop.sandbox)
    assert own.requests_of(RETRIED) == ["unknown", "accepted", "accepted", "accepted"]
    assert own.states(RETRIED) == {"accepted": 1200}
    assert Counter(shop.arrived(RETRIED).values()) == {2: 500, 1: 700}


def test_fault_30_a_backfill_of_thirty_partitions(shop: Shop, dagster: Dagster, backfill: str) -> None:
    """Its three runs end well, beside others: X has each conversion once, and no place in a pool is taken."""
    assert dagster.backfilled(backfill) == "COMPLETED_SUCCESS"
    for key in THIRTY:
        shop.judge(key, 20)
    until(lambda: dagster.taken_slots() == 0, "a place in a pool stays taken")
    assert shop.query("SELECT id FROM owner WHERE lease_until > 0") == []
