"""The component: a `defs.yaml` becomes assets, checks and a schedule."""

import os
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from xcapi_dagster import ConfigurationError, XConversionsComponent
from xcapi_dagster.component import EventTagModel
from xcapi_dagster.event_tags import WANTED, wanted_event_tags

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
def test_an_instance_is_five_keys_and_three_schedules() -> None:
    """The four assets, the orders outside of their prefix, schedules that are stopped."""
    defs = definitions(name="subscriptions")
    keys = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    assert keys == {
        "warehouse/subscriptions_orders",
        "subscriptions/conversions",
        "subscriptions/upload_results",
        "subscriptions/rejection_report",
        "subscriptions/event_tags",
    }
    schedules = [schedule for schedule in defs.schedules or [] if isinstance(schedule, dg.ScheduleDefinition)]
    assert [schedule.name for schedule in schedules] == [
        "subscriptions_daily",
        "subscriptions_event_tags",
        "subscriptions_lateness",
    ]
    assert {schedule.default_status for schedule in schedules} == {dg.DefaultScheduleStatus.STOPPED}


def test_a_dry_run_tells_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's first day, in Dagster: the numbers that the command line says, and no file of the instance.

    Nor any that one left which was killed, a day ago or longer.
    """
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    monkeypatch.setenv("XCAPI_HOME", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for name, age in (("xcapi-forecast-old", 25), ("xcapi-forecast-new", 23), ("others", 25)):
        (temporary / name / "conversions").mkdir(parents=True)
        os.utime(temporary / name, (time.time() - age * 3600,) * 2)
    job = definitions().resolve_job_def("purchases_dry_run")
    result = job.execute_in_process(partition_key="2026-10-20")
    (event,) = (each for each in result.all_events if each.is_successful_output)
    metadata = {name: value.value for name, value in event.step_output_data.metadata.items()}
    assert (metadata["read"], metadata["would_send"], metadata["requests"]) == (331, 325, 1)
    shown = [value for each in metadata["first_conversion"]["identifiers"] for value in each.values()]
    assert {*shown} == {"…"}
    assert [path.name for path in home.iterdir()] == ["warehouse.duckdb"]
    assert {"others", "xcapi-forecast-new"} <= {path.name for path in temporary.iterdir()}
    assert [path.name for path in temporary.glob("xcapi-forecast-*")] == ["xcapi-forecast-new"]


@pytest.mark.usefixtures("environ")
def test_the_daily_job_leaves_the_event_tags_alone() -> None:
    """Partitions are one job, what X says about event tags is another."""
    repository = definitions().get_repository_def()
    daily, event_tags = (
        {key.path[-1] for key in repository.get_job(name).asset_layer.selected_asset_keys}
        for name in ("purchases_daily", repository.get_schedule_def("purchases_event_tags").job_name)
    )
    assert daily == {"conversions", "upload_results", "rejection_report"}
    assert event_tags == {"event_tags"}


@pytest.mark.usefixtures("environ")
def test_event_tags_that_should_exist_are_kept_with_the_asset() -> None:
    """The block of the YAML is there for `xcapi tags plan`, with the account that it is about."""
    tag = {
        "name": "Purchase",
        "type": "PURCHASE",
        "click_window": 30,
        "view_through_window": 1,
        "retargeting_enabled": False,
    }
    specs = definitions(
        event_tags=[tag, tag | {"name": "Lead", "type": "SIGN_UP", "id": "o87ne"}]
    ).resolve_all_asset_specs()
    account_id, (first, second) = wanted_event_tags(next(spec for spec in specs if WANTED in spec.metadata))
    assert account_id == "18ce55gze09"
    assert first.values.given() == tag
    assert (second.name, second.values.type, second.id) == ("Lead", "SIGN_UP", "o87ne")


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"click_window": 60}, "click window must be 1, 7, 14 or 30 days, not 60: Events Manager can set it"),
        ({"view_through_window": 30, "click_window": 7}, "at most the click window"),
        ({"type": "Page view"}, "SITE_VISIT"),
        ({"name": " "}, "name must not be empty"),
        ({"id": "O87NE"}, "no event tag's id"),
    ],
)
def test_event_tags_that_x_would_refuse_are_named(change: dict[str, object], named: str) -> None:
    """Nothing is loaded, and the line says which tag and what about it."""
    tag = {"name": "T", "type": "CUSTOM", "click_window": 7, "view_through_window": 1, "retargeting_enabled": True}
    component = XConversionsComponent(event_tags=[EventTagModel(**tag | change)])
    with pytest.raises(ConfigurationError, match=named) as raised:
        component.build_defs(None)
    assert str(raised.value).startswith("event_tags, ")


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
@pytest.mark.parametrize("partitions", ["hourly", "daily", "weekly", "monthly"])
@pytest.mark.parametrize("start", ["2026-10-20", "2026-10-24", "2026-10-25", "2026-11-01"])
def test_the_first_partition_begins_on_the_first_day(partitions: str, start: str) -> None:
    """On whatever day of the week or month that is: the orders until the next week or month were in no partition."""
    defs = definitions(partitions=partitions, timezone="Europe/Berlin", start_date=start)
    partitions_def = next(spec.partitions_def for spec in defs.resolve_all_asset_specs() if spec.partitions_def)
    assert isinstance(partitions_def, dg.TimeWindowPartitionsDefinition)
    first = partitions_def.get_partition_keys(current_time=datetime(2027, 1, 5, tzinfo=ZoneInfo("UTC")))[0]
    begin = partitions_def.time_window_for_partition_key(first).start
    assert begin == datetime.fromisoformat(start).replace(tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.usefixtures("environ")
def test_a_month_begins_on_a_day_that_every_month_has() -> None:
    with pytest.raises(ConfigurationError, match=r"^XCAPI_START_DATE must be at most the 28th .* monthly$"):
        XConversionsComponent(partitions="monthly", start_date="2026-10-29").build_defs(None)


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize(("cadence", "days"), [("hourly", 3), ("daily", 9), ("weekly", 40), ("monthly", 120)])
def test_the_schedule_asks_for_every_partition(cadence: str, days: int) -> None:
    """Whenever it runs: each partition that has ended is asked for, and again as often as the look-back says."""
    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 11, 1, tzinfo=zone)
    defs = definitions(partitions=cadence, timezone=zone.key, start_date=f"{start:%Y-%m-%d}", look_back=2)
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("purchases_daily")
    minute, hour, *others = str(schedule.cron_schedule).split()
    assert others == ["*"] * 3
    asked = Counter[str]()
    for tick in (start + timedelta(hours=each, minutes=int(minute)) for each in range(days * 24)):
        if hour in ("*", str(tick.hour)):
            context = dg.build_schedule_context(scheduled_execution_time=tick, repository_def=repository)
            asked.update(str(each.partition_key) for each in schedule.evaluate_tick(context).run_requests or [])
    partitions_def = next(spec.partitions_def for spec in defs.resolve_all_asset_specs() if spec.partitions_def)
    assert isinstance(partitions_def, dg.TimeWindowPartitionsDefinition)
    ended = partitions_def.get_partition_keys(current_time=start + timedelta(days=days, hours=-1))
    assert len(ended) > 2
    assert set(ended) <= set(asked)
    assert all(asked[key] >= 2 for key in ended[:-2])


@pytest.mark.usefixtures("environ")
def test_passwords_in_urls_are_shown_neither_by_the_component_nor_by_its_assets() -> None:
    """Dagster keeps the component in the metadata of its assets, and shows that with them."""
    urls = {"warehouse_url": "postgresql://me:canary@shop/orders", "ledger_url": "postgresql://me:canary@shop/ledger"}
    assert "canary" not in repr(XConversionsComponent(**urls))
    assert "canary" not in repr(list(definitions(**urls).resolve_all_asset_specs()))


@pytest.mark.usefixtures("environ")
def test_yaml_goes_before_the_environment() -> None:
    """What the file gives wins; what it leaves out comes from the environment."""
    component = XConversionsComponent(on_unknown="hold", orders="marts.purchases")
    assert (component.settings().on_unknown, component.settings().orders) == ("hold", "marts.purchases")
    assert component.settings().pixel_id == "o8z6j"


def test_an_instance_may_have_variables_of_its_own(monkeypatch: pytest.MonkeyPatch, environ: None) -> None:
    """Two accounts in one environment: what has the prefix goes first, and credentials are not mixed."""
    for name in ("X_ADS_CONSUMER_KEY", "X_ADS_CONSUMER_SECRET", "X_ADS_ACCESS_TOKEN", "X_ADS_ACCESS_TOKEN_SECRET"):
        monkeypatch.setenv(name, "of-the-first")
    monkeypatch.setenv("EU_X_ADS_ACCOUNT_ID", "18ce55eu001")
    monkeypatch.setenv("EU_X_ADS_PIXEL_TOKEN", "of-the-second")
    settings = XConversionsComponent(name="eu", prefix="EU", event_id="o11aa").settings()
    assert (settings.account_id, settings.pixel_id, settings.event_id) == ("18ce55eu001", "o8z6j", "o11aa")
    assert settings.pixel_token
    assert settings.pixel_token.get_secret_value() == "of-the-second"
    assert settings.consumer_key is None
    assert XConversionsComponent().settings().account_id == "18ce55gze09"


def test_what_an_instance_with_a_prefix_misses_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"X_ADS_ACCOUNT_ID.*may start with EU_\)$"):
        XConversionsComponent(prefix="EU", pixel_id="o8z6j").settings()


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("prefix", ["eu", "EU_", "UE"])
def test_a_prefix_that_no_variable_has_is_refused(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written otherwise than in the environment, it would send the orders to the pixel of the other instance."""
    for name in ("X_ADS_ACCOUNT_ID", "X_ADS_PIXEL_ID", "X_ADS_EVENT_ID", "X_ADS_PIXEL_TOKEN"):
        monkeypatch.setenv(f"EU_{name}", "o11aa")
    assert XConversionsComponent(name="eu", prefix="EU").settings().pixel_id == "o11aa"
    with pytest.raises(ConfigurationError, match=rf"^prefix '{prefix}': .* such as {prefix}_X_ADS_ACCOUNT_ID is set"):
        XConversionsComponent(name="eu", prefix=prefix).settings()


def test_missing_settings_are_named() -> None:
    """A pixel in the YAML is a real one: nothing of the demo stands in for the rest."""
    with pytest.raises(ConfigurationError, match="XCAPI_WAREHOUSE_URL"):
        XConversionsComponent(pixel_id="o8z6j").settings()


def test_without_anything_it_is_the_demo() -> None:
    """An empty `defs.yaml` in an empty environment is the demo."""
    assert XConversionsComponent().settings().demo
