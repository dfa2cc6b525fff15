"""The daily schedule: stopped, in the partitions' zone, the newest partition first and the look-back after it."""

from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg

from xcapi_dagster import build_daily_schedule


def tick(zone: str, moment: datetime, **options: int) -> list[dg.RunRequest]:
    """What the schedule asks for at ``moment``, in a code location with one partitioned asset."""
    partitions_def = dg.DailyPartitionsDefinition(start_date="2026-10-20", timezone=zone)
    schedule = build_daily_schedule("purchases", dg.AssetSelection.all(), partitions_def, **options)

    @dg.asset(partitions_def=partitions_def)
    def conversions() -> None: ...

    repository = dg.Definitions(assets=[conversions], schedules=[schedule]).get_repository_def()
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=repository)
    return list(schedule.evaluate_tick(context).run_requests or [])


def keys_at(zone: str, moment: datetime, **options: int) -> list[str]:
    """The partitions that the schedule asks for at ``moment``."""
    return [str(request.partition_key) for request in tick(zone, moment, **options)]


def test_it_is_stopped_until_somebody_starts_it() -> None:
    """A new installation sends nothing by itself."""
    partitions_def = dg.DailyPartitionsDefinition(start_date="2026-10-20", timezone="America/New_York")
    schedule = build_daily_schedule("purchases", dg.AssetSelection.all(), partitions_def)
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "America/New_York")


def test_it_runs_yesterday_and_looks_at_the_days_before() -> None:
    """At 02:00 the last three complete days are asked for, yesterday first."""
    assert keys_at("UTC", datetime(2026, 11, 24, 2, tzinfo=ZoneInfo("UTC"))) == [
        "2026-11-23",
        "2026-11-22",
        "2026-11-21",
    ]


def test_the_day_is_that_of_the_partitions_zone() -> None:
    """At 02:00 on the 24th in New York the last complete day is the 23rd; likewise after a clock change."""
    new_york = ZoneInfo("America/New_York")
    assert keys_at("America/New_York", datetime(2026, 11, 24, 2, tzinfo=new_york))[0] == "2026-11-23"
    assert keys_at("America/New_York", datetime(2026, 11, 2, 2, tzinfo=new_york))[0] == "2026-11-01"


def test_the_look_back_ends_at_the_first_partition() -> None:
    """On the second day there is one partition; a longer look-back asks for as many as there are."""
    utc = ZoneInfo("UTC")
    assert keys_at("UTC", datetime(2026, 10, 21, 2, tzinfo=utc)) == ["2026-10-20"]
    assert len(keys_at("UTC", datetime(2026, 11, 24, 2, tzinfo=utc), look_back=7)) == 7


def test_each_day_asks_anew() -> None:
    """Run keys differ from day to day, or Dagster would skip a partition that it ran yesterday."""
    utc = ZoneInfo("UTC")
    asked = [request.run_key for day in (23, 24) for request in tick("UTC", datetime(2026, 11, day, 2, tzinfo=utc))]
    assert len(set(asked)) == len(asked) == 6
