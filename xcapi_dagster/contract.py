"""What X documents about its Ads API: numbers, enumerations and error messages, each with its page.

The client and the sandbox share this module and nothing else, so that each can catch the other's mistakes.

Pages cited here:

* GUIDE: "Set up Conversion API", business.x.com and docs.x.com, 2022 to 2026
* REFERENCE: "Web Conversions", docs.x.com/x-ads-api/measurement/web-conversions (whole until 2026-05-04)
* LIMITS: "Rate limiting", docs.x.com/x-ads-api/fundamentals/rate-limiting
* ERRORS: "Error codes and responses", docs.x.com/x-ads-api/fundamentals/error-codes-and-responses
* VERSIONS: "Versioning", docs.x.com/x-ads-api/fundamentals/versioning
* SIGN_IN: "3-legged OAuth flow" and "PIN-based OAuth", docs.x.com/fundamentals/authentication/oauth-1-0a
* ACCOUNTS: "Accounts", docs.x.com/x-ads-api/campaign-management/reference
"""

import re
from dataclasses import dataclass
from typing import Literal

API_URL = "https://ads-api.x.com"
API_VERSION = "12"  # VERSIONS: introduced 2022-10-27, no end announced
CONVERSIONS_PATH = "/{version}/measurement/conversions/{pixel_id}"  # REFERENCE
PIXEL_TOKEN_HEADER = "X-Pixel-Token"  # noqa: S105 - a name. Not on REFERENCE; X's own tag-manager template sends it

# SIGN_IN: on another host than the Ads API
OAUTH_URL = "https://api.x.com"
REQUEST_TOKEN_PATH = "/oauth/request_token"  # noqa: S105 - a path
AUTHORIZE_PATH = "/oauth/authorize"
ACCESS_TOKEN_PATH = "/oauth/access_token"  # noqa: S105 - a path
PIN_CALLBACK = "oob"

ACCOUNTS_PATH = "/{version}/accounts"  # ACCOUNTS
USER_ACCESS_PATH = "/{version}/accounts/{account_id}/authenticated_user_access"  # ACCOUNTS
ROLES_THAT_MAY_SEND = frozenset({"ACCOUNT_ADMIN", "AD_MANAGER"})  # GUIDE, "Access tokens"

MAX_CONVERSIONS_PER_REQUEST = 500  # REFERENCE
MAX_BODY_BYTES = 4_000_000  # not documented here; X's audience endpoint states 5,000,000

# Two documented limits, 833 times apart: 60,000 events (GUIDE) or 100,000 requests of up to 500 (REFERENCE)
# per account in 15 minutes. The small one is the default.
RATE_WINDOW_SECONDS = 900
EVENTS_PER_WINDOW = 60_000
EVENTS_PER_WINDOW_MAX = 100_000 * MAX_CONVERSIONS_PER_REQUEST
REQUESTS_PER_MINUTE = 400  # LIMITS: 450 writes a minute; some are left for other tools
USER_READS = 5  # LIMITS: questions of one user that name no ads account, in the same 15 minutes
REQUESTS_PER_MINUTE_MAX = 100_000 // 15

DEDUPLICATION_HOURS = 48  # GUIDE: between the pixel and the API, counted from when an event is received

# LIMITS: the account's headers take precedence over the user's; resets are Unix seconds.
RATE_LIMIT_HEADERS = ("x-account-rate-limit", "x-rate-limit")
RETRY_AFTER_HEADER = "retry-after"  # ERRORS: on 503
WARNING_HEADER = "x-api-warn"  # VERSIONS: on endpoints that will be removed
CLOCK_CODE = 135  # X's response codes: timestamp out of bounds

PIXEL_ID = re.compile(r"[0-9a-z]+")  # REFERENCE: base 36
# REFERENCE: `o87ne` and `tw-o8z6j-o87ne` are accepted and mean the same event.
EVENT_ID = re.compile(r"(?:tw-(?P<pixel>[0-9a-z]+)-)?(?P<event>[0-9a-z]+)")
SHA256 = re.compile(r"[0-9a-f]{64}")
# ERRORS on REFERENCE: yyyy-MM-ddTHH:mm:ss.SSSZ
CONVERSION_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

# ISO 4217, active codes, and VEF, which X still lists (REFERENCE: X assumes USD where none is given).
CURRENCIES = frozenset(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD "
    "CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP "
    "GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK "
    "LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR "
    "PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL "
    "THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VEF VES VND VUV WST XAF XCD XCG XOF "
    "XPF YER ZAR ZMW ZWG".split()
)

# REFERENCE, "Web Event Tags"
EVENT_TAGS_PATH = "/{version}/accounts/{account_id}/web_event_tags"
MAX_EVENT_TAG_IDS = 200  # in web_event_tag_ids
MAX_COUNT = 1_000  # of things on one page of a list
DEFAULT_COUNT = 200
SORT_BY = re.compile(r"[a-z_]+-(?:asc|desc)")  # which attributes of an event tag can be sorted by is on no page
EVENT_TAG_TYPES = (
    "ADDED_PAYMENT_INFO", "ADD_TO_CART", "ADD_TO_WISHLIST", "CHECKOUT_INITIATED", "CONTENT_VIEW", "CUSTOM", "DOWNLOAD",
    "PRODUCT_CUSTOMIZATION", "PURCHASE", "SEARCH", "SIGN_UP", "SITE_VISIT", "START_TRIAL", "SUBSCRIBE",
)  # fmt: skip
EVENT_TAG_TYPES_IN_EVENTS_MANAGER = {"SITE_VISIT": "Page view", "SIGN_UP": "Lead"}  # where the names differ
CLICK_WINDOWS = (1, 7, 14, 30)  # days
VIEW_THROUGH_WINDOWS = (0, 1, 7, 14, 30)  # days, at most the click window
WINDOWS_OF_EVENTS_MANAGER_ALONE = (60, 90)  # GUIDE, questions and answers: X's interface has them, its API has not

Scope = Literal["row", "row_without_value", "request", "credentials", "clock", "configuration"]


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """One documented error: how X words it, and whom it concerns.

    ``template`` is what X answers, with ``{value}`` where it echoes what it was sent; ``pattern`` recognizes it.
    ``scope`` says what is at fault: one row whose value is echoed, one row that is not named, the request as a
    whole, the credentials, the clock, or the configured account, pixel or route.
    """

    name: str
    status: int
    code: str | int
    parameter: str | None
    template: str
    pattern: re.Pattern[str]
    scope: Scope


def _message(
    name: str, status: int, code: str | int, parameter: str | None, template: str, pattern: str, scope: Scope
) -> ErrorMessage:
    return ErrorMessage(name, status, code, parameter, template, re.compile(pattern, re.IGNORECASE | re.DOTALL), scope)


# REFERENCE and ERRORS, in the order in which to try them: the general type mismatch is the last.
# Case and parentheses differ between the pages' tables and their JSON examples; the patterns accept both.
ERROR_MESSAGES: tuple[ErrorMessage, ...] = (
    _message(
        "missing_identifier", 400, "INVALID_PARAMETER", "",
        "At least one user identifier must be provided",
        r"at least one user identifier must be provided\.?",
        "row_without_value",
    ),
    _message(
        "bad_hashed_email", 400, "INVALID_PARAMETER", "hashed_email",
        "hashed_email ({value}) is not a valid SHA-256 hash",
        r"hashed_email(?: \(?(?P<value>.*?)\)?)? is not a valid SHA-256 hash",
        "row",
    ),
    _message(
        "bad_hashed_phone_number", 400, "INVALID_PARAMETER", "hashed_phone_number",
        "hashed_phone_number ({value}) is not a valid SHA-256 hash",
        r"hashed_phone_number(?: \(?(?P<value>.*?)\)?)? is not a valid SHA-256 hash",
        "row",
    ),
    _message(
        "bad_conversion_time", 400, "INVALID_PARAMETER", "conversion_time",
        'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "{value}" for conversion_time',
        r'expected time in yyyy-MM-ddTHH:mm:ss\.SSSZ, got "(?P<value>.*)" for conversion_time',
        "row",
    ),
    _message(
        "not_a_single_event_tag", 400, "INVALID_PARAMETER", "event_id",
        "event_id ({value}) is not a single event tag (SET)",
        r"event_id \(?(?P<value>.*?)\)? is not a single event tag \(SET\)",
        "row",
    ),
    _message(
        "event_of_another_account", 404, "NOT_FOUND", "event_id",
        "event_id ({value}) does not belong to provided account",
        r"event_id \(?(?P<value>.*?)\)? does not belong to provided account",
        "row",
    ),
    _message(
        "missing_event_id", 400, "MISSING_PARAMETER", "event_id",
        "Event ID was not found", r"event id was not found\.?", "row_without_value",
    ),
    _message(
        "too_many_conversions", 400, "INVALID_PARAMETER", "conversions",
        "Conversion count limit is 500", r"conversion count limit is (?P<value>\d+)", "request",
    ),
    _message(
        "not_authenticated", 401, "UNAUTHORIZED_ACCESS", None,
        "This request is not properly authenticated", r".*not properly authenticated.*", "credentials",
    ),
    _message(
        "clock", 401, CLOCK_CODE, None,
        "Timestamp out of bounds.", r"timestamp out of bounds.*", "clock",
    ),
    _message(
        "could_not_authenticate", 401, 32, None,
        "Could not authenticate you.", r"could not authenticate you\.?", "credentials",
    ),
    _message(
        "bad_authentication_data", 400, 215, None,
        "Bad Authentication data.", r"bad authentication data\.?", "credentials",
    ),
    _message(
        "expired_token", 401, 89, None,
        "Invalid or expired token.", r"invalid or expired token\.?", "credentials",
    ),
    _message(
        "application_without_access", 403, "UNAUTHORIZED_CLIENT_APPLICATION", None,
        "The client application with id {value} making this request does not have access to Twitter Ads API. "
        "Ensure your application has advertiser-api access.",
        r"the client application .*does not have access to.*", "credentials",
    ),
    _message(
        "user_without_access", 404, "NOT_FOUND", None,
        "User {user_id} does not have access to account {value}.",
        r"user (?P<user>\S+) does not have access to account (?P<value>[^.\s]+).*", "configuration",
    ),
    _message(
        "account_not_found", 403, "ACCOUNT_NOT_FOUND", None,
        "Account {value} was not found", r"account (?P<value>\S+) was not found\.?", "configuration",
    ),
    _message(
        "route_not_found", 404, "ROUTE_NOT_FOUND", None,
        "The requested resource could not be found", r"the requested resource could not be found\.?", "configuration",
    ),
    _message(
        "version_not_available", 404, "INVALID", None,
        "Version {value} is not available.", r"version (?P<value>[\d.]+) is not available\.?", "configuration",
    ),
    _message(
        "type_mismatch", 400, "INVALID_PARAMETER", "*",
        'Expected {type}, got "{value}" for {parameter}',
        r'expected (?P<type>.+?), got "(?P<value>.*)" for (?P<parameter>\S+)',
        "row",
    ),
)  # fmt: skip


def recognize(text: str) -> tuple[ErrorMessage, dict[str, str]] | None:
    """The documented message that ``text`` is, with the values X echoed in it; None for an unknown one."""
    for message in ERROR_MESSAGES:
        if found := message.pattern.fullmatch(text.strip()):
            return message, {name: value for name, value in found.groupdict().items() if value is not None}
    return None


def short_event_id(event_id: str) -> str:
    """The event id without its `tw-<pixel>-` prefix: both forms name one event."""
    return event_id.rsplit("-", 1)[-1]
