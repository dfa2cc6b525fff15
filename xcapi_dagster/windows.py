"""Dagster's partitions as the two stages know them: keys with their windows, in UTC."""

from collections.abc import Sequence
from datetime import UTC

import dagster as dg

from xcapi_dagster.partitions import Partition


def windows_of(partitions_def: dg.TimeWindowPartitionsDefinition, keys: Sequence[str]) -> list[Partition]:
    """The partitions with these keys, in their order."""
    found = [(key, partitions_def.time_window_for_partition_key(key)) for key in keys]
    return [Partition(key, window.start.astimezone(UTC), window.end.astimezone(UTC)) for key, window in found]
