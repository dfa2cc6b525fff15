"""Processes that end at the worst moment, and disks that forget: faults 1 to 6 and 46."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg
import duckdb
import pytest

from tests.faults.trial import Trial
from tests.faults.worker import Processes, Strike, kill_within, later
from tests.shop import DAY, HOLD, RESEND
from xcapi_dagster import build_x_conversions_assets, from_environment
from xcapi_dagster.delivery.database import Database, Stamp
from xcapi_dagster.delivery.safeguards import Destination, unknown_stamps
from xcapi_dagster.sandbox import Rules
from xcapi_dagster.settings import DEMO

pytestmark = pytest.mark.slow

Try = Callable[..., Trial]
on_both = pytest.mark.parametrize("ledger_kind", ["sqlite", "postgresql"])


def killed(trial: Trial, processes: Processes, *strikes: Strike, **terms: Any) -> None:
    """One run in a process that does not live to the end of it."""
    assert processes.start(trial.shop, *strikes, **terms).died()


@on_both
def test_fault_01_killed_after_the_claim_resend(attempt: Try, processes: Processes) -> None:
    """The claimed conversions are in doubt and sent once more: X, which never got them, has each once."""
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    killed(trial, processes, Strike("after_claim", 2))
    assert len(trial.arrived) == 10
    uploaded = trial.shop.sync()
    assert uploaded.counts.requests == 2
    trial.judge(uploaded, {"accepted": 30})
    trial.settles()


@on_both
def test_fault_01_killed_after_the_claim_hold(attempt: Try, processes: Processes) -> None:
    """Under `hold` they stay unknown, and nobody sends them."""
    trial = attempt(live=True, batch_rows=10, policy=HOLD)
    ids = trial.shop.put_many(30)
    killed(trial, processes, Strike("after_claim", 2))
    trial.judge(trial.shop.sync(), {"accepted": 20, "unknown": 10})
    trial.settles(keep=ids[10:20])


@on_both
@pytest.mark.parametrize("policy", [RESEND, HOLD], ids=["resend", "hold"])
def test_fault_02_killed_after_the_post(attempt: Try, processes: Processes, policy: Any) -> None:
    """X took them and nobody noted it: sent once more with the same ids, of which X counts one; or left unknown."""
    trial = attempt(live=True, batch_rows=10, policy=policy)
    ids = trial.shop.put_many(30)
    killed(trial, processes, Strike("after_post", 2))
    assert len(trial.arrived) == 20
    uploaded = trial.shop.sync()
    if policy is HOLD:
        trial.judge(uploaded, {"accepted": 20, "unknown": 10})
    else:
        trial.judge(uploaded, {"accepted": 30}, again=ids[10:20])
    assert trial.sandbox.deduplicated == 30
    trial.settles(keep=ids[10:20] if policy is HOLD else ())


@on_both
def test_fault_03_killed_before_the_files_are_written(attempt: Try, processes: Processes) -> None:
    """All is settled: the next run writes the files and makes no request."""
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    killed(trial, processes, Strike("after_settle", 3))
    assert not trial.shop.outputs.path("upload_results", DAY).exists()
    uploaded = trial.shop.sync()
    assert (uploaded.counts.already_accepted, uploaded.counts.requests, trial.posts) == (30, 0, 3)
    trial.judge(uploaded, {"accepted": 30})


def test_fault_03_killed_before_its_materialization(attempt: Try, processes: Processes, tmp_path: Path) -> None:
    """Dagster's next run shows the counts of the ledger, and makes no request."""
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    killed(trial, processes, Strike("after_settle", 3))
    columns = [(o["order_id"], o["ordered_at"], o["email"], o["value"], o["consent"]) for o in trial.shop.orders]
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE orders (order_id text, ordered_at timestamptz, email text, value text)")
        connection.execute("ALTER TABLE orders ADD COLUMN consent text")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", columns)
    demo = {name: value for name, value in DEMO.items() if name not in ("demo", "unknown_consent", "start_date")}
    settings = from_environment(
        {},
        **demo | {"home": tmp_path, "warehouse_url": f"duckdb:///{tmp_path}/shop.duckdb", "start_date": "2026-11-01"},
        api_url=trial.sandbox.url,
        default_currency="USD",
    )
    assets = [each for each in build_x_conversions_assets(settings) if isinstance(each, dg.AssetsDefinition)]
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster"))
    result = dg.materialize(assets, partition_key=DAY, instance=instance)
    (event,) = [
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["purchases", "upload_results"])
    ]
    shown = {name: event.metadata[name].value for name in ("read", "already_accepted", "accepted", "requests")}
    assert shown == {"read": 30, "already_accepted": 30, "accepted": 0, "requests": 0}
    assert trial.posts == 3


@pytest.mark.parametrize("strike", [("after_claim", 4), ("after_post", 4), ("after_post", 7), ("after_settle", 6)])
def test_fault_04_killed_while_it_isolates(attempt: Try, processes: Processes, strike: tuple[str, int]) -> None:
    """The next run finds the bad row among what is left; every good one arrives, and what was in doubt twice."""
    trial = attempt(live=True, sandbox={"rules": Rules(echo_values=False)})
    trial.shop.put_many(64)
    trial.shop.spoil("order-20", hashed_email="no-hash")
    killed(trial, processes, Strike(*strike))
    again = trial.answered_last() if strike[0] == "after_post" else ()
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"accepted": 63, "rejected": 1}, again=again, rejected=["order-20"])
    trial.settles()


@on_both
def test_fault_05_killed_during_commits(attempt: Try, processes: Processes) -> None:
    """Six kills at some instant of a commit: the ledger is sound, and what was in doubt is all that X gets again."""
    trial = attempt(live=True, batch_rows=5)
    trial.shop.put_many(60)
    for seed in range(6):
        strike = Strike("commit", Random(seed).randint(3, 9), later(kill_within, 0.004, seed))
        processes.start(trial.shop, strike).ended()
        if trial.shop.ledger_url.startswith("sqlite"):
            assert trial.query("PRAGMA integrity_check") == [("ok",)]
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"accepted": 60}, again=trial.in_doubt(), at_most=True)
    assert trial.sandbox.deduplicated == 60
    trial.settles()


def test_fault_06_power_cuts_forget_a_tail_of_commits(attempt: Try, processes: Processes, tmp_path: Path) -> None:
    """Whatever the disk lost of the unsynchronized log, the ledger is as after some commit, and knows that it is old.

    The third request was claimed when the power went; each request is two commits, numbered by `revision`.
    """
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    killed(trial, processes, Strike("after_claim", 3))
    ledger = tmp_path / "ledger" / "ledger.db"
    log = ledger.with_name("ledger.db-wal").read_bytes()
    intact = _cut(ledger, log, tmp_path / "intact")
    assert _known(intact)[1:] == [(1, "accepted"), (2, "accepted"), (3, "in_flight")]
    with closing(sqlite3.connect(intact)) as connection:
        ((leapt,),) = connection.execute("SELECT until FROM gap")  # where the run began to count
    base = leapt + 1  # what it wrote down before it sent anything
    latest, here = (
        Stamp(_known(intact)[0], base + 5),
        Destination("loopback", "purchases", "loopback|odemo1", "opurch1"),
    )
    random, revisions = Random(0), set()
    for number in range(40):
        copy = _cut(ledger, _damaged(log, random, garble=number % 2 == 0), tmp_path / str(number))
        ledger_id, *requests = _known(copy)
        revision = 2 * len(requests) - bool(requests and requests[-1][1] == "in_flight")
        whole = [(n, "accepted" if 2 * n <= revision else "in_flight") for n in range(1, (revision + 1) // 2 + 1)]
        assert requests == whole
        with closing(Database(f"sqlite:///{copy}")) as database:
            assert unknown_stamps(database, here, [latest]) == (
                [latest] if (ledger_id, base + revision) != latest else []
            )
        revisions.add(revision)
    assert {1, 2, 3, 4} <= revisions


def _damaged(log: bytes, random: Random, *, garble: bool) -> bytes:
    """The log without its end, or with bytes that nobody wrote."""
    at = random.randrange(len(log))
    return log[:at] + random.randbytes(len(log[at : at + 64])) + log[at + 64 :] if garble else log[:at]


def _cut(ledger: Path, log: bytes, folder: Path) -> Path:
    """A copy of the ledger as it was before the log, and that log beside it."""
    folder.mkdir()
    copy = folder / ledger.name
    shutil.copy(ledger, copy)
    copy.with_name(f"{copy.name}-wal").write_bytes(log)
    return copy


def _known(ledger: Path) -> list[Any]:
    """The ledger's id and the state of each request, as the product opens it."""
    with closing(Database(f"sqlite:///{ledger}")) as database, closing(sqlite3.connect(ledger)) as connection:
        return [database.id, *connection.execute("SELECT id, state FROM request ORDER BY id")]


@on_both
def test_fault_46_killed_for_its_memory_and_retried(attempt: Try, processes: Processes) -> None:
    """A step's second attempt has the run's id, and another process: it sends what is in doubt once more."""
    trial = attempt(live=True, batch_rows=5, run_id="the-run", senders=4)
    trial.shop.put_many(60)
    killed(trial, processes, Strike("after_post", 5))
    uploaded = processes.start(trial.shop).uploaded()[0]
    trial.judge(uploaded, {"accepted": 60}, again=trial.in_doubt(), at_most=True)
    assert 1 <= trial.query("SELECT count(*) FROM request WHERE state = 'unknown'")[0][0] <= 4
    assert trial.sandbox.deduplicated == 60
    trial.shop.run_id = None
    trial.settles()
