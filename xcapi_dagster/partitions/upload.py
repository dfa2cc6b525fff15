"""The second stage: what may be sent of a partition's conversions is sent, and what became of all is written down.

Results and report come from the ledger and the files of the first stage alone: whoever sent the conversions, and
whenever, they are the same, and they can be written without sending.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xcapi_dagster.conversions.payload import Events, to_events
from xcapi_dagster.conversions.schema import REJECTION_REPORT, UPLOAD_RESULTS
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.deliver import Delivery
from xcapi_dagster.delivery.keys import Keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.outcomes import Outcomes, outcomes
from xcapi_dagster.delivery.standing import Policy, standings
from xcapi_dagster.outputs import Outputs, parquet_file, parquet_writer
from xcapi_dagster.partitions.prepare import Prepared
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.reports.rejections import delivery_rejections, validation_rejections, write_csv
from xcapi_dagster.reports.results import counts_of, requests_table, upload_results

_COLUMNS_OF_RESULTS = ("event_id", "conversion_id", "conversion_time", "order_id", "value", "currency", "fingerprint")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The counts of a partition after a run, the reasons behind them, and why the run stopped early, if it did."""

    counts: Counts
    reasons: Counter[tuple[str, str]]  # (severity, reason code) -> rows of the report
    halted: str | None


def upload_partition(key: str, ledger: Ledger, delivery: Delivery, policy: Policy, outputs: Outputs) -> Uploaded:
    """Deliver the partition ``key`` and write its results; ``ledger`` must be entered. LedgerError passes through."""
    if not delivery.halted:
        delivery.deliver(key, _chunks(key, ledger, outputs))
    return write_results(key, ledger, policy, outputs, halted=delivery.halted)


def write_results(key: str, ledger: Ledger, policy: Policy, outputs: Outputs, *, halted: str | None = None) -> Uploaded:
    """Write what became of the partition's orders, as the ledger knows it now; sends nothing."""
    prepared = Prepared.of_file(outputs, key)
    requests = ledger.requests_of(key)
    outputs.write_table("requests", key, requests_table(requests))
    states, reasons = Counter[str](), Counter[tuple[str, str]]()
    with ExitStack() as files:
        results_path = files.enter_context(outputs.writing("upload_results", key))
        report_path = files.enter_context(outputs.writing("rejection_report", key))
        with (
            parquet_writer(results_path, UPLOAD_RESULTS) as results_file,
            parquet_writer(report_path, REJECTION_REPORT) as report_file,
        ):
            for rejections in _invalid(key, outputs):
                _add(reasons, report := validation_rejections(rejections))
                report_file.write_table(report)
            for conversions, known in _known(key, ledger, policy, outputs):
                results = upload_results(conversions, known)
                results_file.write_table(results)
                _add(reasons, report := delivery_rejections(conversions, known))
                report_file.write_table(report)
                states.update(counts_of(results, known))
        with outputs.writing("rejection_csv", key) as csv_path:
            write_csv(report_path, csv_path)
    counts = Counts(
        read=prepared.read,
        invalid=prepared.invalid,
        suppressed=prepared.suppressed,
        duplicate=prepared.duplicate,
        requests=sum(request["run_id"] == ledger.run_id for request in requests),
        **states,
    )
    return Uploaded(counts, reasons, halted)


def _chunks(key: str, ledger: Ledger, outputs: Outputs) -> Iterator[Chunk]:
    """The partition's conversions as delivery takes them."""
    with parquet_file(outputs.path("conversions", key)) as parquet:
        for group in range(parquet.num_row_groups):
            conversions = parquet.read_row_group(group)
            yield Chunk(
                keys=_keys(ledger, conversions),
                fingerprints=conversions["fingerprint"].to_numpy(),
                times=conversions["conversion_time"].cast(pa.int64()).to_numpy(),
                render=_renderer(conversions),
            )


def _renderer(conversions: pa.Table) -> Callable[[NDArray[np.intp]], Events]:
    return lambda positions: to_events(
        conversions if len(positions) == len(conversions) else conversions.take(pa.array(positions))
    )


def _known(key: str, ledger: Ledger, policy: Policy, outputs: Outputs) -> Iterator[tuple[pa.Table, Outcomes]]:
    """The partition's conversions, chunk by chunk, with what the ledger says became of them."""
    now = ledger.refresh()
    with parquet_file(outputs.path("conversions", key)) as parquet:
        for group in range(parquet.num_row_groups):
            conversions = parquet.read_row_group(group, columns=list(_COLUMNS_OF_RESULTS))
            keys = _keys(ledger, conversions)
            times = conversions["conversion_time"].cast(pa.int64()).to_numpy()
            fingerprints = conversions["fingerprint"].to_numpy()
            standing = standings(ledger.memory, keys, fingerprints, times, policy, now)
            yield conversions, outcomes(ledger.memory, keys, standing, ledger.run_id)


def _invalid(key: str, outputs: Outputs) -> Iterator[pa.Table]:
    with parquet_file(outputs.path("invalid", key)) as parquet:
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group)


def _keys(ledger: Ledger, conversions: pa.Table) -> Keys:
    return ledger.keys(conversions["event_id"].to_pylist(), conversions["conversion_id"].to_pylist())


def _add(reasons: Counter[tuple[str, str]], report: pa.Table) -> None:
    counted = report.group_by(["severity", "reason_code"]).aggregate([([], "count_all")])
    for row in counted.to_pylist():
        reasons[row["severity"], row["reason_code"]] += row["count_all"]
