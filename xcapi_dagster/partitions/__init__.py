"""The two stages of a partition, without Dagster: orders to conversions, conversions to results and report.

The stages pass data by path and hold no more than a few chunks in memory.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition's key and its window: orders from ``start`` until before ``end``, both aware, in UTC."""

    key: str
    start: datetime
    end: datetime
