"""One order's whole story, and orders that were lost sent once the warehouse is mended: real runs to the sandbox."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from click.testing import Result

from xcapi_dagster import resources
from xcapi_dagster.conversions.schema import REJECTION_REPORT, UPLOAD_RESULTS
from xcapi_dagster.sandbox import Sandbox
from xcapi_dagster.settings import from_environment

HOSTILE = "=cmd|' /C calc'!A0 [red]\x1b[31m"
DAYS = ("--from", "2026-11-01", "--to", "2026-11-03")

Sql = Callable[[str], None]
Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sql(tmp_path: Path) -> Sql:
    """Three days of ten orders, of which the warehouse gives no identifier for two and a wrong event for one."""

    def change(statement: str) -> None:
        with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
            connection.execute(statement)

    change("""
        CREATE TABLE orders AS
        SELECT 'order-' || n AS order_id,
               TIMESTAMPTZ '2026-11-01 10:00:00+00' + (n // 10) * INTERVAL 1 DAY AS ordered_at,
               CASE WHEN n NOT IN (3, 24) THEN 'person' || n || '@example.com' END AS email,
               CASE WHEN n = 5 THEN 'onotset' END AS event_id, n <> 7 AS consent, 5 AS value, 'USD' AS currency
        FROM range(30) AS t(n)
    """)
    return change


@pytest.fixture
def sync(tmp_path: Path, environ: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, sql: Sql) -> Run:
    """Runs `xcapi sync` in a process of its own and reads what it prints."""
    given = environ | {"X_ADS_API_URL": sandbox.url, "XCAPI_START_DATE": "2026-11-01"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "xcapi_dagster.cli", "sync", *words, "--json"]
        variables = given | {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def explain(xcapi: Callable[..., Result]) -> Callable[[str], list[dict[str, Any]]]:
    return lambda order: json.loads(xcapi("explain", order, "--json").stdout)


@pytest.mark.slow
def test_every_kind_of_story(sync: Run, sql: Sql, explain: Any, xcapi: Callable[..., Result]) -> None:
    """Sent, never identified, without consent, refused by X, changed since, and never seen."""
    sync(*DAYS)
    sql("UPDATE orders SET value = 6 WHERE order_id = 'order-1'")
    sync("--partition", "2026-11-01")

    told = {n: explain(f"order-{n}")[0] for n in (0, 1, 3, 5, 7)}
    assert {n: each["state"] for n, each in told.items()} == {
        0: "accepted",
        1: "changed",
        3: "invalid",
        5: "rejected",
        7: "suppressed",
    }
    codes = {n: [reason["reason_code"] for reason in each["reasons"]] for n, each in told.items()}
    assert codes == {
        0: [],
        1: ["changed_after_acceptance"],
        3: ["no_identifier"],
        5: ["api_event_id"],
        7: ["consent_denied"],
    }
    assert [told[n]["ledger"] and told[n]["ledger"]["state"] for n in told] == ["accepted"] * 2 + [
        None,
        "rejected",
        None,
    ]
    assert told[0]["debug_id"] in xcapi("explain", "order-0").stdout
    assert "never sent again" in told[0]["next_run"]
    assert "no corrections" in told[1]["next_run"]
    assert "mend" in told[3]["next_run"]
    assert "another order" in told[5]["next_run"]
    assert "@example.com" not in json.dumps(told)
    assert not re.search("[0-9a-f]{64}", json.dumps(told))

    sql("DELETE FROM orders WHERE order_id IN ('order-0', 'order-3')")
    sync("--partition", "2026-11-01")
    (vanished,) = explain("order-0")
    assert (vanished["partition"], vanished["state"], vanished["debug_id"]) == ("2026-11-01", "accepted", None)
    assert vanished["ledger"]["request_id"] == told[0]["request_id"]
    assert "never sent again; no file tells of it" in vanished["next_run"]
    assert "accepted" in xcapi("explain", "order-0").stdout
    assert explain("order-3") == []

    unknown = xcapi("explain", HOSTILE)
    assert unknown.exit_code == 1
    assert "No file tells of" in unknown.stdout
    assert "\x1b" not in unknown.stdout


@pytest.mark.slow
def test_late_orders_show_and_only_they_are_sent(
    sync: Run, sql: Sql, sandbox: Sandbox, xcapi: Callable[..., Result], tmp_path: Path
) -> None:
    """A partition that was never synced, one that is settled, one with an order more, one with an order less.

    What became of the orders adds up to those that were synced.
    """
    states = ("accepted", "lost", "left_out", "too_late", "pending", "unknown", "held")

    def status() -> tuple[int, list[tuple[str, int, bool]]]:
        done = xcapi("status", *DAYS, "--json")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [sum(each[state] for state in states) for each in rows] == [each["read"] or 0 for each in rows]
        return done.exit_code, [(each["partition"], each["difference"], each["is_settled"]) for each in rows]

    assert status() == (1, [("2026-11-01", 10, False), ("2026-11-02", 10, False), ("2026-11-03", 10, False)])
    sync(*DAYS)
    assert status() == (0, [("2026-11-01", 0, True), ("2026-11-02", 0, True), ("2026-11-03", 0, True)])
    latest = xcapi("status", "--json")  # nobody has bought anything for two weeks
    assert [json.loads(line)["partition"] for line in latest.stdout.splitlines()] == [
        "2026-11-01",
        "2026-11-02",
        "2026-11-03",
    ]
    assert "The latest 14 partitions have no orders" in latest.stderr
    before = len(sandbox.received)
    sql("UPDATE orders SET ordered_at = ordered_at + INTERVAL 1 DAY WHERE order_id = 'order-9'")
    sql("INSERT INTO orders SELECT 'late', ordered_at, 'late@example.com', NULL, true, 1, 'USD' FROM orders LIMIT 1")
    assert status()[1] == [("2026-11-01", 0, True), ("2026-11-02", 1, False), ("2026-11-03", 0, True)]
    said = xcapi("status", *DAYS).stdout
    assert "Late orders: xcapi sync --from 2026-11-02 --to 2026-11-02\n" in said
    assert "Fewer" not in said
    sync(*DAYS)
    assert [received.conversion["conversion_id"] for received in sandbox.received[before:]] == ["late"]
    assert status()[0] == 0
    sql("DELETE FROM orders WHERE order_id = 'order-1'")
    assert status()[1][0] == ("2026-11-01", -1, False)
    said = xcapi("status", *DAYS).stdout
    assert "Fewer orders than were synced, from 2026-11-01 to 2026-11-01: find out why" in said
    assert "Late orders" not in said
    done = xcapi("sync", "--partition", "2026-11-01")
    assert "xcapi: warning: no_missing_orders" in done.stderr
    assert "2026-11-01: 10 before, 9 now" in done.stderr
    assert status()[0] == 0
    for path in (tmp_path / "home" / "ledger").iterdir():
        path.unlink()
    refused = xcapi("status", *DAYS)
    assert (refused.exit_code, "accept-restored" in refused.stderr) == (2, True)  # as a sync would be


@pytest.mark.slow
def test_of_a_report_that_was_purged_nobody_says_that_there_was_none(
    sync: Run, xcapi: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where reports are kept for a time, a partition that is older may have been synced before it."""
    sync("--partition", "2026-11-01")
    (tmp_path / "home" / "output" / "purchases" / "rejection_report" / "2026-11-01.summary.json").unlink()
    assert xcapi("status", *DAYS).stdout.count("never synced") == 3
    monkeypatch.setenv("XCAPI_KEEP_REPORTS_DAYS", "1")
    assert xcapi("status", *DAYS).stdout.count("no report left") == 3


@pytest.mark.slow
def test_what_was_lost_is_sent_after_the_mend(sync: Run, sql: Sql, sandbox: Sandbox, tmp_path: Path) -> None:
    """Only the partitions that carried the code are read again, and nothing that X accepted is sent again."""
    first = sync(*DAYS)
    assert [each["invalid"] for each in first] == [1, 0, 1]
    before = len(sandbox.received)
    sql("UPDATE orders SET email = 'found@example.com' WHERE email IS NULL")
    repaired = sync("--reason", "no_identifier", *DAYS)
    assert [(each["partition"], each["recovered"], each["accepted"]) for each in repaired] == [
        ("2026-11-01", 1, 1),
        ("2026-11-03", 1, 1),
    ]
    assert [received.conversion["conversion_id"] for received in sandbox.received[before:]] == ["order-3", "order-24"]
    assert sync("--reason", "no_identifier", *DAYS) == []
    page = (tmp_path / "home" / "output" / "purchases" / "rejection_report" / "index.html").read_text()
    recovered = page[page.index('id="recovered"') :].partition("</section>")[0]
    assert re.findall(r"<code>(\w+)</code>.*?([0-9-]{10})</a>.*?>(\d+)</td>.*?>(\d+)</td>", recovered) == [
        ("no_identifier", "2026-11-01", "1", "1"),
        ("no_identifier", "2026-11-03", "1", "1"),
    ]


@pytest.mark.slow
def test_what_x_refused_is_opened_again(sync: Run, sandbox: Sandbox, explain: Any) -> None:
    """As it was, when X was at fault: the operator's word is kept, and X's second answer counts."""
    sync("--partition", "2026-11-01")
    assert sync("--partition", "2026-11-01")[0]["requests"] == 0
    repaired = sync("--reason", "api_event_id", *DAYS)
    assert [(each["partition"], each["recovered"], each["rejected"]) for each in repaired] == [("2026-11-01", 0, 1)]
    assert repaired[0]["requests"] > 0
    accepted = [received.conversion["conversion_id"] for received in sandbox.received]
    assert len(accepted) == len(set(accepted)) == 7
    assert explain("order-5")[0]["ledger"]["state"] == "rejected"


def test_results_that_are_not_kept_any_more_open_nothing(sync: Run, environ: dict[str, str]) -> None:
    """The report is a moment younger, and so may be there for a moment longer: X's refusal stands."""
    sync("--partition", "2026-11-01")
    (results,) = Path(environ["XCAPI_HOME"]).rglob("upload_results/2026-11-01.parquet")
    results.unlink()
    (repaired,) = sync("--reason", "api_event_id", *DAYS)
    assert (repaired["recovered"], repaired["rejected"], repaired["requests"]) == (0, 1, 0)


def test_an_unknown_code_is_one_line_and_sends_nothing(
    sync: Run, xcapi: Callable[..., Result], sandbox: Sandbox
) -> None:
    done = xcapi("sync", "--reason", "no_identifer", *DAYS)
    assert done.exit_code == 2
    assert done.stderr.strip().endswith("is no reason code; there are no_identifier")
    assert sandbox.requests == []


def test_a_damaged_file_is_named(environ: dict[str, str], xcapi: Callable[..., Result]) -> None:
    """One line, exit status 1."""
    outputs = resources.outputs_of(from_environment(environ))
    outputs.write_table("rejection_report", "2026-11-01", REJECTION_REPORT.empty_table())
    outputs.write_table("upload_results", "2026-11-01", UPLOAD_RESULTS.empty_table())
    path = outputs.path("upload_results", "2026-11-01")
    Path(str(path)).write_bytes(b"PAR1, or not")
    done = xcapi("explain", "A-1")
    assert done.exit_code == 1
    assert done.stderr == f"xcapi: {path} is damaged: sync that partition again\n"


def test_a_long_amount_is_told_to_its_last_digit(environ: dict[str, str], xcapi: Callable[..., Result]) -> None:
    """38 digits, as the files hold them."""
    outputs = resources.outputs_of(from_environment(environ))
    known = {"order_id": "A-1", "conversion_id": "A-1", "event_id": "opurch1", "state": "accepted", "currency": "KWD"}
    row = known | {"conversion_time": 0, "value": Decimal("12345678901234567890123456789012.345678")}
    outputs.write_table("upload_results", "2026-11-01", pa.Table.from_pylist([row], schema=UPLOAD_RESULTS))
    outputs.write_table("rejection_report", "2026-11-01", REJECTION_REPORT.empty_table())
    told = xcapi("explain", "A-1").stdout
    assert "UTC, KWD 12,345,678,901,234,567,890,123,456,789,012.345678\n" in told


@pytest.mark.slow
def test_thousands_of_partitions_are_searched(environ: dict[str, str], explain: Any) -> None:
    """Two thousand of a hundred orders each: some 4 s of CPU, of which a second is imports."""
    outputs = resources.outputs_of(from_environment(environ))
    for number in range(2_000):
        key = f"partition-{number:05}"
        rows = [
            {"order_id": f"{number:05}-{n}", "conversion_id": f"{number:05}-{n}", "event_id": "opurch1"}
            | {"state": "accepted", "conversion_time": 0}
            for n in range(100)
        ]
        outputs.write_table("upload_results", key, pa.Table.from_pylist(rows, schema=UPLOAD_RESULTS))
        outputs.write_table("rejection_report", key, REJECTION_REPORT.empty_table())
    (found,) = explain("01234-56")
    assert found["partition"] == "partition-01234"


@pytest.mark.slow
def test_what_another_pixel_was_sent_is_not_settled(
    sync: Run, xcapi: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after trials with a sandbox, of which the files tell: a sync would send all of it."""
    sync(*DAYS)
    monkeypatch.setenv("X_ADS_PIXEL_ID", "onew1")
    assert xcapi("ledger", "accept-scope", "--why", "the trials are over").exit_code == 0
    done = xcapi("status", *DAYS, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, [(row["read"], row["difference"]) for row in rows]) == (1, [(None, 10)] * 3)
    monkeypatch.setenv("X_ADS_PIXEL_ID", "odemo1")
    assert xcapi("ledger", "accept-scope", "--why", "they are not").exit_code == 0
    assert xcapi("status", *DAYS, "--json").exit_code == 0
