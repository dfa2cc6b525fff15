"""The asset of the event tags in Dagster: what it shows and checks, and that it disturbs no partition."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from xcapi_dagster import Sandbox, Settings, build_x_conversions_assets, from_environment
from xcapi_dagster.sandbox import DEMO_WORLD, World
from xcapi_dagster.settings import DEMO, DEMO_OAUTH

KEY = dg.AssetKey(["purchases", "event_tags"])
READABLE = "event_tags_readable"
CHECKS = {
    READABLE,
    "event_ids_in_account",
    "event_ids_not_deleted",
    "event_types_as_expected",
    "event_tags_tracking",
    "click_windows_long_enough",
    "event_tags_as_configured",
}
CONVERSIONS_ALONE = replace(
    DEMO_WORLD, applications=tuple(replace(app, conversions_only=True) for app in DEMO_WORLD.applications)
)


@pytest.fixture
def world() -> World:
    return DEMO_WORLD


@pytest.fixture
def sandbox(world: World) -> Iterator[Sandbox]:
    with Sandbox(world) as sandbox:
        yield sandbox


@pytest.fixture
def settings(tmp_path: Path, sandbox: Sandbox) -> Settings:
    """A day of orders from three months ago, sent to the sandbox and signed with OAuth."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("""
            CREATE TABLE orders AS
            SELECT 'order-' || n AS order_id, TIMESTAMPTZ '2026-08-01 06:00:00+00' AS ordered_at,
                   'person' || n || '@example.com' AS email, true AS consent
            FROM range(5) AS t(n)
        """)
    return from_environment(
        {},
        home=tmp_path / "home",
        warehouse_url=f"duckdb:///{tmp_path}/shop.duckdb",
        api_url=sandbox.url,
        start_date=date(2026, 8, 1),
        **{name: DEMO[name] for name in ("account_id", "pixel_id", "event_id", "pixel_also_fires")},
        **{name: value.get_secret_value() for name, value in DEMO_OAUTH.items()},
    )


def run(settings: Settings, partition: str | None = None, **options: Any) -> dg.ExecuteInProcessResult:
    """Materialize all assets for a partition, or the event tags alone."""
    assets = [a for a in build_x_conversions_assets(settings, **options) if isinstance(a, dg.AssetsDefinition)]
    return dg.materialize(
        assets,
        partition_key=partition,
        selection=None if partition else dg.AssetSelection.assets(KEY),
        instance=dg.DagsterInstance.ephemeral(tempdir=str(settings.home.parent / "dagster")),
        raise_on_error=False,
    )


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """The verdicts on the event tags."""
    return {each.check_name: each for each in result.get_asset_check_evaluations() if each.asset_key == KEY}


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.materialization.asset_key.path[-1] for event in result.get_asset_materialization_events()}


def token_alone(settings: Settings) -> Settings:
    """The settings of somebody who has a pixel token and no app."""
    secret = type(DEMO_OAUTH["access_token"])(str(DEMO["pixel_token"]))
    return settings.model_copy(update={**dict.fromkeys(DEMO_OAUTH), "pixel_token": secret})


def test_a_snapshot_is_written_shown_and_judged(settings: Settings, tmp_path: Path) -> None:
    """The file holds every tag; the metadata is a table; all checks have a verdict and a word of explanation."""
    result = run(settings)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert (metadata["dagster/row_count"], metadata["tracking"], metadata["deleted"]) == (2, 0, 0)
    path = tmp_path / "home" / "output" / "purchases" / "event_tags" / "latest.parquet"
    assert metadata["path"] == str(path)
    assert [(row["id"], row["website_tag_id"], row["type"]) for row in pq.read_table(path).to_pylist()] == [
        ("opurch1", "nypurch1", "PURCHASE"),
        ("osignup", "nysignup", "SIGN_UP"),
    ]
    assert [record.data["id"] for record in event.materialization.metadata["event_tags"].records] == [
        "opurch1",
        "osignup",
    ]
    told = verdicts(result)
    assert told.keys() == CHECKS
    assert {name for name, verdict in told.items() if not verdict.passed} == {"event_tags_tracking"}
    assert all(verdict.description for verdict in told.values())


def test_it_shares_a_run_with_a_partition(settings: Settings, sandbox: Sandbox) -> None:
    """It comes last, sees what was sent, and warns of a click window that is shorter than the orders are old."""
    result = run(settings, "2026-08-01")
    assert result.success
    assert materialized(result) == {"conversions", "upload_results", "rejection_report", "event_tags"}
    assert [request.method for request in sandbox.requests] == ["POST", "GET"]
    told = verdicts(result)
    assert told["event_tags_tracking"].passed
    assert not told["click_windows_long_enough"].passed
    assert told["click_windows_long_enough"].severity == dg.AssetCheckSeverity.WARN
    assert "click window of 30 days, and orders were up to" in str(told["click_windows_long_enough"].description)


@pytest.mark.parametrize("partition", [None, "2026-08-01"])
def test_a_pixel_token_is_told_plainly(settings: Settings, sandbox: Sandbox, partition: str | None) -> None:
    """No request, a warning, no snapshot, no other verdict; the day's orders go their way."""
    result = run(token_alone(settings), partition)
    assert result.success
    told = verdicts(result)
    assert told.keys() == {READABLE}
    assert (told[READABLE].passed, told[READABLE].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "X_ADS_PIXEL_TOKEN can only send conversions" in str(told[READABLE].description)
    assert "event_tags" not in materialized(result)
    assert [request.method for request in sandbox.requests] == (["POST"] if partition else [])
    assert len(sandbox.received) == (5 if partition else 0)


@pytest.mark.parametrize("world", [CONVERSIONS_ALONE])
def test_an_app_for_conversions_alone_sends_them(settings: Settings, sandbox: Sandbox) -> None:
    """X refuses the question and takes the orders: a warning, in words that say so."""
    result = run(settings, "2026-08-01")
    assert result.success
    assert len(sandbox.received) == 5
    assert verdicts(result).keys() == {READABLE}
    assert "“Conversion only”" in str(verdicts(result)[READABLE].description)


def test_the_last_snapshot_stays_when_x_cannot_be_asked(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> None:
    """A warning that says why; neither the file nor the materialization is anew."""
    run(settings)
    path = tmp_path / "home" / "output" / "purchases" / "event_tags" / "latest.parquet"
    before = path.read_bytes()
    sandbox.script([{"match": {"next": 9}, "do": {"status": 501}}])
    result = run(settings)
    assert result.success
    assert materialized(result) == set()
    assert not verdicts(result)[READABLE].passed
    assert path.read_bytes() == before


def test_an_event_that_is_none_is_an_error_that_stops_nobody(settings: Settings, sandbox: Sandbox) -> None:
    """The check fails with severity ERROR and blocks nothing."""
    result = run(settings.model_copy(update={"event_id": "tw-odemo1-onone"}))
    told = verdicts(result)["event_ids_in_account"]
    assert (result.success, told.passed, told.severity) == (True, False, dg.AssetCheckSeverity.ERROR)
    assert "onone: no event tag of ads account 18ce55demo0" in str(told.description)
    assert "Purchase" in str(told.description)


def test_what_the_yaml_asks_for_is_checked(settings: Settings) -> None:
    """The plan is the verdict."""
    wanted = {
        "name": "Join",
        "type": "SIGN_UP",
        "click_window": 7,
        "view_through_window": 0,
        "retargeting_enabled": True,
    }
    told = verdicts(run(settings, event_tags=[wanted]))["event_tags_as_configured"]
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "Join: run `xcapi tags plan`" in str(told.description)


def test_a_check_may_be_asked_for_alone(settings: Settings, tmp_path: Path) -> None:
    """Then nothing else is told."""
    assets = [a for a in build_x_conversions_assets(settings) if isinstance(a, dg.AssetsDefinition)]
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(KEY, "event_ids_in_account"))
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster"))
    result = dg.materialize(assets, selection=selection, instance=instance)
    assert materialized(result) == set()
    assert verdicts(result).keys() == {"event_ids_in_account"}


def test_no_secret_is_in_what_dagster_keeps(settings: Settings, tmp_path: Path) -> None:
    """Neither in the definitions nor in the events of a run that is refused."""
    canary = type(DEMO_OAUTH["access_token"])("canary-secret-token")
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster"))
    assets = build_x_conversions_assets(settings.model_copy(update={"access_token_secret": canary}))
    event_tags = [a for a in assets if isinstance(a, dg.AssetsDefinition) and KEY in a.keys]
    result = dg.materialize(event_tags, instance=instance)
    assert "does not accept the credentials" in str(verdicts(result)[READABLE].description)
    assert "canary" not in "".join(map(str, instance.all_logs(result.run_id)))
    assert "canary" not in repr(event_tags[0].specs_by_key)
