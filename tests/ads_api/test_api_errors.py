"""Who is at fault when X refuses: rows, or the people and settings behind them; messages as X's pages show them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.ads_api.responses import Answer, ApiError, classify

ACCOUNT = "18ce552mlaq"
EMAIL = "jane.doe@example.com"


def answer(status: int, body: Any) -> Answer:
    """What an answer means; ``body`` is JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, {}, content, sent=1, account_id=ACCOUNT, now=1_800_000_000.0)


def error(message: str, code: Any = "INVALID_PARAMETER", parameter: Any = None) -> dict[str, Any]:
    """X's error body with one error."""
    entry = {"code": code, "message": message} | ({} if parameter is None else {"parameter": parameter})
    return {"errors": [entry], "request": {"params": {"account_id": ACCOUNT}}}


# X's reference and guide: the examples of errors, then one from the table of messages, then the general form of
# X's error page: status, message, parameter, our name for it, echoed value.
ROW_ERRORS = [
    (400, "event_id (o6dkt) is not a single event tag (SET)", "event_id", "not_a_single_event_tag", "o6dkt"),
    (400, "At least one user identifier must be provided", "", "missing_identifier", None),
    (400, "hashed_email (abc) is not a valid SHA-256 hash", "hashed_email", "bad_hashed_email", "abc"),
    (
        400,
        'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "2022-06-16T01:14:00.603" for conversion_time',
        "conversion_time",
        "bad_conversion_time",
        "2022-06-16T01:14:00.603",
    ),
    (404, "event_id (abc) does not belong to provided account", "event_id", "event_of_another_account", "abc"),
    (400, "Event ID was not found", "event_id", "missing_event_id", None),
    (400, 'Expected Double, got "12,50" for value', "value", "type_mismatch", "12,50"),
]


@pytest.mark.parametrize(("status", "message", "parameter", "name", "value"), ROW_ERRORS)
def test_refused_because_of_rows(status: int, message: str, parameter: str, name: str, value: str | None) -> None:
    """Each documented error of a row: its name, the echoed value to find the row by, and a text without it."""
    found = answer(status, error(message, parameter=parameter))
    assert (found.kind, found.status) == ("refused", status)
    assert [(e.message_name, e.parameter, e.value) for e in found.errors] == [(name, parameter, value)]
    assert found.errors[0].is_about_rows
    assert found.reason == f"X refused: {found.errors[0].template}"
    assert value is None or value not in found.errors[0].template


def test_a_404_about_an_event_is_about_rows() -> None:
    """X's own example: status 404, and two errors for one row."""
    body = error("event_id (abc) does not belong to provided account", code="NOT_FOUND", parameter="event_id")
    body["errors"] += error("event_id (abc) is not a single event tag (SET)", parameter="event_id")["errors"]
    found = answer(404, body)
    assert (found.kind, [e.value for e in found.errors]) == ("refused", ["abc", "abc"])
    assert found.reason == "X refused: event_id (***) does not belong to provided account (and 1 more)"
    assert answer(404, error("Nobody documents this", code="NOT_FOUND", parameter="event_id")).kind == "refused"


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_go_before_rows(status: int) -> None:
    """A status about access is never taken for an error of rows."""
    assert (
        answer(status, error("hashed_email (a) is not a valid SHA-256 hash", parameter="hashed_email")).kind == "halted"
    )


@pytest.mark.parametrize(
    ("body", "template"),
    [
        (
            error(f"Nobody documents that {EMAIL} is wrong", parameter="hashed_email"),
            "Nobody documents that *** is wrong",
        ),
        (error("Nobody documents this"), "Nobody documents this"),
        (error("Nobody documents this", code="FRESH_CODE", parameter=""), "Nobody documents this"),
        (b"", "status 400 without a readable error"),
        (b"<html>Bad Request</html>", "status 400 without a readable error"),
        ({"errors": EMAIL}, "status 400 without a readable error"),
        ({"errors": []}, "status 400 without a readable error"),
        ({"errors": [EMAIL, 1, None]}, "status 400 without a readable error"),
    ],
)
def test_an_undocumented_400_is_about_rows_until_shown_otherwise(body: Any, template: str) -> None:
    """It may be any row: delivery looks for it, and X's words reach the report without values."""
    found = answer(400, body)
    assert (found.kind, [e.template for e in found.errors]) == ("refused", [template])
    assert [(e.message_name, e.value) for e in found.errors] == [(None, None)]


@pytest.mark.parametrize(
    ("status", "body", "mend"),
    [
        (401, error("This request is not properly authenticated", code="UNAUTHORIZED_ACCESS"), "X_ADS_CONSUMER_KEY"),
        (401, b"<html></html>", "X_ADS_PIXEL_TOKEN"),
        (401, error("Could not authenticate you.", code=32), "X_ADS_CONSUMER_KEY"),
        (400, error("Bad Authentication data.", code=215), "X_ADS_CONSUMER_KEY"),
        (401, error("Invalid or expired token.", code=89), "revoked or has expired"),
        (403, error("Invalid or expired token.", code=89), "revoked or has expired"),
        (
            403,
            error(
                "The client application with id 16489123 making this request does not have access to Twitter Ads API. "
                "Ensure your application has advertiser-api access.",
                code="UNAUTHORIZED_CLIENT_APPLICATION",
            ),
            "has no access to the Ads API",
        ),
        (403, error("Read-only application", code="READONLY_CLIENT_APPLICATION"), "may only read"),
        (403, error("No", code="CURRENT_USER_SUSPENDED"), "has suspended"),
        (403, error("No", code="ACTION_NOT_ALLOWED"), "an ad manager"),
        (403, b"", "an ad manager"),
        (403, error("Account 18ce55 was not found", code="NOT_FOUND"), "X_ADS_ACCOUNT_ID"),
        (
            404,
            error(
                "User 2417045708 does not have access to account 18ce552mlaq. Type 'sn 2417045708' to get the handle.",
                code="NOT_FOUND",
            ),
            "has no role",
        ),
        (404, error("The requested resource could not be found", code="ROUTE_NOT_FOUND"), "X_ADS_PIXEL_ID"),
        (404, error("Gone fishing", code="NOT_FOUND", parameter=""), "X_ADS_PIXEL_ID"),
        (404, error("pixel_id (o87ne) was not found", code="NOT_FOUND", parameter="pixel_id"), "X_ADS_PIXEL_ID"),
        (404, b"<html>404</html>", "X_ADS_PIXEL_ID"),
        (404, b"", "X_ADS_PIXEL_ID"),
        (404, error("Version 9 is not available.", code="INVALID"), "X_ADS_API_VERSION"),
        (400, error("Version 9 is not available.", code="INVALID"), "X_ADS_API_VERSION"),
        (405, error("The method is not allowed", code="METHOD_NOT_ALLOWED"), "X_ADS_API_URL"),
        (406, b"", "X_ADS_API_URL"),
        (410, b"", "X_ADS_API_URL"),
        (415, b"", "X_ADS_API_URL"),
        (407, b"", "HTTPS_PROXY"),
        (301, b"", "redirect"),
        (302, b"{}", "redirect"),
        (304, b"", "redirect"),
        (307, b"", "redirect"),
        (308, b"", "redirect"),
        (501, b"", "X_ADS_API_URL"),
        (505, b"<html></html>", "X_ADS_API_URL"),
        (400, error("conversions is required", code="MISSING_PARAMETER", parameter="conversions"), "defect"),
        (400, error("The request body is not valid JSON", parameter=""), "defect"),
    ],
)
def test_what_is_not_about_rows_halts_and_says_what_to_mend(status: int, body: Any, mend: str) -> None:
    """One line that names the setting or the person, and nothing that X echoed."""
    found = answer(status, body)
    assert found.kind == "halted"
    assert mend in found.reason
    assert "\n" not in found.reason
    assert not any(echoed in found.reason for echoed in ("16489123", "2417045708", "18ce55", "o87ne", "Gone"))


def test_a_value_cannot_halt_a_run() -> None:
    """A row whose text reads like another error of X's is still a row, by the parameter that X names."""
    message = "description (this request is not properly authenticated, account x was not found) is too long"
    assert answer(400, error(message, parameter="description")).kind == "refused"
    message = 'Expected Double, got "Timestamp out of bounds." for value'
    assert answer(400, error(message, parameter="value")).kind == "refused"


_MESSAGES = st.sampled_from([message for _, message, *_ in ROW_ERRORS] + ["Nobody documents (x)", "Bad x"])


@settings(max_examples=200)
@given(_MESSAGES, st.emails() | st.from_regex(r"\+[0-9]{7,15}", fullmatch=True), st.text("\"'() \n", max_size=4))
def test_no_echoed_identifier_is_printed(message: str, identifier: str, around: str) -> None:
    """X echoes values: an identifier may be in any message and is never in what is printed of an answer."""
    echoed = message
    for value in ("o6dkt", "abc", "12,50", "2022-06-16T01:14:00.603", "x"):
        echoed = echoed.replace(f"({value})", f"({around}{identifier}{around})").replace(
            f'"{value}"', f'"{identifier}"'
        )
    found = answer(400, error(f"{echoed} {identifier}" if echoed == message else echoed, parameter="hashed_email"))
    assert found.kind == "refused"
    assert identifier not in repr(found)


def test_an_error_prints_without_its_value() -> None:
    """The echoed value is there to find the row by, and is left out when an error is printed."""
    found: ApiError = answer(400, error(f"hashed_email ({EMAIL}) is not a valid SHA-256 hash")).errors[0]
    assert found.value == EMAIL
    assert EMAIL not in f"{found} {found!r}"


def test_what_is_too_long_for_a_message_is_not_searched() -> None:
    """Its words are kept as those of any other unknown message."""
    (found,) = answer(400, error(f"hashed_email ({'a' * 5000}) is not a valid SHA-256 hash")).errors
    assert (found.message_name, found.value, found.template) == (None, None, "hashed_email *** is not a valid *** hash")


@pytest.mark.parametrize("value", [True, 1.5, ["value"], {"a": 1}, EMAIL, "two words", "x" * 100, None])
def test_a_field_that_is_not_what_it_should_be_is_absent(value: Any) -> None:
    """Code and parameter are printed, so they are a code and a parameter or nothing."""
    (found,) = answer(400, {"errors": [{"code": value, "message": "Nobody documents this", "parameter": value}]}).errors
    assert (found.code, found.parameter, found.scope) == (None, None, None)


def test_no_part_of_a_known_message_is_trusted() -> None:
    """Where X names a type, a value may stand."""
    (found,) = answer(400, error(f'Expected {EMAIL} of Double, got "x" for value')).errors
    assert (found.message_name, found.parameter, found.value) == ("type_mismatch", "value", "x")
    assert found.template == 'Expected *** of Double, got "***" for value'
