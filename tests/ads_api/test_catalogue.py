"""The catalogue of errors, held against every code and message that X's pages hold."""

import re

import pytest

from xcapi_dagster import contract
from xcapi_dagster.ads_api.catalogue import EXPLANATIONS, SCOPE_OF_CODE, explain, explain_status

# X's page "Error codes and responses", status by status.
CODES = {
    400: """DUPLICATE_TWEET EXCLUSIVE_PARAMETERS FEATURE_NOT_AVAILABLE ILLEGAL_CHARACTERS INCLUSIVE_PARAMETERS
        INVALID_PARAMETER MISSING_PARAMETER REQUEST_TOO_COMPLEX""",
    401: "UNAUTHORIZED_ACCESS",
    403: """ACCOUNT_LOCKED_OUT ACCOUNT_NOT_FOUND ACTION_NOT_ALLOWED CURRENT_USER_SUSPENDED READONLY_CLIENT_APPLICATION
        UNAUTHORIZED_CLIENT_APPLICATION USER_NOT_FOUND""",
    404: "NOT_FOUND ROUTE_NOT_FOUND INVALID_ID_ILLEGAL_CHARACTERS WEB_EVENT_TAG_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "CANCELLED_REQUEST",
    423: "LOCK_ACQUISITION_TIMEOUT",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE OVER_CAPACITY",
}
# X's page "Response codes": the gateway's numbers, and those of the sign-in pages.
NUMBERS = "32 63 64 88 89 99 135 215 220 261 326 415 416 417".split()
# What X's guide and reference tell of statuses: "200-series", "400-series", "500-series" and these.
STATUSES = (301, 302, 307, 308, 400, 401, 403, 404, 405, 406, 408, 410, 413, 415, 423, 429, 500, 501, 502, 503, 504)
APPLICATION_WITHOUT_ACCESS = (
    "The client application with id <> making this request does not have access to Twitter Ads API. Ensure your "
    "application has advertiser-api access. Use 'twurl accounts' and 'twurl set default <username> <key>' to change "
    "the application you're using."
)
USER_WITHOUT_ACCESS = (
    "User <user_id> does not have access to account <account_id>. Type 'sn <user_id>' to get the handle of the user. "
    "Use 'twurl accounts' and 'twurl set default <username>' to change the user you're using."
)
# X's guide, "Conversion API error codes": status and message, as in its tables and its JSON.
MESSAGES = [
    (400, "At least one user identifier must be provided"),
    (400, "Hashed_email is not a valid SHA-256 hash"),
    (400, "hashed_email (abc) is not a valid SHA-256 hash"),
    (400, "Event_id (<event_id>) is not a single event tag (SET)"),
    (400, "event_id (o6dkt) is not a single event tag (SET)"),
    (400, "Conversion count limit is 500"),
    (400, "Event ID was not found"),
    (400, 'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "2022-06-16T01:14:00.603" for conversion_time'),
    (400, 'Expected time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "2022-06-16T01:14:00.603" for conversion_time'),
    (403, APPLICATION_WITHOUT_ACCESS),
    (404, "The requested resource could not be found"),
    (404, USER_WITHOUT_ACCESS),
    (404, "event_id <event_id> does not belong to provided account"),
    (404, "event_id (abc) does not belong to provided account"),
]


@pytest.mark.parametrize(("status", "code"), [(status, code) for status in CODES for code in CODES[status].split()])
def test_every_code_of_x_is_explained(status: int, code: str) -> None:
    """Each code has its entry, with the status that X documents it with."""
    found = explain(code)
    assert found is not None
    assert status in found.statuses


@pytest.mark.parametrize("number", NUMBERS)
def test_every_number_of_the_gateway_is_explained(number: str) -> None:
    """Each number has its entry."""
    assert explain(number) is not None


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_explained(status: int) -> None:
    """A status without any readable error says what to do as well."""
    assert explain_status(status).fix


@pytest.mark.parametrize(("status", "message"), MESSAGES)
def test_every_message_of_the_guide_is_explained(status: int, message: str) -> None:
    """Each message of X's pages is recognized and has an entry, with its status."""
    recognized = contract.recognize(message)
    assert recognized is not None
    found = explain(recognized[0].name)
    assert found is not None
    assert status in found.statuses


@pytest.mark.parametrize("message", contract.ERROR_MESSAGES, ids=lambda message: message.name)
def test_everything_in_the_contract_is_explained(message: contract.ErrorMessage) -> None:
    """Each message of the contract has an entry with its status, and so has its code."""
    found = explain(message.name)
    assert found is not None
    assert message.status in found.statuses
    assert message in found.messages
    assert explain(str(message.code)) is not None


def test_one_error_has_one_entry() -> None:
    """No name stands in two entries, no meaning with the same advice twice."""
    names = [name for each in EXPLANATIONS for name in each.names]
    assert len(names) == len(set(names))
    texts = [(each.meaning, each.fix) for each in EXPLANATIONS]
    assert len(texts) == len(set(texts))


def test_texts_read_on_as_one_line() -> None:
    """Phrases without a capital (but X's own name and settings), a full stop, a break or a value."""
    for each in EXPLANATIONS:
        for text in (each.meaning, each.fix):
            assert re.match(r"[a-z]|X |X'|X_ADS_", text), text
            assert not text.endswith(".")
            assert "\n" not in text
            assert "{" not in text


def test_what_a_code_accuses_is_what_its_message_accuses() -> None:
    """Where the contract says who is at fault for a code's message, the code alone says the same."""
    accused = {str(m.code): m.scope for m in contract.ERROR_MESSAGES if str(m.code) in SCOPE_OF_CODE}
    assert accused == {code: SCOPE_OF_CODE[code] for code in accused}
