"""Asset checks that look at the latest partitions between runs: orders that came late, and orders that grow too old."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from xcapi_dagster import checks, resources
from xcapi_dagster.boundary import sanitized
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.watch import ageing, watch
from xcapi_dagster.reports.history import History
from xcapi_dagster.settings import Settings
from xcapi_dagster.windows import windows_of

_LATEST = 14  # partitions that have ended
_WATCHED = timedelta(days=3)  # whose partitions are looked at, however short they are: X deduplicates for two


def build_lateness_checks(
    settings: Settings, partitions_def: dg.TimeWindowPartitionsDefinition
) -> dg.AssetChecksDefinition:
    """The checks `no_late_orders` and `sent_in_time` of the upload results; they read, and send nothing."""
    results = dg.AssetKey([settings.name, "upload_results"])

    @dg.multi_asset_check(
        name=f"{settings.name}_lateness",
        specs=checks.specs_of_lateness(results),
        description="Compares the latest partitions with the warehouse.",
    )
    def lateness() -> Iterator[dg.AssetCheckResult]:
        with sanitized():
            now = datetime.now(UTC)
            partitions = _latest(partitions_def, now)
            warehouse, outputs = resources.warehouse_of(settings), resources.outputs_of(settings)
            summaries = History.of(outputs).of_scope(resources.destination_of(settings).scope)
            synced = [partition for partition in partitions if partition.key in summaries]
            verdicts = [
                checks.no_late_orders(results, watch(synced, warehouse, summaries)),
                checks.sent_in_time(results, ageing(partitions, warehouse, outputs, summaries, now)),
            ]
        yield from verdicts

    return lateness


def _latest(partitions_def: dg.TimeWindowPartitionsDefinition, now: datetime) -> list[Partition]:
    """The latest partitions that have ended, oldest first."""
    keys = partitions_def.get_partition_keys(current_time=now)
    most = _WATCHED // timedelta(hours=1)  # no partitions are shorter
    recent = [partition.end > now - _WATCHED for partition in windows_of(partitions_def, keys[-most:])]
    return windows_of(partitions_def, keys[-max(_LATEST, sum(recent)) :])
