"""The faults planted in the sample orders: which reasons, on how many orders, and what is written into the row.

An order gets at most one entry of PLAN; the reasons it must then be reported for are noted in its `reasons`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from random import Random
from typing import Any

Row = dict[str, Any]

# The shop release of this day left the country column empty until it was taken back in the afternoon.
RELEASE = (datetime(2026, 10, 28, 8, tzinfo=UTC), datetime(2026, 10, 28, 16, tzinfo=UTC))
HOLDS_ITS_COUNTRY = ("+", "00", "010", "011")  # how a phone number dialled from abroad starts, somewhere

REJECTED = frozenset(
    {"missing_order_id", "duplicate_order", "negative_value", "missing_currency", "invalid_currency"}
    | {"invalid_event_id", "no_identifier", "needs_second_identifier", "api_event_id"}
)
SUPPRESSED = frozenset({"consent_denied", "consent_unknown"})


def stage(reason: str) -> str:
    """Where the reason is found: in the order itself, in its consent, or by X."""
    first_word, _ = reason.split("_", 1)
    return first_word if first_word in {"consent", "api"} else "validate"


def severity(reason: str) -> str:
    """What becomes of the order: it is not sent, or (degraded) it is sent without the field at fault."""
    return "rejected" if reason in REJECTED else "suppressed" if reason in SUPPRESSED else "degraded"


def any_order(_: Row) -> bool:
    """Suits a fault that needs nothing of the order."""
    return True


def has_email(row: Row) -> bool:
    """Has a raw e-mail, so that phone, hash and address can be spoiled and the order is sent all the same."""
    return row["email"] is not None


def has_click(row: Row) -> bool:
    """Has a twclid, so that e-mail and phone can be spoiled and the order is sent all the same."""
    return row["twclid"] is not None or "twclid=" in row["landing_url"]


def has_value(row: Row) -> bool:
    """Has a value, and therefore a currency."""
    return row["value"] is not None


def has_email_and_value(row: Row) -> bool:
    """Has both, for a fault of the money and one of the phone at once."""
    return has_email(row) and has_value(row)


def has_address_and_agent(row: Row) -> bool:
    """Has both halves of the pair, so that one of them can be left alone."""
    return row["ip_address"] is not None and row["user_agent"] is not None


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted kind. `columns` holds each column's faulty values, taken in turn, order by order."""

    reasons: tuple[str, ...]
    count: int
    columns: Mapping[str, tuple[Any, ...]]
    suits: Callable[[Row], bool] = any_order
    day: tuple[int, int] | None = None  # month and day, when the cause was an incident of that day


def hashes(*texts: str) -> tuple[str, ...]:
    """The SHA-256 of each text."""
    return tuple(sha256(text.encode()).hexdigest() for text in texts)


def item(price: str, number: int) -> list[Row]:
    """An order's only item, with this price and this many pieces."""
    return [
        {"content_id": "SKU-1000", "content_name": "Wool blanket", "content_price": Decimal(price), "num_items": number}
    ]


Values = dict[str, tuple[Any, ...]]
NO_PERSON: Values = {
    "email": (None,), "phone": (None,), "hashed_email": (None,), "hashed_phone_number": (None,), "twclid": (None,),
    "landing_url": ("https://shop.example.com/",),
}  # fmt: skip
NOBODY: Values = NO_PERSON | {"ip_address": (None,), "user_agent": (None,)}
BAD_EMAILS = ("marie.example.com", "marie curie@example.com", "marie@", "@example.com", "marie@@example.com")
BAD_PHONES = ("+44 12", "call me", "+44 7700 9xxxxx", "1-800-FLOWERS", "+1 212 555 0147 0147 0147", "?")
PRIVATE_ADDRESSES = ("10.0.3.7", "192.168.1.20", "127.0.0.1", "172.16.4.2", "169.254.10.1", "100.64.8.9")

PLAN = (
    Fault(("missing_order_id",), 5, {"order_id": (None, "", "  "), "conversion_id": (None,)}),
    Fault(("negative_value",), 6, {"value": (Decimal(-20), Decimal(-1))}, has_value),
    Fault(("missing_currency",), 7, {"currency": (None,)}, has_value),
    Fault(("invalid_currency",), 6, {"currency": ("EURO", "ZZZ", "$")}, has_value),
    Fault(("invalid_event_id",), 5, {"event_id": ("Purchase", "order completed", "tw-odemo1-")}),
    Fault(("no_identifier",), 8, NOBODY),
    Fault(("needs_second_identifier",), 4, NO_PERSON | {"user_agent": (None,)}, has_address_and_agent),
    Fault(("needs_second_identifier",), 4, NO_PERSON | {"ip_address": (None,)}, has_address_and_agent),
    Fault(("invalid_quantity",), 6, {"quantity": (-1, 0, -3)}),
    Fault(("invalid_items",), 5, {"items": (item("49.00", -1), item("-49.00", 1), item("49.00", 0))}),
    Fault(("text_too_long",), 4, {"description": ("A very long note. " * 1_000, "長い説明" * 5_000)}),
    Fault(("text_has_identifier",), 6, {"description": ("Gift for marie@example.com", "Marie <marie@example.org>")}),
    Fault(("email_invalid",), 10, {"email": BAD_EMAILS, "hashed_email": (None,)}, has_click),
    Fault(("email_placeholder",), 8, {"email": ("null", "None", "N/A", "nan"), "hashed_email": (None,)}, has_click),
    Fault(("phone_invalid",), 9, {"phone": BAD_PHONES, "hashed_phone_number": (None,)}, has_email),
    Fault(("phone_no_country",), 3, {"phone": ("07700 900123", "(212) 555-0147"), "country": (None,)}, has_email),
    Fault(("hash_invalid",), 3, {"hashed_email": ("d41d8cd98f00b204e9800998ecf8427e", "marie@example.com"),
                                 "email": (None,)}, has_click),
    Fault(("hash_invalid",), 3, {"hashed_phone_number": (hashes("")[0][:63],), "phone": (None,)}, has_email),
    Fault(("hash_placeholder",), 3, {"hashed_email": hashes("", "null", "n/a"), "email": (None,)}, has_click),
    Fault(("hash_placeholder",), 2, {"hashed_phone_number": hashes("", "none"), "phone": (None,)}, has_email),
    Fault(("ip_not_ipv4",), 7, {"ip_address": ("2a02:8071:b5c0::1", "2600:1700:5::8", "81.2.69.300")}, has_email),
    Fault(("ip_not_public",), 7, {"ip_address": PRIVATE_ADDRESSES[:1]}, has_email, (10, 25)),  # a new load balancer
    Fault(("ip_not_public",), 5, {"ip_address": PRIVATE_ADDRESSES[1:]}, has_email),
    Fault(("consent_denied",), 9, {"consent": ("denied",)}),
    Fault(("consent_unknown",), 9, {"consent": (None,)}, day=(10, 31)),  # the consent banner did not load
    Fault(("consent_unknown",), 2, {"consent": (None,)}),
    Fault(("missing_currency", "phone_invalid"), 3, {"currency": (None,), "phone": BAD_PHONES}, has_email_and_value),
    Fault(("negative_value", "invalid_currency"), 3, {"value": (Decimal(-5),), "currency": ("EURO",)}, has_value),
    Fault(("email_invalid", "no_identifier"), 4, NOBODY | {"email": BAD_EMAILS}),
    Fault(("ip_not_public", "needs_second_identifier"), 3, NO_PERSON | {"ip_address": PRIVATE_ADDRESSES},
          has_address_and_agent),
    Fault(("email_placeholder", "phone_invalid"), 3, {"email": ("NULL",), "phone": BAD_PHONES, "hashed_email": (None,),
                                                      "hashed_phone_number": (None,)}, has_click),
    Fault(("invalid_event_id", "text_has_identifier"), 2, {"event_id": ("Purchase",),
                                                           "description": ("For marie@example.com",)}),
    Fault(("api_event_id",), 5, {"event_id": ("onotset",)}),  # well-formed, but no event of the demo's account
)  # fmt: skip
COPIES, UPDATES, SHARED_IDS, WITHOUT_TIME = 3, 6, 3, 3


def plant(rng: Random, rows: list[Row]) -> None:
    """Spoil the orders that the plan asks for and note their reasons; add the duplicates' other rows."""
    release_without_country(rows)
    pool = [row for row in rows if not row["reasons"]]
    rng.shuffle(pool)
    for fault in PLAN:
        for number in range(fault.count):
            row = take(pool, fault)
            row.update({name: values[number % len(values)] for name, values in fault.columns.items()})
            row["reasons"] = fault.reasons
    rows.extend(duplicates(pool))
    for _ in range(WITHOUT_TIME):
        pool.pop()["ordered_at"] = None  # of no day, so nothing is ever read or reported of it but their number


def take(pool: list[Row], fault: Fault) -> Row:
    """The next order out of the pool that suits the fault."""
    for position, row in enumerate(pool):
        at = row["ordered_at"]
        if fault.suits(row) and fault.day in (None, (at.month, at.day)):
            return pool.pop(position)
    raise LookupError(f"no order left for {fault.reasons}")


def release_without_country(rows: list[Row]) -> None:
    """Empty the country of the release's orders; the national phone numbers among them lose their meaning.

    A number dialled from abroad is left alone, for without a country its prefix means nothing either; so is an
    order that has nothing but its phone.
    """
    for row in rows:
        if not RELEASE[0] <= row["ordered_at"] < RELEASE[1]:
            continue
        phone = row["phone"]
        if phone is None or phone.startswith("+"):
            row["country"] = None
        elif not phone.startswith(HOLDS_ITS_COUNTRY) and (has_email(row) or has_click(row)):
            row |= {"country": None, "reasons": ("phone_no_country",)}


def duplicates(pool: list[Row]) -> Iterator[Row]:
    """The other rows of orders that came twice; whichever row loses is noted."""
    for _ in range(COPIES):
        yield pool.pop() | {"reasons": ("duplicate_order",)}
    for _ in range(UPDATES):
        row = pool.pop()
        row["reasons"] = ("duplicate_order",)
        later = (row["updated_at"] or row["ordered_at"]) + timedelta(hours=2)
        yield row | {"updated_at": later, "description": "Address corrected", "reasons": ()}
    for _ in range(SHARED_IDS):  # another order number, the same conversion id: an export that split an order
        row = pool.pop()
        row |= {"conversion_id": row["conversion_id"] or row["order_id"], "reasons": ("duplicate_order",)}
        later = (row["updated_at"] or row["ordered_at"]) + timedelta(hours=2)
        yield row | {"order_id": f"{row['order_id']}-B", "updated_at": later, "reasons": ()}
