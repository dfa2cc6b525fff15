"""What is in doubt: conversions whose answer never came or cannot be trusted, until an operator decides.

A policy may send such an order once more, but only that very order: one that has changed since, or is no longer to be
sent, is held here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.keys import Entries
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.memory import Memory
from xcapi_dagster.delivery.records import Request
from xcapi_dagster.delivery.sorted_keys import SortedKeys
from xcapi_dagster.delivery.standing import Policy, differs, is_too_late, is_within_horizon

Resolution = Literal["accepted", "lost", "resend"]

HELD_BY = "xcapi"  # in place of an operator's name, where this package asks for one

_CHANGED = "the order has changed since it was sent"
_GONE = "the order can no longer be sent, or is no longer in its partition"
_TOO_LATE = "the order is so old that X could not deduplicate it against the pixel's copy"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Conversions of one request that an operator must decide about."""

    request: Request
    conversions: int
    why: str


def hold_what_changed(ledger: Ledger, partition: str, chunks: Iterable[Chunk], policy: Policy) -> None:
    """Hold what is in doubt of ``partition`` and not in its ``chunks`` any more as it was when it was sent.

    What an operator wants sent once more is held only when it is not in them at all, and not when that was told before:
    then it waits for the partition that has it now.
    """
    doubtful = ledger.entries_of("unknown", "resend", partition=partition)
    if not len(doubtful.keys):
        return
    why = np.full(len(doubtful.keys), _GONE, object)
    now = ledger.now()
    for chunk in chunks:
        is_here, at = _positions(chunk, doubtful)
        has_changed = differs(chunk.fingerprints[at], doubtful.fingerprints[is_here])
        too_late = is_too_late(chunk.times[at], policy, now)
        why[is_here] = np.where(has_changed, _CHANGED, np.where(too_late, _TOO_LATE, ""))
        why[is_here & ledger.memory.are(doubtful.requests, "resend")] = ""
    why[_was_told_as_gone(ledger.memory, doubtful.requests)] = ""
    for reason in (_CHANGED, _TOO_LATE, _GONE):
        ledger.overrule(doubtful.where(why == reason), "held", by=HELD_BY, why=reason)


def doubts(ledger: Ledger, policy: Policy, partition: str | None = None) -> list[Doubt]:
    """What an operator must decide about, in one partition or all, the oldest first."""
    now, memory = ledger.refresh(), ledger.memory
    doubtful = ledger.entries_of("unknown", "held", partition=partition)
    ids, counts = np.unique(doubtful.requests, return_counts=True)
    found = [(memory.requests[request_id], count) for request_id, count in zip(ids.tolist(), counts, strict=True)]
    return [Doubt(told, int(count), _why(told)) for told, count in found if _needs_operator(told, policy, now)]


def resolve(ledger: Ledger, chosen: Sequence[Doubt], resolution: Resolution, *, by: str, why: str) -> int:
    """Settle the conversions of the ``chosen`` requests by an operator's word; returns how many.

    ``resolution`` is `accepted` (X has them), `lost` (X never got them: they are sent like new ones) or `resend`
    (nobody knows: they are sent once more, with the same conversion ids).
    """
    doubtful = ledger.entries_of("unknown", "held")
    these = np.isin(doubtful.requests, [doubt.request.id for doubt in chosen])
    return ledger.overrule(doubtful.where(these), resolution, by=by, why=why)


def _positions(chunk: Chunk, doubtful: Entries) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which of the doubtful are in the chunk, and where."""
    numbered = Entries(chunk.keys, chunk.fingerprints, np.arange(1, len(chunk.keys) + 1, dtype=np.uint32))
    positions = SortedKeys([numbered], len(chunk.keys)).find(doubtful.keys).requests
    is_here = positions > 0
    return is_here, positions[is_here].astype(np.intp) - 1


def _was_told_as_gone(memory: Memory, requests: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which of these requests are an operator's word on orders that were held as no longer in their partition."""
    ids, which = np.unique(requests, return_inverse=True)
    held = [memory.requests.get(memory.requests[each].parent_id or 0) for each in ids.tolist()]
    return np.array([each is not None and each.message == _GONE for each in held], np.bool_)[which]


def _needs_operator(told: Request, policy: Policy, now: float) -> bool:
    if told.state == "held" or policy.on_unknown == "hold":
        return True
    return not is_within_horizon(told.first_sent_at, now)


def _why(told: Request) -> str:
    return told.message or "the answer never came"
