"""What a run would do with a partition: everything but the claim and the POST, and nothing of it is kept."""

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from upath import UPath

from xcapi_dagster.contract import DEDUPLICATION_HOURS
from xcapi_dagster.conversions.prepare import Rules
from xcapi_dagster.delivery.batch import Chunk, portions
from xcapi_dagster.delivery.forgotten import Forgotten
from xcapi_dagster.delivery.standing import SENDABLE, Policy, Standing, standings
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.delivery.view import LedgerView
from xcapi_dagster.outputs import ABANDONED_AFTER, Outputs
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.chunks import chunks, row_groups
from xcapi_dagster.partitions.prepare import prepare_partition
from xcapi_dagster.partitions.upload import sent_before
from xcapi_dagster.reports.summary import order_states
from xcapi_dagster.warehouse import Warehouse

_PREFIX = "xcapi-forecast-"
_SEVERITIES = {"invalid": "rejected", "suppressed": "suppressed"}  # of what keeps orders in this state from being sent

_COUNTS = {
    Standing.ACCEPTED: "already_accepted",
    Standing.CHANGED: "changed",
    Standing.UNKNOWN: "unknown",
    Standing.HELD: "held",
    Standing.REJECTED: "rejected",
    Standing.ELSEWHERE: "pending",
    Standing.TOO_LATE: "too_late",
    Standing.FORGOTTEN: "suppressed",
    **dict.fromkeys(SENDABLE, "would_send"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What would become of a partition's orders now; each is in exactly one count.

    ``reasons`` says by code of how many why they are not to be sent as they are. ``requests`` are those for
    ``would_send`` if X refuses none. Of these conversions, ``past_deduplication`` are so old that X would not see that
    the pixel told of them too, and ``past_click_window`` older than the event tag's click window, None where that is
    not known. ``first_conversion`` is the first that would be sent, but "…" for each identifier, None when none would.
    """

    partition: str
    read: int = 0
    invalid: int = 0
    suppressed: int = 0
    duplicate: int = 0
    already_accepted: int = 0
    would_send: int = 0
    rejected: int = 0
    unknown: int = 0
    held: int = 0
    too_late: int = 0
    changed: int = 0
    pending: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    past_deduplication: int = 0
    past_click_window: int | None = None
    first_conversion: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything by name, in this order."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides beside the orders: what the ledger knows, the policy, the time in seconds since 1970, the window.

    ``forgotten`` are the orders that are not to be sent, None where there is no ledger that could tell; ``limits`` are
    what the run may use of the account's.
    """

    ledger: LedgerView
    forgotten: Forgotten | None
    policy: Policy
    now: float
    limits: Limits
    click_window: timedelta | None = None


def forecast(partition: Partition, warehouse: Warehouse, rules: Rules, terms: Terms) -> Forecast:
    """What a run would do now. Raises WarehouseError when the orders cannot be read."""
    with _temporary_folder() as folder:
        outputs = Outputs(UPath(folder), "forecast", setting="TMPDIR")
        prepared = prepare_partition(partition, warehouse, rules, outputs, lambda: terms.forgotten)
        tally = _Tally(terms)
        for chunk in chunks(outputs.path("conversions", partition.key), terms.ledger):
            tally.add(chunk)
        for rejections in row_groups(outputs.path("invalid", partition.key)):
            tally.add_unsent(rejections)
    tally.counts.update({name: getattr(prepared, name) for name in ("read", "invalid", "suppressed", "duplicate")})
    reasons = dict(tally.reasons.most_common())
    return Forecast(partition=partition.key, reasons=reasons, first_conversion=tally.first, **tally.counts)


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder for the time being; those that killed processes have left a day ago or longer go as well."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED_AFTER.total_seconds():
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        yield folder


def seconds_at(limits: Limits, conversions: int, requests: int) -> float:
    """How long so many conversions in so many requests take at least, where nothing was sent before."""
    by_events = max(0, -(-conversions // limits.events) - 1) * limits.window
    by_requests = max(0, -(-requests // limits.requests) - 1) * limits.request_window
    return max(by_events, by_requests)


class _Tally:
    """What would become of a partition's conversions, counted chunk by chunk."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.counts = Counter[str]({"past_click_window": 0} if terms.click_window else {})
        self.reasons = Counter[str]()
        self.first: dict[str, Any] | None = None

    def add(self, chunk: Chunk) -> None:
        """Count a chunk."""
        ledger, policy, now = self._terms.ledger, self._terms.policy, self._terms.now
        known = standings(ledger.memory, chunk.keys, chunk.fingerprints, chunk.times, policy, now)
        for standing, count in zip(*np.unique(known.standing, return_counts=True), strict=True):
            self.counts[_COUNTS[Standing(standing)]] += int(count)
        for portion in portions(chunk, known, self._terms.limits.events):
            self._add_ages(now - chunk.times[portion.positions] / 1000)
            for batch in portion.batches:
                self.first = self.first or _masked(json.loads(batch.texts()[0]))
                self.counts["requests"] += 1

    def add_unsent(self, rejections: pa.Table) -> None:
        """Count why orders would not be sent; those of them that X has, or may have, are changed or held instead.

        One that must not be sent is counted for that alone, as in the report.
        """
        orders = order_states(rejections)
        sent, _, standing = sent_before(orders, self._terms.ledger)
        for state, each in zip(sent["state"].to_pylist(), standing.tolist(), strict=True):
            self.counts.update({state: -1, _COUNTS[Standing(each)]: 1})
        for state, severity in _SEVERITIES.items():
            rows = orders["row"].filter(pc.equal(orders["state"], state))
            is_why = pc.and_(pc.is_in(rejections["row"], rows), pc.equal(rejections["severity"], severity))
            self.reasons.update(rejections["reason_code"].filter(is_why).to_pylist())

    def _add_ages(self, seconds: NDArray[np.float64]) -> None:
        self.counts["past_deduplication"] += int((seconds > DEDUPLICATION_HOURS * 3600).sum())
        if window := self._terms.click_window:
            self.counts["past_click_window"] += int((seconds > window.total_seconds()).sum())


def _masked(conversion: dict[str, Any]) -> dict[str, Any]:
    """The conversion without anything that identifies a person: some characters may already be all of an identifier."""
    identifiers = [dict.fromkeys(each, "…") for each in conversion["identifiers"]]
    return conversion | {"identifiers": identifiers}
