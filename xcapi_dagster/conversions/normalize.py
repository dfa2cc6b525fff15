"""Order columns as X wants them: a function from column to column for each kind, and what each finds wrong.

What comes out is null wherever nothing can be sent; where something was given all the same, a fault says why.
"""

from collections.abc import Mapping
from functools import reduce
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.amounts import Amounts, to_counts
from xcapi_dagster.conversions.columns import Columns
from xcapi_dagster.conversions.faults import FAULTS, to_bits
from xcapi_dagster.conversions.hashing import is_sha256
from xcapi_dagster.conversions.items import to_contents
from xcapi_dagster.conversions.phones import to_e164
from xcapi_dagster.conversions.rules import Rules
from xcapi_dagster.conversions.schema import ORDERS
from xcapi_dagster.conversions.texts import (
    UNREADABLE,
    before,
    contains_any,
    drop_where,
    extract,
    flags,
    has_email,
    keep_where,
    lower,
    map_distinct,
    matches,
    replace_where,
    strip,
    strip_invisible,
)

# What programs write where there is nothing, in lower case.
_NOTHING = (
    "null", "none", "nan", "n/a", "na", "nil", "unknown", "undefined", "-",
    r"\n", "<na>", "#n/a", "[null]", "(null)", "<null>",
)  # fmt: skip
# What people type where an address is required. X's own examples (test@twitter.com, test-email@test.com) are none.
_NOBODY = (
    "test@test.com", "none@none.com", "null@null.com", "na@na.com", "unknown@unknown.com", "noemail@noemail.com",
    "no@email.com", "email@email.com", "a@a.com",
)  # fmt: skip
_NO_ADDRESS = r"^no[-_.]?e?mail@"
_PLACEHOLDER_HASHES = [
    sha256(text.encode()).hexdigest()
    for word in ("", *_NOTHING, *_NOBODY, "NaN")
    for text in {word, word.upper(), word.capitalize()}
]

# RFC 5322, section 3.2.3, without quoted texts; behind the at-sign only such signs of ASCII as names of hosts have
_NO_SIGN = r"\s\pZ\p{Cc}\x{FFFD}"
_LABEL = rf"[^{_NO_SIGN}!-,./:-@\[-^`{{-~]+"
_EMAIL = rf"^[^{_NO_SIGN}@\"(),:;<>\[\\\]]+@{_LABEL}(?:\.{_LABEL})+$"
_EMAIL_CHARACTERS = 254  # RFC 5321, section 4.5.3.1.3, without the angle brackets

_BEFORE_TWCLID = r"^[^?#]*\?(?:[^#]*&)?$"
_TWCLID = r"^[^?#]*\?(?:[^#]*?&)??twclid=(?P<twclid>[^&#]+)"

_URL = r"^(?P<page>(?i:https?)://[\pL\pN.-]+(?::[0-9]+)?(?:/[^?#]*)?)(?:[?#]|$)"
_URL_CHARACTERS = "%:/@!$&'()*+,;=[]-._~"  # RFC 3986, section 2: these stand for themselves, other than in a query

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"^{_OCTET}(?:\.{_OCTET}){{3}}$"
# IANA's registry of special-purpose IPv4 addresses, as far as it says "not globally reachable", and multicast.
_NOT_PUBLIC = (
    r"^(?:0|10|127|22[4-9]|23[0-9]|24[0-9]|25[0-5])\.|^100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|^169\.254\."
    r"|^172\.(?:1[6-9]|2[0-9]|3[01])\.|^192\.168\.|^192\.0\.[02]\.|^198\.1[89]\.|^198\.51\.100\.|^203\.0\.113\."
)

# Booleans as most have them, as numbers, as PostgreSQL writes them into CSV, and as a bit of MySQL's.
_CONSENT = {
    **dict.fromkeys(("granted", "true", "1", "t", "\x01"), "granted"),
    **dict.fromkeys(("denied", "false", "0", "f", "\x00"), "denied"),
}

_NAMES = {"quantity": "number_items", "items": "contents"}  # where X's name differs from the order column's

# X names no limits. With these a conversion fits into a request even if JSON writes each byte in six.
_TEXT_BYTES = 100_000
_DESCRIPTION_CHARACTERS = 500


class Normalized(NamedTuple):
    """A column ready to be sent, and by reason code where something was given that cannot be."""

    values: pa.Array
    faults: Mapping[str, pa.Array]


def normalize(columns: Columns, rules: Rules) -> pa.Table:
    """The orders as a table of ORDERS: what can be sent of each, and what is wrong with the rest."""
    texts = columns.texts
    found = {
        "order_id": normalize_given_text(texts["order_id"]),
        "conversion_id": normalize_conversion_id(texts["conversion_id"]),
        "twclid": normalize_twclid(texts["twclid"], texts["landing_url"]),
        "email": normalize_email(texts["email"]),
        "phone": normalize_phone(texts["phone"], texts["country"], rules.default_country),
        "hashed_email": normalize_hash(texts["hashed_email"]),
        "hashed_phone_number": normalize_hash(texts["hashed_phone_number"]),
        "ip_address": normalize_ip_address(texts["ip_address"]),
        "user_agent": normalize_given_text(texts["user_agent"]),
        "value": normalize_value(columns.amounts["value"]),
        "quantity": normalize_quantity(columns.amounts["quantity"]),
        "description": normalize_description(texts["description"]),
        "items": normalize_items(columns.items),
        "event_source_url": normalize_event_source_url(texts["event_source_url"], is_sent=rules.send_event_source_url),
    }
    found["landing_url"] = normalize_landing_url(texts["landing_url"], found["twclid"].values)
    values = {_NAMES.get(name, name): normalized.values for name, normalized in found.items()}
    values["conversion_id"] = or_order_id(found["conversion_id"], values["order_id"])
    values["event_id"] = pc.coalesce(strip(texts["event_id"]), rules.event_id)
    values["currency"] = normalize_currency(texts["currency"], found["value"], rules.default_currency)
    values["consent"] = normalize_consent(texts["consent"], rules.unknown_consent)
    values |= columns.times
    values["faults"] = to_bits({(name, code): found[name].faults[code] for name, code in FAULTS})
    return pa.table({name: values[name] for name in ORDERS.names}, schema=ORDERS)


def normalize_text(texts: pa.Array, characters: int | None = None) -> Normalized:
    """Free text without white space at its ends. None that is very long, none with an e-mail address in it."""
    return _checked(strip(texts), characters)


def normalize_given_text(texts: pa.Array) -> Normalized:
    """Free text; what programs write where there is none is none."""
    return _checked(_without_nothing(strip(texts)))


def _checked(texts: pa.Array, characters: int | None = None) -> Normalized:
    unreadable = flags(pc.equal(texts, UNREADABLE))
    too_long = pc.greater(pc.binary_length(texts), _TEXT_BYTES)
    if characters is not None:
        too_long = pc.or_(too_long, pc.greater(pc.utf8_length(texts), characters))
    faults = {"text_unreadable": unreadable, "text_too_long": flags(too_long), "text_has_identifier": has_email(texts)}
    return _without(texts, faults)


def normalize_conversion_id(texts: pa.Array) -> Normalized:
    """Free text, as the pixel sends it: whatever is wrong with it, no other id may take its place.

    What programs write for nothing is wrong: orders that share it are not the same one.
    """
    texts = strip(texts)
    values, faults = _checked(texts)
    invalid = reduce(pc.or_, faults.values(), _is_nothing(texts))
    return Normalized(drop_where(invalid, values), {"invalid_conversion_id": invalid})


def or_order_id(conversion_ids: Normalized, order_ids: pa.Array) -> pa.Array:
    """The conversion ids, the order id where a row has none."""
    return pc.coalesce(conversion_ids.values, drop_where(conversion_ids.faults["invalid_conversion_id"], order_ids))


def normalize_description(texts: pa.Array) -> Normalized:
    """Free text of at most 500 characters."""
    return normalize_text(texts, _DESCRIPTION_CHARACTERS)


def normalize_email(texts: pa.Array) -> Normalized:
    """Addresses as they are hashed: without white space and invisible characters at the ends, in lower case.

    Dots and tags stay, and Unicode as it is written: X documents nothing else.
    """
    emails = lower(strip_invisible(texts))
    is_listed = pc.is_in(emails, pa.array([*_NOTHING, *_NOBODY]))
    placeholder = pc.or_(is_listed, matches(emails, _NO_ADDRESS))
    is_short = pc.less_equal(pc.utf8_length(emails), _EMAIL_CHARACTERS)
    is_email = flags(pc.and_(is_short, matches(emails, _EMAIL)))
    invalid = pc.and_not(emails.is_valid(), pc.or_(placeholder, is_email))
    return _without(emails, {"email_invalid": invalid, "email_placeholder": placeholder})


def normalize_phone(texts: pa.Array, countries: pa.Array, default_country: str | None) -> Normalized:
    """Numbers in E.164; national ones are read in the row's country, or in the default where the row has none."""
    regions = pc.coalesce(pc.ascii_upper(strip(countries)), pa.scalar(default_country, pa.string()))
    numbers = to_e164(strip_invisible(texts), regions)
    return Normalized(numbers.values, {"phone_invalid": numbers.invalid, "phone_no_country": numbers.no_country})


def normalize_hash(texts: pa.Array) -> Normalized:
    """SHA-256 hashes that came hashed, in lower case."""
    hashes = pc.ascii_lower(strip_invisible(texts))
    placeholder = pc.is_in(hashes, pa.array(_PLACEHOLDER_HASHES))
    is_hash = flags(is_sha256(hashes))
    return _without(hashes, {"hash_invalid": pc.and_not(hashes.is_valid(), is_hash), "hash_placeholder": placeholder})


def normalize_twclid(texts: pa.Array, urls: pa.Array) -> Normalized:
    """Click ids as X gave them: from their column, else the first `twclid` in the query of the landing URL.

    What programs write where there is none is none in either place.
    """
    from_urls = _first_twclid(urls)
    is_encoded = contains_any(from_urls, "%+")
    from_urls = replace_where(is_encoded, from_urls, lambda some: map_distinct(some, unquote_plus))
    texts, from_urls = _without_nothing(strip(texts)), _without_nothing(strip(from_urls))
    is_readable = pc.not_equal(texts, UNREADABLE)
    return _checked(pc.coalesce(keep_where(is_readable, texts), from_urls, texts))


def normalize_landing_url(texts: pa.Array, click_ids: pa.Array) -> Normalized:
    """Landing URLs, of which the click id alone is sent: one that is no text is missed where there is no other id."""
    unreadable = pc.and_(flags(pc.equal(texts, UNREADABLE)), click_ids.is_null())
    return _without(texts, {"text_unreadable": unreadable})


def _first_twclid(urls: pa.Array) -> pa.Array:
    """What _TWCLID finds in each URL: mostly between the first `twclid=` and the end of the query or its parameter."""
    parts = pc.split_pattern(urls, "twclid=", max_splits=1)
    has_some = flags(pc.equal(pc.list_value_length(parts), 2))
    parts = parts.filter(has_some)
    head, ids = pc.list_element(parts, 0), before("&", pc.list_element(parts, 1))
    ids = replace_where(contains_any(ids, "#"), ids, lambda some: before("#", some))
    is_other = pc.invert(pc.and_(matches(head, _BEFORE_TWCLID), pc.not_equal(ids, "")))
    others = extract(urls.filter(has_some).filter(is_other), _TWCLID, "twclid")
    ids = pc.replace_with_mask(ids, is_other, others)
    return pc.replace_with_mask(pa.nulls(len(urls), pa.string()), has_some, ids)


def normalize_ip_address(texts: pa.Array) -> Normalized:
    """Public IPv4 addresses in dotted form; PostgreSQL writes the address of one host as a network of 32 bits."""
    addresses = strip(texts)
    is_network = pc.ends_with(addresses, "/32")
    addresses = replace_where(is_network, addresses, lambda some: pc.utf8_slice_codeunits(some, 0, -3))
    is_ipv4 = matches(addresses, _IPV4)
    not_public = pc.and_(is_ipv4, matches(addresses, _NOT_PUBLIC))
    return _without(addresses, {"ip_not_ipv4": pc.and_not(addresses.is_valid(), is_ipv4), "ip_not_public": not_public})


def normalize_value(amounts: Amounts) -> Normalized:
    """Amounts as they are: the rules of orders judge their sign."""
    return Normalized(amounts.values, {"invalid_value": amounts.unreadable})


def normalize_currency(texts: pa.Array, value: Normalized, default_currency: str | None) -> pa.Array:
    """Codes in upper case, the default where the row has none, and null where the row has no value."""
    has_value = pc.or_(value.values.is_valid(), value.faults["invalid_value"])
    codes = pc.coalesce(pc.ascii_upper(strip(texts)), pa.scalar(default_currency, pa.string()))
    return keep_where(has_value, codes)


def normalize_quantity(amounts: Amounts) -> Normalized:
    """Whole numbers above zero."""
    counts = to_counts(amounts)
    return Normalized(counts.values, {"invalid_quantity": counts.unreadable})


def normalize_items(items: pa.Array) -> Normalized:
    """The JSON of X's `contents`, all items of an order or none."""
    contents = to_contents(items)
    too_long = flags(pc.greater(pc.binary_length(contents.values), _TEXT_BYTES))
    return _without(
        contents.values,
        {"invalid_items": contents.invalid, "text_has_identifier": contents.has_email, "text_too_long": too_long},
    )


def normalize_event_source_url(texts: pa.Array, *, is_sent: bool) -> Normalized:
    """Addresses of web pages as RFC 3986 writes them, without query and fragment, where people's data stand.

    Nulls without a fault unless they are to be sent.
    """
    if not is_sent:
        texts = pa.nulls(len(texts), pa.string())
    texts = strip(texts)
    pages = extract(texts, _URL, "page")
    is_unusual = matches(pages, r"[^!-~]|[\"<>\\^`{|}]")
    pages = replace_where(is_unusual, pages, lambda some: map_distinct(some, _percent_encoded))
    has_address = pc.or_(has_email(pages), flags(pc.match_substring(pages, "%40")))
    too_long = flags(pc.greater(pc.binary_length(pages), _TEXT_BYTES))
    invalid = pc.and_not(texts.is_valid(), pages.is_valid())
    return _without(pages, {"invalid_url": invalid, "text_has_identifier": has_address, "text_too_long": too_long})


def normalize_consent(texts: pa.Array, unknown_consent: str) -> pa.Array:
    """`granted`, `denied` or `unknown`; only where nothing is given does ``unknown_consent: send`` mean granted."""
    answers = pc.ascii_lower(strip(texts))
    known = pa.array(list(_CONSENT.values())).take(pc.index_in(answers, pa.array(list(_CONSENT))))
    unasked = "granted" if unknown_consent == "send" else "unknown"
    return pc.if_else(answers.is_null(), unasked, pc.coalesce(known, "unknown"))


def _without_nothing(texts: pa.Array) -> pa.Array:
    """The stripped texts, null where one is what programs write for nothing."""
    return drop_where(_is_nothing(texts), texts)


def _is_nothing(texts: pa.Array) -> pa.Array:
    """Which of the stripped texts are what programs write for nothing; false for null. Long ones cost nothing."""
    is_short = flags(pc.less_equal(pc.binary_length(texts), max(map(len, _NOTHING))))
    if not pc.any(is_short).as_py():
        return is_short
    is_listed = pc.is_in(pc.ascii_lower(texts.filter(is_short)), pa.array(_NOTHING))
    return pc.replace_with_mask(is_short, is_short, is_listed)


def _percent_encoded(url: str) -> str:
    return quote(url, safe=_URL_CHARACTERS)


def _without(values: pa.Array, faults: Mapping[str, pa.Array]) -> Normalized:
    """The values without those that have a fault."""
    for rows in faults.values():
        values = drop_where(rows, values)
    return Normalized(values, faults)
