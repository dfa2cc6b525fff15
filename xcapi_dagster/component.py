"""`XConversionsComponent`: one pixel's assets and schedules, from a `defs.yaml`."""

import os
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from xcapi_dagster.assets import build_x_conversions_assets
from xcapi_dagster.dry_run import build_dry_run_job
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.lateness import build_lateness_checks
from xcapi_dagster.schedules import (
    CRON,
    HOURLY_CRON,
    LOOK_BACK,
    build_daily_schedule,
    build_event_tags_schedule,
    build_lateness_schedule,
)
from xcapi_dagster.settings import Settings, from_environment

_PARTITIONS: Mapping[str, Callable[..., dg.TimeWindowPartitionsDefinition]] = {
    "hourly": dg.HourlyPartitionsDefinition,
    "daily": dg.DailyPartitionsDefinition,
    "weekly": dg.WeeklyPartitionsDefinition,
    "monthly": dg.MonthlyPartitionsDefinition,
}
_LAST_DAY = 28  # of the month, that all months have


class EventTagModel(dg.Model, dg.Resolvable):
    """A web event tag that should exist; X's API needs all of its values."""

    name: str
    type: str = Field(description="What it counts, such as PURCHASE.")
    click_window: int = Field(description="Days after a click: 1, 7, 14 or 30.")
    view_through_window: int = Field(description="Days after a view: 0, 1, 7, 14 or 30, at most the click window.")
    retargeting_enabled: bool
    id: str | None = Field(default=None, description="One of its two ids, once it exists; without it the name decides.")


class XConversionsComponent(dg.Component, dg.Model, dg.Resolvable):
    """Deliver purchases from a warehouse to one pixel of the X Ads Conversion API, day by day.

    What is not given here is read from the environment; credentials always are. Ids are safest there too: a template
    turns `12345` into a number and `1e5` into a float.
    """

    name: str = Field(default="purchases", description="First part of the assets' keys.")
    prefix: str | None = Field(
        default=None, description="EU: the variable EU_X_ADS_PIXEL_TOKEN goes before X_ADS_PIXEL_TOKEN, and so on."
    )
    partitions: Literal["hourly", "daily", "weekly", "monthly"] = "daily"
    partitions_per_run: int = Field(default=30, ge=1, description="How many partitions of a backfill share a run.")
    cron: str | None = Field(
        default=None,
        description="When the schedule runs, in the partitions' time zone: by default daily at 02:00, "
        "and with hourly partitions at half past each hour.",
    )
    look_back: int = Field(default=LOOK_BACK, ge=1, description="How many partitions the schedule looks at each time.")
    warehouse_url: str | None = Field(default=None, repr=False, description="XCAPI_WAREHOUSE_URL")
    orders: str | None = Field(default=None, description="XCAPI_ORDERS: a table, or a path ending in .sql")
    ledger_url: str | None = Field(default=None, repr=False, description="XCAPI_LEDGER_URL")
    output_url: str | None = Field(default=None, repr=False, description="XCAPI_OUTPUT_URL")
    reports_url: str | None = Field(default=None, description="XCAPI_REPORTS_URL: where the output folder is served")
    start_date: str | None = Field(default=None, description="XCAPI_START_DATE: the first partition")
    timezone: str | None = Field(default=None, description="XCAPI_TIMEZONE: of the partitions")
    source_timezone: str | None = Field(default=None, description="XCAPI_SOURCE_TIMEZONE: of timestamps without a zone")
    default_country: str | None = Field(default=None, description="XCAPI_DEFAULT_COUNTRY")
    default_currency: str | None = Field(default=None, description="XCAPI_DEFAULT_CURRENCY")
    pixel_also_fires: bool | None = Field(default=None, description="XCAPI_PIXEL_ALSO_FIRES")
    on_unknown: Literal["resend", "hold"] | None = Field(default=None, description="XCAPI_ON_UNKNOWN")
    unknown_consent: Literal["suppress", "send"] | None = Field(default=None, description="XCAPI_UNKNOWN_CONSENT")
    allow_ip_user_agent_only: bool | None = Field(default=None, description="XCAPI_ALLOW_IP_USER_AGENT_ONLY")
    send_event_source_url: bool | None = Field(default=None, description="XCAPI_SEND_EVENT_SOURCE_URL")
    keep_conversions_days: int | None = Field(default=None, description="XCAPI_KEEP_CONVERSIONS_DAYS")
    keep_reports_days: int | None = Field(default=None, description="XCAPI_KEEP_REPORTS_DAYS")
    keep_details_days: int | None = Field(default=None, description="XCAPI_KEEP_DETAILS_DAYS")
    events_per_15_min: int | None = Field(default=None, description="XCAPI_EVENTS_PER_15_MIN")
    requests_per_min: int | None = Field(default=None, description="XCAPI_REQUESTS_PER_MIN")
    senders: int | None = Field(default=None, description="XCAPI_SENDERS: the most requests at once")
    api_url: str | None = Field(default=None, description="X_ADS_API_URL")
    api_version: str | None = Field(default=None, description="X_ADS_API_VERSION")
    account_id: str | None = Field(default=None, description="X_ADS_ACCOUNT_ID")
    pixel_id: str | None = Field(default=None, description="X_ADS_PIXEL_ID")
    event_id: str | None = Field(default=None, description="X_ADS_EVENT_ID: of orders without an event_id of their own")
    event_tags: list[EventTagModel] = Field(
        default_factory=list, description="Event tags that should exist: `xcapi tags plan` shows what differs."
    )

    def settings(self) -> Settings:
        """The settings of this instance: the values given here, else the environment's. Raises ConfigurationError."""
        given: dict[str, Any] = {
            field: getattr(self, field) for field in type(self).model_fields if field in Settings.model_fields
        }
        return from_environment(os.environ, prefix=self.prefix, **given)

    def _partitions_def(self, start: date, timezone: str) -> dg.TimeWindowPartitionsDefinition:
        """Partitions of which the first begins on ``start``. Raises ConfigurationError where not all months have it.

        Dagster's own weeks and months would begin with the next Sunday or first, and have no order before that.
        """
        if self.partitions == "monthly" and start.day > _LAST_DAY:
            raise ConfigurationError(f"XCAPI_START_DATE must be at most the {_LAST_DAY}th where partitions are monthly")
        offsets = {"weekly": {"day_offset": start.isoweekday() % 7}, "monthly": {"day_offset": start.day}}
        first = datetime.combine(start, time.min)
        return _PARTITIONS[self.partitions](start_date=first, timezone=timezone, **offsets.get(self.partitions, {}))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """The instance's assets, checks, schedules and dry run."""
        settings = self.settings()
        partitions_def = self._partitions_def(settings.start_date, settings.timezone)
        assets = build_x_conversions_assets(
            settings,
            partitions_def,
            partitions_per_run=self.partitions_per_run,
            event_tags=[tag.model_dump() for tag in self.event_tags],
        )
        defined = [asset for asset in assets if isinstance(asset, dg.AssetsDefinition)]
        lateness = build_lateness_checks(settings, partitions_def)
        daily = dg.AssetSelection.assets(*[asset for asset in defined if asset.partitions_def])
        event_tags = dg.AssetSelection.assets(*[asset for asset in defined if not asset.partitions_def])
        cron = self.cron or (HOURLY_CRON if self.partitions == "hourly" else CRON)
        schedules = [
            build_daily_schedule(self.name, daily, partitions_def, cron=cron, look_back=self.look_back),
            build_event_tags_schedule(self.name, event_tags, settings.timezone),
            build_lateness_schedule(self.name, dg.AssetSelection.checks(lateness)),
        ]
        jobs = [build_dry_run_job(settings, partitions_def)]
        return dg.Definitions(assets=assets, asset_checks=[lateness], schedules=schedules, jobs=jobs)
