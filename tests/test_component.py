"""The component: a `defs.yaml` becomes assets, checks and a schedule."""

from pathlib import Path

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from xcapi_dagster import ConfigurationError, XConversionsComponent

PRODUCTION = {
    "XCAPI_WAREHOUSE_URL": "duckdb:////srv/shop.duckdb",
    "XCAPI_PIXEL_ALSO_FIRES": "true",
    "X_ADS_ACCOUNT_ID": "18ce55gze09",
    "X_ADS_PIXEL_ID": "o8z6j",
    "X_ADS_EVENT_ID": "o87ne",
    "X_ADS_PIXEL_TOKEN": "token",
}


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete production environment."""
    for name, value in (PRODUCTION | {"XCAPI_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)


def definitions(**attributes: object) -> dg.Definitions:
    """What Dagster makes of a `defs.yaml` with these attributes."""
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(
            component_cls=XConversionsComponent,
            defs_yaml_contents={"type": "xcapi_dagster.component.XConversionsComponent", "attributes": attributes},
        )
        with sandbox.load_component_and_build_defs(defs_path=path) as (_, defs):
            return defs


@pytest.mark.usefixtures("environ")
def test_an_instance_is_four_keys_and_a_schedule() -> None:
    """The three assets, the orders outside of their prefix, a schedule that is stopped."""
    defs = definitions(name="subscriptions")
    keys = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    assert keys == {
        "warehouse/subscriptions_orders",
        "subscriptions/conversions",
        "subscriptions/upload_results",
        "subscriptions/rejection_report",
    }
    assert [schedule.name for schedule in defs.schedules or []] == ["subscriptions_daily"]


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("partitions", ["hourly", "daily", "weekly", "monthly"])
def test_partitions_follow_the_settings(partitions: str) -> None:
    """The cadence, the first day and the time zone are those given."""
    defs = definitions(partitions=partitions, timezone="Asia/Tokyo", start_date="2026-01-01")
    partitions_def = next(spec.partitions_def for spec in defs.resolve_all_asset_specs() if spec.partitions_def)
    assert isinstance(partitions_def, dg.TimeWindowPartitionsDefinition)
    assert partitions_def.schedule_type is not None
    assert partitions_def.schedule_type.value.lower() == partitions
    assert (partitions_def.timezone, partitions_def.start.date().isoformat()) == ("Asia/Tokyo", "2026-01-01")


@pytest.mark.usefixtures("environ")
def test_yaml_goes_before_the_environment() -> None:
    """What the file gives wins; what it leaves out comes from the environment."""
    component = XConversionsComponent(on_unknown="hold", orders="marts.purchases")
    assert (component.settings().on_unknown, component.settings().orders) == ("hold", "marts.purchases")
    assert component.settings().pixel_id == "o8z6j"


def test_missing_settings_are_named() -> None:
    """A pixel in the YAML is a real one: nothing of the demo stands in for the rest."""
    with pytest.raises(ConfigurationError, match="XCAPI_WAREHOUSE_URL"):
        XConversionsComponent(pixel_id="o8z6j").settings()


def test_without_anything_it_is_the_demo() -> None:
    """An empty `defs.yaml` in an empty environment is the demo."""
    assert XConversionsComponent().settings().demo
