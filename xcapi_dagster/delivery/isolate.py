"""Which rows a refusal is about: by the value that X echoes, else by a local rule, else by halving the batch.

X refuses a request as a whole and names no row. One event can cause two errors and equal errors may be merged, so
counts of errors say nothing about counts of rows.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from xcapi_dagster.ads_api.responses import ApiError
from xcapi_dagster.contract import short_event_id
from xcapi_dagster.conversions.reasons import API_PARAMETERS

# POSTs spent on one batch before what is left waits as a group: 2 bad rows in 500 always fit.
MAX_POSTS_PER_BATCH = 40
GROUP_SIZE = 25  # of the batches in which a group is tried again

_Event = Mapping[str, Any]  # what the JSON of a request says of one conversion


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why a row is held to be the refused one; ``detail`` is X's message without the echoed value."""

    reason_code: str
    detail: str
    isolated_by: str


def suspects(errors: Sequence[ApiError], texts: Sequence[bytes]) -> dict[int, Suspicion]:
    """Position in ``texts``, the JSON of each row, -> why it is refused, for all rows the errors can be pinned on.

    A value that all of several rows share accuses none of them, unless it is that of their event.
    """
    found: dict[int, Suspicion] = {}
    event_ids = refused_event_ids(errors, texts)
    event = cache(lambda position: json.loads(texts[position]))
    for error in errors:
        accused = [position for position in _possible(error, texts) if _is_about(error, event(position), event_ids)]
        if len(accused) == len(texts) > 1 and error.parameter != "event_id":
            continue
        isolated_by = "echoed_value" if error.value is not None else "local_rule"
        suspicion = Suspicion(reason_code(error), error.template, isolated_by)
        found = dict.fromkeys(accused, suspicion) | found
    return found


def alone(errors: Sequence[ApiError], isolated_by: str) -> Suspicion:
    """Why the only row of a refused request is refused."""
    error = next((error for error in errors if error.is_about_rows), errors[0])
    return Suspicion(reason_code(error), error.template, isolated_by)


def refused_event_ids(errors: Sequence[ApiError], texts: Sequence[bytes]) -> dict[str, str]:
    """The event ids, in short form, that X does not accept, and its message for each.

    Without an echoed value the error can be pinned on an id only where all rows have that one.
    """
    refused: dict[str, str] = {}
    for error in errors:
        if error.parameter != "event_id":
            continue
        named = {error.value} if error.value is not None else {_event_id(json.loads(text)) for text in texts}
        if len(named) == 1:
            refused.setdefault(short_event_id(named.pop()), error.template)
    return refused


def reason_code(error: ApiError) -> str:
    """`api_` and the parameter that X names, or `api_unrecognised`."""
    if error.message_name == "missing_identifier":
        return "api_identifiers"
    return f"api_{error.parameter}" if error.parameter in API_PARAMETERS else "api_unrecognised"


def _possible(error: ApiError, texts: Sequence[bytes]) -> Iterable[int]:
    """Positions of the rows that may hold the echoed value: all where none has it as it would be written.

    To look for it in a row costs a hundredth of what it costs to read the row's JSON.
    """
    if error.value is None:
        return range(len(texts))
    value = short_event_id(error.value) if error.parameter == "event_id" else error.value
    written = [json.dumps(value, ensure_ascii=is_ascii)[1:-1].encode(errors="replace") for is_ascii in (True, False)]
    return [at for at, text in enumerate(texts) if any(each in text for each in written)] or range(len(texts))


def _event_id(event: _Event) -> str:
    return short_event_id(str(event.get("event_id")))


def _is_about(error: ApiError, event: _Event, event_ids: Collection[str]) -> bool:
    if error.message_name == "missing_identifier":
        return not any(_is_complete(identifier) for identifier in event.get("identifiers", ()))
    if error.parameter == "event_id":
        return _event_id(event) in event_ids
    if error.value is None or error.parameter is None:
        return False
    return any(str(value) == error.value for value in _values(event, error.parameter))


def _is_complete(identifier: dict[str, str]) -> bool:
    """X's rule: each object stands for itself; an IP address and a user agent need each other or another."""
    present = {name for name, value in identifier.items() if value.strip()}
    return bool(present - {"ip_address", "user_agent"}) or len(present) == 2


def _values(thing: Any, name: str) -> Iterator[Any]:
    """Every value that ``thing`` holds under ``name``, at any depth."""
    if isinstance(thing, dict):
        if name in thing:
            yield thing[name]
        for value in thing.values():
            yield from _values(value, name)
    elif isinstance(thing, list):
        for value in thing:
            yield from _values(value, name)
