"""One order removed from the files of all partitions, so that only numbers remember it.

What counts orders keeps counting it: in the files of the first stage it is one that was not to be sent. The numbers of
a report stay as they were until its partition is synced again.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from xcapi_dagster.delivery.forgotten import Forgotten, leave_tombstone
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.outputs import FileKind, Outputs, is_there
from xcapi_dagster.parquet import parquet_file, parquet_writer
from xcapi_dagster.partitions.chunks import row_groups
from xcapi_dagster.partitions.prepare import PREPARED_FILES, forget_prepared, missing_file
from xcapi_dagster.partitions.search import rows_of
from xcapi_dagster.reports.history import History
from xcapi_dagster.reports.pages import write_page
from xcapi_dagster.reports.rejections import write_csv

_READERS = 8
_OTHERS: tuple[FileKind, ...] = ("superseded", "upload_results", "rejection_report")


@dataclass(frozen=True, slots=True)
class Traces:
    """What the files of one partition hold about an order: rows by the kind of file."""

    partition: str
    rows: dict[FileKind, list[dict[str, Any]]]

    @property
    def count(self) -> int:
        """All rows."""
        return sum(map(len, self.rows.values()))

    @property
    def conversions(self) -> set[tuple[str, str]]:
        """Event and conversion id of whatever the order was or would be sent as."""
        ids = {(row.get("event_id"), row.get("conversion_id")) for rows in self.rows.values() for row in rows}
        return {(event_id, conversion_id) for event_id, conversion_id in ids if event_id and conversion_id}

    @property
    def is_accepted(self) -> bool:
        """Whether X has it, by the results."""
        return any(row["state"] in ("accepted", "changed") for row in self.rows.get("upload_results", []))


def traces_of(order_id: str, outputs: Outputs) -> list[Traces]:
    """The partitions whose files hold something about the order."""
    kinds = (*PREPARED_FILES, *_OTHERS)
    partitions = sorted({key for kind in kinds for key in outputs.partitions(kind)})

    def traces(partition: str) -> Traces:
        rows = {kind: rows_of(outputs, kind, partition, order_id) for kind in kinds}
        return Traces(partition, {kind: found for kind, found in rows.items() if found})

    with ThreadPoolExecutor(_READERS) as pool:
        return [each for each in pool.map(traces, partitions) if each.rows]


def forget(order_id: str, event_id: str, ledger: Ledger, outputs: Outputs, *, by: str) -> None:
    """Leave a tombstone of the order, which is or was sent as ``event_id`` unless files say otherwise, and erase it.

    What a run writes meanwhile either is there when this looks for it, after the tombstone is left, or is looked
    through for new tombstones by that run, when it is there.
    """
    conversions = {pair for each in traces_of(order_id, outputs) for pair in each.conversions}
    leave_tombstone(ledger, order_id, conversions | {(event_id, order_id)}, by=by)
    _erase(order_id, traces_of(order_id, outputs), Forgotten.known_to(ledger), outputs)


def _erase(order_id: str, found: list[Traces], forgotten: Forgotten, outputs: Outputs) -> None:
    """Write the files that hold something about the order anew without it; ``forgotten`` must know the order."""
    history = History.of(outputs)
    for each in found:
        kinds = set(each.rows)
        if kinds & set(PREPARED_FILES) and not missing_file(each.partition, outputs):
            forget_prepared(each.partition, forgotten, outputs)
            kinds -= set(PREPARED_FILES)
        for kind in kinds:
            _write_without(order_id, kind, each.partition, outputs)
        if is_there(outputs.path("rejection_report", each.partition)):  # whose page may be of an earlier one
            _write_report_anew(each.partition, history, outputs)


def _write_without(order_id: str, kind: FileKind, partition: str, outputs: Outputs) -> None:
    source = outputs.path(kind, partition)
    with parquet_file(source) as parquet:
        schema = parquet.schema_arrow
    with outputs.writing(kind, partition) as path, parquet_writer(path, schema) as file:
        for rows in row_groups(source):
            is_other = pc.fill_null(pc.not_equal(rows["order_id"], order_id), True)
            file.write_table(rows.filter(is_other))


def _write_report_anew(partition: str, history: History, outputs: Outputs) -> None:
    """The CSV and the page of a report; without a summary to build it from, the page goes."""
    with outputs.writing("rejection_csv", partition) as path:
        write_csv([outputs.path("rejection_report", partition)], path)
    summary = next((summary for summary in history.all if summary.partition == partition), None)
    if summary:
        write_page(summary, history, outputs)
    else:
        outputs.path("rejection_page", partition).unlink(missing_ok=True)
