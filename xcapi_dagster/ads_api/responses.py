"""What an answer of X's means: status, headers and body in, one of nine kinds of `Answer` out. Pure.

`classify` reads the answer to conversions, `classify_call` that to any other request, of which X did all or nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from xcapi_dagster import contract
from xcapi_dagster.ads_api import headers as of_headers
from xcapi_dagster.ads_api.advice import advice
from xcapi_dagster.ads_api.api_errors import ApiError, read_errors, unreadable
from xcapi_dagster.ads_api.headers import RateHeaders
from xcapi_dagster.ads_api.redact import redact

__all__ = ["Answer", "ApiError", "Kind", "RateHeaders", "classify", "classify_call"]

Kind = Literal[
    "accepted",  # X took every conversion
    "refused",  # X took none, because of some of the rows: `errors` says what is wrong, not with which
    "too_large",  # X took none: fewer conversions per request, please
    "throttled",  # X took none yet: wait
    "clock",  # X took none: this machine's clock is wrong by `clock_skew`
    "halted",  # X took none and will not take any until somebody mends what `reason` says
    "not_sent",  # X cannot have any: the connection failed before the body
    "unknown",  # X may have taken all or none
    "doubtful",  # X answered 200 and contradicts itself: somebody must look
]

_TOLERATED_SKEW_SECONDS = 300.0  # X's tolerance is not published; five minutes is what OAuth servers use
_NOT_A_DOCUMENT = object()
_MAY_HAVE_BEEN_PROCESSED = frozenset({408, 423})  # CANCELLED_REQUEST and LOCK_ACQUISITION_TIMEOUT: X's side gave up
_CANNOT_BE_PROCESSED = frozenset({501, 505})  # not this method, not this HTTP: nor will it be the next time


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request ended. ``reason`` is one line for the user, without any value that X echoed.

    ``errors`` is never empty for a refusal. ``server_date`` is X's clock and ``clock_skew`` how many seconds this
    machine's clock was behind it; ``retry_after`` is in seconds. ``status`` is None when no answer came.
    """

    kind: Kind
    status: int | None = None
    reason: str = ""
    errors: tuple[ApiError, ...] = ()
    debug_id: str | None = None
    account_id: str | None = None
    retry_after: float | None = None
    rate: RateHeaders = field(default_factory=RateHeaders)
    warning: str | None = None
    server_date: float | None = None
    clock_skew: float | None = None


@dataclass(frozen=True, slots=True)
class _Expected:
    """What an answer is measured against."""

    sent: int
    account_id: str | None
    clock_offset: float


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    sent: int,
    account_id: str | None,
    now: float,
    clock_offset: float = 0.0,
) -> Answer:
    """What X's answer to a request with ``sent`` conversions means. Never raises, whatever X answers.

    ``account_id`` is the configured one, None when X may name any; ``now`` is this machine's clock in Unix seconds
    and ``clock_offset`` what was added to it to sign the request.
    """
    document = _parsed(body)
    return _judged(_read(status, headers, document, now), document, _Expected(sent, account_id, clock_offset))


def classify_call(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    account_id: str,
    now: float,
    clock_offset: float = 0.0,
) -> tuple[Answer, Any]:
    """What X's answer to a request about an ads account means, and its document, which has `data` when accepted."""
    document = _parsed(body)
    answer = _read(status, headers, document, now)
    if not 200 <= status < 300:
        answer = _judged(answer, document, _Expected(0, account_id, clock_offset))
        return (replace(answer, reason=f"X answered {status}") if answer.kind == "unknown" else answer), document
    if _at(document, "data") is None and not answer.errors:
        reason = f"X answered {status} without a readable body: does X_ADS_API_URL lead to the API?"
        return replace(answer, reason=reason), document
    doubts = _doubts_of_any(answer, document, account_id)
    if doubts:
        return replace(answer, kind="doubtful", reason=_doubtful(answer, doubts)), document
    return replace(answer, kind="accepted"), document


def _read(status: int, headers: Mapping[str, str], document: Any, now: float) -> Answer:
    """All that stands in an answer, before it is judged."""
    headers = of_headers.lowered(headers)
    date = of_headers.server_date(headers)
    x_now = now if date is None else date
    return Answer(
        "unknown",
        status,
        errors=read_errors(document),
        debug_id=_short_text(_at(document, "data", "debug_id")),
        account_id=_short_text(_at(document, "request", "params", "account_id")),
        retry_after=of_headers.retry_after(headers, x_now),
        rate=of_headers.rate_headers(headers, x_now),
        warning=redact(headers.get(contract.WARNING_HEADER, "")) or None,
        server_date=date,
        clock_skew=None if date is None else date - now,
    )


def _judged(answer: Answer, document: Any, expected: _Expected) -> Answer:
    status = answer.status or 0
    if 200 <= status < 300:
        return _judged_success(answer, document, expected)
    if 300 <= status < 400 or status in _CANNOT_BE_PROCESSED:
        return replace(answer, kind="halted", reason=advice(status, ()))
    if 400 <= status < 500 and status not in _MAY_HAVE_BEEN_PROCESSED:
        return _judged_refusal(answer, status, expected)
    return replace(answer, reason=f"X answered {status}: whether it took the conversions is not known")


def _judged_success(answer: Answer, document: Any, expected: _Expected) -> Answer:
    if document is _NOT_A_DOCUMENT:
        reason = f"X answered {answer.status} without a readable body: whether it took the conversions is not known"
        return replace(answer, reason=reason)
    doubts = _doubts(answer, document, expected)
    if doubts:
        return replace(answer, kind="doubtful", reason=_doubtful(answer, doubts))
    return replace(answer, kind="accepted")


def _doubts(answer: Answer, document: Any, expected: _Expected) -> list[str]:
    """What contradicts the success of conversions."""
    doubts = []
    count = _at(document, "data", "conversions_processed")
    if answer.status != 200:
        doubts.append("200 is the only success that X documents")
    if type(count) is not int:
        doubts.append("it does not say how many conversions it processed")
    elif count != expected.sent:
        doubts.append(f"it processed {count} conversions of {expected.sent}")
    return doubts + _doubts_of_any(answer, document, expected.account_id)


def _doubts_of_any(answer: Answer, document: Any, account_id: str | None) -> list[str]:
    """What contradicts any success. An answer that names no account contradicts nothing."""
    doubts = []
    if _at(document, "errors"):
        doubts.append("it lists errors")
    if account_id is not None and answer.account_id not in (None, account_id):
        doubts.append("it names another ads account than X_ADS_ACCOUNT_ID")
    return doubts


def _doubtful(answer: Answer, doubts: list[str]) -> str:
    return f"X answered {answer.status}, but {' and '.join(doubts)}"


def _judged_refusal(answer: Answer, status: int, expected: _Expected) -> Answer:
    """A 4xx: X took nothing. The errors go before the status, because X answers 404 to a row's event id."""
    codes = {error.code for error in answer.errors}
    scopes = {error.scope for error in answer.errors}
    if status == 429 or codes & {"88", "TOO_MANY_REQUESTS"}:
        return replace(answer, kind="throttled", reason=f"X asks to wait: too many requests ({status})")
    if status == 413 or any(error.message_name == "too_many_conversions" for error in answer.errors):
        return replace(answer, kind="too_large", reason=f"X finds the request too large ({status})")
    if "clock" in scopes or (status == 401 and _is_skewed(answer, expected)):
        return replace(answer, kind="clock", reason=_clock_reason(answer))
    if status in (401, 403) or scopes & {"credentials", "configuration"}:
        return replace(answer, kind="halted", reason=advice(status, answer.errors))
    if status == 400 and not answer.errors:
        answer = replace(answer, errors=(unreadable(status),))
    about_rows = scopes & {"row", "row_without_value"}
    if about_rows or (status == 400 and "request" not in scopes):
        return replace(answer, kind="refused", reason=_refusal_reason(answer))
    return replace(answer, kind="halted", reason=advice(status, answer.errors))


def _is_skewed(answer: Answer, expected: _Expected) -> bool:
    skew = answer.clock_skew
    return skew is not None and abs(skew - expected.clock_offset) > _TOLERATED_SKEW_SECONDS


def _clock_reason(answer: Answer) -> str:
    if answer.clock_skew is None:
        return "X finds this machine's clock wrong: correct it"
    return f"this machine's clock differs from X's by {answer.clock_skew:+.0f} s: correct it"


def _refusal_reason(answer: Answer) -> str:
    others = len(answer.errors) - 1
    return f"X refused: {answer.errors[0].template}" + (f" (and {others} more)" if others else "")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _NOT_A_DOCUMENT


def _at(document: Any, *names: str) -> Any:
    """The value under ``names``, one inside the other; None where there is none."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _short_text(value: Any) -> str | None:
    """``value`` when it is an id: nothing else of X's answer is kept or logged verbatim."""
    is_id = isinstance(value, str) and 0 < len(value) <= 64 and value.isascii() and value.replace("-", "").isalnum()
    return value if is_id else None
