"""What X's pages say about the body of a conversions request, sent over HTTP.

The case numbers are those of the conformance list this package is built against. A case marked as a guess is on no
page of X's: it follows the nearest thing that is.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.sandbox import Account, Rules
from xcapi_dagster.sandbox.answers import failure
from xcapi_dagster.sandbox.conversions import check, parse

EMAIL = "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"
PHONE = "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231"
AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36"

# X's reference, "Example Request"
DOCUMENTED_ROW = {
    "conversion_time": "2022-02-18T01:14:00.603Z",
    "event_id": "ol288",
    "identifiers": [
        {"twclid": "23opevjt88psuo13lu8d020qkn"},
        {"hashed_email": EMAIL},
        {"hashed_phone_number": PHONE},
        {"ip_address": "1.0.0.0", "user_agent": AGENT},
    ],
    "value": "20.00",
    "number_items": 3,
    "conversion_id": "23294827",
    "description": "Pet supply purchases",
    "contents": [
        {
            "content_id": "1",
            "content_name": "Blankets",
            "content_type": "Pet supplies",
            "content_price": 100.99,
            "num_items": 1,
            "content_group_id": "123",
        }
    ],
}

NO_IDENTIFIER = {
    "code": "INVALID_PARAMETER",
    "message": "At least one user identifier must be provided",
    "parameter": "",
}
NO_EVENT_ID = {"code": "MISSING_PARAMETER", "message": "Event ID was not found", "parameter": "event_id"}


def invalid(parameter: str, message: str) -> dict[str, str]:
    return {"code": "INVALID_PARAMETER", "message": message, "parameter": parameter}


def expected(kind: str, value: str, parameter: str) -> dict[str, str]:
    return invalid(parameter, f'Expected {kind}, got "{value}" for {parameter}')


def bad_time(value: str) -> dict[str, str]:
    return expected("Time in yyyy-MM-ddTHH:mm:ss.SSSZ", value, "conversion_time")


def not_a_set(event_id: str) -> dict[str, str]:
    return invalid("event_id", f"event_id ({event_id}) is not a single event tag (SET)")


def elsewhere(event_id: str) -> dict[str, str]:
    message = f"event_id ({event_id}) does not belong to provided account"
    return {"code": "NOT_FOUND", "message": message, "parameter": "event_id"}


def test_case_16_documented_example(client, sandbox):
    """X's own example request gets X's example answer, and all of it is received."""
    answer = client.send(DOCUMENTED_ROW)

    assert answer.status_code == 200
    assert answer.json().keys() == {"request", "data"}
    assert answer.json()["request"] == {"params": {"account_id": "18ce552mlaq"}}
    assert answer.json()["data"].keys() == {"conversions_processed", "debug_id"}
    assert answer.json()["data"]["conversions_processed"] == 1
    assert [each.conversion for each in sandbox.received] == [DOCUMENTED_ROW]
    assert (sandbox.received[0].account_id, sandbox.received[0].pixel_id) == ("18ce552mlaq", "oka17")


ACCEPTED = [
    pytest.param({}, id="case-17-minimal"),
    pytest.param({"identifiers": [{"hashed_email": EMAIL}]}, id="case-18-only-email"),
    pytest.param({"identifiers": [{"hashed_phone_number": PHONE}]}, id="case-19-only-phone"),
    pytest.param({"identifiers": [{"ip_address": "1.0.0.0", "user_agent": AGENT}]}, id="case-20-ip-with-user-agent"),
    pytest.param(
        {"identifiers": [{"hashed_email": EMAIL, "ip_address": "1.0.0.0", "user_agent": AGENT}]},
        id="case-21-one-object",
    ),
    pytest.param({"identifiers": [{"hashed_email": EMAIL, "ip_address": "1.0.0.0"}]}, id="case-21-ip-with-email"),
    pytest.param({"identifiers": DOCUMENTED_ROW["identifiers"]}, id="case-22-four-objects"),
    pytest.param({"event_id": "tw-oka17-ol288"}, id="case-23-long-event-id"),
    pytest.param({"value": "20.00"}, id="case-26-text"),
    pytest.param({"value": 20.5}, id="case-26-float"),
    pytest.param({"value": 20.0}, id="case-26-whole-float"),
    pytest.param({"value": "0.00"}, id="case-26-zero"),
    pytest.param({"value": "1000.00", "price_currency": "JPY"}, id="case-26-yen"),
    pytest.param({"value": "1.234", "price_currency": "KWD"}, id="case-26-three-decimals"),
    pytest.param({"value": "20.00", "price_currency": None}, id="case-27-no-currency"),
    pytest.param({"contents": [{"content_id": "1"}]}, id="case-28-only-content-id"),
    pytest.param({"contents": [{"content_group_id": 123}]}, id="case-28-group-as-table-says"),
    pytest.param({"event_source_url": "https%3A%2F%2Fshop.example"}, id="case-29-unknown-field"),
    pytest.param({"description": 'quote " back \\ line\n emoji \U0001f9e6 nul \x00'}, id="any-text"),
]


@pytest.mark.parametrize("fields", ACCEPTED)
def test_accepted(client, sandbox, row, fields):
    """What X documents as right, or was observed to be, is processed as one conversion."""
    answer = client.send(row(**fields))

    assert (answer.status_code, answer.json().get("errors")) == (200, None)
    assert answer.json()["data"]["conversions_processed"] == 1
    assert [each.conversion for each in sandbox.received] == [row(**fields)]


def test_case_24_two_events_of_one_account(client, sandbox, row):
    """Guess: one request may hold events of several pixels of the account that owns the pixel."""
    answer = client.send(row(), row(event_id="o6dl3"))

    assert answer.json()["data"]["conversions_processed"] == 2


def test_case_25_500_conversions(client, sandbox, row):
    """A full request is processed whole."""
    answer = client.send(*[row(conversion_id=str(number)) for number in range(500)])

    assert answer.json()["data"]["conversions_processed"] == 500
    assert len(sandbox.received) == 500


def test_case_31_whole_seconds(start, row):
    """X's pages disagree about times without milliseconds: strictly they are refused, and an option takes them."""
    whole = row(conversion_time="2017-10-05T00:00:00Z")
    strict, lenient = start()[1].send(whole), start(rules=Rules(accept_whole_seconds=True))[1].send(whole)

    assert (strict.status_code, strict.json()["errors"]) == (400, [bad_time("2017-10-05T00:00:00Z")])
    assert lenient.status_code == 200


REFUSED = [
    pytest.param({"identifiers": [{"twclid": ""}]}, [NO_IDENTIFIER], id="case-32-empty-twclid"),
    pytest.param({"identifiers": []}, [NO_IDENTIFIER], id="case-33-no-identifiers"),
    pytest.param({"identifiers": None}, [NO_IDENTIFIER], id="case-33-absent"),
    pytest.param({"identifiers": [{"handle": "x"}]}, [NO_IDENTIFIER], id="case-33-unknown-identifier"),
    pytest.param(
        {"identifiers": [{"hashed_email": EMAIL}, {"ip_address": "1.0.0.0"}, {"user_agent": AGENT}]},
        [NO_IDENTIFIER],
        id="case-34-lone-ip-and-user-agent",
    ),
    pytest.param({"identifiers": [{"ip_address": "1.0.0.0"}]}, [NO_IDENTIFIER], id="case-35-only-ip"),
    pytest.param({"identifiers": [{"user_agent": AGENT}]}, [NO_IDENTIFIER], id="case-36-only-user-agent"),
    pytest.param(
        {"identifiers": [{"hashed_email": "abc"}]},
        [invalid("hashed_email", "hashed_email (abc) is not a valid SHA-256 hash")],
        id="case-37-short-hash",
    ),
    pytest.param(
        {"identifiers": [{"hashed_email": EMAIL.upper()}]},
        [invalid("hashed_email", f"hashed_email ({EMAIL.upper()}) is not a valid SHA-256 hash")],
        id="case-37-guess-upper-case",
    ),
    pytest.param(
        {"identifiers": [{"hashed_email": "somebody@example.com"}]},
        [invalid("hashed_email", "hashed_email (somebody@example.com) is not a valid SHA-256 hash")],
        id="case-38-guess-raw-address",
    ),
    pytest.param(
        {"identifiers": [{"hashed_phone_number": "abc"}]},
        [invalid("hashed_phone_number", "hashed_phone_number (abc) is not a valid SHA-256 hash")],
        id="case-39-guess-phone",
    ),
    pytest.param(
        {"conversion_time": "2022-06-16T01:14:00.603"}, [bad_time("2022-06-16T01:14:00.603")], id="case-40-no-zone"
    ),
    pytest.param(
        {"conversion_time": "2022-06-16T01:14:00.603+00:00"},
        [bad_time("2022-06-16T01:14:00.603+00:00")],
        id="case-41-offset",
    ),
    pytest.param({"conversion_time": 1655342040603}, [bad_time("1655342040603")], id="case-42-guess-epoch"),
    pytest.param({"conversion_time": "2022-06-16"}, [bad_time("2022-06-16")], id="case-42-guess-date"),
    pytest.param({"conversion_time": None}, [bad_time("null")], id="case-42-guess-absent"),
    pytest.param(
        {"conversion_time": "2022-02-30T01:14:00.603Z"},
        [bad_time("2022-02-30T01:14:00.603Z")],
        id="case-42-guess-no-such-day",
    ),
    pytest.param(
        {"conversion_time": "٢٠٢٢-06-16T01:14:00.603Z"},
        [bad_time("٢٠٢٢-06-16T01:14:00.603Z")],
        id="case-42-guess-other-digits",
    ),
    pytest.param({"event_id": "o6dkt"}, [not_a_set("o6dkt")], id="case-43-pixel-as-event"),
    pytest.param({"event_id": "tw-o6dkt-ol288"}, [not_a_set("tw-o6dkt-ol288")], id="case-43-guess-wrong-pixel"),
    pytest.param({"event_id": None}, [NO_EVENT_ID], id="case-46-absent"),
    pytest.param({"event_id": ""}, [NO_EVENT_ID], id="case-46-empty"),
    pytest.param({"value": 20}, [expected("Double", "20", "value")], id="case-49-integer"),
    pytest.param({"value": "20"}, [expected("Double", "20", "value")], id="case-49-integer-text"),
    pytest.param({"value": "abc"}, [expected("Double", "abc", "value")], id="case-50-guess-text"),
    pytest.param({"value": "1e3"}, [expected("Double", "1e3", "value")], id="case-50-guess-exponent"),
    pytest.param({"value": "1,5"}, [expected("Double", "1,5", "value")], id="case-50-guess-comma"),
    pytest.param({"value": -1}, [expected("Double", "-1", "value")], id="case-50-guess-negative"),
    pytest.param({"value": "-1.00"}, [expected("Double", "-1.00", "value")], id="case-50-guess-negative-text"),
    pytest.param({"value": -1.5}, [expected("Double", "-1.5", "value")], id="case-50-guess-negative-float"),
    pytest.param({"value": True}, [expected("Double", "true", "value")], id="case-50-guess-boolean"),
    pytest.param({"number_items": 0}, [expected("positive Long", "0", "number_items")], id="case-51-zero"),
    pytest.param({"number_items": -1}, [expected("positive Long", "-1", "number_items")], id="case-51-negative"),
    pytest.param({"number_items": "3"}, [expected("Long", "3", "number_items")], id="case-51-text"),
    pytest.param({"number_items": 1.5}, [expected("Long", "1.5", "number_items")], id="case-51-fraction"),
    pytest.param(
        {"price_currency": "usd"}, [expected("ISO-4217 currency", "usd", "price_currency")], id="case-52-guess-lower"
    ),
    pytest.param(
        {"price_currency": "US"}, [expected("ISO-4217 currency", "US", "price_currency")], id="case-52-guess-short"
    ),
    pytest.param(
        {"price_currency": "XXX1"}, [expected("ISO-4217 currency", "XXX1", "price_currency")], id="case-52-guess-long"
    ),
    pytest.param(
        {"contents": [{"content_price": 100}]}, [expected("Double", "100", "content_price")], id="case-53-integer"
    ),
    pytest.param({"contents": [{"num_items": 0}]}, [expected("positive Long", "0", "num_items")], id="guess-num-items"),
    pytest.param({"contents": "shoes"}, [expected("Array", "shoes", "contents")], id="guess-contents"),
    pytest.param({"contents": ["shoes"]}, [expected("Object", "shoes", "contents")], id="guess-content"),
    pytest.param(
        {"contents": [{"content_name": 7}]}, [expected("String", "7", "content_name")], id="guess-content-name"
    ),
    pytest.param(
        {"contents": [{"content_group_id": 1.5}]},
        [expected("String", "1.5", "content_group_id")],
        id="guess-content-group",
    ),
    pytest.param({"conversion_id": 7}, [expected("String", "7", "conversion_id")], id="guess-conversion-id"),
    pytest.param(
        {"identifiers": [{"twclid": 7}]}, [expected("String", "7", "twclid")], id="guess-identifier-is-no-text"
    ),
    pytest.param(
        {"identifiers": [{"hashed_email": EMAIL, "ip_address": "::1"}]},
        [expected("IPv4 address", "::1", "ip_address")],
        id="guess-ipv6",
    ),
]


@pytest.mark.parametrize(("fields", "errors"), REFUSED)
def test_refused(client, sandbox, row, fields, errors):
    """A broken row refuses the request with the documented text, names the account, and nothing is received."""
    answer = client.send(row(**fields))

    assert answer.status_code == 400
    assert answer.json() == {"errors": errors, "request": {"params": {"account_id": "18ce552mlaq"}}}
    assert sandbox.received == []


@pytest.mark.parametrize(
    "event_id", [pytest.param("abc", id="case-44-unknown"), pytest.param("ol288", id="case-45-of-another-account")]
)
def test_event_of_another_account(client, sandbox, row, event_id):
    """An event that is not the account's brings both documented errors, with status 404."""
    answer = client.send(row(event_id=event_id), pixel="o8z6j")

    assert answer.status_code == 404
    assert answer.json() == {
        "errors": [elsewhere(event_id), not_a_set(event_id)],
        "request": {"params": {"account_id": "18ce55gze09"}},
    }
    assert sandbox.received == []


def test_case_47_501_conversions(client, sandbox, row):
    """One conversion more than X's limit refuses the request, whatever else is wrong with it."""
    answer = client.send(*[row(value=20)] * 501)

    assert (answer.status_code, answer.json()["errors"]) == (
        400,
        [invalid("conversions", "Conversion count limit is 500")],
    )
    assert sandbox.received == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"conversions":[]}', id="case-48-guess-no-conversions"),
        pytest.param(b"{}", id="case-48-guess-no-key"),
        pytest.param(b'{"conversions":"x"}', id="case-48-guess-no-array"),
        pytest.param(b"[]", id="case-48-guess-array"),
        pytest.param(b"conversions", id="case-48-guess-no-json"),
        pytest.param(b"", id="case-48-guess-empty"),
        pytest.param(b"\xff", id="case-48-guess-no-utf-8"),
        pytest.param(b'{"conversions":[NaN]}', id="case-48-guess-nan"),
        pytest.param(b'{"conversions":[1e999]}', id="case-48-guess-no-double"),
        pytest.param(b'{"conversions":' + b"[" * 100_000, id="case-48-guess-nested"),
        pytest.param(b'{"conversions":[1]}', id="case-48-guess-row-is-no-object"),
    ],
)
def test_body_of_another_shape(client, sandbox, body):
    """Guess: a body that is not X's shape gets a 400 with an error, and nothing is received."""
    answer = client.post(None, data=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == 1
    assert sandbox.received == []


def test_case_54_one_bad_row_of_500(client, sandbox, row):
    """One bad row refuses 499 good ones; without it they are accepted."""
    good = [row(conversion_id=str(number)) for number in range(499)]
    refused = client.send(*good[:250], row(identifiers=[{"hashed_email": "abc"}]), *good[250:])
    received_then = len(sandbox.received)
    accepted = client.send(*good)

    assert (refused.status_code, len(refused.json()["errors"]), received_then) == (400, 1, 0)
    assert (accepted.status_code, len(sandbox.received)) == (200, 499)


def test_case_55_three_kinds_of_bad_rows(client, row):
    """All errors of all rows are listed, in the rows' order."""
    rows = [row() for _ in range(500)]
    rows[10] = row(conversion_time="2022-06-16")
    rows[20] = row(identifiers=[{"twclid": ""}])
    rows[30] = row(event_id="o6dkt")

    assert client.send(*rows).json()["errors"] == [bad_time("2022-06-16"), NO_IDENTIFIER, not_a_set("o6dkt")]


def test_case_56_two_rows_with_one_error(start, row):
    """Guess: two rows with the same fault give two equal errors, or one when asked to merge."""
    rows = [row(event_id="o6dkt"), row(event_id="o6dkt")]

    assert start()[1].send(*rows).json()["errors"] == [not_a_set("o6dkt")] * 2
    assert start(rules=Rules(merge_errors=True))[1].send(*rows).json()["errors"] == [not_a_set("o6dkt")]


def test_case_57_faults_of_one_row(client, row):
    """All faults of one row are listed, in the order event, time, identifiers, numbers."""
    bad = row(event_id="o6dkt", conversion_time="now", identifiers=[{"hashed_email": "abc"}], value=20, number_items=0)

    assert [error["parameter"] for error in client.send(bad).json()["errors"]] == [
        "event_id", "conversion_time", "hashed_email", "value", "number_items",
    ]  # fmt: skip


def test_case_60_mixed_causes(client, row):
    """Guess: causes of both statuses in one request give 404, with all errors listed."""
    answer = client.send(row(identifiers=[]), row(event_id="abc"))

    assert answer.status_code == 404
    assert answer.json()["errors"] == [NO_IDENTIFIER, elsewhere("abc"), not_a_set("abc")]


def test_messages_without_values(start, row):
    """As in X's tables, messages may leave the value out, so that nothing tells which row is meant."""
    bad = row(event_id="abc", conversion_time="now", identifiers=[{"hashed_email": "abc"}], value=20)
    _, client = start(rules=Rules(echo_values=False))

    assert [error["message"] for error in client.send(bad).json()["errors"]] == [
        "event_id does not belong to provided account",
        "event_id is not a single event tag (SET)",
        "Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ for conversion_time",
        "hashed_email is not a valid SHA-256 hash",
        "Expected Double for value",
    ]


@pytest.mark.parametrize(("value", "status"), [(20, 200), ("20", 200), ("x", 400), (-1, 400), (True, 400)])
def test_integer_values_when_allowed(start, row, value, status):
    """The table says double and no page says that an integer is refused: an option takes integers."""
    _, client = start(rules=Rules(accept_integers=True))

    assert client.send(row(value=value)).status_code == status


ACCOUNT = Account("18ce552mlaq", {"oka17": frozenset({"ol288"})})
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["event_id", "conversion_time", "identifiers", "value", "price_currency", "number_items", "contents",
          "conversion_id", "description"]  # fmt: skip
IDENTIFIERS = ["twclid", "hashed_email", "hashed_phone_number", "ip_address", "user_agent"]
ROWS = st.dictionaries(
    st.sampled_from(FIELDS),
    ANY_JSON | st.lists(st.dictionaries(st.sampled_from(IDENTIFIERS), ANY_JSON, max_size=3), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(ROWS | ANY_JSON, max_size=3), echo=st.booleans())
def test_any_json_is_judged(rows, echo):
    """Whatever JSON a row is, it is judged without an exception, and the answer is JSON."""
    body = json.dumps({"conversions": rows}).encode()
    errors = check(parse(body), ACCOUNT, Rules(echo_values=echo))

    assert errors
    assert len(json.loads(failure(*errors).body)["errors"]) == len(errors)


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_judged(body):
    """Whatever bytes a body is, it is judged without an exception."""
    assert check(parse(body), ACCOUNT)
