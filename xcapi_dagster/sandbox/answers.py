"""What the sandbox is asked and what it answers: bodies and error texts as X's pages show them.

Texts that X documents come from `contract`; those marked as guesses follow the nearest documented shape.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from xcapi_dagster import contract

JSON_TYPE = "application/json;charset=utf-8"
HTML_TYPE = "text/html;charset=utf-8"
FORM_TYPE = "application/x-www-form-urlencoded"

_DOCUMENTED = {message.name: message for message in contract.ERROR_MESSAGES}

# X's guide, "403 Forbidden" and "404 Not Found": how these two texts go on after what identifies them.
_ENDINGS = {
    "application_without_access": " Use 'twurl accounts' and 'twurl set default <username> <key>' "
    "to change the application you're using.",
    "user_without_access": " Type 'sn {user_id}' to get the handle of the user. Use 'twurl accounts' and "
    "'twurl set default <username>' to change the user you're using.",
}

# X's error page lists these codes without their messages: the messages are guesses.
_CODE_OF_STATUS: Mapping[int, tuple[str, str]] = {
    401: ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated"),
    403: ("ACTION_NOT_ALLOWED", "This action is not allowed"),
    404: ("NOT_FOUND", "The requested resource could not be found"),
    405: ("METHOD_NOT_ALLOWED", "The method is not allowed for this resource"),
    408: ("CANCELLED_REQUEST", "The request was cancelled"),
    423: ("LOCK_ACQUISITION_TIMEOUT", "A lock could not be acquired in time"),
    429: ("TOO_MANY_REQUESTS", "Rate limit exceeded"),
    500: ("INTERNAL_ERROR", "An internal error has occurred"),
    503: ("SERVICE_UNAVAILABLE", "The service is temporarily unavailable"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it came in; header names are in lower case, ``base_url`` is scheme, host and path."""

    method: str
    base_url: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def parameters(self) -> str:
        """The query, and with it the body when that is a form: what X reads parameters from, and what is signed."""
        is_form = self.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE
        form = self.body.decode("ascii", "replace") if is_form else ""
        return "&".join(part for part in (self.query, form) if part)

    @property
    def is_json(self) -> bool:
        """Whether its content type says JSON and nothing packs the body."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return media_type == "application/json" and "content-encoding" not in self.headers


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, complete but for the headers that every answer has."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Error:
    """One entry of an answer's `errors`, and the status it brings when it stands alone."""

    status: int
    code: str | int
    message: str
    parameter: str | None = None

    def as_json(self) -> dict[str, str | int]:
        """The entry as X writes it: without `parameter` when the error is not about one."""
        entry: dict[str, str | int] = {"code": self.code, "message": self.message}
        return entry if self.parameter is None else entry | {"parameter": self.parameter}


def documented(name: str, *, echo: bool = True, **values: str) -> Error:
    """The error that `contract` calls ``name``; without ``echo`` its text leaves out the value, as X's tables do."""
    message = _DOCUMENTED[name]
    template = message.template + _ENDINGS.get(name, "")
    if not echo:
        template = template.replace(" ({value})", "").replace(', got "{value}"', "")
    parameter = values["parameter"] if message.parameter == "*" else message.parameter
    return Error(message.status, message.code, template.format(**values), parameter)


def of_status(status: int) -> Error:
    """The error that X's error page lists for a status alone; the message is a guess."""
    code, message = _CODE_OF_STATUS.get(status, ("INVALID", HTTPStatus(status).phrase))
    return Error(status, code, message)


def failure(
    *errors: Error,
    account_id: str | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """X's error body. 404 when any of the errors is a 404 (a guess: no page says what a mixture gets)."""
    status = 404 if any(error.status == 404 for error in errors) else errors[0].status
    echoed = {**(params or {}), **({} if account_id is None else {"account_id": account_id})}
    body = {"errors": [error.as_json() for error in errors], "request": {"params": echoed}}
    return Answer(status, to_json(body), headers=headers or {})


def success(account_id: str, processed: int, debug_id: str, headers: Mapping[str, str]) -> Answer:
    """X's success body, as its reference shows it."""
    data = {"conversions_processed": processed, "debug_id": debug_id}
    return Answer(200, to_json({"request": {"params": {"account_id": account_id}}, "data": data}), headers=headers)


def bare(status: int) -> Answer:
    """What X sends with a status when nothing else is known: its error body, or a gateway's page of HTML."""
    if status in _CODE_OF_STATUS:
        return failure(of_status(status))
    return html(status, f"<html><body><h1>{status}</h1></body></html>")


def html(status: int, page: str) -> Answer:
    """An answer that is a page, not JSON."""
    return Answer(status, page.encode(), content_type=HTML_TYPE)


def to_json(document: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """``document`` as compact ASCII JSON, whatever text it holds."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")
