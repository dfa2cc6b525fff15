"""The schedules: yesterday's orders, once more those of the days before, and what X says about event tags."""

from collections.abc import Iterator

import dagster as dg

LOOK_BACK = 3  # partitions; re-running is free, since nothing that was accepted is sent again
EVENT_TAGS_CRON = "30 1 * * *"  # before the daily sync, which a deleted event tag would stop
LATENESS_CRON = "45 * * * *"  # between 40 and 48 hours of age it is found eight times
CRON = "0 2 * * *"  # in the partitions' time zone: the day before is complete, and its youngest orders are 2 h old
HOURLY_CRON = "30 * * * *"  # of partitions of an hour: each is asked for as often as a day is


def build_daily_schedule(
    name: str,
    assets: dg.AssetSelection,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    *,
    cron: str = CRON,
    look_back: int = LOOK_BACK,
) -> dg.ScheduleDefinition:
    """A schedule that runs the latest ``look_back`` partitions, the newest first. It is stopped until you start it.

    A new installation must send nothing by itself.
    """
    job = dg.define_asset_job(f"{name}_daily", assets)

    @dg.schedule(
        job=job,
        name=f"{name}_daily",
        cron_schedule=cron,
        execution_timezone=partitions_def.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Sends the latest partition and looks at the {look_back - 1} before it for late orders.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        now = context.scheduled_execution_time
        keys = partitions_def.get_partition_keys(current_time=now)[-look_back:]
        for key in reversed(keys):
            yield dg.RunRequest(run_key=f"{now:%Y-%m-%dT%H:%M}|{key}", partition_key=key)

    return daily


def build_lateness_schedule(name: str, lateness: dg.AssetSelection) -> dg.ScheduleDefinition:
    """A schedule that looks for late and ageing orders every hour. It is stopped until you start it."""
    return dg.ScheduleDefinition(
        name=f"{name}_lateness",
        target=lateness,
        cron_schedule=LATENESS_CRON,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Compares the latest partitions with the warehouse. Sends nothing.",
    )


def build_event_tags_schedule(name: str, event_tags: dg.AssetSelection, timezone: str) -> dg.ScheduleDefinition:
    """A schedule that looks at the event tags, daily in ``timezone``. It is stopped until you start it."""
    return dg.ScheduleDefinition(
        name=f"{name}_event_tags",
        target=event_tags,
        cron_schedule=EVENT_TAGS_CRON,
        execution_timezone=timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Asks X about the ads account's event tags.",
    )
