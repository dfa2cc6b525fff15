"""Where each conversion stands, from what the ledger knows of it, its age and the stated policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcapi_dagster.contract import DEDUPLICATION_HOURS
from xcapi_dagster.delivery.keys import Fingerprints, Keys
from xcapi_dagster.delivery.memory import Known, Memory
from xcapi_dagster.delivery.records import Request, Verdict

# X counts its 48 hours from when it received an event; a request may be on its way for a while.
HORIZON_SECONDS = (DEDUPLICATION_HOURS - 4) * 3600.0

_FINGERPRINT_VERSION_SHIFT = np.uint64(56)  # a fingerprint's upper byte is the normalizer's version


class Standing(IntEnum):
    """What to do with a conversion, or what became of it."""

    NEW = 0  # may be sent
    UNSURE = 1  # its request's answer never came; may be sent once more
    ACCEPTED = 2
    CHANGED = 3  # accepted, and different since
    UNKNOWN = 4  # the answer never came, and the policy is to hold
    HELD = 5  # an operator must decide
    REJECTED = 6
    ELSEWHERE = 7  # it is being sent
    TOO_LATE = 8  # X could not deduplicate it against the pixel's copy
    GROUPED = 9  # refused together with others; may be sent in a small batch
    RELEASED = 10  # in doubt, and an operator wants it sent once more
    FORGOTTEN = 11  # somebody asked that it be, before X accepted it


# In the order in which to send: what is in doubt grows old, and what was refused may be refused for long.
SENDABLE = (Standing.RELEASED, Standing.UNSURE, Standing.NEW, Standing.GROUPED)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the account's owner decided about doubtful orders."""

    on_unknown: Literal["resend", "hold"]
    pixel_also_fires: bool


class Standings(NamedTuple):
    """Per conversion: a `Standing`, and what the ledger knows about it."""

    standing: NDArray[np.uint8]
    known: Known


def standings(
    memory: Memory,
    keys: Keys,
    fingerprints: Fingerprints,
    times: NDArray[np.int64],
    policy: Policy,
    now: float,
) -> Standings:
    """The standing of each conversion, of which ``times`` are in milliseconds since 1970 and ``now`` in seconds."""
    known = memory.look_up(keys)
    ids, which = np.unique(known.requests, return_inverse=True)
    of_requests = [_of_request(memory.requests.get(int(request_id)), policy, now) for request_id in ids]
    standing = np.array(of_requests, np.uint8)[which]
    too_late = is_too_late(times, policy, now)
    has_changed = differs(fingerprints, known.fingerprints)
    standing[(standing == Standing.ACCEPTED) & has_changed] = Standing.CHANGED
    standing[np.isin(standing, (Standing.UNSURE, Standing.UNKNOWN)) & (has_changed | too_late)] = Standing.HELD
    too_late &= standing != Standing.RELEASED  # whatever their age
    _apply_verdicts(known.verdicts, fingerprints, standing)
    standing[too_late & np.isin(standing, (Standing.NEW, Standing.GROUPED))] = Standing.TOO_LATE
    return Standings(standing, known)


def is_too_late(times: NDArray[np.int64], policy: Policy, now: float) -> NDArray[np.bool_]:
    """Which of these times, in milliseconds since 1970, are so old that the pixel's copy would count twice."""
    return now > deadlines(times, policy)


def is_within_horizon(first_sent_at: float, now: float) -> bool:
    """Whether X still knows again what it may have received at that time.

    What was first sent at a time to come was so by a clock that was ahead and is right again. If by so much, nobody
    knows how long ago it was.
    """
    return abs(now - first_sent_at) < HORIZON_SECONDS


def deadlines(times: NDArray[np.int64], policy: Policy) -> NDArray[np.float64]:
    """Until when orders of these times may be sent, in seconds since 1970: after that they are too late."""
    if not policy.pixel_also_fires:
        return np.full(len(times), np.inf)
    return times / 1000 + HORIZON_SECONDS


def differs(fingerprints: Fingerprints, sent: Fingerprints) -> NDArray[np.bool_]:
    """Whether the order is another than was sent: another version of the normalizer is no change of the order."""
    is_same_version = (fingerprints >> _FINGERPRINT_VERSION_SHIFT) == (sent >> _FINGERPRINT_VERSION_SHIFT)
    differing: NDArray[np.bool_] = (fingerprints != sent) & is_same_version
    return differing


def _of_request(request: Request | None, policy: Policy, now: float) -> Standing:
    if request is None:
        return Standing.NEW
    if request.state in _OF_STATE:
        return _OF_STATE[request.state]
    if request.state == "unknown" and is_within_horizon(request.first_sent_at, now):
        return Standing.UNSURE if policy.on_unknown == "resend" else Standing.UNKNOWN
    return Standing.HELD


# Of a request that says something of its conversions whatever the time and the policy are.
_OF_STATE: Mapping[str, Standing] = {
    "accepted": Standing.ACCEPTED,
    "in_flight": Standing.ELSEWHERE,
    "lost": Standing.NEW,
    "resend": Standing.RELEASED,
    "forgotten": Standing.FORGOTTEN,
}


def _apply_verdicts(verdicts: Mapping[int, Verdict], fingerprints: Fingerprints, standing: NDArray[np.uint8]) -> None:
    """Let a verdict count where it is about the order as it is now. A group that is in doubt and must wait, waits.

    A suspected row is tried again like a group: what X refused may have been everything.
    """
    for position, ruling in verdicts.items():
        if ruling.fingerprint != int(fingerprints[position]):
            continue
        if ruling.state == "rejected":
            standing[position] = Standing.REJECTED
        elif standing[position] in (Standing.NEW, Standing.UNSURE, Standing.RELEASED):
            standing[position] = Standing.GROUPED
