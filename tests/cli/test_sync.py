"""`xcapi` from outside: real processes, a real warehouse, a real server, and what is left on disk."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest

from tests.holding import XCAPI_TELLING_OF_A_HALT, holding
from xcapi_dagster.cli.outcomes import tell
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.runs import Ran
from xcapi_dagster.sandbox import Match, Sandbox
from xcapi_dagster.settings import DEMO, VARIABLES, from_environment

pytestmark = pytest.mark.slow

DAY = "2026-11-20"
ORDERS = """
    CREATE TABLE orders AS SELECT * FROM (VALUES
        ('A-1', TIMESTAMPTZ '2026-11-20 00:00:00+00', 'ann@example.com', 20.00::DECIMAL(18,3), 'USD', 'granted'),
        ('A-2', TIMESTAMPTZ '2026-11-20 12:00:00+00', ' Bob@Example.COM ', 1000, 'JPY', 'granted'),
        ('A-3', TIMESTAMPTZ '2026-11-20 23:59:59+00', NULL, 5, 'EUR', 'granted'),
        ('A-4', TIMESTAMPTZ '2026-11-20 13:00:00+00', 'cee@example.com', 1.234, 'KWD', 'denied'),
        ('A-5', TIMESTAMPTZ '2026-11-20 14:00:00+00', 'dee@example.com', -1, 'USD', 'granted'),
        ('A-6', TIMESTAMPTZ '2026-11-21 00:00:00+00', 'eve@example.com', 7, 'USD', 'granted'),
        ('A-7', NULL, 'fay@example.com', 8, 'USD', 'granted')
    ) AS t (order_id, ordered_at, email, value, currency, consent)
"""
COUNTS = {
    "partition": DAY, "read": 5, "invalid": 2, "suppressed": 1, "duplicate": 0, "already_accepted": 0, "accepted": 2,
    "rejected": 0, "unknown": 0, "held": 0, "too_late": 0, "changed": 0, "pending": 0, "requests": 1,
}  # fmt: skip
OAUTH = {
    "X_ADS_CONSUMER_KEY": "sandbox-consumer-key",
    "X_ADS_CONSUMER_SECRET": "sandbox-consumer-secret",
    "X_ADS_ACCESS_TOKEN": "sandbox-access-token",
    "X_ADS_ACCESS_TOKEN_SECRET": "sandbox-access-token-secret",
}
ALL_ACCEPTED = COUNTS | {"already_accepted": 2, "accepted": 0, "requests": 0}


def xcapi(*arguments: str, environ: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `xcapi` with nothing in its environment but ``environ``."""
    whole = {"PATH": os.environ["PATH"], "HOME": str(cwd), "DAGSTER_DISABLE_TELEMETRY": "1", **environ}
    command = [sys.executable, "-m", "xcapi_dagster.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=whole, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One for each test: what a killed run sent is still answered when the next test runs."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def environ(tmp_path: Path, sandbox: Sandbox) -> dict[str, str]:
    """A complete configuration: a DuckDB file, the sandbox, the pixel token."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(ORDERS)
    given = {
        "home": str(tmp_path / "home"),
        "warehouse_url": f"duckdb:///{tmp_path}/shop.duckdb",
        "start_date": "2026-11-01",
        "pixel_also_fires": "false",
        "api_url": sandbox.url,
        **{name: str(DEMO[name]) for name in ("account_id", "pixel_id", "event_id", "pixel_token")},
    }
    return {VARIABLES[name]: value for name, value in given.items()}


def conversions_at(sandbox: Sandbox, start: int) -> list[dict[str, Any]]:
    """What the sandbox accepted since its ``start``-th conversion."""
    return [dict(received.conversion) for received in sandbox.received[start:]]


def test_a_day_is_sent_once_and_told(tmp_path: Path, sandbox: Sandbox, environ: dict[str, str]) -> None:
    """The first sync sends what is valid and has consent; a second one makes no request and writes the same bytes."""
    before = len(sandbox.received)
    done = xcapi("sync", "--partition", DAY, "--json", environ=environ, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == COUNTS
    assert "xcapi: 1 orders have no ordered_at that can be read: no partition has them" in done.stderr
    sent = conversions_at(sandbox, before)
    assert [(each["conversion_id"], each["value"], each["price_currency"]) for each in sent] == [
        ("A-1", "20.00", "USD"),
        ("A-2", "1000.00", "JPY"),
    ]
    results = tmp_path / "home" / "output" / "purchases"
    files = sorted(path for path in results.rglob("*") if path.is_file() and path.parent.name != "conversions")
    first = {path.name: path.read_bytes() for path in files}
    again = xcapi("sync", "--partition", DAY, "--json", environ=environ, cwd=tmp_path)
    assert json.loads(again.stdout) == ALL_ACCEPTED
    assert len(sandbox.received) == before + 2
    assert {path.name: path.read_bytes() for path in files} == first
    report = pq.read_table(results / "rejection_report" / f"{DAY}.parquet").to_pylist()
    assert {(row["order_id"], row["reason_code"], row["severity"]) for row in report} == {
        ("A-3", "no_identifier", "rejected"),
        ("A-4", "consent_denied", "suppressed"),
        ("A-5", "negative_value", "rejected"),
    }


def test_a_range_is_one_object_for_each_partition(tmp_path: Path, environ: dict[str, str]) -> None:
    """Every partition has its own counts, an empty one zeros."""
    done = xcapi("sync", "--from", "2026-11-19", "--to", "2026-11-21", "--json", environ=environ, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["partition"], each["read"], each["requests"]) for each in counts] == [
        ("2026-11-19", 0, 0),
        (DAY, 5, 1),
        ("2026-11-21", 1, 1),
    ]


def test_oauth_signs_as_well(tmp_path: Path, sandbox: Sandbox, environ: dict[str, str]) -> None:
    """With the four OAuth values the sandbox verifies a signature; nothing else changes."""
    del environ["X_ADS_PIXEL_TOKEN"]
    done = xcapi("sync", "--partition", DAY, "--json", environ=environ | OAUTH, cwd=tmp_path)
    assert json.loads(done.stdout) == COUNTS
    assert [request.method for request in sandbox.requests] == ["POST"]


def test_dagsters_own_command_takes_all_assets_with_a_partition(
    tmp_path: Path, sandbox: Sandbox, environ: dict[str, str]
) -> None:
    """The event tags, which are in no partition, share the run and come after the conversions."""
    (tmp_path / "dagster").mkdir()
    whole = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path / "dagster"), **environ}
    arguments = ["--select", 'key:"purchases/*"', "--partition", DAY, "-m", "dagster_project.definitions"]
    command = [sys.executable, "-m", "dagster", "asset", "materialize", *arguments]
    done = subprocess.run(
        command, env=whole | OAUTH, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert len(sandbox.received) == 2
    assert [request.method for request in sandbox.requests] == ["POST", "GET"]
    assert (tmp_path / "home" / "output" / "purchases" / "event_tags" / "latest.parquet").exists()


def test_everything_may_be_in_postgresql(
    tmp_path: Path, environ: dict[str, str], new_database: Callable[[], str]
) -> None:
    """Orders and ledger on a PostgreSQL server: the same counts, and nothing sent again."""
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute(ORDERS.replace("DECIMAL(18,3)", "NUMERIC"))
    environ |= {"XCAPI_WAREHOUSE_URL": url, "XCAPI_LEDGER_URL": url, "XCAPI_ORDERS": "public.orders"}
    first, second = (xcapi("sync", "--partition", DAY, "--json", environ=environ, cwd=tmp_path) for _ in range(2))
    assert json.loads(first.stdout) == COUNTS, first.stderr
    assert json.loads(second.stdout) == ALL_ACCEPTED
    assert not (tmp_path / "home" / "ledger").exists()


def test_killed_runs_block_nobody(tmp_path: Path, sandbox: Sandbox, environ: dict[str, str]) -> None:
    """Five runs that are killed while they hold a place in the pool, which has four, do not stop the sixth."""
    for _ in range(5):
        sandbox.script([{"match": {"next": 9}, "do": {"delay": 60}}])
        seen = len(sandbox.requests)
        whole = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environ}
        command = [sys.executable, "-m", "xcapi_dagster.cli", "sync", "--partition", DAY]
        with subprocess.Popen(command, env=whole, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while in_flight(tmp_path) == 0:
                assert process.poll() is None
            assert len(sandbox.requests) == seen  # none is answered
            process.kill()
    sandbox.script([])
    done = xcapi("sync", "--partition", DAY, "--json", environ=environ, cwd=tmp_path)
    assert json.loads(done.stdout) == COUNTS


def in_flight(tmp_path: Path) -> int:
    """Requests that the ledger has as sent and not answered by a living process."""
    query = "SELECT pid FROM request JOIN owner ON owner.id = owner_id WHERE state = 'in_flight'"
    return sum(Path(f"/proc/{pid}").exists() for pid in from_ledger(tmp_path, query))


def wait_for(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until it is so, which is before the process ends."""
    while not is_so():
        assert process.poll() is None
        time.sleep(0.05)


def from_ledger(tmp_path: Path, query: str) -> list[Any]:
    """The one column that ``query`` asks for."""
    uri = (tmp_path / "home" / "ledger" / "ledger.db").as_uri()
    try:
        with contextlib.closing(sqlite3.connect(f"{uri}?mode=ro", uri=True)) as connection:
            return [value for (value,) in connection.execute(query)]
    except sqlite3.OperationalError:  # the file or its tables are not there yet
        return []


@pytest.mark.parametrize(("days", "repair"), [(31, ()), (3, ("--reason", "no_identifier"))])
def test_a_command_that_is_stopped_begins_no_other_run(
    tmp_path: Path, sandbox: Sandbox, environ: dict[str, str], days: int, repair: tuple[str, ...]
) -> None:
    """Neither of the partitions after the first thirty, nor of the next one that lost orders for a reason."""
    environ |= {"XCAPI_START_DATE": "2026-08-01"}
    period = ("--from", "2026-08-01", "--to", f"2026-08-{days:02}")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("""
            INSERT INTO orders SELECT strftime(day, '%Y-%m-%d'), day, NULL, 1, 'USD', 'granted'
            FROM range(TIMESTAMPTZ '2026-08-01', TIMESTAMPTZ '2026-09-01', INTERVAL 1 DAY) AS days(day)
        """)
    if repair:
        assert xcapi("sync", *period, environ=environ, cwd=tmp_path).returncode == 0
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("UPDATE orders SET email = 'gil@example.com'")
    command = [sys.executable, "-c", XCAPI_TELLING_OF_A_HALT, "sync", *period, *repair]
    halted = tmp_path / "halted"
    whole = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1", **environ}
    whole["HALTED"] = str(halted)
    with subprocess.Popen(command, env=whole, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        with holding(sandbox, Match(conversion_id="2026-08-02")) as second:
            wait_for(second.came.is_set, process)
            process.send_signal(signal.SIGINT)
            wait_for(halted.exists, process)
        _, told = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "xcapi: the run was stopped: run it again to send the rest" in told
    assert {each["conversion_id"] for each in conversions_at(sandbox, 0)} == {"2026-08-01", "2026-08-02"}
    assert xcapi("sync", *period, *repair, environ=environ, cwd=tmp_path).returncode == 0
    assert len(sandbox.received) == days


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_while_the_warehouse_computes(
    tmp_path: Path, environ: dict[str, str], number: signal.Signals
) -> None:
    """What DuckDB makes of the signal is told as the interrupt that it is."""
    query = tmp_path / "slow.sql"
    hours = "SELECT sum(a * b) FROM range(1e9::BIGINT) x(a), range(999) y(b)"
    query.write_text(f"SELECT * REPLACE ((SELECT ordered_at WHERE ({hours}) > 0) AS ordered_at) FROM orders")
    command = [sys.executable, "-m", "xcapi_dagster.cli", "sync", "--partition", DAY]
    whole = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1", **environ}
    whole |= {"XCAPI_ORDERS": str(query)}
    with subprocess.Popen(command, env=whole, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        others = 0.0
        while cpu_seconds(process.pid) < others + 1:  # to ask for the columns takes far less
            assert process.poll() is None
            if not has_open(process.pid, tmp_path / "shop.duckdb"):
                others = cpu_seconds(process.pid)
            time.sleep(0.02)
        process.send_signal(number)
        _, told = process.communicate(timeout=300)
    assert process.returncode == 1
    assert [line for line in told.splitlines() if line] == ["xcapi: the run was stopped: run it again to send the rest"]


def cpu_seconds(pid: int) -> float:
    """The CPU that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def has_open(pid: int, file: Path) -> bool:
    """Whether a process has a file open."""
    return file in map(Path.resolve, Path(f"/proc/{pid}/fd").iterdir())


def test_first_runs_at_once_do_not_disturb_each_other(
    tmp_path: Path, sandbox: Sandbox, environ: dict[str, str]
) -> None:
    """Four processes that create the same home at once all end well, and nothing is sent twice."""
    before = len(sandbox.received)
    whole = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1", **environ}
    command = [sys.executable, "-m", "xcapi_dagster.cli", "sync", "--partition", DAY, "--json"]
    running = [subprocess.Popen(command, env=whole, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    counts = [json.loads(process.communicate()[0]) for process in running]
    assert all(count["accepted"] + count["already_accepted"] + count["pending"] == 2 for count in counts)
    assert len(sandbox.received) == before + 2


def test_wrong_credentials_leave_everything_pending(tmp_path: Path, environ: dict[str, str]) -> None:
    """X's refusal of the credentials rejects no order, is told in one line, and ends with status 1."""
    environ |= {"X_ADS_PIXEL_TOKEN": "revoked-canary-token"}
    done = xcapi("sync", "--partition", DAY, "--json", environ=environ, cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout) == COUNTS | {"accepted": 0, "pending": 2}
    assert "X does not accept the credentials" in done.stderr
    assert "revoked-canary-token" not in done.stdout + done.stderr
    report = tmp_path / "home" / "output" / "purchases" / "rejection_report" / f"{DAY}.parquet"
    assert pq.read_table(report).num_rows == 3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"X_ADS_PIXEL_ID": ""}, "X_ADS_PIXEL_ID"),
        ({"X_ADS_PIXEL_TOKEN": " "}, "X_ADS_CONSUMER_KEY"),
        ({"X_ADS_API_URL": "http://ads-api.x.com"}, "X_ADS_API_URL"),
        ({"XCAPI_WAREHOUSE_URL": "mysql://shop"}, "XCAPI_WAREHOUSE_URL"),
        ({"XCAPI_WAREHOUSE_URL": "duckdb:////nowhere/shop.duckdb"}, "XCAPI_WAREHOUSE_URL"),
        ({"XCAPI_WAREHOUSE_URL": "postgresql://me:canary@127.0.0.1:1/shop"}, "XCAPI_WAREHOUSE_URL"),
        ({"XCAPI_ORDERS": "no_such_table"}, "XCAPI_ORDERS"),
        ({"XCAPI_ORDERS": "without_time"}, "ordered_at"),
        ({"XCAPI_ORDERS": "without_consent"}, "XCAPI_UNKNOWN_CONSENT"),
        ({"XCAPI_LEDGER_URL": "sqlite://"}, "XCAPI_LEDGER_URL"),
        ({"XCAPI_LEDGER_URL": "postgresql://me:canary@127.0.0.1:1/ledger"}, "XCAPI_LEDGER_URL"),
        ({"XCAPI_OUTPUT_URL": "relative/output"}, "XCAPI_OUTPUT_URL"),
        ({"XCAPI_OUTPUT_URL": "nosuchstore://bucket"}, "XCAPI_OUTPUT_URL"),
        ({"XCAPI_HOME": "relative"}, "XCAPI_HOME"),
        ({"XCAPI_HOME": "/dev/null/home"}, "XCAPI_HOME"),
        ({"DAGSTER_HOME": "relative"}, "DAGSTER_HOME"),
    ],
)
def test_a_wrong_setting_is_one_line(
    tmp_path: Path, sandbox: Sandbox, environ: dict[str, str], changes: dict[str, str], named: str
) -> None:
    """Status 2, one line that names the setting, nothing sent, nothing written."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE VIEW without_time AS SELECT order_id, email, consent FROM orders")
        connection.execute("CREATE VIEW without_consent AS SELECT order_id, ordered_at, email FROM orders")
    before = len(sandbox.requests)
    done = xcapi("sync", "--partition", DAY, "--json", environ=environ | changes, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
    assert "canary" not in done.stderr
    assert len(sandbox.requests) == before
    assert [path.name for path in tmp_path.iterdir()] == ["shop.duckdb"]


@pytest.mark.parametrize("key", ["2026-10-31", "2999-01-01", "yesterday", "2026-11-31"])
def test_an_unknown_partition_is_refused(tmp_path: Path, environ: dict[str, str], key: str) -> None:
    """A key that is none, is in the future or lies before the start names the partitions that exist."""
    done = xcapi("sync", "--partition", key, environ=environ, cwd=tmp_path)
    assert done.returncode == 2
    assert "2026-11-01" in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_demo_adds_up_and_is_free_the_second_time(tmp_path: Path) -> None:
    """The demo ends well twice; the second time the sandbox gets no request."""
    first = xcapi("demo", environ={"COLUMNS": "200"}, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    second = xcapi("demo", environ={"COLUMNS": "200"}, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    names, total = (
        next(line for line in second.stdout.splitlines() if word in line) for word in ("partition", " all ")
    )
    of = dict(zip(names.replace("│", "┃").split("┃")[1:-1], total.split("│")[1:-1], strict=True))
    counts = {name.strip(): number.strip() for name, number in of.items()}
    assert counts["requests"] == counts["accepted"] == "0"
    assert int(counts["already accepted"].replace(",", "")) > 4000


def test_a_ledger_that_was_lost_with_the_files_begins_no_run(
    tmp_path: Path, sandbox: Sandbox, environ: dict[str, str]
) -> None:
    """Only Dagster remembers it: one line and status 2 all the same, and no partition is read."""
    assert xcapi("sync", "--partition", DAY, environ=environ, cwd=tmp_path).returncode == 0
    before = len(sandbox.requests)
    for lost in ("ledger", "output"):
        shutil.rmtree(tmp_path / "home" / lost)
    done = xcapi("sync", "--from", "2026-11-01", "--to", "2026-11-21", environ=environ, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("xcapi: the ledger is not the one that sent before")
    assert len(done.stderr.splitlines()) == 1
    assert len(sandbox.requests) == before
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["dagster"]


def test_the_demo_leaves_your_dagster_alone(tmp_path: Path, environ: dict[str, str]) -> None:
    """In an instance that it shared with you, your runs would take the demo's ledger for a newer one than theirs."""
    mine = {"COLUMNS": "200", "DAGSTER_HOME": str(tmp_path / "mine")}
    assert xcapi("sync", "--partition", DAY, environ=environ | mine, cwd=tmp_path).returncode == 0
    before = set((tmp_path / "mine").rglob("*"))
    done = xcapi("demo", environ=mine, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set((tmp_path / "mine").rglob("*")) == before
    assert (tmp_path / ".xcapi" / "dagster" / "dagster.yaml").exists()
    assert xcapi("sync", "--partition", DAY, environ=environ | mine, cwd=tmp_path).returncode == 0


def test_what_the_demo_shows_to_try_is_about_the_demo(tmp_path: Path, environ: dict[str, str]) -> None:
    """In a shell as it says, wherever its folder is and whatever else is set there."""
    done = xcapi("demo", "--home", "a folder", environ=environ | {"COLUMNS": "200"}, cwd=tmp_path)
    lines = done.stderr.splitlines()
    shown = [line.strip() for line in lines if line.startswith("  ")]
    assert [line.split()[0] for line in shown] == ["unset", "export", "xcapi", "xcapi", "xcapi"]
    script = "\n".join([*shown[:3], 'printf %s "$DAGSTER_HOME"'])
    whole = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), **environ}
    told = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=whole, capture_output=True, text=True, check=False)
    assert "missing_currency" in told.stdout, told.stderr
    assert told.stdout.endswith(f"{tmp_path}/a folder/dagster")


def test_orders_that_were_too_late_are_told_with_the_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """History that no pixel reported would otherwise be left out without a word."""
    settings = from_environment({}, home=tmp_path, **DEMO)
    ran = Ran({"2026-11-01": Counts(read=3, accepted=1, too_late=2)}, failures=(), failed_checks=())
    tell([ran], settings, as_json=False)
    assert "2 orders are so old" in (told := capsys.readouterr().err)
    assert "XCAPI_PIXEL_ALSO_FIRES=false" in told


def test_a_folder_is_told_as_it_is_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its name may hold what looks like markup of the terminal."""
    settings = from_environment({}, home=tmp_path / "[red]shop[/]", **DEMO)
    tell([Ran({"2026-11-01": Counts(read=1, accepted=1)}, failures=(), failed_checks=())], settings, as_json=False)
    assert f"Files: {tmp_path}/[red]shop[/]/output/purchases\n" in capsys.readouterr().err
