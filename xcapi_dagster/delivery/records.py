"""The rows of the ledger as values: requests, verdicts on single conversions, and what settles a request."""

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sqlalchemy import Row

from xcapi_dagster.delivery.keys import KEY
from xcapi_dagster.delivery.sqlite_file import RESTORE
from xcapi_dagster.errors import LedgerError

# The last three are an operator's words: X never got it; send it once more whatever the policy says; never send it.
RequestState = Literal[
    "in_flight", "accepted", "refused", "not_processed", "unknown", "held", "lost", "resend", "forgotten",
]  # fmt: skip
# Refused by itself; refused by itself for a reason that may not be about it at all; refused with others.
VerdictState = Literal["rejected", "suspected", "grouped"]
# What X may refuse an order for today and not have refused it for before: its age and its event tag change by
# themselves, that its conversion id is known says the opposite, and of other words nobody knows what they mean.
_PASSING = ("api_conversion_time", "api_event_id", "api_conversion_id", "api_unrecognised", "api_group_held")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One POST as the ledger remembers it, without its conversions; or what was decided in place of an answer."""

    id: int
    state: RequestState
    instance: str = ""  # whose partition it is; empty where an older version wrote it
    partition: str
    run_id: str
    owner_id: int
    size: int
    first_sent_at: float
    parent_id: int | None = None  # the request whose conversions these are, when it did not settle them
    settled_at: float | None = None
    http_status: int | None = None
    debug_id: str | None = None
    message: str | None = None
    decided_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one conversion apart from the rest of its request."""

    state: VerdictState
    fingerprint: int
    request_id: int
    since: int  # the request with which X began to refuse it
    reason_code: str
    detail: str | None
    isolated_by: str | None
    at: float

    @property
    def was_always_so(self) -> bool:
        """Whether X, which refuses a request whole, refused the same order in an earlier request as well."""
        return self.state == "rejected" and self.reason_code not in _PASSING


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an answer means for a request: its new state, X's words, and the verdicts on single conversions."""

    state: RequestState
    http_status: int | None = None
    debug_id: str | None = None
    message: str | None = None
    verdicts: Sequence[tuple[int, Verdict]] = ()  # position in the request, verdict
    blocked_for: float | None = None
    requests_left: int | None = None
    resets_in: float | None = None  # seconds


def checksum_of(keys: bytes, fingerprints: bytes, first_sent_at: float) -> int:
    """What tells whether a request's row still is as it was written: SQLite has no checksums of its own.

    One flipped bit of a key would be an order that nobody remembers.
    """
    return zlib.crc32(fingerprints, zlib.crc32(keys, zlib.crc32(repr(float(first_sent_at)).encode())))


def request_of(row: Row[Any]) -> Request:
    """The request that a row of that table tells of. Raises LedgerError when it is not as it was written."""
    is_whole = len(row.keys) == row.size * KEY.itemsize
    if not is_whole or row.checksum != checksum_of(row.keys, row.fingerprints, row.first_sent_at):
        raise LedgerError(f"the ledger is damaged (request {row.id} is not as it was written): {RESTORE}")
    return Request(
        id=row.id,
        state=row.state,
        instance=sys.intern(row.instance),
        partition=sys.intern(row.partition),
        run_id=sys.intern(row.run_id),
        owner_id=row.owner_id,
        size=row.size,
        first_sent_at=row.first_sent_at,
        parent_id=row.parent_id,
        settled_at=row.settled_at,
        http_status=row.http_status,
        debug_id=row.debug_id,
        message=row.message if row.state in ("unknown", "held") else None,
        decided_by=row.decided_by,
    )


def verdict_of(row: Row[Any]) -> Verdict:
    """The verdict that a row of that table tells of."""
    return Verdict(
        state=row.state,
        fingerprint=row.fingerprint & 0xFFFF_FFFF_FFFF_FFFF,
        request_id=row.request_id,
        since=row.since,
        reason_code=row.reason_code,
        detail=row.detail,
        isolated_by=row.isolated_by,
        at=row.at,
    )


def columns_of(verdict: Verdict) -> dict[str, Any]:
    """The columns that hold ``verdict``: `verdict_of` the other way round."""
    return {
        "fingerprint": int(np.uint64(verdict.fingerprint).astype(np.int64)),
        "request_id": verdict.request_id,
        "since": verdict.since,
        "state": verdict.state,
        "reason_code": verdict.reason_code,
        "detail": verdict.detail,
        "isolated_by": verdict.isolated_by,
        "at": verdict.at,
    }
