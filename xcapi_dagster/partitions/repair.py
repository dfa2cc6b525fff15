"""Orders that were lost for one reason, and what X had refused of them opened again, for a sync after the mend."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.delivery.keys import Entries
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.outputs import FileKind, Outputs
from xcapi_dagster.parquet import parquet_file
from xcapi_dagster.reports.history import History


class Lost(NamedTuple):
    """The orders of a partition that carried a reason and that X had not accepted, but for those it must not have.

    ``nameless`` says how many there are besides that have no id, ``accepted`` which orders X had then.
    """

    code: str
    partition: str
    orders: frozenset[str]
    nameless: int
    accepted: frozenset[str]

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.orders) + self.nameless


def lost_for(code: str, partitions: Iterable[str], outputs: Outputs) -> list[Lost]:
    """The partitions, of these, in which orders were lost for the reason ``code``; only their reports are read."""
    wanted = set(partitions)
    carrying = {
        summary.partition: reason.worth.orders
        for summary in History.of(outputs).all
        for reason in summary.reasons
        if summary.partition in wanted and reason.code == code
    }
    found = [_lost(code, key, orders, outputs) for key, orders in carrying.items()]
    return [lost for lost in found if lost.total]


def _lost(code: str, partition: str, most: int, outputs: Outputs) -> Lost:
    """What was lost of the partition, in which so many orders at most carry the reason and may be sent."""
    accepted = _accepted(code, partition, outputs)
    carrying = _ids(outputs, "rejection_report", partition, "reason_code", (code,))
    orders = frozenset(filter(None, carrying)) - accepted
    if REASONS[code].severity == "suppressed":
        return Lost(code, partition, orders, 0, accepted)
    withheld = frozenset(_ids(outputs, "rejection_report", partition, "severity", ("suppressed",)))
    return Lost(code, partition, orders - withheld, min(carrying.count(None), most), accepted)


def _accepted(code: str, partition: str, outputs: Outputs) -> frozenset[str]:
    """The orders of the partition that X has accepted, by its files, and of which it refused no event for ``code``."""
    accepted = _ids(outputs, "upload_results", partition, "state", ("accepted", "changed"))
    is_xs = REASONS[code].stage == "api"
    refused = _ids(outputs, "upload_results", partition, "reason_code", (code,)) if is_xs else []
    return frozenset(filter(None, accepted)) - frozenset(refused)


def reopen(code: str, lost: Iterable[Lost], ledger: Ledger, outputs: Outputs, *, by: str, why: str) -> int:
    """Let what X refused for ``code`` be sent again, by somebody's word; returns how many conversions.

    What X accepted, and what is in doubt, stays as it is, and so does what results that are not kept any more tell of.
    What an operator wanted sent once more before it was refused is to be sent once more, and as old as it was.
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
    is_released = ledger.memory.are(known.requests, "resend")
    entries = Entries(keys, np.zeros(len(keys), np.uint64), known.heard)
    reopened = ledger.overrule(entries.where(is_rejected & ~is_released), "lost", by=by, why=why)
    return reopened + ledger.overrule(entries.where(is_rejected & is_released), "resend", by=by, why=why)


def recovered(lost: Iterable[Lost], outputs: Outputs) -> Mapping[str, int]:
    """How many of the orders that were lost X has accepted by now, by partition.

    Of those that had no id it is as many as X has accepted besides, since nothing tells which they were.
    """
    return {each.partition: _recovered(each, _accepted(each.code, each.partition, outputs)) for each in lost}


def _recovered(lost: Lost, accepted: frozenset[str]) -> int:
    return len(lost.orders & accepted) + min(lost.nameless, len(accepted - lost.orders - lost.accepted))


def _ids(outputs: Outputs, kind: FileKind, partition: str, column: str, values: tuple[str, ...]) -> list[str | None]:
    """The order ids of the rows of a file whose ``column`` is one of ``values``; none where there is no such file."""
    with suppress(FileNotFoundError), parquet_file(outputs.path(kind, partition)) as parquet:
        rows = parquet.read(columns=["order_id", column])
        ids: list[str | None] = rows["order_id"].filter(pc.is_in(rows[column], pa.array(values))).to_pylist()
        return ids
    return []
