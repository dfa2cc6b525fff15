"""The checks that look at the latest partitions between runs, in Dagster, with the clock as it is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from xcapi_dagster import Sandbox, Settings, build_lateness_checks, build_x_conversions_assets, from_environment
from xcapi_dagster.lateness import _latest
from xcapi_dagster.settings import DEMO

NOW = datetime.now(UTC)
SYNCED = NOW - timedelta(days=5)

Verdicts = dict[str, tuple[bool | None, str]]


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, datetime], None]:
    """Adds an order to the warehouse."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE orders (order_id TEXT, ordered_at TIMESTAMPTZ, email TEXT, consent BOOLEAN)")

    def add(order_id: str, at: datetime) -> None:
        with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
            connection.execute("INSERT INTO orders VALUES (?, ?, 'a@example.com', true)", [order_id, at])

    return add


def judged(settings: Settings, sync: datetime | None = None) -> Verdicts:
    """The verdicts, alone or after a sync of the day of ``sync`` in the same run."""
    days = dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat())
    definitions = dg.Definitions(
        build_x_conversions_assets(settings, days), asset_checks=[build_lateness_checks(settings, days)]
    )
    key = dg.AssetKey(["purchases", "upload_results"])
    checks = dg.AssetSelection.checks(*[dg.AssetCheckKey(key, name) for name in ("no_late_orders", "sent_in_time")])
    assets = dg.AssetSelection.groups("purchases") - dg.AssetSelection.assets("purchases/event_tags")
    job = dg.define_asset_job("job", assets if sync else checks)
    resolved = dg.Definitions(definitions.assets, asset_checks=definitions.asset_checks, jobs=[job])
    result = resolved.resolve_job_def("job").execute_in_process(
        partition_key=f"{sync:%Y-%m-%d}" if sync else None,
        instance=dg.DagsterInstance.ephemeral(tempdir=str(settings.home.parent / "dagster")),
    )
    told = {each.check_name: each for each in result.get_asset_check_evaluations()}
    return {name: (told[name].passed, str(told[name].description)) for name in ("no_late_orders", "sent_in_time")}


@pytest.mark.slow
def test_late_and_ageing_orders_are_told_until_they_are_sent(
    tmp_path: Path, put: Callable[[str, datetime], None]
) -> None:
    """What to run is in the words; the sync that they name mends it, and says so in its own run."""
    with Sandbox() as sandbox:
        settings = from_environment(
            {},
            home=tmp_path / "home",
            warehouse_url=f"duckdb:///{tmp_path}/shop.duckdb",
            api_url=sandbox.url,
            start_date=(NOW - timedelta(days=6)).date(),
            **{name: value for name, value in DEMO.items() if name not in ("demo", "unknown_consent")},
        )
        put("a", SYNCED)
        assert judged(settings, sync=SYNCED) == {
            "no_late_orders": (True, "None"),
            "sent_in_time": (True, "None"),
        }
        put("late", SYNCED)
        ageing = NOW - timedelta(hours=41)
        put("ageing", ageing)
        told = judged(settings)
        day = f"{SYNCED:%Y-%m-%d}"
        assert told["no_late_orders"][0] is False
        assert f"run `xcapi sync --from {day} --to {day}`" in told["no_late_orders"][1]
        assert told["no_late_orders"][1].endswith(f"{day}: +1 orders since")
        assert told["sent_in_time"][0] is False
        assert f"xcapi sync --from {ageing:%Y-%m-%d}" in told["sent_in_time"][1]
        assert "1 in the warehouse, never synced" in told["sent_in_time"][1]
        judged(settings, sync=ageing)
        assert judged(settings, sync=SYNCED) == {
            "no_late_orders": (True, "None"),
            "sent_in_time": (True, "None"),
        }
        assert len(sandbox.received) == 3


@pytest.mark.parametrize(
    ("partitions_def", "hours", "most"),
    [
        (dg.HourlyPartitionsDefinition("2026-09-01-00:00"), 72, 72),
        (dg.DailyPartitionsDefinition("2026-09-01"), 14 * 24, 14),
        (dg.WeeklyPartitionsDefinition("2026-01-01"), 14 * 7 * 24, 14),
        (dg.HourlyPartitionsDefinition("2026-11-20-00:00"), 10, 10),
    ],
    ids=["hours", "days", "weeks", "a few"],
)
def test_what_x_deduplicates_is_looked_at_however_short_partitions_are(
    partitions_def: dg.TimeWindowPartitionsDefinition, hours: int, most: int
) -> None:
    """The latest 14 partitions that have ended and all of the last three days: X deduplicates for two."""
    now = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
    found = _latest(partitions_def, now)
    assert len(found) == most
    assert all(each.end == after.start for each, after in pairwise(found))
    ended = now.replace(minute=0)
    assert found[-1].end <= ended
    assert found[-1].end - found[0].start == timedelta(hours=hours)
