"""What X's headers say about limits, waits and time. Nothing they hold is trusted: nonsense reads as absent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from xcapi_dagster import contract

_COUNT = re.compile(r"[0-9]{1,9}")
_EPOCH = re.compile(r"[0-9]{1,15}")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_FIRST_MILLISECONDS = 100_000_000_000  # as seconds, this is the year 5138
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """X's count of this account's requests: what remains of the limit, and when that resets (Unix seconds)."""

    remaining: int | None = None
    reset: float | None = None


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """``headers`` with their names in lower case, in which this module looks them up."""
    return {name.lower(): value.strip() for name, value in headers.items()}


def server_date(headers: Mapping[str, str]) -> float | None:
    """X's clock when it answered, in Unix seconds."""
    return _http_date(headers.get("date", ""))


def rate_headers(headers: Mapping[str, str], now: float) -> RateHeaders:
    """The account's figures, else the user's; ``now`` is X's clock. A reset is within the next day or unknown."""
    for family in contract.RATE_LIMIT_HEADERS:
        rate = RateHeaders(
            remaining=_count(headers.get(f"{family}-remaining", "")),
            reset=_reset(headers.get(f"{family}-reset", ""), now),
        )
        if rate != RateHeaders():
            return rate
    return RateHeaders()


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """How many seconds X asks to wait, given as such or as a date; at most a day. ``now`` is X's clock."""
    text = headers.get(contract.RETRY_AFTER_HEADER, "")
    if _SECONDS.fullmatch(text):
        return min(float(text), _DAY)
    date = _http_date(text)
    return None if date is None else min(max(date - now, 0.0), _DAY)


def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


def _reset(text: str, now: float) -> float | None:
    if not _EPOCH.fullmatch(text):
        return None
    seconds = float(text)
    if seconds >= _FIRST_MILLISECONDS:
        seconds /= 1000
    return seconds if now < seconds <= now + _DAY else None


def _http_date(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC).timestamp()  # -0000 reads as no zone at all
