"""`xcapi plan` and `xcapi sync --dry-run`: what they say is what then happens, and they leave no trace."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from xcapi_dagster.cli import main
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.partitions.forecast import seconds_at
from xcapi_dagster.sandbox import Sandbox

CANARIES = ("canary.person@example.com", "4155550142", "qjzxkw", "8.8.8.8")
COUNTS = ("read", "invalid", "suppressed", "duplicate", "already_accepted", "changed", "rejected", "held", "too_late")

Xcapi = Callable[..., Any]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def xcapi(tmp_path: Path, environ: dict[str, str], sandbox: Sandbox) -> Xcapi:
    """Two days of 1,100 orders, some of them bad; runs a command in a process of its own and reads its JSON."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(f"""
            CREATE TABLE orders AS
            SELECT 'order-' || (n - (n % 100 = 7)::INT) AS order_id,
                   TIMESTAMPTZ '2026-11-01 00:00:00+00' + n * INTERVAL 75 SECOND AS ordered_at,
                   CASE WHEN n % 50 <> 3 THEN '{CANARIES[0]}' END AS email, n % 40 <> 1 AS consent, 5 AS value,
                   CASE WHEN n % 60 <> 2 THEN 'USD' END AS currency, '+1{CANARIES[1]}' AS phone,
                   '{CANARIES[2]}' AS twclid, '{CANARIES[3]}' AS ip_address, 'Mozilla/5.0' AS user_agent
            FROM range(2200) AS t(n)
        """)
    variables = {
        **{name: os.environ[name] for name in ("PATH",)},
        **environ,
        "X_ADS_API_URL": sandbox.url,
        "XCAPI_START_DATE": "2026-11-01",
        "HOME": str(tmp_path),
    }

    def run(*words: str) -> Any:
        command = [sys.executable, "-m", "xcapi_dagster.cli", *words]
        done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        assert [canary for canary in CANARIES if canary in done.stdout + done.stderr] == []
        return done.stdout

    return run


def told(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.slow
def test_what_is_planned_is_what_happens(xcapi: Xcapi, sandbox: Sandbox, tmp_path: Path) -> None:
    """Before and after a sync; the plan and the dry run send nothing and leave no file."""
    days = ("--from", "2026-11-01", "--to", "2026-11-02")
    plan = json.loads(xcapi("plan", *days, "--click-window", "1", "--json", "--page", "plan.html"))
    assert f"{plan['total']['would_send']:,} of {plan['total']['read']:,} orders" in (tmp_path / "plan.html").read_text(
        encoding="utf-8"
    )
    dry = told(xcapi("sync", *days, "--dry-run", "--json"))
    assert not (tmp_path / "home" / "ledger").exists()
    assert not (tmp_path / "home" / "output").exists()
    assert sandbox.received == []

    synced = told(xcapi("sync", *days, "--json"))
    assert [[each[name] for name in COUNTS] for each in plan["partitions"]] == [
        [each[name] for name in COUNTS] for each in synced
    ]
    for forecasts in (plan["partitions"], dry):
        assert [(each["would_send"], each["requests"]) for each in forecasts] == [
            (each["accepted"], each["requests"]) for each in synced
        ]
    assert plan["total"]["would_send"] == len(sandbox.received)
    assert plan["total"]["past_click_window"] == plan["total"]["would_send"]
    assert plan["ledger_bytes"] == 25 * len(sandbox.received)

    after = told(xcapi("sync", *days, "--dry-run", "--json"))
    assert [(each["would_send"], each["requests"], each["first_conversion"]) for each in after] == [(0, 0, None)] * 2
    assert [each["already_accepted"] for each in after] == [each["accepted"] for each in synced]


@pytest.mark.slow
def test_what_was_sent_and_must_not_be_any_more_is_foreseen(xcapi: Xcapi, tmp_path: Path) -> None:
    """Orders that X has are changed, whether they are now without consent or invalid; why is said of all."""
    day = ("--partition", "2026-11-01")
    xcapi("sync", *day, "--json")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("UPDATE orders SET consent = false WHERE order_id IN ('order-10', 'order-11')")
        connection.execute("UPDATE orders SET value = -1 WHERE order_id = 'order-12'")
    (dry,) = told(xcapi("sync", *day, "--dry-run", "--json"))
    said = xcapi("sync", *day, "--dry-run")
    (synced,) = told(xcapi("sync", *day, "--json"))
    assert dry["changed"] == synced["changed"] == 3
    assert [dry[name] for name in COUNTS] == [synced[name] for name in COUNTS]
    assert dry["reasons"]["consent_denied"] == dry["suppressed"] + 2
    assert f"consent_denied {dry['reasons']['consent_denied']}" in said
    assert "negative_value 1." in said


@pytest.mark.slow
def test_the_first_payload_shows_no_identifier(xcapi: Xcapi) -> None:
    """None of its characters, for a short one is known by them; the rest of the conversion as it would be sent."""
    (dry,) = told(xcapi("sync", "--partition", "2026-11-01", "--dry-run", "--json"))
    assert dry["first_conversion"]["identifiers"] == [
        {"twclid": "…"},
        {"hashed_email": "…"},
        {"hashed_phone_number": "…"},
        {"ip_address": "…", "user_agent": "…"},
    ]
    assert dry["first_conversion"]["conversion_id"] == "order-0"
    assert "Nothing was sent or claimed, and nothing is kept." in xcapi(
        "sync", "--partition", "2026-11-01", "--dry-run"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("xcapi")
def test_requests_are_as_small_as_the_configured_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one event in 15 minutes each conversion is a request of its own."""
    monkeypatch.setenv("XCAPI_EVENTS_PER_15_MIN", "1")
    monkeypatch.setenv("XCAPI_START_DATE", "2026-11-01")
    (dry,) = told(CliRunner().invoke(main, ["sync", "--partition", "2026-11-01", "--dry-run", "--json"]).stdout)
    assert dry["requests"] == dry["would_send"] > 1000


@pytest.mark.slow
def test_a_plan_of_nothing_to_send_takes_no_window(xcapi: Xcapi) -> None:
    """A day without orders: there is nothing that could go at once."""
    days = ("--from", "2026-11-05", "--to", "2026-11-05", "--click-window", "30")
    said = xcapi("plan", *days)
    assert "nothing" in said
    assert "window" not in said
    assert "at once" not in said
    assert set(json.loads(xcapi("plan", *days, "--json"))["quota_windows"].values()) == {0}
    day_of_some = json.loads(xcapi("plan", "--from", "2026-11-01", "--to", "2026-11-01", "--json"))
    assert day_of_some["quota_windows"]["X's smaller limit"] == 1


@pytest.mark.parametrize(
    ("conversions", "requests", "seconds"),
    [
        (0, 0, 0),
        (60_000, 120, 0),
        (60_001, 121, 900),
        (5_000_000, 10_000, 83 * 900),  # 83 full windows of 60,000 come before the last one
        (400, 400, 0),
        (401, 401, 60),
    ],
)
def test_the_time_that_the_limits_leave(conversions: int, requests: int, seconds: float) -> None:
    """60,000 events in 15 minutes, 400 requests a minute: what fits into the first window is sent at once."""
    assert seconds_at(Limits(events=60_000, requests=400), conversions, requests) == seconds


@pytest.mark.parametrize("folder", ["nowhere", "x" * 300])
def test_a_page_that_cannot_be_written_is_refused_at_once(tmp_path: Path, folder: str) -> None:
    """Before anything is read, and in one line."""
    nowhere = str(tmp_path / folder / "plan.html")
    told = CliRunner().invoke(main, ["plan", "--from", "2026-11-01", "--to", "2026-11-02", "--page", nowhere])
    assert told.exit_code == 2
    assert "plan.html cannot be written" in told.output
