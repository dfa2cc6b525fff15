"""Ledgers without room, without rights, locked, lost, restored, damaged or very large: faults 32 to 37 and 47."""

import codecs
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import psycopg
import pytest
import sqlalchemy as sa

from tests.faults.trial import Trial
from tests.faults.worker import (
    Act,
    Processes,
    Running,
    Said,
    Strike,
    be_impatient,
    fill_disk,
    kill,
    later,
    limit_files,
    pause,
)
from tests.shop import DAY, Shop
from xcapi_dagster.delivery import database, sqlite_file
from xcapi_dagster.delivery import keys as keys_module
from xcapi_dagster.delivery.keys import KEY, Keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.records import checksum_of
from xcapi_dagster.errors import LedgerError
from xcapi_dagster.sandbox import DEMO_ACCOUNT_ID, DEMO_PIXEL_ID, Sandbox
from xcapi_dagster.settings import DEMO, VARIABLES

pytestmark = pytest.mark.slow

Try = Callable[..., Trial]
on_both = pytest.mark.parametrize("ledger_kind", ["sqlite", "postgresql"])


@dataclass(frozen=True)
class Full:
    """How a ledger comes to have no room left, how it gets some again, and what the user is told to do."""

    act: Act
    free: Callable[[], None]
    told: str


@pytest.fixture(params=["disk", "quota"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Full]:
    """The disk, which root alone can mount a small one of, or what a process may write to a file."""
    folder = tmp_path / "ledger"
    folder.mkdir(mode=0o700)
    if request.param == "quota":
        yield Full(later(limit_files, folder / "ledger.db-wal"), lambda: None, "the room on it and the quota")
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", folder], check=False, timeout=60)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk; `quota` tries the same")
    try:
        yield Full(later(fill_disk, folder / "ledger.db"), (folder / "filling").unlink, "free some disk space")
    finally:
        subprocess.run(["umount", folder], check=True, timeout=60)


def test_fault_32_no_room_for_a_claim(attempt: Try, processes: Processes, full: Full) -> None:
    """Nothing is sent without a claim; with room again, the next run sends the rest, each once."""
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    told = processes.start(trial.shop, Strike("after_settle", 2, full.act)).failure()
    assert told.startswith("LedgerError")
    assert full.told in told
    assert trial.posts == 2
    full.free()
    uploaded = trial.shop.sync()
    assert uploaded.counts.requests == 1
    trial.judge(uploaded, {"accepted": 30})
    trial.settles()


def test_fault_33_no_room_for_an_outcome(attempt: Try, processes: Processes, full: Full) -> None:
    """The run fails loudly, what was sent stays in flight and then is in doubt: sent once more, counted once."""
    trial = attempt(live=True, batch_rows=10)
    ids = trial.shop.put_many(30)
    told = processes.start(trial.shop, Strike("after_post", 2, full.act)).failure()
    assert told.startswith("LedgerError")
    assert full.told in told
    full.free()
    assert trial.query("SELECT state FROM request ORDER BY id") == [("accepted",), ("in_flight",)]
    trial.judge(trial.shop.sync(), {"accepted": 30}, again=ids[10:20])
    assert trial.sandbox.deduplicated == 30
    trial.settles()


@dataclass
class Instance:
    """The bundled project with a warehouse of its own, as its users run it, and X beside it."""

    folder: Path
    environ: dict[str, str]
    sandbox: Sandbox
    processes: Processes

    @property
    def ledger(self) -> Path:
        """The file."""
        return self.folder / "home" / "ledger" / "ledger.db"

    def add(self, *order_ids: str) -> None:
        """More orders of the day."""
        with duckdb.connect(str(self.folder / "shop.duckdb")) as connection:
            connection.execute("""
                CREATE TABLE IF NOT EXISTS orders (order_id text, ordered_at timestamptz, email text, consent boolean)
            """)
            rows = [(each, f"{DAY} 12:00:00+00", f"{each}@example.com", True) for each in order_ids]
            connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)

    def xcapi(self, *arguments: str, act: Act | None = None) -> Said:
        """Run a command."""
        return self.processes.xcapi(*arguments, environ=self.environ, act=act)

    def syncs(self, posts: int) -> None:
        """A run ends well and makes so many requests."""
        before = len(self.sandbox.requests)
        said = self.xcapi("sync", "--partition", DAY)
        assert said.status == 0, said.stderr
        assert len(self.sandbox.requests) - before == posts

    def refuses(self, *words: str, act: Act | None = None) -> None:
        """A run sends nothing, changes no file, and says why in one line, with status 2."""
        before, files = len(self.sandbox.requests), self.files()
        said = self.xcapi("sync", "--partition", DAY, act=act)
        assert (said.status, said.stdout, len(said.stderr.splitlines())) == (2, "", 1), said
        assert all(word in said.stderr for word in words), said.stderr
        assert len(self.sandbox.requests) == before
        assert self.files() == files

    def files(self) -> Mapping[Path, bytes]:
        """Everything that was written, but for what SQLite keeps beside an open ledger."""
        whole = [path for path in (self.folder / "home").rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in whole if not path.name.endswith(("-wal", "-shm"))}

    def accept(self) -> None:
        """An operator's word that this ledger stands in the place of the one that is lost."""
        said = self.xcapi("ledger", "accept-restored", "--why", "the disk broke")
        assert said.status == 0, said.stderr


@pytest.fixture
def instance(processes: Processes) -> Iterator[Instance]:
    """Three orders that were sent, in one request."""
    with Sandbox() as sandbox, TemporaryDirectory(prefix="xcapi-") as name:  # tmp_path is closed to other users
        folder = Path(name).resolve()
        folder.chmod(0o755)
        given = {
            "home": str(folder / "home"),
            "warehouse_url": f"duckdb:///{folder}/shop.duckdb",
            "start_date": "2026-11-01",
            "pixel_also_fires": "false",
            "api_url": sandbox.url,
            **{name: str(DEMO[name]) for name in ("account_id", "pixel_id", "event_id", "pixel_token")},
        }
        made = Instance(folder, {VARIABLES[name]: value for name, value in given.items()}, sandbox, processes)
        made.add("A-1", "A-2", "A-3")
        made.syncs(posts=1)
        yield made


def on_nfs(folder: Path, _parent: Any) -> None:
    """The system says that the folder is on another machine."""
    mounts = folder / "mountinfo"
    mounts.write_text(f"40 22 0:40 / {folder} rw - nfs4 server:/export rw\n")
    sqlite_file._MOUNTS = mounts


def without_room(_parent: Any) -> None:
    """The system says that the disk is full."""
    true = os.statvfs
    os.statvfs = lambda path: os.statvfs_result((*true(path)[:3], 0, 0, *true(path)[5:]))


def as_nobody(_parent: Any) -> None:
    """Go on as a user who owns nothing, if this one may write everywhere."""
    if os.geteuid() == 0:
        codecs.lookup("unicode_escape")  # Python itself may be in root's home
        os.setgid(65534)
        os.setuid(65534)


def test_fault_32_no_room_from_the_start(instance: Instance) -> None:
    """Refused while what runs under way have to write still fits."""
    instance.add("A-4")
    instance.refuses("less than 64 MiB left", act=without_room)
    instance.syncs(posts=1)


def test_fault_34_a_network_file_system(instance: Instance) -> None:
    """SQLite's locks do not hold there; PostgreSQL is the way out."""
    instance.add("A-4")
    instance.refuses("network file system (nfs4)", "PostgreSQL", act=later(on_nfs, instance.folder))
    instance.syncs(posts=1)


@contextmanager
def as_modes(modes: Mapping[Path, int]) -> Iterator[None]:
    """Files and folders with these modes."""
    before = {path: path.stat().st_mode for path in modes}
    for path, mode in modes.items():
        path.chmod(mode)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def test_fault_34_a_ledger_that_cannot_be_written(instance: Instance) -> None:
    """The file, then its folder, may only be read: told to whom it is to be given."""
    instance.add("A-4")
    home = [path for path in (instance.folder / "home", *(instance.folder / "home").rglob("*")) if path.is_dir()]
    open_to_all = dict.fromkeys(home, 0o777)
    of_file = {instance.ledger: 0o444, instance.ledger.parent: 0o755}
    of_folder = {instance.ledger: 0o666, instance.ledger.parent: 0o555}
    for modes, told in ((of_file, "cannot be written"), (of_folder, "the right to write the file and its folder")):
        with as_modes(open_to_all | modes):
            instance.refuses(told, act=as_nobody)
    instance.syncs(posts=1)


@contextmanager
def locked(shop: Shop) -> Iterator[None]:
    """Another process is within a transaction on the ledger."""
    if shop.ledger_url.startswith("sqlite"):
        with closing(sqlite3.connect(sa.make_url(shop.ledger_url).database or "", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(shop.ledger_url) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [database._ADVISORY_LOCK])
            yield


def held_up(trial: Trial, processes: Processes, moment: str, *, seconds: float | None = None) -> Running:
    """A process that finds the ledger locked at its second ``moment``, for so long or until it has given up."""
    trial.shop.put_many(30)
    running = processes.start(trial.shop, Strike(moment, 2, pause), act=None if seconds else be_impatient)
    running.paused()
    with locked(trial.shop):
        running.go_on()
        if seconds:
            running.process.join(seconds)
        else:
            running.has_told()
    return running


@on_both
def test_fault_35_a_ledger_that_is_locked_for_a_moment(attempt: Try, processes: Processes) -> None:
    """It is waited for."""
    trial = attempt(live=True, batch_rows=10)
    (uploaded,) = held_up(trial, processes, "after_settle", seconds=0.5).uploaded()
    trial.judge(uploaded, {"accepted": 30})
    assert trial.posts == 3


@on_both
def test_fault_35_a_ledger_that_stays_locked_before_a_claim(attempt: Try, processes: Processes) -> None:
    """The run gives up before it sends, and says what to do; the next one sends the rest, each once."""
    trial = attempt(live=True, batch_rows=10)
    told = held_up(trial, processes, "after_settle").failure()
    assert told.startswith("LedgerError")
    assert "another process holds it: run again" in told
    assert trial.posts == 2
    trial.judge(trial.shop.sync(), {"accepted": 30})
    trial.settles()


@on_both
def test_fault_35_a_ledger_that_stays_locked_before_an_outcome(attempt: Try, processes: Processes) -> None:
    """What was sent is in doubt: sent once more, counted once."""
    trial = attempt(live=True, batch_rows=10)
    told = held_up(trial, processes, "after_post").failure()
    assert "another process holds it: run again" in told
    assert trial.posts == 2
    trial.judge(trial.shop.sync(), {"accepted": 30}, again=trial.in_doubt())
    assert trial.sandbox.deduplicated == 30
    trial.settles()


def lose(ledger: Path) -> None:
    """The ledger's folder is empty."""
    for path in ledger.parent.iterdir():
        path.unlink()


def test_fault_36_a_ledger_that_was_deleted(instance: Instance) -> None:
    """A new one would send history again: refused until somebody agrees, and then it has learned from the files."""
    instance.add("A-4")
    lose(instance.ledger)
    instance.refuses("is not the one that sent before", "xcapi ledger accept-restored")
    instance.accept()
    instance.syncs(posts=1)
    assert [each.conversion["conversion_id"] for each in instance.sandbox.received] == ["A-1", "A-2", "A-3", "A-4"]


def test_fault_36_a_ledger_that_was_lost_with_all_files(instance: Instance) -> None:
    """Dagster's materializations remember which ledger it was: nothing is sent, and no run begins."""
    shutil.rmtree(instance.folder / "home" / "output")
    lose(instance.ledger)
    said = instance.xcapi("sync", "--partition", DAY)
    assert (said.status, said.stdout) == (2, "")
    assert "is not the one that sent before" in said.stderr
    assert len(instance.sandbox.requests) == 1


def test_fault_36_a_ledger_that_was_restored(instance: Instance) -> None:
    """An old copy would send again what was sent since."""
    copy = instance.ledger.read_bytes()
    instance.add("A-4")
    instance.syncs(posts=1)
    lose(instance.ledger)
    instance.ledger.write_bytes(copy)
    instance.refuses("is older than the files", "xcapi ledger accept-restored")
    instance.accept()
    instance.add("A-5")
    instance.syncs(posts=1)
    assert [each.conversion["conversion_id"] for each in instance.sandbox.received[3:]] == ["A-4", "A-5"]


def killed_once_settled(parent: Any) -> None:
    """The process ends when it has written down what X accepted."""
    settle = Ledger.settle

    def and_die(*of: Any) -> None:
        settle(*of)
        kill(parent)

    Ledger.settle = and_die  # type: ignore[method-assign]


def test_fault_36_a_ledger_that_was_restored_after_a_run_that_was_killed(instance: Instance) -> None:
    """What that run had sent, no file tells of, but that it was about to send."""
    copy = instance.ledger.read_bytes()
    instance.add("A-4")
    instance.processes.killed_xcapi("sync", "--partition", DAY, environ=instance.environ, act=killed_once_settled)
    assert len(instance.sandbox.received) == 4
    lose(instance.ledger)
    instance.ledger.write_bytes(copy)
    instance.refuses("is older than the files", "xcapi ledger accept-restored")


def test_another_pixel_needs_an_operators_word(instance: Instance) -> None:
    """It would be sent all of history: refused until somebody agrees, or until it is set back."""
    instance.add("A-4")
    own = dict(instance.environ)
    instance.environ["X_ADS_PIXEL_ID"] = "onew1"
    instance.refuses("sent 3 orders to the pixel", "xcapi ledger accept-scope")
    instance.environ = own
    instance.syncs(posts=1)


def test_fault_37_a_ledger_with_a_damaged_page(instance: Instance) -> None:
    """Refused and kept as it is; with a good copy in its place it goes on."""
    instance.add("A-4")
    sound = instance.ledger.read_bytes()
    damaged = bytearray(sound)
    damaged[3 * 4096 : 4 * 4096] = Random(0).randbytes(4096)
    instance.ledger.write_bytes(damaged)
    instance.refuses("is damaged", "keep the file", "newest backup")
    instance.ledger.write_bytes(sound)
    instance.syncs(posts=1)


def test_fault_37_a_ledger_with_one_flipped_bit(attempt: Try, tmp_path: Path) -> None:
    """Wherever it is: the ledger is refused, or nothing is sent again for it."""
    trial = attempt(batch_rows=10)
    trial.shop.put_many(30)
    trial.shop.sync()
    ledger, random = tmp_path / "ledger" / "ledger.db", Random(0)
    sound = ledger.read_bytes()
    refused = 0
    for _ in range(60):
        damaged, at = bytearray(sound), random.choice([at for at, byte in enumerate(sound) if byte])
        damaged[at] ^= 1 << random.randrange(8)
        ledger.write_bytes(damaged)
        try:
            trial.shop.sync()
        except LedgerError as error:
            assert "accept-restored" in str(error) or "written by a newer" in str(error), at  # noqa: PT017
            refused += 1
        assert trial.posts == 3, f"bit at {at}"
        lose(ledger)
    assert refused > 20


REMEMBERED, PER_REQUEST = 5_000_000, 500


def fill(ledger: Path, keys: Keys) -> None:
    """The ledger of somebody who has sent these for years, in requests as large as X takes them."""
    fingerprints = bytes(8 * PER_REQUEST)
    where = f"loopback|{DEMO_ACCOUNT_ID}", f"loopback|{DEMO_PIXEL_ID}", DAY
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("INSERT INTO owner VALUES (1, 'years-ago', 'host', '', 1, 0)")
        for number, start in enumerate(range(0, len(keys), PER_REQUEST), start=1):
            some = keys[start : start + PER_REQUEST].tobytes()
            connection.execute(
                """
                INSERT INTO request (id, revision, account, scope, instance, partition, run_id, owner_id, state, size,
                    keys, fingerprints, first_sent_at, checksum, claimed_at, settled_at, http_status, debug_id)
                VALUES (?, ?, ?, ?, 'purchases', ?, 'a-run-of-years-ago', 1, 'accepted', ?,
                    ?, ?, 0, ?, 0, 0, 200, 'a-debug-id')
                """,
                (number, number, *where, PER_REQUEST, some, fingerprints, checksum_of(some, fingerprints, 0.0)),
            )
        connection.execute("UPDATE meta SET value = ? WHERE name = 'revision'", [str(number)])


def test_fault_47_five_million_remembered_conversions(
    attempt: Try, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In at most 30 bytes each, on disk and in memory; every one of them is known, and a day's orders are sent.

    What it takes in time is printed, for `pytest -s`: it is the machine's as much as the code's.
    """
    trial = attempt()
    keys = np.frombuffer(np.random.default_rng(0).bytes(REMEMBERED * KEY.itemsize), KEY)
    trial.shop.open_database().close()
    ledger = tmp_path / "ledger" / "ledger.db"
    fill(ledger, keys)
    assert ledger.stat().st_size / REMEMBERED <= 30
    monkeypatch.setattr(keys_module, "_LEAST_MAPPED_BYTES", sys.maxsize)  # what is mapped, tracemalloc does not see
    tracemalloc.start()
    with trial.shop.ledger() as entered:
        held, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        index = entered.memory._index
        columns = (*index._loaded._columns, *index._columns, index._table)
        assert sum(column.nbytes for column in columns) / REMEMBERED <= 30
        assert held / REMEMBERED <= 45
        assert most <= 350_000_000
    began = time.perf_counter()
    with trial.shop.ledger() as entered:
        loaded = time.perf_counter()
        known = [
            (entered.memory.look_up(keys[at : at + 50_000]).requests > 0).all() for at in range(0, REMEMBERED, 50_000)
        ]
        assert all(known)
        looked_up = time.perf_counter()
    trial.shop.put_many(5_000)
    trial.judge(trial.shop.sync(), {"accepted": 5_000})
    took = loaded - began, (looked_up - loaded) / len(known), (time.perf_counter() - looked_up) / trial.posts
    print("\nload {:.2f} s, look-up of 50,000 {:.3f} s, a request of 500 sent {:.3f} s".format(*took))  # noqa: T201
