"""The second stage: what may be sent of a partition's conversions is sent, and what became of all is written down.

Results and report come from the ledger and the files of the first stage alone: whoever sent the conversions, and
whenever, they are the same, and they can be written without sending.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xcapi_dagster.conversions.schema import REJECTION_REPORT, UPLOAD_RESULTS
from xcapi_dagster.delivery.database import Stamp
from xcapi_dagster.delivery.deliver import Delivery
from xcapi_dagster.delivery.doubt import hold_what_changed
from xcapi_dagster.delivery.keys import Keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.outcomes import outcomes
from xcapi_dagster.delivery.standing import Policy, Standing, Standings, standings
from xcapi_dagster.delivery.view import LedgerView
from xcapi_dagster.errors import LedgerError, XConversionsError
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.parquet import ParquetFile, parquet_file, parquet_writer
from xcapi_dagster.partitions.changes import Changes, drop_aside
from xcapi_dagster.partitions.chunks import chunks, keys_of, versions
from xcapi_dagster.partitions.prepare import Prepared, missing_file
from xcapi_dagster.partitions.progress import Progress
from xcapi_dagster.partitions.stamp import StampBefore, write_stamp
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.reports.rejections import delivery_rejections, validation_rejections, write_csv
from xcapi_dagster.reports.results import counts_of, requests_table, upload_results
from xcapi_dagster.reports.summary import Summary, SummaryTally, order_states

_COLUMNS_OF_RESULTS = ("event_id", "conversion_id", "conversion_time", "order_id", "value", "currency", "fingerprint")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The counts of a partition after a run, what is behind them, and why the run stopped early, if it did.

    ``ledger`` says which ledger knew that, and how far it had come.
    """

    counts: Counts
    summary: Summary
    halted: str | None
    ledger: Stamp


def upload_partition(
    key: str,
    ledger: Ledger,
    delivery: Delivery,
    policy: Policy,
    outputs: Outputs,
    tell: Callable[[str], None] = lambda _progress: None,
    show: Callable[[Summary], None] = lambda _summary: None,
) -> Uploaded:
    """Deliver the partition ``key`` and write its results; ``ledger`` must be entered. LedgerError passes through.

    Raises XConversionsError, before anything is sent, when a file of the first stage is missing.
    Of a partition that takes long, ``tell`` is told now and then how far it is.
    A run that is interrupted writes them too, before it ends, and hands to ``show`` what else it would have returned.
    """
    if missing := missing_file(key, outputs):
        raise XConversionsError(
            f"{missing} is missing, as it is once XCAPI_KEEP_CONVERSIONS_DAYS are over: materialize "
            f"{outputs.name}/conversions of {key} first"
        )
    path = outputs.path("conversions", key)
    try:
        if not delivery.halted:
            hold_what_changed(ledger, key, chunks(path, ledger), policy)
            progress = Progress(key, Prepared.of_file(outputs, key).ready, tell)
            delivery.deliver(key, chunks(path, ledger), progress.add, StampBefore(outputs, ledger))
    except BaseException as error:
        if isinstance(error, LedgerError):
            with suppress(XConversionsError):  # the first error says more
                write_stamp(outputs, ledger.latest_stamp())  # a ledger that has forgotten some of it is found out
        elif not isinstance(error, Exception):  # a signal: what was in flight is settled
            show(write_results(key, ledger, policy, outputs).summary)
        raise
    return write_results(key, ledger, policy, outputs, halted=delivery.halted)


def write_results(key: str, ledger: Ledger, policy: Policy, outputs: Outputs, *, halted: str | None = None) -> Uploaded:
    """Write what became of the partition's orders, as the ledger knows it now; sends nothing."""
    # opened at once: what another run puts in their place meanwhile has other counts
    with parquet_file(outputs.path("invalid", key)) as invalid, parquet_file(outputs.path("conversions", key)) as ready:
        return _write_results(_Files(invalid, ready), key, ledger, policy, outputs, halted)


class _Files(NamedTuple):
    """What the first stage left of a partition."""

    invalid: ParquetFile
    conversions: ParquetFile


def _write_results(
    files: _Files, key: str, ledger: Ledger, policy: Policy, outputs: Outputs, halted: str | None
) -> Uploaded:
    prepared = Prepared.of(files.conversions)
    now = ledger.refresh()
    requests = ledger.requests_of(key)
    outputs.write_table("requests", key, requests_table(requests))
    states, tally = Counter[str](), SummaryTally()
    with (
        outputs.writing("upload_results", key) as results_path,
        outputs.writing("rejection_report", key) as report_path,
    ):
        with (
            parquet_writer(results_path, UPLOAD_RESULTS) as results_file,
            parquet_writer(report_path, REJECTION_REPORT) as report_file,
        ):
            for part in _parts(files, ledger, policy, Changes(key, ledger, outputs), now):
                results_file.write_table(part.results)
                report_file.write_table(part.report)
                states.update(part.states)
                tally.add(part.orders, part.results, part.report, part.about)
        with outputs.writing("rejection_csv", key) as csv_path:
            write_csv([report_path], csv_path)
        summary = tally.summary(
            partition=key,
            identifiers=prepared.identifiers,
            requests=dict(sorted(Counter(request["state"] for request in requests).items())),
            pixel_also_fires=policy.pixel_also_fires,
            scope=ledger.scope,
        )
        outputs.write_text(outputs.path("summary", key), summary.model_dump_json())
    drop_aside(key, outputs)
    stamp = ledger.stamp()
    write_stamp(outputs, stamp)
    counts = Counts(
        read=prepared.read,
        requests=sum(request["run_id"] == ledger.run_id and not request["decided_by"] for request in requests),
        **states,
    )
    return Uploaded(counts, summary, halted, stamp)


class _Part(NamedTuple):
    """A part of the partition's files, and the orders that it is about."""

    results: pa.Table
    report: pa.Table
    about: NDArray[np.int64]  # which order each row of the report is about
    orders: pa.Table  # state, value and currency of each order
    states: Mapping[str, int]


def _parts(files: _Files, ledger: Ledger, policy: Policy, changes: Changes, now: float) -> Iterator[_Part]:
    for group in range(files.invalid.num_row_groups):
        yield _unsent(files.invalid.read_row_group(group), ledger)
    parquet = files.conversions
    for group in range(parquet.num_row_groups):
        conversions = parquet.read_row_group(group, columns=list(_COLUMNS_OF_RESULTS))
        keys = keys_of(ledger, conversions)
        known = standings(ledger.memory, keys, *versions(conversions), policy, now)
        told = outcomes(ledger.memory, keys, known, ledger.run_id)
        told = changes.named(partial(parquet.read_row_group, group), keys, known, told)
        results, report = upload_results(conversions, told), delivery_rejections(conversions, told)
        yield _Part(results, report, np.arange(len(report)), results, counts_of(results, told))


def _unsent(rejections: pa.Table, ledger: Ledger) -> _Part:
    """Orders that are not to be sent as they are now; of one that was sent before, what became of that is told.

    X has what it accepted, so that is changed, and nothing else is said of it; what is in doubt is held besides.
    """
    orders, report = order_states(rejections), validation_rejections(rejections)
    about = rejections["row"].to_numpy()
    results = UPLOAD_RESULTS.empty_table()
    sent, keys, standing = sent_before(orders, ledger)
    if len(sent):
        rows, is_changed = sent["row"].to_numpy(), standing == Standing.CHANGED
        told = outcomes(ledger.memory, keys, Standings(standing, ledger.memory.look_up(keys)), ledger.run_id)
        told.detail[is_changed] = _obstacles(rejections, rows[is_changed])
        results = upload_results(sent, told)
        is_told = np.isin(about, rows[is_changed])
        report = pa.concat_tables([report.filter(pa.array(~is_told)), delivery_rejections(sent, told)])
        about = np.concatenate([about[~is_told], rows])
        states = orders["state"].to_numpy().copy()
        states[np.isin(orders["row"].to_numpy(), rows)] = told.state
        orders = orders.set_column(orders.column_names.index("state"), "state", pa.array(states, pa.string()))
    counted = {each["values"]: each["counts"] for each in orders["state"].value_counts().to_pylist()}
    counted.pop("degraded", None)  # with the others that are ready
    return _Part(results, report, about, orders, counted)


def sent_before(orders: pa.Table, ledger: Ledger | LedgerView) -> tuple[pa.Table, Keys, NDArray[np.uint8]]:
    """Those orders that X has or may have, their keys, and how they stand: without its ids none can have been sent."""
    has_key = pc.and_(orders["event_id"].is_valid(), orders["conversion_id"].is_valid())
    unsent = orders.filter(pc.and_(has_key, pc.is_in(orders["state"], pa.array(["invalid", "suppressed"]))))
    keys = keys_of(ledger, unsent)
    requests = ledger.memory.look_up(keys).requests
    is_accepted = ledger.memory.are(requests, "accepted")
    was_sent = is_accepted | ledger.memory.are(requests, "unknown", "held", "resend")
    standing = np.where(is_accepted, Standing.CHANGED, Standing.HELD).astype(np.uint8)
    return unsent.filter(pa.array(was_sent)), keys[was_sent], standing[was_sent]


def _obstacles(rejections: pa.Table, rows: NDArray[np.int64]) -> list[str]:
    """For each of these rows, in their order, why it would not be sent as it is now."""
    is_severe = pc.not_equal(rejections["severity"], "degraded")
    severe = rejections.filter(pc.and_(is_severe, pc.is_in(rejections["row"], pa.array(rows))))
    codes: dict[int, list[str]] = {}
    for row, code in zip(severe["row"].to_pylist(), severe["reason_code"].to_pylist(), strict=True):
        codes.setdefault(row, []).append(code)
    return [f"as it is now it would not be sent: {', '.join(codes[row])}" for row in rows.tolist()]
