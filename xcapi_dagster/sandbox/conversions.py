"""What X checks in the body of a conversions request: every rule, on every row, in the rows' order.

Pure: a document and an account in, errors out. X takes all conversions of a request or none, so one error refuses
the request. The texts are `contract`'s; which text a broken number, currency, address or type gets is a guess
that follows X's `Expected Long, got "x" for tweet_ids`.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from xcapi_dagster import contract
from xcapi_dagster.sandbox.answers import Error, documented
from xcapi_dagster.sandbox.world import Account

# Observed by others, on no page: a number without a decimal point is refused. X's examples all carry one.
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+")
_WHOLE_SECONDS = re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}Z")
_HASHES = {"hashed_email": "bad_hashed_email", "hashed_phone_number": "bad_hashed_phone_number"}
_TEXTS = ("conversion_id", "description")
_CONTENT_TEXTS = ("content_id", "content_name", "content_type")
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Rules:
    """Where X's documents disagree or are silent, the strict reading is the default.

    ``accept_whole_seconds`` takes times without milliseconds, ``accept_integers`` values without a decimal point;
    ``echo_values=False`` leaves values out of the messages, so that a client must search for the rows;
    ``merge_errors`` lists identical errors once.
    """

    accept_whole_seconds: bool = False
    accept_integers: bool = False
    echo_values: bool = True
    merge_errors: bool = False


STRICT = Rules()


def parse(body: bytes) -> object:
    """The JSON document in ``body``; None when it is none."""
    try:
        return json.loads(body.decode(), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def listed(document: object) -> list[Any]:
    """The conversions that a document lists; none when it is not of X's shape."""
    conversions = document.get("conversions") if isinstance(document, dict) else None
    return conversions if isinstance(conversions, list) else []


def check(document: object, account: Account, rules: Rules = STRICT) -> list[Error]:
    """Every error of a request's document; none when X would accept it."""
    errors = list(_shape_errors(document))
    if not errors:
        checks = _RowChecks(account, rules)
        errors = [error for row in listed(document) for error in checks.errors_of(row)]
    return list(dict.fromkeys(errors)) if rules.merge_errors else errors


def _shape_errors(document: object) -> Iterator[Error]:
    if not isinstance(document, dict):
        yield Error(400, "INVALID_PARAMETER", "The request body must be a JSON object")
    elif not document.get("conversions"):
        yield Error(400, "MISSING_PARAMETER", '"conversions" is a required parameter', "conversions")
    elif not isinstance(document["conversions"], list):
        yield Error(400, "INVALID_PARAMETER", '"conversions" must be an array', "conversions")
    elif len(document["conversions"]) > contract.MAX_CONVERSIONS_PER_REQUEST:
        yield documented("too_many_conversions")


@dataclass(frozen=True, slots=True)
class _RowChecks:
    account: Account
    rules: Rules

    def errors_of(self, row: object) -> Iterator[Error]:
        """All errors of one conversion: event, time, identifiers, numbers, then texts."""
        if not isinstance(row, dict):
            yield self._expected("Object", row, "conversions")
            return
        yield from self._event(row.get("event_id"))
        yield from self._time(row.get("conversion_time"))
        yield from self._identifiers(row.get("identifiers"))
        yield from self._price(row, "value")
        yield from self._currency(row)
        yield from self._quantity(row, "number_items")
        yield from self._contents(row.get("contents", []))
        yield from self._texts(row, _TEXTS)

    def _event(self, event_id: object) -> Iterator[Error]:
        if not event_id or not isinstance(event_id, str):
            yield documented("missing_event_id")
            return
        found = contract.EVENT_ID.fullmatch(event_id)
        short = found["event"] if found else event_id
        owner = self.account.pixel_of(short)
        if found and owner is not None and found["pixel"] in (None, owner):
            return
        if not self.account.knows(short):
            yield self._error("event_of_another_account", event_id)
        yield self._error("not_a_single_event_tag", event_id)

    def _time(self, time: object) -> Iterator[Error]:
        if not isinstance(time, str) or not self._is_time(time):
            yield self._error("bad_conversion_time", time)

    def _is_time(self, text: str) -> bool:
        has_shape = contract.CONVERSION_TIME.fullmatch(text)
        if not has_shape and not (self.rules.accept_whole_seconds and _WHOLE_SECONDS.fullmatch(text)):
            return False
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return False
        return True

    def _identifiers(self, identifiers: object) -> Iterator[Error]:
        entries = identifiers if isinstance(identifiers, list) else []
        for entry in entries:
            if isinstance(entry, dict):
                yield from self._identifier_values(entry)
        if not entries or not all(isinstance(entry, dict) and _is_usable(entry) for entry in entries):
            yield documented("missing_identifier")

    def _identifier_values(self, entry: dict[str, Any]) -> Iterator[Error]:
        for field, name in _HASHES.items():
            value = entry.get(field)
            if _is_given(value) and not (isinstance(value, str) and contract.SHA256.fullmatch(value)):
                yield self._error(name, value)
        address = entry.get("ip_address")
        if _is_given(address) and not _is_ipv4(address):
            yield self._expected("IPv4 address", address, "ip_address")
        for field in ("twclid", "user_agent"):
            value = entry.get(field)
            if _is_given(value) and not isinstance(value, str):
                yield self._expected("String", value, field)

    def _price(self, fields: dict[str, Any], field: str) -> Iterator[Error]:
        value = fields.get(field, _NOTHING)
        if value is not _NOTHING and not self._is_price(value):
            yield self._expected("Double", value, field)

    def _is_price(self, value: object) -> bool:
        if isinstance(value, str):
            return bool(_DECIMAL.fullmatch(value)) or (self.rules.accept_integers and _is_digits(value))
        if isinstance(value, float):
            return value >= 0
        return self.rules.accept_integers and isinstance(value, int) and not isinstance(value, bool) and value >= 0

    def _currency(self, row: dict[str, Any]) -> Iterator[Error]:
        currency = row.get("price_currency", "USD")
        if not isinstance(currency, str) or currency not in contract.CURRENCIES:
            yield self._expected("ISO-4217 currency", currency, "price_currency")

    def _quantity(self, fields: dict[str, Any], field: str) -> Iterator[Error]:
        value = fields.get(field, 1)
        if isinstance(value, bool) or not isinstance(value, int):
            yield self._expected("Long", value, field)
        elif value <= 0:
            yield self._expected("positive Long", value, field)

    def _contents(self, contents: object) -> Iterator[Error]:
        if not isinstance(contents, list):
            yield self._expected("Array", contents, "contents")
            return
        for content in contents:
            if not isinstance(content, dict):
                yield self._expected("Object", content, "contents")
                continue
            yield from self._price(content, "content_price")
            yield from self._quantity(content, "num_items")
            yield from self._texts(content, _CONTENT_TEXTS)
            # X's table says integer, its examples are strings
            group = content.get("content_group_id", "")
            if isinstance(group, bool) or not isinstance(group, str | int):
                yield self._expected("String", group, "content_group_id")

    def _texts(self, fields: dict[str, Any], names: tuple[str, ...]) -> Iterator[Error]:
        for name in names:
            if not isinstance(fields.get(name, ""), str):
                yield self._expected("String", fields[name], name)

    def _error(self, name: str, value: object) -> Error:
        return documented(name, echo=self.rules.echo_values, value=_shown(value))

    def _expected(self, kind: str, value: object, parameter: str) -> Error:
        values = {"type": kind, "value": _shown(value), "parameter": parameter}
        return documented("type_mismatch", echo=self.rules.echo_values, **values)


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _is_usable(entry: dict[str, Any]) -> bool:
    """Whether an identifiers object can match anybody by itself: an address or user agent alone cannot."""
    if any(_is_given(entry.get(name)) for name in ("twclid", *_HASHES)):
        return True
    return _is_given(entry.get("ip_address")) and _is_given(entry.get("user_agent"))


def _is_ipv4(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(IPv4Address(value).packed)
    except AddressValueError:
        return False


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no double can hold the number")
    return number
