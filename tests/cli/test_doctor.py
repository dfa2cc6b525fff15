"""`xcapi doctor` on set-ups that are broken on purpose: each must be named, and nothing else blamed."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import Result

from xcapi_dagster.doctor import at_x, examine, here
from xcapi_dagster.sandbox import (
    DEMO_ACCESS_TOKEN,
    DEMO_ACCESS_TOKEN_SECRET,
    DEMO_ACCOUNT_ID,
    DEMO_CONSUMER_KEY,
    DEMO_CONSUMER_SECRET,
    EventTag,
    Sandbox,
    World,
    one_pixel_world,
)
from xcapi_dagster.settings import from_environment

CANARIES = ("canary.person@example.com", "4155550142", DEMO_CONSUMER_SECRET, DEMO_ACCESS_TOKEN_SECRET, "pass-word")
TAGS = (
    EventTag("opurch1", "nypurch1", "Purchase", "PURCHASE", last_tracked_at=1.7e9),
    EventTag("osignup", "nysignup", "Sign-up", "SIGN_UP", last_tracked_at=1.7e9),
    EventTag("ogone", "nygone", "Gone", "PURCHASE", deleted=True),
)
WORLD = one_pixel_world(DEMO_ACCOUNT_ID, "odemo1", ("opurch1", "osignup", "ogone"), TAGS)
OAUTH = {
    "X_ADS_CONSUMER_KEY": DEMO_CONSUMER_KEY,
    "X_ADS_CONSUMER_SECRET": DEMO_CONSUMER_SECRET,
    "X_ADS_ACCESS_TOKEN": DEMO_ACCESS_TOKEN,
    "X_ADS_ACCESS_TOKEN_SECRET": DEMO_ACCESS_TOKEN_SECRET,
}
GOOD = f"""
    SELECT 'order-' || n AS order_id, now() - INTERVAL 1 HOUR - n * INTERVAL 1 MINUTE AS ordered_at, 1.0 AS value,
           'USD' AS currency, true AS consent, '{CANARIES[0]}' AS email, '+1{CANARIES[1]}' AS phone
    FROM range(10) AS t(n)
"""

Doctor = Callable[..., dict[str, Any]]


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(getattr(request, "param", WORLD)) as sandbox:
        yield sandbox


def shop(folder: Path, orders: str) -> None:
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute(f"CREATE OR REPLACE TABLE orders AS {orders}")


@pytest.fixture
def doctor(
    tmp_path: Path,
    environ: dict[str, str],
    sandbox: Sandbox,
    xcapi: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> Doctor:
    """A good set-up, with these changes; returns the findings by check, after a look for canaries."""
    shop(tmp_path, GOOD)

    def run(expected_status: int, *words: str, **changes: str | None) -> dict[str, Any]:
        for name, value in (OAUTH | {"X_ADS_API_URL": sandbox.url} | changes).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        done = xcapi("doctor", *words, "--json")
        findings = json.loads(done.stdout)
        shown = done.stdout + done.stderr + xcapi("doctor", *words).output
        assert [canary for canary in CANARIES if canary in shown] == []
        assert sandbox.received == []
        assert done.exit_code == expected_status, done.stdout
        assert {finding["check"] for finding in findings} == {"settings", *here.CHECKS, *at_x.CHECKS}
        assert all(finding["mend"] or finding["status"] != "broken" or finding["message"] for finding in findings)
        return {finding["check"]: finding for finding in findings}

    return run


def unlike_ok(findings: dict[str, Any]) -> dict[str, str]:
    return {check: finding["status"] for check, finding in findings.items() if finding["status"] != "ok"}


def test_a_good_set_up_is_ok_and_nothing_is_created(doctor: Doctor, tmp_path: Path) -> None:
    findings = doctor(0)
    assert unlike_ok(findings) == {}
    assert findings["orders"]["message"].endswith("today") or "yesterday" in findings["orders"]["message"]
    assert findings["role"]["message"] == "user 1 is AD_MANAGER"
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("changes", "broken", "named"),
    [
        ({"X_ADS_EVENT_ID": "onone"}, "event tags", "no event tag of ads account 18ce55demo0 has it"),
        ({"X_ADS_EVENT_ID": "ogone"}, "event tags", "was deleted"),
        ({"X_ADS_EVENT_ID": "odemo1"}, "pixel", "X_ADS_EVENT_ID is the pixel's own id"),
        ({"X_ADS_PIXEL_ID": "osignup"}, "pixel", "osignup is the id of an event tag"),
        ({"X_ADS_ACCOUNT_ID": "18ce55other"}, "role", "ads account"),
        ({"X_ADS_API_VERSION": "11"}, "version", "X has no version 11"),
        ({"X_ADS_CONSUMER_SECRET": "wrong"}, "role", "401"),
        ({"XCAPI_ORDERS": "nothing"}, "warehouse", "the warehouse has no table nothing"),
        ({"XCAPI_WAREHOUSE_URL": "duckdb:////nowhere/shop.duckdb"}, "warehouse", "does not exist"),
        ({"XCAPI_OUTPUT_URL": "/proc/nowhere"}, "output", "cannot be written"),
        ({"XCAPI_LEDGER_URL": "sqlite:////proc/ledger.db"}, "ledger", "XCAPI_LEDGER_URL"),
        ({"XCAPI_LEDGER_URL": "postgresql://u:pass-word@127.0.0.1:1/x"}, "ledger", "cannot be reached"),
        ({"XCAPI_LEDGER_URL": "ledger.db"}, "ledger", "not a database URL"),
        ({"X_ADS_API_URL": "http://ads-api.example"}, "X", "must begin with https://"),
        ({"X_ADS_PIXEL_TOKEN": DEMO_ACCESS_TOKEN}, "credentials", "X_ADS_PIXEL_TOKEN"),
    ],
)
def test_a_wrong_setting_is_named(doctor: Doctor, changes: dict[str, str], broken: str, named: str) -> None:
    """The check that it breaks is broken, and everything that does not depend on it was looked at."""
    findings = doctor(2, **changes)
    assert findings[broken]["status"] == "broken"
    assert named in findings[broken]["message"]
    others = {check: status for check, status in unlike_ok(findings).items() if check != broken}
    assert set(others.values()) <= {"not checked", "warning"} or broken == "pixel" or "VERSION" in str(changes)


def test_what_is_missing_is_named_and_stops_the_rest(doctor: Doctor) -> None:
    findings = doctor(2, X_ADS_PIXEL_ID=None, XCAPI_PIXEL_ALSO_FIRES=None)
    assert "XCAPI_PIXEL_ALSO_FIRES, X_ADS_PIXEL_ID" in findings["settings"]["message"]
    assert {finding["status"] for check, finding in findings.items() if check != "settings"} == {"not checked"}


@pytest.mark.parametrize(
    ("orders", "broken", "named"),
    [
        ("SELECT 1 AS order_id, true AS consent, 'x' AS email", "columns", "no column ordered_at"),
        ("SELECT 1 AS order_id, 5 AS ordered_at, true AS consent, 'x' AS email", "columns", "which is no time"),
        ("SELECT 1 AS order_id, now() AS ordered_at, 'x' AS email", "columns", "gives no column consent"),
        ("SELECT 1 AS order_id, now() AS ordered_at, true AS consent", "columns", "none of them tells X whose order"),
    ],
)
def test_a_wrong_query_is_named(doctor: Doctor, tmp_path: Path, orders: str, broken: str, named: str) -> None:
    shop(tmp_path, orders)
    findings = doctor(2)
    assert named in findings[broken]["message"]
    assert unlike_ok(findings) == {broken: "broken"} | dict.fromkeys(
        ("time zone", "orders", "identifiers"), "not checked"
    )


def test_columns_that_are_not_read_are_told(doctor: Doctor, tmp_path: Path) -> None:
    """One may be misspelled; of a file without names of columns, its first order is taken for them."""
    shop(tmp_path, f'SELECT *, 1 AS mail, 2 AS "{CANARIES[0]}", 3 AS "{CANARIES[1]}", 4 AS twclick FROM ({GOOD})')
    told = doctor(0)["columns"]["message"]
    assert told.endswith("; not read: mail, twclick")
    assert "; not given: conversion_id, " in told

    shop(tmp_path, f"SELECT *, {', '.join(f'{at} AS other_{at}' for at in range(40))} FROM ({GOOD})")
    assert doctor(0)["columns"]["message"].endswith(", other_28, other_29 and 10 more")

    shop(tmp_path, "SELECT 1 AS order_id, now() AS ordered_at, true AS consent, 'x' AS e_mail")
    assert doctor(2)["columns"]["message"].endswith("; not read: e_mail")

    shop(tmp_path, "SELECT 1 AS id, now() AS created_at, true AS consent, 'x' AS email")
    assert doctor(2)["columns"]["message"].endswith("; not read: id, created_at")


@pytest.mark.parametrize(
    ("orders", "warned", "named", "mend"),
    [
        (f"{GOOD} UNION ALL SELECT 'x', NULL, 1.0, 'USD', true, 'a@b.example', NULL", "orders", "1 have no ordered_at",
         "give every order a time"),
        (GOOD.replace("now()", "now() - INTERVAL 20 DAY"), "orders", "there is nothing to send", "look at ordered_at"),
        (GOOD.replace("'USD'", "'EURO'"), "identifiers", "10 invalid_currency", "a fifth of the orders would"),
        (GOOD.replace("true", "false"), "identifiers", "10 consent_denied", "a fifth of the orders would"),
    ],
)  # fmt: skip
def test_orders_that_will_not_arrive_are_a_warning(
    doctor: Doctor, tmp_path: Path, orders: str, warned: str, named: str, mend: str
) -> None:
    shop(tmp_path, orders)
    findings = doctor(0)
    assert named in findings[warned]["message"]
    assert mend in findings[warned]["mend"]
    assert unlike_ok(findings) == {warned: "warning"}


def test_orders_without_any_time_that_can_be_read_are_broken(doctor: Doctor, tmp_path: Path) -> None:
    """As when all times are text in a form of somebody's own."""
    shop(tmp_path, GOOD.replace("now() - INTERVAL 1 HOUR - n * INTERVAL 1 MINUTE", "'20.11.2026 10:00'"))
    findings = doctor(2)
    assert findings["orders"]["message"].endswith("no ordered_at that can be read: it looks like 99.99.9999 99:99")
    assert "; 10 have" in findings["orders"]["message"]
    assert unlike_ok(findings)["orders"] == "broken"


def world_with(**app: bool) -> World:
    return replace(WORLD, applications=tuple(replace(each, **app) for each in WORLD.applications))


@pytest.mark.parametrize(
    ("sandbox", "role", "status"),
    [
        (world_with(conversions_only=True), "warning", 0),
    ],
    indirect=["sandbox"],
    ids=["conversions only"],
)
def test_an_app_that_may_not_read(doctor: Doctor, role: str, status: int) -> None:
    """“Conversion only” is enough for sending."""
    assert doctor(status)["role"]["status"] == role


@pytest.mark.parametrize(
    ("sandbox", "named"),
    [
        (replace(WORLD, roles={"1": {DEMO_ACCOUNT_ID: frozenset({"ANALYST"})}}), "which may not send"),
        (replace(WORLD, access_tokens=tuple(replace(each, revoked=True) for each in WORLD.access_tokens)), "401"),
    ],
    indirect=["sandbox"],
    ids=["analyst", "revoked"],
)
def test_a_user_who_may_not_send(doctor: Doctor, named: str) -> None:
    findings = doctor(2)
    assert findings["role"]["status"] == "broken"
    assert named in findings["role"]["message"]


@pytest.mark.parametrize(("seconds", "status"), [(-900, "broken"), (900, "broken"), (60, "warning"), (2, "ok")])
def test_a_clock_that_is_wrong_is_told_in_seconds(doctor: Doctor, seconds: int, status: str) -> None:
    """X's answers say when they were made; the other questions are signed with the right time."""
    now = time.time()
    with Sandbox(WORLD, clock=lambda: now) as x:
        doctor(0, X_ADS_API_URL=x.url)
        told_by = examine(lambda: from_environment(os.environ), clock=lambda: now + seconds)
        findings = {each.check: each for each in told_by}
    assert findings["clock"].status == status
    told = re.search("([0-9]+) s (behind|ahead)", findings["clock"].message)
    if status != "ok":
        assert told
        assert abs(int(told[1]) - abs(seconds)) <= 1  # X tells whole seconds
        assert told[2] == ("behind" if seconds < 0 else "ahead")
    assert findings["role"].status == "ok"


def test_a_network_that_is_down_may_pass(doctor: Doctor) -> None:
    findings = doctor(1, X_ADS_API_URL="http://127.0.0.1:1")
    assert unlike_ok(findings) == {"X": "broken"} | dict.fromkeys(at_x.CHECKS[2:], "not checked")


@pytest.mark.parametrize(
    ("answer", "named", "status"),
    [
        ({"status": 200, "body": "<html>Welcome</html>"}, "X_ADS_API_URL", 2),
        ({"status": 503}, "503", 1),
        ({"status": 302, "headers": {"location": "https://elsewhere.example"}}, "302", 2),
    ],
)
def test_an_answer_that_is_none_of_xs(
    doctor: Doctor, sandbox: Sandbox, answer: dict[str, Any], named: str, status: int
) -> None:
    sandbox.script([{"match": {"next": 99}, "do": answer}])
    findings = doctor(status)
    assert findings["X"]["status"] == "broken"
    assert named in findings["X"]["message"] + str(findings["X"]["mend"])


def test_a_pixel_token_alone_leaves_the_rest_unknown(doctor: Doctor) -> None:
    findings = doctor(0, **dict.fromkeys(OAUTH))
    assert unlike_ok(findings) == dict.fromkeys(at_x.CHECKS[4:], "warning")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of definitions whose event tag is to be a sign-up, with another click window than it has."""
    wanted = {"name": "Sign-up", "type": "SIGN_UP", "click_window": 7, "view_through_window": 1}
    lines = [
        "import os",
        "import dagster as dg",
        "from xcapi_dagster import build_x_conversions_assets, from_environment",
        f"tags = [{wanted | {'retargeting_enabled': False}!r}]",
        "assets = build_x_conversions_assets(from_environment(os.environ), event_tags=tags)",
        "defs = dg.Definitions(assets=assets)",
    ]
    name = f"doctored_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_the_event_tag_is_judged_by_what_the_yaml_wants(doctor: Doctor, module: str) -> None:
    """As the asset's checks and `xcapi tags plan` judge it; without anything wanted it is to be a purchase."""
    told = doctor(0, X_ADS_EVENT_ID="osignup")["event tags"]
    assert (told["status"], "is of type SIGN_UP, not PURCHASE" in told["message"]) == ("warning", True)
    told = doctor(0, "-m", module, X_ADS_EVENT_ID="osignup")["event tags"]
    assert (told["status"], told["message"]) == ("warning", "Sign-up: run `xcapi tags plan` to see what differs")


def test_of_event_tags_that_cannot_be_read_the_pixel_is_told_too(doctor: Doctor, sandbox: Sandbox) -> None:
    """A finding for each check, whatever X answers: the first two questions are who asks."""
    sandbox.script([{"match": {"request": 3}, "do": {"status": 403}}])
    findings = doctor(2)
    assert unlike_ok(findings) == {"pixel": "not checked", "event tags": "broken"}


def test_a_warning_of_xs_is_told(doctor: Doctor, sandbox: Sandbox) -> None:
    sandbox.script([{"match": {"next": 99}, "do": {"headers": {"x-api-warn": "version 12 will be removed"}}}])
    assert unlike_ok(doctor(0)) == {"version": "warning"}


def test_a_ledger_in_a_file_with_runs_elsewhere(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster").mkdir()
    launcher = {"module": "dagster_celery.launcher", "class": "CeleryRunLauncher"}
    (tmp_path / "dagster" / "dagster.yaml").write_text(json.dumps({"run_launcher": launcher}))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    assert "CeleryRunLauncher" in doctor(2)["run launcher"]["message"]


def test_what_keeps_dagster_from_starting_a_run(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor(0, XCAPI_START_DATE="2999-01-01")["time zone"]["status"] == "warning"
    monkeypatch.setenv("DAGSTER_HOME", "relative/folder")
    assert "absolute" in doctor(2)["run launcher"]["message"]


@pytest.mark.parametrize("text", ["run_launcher: [", "nonsense: secret-word", "run_launcher: {module: none, class: N}"])
def test_a_dagster_yaml_that_cannot_be_used_is_told_in_a_line(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The doctor goes on with the other checks; so does a launcher whose package is not installed here."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text(text)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    told = doctor(2)["run launcher"]["message"]
    assert told.startswith(f"DAGSTER_HOME: Dagster cannot open its instance in {tmp_path}/dagster (")
    assert "secret-word" not in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_ledger_that_cannot_be_written(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir(mode=0o500)
    assert doctor(2, XCAPI_LEDGER_URL=f"sqlite:///{tmp_path}/ledger/ledger.db")["ledger"]["status"] == "broken"
