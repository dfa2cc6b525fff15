"""Scripted faults: what X does on a bad day, for the requests that a script names.

A script is a list of faults, as Python values or as JSON:

    [{"match": {"request": 3}, "do": {"status": 503, "headers": {"retry-after": "7"}}},
     {"match": {"next": 2}, "do": {"drop": "after"}},
     {"match": {"conversion_id": "A-17"}, "do": {"answer": "html", "delay": 0.5}}]

The first fault that matches a request is the one that happens to it.
"""

import dataclasses
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from xcapi_dagster.sandbox.answers import HTML_TYPE, JSON_TYPE, Answer, bare, html, of_status, to_json

Shape = Literal[
    "html",
    "empty",
    "truncated_json",
    "errors_in_200",
    "count_plus_one",
    "count_minus_one",
    "count_as_string",
    "other_account",
]
SHAPES: tuple[str, ...] = get_args(Shape)

_NOT_JSON = (
    "<html><head><title>Over capacity</title></head><body><h1>Something is technically wrong.</h1></body></html>"
)


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests: one by its number (from 1), the next so many, or all that hold a conversion. Exactly one."""

    request: int | None = None
    next: int | None = None
    conversion_id: str | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.request, self.next, self.conversion_id) if value is not None]
        if len(given) != 1:
            raise ValueError("match needs exactly one of request, next and conversion_id")
        for count in (self.request, self.next):
            if count is not None and (type(count) is not int or count < 1):
                raise ValueError("match.request and match.next count from 1")
        if self.conversion_id is not None and not isinstance(self.conversion_id, str):
            raise ValueError("match.conversion_id must be text")


@dataclass(frozen=True, slots=True)
class Do:
    """What happens then, in this order.

    ``delay``: seconds to wait first. ``drop``: close the connection without an answer, before or after processing.
    ``status`` and ``body``: this answer instead of the true one; with ``status`` the request is not processed,
    unless ``process`` is true (a 504 for what arrived). Without a ``body`` the answer has X's usual one.
    ``answer``: the true answer, spoiled. ``headers``: added to whatever is answered.
    """

    delay: float = 0
    drop: Literal["before", "after"] | None = None
    status: int | None = None
    body: str | None = None
    answer: Shape | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    process: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.delay, bool) or not isinstance(self.delay, int | float) or not 0 <= self.delay < 3600:
            raise ValueError("do.delay must be a number of seconds")
        if self.drop not in (None, "before", "after"):
            raise ValueError("do.drop must be before or after")
        if self.status is not None and (type(self.status) is not int or not 200 <= self.status <= 599):
            raise ValueError("do.status must be an HTTP status from 200 to 599")
        if self.body is not None and not isinstance(self.body, str):
            raise ValueError("do.body must be text")
        if self.answer is not None and self.answer not in SHAPES:
            raise ValueError(f"do.answer must be one of {', '.join(SHAPES)}")
        if self.process is not None and not isinstance(self.process, bool):
            raise ValueError("do.process must be true or false")
        _check_headers(self.headers)

    @property
    def processes(self) -> bool:
        """Whether the request is checked and stored as if nothing were wrong."""
        if self.drop == "before":
            return False
        return self.status is None if self.process is None else self.process

    def spoiled(self, true_answer: Answer | None) -> Answer:
        """The answer that is sent instead of the true one (None when the request was not processed)."""
        answer = bare(self.status or 200) if true_answer is None or self.status else true_answer
        if self.answer is not None:
            answer = _shaped(answer, self.answer)
        if self.body is not None:
            looks_like_json = self.body.lstrip().startswith(("{", "["))
            answer = Answer(
                answer.status, self.body.encode(), JSON_TYPE if looks_like_json else HTML_TYPE, answer.headers
            )
        return dataclasses.replace(answer, headers={**answer.headers, **self.headers})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a script."""

    match: Match
    do: Do


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int | None  # how often it still happens; None when nothing counts it down

    def fires(self, number: int, conversion_ids: Callable[[], Collection[str]]) -> bool:
        match = self.fault.match
        if match.request is not None:
            return match.request == number
        if match.conversion_id is not None:
            return match.conversion_id in conversion_ids()
        if not self.left:
            return False
        self.left -= 1
        return True


class Script:
    """The faults that are still to happen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []

    def replace(self, faults: Iterable[Fault]) -> None:
        """Forgets the script and takes this one; an empty one ends all faults."""
        with self._lock:
            self._armed = [_Armed(fault, fault.match.next) for fault in faults]

    def take(self, number: int, conversion_ids: Callable[[], Collection[str]]) -> Do | None:
        """What happens to this request, if anything; it is then used up."""
        with self._lock:
            for armed in self._armed:
                if armed.fires(number, conversion_ids):
                    return armed.fault.do
        return None


def from_json(script: object) -> list[Fault]:
    """The faults that a JSON script describes. Raises ValueError, in one line, for anything else."""
    if not isinstance(script, list):
        raise ValueError("a script is a list of faults")  # noqa: TRY004 - bad input, no bug
    return [_fault(entry) for entry in script]


def _fault(entry: object) -> Fault:
    if not isinstance(entry, dict) or entry.keys() != {"match", "do"}:
        raise ValueError('a fault is {"match": {...}, "do": {...}}')
    return Fault(_of(Match, entry["match"]), _of(Do, entry["do"]))


def _of(kind: type[Any], values: object) -> Any:
    names = [each.name for each in dataclasses.fields(kind)]
    if not isinstance(values, dict) or not values.keys() <= set(names):
        raise ValueError(f"{kind.__name__.lower()} is an object with any of {', '.join(names)}")
    return kind(**values)


def _check_headers(headers: object) -> None:
    pairs = list(headers.items()) if isinstance(headers, Mapping) else [(None, None)]
    for text in (text for pair in pairs for text in pair):
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise ValueError("do.headers must be an object of printable ASCII texts")


def _shaped(answer: Answer, shape: Shape) -> Answer:
    match shape:
        case "html":
            return dataclasses.replace(html(answer.status, _NOT_JSON), headers=answer.headers)
        case "empty":
            return dataclasses.replace(answer, body=b"")
        case "truncated_json":
            return dataclasses.replace(answer, body=answer.body[: len(answer.body) // 2])
    return _recounted(answer, shape)


def _recounted(answer: Answer, shape: Shape) -> Answer:
    """A success that is not quite one; anything else stays as it is, and so do counts where nothing is counted."""
    if answer.status != 200 or answer.content_type != JSON_TYPE:
        return answer
    body = json.loads(answer.body)
    if shape == "errors_in_200":
        body["errors"] = [of_status(500).as_json()]
    elif shape == "other_account":
        body["request"]["params"]["account_id"] = "18ce55other"
    elif "conversions_processed" in body["data"]:
        processed = body["data"]["conversions_processed"]
        counts = {"count_plus_one": processed + 1, "count_minus_one": processed - 1, "count_as_string": str(processed)}
        body["data"]["conversions_processed"] = counts[shape]
    return dataclasses.replace(answer, body=to_json(body))
