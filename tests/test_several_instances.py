"""Several instances in one project: two ad accounts, and sign-ups beside purchases, on one ledger."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from xcapi_dagster.sandbox import DEMO_PIXEL_TOKEN, Sandbox, one_pixel_world

PROJECT = """
import dagster as dg

from xcapi_dagster import XConversionsComponent

INSTANCES = [
    XConversionsComponent(name="purchases"),
    XConversionsComponent(name="sign_ups", orders="sign_ups", event_id="osignup"),
    XConversionsComponent(name="eu", prefix="EU", orders="eu_purchases"),
]
built = [each.build_defs(None) for each in INSTANCES]
defs = dg.Definitions.merge(*built, dg.Definitions(executor=dg.in_process_executor))
"""
DAY = ("--partition", "2026-11-01")

Xcapi = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def at_x() -> Iterator[tuple[Sandbox, Sandbox]]:
    """Two ad accounts, each known to one sandbox alone."""
    world = one_pixel_world("18ce55eu001", "oeupixl", ("oeupurc",))
    with Sandbox() as first, Sandbox(world) as second:
        yield first, second


@pytest.fixture
def xcapi(tmp_path: Path, environ_of_project: dict[str, str]) -> Xcapi:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "xcapi_dagster.cli", *words]
        return subprocess.run(
            command, env=environ_of_project, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def environ_of_project(tmp_path: Path, at_x: tuple[Sandbox, Sandbox]) -> dict[str, str]:
    """A project with three instances, and what its environment says."""
    (tmp_path / "three.py").write_text(PROJECT)
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        time = "TIMESTAMPTZ '2026-11-01 09:00:00+00' AS ordered_at, true AS consent"
        connection.execute(f"""
            CREATE TABLE orders AS SELECT 'o' || n AS order_id, {time}, 'p' || n || '@example.com' AS email,
                5 AS value, 'USD' AS currency FROM range(3) AS t(n);
            CREATE TABLE sign_ups AS SELECT 's' || n AS order_id, {time}, '+1415555' || (2670 + n) AS phone
                FROM range(4) AS t(n);
            CREATE TABLE eu_purchases AS SELECT 'o' || n AS order_id, {time}, 'e' || n || '@example.com' AS email
                FROM range(5) AS t(n);
        """)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "XCAPI_HOME": str(tmp_path / "home"),
        "XCAPI_WAREHOUSE_URL": f"duckdb:///{tmp_path}/shop.duckdb",
        "XCAPI_START_DATE": "2026-11-01",
        "XCAPI_PIXEL_ALSO_FIRES": "false",
        "X_ADS_API_URL": at_x[0].url,
        "X_ADS_ACCOUNT_ID": "18ce55demo0",
        "X_ADS_PIXEL_ID": "odemo1",
        "X_ADS_EVENT_ID": "opurch1",
        "X_ADS_PIXEL_TOKEN": DEMO_PIXEL_TOKEN,
        "EU_X_ADS_API_URL": at_x[1].url,
        "EU_X_ADS_ACCOUNT_ID": "18ce55eu001",
        "EU_X_ADS_PIXEL_ID": "oeupixl",
        "EU_X_ADS_EVENT_ID": "oeupurc",
        "EU_X_ADS_PIXEL_TOKEN": DEMO_PIXEL_TOKEN,
    }


@pytest.mark.slow
def test_each_sends_to_its_own_account_and_event(xcapi: Xcapi, at_x: tuple[Sandbox, Sandbox], tmp_path: Path) -> None:
    """The same order ids in two accounts are two conversions; a second sync of each sends nothing."""
    of = ("-m", "three", "--name")
    for expected in (3, 4, 5), (0, 0, 0):
        for name, accepted in zip(("purchases", "sign_ups", "eu"), expected, strict=True):
            done = xcapi("sync", *DAY, "--json", *of, name)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["accepted"] == accepted
    events = [Counter(str(each.conversion["event_id"]) for each in sandbox.received) for sandbox in at_x]
    assert events == [{"opurch1": 3, "osignup": 4}, {"oeupurc": 5}]
    assert all("value" not in each.conversion for each in at_x[0].received if each.conversion["event_id"] == "osignup")

    told: Any = json.loads(xcapi("ledger", "status", "--json", *of, "eu").stdout)
    assert len(told["instances"]) == 3
    assert json.loads(xcapi("explain", "o1", "--json", *of, "eu").stdout)[0]["event_id"] == "oeupurc"
    assert json.loads(xcapi("report", "--json", *of, "sign_ups").stdout)["partition"] == "2026-11-01"
    assert sorted(path.name for path in (tmp_path / "home" / "output").iterdir()) == ["eu", "purchases", "sign_ups"]
    assert xcapi("doctor", *of, "eu").returncode == 0


@pytest.mark.slow
def test_an_instance_that_is_not_there_is_named(xcapi: Xcapi) -> None:
    done = xcapi("sync", *DAY, "-m", "three", "--name", "asia")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no assets of an instance called asia are in it" in done.stderr


@pytest.mark.slow
def test_an_operator_names_the_module_of_an_instance(
    xcapi: Xcapi, at_x: tuple[Sandbox, Sandbox], tmp_path: Path
) -> None:
    """The environment may be another instance's, whose pixel would be taken for the one that accepted the orders."""
    assert xcapi("sync", *DAY, "-m", "three", "--name", "eu").returncode == 0
    shutil.rmtree(tmp_path / "home" / "ledger")
    word = ("ledger", "accept-restored", "--name", "eu", "--why", "the disk is gone")
    done = xcapi(*word)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("xcapi: --name eu: say with -m which module has it")
    for command in (("held", "list"), ("forget", "o1", "--yes"), ("ledger", "accept-scope", "--why", "so")):
        assert xcapi(*command, "--name", "eu").returncode == 2
    assert xcapi(*word, "-m", "three").returncode == 0
    assert xcapi("sync", *DAY, "-m", "three", "--name", "eu").returncode == 0
    assert xcapi("sync", *DAY).returncode == 0
    assert [len(sandbox.received) for sandbox in at_x] == [3, 5]
