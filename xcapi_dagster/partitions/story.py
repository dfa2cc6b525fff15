"""The whole story of one order: where it was seen, what was found, what X said, what comes next."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.delivery.forgotten import tombstone_of
from xcapi_dagster.delivery.keys import Fingerprints, Keys
from xcapi_dagster.delivery.standing import Policy, Standing, standings
from xcapi_dagster.delivery.view import LedgerView
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions.search import rows_of

_READERS = 8
_OF_RESULT = (
    "state", "conversion_id", "event_id", "conversion_time", "value", "currency", "request_id", "http_status",
    "debug_id", "first_sent_at", "settled_at",
)  # fmt: skip
_IDS = ("event_id", "conversion_id")
_OF_REASON = ("reason_code", "stage", "severity", "column", "detail", "fix", "isolated_by")
_STATE_OF_SEVERITY = (("suppressed", "suppressed"), ("rejected", "invalid"), ("held", "held"))

_NEXT = {
    Standing.NEW: "it is sent, if the warehouse still gives it as it is",
    Standing.UNSURE: "it is sent once more, with the same conversion id",
    Standing.ACCEPTED: "nothing: X has it, and it is never sent again",
    Standing.CHANGED: "nothing: X has it as it was, and has no corrections",
    Standing.UNKNOWN: "nothing until somebody decides: see `xcapi held list`",
    Standing.HELD: "nothing until somebody decides: see `xcapi held list`",
    Standing.REJECTED: "nothing until it is another order: mend it in the warehouse, or use `xcapi sync --reason`",
    Standing.ELSEWHERE: "nothing: another run is sending it",
    Standing.TOO_LATE: "nothing: X could not tell it from the pixel's",
    Standing.GROUPED: "it is tried again, in a small group",
    Standing.RELEASED: "it is sent once more, as an operator decided",
    Standing.FORGOTTEN: "nothing: somebody asked that it be forgotten",
}
_JUDGED_ANEW = "it is judged anew"
_ELSEWHERE_NOW = "; no file tells of it any more: its partition was synced without it since, or the files are gone"
_NEXT_OF_UNSENT = {
    "invalid": f"{_JUDGED_ANEW}: mend in the warehouse what is named first",
    "suppressed": f"{_JUDGED_ANEW}: without consent it stays unsent",
    "duplicate": "nothing: the newer row counts; mend that one where reasons are named",
}


class Sighting(NamedTuple):
    """A partition in which the order was, as its files say: ``result`` by the names of upload_results' columns."""

    partition: str
    result: dict[str, Any]
    reasons: list[dict[str, Any]]
    ledger: dict[str, Any] | None  # what the ledger knows, which is the last word
    next_run: str

    @property
    def state(self) -> str:
        """What became of it."""
        return str(self.result["state"])


def story_of(
    order_id: str, outputs: Outputs, ledger: LedgerView, policy: Policy, now: float, event_id: str
) -> list[Sighting]:
    """Every sighting of the order, in the order of the partitions.

    When no file tells of it, what the ledger knows of it as a conversion of the default event ``event_id`` that had
    the order's id; none when that is nothing. Only the columns of ids are read where the order is not. ``now`` is in
    seconds since 1970.
    """
    partitions = outputs.partitions("rejection_report")
    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(lambda partition: _sightings(order_id, partition, outputs), partitions))
    teller = _Teller(order_id, outputs, ledger, policy, now)
    told = [teller.told(partition, *each) for partition, some in zip(partitions, found, strict=True) for each in some]
    return told or teller.remembered(event_id)


def _sightings(order_id: str, partition: str, outputs: Outputs) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """What upload_results and the report of one partition say of the order, a pair for each event it was sent as."""
    results = rows_of(outputs, "upload_results", partition, order_id)
    reasons = rows_of(outputs, "rejection_report", partition, order_id)
    if results:
        return [
            ({name: row[name] for name in _OF_RESULT}, [_told(reason) for reason in reasons if _is_of(reason, row)])
            for row in results
        ]
    if not reasons:
        return []
    about = {name: reasons[0][name] for name in ("conversion_time", "value", "currency")}
    ids = next(iter(rows_of(outputs, "invalid", partition, order_id)), {})
    about |= {name: ids.get(name) for name in ("conversion_id", "event_id")}
    return [(dict.fromkeys(_OF_RESULT) | about | {"state": _state(reasons)}, [_told(reason) for reason in reasons])]


def _told(reason: dict[str, Any]) -> dict[str, Any]:
    return {name: reason[name] for name in _OF_REASON}


def _is_of(reason: dict[str, Any], result: dict[str, Any]) -> bool:
    """Whether a row of the report is about this conversion of the order: what was found before sending is of all."""
    found_before = reason["stage"] not in ("api", "delivery")
    return found_before or all(reason[name] == result[name] for name in ("reason_code", "request_id"))


def _state(reasons: list[dict[str, Any]]) -> str:
    if any(row["reason_code"] == "duplicate_order" for row in reasons):
        return "duplicate"
    severities = {row["severity"] for row in reasons}
    return next((state for severity, state in _STATE_OF_SEVERITY if severity in severities), "pending")


class _Teller:
    """What the ledger adds to a sighting."""

    def __init__(self, order_id: str, outputs: Outputs, ledger: LedgerView, policy: Policy, now: float) -> None:
        self._order_id = order_id
        self._outputs = outputs
        self._ledger = ledger
        self._policy = policy
        self._now = now

    def told(self, partition: str, result: dict[str, Any], reasons: list[dict[str, Any]]) -> Sighting:
        """The sighting with what the ledger knows and what the next run would do."""
        reasons = [row | {"meaning": REASONS[row["reason_code"]].meaning} for row in reasons]
        event_id, conversion_id = result["event_id"], result["conversion_id"]
        if event_id is None or conversion_id is None:
            return Sighting(partition, result, reasons, None, _NEXT_OF_UNSENT.get(result["state"], _JUDGED_ANEW))
        keys = self._ledger.keys([event_id], [conversion_id])
        known = self._remembered(keys)
        unsent = _NEXT_OF_UNSENT.get(result["state"])
        return Sighting(partition, result, reasons, known, unsent or self._next(partition, keys, result))

    def remembered(self, event_id: str) -> list[Sighting]:
        """What the ledger alone knows of the order, unless it was to forget it."""
        keys = self._ledger.keys([event_id], [self._order_id])
        known = self._remembered(keys)
        if known is None or tombstone_of(self._ledger, self._order_id):
            return []
        ids = {"conversion_id": self._order_id, "event_id": event_id, "state": known["state"]}
        standing = self._standing(keys, self._ledger.memory.look_up(keys).fingerprints, self._now)
        return [
            Sighting(known["partition"], dict.fromkeys(_OF_RESULT) | ids, [], known, _NEXT[standing] + _ELSEWHERE_NOW)
        ]

    def _next(self, partition: str, keys: Keys, result: dict[str, Any]) -> str:
        rows = rows_of(self._outputs, "conversions", partition, self._order_id)
        found = [row["fingerprint"] for row in rows if all(row[name] == result[name] for name in _IDS)]
        fingerprints = np.array(found[:1] or self._ledger.memory.look_up(keys).fingerprints, np.uint64)
        time = result["conversion_time"]  # None of an order that was sent with another, and has none that is valid now
        return _NEXT[self._standing(keys, fingerprints, time.timestamp() if time else self._now)]

    def _standing(self, keys: Keys, fingerprints: Fingerprints, time: float) -> Standing:
        times = np.array([time * 1000], np.int64)
        return Standing(standings(self._ledger.memory, keys, fingerprints, times, self._policy, self._now).standing[0])

    def _remembered(self, keys: Keys) -> dict[str, Any] | None:
        known = self._ledger.memory.look_up(keys)
        request = self._ledger.memory.requests.get(int(known.requests[0]))
        ruling = known.verdicts.get(0)
        if ruling:
            told = self._ledger.memory.requests.get(ruling.request_id)
            of_request = ("partition", "decided_by", "first_sent_at")
            return {"state": ruling.state, "request_id": ruling.request_id, "reason_code": ruling.reason_code} | {
                name: getattr(told, name, None) for name in of_request
            }
        if request is None:
            return None
        names = ("state", "partition", "first_sent_at", "http_status", "debug_id", "decided_by")
        return {"request_id": request.id} | {name: getattr(request, name) for name in names}
