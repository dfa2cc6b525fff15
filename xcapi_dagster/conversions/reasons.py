"""The reason codes: a closed set, stable across releases, each with what it means and what to do about it.

A code is never renamed or given another meaning; new ones may be added. Severity says what becomes of the order:
`rejected` and `suppressed` orders are not sent, `held` ones wait for an operator, `degraded` ones are sent without
the field at fault, or (`changed_after_acceptance`) stay at X as they were accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Stage = Literal["validate", "consent", "api", "delivery"]
Severity = Literal["rejected", "suppressed", "held", "degraded"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is reported, in plain words; ``meaning`` and ``fix`` are a sentence each."""

    code: str
    stage: Stage
    severity: Severity
    meaning: str
    fix: str

    def columns(self) -> dict[str, str]:
        """What the rows of REJECTIONS for this reason hold in the columns that are about it."""
        return {"stage": self.stage, "severity": self.severity, "reason_code": self.code, "fix": self.fix}


_REJECTED = (
    ("missing_order_id",
     "The order has no id or a word for none, such as null, or one that is no text, too long or an e-mail address.",
     "Fill order_id in the query, with a number or a short text that identifies nobody; cast other types to text."),
    ("invalid_conversion_id",
     "conversion_id is no text, too long, a word for none such as null, or holds an e-mail address.",
     "Give the id that the pixel sends, or NULL: then the order id takes its place."),
    ("duplicate_order",
     "Another row with the same event and conversion id is newer.",
     "Nothing, if the newer row is right and can be sent; else mend it, or give every order its own conversion_id."),
    ("invalid_time",
     "ordered_at is empty, no time, or a local time that does not exist or exists twice.",
     "Give ordered_at as a timestamp with a zone, or correct XCAPI_SOURCE_TIMEZONE."),
    ("future_time",
     "ordered_at is more than 10 minutes ahead of the clock.",
     "Check the zone of ordered_at: XCAPI_SOURCE_TIMEZONE holds for timestamps without one."),
    ("invalid_value",
     "value is no plain decimal number with at most 32 digits before the point and six behind it.",
     "Give value as a decimal, rounded to six digits behind a point, without currency signs; NaN is none."),
    ("negative_value",
     "value is below zero, as a refund's would be.",
     "Leave refunds and cancelled orders out of the query: X cannot take a conversion back."),
    ("missing_currency",
     "The order has a value but no currency, and there is no default.",
     "Fill currency in the query or set XCAPI_DEFAULT_CURRENCY."),
    ("invalid_currency",
     "currency is no active ISO 4217 code.",
     "Give currency as an ISO 4217 code such as USD."),
    ("invalid_event_id",
     "event_id is no id of a single event tag, or is one of another pixel.",
     "Copy the id from Events Manager, such as o87ne or tw-o8z6j-o87ne, where o8z6j is X_ADS_PIXEL_ID."),
    ("no_identifier",
     "Nothing usable is left that tells X whose order it is.",
     "Give at least one of twclid, landing_url, email and phone."),
    ("needs_second_identifier",
     "An IP address or a user agent identifies nobody without another identifier.",
     "Give twclid, email or phone too, or both the IP address and the user agent where that pair is allowed."),
)  # fmt: skip

_DEGRADED = (
    ("invalid_quantity",
     "quantity is no whole number above zero; the order goes without it.",
     "Give quantity as a positive whole number or leave it empty."),
    ("invalid_items",
     "An item is unreadable, its price negative or its number no whole one above zero; the order goes without items.",
     "Give items as a list of structs or a JSON array of objects, with plain decimal prices and positive counts."),
    ("invalid_url",
     "event_source_url is no address of a web page; the order goes without it.",
     "Give the whole address, beginning with https://."),
    ("text_unreadable",
     "The value is no text, or text in another encoding than UTF-8; the order goes without it.",
     "Cast the column to text in the query, or decode it there."),
    ("text_too_long",
     "The text is longer than can be sent; the order goes without it, unless it is the order_id.",
     "Shorten it in the query: 500 characters for a description, 100,000 bytes for anything else."),
    ("text_has_identifier",
     "The text contains an e-mail address, never sent unhashed; the order goes without it, unless it is the order_id.",
     "Remove e-mail addresses from this column in the query."),
    ("email_invalid",
     "email is no e-mail address; the order goes without it.",
     "Correct it at its source; a value that is hashed already belongs into hashed_email."),
    ("email_placeholder",
     "email stands for no address, as null or none@none.com do; the order goes without it.",
     "Make it NULL in the query."),
    ("phone_invalid",
     "phone is no possible telephone number; the order goes without it.",
     "Correct it at its source; store phones as text, best in E.164."),
    ("phone_no_country",
     "phone is a national number, and country is empty or no ISO 3166 code of two letters; the order goes without it.",
     "Fill country with the code of the number's country, as GB, not UK or GBR, or set XCAPI_DEFAULT_COUNTRY."),
    ("hash_invalid",
     "The value is no SHA-256 hash of 64 hexadecimal digits; the order goes without it.",
     "Hash with SHA-256, without salt, or give the raw value in email or phone."),
    ("hash_placeholder",
     "The value is the hash of an empty or placeholder text; the order goes without it.",
     "Make it NULL in the query where there was nothing to hash."),
    ("ip_not_ipv4",
     "ip_address is no dotted IPv4 address, the only kind X documents; the order goes without it.",
     "Give a host's address without a network mask, as host(…) does in PostgreSQL; nothing can be done for IPv6."),
    ("ip_not_public",
     "ip_address is private or reserved, often a load balancer's; the order goes without it.",
     "Store the visitor's address, as the first public one in X-Forwarded-For."),
)  # fmt: skip

_SUPPRESSED = (
    ("consent_denied",
     "The person did not agree to this use of their data.",
     "Nothing: it must not be sent."),
    ("consent_unknown",
     "Nothing that can be read says whether the person agreed.",
     "Fill consent with granted or denied, or set XCAPI_UNKNOWN_CONSENT for orders without a consent value."),
    ("forgotten",
     "Somebody asked that this order be forgotten, with xcapi forget.",
     "Nothing: it must not be sent. Remove it from the warehouse too, if that was asked."),
)  # fmt: skip

_DELIVERY: tuple[tuple[str, Stage, Severity, str, str], ...] = (
    ("unknown_outcome", "delivery", "held",
     "X's answer never came or cannot be trusted, so nobody knows whether the conversion counts.",
     "Run again within 44 hours with XCAPI_ON_UNKNOWN=resend; later compare the day's count in Ads Manager."),
    ("too_late_to_deduplicate", "delivery", "rejected",
     "The order is so old that X could count it twice: once from the pixel, once from here.",
     "Sync daily; for history that no pixel reported, set XCAPI_PIXEL_ALSO_FIRES=false."),
    ("changed_after_acceptance", "delivery", "degraded",
     "The order is not as it was when X accepted it; X keeps the old one, because it has no corrections.",
     "Nothing: column or detail says what changed. Schedule the sync for when orders change no more."),
    ("api_group_held", "api", "held",
     "X refuses something in this group of conversions and searching for the row would cost too many requests.",
     "Correct what the other rejections of this partition name and run it again."),
    ("api_unrecognised", "api", "rejected",
     "X refused the conversion with a message that is not documented.",
     "Read detail and ask X with the debug id."),
)  # fmt: skip

# What X may name in `errors[].parameter`: the fields of a conversion, its identifiers and its contents.
API_PARAMETERS = (
    "conversion_time", "event_id", "identifiers", "twclid", "hashed_email", "hashed_phone_number", "ip_address",
    "user_agent", "value", "price_currency", "number_items", "conversion_id", "description", "contents",
    "content_id", "content_group_id", "content_name", "content_price", "content_type", "num_items", "event_source_url",
)  # fmt: skip


def reason_of_parameter(parameter: str) -> Reason:
    """The reason for an order that X refused because of ``parameter``, one of API_PARAMETERS."""
    return Reason(
        f"api_{parameter}",
        "api",
        "rejected",
        f"X refused the conversion because of {parameter}.",
        f"Correct what becomes {parameter}; detail has X's message.",
    )


def _catalogue() -> dict[str, Reason]:
    reasons = [
        *(Reason(code, "validate", "rejected", meaning, fix) for code, meaning, fix in _REJECTED),
        *(Reason(code, "validate", "degraded", meaning, fix) for code, meaning, fix in _DEGRADED),
        *(Reason(code, "consent", "suppressed", meaning, fix) for code, meaning, fix in _SUPPRESSED),
        *(reason_of_parameter(parameter) for parameter in API_PARAMETERS),
        *(Reason(*row) for row in _DELIVERY),
    ]
    return {reason.code: reason for reason in reasons}


REASONS: Mapping[str, Reason] = MappingProxyType(_catalogue())


def reason(code: str) -> Reason:
    """The reason with this code; KeyError for a code that is not in the set."""
    return REASONS[code]
