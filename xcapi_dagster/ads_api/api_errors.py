"""What X says is wrong: the entries of an answer's `errors`, each with whom it concerns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xcapi_dagster.ads_api.catalogue import SCOPE_OF_CODE
from xcapi_dagster.ads_api.redact import MASK, redact
from xcapi_dagster.contract import ErrorMessage, Scope, recognize

_LONGEST_MESSAGE = 4_000  # a longer one is not worth the time of the patterns
_CODE = re.compile(r"[A-Z0-9_]{1,60}")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z_0-9.\[\]]{0,60}|")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ABOUT_THE_BODY = re.compile(r"\bjson\b|\brequest body\b|\bcontent[- ]type\b", re.IGNORECASE)

_SCOPE_OF_PARAMETER: Mapping[str, Scope] = {
    "conversions": "request",
    "account_id": "configuration",
    "pixel_id": "configuration",
}


@dataclass(frozen=True, slots=True)
class ApiError:
    """One error of an answer.

    ``message_name`` is the name in `contract.ERROR_MESSAGES`, None for a message that X does not document; ``value``
    is what X echoed, verbatim: never log it. ``template`` is the message without any value. ``scope`` is None when X
    says neither what it means nor which parameter it is about.
    """

    code: str | None
    parameter: str | None
    message_name: str | None
    value: str | None = field(repr=False)
    template: str
    scope: Scope | None

    @property
    def is_about_rows(self) -> bool:
        """Whether one or more conversions are at fault, and not the request as a whole."""
        return self.scope in ("row", "row_without_value")


def read_errors(document: Any) -> tuple[ApiError, ...]:
    """The errors of a parsed answer, in X's order; empty for anything that is not X's error document."""
    entries = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return ()
    return tuple(_read(entry) for entry in entries if isinstance(entry, dict))


def unreadable(status: int) -> ApiError:
    """In place of the errors that an answer should have had and has not."""
    return ApiError(None, None, None, None, f"status {status} without a readable error", None)


def _read(entry: Mapping[str, Any]) -> ApiError:
    text = entry["message"] if isinstance(entry.get("message"), str) else ""
    code = _clean(entry.get("code"), _CODE)
    known, echoed = (recognize(text) if len(text) <= _LONGEST_MESSAGE else None) or (None, {})
    parameter = _clean(entry.get("parameter"), _PARAMETER)
    if parameter is None and known and known.parameter is not None:
        parameter = _clean(echoed.get("parameter", known.parameter), _PARAMETER)
    return ApiError(
        code=code,
        parameter=parameter,
        message_name=known.name if known else None,
        value=echoed.get("value"),
        template=_template(known, echoed, parameter) if known else redact(text),
        scope=_scope(known, code, parameter, text),
    )


def _clean(value: object, pattern: re.Pattern[str]) -> str | None:
    """``value`` as text when it looks as it should; a value of a row could stand in any field."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    return text if text is not None and pattern.fullmatch(text) else None


def _template(known: ErrorMessage, echoed: Mapping[str, str], parameter: str | None) -> str:
    shown = {"parameter": parameter or MASK, "type": redact(echoed.get("type", MASK))}
    return _PLACEHOLDER.sub(lambda found: shown.get(found[1], MASK), known.template)


def _scope(known: ErrorMessage | None, code: str | None, parameter: str | None, text: str) -> Scope | None:
    """Whom the error concerns. Its parameter goes first: a value that X echoes may read like any other message."""
    if of_parameter := _SCOPE_OF_PARAMETER.get(parameter or ""):
        return of_parameter
    if known and known.scope in ("row", "row_without_value"):
        return known.scope
    if parameter:
        return "row_without_value"
    if of_code := SCOPE_OF_CODE.get(code or ""):
        return of_code
    if known:
        return known.scope
    return "request" if _ABOUT_THE_BODY.search(text) else None
