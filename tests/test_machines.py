"""A ledger in a file, and runs or steps that start on other machines: refused before anything is sent."""

from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster_celery import celery_executor

from xcapi_dagster import ConfigurationError, Settings, build_x_conversions_assets, from_environment
from xcapi_dagster.machines import check_ledger_is_shared
from xcapi_dagster.settings import DEMO

ELSEWHERE = """
run_launcher:
  module: dagster_celery.launcher
  class: CeleryRunLauncher
  config: {broker: "redis://127.0.0.1:1/0", backend: "redis://127.0.0.1:1/0"}
"""


def settings_with(tmp_path: Path, **given: object) -> Settings:
    told = {name: value for name, value in DEMO.items() if name != "demo"}
    places = {"home": tmp_path / "home", "warehouse_url": "duckdb:////nowhere.duckdb", "api_url": "http://127.0.0.1:1"}
    return from_environment({}, **told, **places, start_date=date(2026, 11, 1), **given)


def instance_with(tmp_path: Path, text: str) -> dg.DagsterInstance:
    (tmp_path / "dagster.yaml").write_text(text)
    return dg.DagsterInstance.from_config(str(tmp_path))


def test_a_launcher_of_other_machines_needs_a_ledger_that_they_reach(tmp_path: Path) -> None:
    with (
        instance_with(tmp_path, ELSEWHERE) as instance,
        pytest.raises(ConfigurationError, match=r"^CeleryRunLauncher starts work on other machines.*XCAPI_LEDGER_URL"),
    ):
        check_ledger_is_shared(settings_with(tmp_path), instance)


def test_with_postgresql_runs_may_start_anywhere(tmp_path: Path) -> None:
    with instance_with(tmp_path, ELSEWHERE) as instance:
        check_ledger_is_shared(settings_with(tmp_path, ledger_url="postgresql://ledger@127.0.0.1/x"), instance)


def test_dagsters_own_launchers_start_runs_here(tmp_path: Path) -> None:
    with instance_with(tmp_path, "telemetry: {enabled: false}") as instance:
        check_ledger_is_shared(settings_with(tmp_path), instance, "multiprocess")
    with dg.DagsterInstance.ephemeral() as instance:
        check_ledger_is_shared(settings_with(tmp_path), instance, "in_process")


def test_an_executor_that_leaves_the_machine_is_refused_too(tmp_path: Path) -> None:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(ConfigurationError, match=r"^the executor celery starts work on other machines"),
    ):
        check_ledger_is_shared(settings_with(tmp_path), instance, celery_executor.name)


def test_a_run_refuses_before_it_reads_an_order(tmp_path: Path) -> None:
    """Nothing is at the warehouse's and the API's address: the refusal comes before either is tried."""
    assets = [a for a in build_x_conversions_assets(settings_with(tmp_path)) if isinstance(a, dg.AssetsDefinition)]
    with instance_with(tmp_path, ELSEWHERE) as instance:
        result = dg.materialize(assets, partition_key="2026-11-01", instance=instance, raise_on_error=False)
    told = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert [each and str(each.description).partition(" ")[0] for each in told] == ["CeleryRunLauncher"]
    assert not (tmp_path / "home").exists()
