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
from xcapi_dagster.partitions.chunks import row_groups
from xcapi_dagster.reports.history import History


class Lost(NamedTuple):
    """The orders of a partition that carried a reason and that X had not accepted, but for those it must not have.

    ``nameless`` says how many there are besides that have no id. Where there are some, ``accepted`` says which orders X
    had then.
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
    carrying = _ids(outputs, "rejection_report", partition, "reason_code", (code,))
    orders = frozenset(filter(None, carrying))
    orders -= _accepted(code, partition, outputs, among=orders)
    if REASONS[code].severity == "suppressed":
        return Lost(code, partition, orders, 0, frozenset())
    withheld = frozenset(_ids(outputs, "rejection_report", partition, "severity", ("suppressed",), among=orders))
    nameless = min(carrying.count(None), most)
    accepted = _accepted(code, partition, outputs) if nameless else frozenset()
    return Lost(code, partition, orders - withheld, nameless, accepted)


def _accepted(code: str, partition: str, outputs: Outputs, among: frozenset[str] | None = None) -> frozenset[str]:
    """The orders of the partition that X has accepted, by its files, and of which it refused no event for ``code``.

    Of millions, those ``among`` some alone: all would be in memory as long as the repair takes.
    """
    accepted = _ids(outputs, "upload_results", partition, "state", ("accepted", "changed"), among)
    is_xs = REASONS[code].stage == "api"
    refused = _ids(outputs, "upload_results", partition, "reason_code", (code,), among) if is_xs else []
    return frozenset(filter(None, accepted)) - frozenset(refused)


def reopen(code: str, lost: Iterable[Lost], ledger: Ledger, outputs: Outputs, *, by: str, why: str) -> int:
    """Let what X refused for ``code`` be sent again, by somebody's word; returns how many conversions.

    What X accepted, and what is in doubt, stays as it is, and so does what results that are not kept any more tell of.
    What an operator wanted sent once more before it was refused is to be sent once more, and as old as it was.
    """
    reopened = 0
    for each in lost:
        columns = ["conversion_id", "event_id", "state", "reason_code"]
        with suppress(FileNotFoundError):
            for results in row_groups(outputs.path("upload_results", each.partition), columns):
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
    return {each.partition: _recovered(each, outputs) for each in lost}


def _recovered(lost: Lost, outputs: Outputs) -> int:
    accepted = _accepted(lost.code, lost.partition, outputs, among=None if lost.nameless else lost.orders)
    return len(lost.orders & accepted) + min(lost.nameless, len(accepted - lost.orders - lost.accepted))


def _ids(
    outputs: Outputs,
    kind: FileKind,
    partition: str,
    column: str,
    values: tuple[str, ...],
    among: frozenset[str] | None = None,
) -> list[str | None]:
    """The order ids of the rows of a file whose ``column`` is one of ``values``; none where there is no such file.

    Only those ``among`` some, if these are given.
    """
    found: list[str | None] = []
    wanted = None if among is None else pa.array(list(among), pa.string())
    with suppress(FileNotFoundError):
        for rows in row_groups(outputs.path(kind, partition), ["order_id", column]):
            ids = rows["order_id"].filter(pc.is_in(rows[column], pa.array(values)))
            found += (ids if wanted is None else ids.filter(pc.is_in(ids, wanted))).to_pylist()
    return found
