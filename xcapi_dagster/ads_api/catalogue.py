"""Every error that X documents: what it means, what to do about it and who must do it, each said here alone.

Codes in capitals are those of X's page "Error codes and responses"; numbers are its gateway's, of "Response codes".
What shares a code is told apart by its message and stands under that message's name in `contract`; an answer without
any of these stands under its status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from xcapi_dagster.contract import CLOCK_CODE, ERROR_MESSAGES, ErrorMessage, Scope


class Who(StrEnum):
    """Who can end an error."""

    SETUP = "whoever sets up the sync"
    QUERY = "whoever writes the orders' query"
    MACHINE = "whoever looks after this machine and its network"
    APP_OWNER = "the owner of the app"
    USER = "the user of the access token"
    ADMINISTRATOR = "an administrator of the ads account"
    MAINTAINERS = "the maintainers of xcapi-dagster"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One error of X's, under one or more names; ``meaning`` and ``fix`` read on as `meaning: fix`.

    ``statuses`` are the HTTP statuses that X documents it with. ``scope`` is what is at fault where the code alone
    tells that, None where only its message or parameter does.
    """

    names: tuple[str, ...]
    statuses: tuple[int, ...]
    scope: Scope | None
    who: Who
    meaning: str
    fix: str

    @property
    def messages(self) -> tuple[ErrorMessage, ...]:
        """How X words it, where it documents that."""
        return tuple(message for message in ERROR_MESSAGES if message.name in self.names)


_SIGN_IN = (
    "set X_ADS_CONSUMER_KEY, X_ADS_CONSUMER_SECRET, X_ADS_ACCESS_TOKEN and X_ADS_ACCESS_TOKEN_SECRET, or "
    "X_ADS_PIXEL_TOKEN, to what the X developer portal or Events Manager shows"
)
_NEW_TOKEN = "then generate a new access token, because an older one keeps the old access"  # noqa: S105 - advice
ROLE_ADVICE = "an administrator of the ads account must make the user an ad manager or account administrator"
_REPORT = "upgrade xcapi-dagster, or report this line"
_CORRECT = "correct the value; of an order's, the rejection report names the order"
_WAIT = "nothing: a sync waits and tries again as long as that is safe; if it lasts, look at X's status page"

_Row = tuple[tuple[str, ...], tuple[int, ...], Scope | None, Who, str, str]

_ACCESS: tuple[_Row, ...] = (
    (("UNAUTHORIZED_ACCESS", "not_authenticated", "HTTP 401"), (401,), "credentials", Who.SETUP,
     "X does not accept the credentials", _SIGN_IN),
    (("32", "could_not_authenticate"), (401,), "credentials", Who.SETUP,
     "X does not accept the credentials, or the signature that was made with them", _SIGN_IN),
    (("99",), (401,), "credentials", Who.SETUP,
     "X cannot verify the credentials", _SIGN_IN),
    (("215", "bad_authentication_data"), (400,), "credentials", Who.SETUP,
     "X finds the credentials incomplete", _SIGN_IN),
    (("89", "expired_token"), (401, 403), "credentials", Who.USER,
     "the access token was revoked or has expired",
     "sign in anew with `xcapi auth login`, or set X_ADS_ACCESS_TOKEN and X_ADS_ACCESS_TOKEN_SECRET to new ones"),
    ((str(CLOCK_CODE), "clock"), (401,), "clock", Who.MACHINE,
     "this machine's clock differs from X's", "correct it, best by NTP"),
    (("UNAUTHORIZED_CLIENT_APPLICATION", "application_without_access"), (403,), "credentials", Who.APP_OWNER,
     "the app of X_ADS_CONSUMER_KEY has no access to the Ads API, or to this part of it",
     f"its owner must ask X for it and {_NEW_TOKEN}"),
    (("READONLY_CLIENT_APPLICATION", "261"), (403,), "credentials", Who.APP_OWNER,
     "the app of X_ADS_CONSUMER_KEY may only read",
     f"its owner must set it to read and write in the X developer portal and {_NEW_TOKEN}"),
    (("ACCOUNT_LOCKED_OUT", "326"), (403,), "credentials", Who.USER,
     "X has locked the user of X_ADS_ACCESS_TOKEN", "that user must sign in at x.com and clear it"),
    (("CURRENT_USER_SUSPENDED", "63", "64"), (403,), "credentials", Who.USER,
     "X has suspended the user of X_ADS_ACCESS_TOKEN",
     "that user must appeal at x.com, or another user with a role on the ads account must sign in"),
    (("USER_NOT_FOUND",), (403,), "credentials", Who.SETUP,
     "X does not know the user of X_ADS_ACCESS_TOKEN", _SIGN_IN),
    (("ACTION_NOT_ALLOWED", "220", "HTTP 403"), (403,), "credentials", Who.ADMINISTRATOR,
     "X denies access",
     f"{ROLE_ADVICE} (the user of X_ADS_ACCESS_TOKEN); an X_ADS_PIXEL_TOKEN must be one of the pixel X_ADS_PIXEL_ID"),
    (("user_without_access",), (404,), None, Who.ADMINISTRATOR,
     "the user of X_ADS_ACCESS_TOKEN has no role on the ads account that allows this",
     f"{ROLE_ADVICE}; or X_ADS_ACCOUNT_ID or X_ADS_PIXEL_ID is another account's: correct it"),
    (("FEATURE_NOT_AVAILABLE",), (400,), "configuration", Who.ADMINISTRATOR,
     "X has not enabled this feature for the ads account", "ask X's representative for it"),
    (("ACCOUNT_NOT_FOUND", "account_not_found"), (403,), "configuration", Who.SETUP,
     "X does not know the ads account", "correct X_ADS_ACCOUNT_ID or X_ADS_PIXEL_ID"),
    (("415",), (), "credentials", Who.APP_OWNER,
     "the app does not allow this callback address while signing in",
     "its owner must add the address that `xcapi auth login` names to its callback URLs in the X developer portal"),
    (("416",), (), "credentials", Who.APP_OWNER,
     "X has suspended the app of X_ADS_CONSUMER_KEY", "its owner must clear it in the X developer portal"),
    (("417",), (), "credentials", Who.SETUP,
     "the app may sign users in by PIN only", "run `xcapi auth login` without --loopback"),
)  # fmt: skip

_ROWS: tuple[_Row, ...] = (
    (("INVALID_PARAMETER",), (400,), None, Who.QUERY,
     "X does not take a field's value: which one, the message and the parameter tell", _CORRECT),
    (("MISSING_PARAMETER",), (400,), None, Who.QUERY,
     "X misses a field: which one, the message and the parameter tell", _CORRECT),
    (("missing_identifier",), (400,), None, Who.QUERY,
     "a conversion has nothing that tells X whose it is: an IP address or a user agent alone is not enough",
     "give every order at least one of twclid, email and phone"),
    (("bad_hashed_email",), (400,), None, Who.QUERY,
     "a hashed e-mail address is no SHA-256 hash", "give 64 hexadecimal digits, or the address itself in email"),
    (("bad_hashed_phone_number",), (400,), None, Who.QUERY,
     "a hashed telephone number is no SHA-256 hash", "give 64 hexadecimal digits, or the number itself in phone"),
    (("bad_conversion_time",), (400,), None, Who.MAINTAINERS,
     "a conversion's time is not written as X wants it, in UTC with milliseconds and a Z", _REPORT),
    (("not_a_single_event_tag",), (400,), None, Who.SETUP,
     "the event id is no single event tag: it may be the pixel's own id",
     "copy the event's ID from Events Manager into X_ADS_EVENT_ID or the query's event_id"),
    (("event_of_another_account",), (404,), None, Who.SETUP,
     "the event does not exist in the ads account that owns the pixel",
     "copy the event's ID from this pixel's Events Manager into X_ADS_EVENT_ID or the query's event_id"),
    (("missing_event_id",), (400,), None, Who.SETUP,
     "a conversion has no event id", "set X_ADS_EVENT_ID or fill the query's event_id"),
    (("type_mismatch",), (400,), None, Who.QUERY,
     "a field's value is of the wrong kind: X names the kind that it expects", _CORRECT),
)  # fmt: skip

_REQUESTS: tuple[_Row, ...] = (
    (("HTTP 400",), (400,), None, Who.MAINTAINERS,
     "X could not read the request, which is a defect of xcapi-dagster", _REPORT),
    (("too_many_conversions", "HTTP 413"), (400, 413), None, Who.NOBODY,
     "the request has too many conversions or bytes", "nothing: a sync halves it and sends both halves"),
    (("EXCLUSIVE_PARAMETERS",), (400,), None, Who.MAINTAINERS,
     "the request has two parameters that X takes only one of", _REPORT),
    (("INCLUSIVE_PARAMETERS",), (400,), None, Who.MAINTAINERS,
     "the request has a parameter without another that belongs to it", _REPORT),
    (("ILLEGAL_CHARACTERS",), (400,), None, Who.SETUP,
     "a text has characters that X does not take", "remove control characters from names and descriptions"),
    (("REQUEST_TOO_COMPLEX",), (400,), None, Who.MAINTAINERS,
     "X finds the request too complex", _REPORT),
    (("DUPLICATE_TWEET",), (400,), None, Who.NOBODY,
     "a post with the same text exists", "nothing: it is about X's posts, which xcapi-dagster has nothing to do with"),
    (("METHOD_NOT_ALLOWED", "HTTP 405"), (405,), "configuration", Who.SETUP,
     "X does not take this kind of request there", f"correct X_ADS_API_URL or X_ADS_API_VERSION; else {_REPORT}"),
    (("ROUTE_NOT_FOUND", "route_not_found"), (404,), "configuration", Who.SETUP,
     "X finds no such pixel or address", "correct X_ADS_PIXEL_ID, X_ADS_API_URL or X_ADS_API_VERSION"),
    (("NOT_FOUND", "HTTP 404"), (404,), None, Who.SETUP,
     "X finds no such pixel, account or address",
     "correct X_ADS_PIXEL_ID, X_ADS_ACCOUNT_ID, X_ADS_API_URL or X_ADS_API_VERSION"),
    (("INVALID_ID_ILLEGAL_CHARACTERS",), (404,), "configuration", Who.SETUP,
     "an id has characters that no id of X's has", "correct X_ADS_ACCOUNT_ID, X_ADS_PIXEL_ID or the event tag's id"),
    (("WEB_EVENT_TAG_NOT_FOUND",), (404,), "configuration", Who.SETUP,
     "the ads account has no such event tag, or it is deleted", "take an id that `xcapi tags list` shows"),
    (("INVALID",), (), None, Who.SETUP,
     "X does not take the request: why, the message tells", "correct what it names"),
    (("version_not_available",), (404,), None, Who.SETUP,
     "X no longer serves this version of its API", "upgrade xcapi-dagster, or correct X_ADS_API_VERSION"),
    (("HTTP 3xx",), (), None, Who.SETUP,
     "X_ADS_API_URL answers with a redirect, which is never followed",
     "set X_ADS_API_URL to the API itself, https://ads-api.x.com"),
    (("HTTP 407",), (407,), None, Who.MACHINE,
     "the proxy wants credentials", "correct HTTPS_PROXY"),
    (("HTTP 4xx", "HTTP 406", "HTTP 410", "HTTP 415"), (406, 410, 415), None, Who.SETUP,
     "X does not take the request", "correct X_ADS_API_URL or X_ADS_API_VERSION, or upgrade xcapi-dagster"),
    (("HTTP 501", "HTTP 505"), (501, 505), None, Who.SETUP,
     "what answers at X_ADS_API_URL cannot serve such a request at all",
     "correct X_ADS_API_URL or HTTPS_PROXY"),
)  # fmt: skip

_WAITS: tuple[_Row, ...] = (
    (("TOO_MANY_REQUESTS", "88", "HTTP 429"), (429,), None, Who.NOBODY,
     "the ads account's limit is used up",
     "nothing: a sync waits as long as X asks; set XCAPI_EVENTS_PER_15_MIN lower where other tools share the limit"),
    (("CANCELLED_REQUEST", "HTTP 408"), (408,), None, Who.NOBODY,
     "X gave the request up", _WAIT),
    (("LOCK_ACQUISITION_TIMEOUT", "HTTP 423"), (423,), None, Who.NOBODY,
     "X was busy with another change to the same thing", _WAIT),
    (("INTERNAL_ERROR", "HTTP 500"), (500,), None, Who.NOBODY,
     "something failed inside X", _WAIT),
    (("HTTP 502",), (502,), None, Who.NOBODY,
     "X's gateway got no proper answer from behind it", _WAIT),
    (("SERVICE_UNAVAILABLE", "HTTP 503"), (503,), None, Who.NOBODY,
     "X is out of service for the moment", _WAIT),
    (("OVER_CAPACITY",), (503,), None, Who.NOBODY,
     "X has more to do than it can", _WAIT),
    (("HTTP 504",), (504,), None, Who.NOBODY,
     "X's gateway waited too long for an answer from behind it: the request may have been processed", _WAIT),
    (("HTTP 5xx",), (), None, Who.NOBODY,
     "X failed", _WAIT),
)  # fmt: skip

EXPLANATIONS: tuple[Explanation, ...] = tuple(Explanation(*row) for row in (*_ACCESS, *_ROWS, *_REQUESTS, *_WAITS))

_OF_NAME: Mapping[str, Explanation] = MappingProxyType(
    {name: explanation for explanation in EXPLANATIONS for name in explanation.names}
)

# What a code accuses by itself; a code that is not here leaves that to its message and parameter.
SCOPE_OF_CODE: Mapping[str, Scope] = MappingProxyType(
    {name: explanation.scope for name, explanation in _OF_NAME.items() if explanation.scope is not None}
)


def explain(name: str) -> Explanation | None:
    """The error of this name: a code, a message's name in `contract`, or a status as in `HTTP 404`."""
    return _OF_NAME.get(name)


def explain_status(status: int) -> Explanation:
    """What an answer with this status means that says no more; the status is one of a failure."""
    return _OF_NAME.get(f"HTTP {status}") or _OF_NAME[f"HTTP {status // 100}xx"]
