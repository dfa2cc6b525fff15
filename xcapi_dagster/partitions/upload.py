"""The second stage: what may be sent of a partition's conversions is sent, and what became of all is written down.

Results and report come from the ledger and the files of the first stage alone: whoever sent the conversions, and
whenever, they are the same, and they can be written without sending.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from upath import UPath

from xcapi_dagster.conversions.payload import Events, to_events
from xcapi_dagster.conversions.schema import REJECTION_REPORT, UPLOAD_RESULTS
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.database import Stamp
from xcapi_dagster.delivery.deliver import Delivery
from xcapi_dagster.delivery.doubt import hold_what_changed
from xcapi_dagster.delivery.keys import Keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.outcomes import outcomes
from xcapi_dagster.delivery.standing import Policy, Standing, Standings, standings
from xcapi_dagster.outputs import Outputs, parquet_file, parquet_writer
from xcapi_dagster.partitions.prepare import Prepared, rows_by_state
from xcapi_dagster.partitions.stamp import write_stamp
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.reports.rejections import delivery_rejections, validation_rejections, write_csv
from xcapi_dagster.reports.results import counts_of, requests_table, upload_results

_COLUMNS_OF_RESULTS = ("event_id", "conversion_id", "conversion_time", "order_id", "value", "currency", "fingerprint")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The counts of a partition after a run, the reasons behind them, and why the run stopped early, if it did.

    ``ledger`` says which ledger knew that, and how far it had come.
    """

    counts: Counts
    reasons: Counter[tuple[str, str]]  # (severity, reason code) -> rows of the report
    halted: str | None
    ledger: Stamp


def upload_partition(key: str, ledger: Ledger, delivery: Delivery, policy: Policy, outputs: Outputs) -> Uploaded:
    """Deliver the partition ``key`` and write its results; ``ledger`` must be entered. LedgerError passes through.

    A run that is interrupted writes them too, before it ends.
    """
    try:
        if not delivery.halted:
            hold_what_changed(ledger, key, _chunks(key, ledger, outputs), policy)
            delivery.deliver(key, _chunks(key, ledger, outputs))
    except Exception:
        raise
    except BaseException:  # a signal: what was in flight is settled
        write_results(key, ledger, policy, outputs)
        raise
    return write_results(key, ledger, policy, outputs, halted=delivery.halted)


def write_results(key: str, ledger: Ledger, policy: Policy, outputs: Outputs, *, halted: str | None = None) -> Uploaded:
    """Write what became of the partition's orders, as the ledger knows it now; sends nothing."""
    prepared = Prepared.of_file(outputs, key)
    now = ledger.refresh()
    requests = ledger.requests_of(key)
    outputs.write_table("requests", key, requests_table(requests))
    states, reasons = Counter[str](), Counter[tuple[str, str]]()
    with (
        outputs.writing("upload_results", key) as results_path,
        outputs.writing("rejection_report", key) as report_path,
    ):
        with (
            parquet_writer(results_path, UPLOAD_RESULTS) as results_file,
            parquet_writer(report_path, REJECTION_REPORT) as report_file,
        ):
            for part in _parts(key, ledger, policy, outputs, now):
                results_file.write_table(part.results)
                report_file.write_table(part.report)
                states.update(part.states)
                _add(reasons, part.report)
        with outputs.writing("rejection_csv", key) as csv_path:
            write_csv(report_path, csv_path)
    stamp = ledger.stamp()
    write_stamp(outputs, stamp)
    counts = Counts(
        read=prepared.read,
        requests=sum(request["run_id"] == ledger.run_id and not request["decided_by"] for request in requests),
        **states,
    )
    return Uploaded(counts, reasons, halted, stamp)


class _Part(NamedTuple):
    """A part of the partition's files, and how many of its orders are in each state."""

    results: pa.Table
    report: pa.Table
    states: Mapping[str, int]


def _parts(key: str, ledger: Ledger, policy: Policy, outputs: Outputs, now: float) -> Iterator[_Part]:
    for rejections in _row_groups(outputs.path("invalid", key)):
        yield _unsent(rejections, ledger)
    for conversions in _row_groups(outputs.path("conversions", key), columns=list(_COLUMNS_OF_RESULTS)):
        keys = _keys(ledger, conversions)
        known = standings(ledger.memory, keys, *_versions(conversions), policy, now)
        told = outcomes(ledger.memory, keys, known, ledger.run_id)
        results = upload_results(conversions, told)
        yield _Part(results, delivery_rejections(conversions, told), counts_of(results, told))


def _unsent(rejections: pa.Table, ledger: Ledger) -> _Part:
    """Orders that were not to be sent this time; one that was sent before, and is in doubt, is held all the same."""
    rows = rows_by_state(rejections)
    states = {state: len(of_state) for state, of_state in rows.items()}
    orders = _one_of_each(rejections, np.concatenate([rows["invalid"], rows["suppressed"]]))
    keys = _keys(ledger, orders)
    known = ledger.memory.look_up(keys)
    in_doubt = ledger.memory.are_in_doubt(known.requests)
    report = validation_rejections(rejections)
    if not in_doubt.any():
        return _Part(UPLOAD_RESULTS.empty_table(), report, states)
    orders, keys = orders.filter(pa.array(in_doubt)), keys[in_doubt]
    held = Standings(np.full(len(keys), Standing.HELD, np.uint8), ledger.memory.look_up(keys))
    told = outcomes(ledger.memory, keys, held, ledger.run_id)
    for state in ("invalid", "suppressed"):
        states[state] -= int(np.isin(orders["row"].to_numpy(), rows[state]).sum())
    states["held"] = len(keys)
    return _Part(upload_results(orders, told), pa.concat_tables([report, delivery_rejections(orders, told)]), states)


def _one_of_each(rejections: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """One rejection of each order at ``rows`` that has a key: without its ids none can have been sent."""
    _, first = np.unique(rejections["row"].to_numpy(), return_index=True)
    orders = rejections.take(pa.array(first))
    has_key = pc.and_(orders["event_id"].is_valid(), orders["conversion_id"].is_valid())
    return orders.filter(pc.and_(has_key, pc.is_in(orders["row"], pa.array(rows))))


def _chunks(key: str, ledger: Ledger, outputs: Outputs) -> Iterator[Chunk]:
    """The partition's conversions as delivery takes them."""
    for conversions in _row_groups(outputs.path("conversions", key)):
        fingerprints, times = _versions(conversions)
        yield Chunk(
            keys=_keys(ledger, conversions), fingerprints=fingerprints, times=times, render=_renderer(conversions)
        )


def _renderer(conversions: pa.Table) -> Callable[[NDArray[np.intp]], Events]:
    return lambda positions: to_events(
        conversions if len(positions) == len(conversions) else conversions.take(pa.array(positions))
    )


def _row_groups(path: UPath, columns: list[str] | None = None) -> Iterator[pa.Table]:
    with parquet_file(path) as parquet:
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns)


def _versions(conversions: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Fingerprints and times, in milliseconds since 1970."""
    return conversions["fingerprint"].to_numpy(), conversions["conversion_time"].cast(pa.int64()).to_numpy()


def _keys(ledger: Ledger, conversions: pa.Table) -> Keys:
    return ledger.keys(conversions["event_id"].to_pylist(), conversions["conversion_id"].to_pylist())


def _add(reasons: Counter[tuple[str, str]], report: pa.Table) -> None:
    counted = report.group_by(["severity", "reason_code"]).aggregate([([], "count_all")])
    for row in counted.to_pylist():
        reasons[row["severity"], row["reason_code"]] += row["count_all"]
