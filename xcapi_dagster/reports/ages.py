"""How old orders were when they were sent, from the files that say what became of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xcapi_dagster.contract import short_event_id
from xcapi_dagster.conversions.times import MILLISECONDS
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.parquet import parquet_file

_COLUMNS = ("event_id", "conversion_time", "first_sent_at", "state")
_SENT_OR_WAITING = pa.array(["accepted", "pending", "unknown", "held"])


def oldest_when_sent(outputs: Outputs, now: datetime, *, beyond: timedelta) -> Mapping[str, timedelta]:
    """By event, the greatest age of an order when it was first sent, or now when it waits; only ages above ``beyond``.

    The files of the results are the source: they say for every order of every partition when it was and when it was
    sent, do not expire, and are there for a backfill as for a daily sync. Of most only the footer is read.
    """
    oldest: dict[str, timedelta] = defaultdict(timedelta)
    for path in outputs.path("upload_results", "any").parent.glob("*.parquet"):
        if path.name.startswith(".") or path.name.endswith(".requests.parquet"):
            continue
        with parquet_file(path) as parquet:
            for group in _groups_with_older(parquet, now, beyond):
                for event_id, age in _ages(parquet.read_row_group(group, columns=list(_COLUMNS)), now):
                    oldest[short_event_id(event_id)] = max(oldest[short_event_id(event_id)], age)
    return {event_id: age for event_id, age in oldest.items() if age > beyond}


def _groups_with_older(parquet: pq.ParquetFile, now: datetime, beyond: timedelta) -> Iterator[int]:
    """The row groups that may hold an age above ``beyond``, as far as their statistics tell."""
    ordered, sent = (parquet.schema_arrow.names.index(name) for name in ("conversion_time", "first_sent_at"))
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        earliest, latest = group.column(ordered).statistics, group.column(sent).statistics
        if earliest is None or not earliest.has_min_max:
            yield number
            continue
        all_were_sent = latest is not None and latest.has_min_max and latest.null_count == 0
        if (latest.max if all_were_sent else now) - earliest.min > beyond:
            yield number


def _ages(results: pa.Table, now: datetime) -> Iterator[tuple[str, timedelta]]:
    """The greatest age of each event in ``results``."""
    results = results.filter(pc.is_in(results["state"], _SENT_OR_WAITING))
    sent = pc.fill_null(results["first_sent_at"], pa.scalar(now, MILLISECONDS))
    ages = pc.subtract(sent, results["conversion_time"]).cast(pa.int64())
    greatest = pa.table({"event_id": results["event_id"], "age": ages}).group_by("event_id").aggregate([("age", "max")])
    for row in greatest.to_pylist():
        if row["age_max"] is not None:
            yield row["event_id"], timedelta(milliseconds=row["age_max"])
