"""A model of X, in this process: what it takes, what it answers, and what it remembers of both.

Its answers are read by the product's own `classify`, so that each is a status, headers and a body as X would send.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from xcapi_dagster.ads_api.responses import Answer, classify

BAD_EMAIL = "no-hash"
DEDUPLICATION_SECONDS = 48 * 3600.0  # X's, from when it first got an event
THROTTLE_SECONDS = 120.0

# What may become of a request: whether X processes it, and how that is answered. None: no answer comes.
FAULTS: dict[str, tuple[bool, int | None]] = {
    "lost on the way": (False, None),
    "answer lost": (True, None),
    "500 before": (False, 500),
    "503 after": (True, 503),
    "garbage after": (True, 200),
    "wrong count": (True, 200),
    "wrong count, nothing taken": (False, 200),
    "redirect": (False, 301),
    "429": (False, 429),
    "401": (False, 401),
    "413": (False, 413),
    "refused connection": (False, None),
    "unheard-of error": (False, 400),
}
# After these X may have taken a request: only the policy or an operator may let it be sent again.
CONTRADICTORY = {"wrong count", "wrong count, nothing taken"}
DOUBTFUL = {"lost on the way", "answer lost", "500 before", "503 after", "garbage after"} | CONTRADICTORY
# After these a run must not send anything more.
ENDING = {"401", "redirect"} | CONTRADICTORY


@dataclass
class X:
    """``deduplicates``: whether an event that comes again within 48 hours is counted once."""

    deduplicates: bool
    clock: Callable[[], float]
    plan: deque[str] = field(default_factory=deque)  # what becomes of the next requests; then nothing untoward
    is_out_of_order: bool = False  # refuses everything, in words that nobody knows
    echoes: bool = True  # the value that it does not like
    taken: Counter[str] = field(default_factory=Counter)  # how often it took each conversion
    counted: Counter[str] = field(default_factory=Counter)  # how often it counts it
    first_taken: dict[str, float] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    refused: set[tuple[str, str]] = field(default_factory=set)  # (conversion id, value) that it refused for good cause

    def answer(self, body: bytes, sent: int) -> tuple[str, Answer]:
        """What became of the request (a fault, or "taken", or "refused"), and the answer as the client reads it."""
        self.bodies.append(body)
        conversions = json.loads(body)["conversions"]
        assert 1 <= sent == len(conversions) <= 500
        fate = self.plan.popleft() if self.plan else "taken"
        if fate == "413" and sent == 1:
            fate = "taken"  # X may find many conversions too much, not one
        if self.is_out_of_order:
            fate = "unheard-of error"
        is_processed, status = FAULTS.get(fate, (True, 200))
        errors = self._errors(conversions) if is_processed else []
        if is_processed and not errors:
            self._take(conversions)
        if errors:
            fate, status = ("refused", 400) if status == 200 else (fate, status)
        if fate == "refused connection":
            return fate, Answer("not_sent", reason="the connection was refused")
        if status is None:
            return fate, Answer("unknown", reason="no answer came")
        headers, content = _reply(fate, sent, errors)
        answer = classify(status, headers, content, sent=sent, account_id="acc", now=self.clock())
        return fate, answer

    def _errors(self, conversions: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
        bad = [each for each in conversions if each["identifiers"][0].get("hashed_email") == BAD_EMAIL]
        self.refused |= {(each["conversion_id"], each["value"]) for each in bad}
        text = f"hashed_email ({BAD_EMAIL}) is not a valid SHA-256 hash" if self.echoes else "hashed_email is invalid"
        return [{"code": "INVALID_PARAMETER", "message": text, "parameter": "hashed_email"} for _ in bad]

    def _take(self, conversions: Sequence[dict[str, Any]]) -> None:
        for name in (each["conversion_id"] for each in conversions):
            now = self.clock()
            is_known = name in self.first_taken and now - self.first_taken[name] <= DEDUPLICATION_SECONDS
            self.taken[name] += 1
            self.counted[name] += not (self.deduplicates and is_known)
            self.first_taken.setdefault(name, now)


def _reply(fate: str, sent: int, errors: list[dict[str, str]]) -> tuple[dict[str, str], bytes]:
    """The headers and the body that go with a fate."""
    success = {"data": {"conversions_processed": sent}, "request": {"params": {"account_id": "acc"}}}
    match fate:
        case "taken":
            return {}, json.dumps(success).encode()
        case "refused":
            return {}, json.dumps({"errors": errors}).encode()
        case "wrong count" | "wrong count, nothing taken":
            return {}, json.dumps({"data": {"conversions_processed": sent + 1}}).encode()
        case "429":
            return {"retry-after": str(int(THROTTLE_SECONDS))}, b""
        case "redirect":
            return {"location": "https://elsewhere.example"}, b""
        case "unheard-of error":
            return {}, json.dumps({"errors": [{"code": "NEWS", "message": "Not today"}]}).encode()
        case "401":
            error = {"code": "UNAUTHORIZED_ACCESS", "message": "This request is not properly authenticated"}
            return {}, json.dumps({"errors": [error]}).encode()
    return {}, b"<html>"
