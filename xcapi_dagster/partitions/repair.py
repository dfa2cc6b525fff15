"""Orders that were lost for one reason, and what X had refused of them opened again, for a sync after the mend."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.delivery.keys import Entries
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.outputs import FileKind, Outputs
from xcapi_dagster.parquet import parquet_file
from xcapi_dagster.reports.history import History


class Lost(NamedTuple):
    """The orders of a partition that carried a reason and that X had not accepted."""

    partition: str
    orders: frozenset[str]


def lost_for(code: str, partitions: Iterable[str], outputs: Outputs) -> list[Lost]:
    """The partitions, of these, in which orders were lost for the reason ``code``; only their reports are read."""
    wanted = set(partitions)
    carrying = [
        summary.partition
        for summary in History.of(outputs).all
        if summary.partition in wanted and any(reason.code == code for reason in summary.reasons)
    ]
    found = [Lost(key, _orders_with(code, key, outputs) - accepted(key, outputs)) for key in carrying]
    return [lost for lost in found if lost.orders]


def accepted(partition: str, outputs: Outputs) -> frozenset[str]:
    """The orders of the partition that X has accepted, by its files."""
    return _ids(outputs, "upload_results", partition, "state", ("accepted", "changed"))


def reopen(code: str, lost: Iterable[Lost], ledger: Ledger, outputs: Outputs, *, by: str, why: str) -> int:
    """Let what X refused for ``code`` be sent again, by somebody's word; returns how many conversions.

    What X accepted, and what is in doubt, stays as it is, and so does what results that are not kept any more tell of.
    """
    reopened = 0
    for each in lost:
        with suppress(FileNotFoundError), parquet_file(outputs.path("upload_results", each.partition)) as parquet:
            results = parquet.read(columns=["conversion_id", "event_id", "state", "reason_code"])
            is_refused = pc.and_(pc.equal(results["state"], "rejected"), pc.equal(results["reason_code"], code))
            reopened += _reopen(results.filter(is_refused), ledger, by=by, why=why)
    return reopened


def _reopen(refused: pa.Table, ledger: Ledger, *, by: str, why: str) -> int:
    keys = ledger.keys(refused["event_id"], refused["conversion_id"])
    known = ledger.memory.look_up(keys)
    is_rejected = np.zeros(len(keys), np.bool_)
    is_rejected[[position for position, ruling in known.verdicts.items() if ruling.state == "rejected"]] = True
    is_rejected &= ~ledger.memory.are(known.requests, "unknown", "held", "in_flight")
    entries = Entries(keys, np.zeros(len(keys), np.uint64), known.heard).where(is_rejected)
    return ledger.overrule(entries, "lost", by=by, why=why)


def recovered(lost: Iterable[Lost], outputs: Outputs) -> Mapping[str, int]:
    """How many of the orders that were lost X has accepted by now, by partition."""
    return {each.partition: len(each.orders & accepted(each.partition, outputs)) for each in lost}


def _orders_with(code: str, partition: str, outputs: Outputs) -> frozenset[str]:
    return _ids(outputs, "rejection_report", partition, "reason_code", (code,))


def _ids(outputs: Outputs, kind: FileKind, partition: str, column: str, values: tuple[str, ...]) -> frozenset[str]:
    """The order ids of the rows of a file whose ``column`` is one of ``values``."""
    with suppress(FileNotFoundError), parquet_file(outputs.path(kind, partition)) as parquet:
        rows = parquet.read(columns=["order_id", column])
        is_one = pc.is_in(rows[column], pa.array(values))
        return frozenset(rows["order_id"].filter(is_one).drop_null().to_pylist())
    return frozenset()
