"""The types of settings: what each takes, and what it says of what it does not take."""

import re
from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, SecretStr

from xcapi_dagster import contract


def matching(pattern: str, message: str) -> AfterValidator:
    """Takes texts that match the whole ``pattern``; of others it says ``message``."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone; use a name such as Europe/Berlin or UTC") from None
    return value


def _true_or_false(value: object) -> object:
    if isinstance(value, str) and value.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return value.lower() == "true" if isinstance(value, str) else value


def _secret(value: SecretStr) -> SecretStr:
    if not all("!" <= character <= "~" for character in value.get_secret_value()):
        raise ValueError("holds white space or a character that no key has; was it pasted with a line break?")
    return value


def _iso_date(value: object) -> object:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a date such as 2026-10-20") from None
    return value


TimeZone = Annotated[str, AfterValidator(_time_zone)]
Date = Annotated[date, BeforeValidator(_iso_date)]
Flag = Annotated[bool, BeforeValidator(_true_or_false)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
AdsId = Annotated[str, matching(contract.PIXEL_ID.pattern, "is no id of X's: lower-case letters and digits")]
Country = Annotated[str, matching("[A-Z]{2}", "must be an ISO 3166 country code of two capital letters, such as US")]
