"""Runs that were killed give back their places in Dagster's pools, wherever their processes were."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa

from xcapi_dagster import Settings, from_environment, resources
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.tables import owner
from xcapi_dagster.killed_runs import end_killed_runs, process_tags
from xcapi_dagster.settings import DEMO

POOL = "x_ads_18ce55demo0"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    demo = {name: value for name, value in DEMO.items() if name not in ("demo", "unknown_consent")}
    places = {"home": tmp_path / "home", "warehouse_url": "duckdb:///nowhere", "api_url": "http://127.0.0.1:9"}
    return from_environment({}, **places, **demo)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One whose pool has room for one run."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots(POOL, 1)
        yield instance


def begun(instance: dg.DagsterInstance, **process: object) -> str:
    """A run of such a process that has the one place; returns its id."""
    tags = dict(process_tags()) | {f".xcapi/{name}": str(value) for name, value in process.items()}
    run = dg.DagsterRun(job_name="job", run_id=str(uuid4()), tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    assert instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "upload").is_claimed
    return run.run_id


def has_failed(instance: dg.DagsterInstance, settings: Settings, run_id: str) -> bool:
    """Whether the run is told to have failed; then its place is another's to take."""
    end_killed_runs(instance, settings)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    is_free = instance.event_log_storage.claim_concurrency_slot(POOL, "another", "upload").is_claimed
    assert is_free == (run.status == dg.DagsterRunStatus.FAILURE)
    return is_free


def of_owner(settings: Settings, run_id: str, lease_until: float) -> None:
    """Let the run have had its lease on the ledger until that time, in seconds from now."""
    with closing(Database(settings.ledger_url)) as database, database.transaction() as connection:
        until = database.now(connection) + lease_until
        row = {"run_id": run_id, "host": "pod-1", "boot": "another", "pid": 1, "lease_until": until}
        connection.execute(sa.insert(owner).values(row))


def test_a_process_of_this_machine_that_has_ended(instance: dg.DagsterInstance, settings: Settings) -> None:
    """It is known at once, and without a ledger; one that lives is left alone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert has_failed(instance, settings, begun(instance, pid=ended.pid))


def test_a_process_that_lives_is_left_alone(instance: dg.DagsterInstance, settings: Settings) -> None:
    """This one."""
    assert not has_failed(instance, settings, begun(instance, pid=os.getpid()))


@pytest.mark.parametrize("host", ["pod-1", ""], ids=["a container that is no more", "a system that does not tell"])
def test_a_process_elsewhere_is_judged_by_its_lease(
    instance: dg.DagsterInstance, settings: Settings, host: str
) -> None:
    """It is taken to live as long as that lasts, and before it has one."""
    run_id = begun(instance, host=host, boot="")
    assert not has_failed(instance, settings, run_id)
    of_owner(settings, run_id, lease_until=200.0)
    assert not has_failed(instance, settings, run_id)
    with closing(Database(settings.ledger_url)) as database, database.transaction() as connection:
        connection.execute(sa.update(owner).values(lease_until=owner.c.lease_until - 300.0))
    assert has_failed(instance, settings, run_id)


def test_a_step_that_is_tried_again_has_a_lease_of_its_own(instance: dg.DagsterInstance, settings: Settings) -> None:
    """The latest counts."""
    run_id = begun(instance, host="pod-1", boot="another")
    of_owner(settings, run_id, lease_until=-100.0)
    of_owner(settings, run_id, lease_until=200.0)
    assert not has_failed(instance, settings, run_id)


def test_who_has_given_up_the_lease_was_not_killed(instance: dg.DagsterInstance, settings: Settings) -> None:
    """It has sent all, and writes the overview."""
    run_id = begun(instance, host="pod-1", boot="another")
    with resources.ledger_of(settings, run_id):
        pass
    assert not has_failed(instance, settings, run_id)
