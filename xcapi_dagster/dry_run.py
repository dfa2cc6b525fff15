"""What runs would do: everything but the claim and the POST, for the commands and as a job."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from xcapi_dagster import resources
from xcapi_dagster.boundary import sanitized
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.forecast import Forecast, Terms, forecast, seconds_at
from xcapi_dagster.settings import Settings
from xcapi_dagster.windows import windows_of


def forecasts(
    settings: Settings, partitions: Sequence[Partition], click_window: timedelta | None = None
) -> Iterator[Forecast]:
    """What a run of each partition would do now. Nothing is sent or claimed, and nothing kept."""
    now = datetime.now(UTC)
    warehouse, rules = resources.warehouse_of(settings), resources.rules_of(settings, now)
    of_run = resources.terms_of(settings, is_history=resources.is_history(partitions, now))
    limits = resources.limits_of(settings).shared(of_run.share)
    ledger, forgotten = resources.ledger_view_of(settings), resources.forgotten_of(settings)
    terms = Terms(ledger, forgotten, of_run.policy, now.timestamp(), limits, click_window)
    for partition in partitions:
        yield forecast(partition, warehouse, rules, terms)


def build_dry_run_job(settings: Settings, partitions_def: dg.TimeWindowPartitionsDefinition) -> dg.JobDefinition:
    """The job `<name>_dry_run`, launched for one partition: its numbers are the output's metadata and in the log.

    It materializes nothing, and nothing is sent, claimed or kept.
    """

    @dg.op(name=f"{settings.name}_forecast", description="What a run would do with the partition now.")
    def predict(context: dg.OpExecutionContext) -> dg.Output[None]:
        with sanitized():
            (found,) = forecasts(settings, windows_of(partitions_def, [context.partition_key]))
            seconds = seconds_at(resources.limits_of(settings), found.would_send, found.requests)
            context.log.info("%s: %d conversions in %d requests", found.partition, found.would_send, found.requests)
            counts = {name: value for name, value in found.as_dict().items() if isinstance(value, int)}
            first = dg.MetadataValue.json(found.first_conversion or {})
            return dg.Output(None, metadata=counts | {"seconds": seconds, "first_conversion": first})

    @dg.job(
        name=f"{settings.name}_dry_run",
        partitions_def=partitions_def,
        description="What sending a partition would do: counts, requests, time, the first payload. Sends nothing.",
    )
    def dry_run() -> None:
        predict()

    return dry_run
