"""Cases 32 to 60: what X refuses because of rows, asked of the sandbox, and what our client makes of it."""

from collections.abc import Callable
from typing import Any

import pytest

from xcapi_dagster.sandbox import Rules

EMAIL = {"hashed_email": "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"}
ADDRESS, AGENT = {"ip_address": "8.25.197.25"}, {"user_agent": "Mozilla/5.0"}
NO_IDENTIFIER = ("INVALID_PARAMETER", "", "At least one user identifier must be provided")
BAD_HASH = {"identifiers": [{"hashed_email": "abc"}]}
UNKNOWN = '{"errors": [{"code": "NEW", "message": "This conversion is not to our liking"}]}'

Row = Callable[..., dict[str, Any]]
ErrorsOf = Callable[..., list[tuple[str, str | None, str]]]


def invalid(parameter: str, message: str) -> tuple[str, str, str]:
    """One error about a field's value."""
    return ("INVALID_PARAMETER", parameter, message)


def no_time(value: str) -> tuple[str, str, str]:
    """The error about a time, with the value as it was sent."""
    return invalid("conversion_time", f'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "{value}" for conversion_time')


def no_single_event(event_id: str) -> tuple[str, str, str]:
    """The error about an event id that is no single event tag."""
    return invalid("event_id", f"event_id ({event_id}) is not a single event tag (SET)")


def of_nobody(event_id: str) -> tuple[str, str, str]:
    """The error about an event id of another account."""
    return ("NOT_FOUND", "event_id", f"event_id ({event_id}) does not belong to provided account")


@pytest.mark.cases(
    (32, "documented", {"identifiers": [{"twclid": ""}]}, [NO_IDENTIFIER]),
    (33, "guess", {"identifiers": []}, [NO_IDENTIFIER]),
    (33, "guess", {"identifiers": None}, [NO_IDENTIFIER]),
    (34, "observed", {"identifiers": [EMAIL, ADDRESS, AGENT]}, [NO_IDENTIFIER]),
    (35, "documented", {"identifiers": [ADDRESS]}, [NO_IDENTIFIER]),
    (36, "documented", {"identifiers": [AGENT]}, [NO_IDENTIFIER]),
    (37, "documented", BAD_HASH, [invalid("hashed_email", "hashed_email (abc) is not a valid SHA-256 hash")]),
    (38, "guess", {"identifiers": [{"hashed_email": "jane.doe@example.com"}]},
     [invalid("hashed_email", "hashed_email (jane.doe@example.com) is not a valid SHA-256 hash")]),
    (39, "guess", {"identifiers": [{"hashed_phone_number": "abc"}]},
     [invalid("hashed_phone_number", "hashed_phone_number (abc) is not a valid SHA-256 hash")]),
    (40, "documented", {"conversion_time": "2022-06-16T01:14:00.603"}, [no_time("2022-06-16T01:14:00.603")]),
    (41, "observed", {"conversion_time": "2022-06-16T01:14:00.603+00:00"}, [no_time("2022-06-16T01:14:00.603+00:00")]),
    (42, "guess", {"conversion_time": 1655342040}, [no_time("1655342040")]),
    (42, "guess", {"conversion_time": "2022-06-16"}, [no_time("2022-06-16")]),
    (43, "documented", {"event_id": "o6dkt"}, [no_single_event("o6dkt")]),
)  # fmt: skip
def test_x_refuses_it(case: tuple[dict[str, Any], Any], x: Any, row: Row, errors_of: ErrorsOf) -> None:
    """Status 400, exactly these errors, X's account beside them, and nothing stored."""
    changed, errors = case
    answer = x.send(row(**changed))
    assert (answer.status_code, errors_of(answer)) == (400, errors)
    assert answer.json()["request"] == {"params": {"account_id": "18ce552mlaq"}}
    assert x.sandbox.received == []


@pytest.mark.cases(
    (44, "documented", "abc", [of_nobody("abc"), no_single_event("abc")]),
    (45, "documented", "ol288", [of_nobody("ol288"), no_single_event("ol288")]),
)
def test_an_event_of_nobody_s_is_a_404(case: tuple[str, Any], x: Any, row: Row, errors_of: ErrorsOf) -> None:
    """On X's pixel o8z6j: an id that does not exist, or is another account's, gets two errors and X's account."""
    event_id, errors = case
    answer = x.send(row(event_id=event_id), pixel="o8z6j", auth=x.sign(x.keys("owner")))
    assert (answer.status_code, errors_of(answer)) == (404, errors)
    assert answer.json()["request"] == {"params": {"account_id": "18ce55gze09"}}


@pytest.mark.cases((46, "documented", ""), (46, "documented", None))
def test_no_event_id(case: str | None, x: Any, row: Row, errors_of: ErrorsOf) -> None:
    """X documents the message; the code is a guess."""
    answer = x.send(row(event_id=case))
    assert answer.status_code == 400
    ((code, _, message),) = errors_of(answer)
    assert code in ("MISSING_PARAMETER", "INVALID_PARAMETER")
    assert message == "Event ID was not found"


@pytest.mark.cases((47, "documented"))
def test_one_more_than_five_hundred(x: Any, rows: Any, errors_of: ErrorsOf) -> None:
    """The whole request is refused, with X's message; its parameter is a guess."""
    answer = x.send(*rows(501))
    assert answer.status_code == 400
    assert [message for _, _, message in errors_of(answer)] == ["Conversion count limit is 500"]
    assert x.sandbox.received == []


@pytest.mark.cases(
    (48, "guess", {"json": {"conversions": []}}),
    (48, "guess", {"json": {}}),
    (48, "guess", {"json": [{"conversion_time": "2022-02-18T01:14:00.603Z"}]}),
    (48, "guess", {"data": b"no JSON"}),
)
def test_no_list_of_conversions(case: dict[str, Any], x: Any) -> None:
    """None at all, no such key, an array, or no JSON: a guess that it is a 400."""
    assert x.send(**case).status_code == 400


@pytest.mark.cases(
    (49, "observed", {"value": 20}, "value"),
    (50, "guess", {"value": "abc"}, "value"),
    (50, "guess", {"value": "1e3"}, "value"),
    (50, "guess", {"value": "1,5"}, "value"),
    (50, "guess", {"value": -1}, "value"),
    (51, "documented", {"number_items": 0}, "number_items"),
    (51, "documented", {"number_items": -1}, "number_items"),
    (51, "documented", {"number_items": "3"}, "number_items"),
    (51, "documented", {"number_items": 1.5}, "number_items"),
    (52, "guess", {"price_currency": "usd"}, "price_currency"),
    (52, "guess", {"price_currency": "US"}, "price_currency"),
    (52, "guess", {"price_currency": "XXX1"}, "price_currency"),
    (53, "observed", {"contents": [{"content_price": 100}]}, "content_price"),
)
def test_numbers_and_currencies(case: tuple[dict[str, Any], str], x: Any, row: Row, errors_of: ErrorsOf) -> None:
    """In its strict mode, with a message in the form of X's for other types, which is a guess."""
    changed, parameter = case
    answer = x.send(row(**changed))
    assert answer.status_code == 400
    assert [error[:2] for error in errors_of(answer)] == [("INVALID_PARAMETER", parameter)]
    assert errors_of(answer)[0][2].startswith("Expected ")


@pytest.mark.cases((54, "documented"))
def test_one_bad_row_of_five_hundred(x: Any, rows: Any, bench: Any, errors_of: ErrorsOf) -> None:
    """X refuses all with one error; our client drops the row and the other 499 arrive with the second request."""
    members = rows(500, at_250=BAD_HASH)
    answer = x.send(*members)
    assert (answer.status_code, len(errors_of(answer)), x.sandbox.received) == (400, 1, [])
    ran = bench(x.sandbox.url).run(members)
    assert (ran.posts, ran.states) == (2, {"accepted": 499, "rejected": 1})
    assert (ran.state[250], ran.reason_code[250]) == ("rejected", "api_hashed_email")
    assert len(x.sandbox.received) == 499


@pytest.mark.cases((55, "documented"))
def test_all_errors_are_listed(x: Any, rows: Any, bench: Any, errors_of: ErrorsOf) -> None:
    """Three rows, three kinds: X's list is complete, and our client needs it but once."""
    bad = {"at_3": BAD_HASH, "at_99": {"conversion_time": "soon"}, "at_400": {"event_id": "o6dkt"}}
    members = rows(500, **bad)
    answer = x.send(*members)
    assert answer.status_code == 400
    assert [error[1] for error in errors_of(answer)] == ["hashed_email", "conversion_time", "event_id"]
    ran = bench(x.sandbox.url).run(members)
    assert ran.posts == 2
    assert [n for n, state in enumerate(ran.state) if state == "rejected"] == [3, 99, 400]


@pytest.mark.cases((56, "guess", True, 1), (56, "guess", False, 2))
def test_equal_errors_are_no_count_of_rows(
    case: tuple[bool, int], start: Any, rows: Any, bench: Any, errors_of: ErrorsOf
) -> None:
    """A guess whether X lists equal errors once or twice: our client finds both rows either way."""
    merge_errors, count = case
    x = start(rules=Rules(merge_errors=merge_errors))
    members = rows(20, at_4={"event_id": "o6dkt"}, at_9={"event_id": "o6dkt"})
    assert len(errors_of(x.send(*members))) == count
    ran = bench(x.sandbox.url).run(members)
    assert [n for n, state in enumerate(ran.state) if state == "rejected"] == [4, 9]
    assert ran.posts == 2


@pytest.mark.cases((57, "documented"))
def test_two_faults_of_one_row(x: Any, row: Row, errors_of: ErrorsOf) -> None:
    """Both are listed, in the order of the fields: a guess as to the order."""
    answer = x.send(row(event_id="o6dkt", conversion_time="soon"))
    assert errors_of(answer) == [no_single_event("o6dkt"), no_time("soon")]


@pytest.mark.cases((58, "guess"))
def test_rows_that_no_message_names(x: Any, rows: Any, bench: Any) -> None:
    """Two of 500 without an identifier: exactly these are found, in at most 21 requests, and no row arrives twice."""
    nobody = {"identifiers": [{"twclid": ""}]}
    ran = bench(x.sandbox.url).run(rows(500, at_17=nobody, at_400=nobody))
    assert [n for n, state in enumerate(ran.state) if state == "rejected"] == [17, 400]
    assert ran.reason_code[17] == ran.reason_code[400] == "api_identifiers"
    assert ran.posts <= 2 * 9 + 3
    arrived = [received.conversion["conversion_id"] for received in x.sandbox.received]
    assert len(arrived) == len(set(arrived)) == 498


@pytest.mark.cases((59, "guess", {"status": 400, "body": UNKNOWN}), (59, "guess", {"status": 400, "answer": "html"}))
def test_words_that_nobody_knows(case: dict[str, Any], x: Any, rows: Any, bench: Any) -> None:
    """A guess that such a refusal is about a row: halving finds the one, and the others arrive."""
    x.sandbox.script([{"match": {"conversion_id": "order-21"}, "do": case}])
    ran = bench(x.sandbox.url).run(rows(64))
    assert ran.halted is None
    assert [n for n, state in enumerate(ran.state) if state == "rejected"] == [21]
    assert ran.reason_code[21] == "api_unrecognised"
    assert ran.states == {"accepted": 63, "rejected": 1}


@pytest.mark.cases((60, "guess"))
def test_causes_of_both_statuses(x: Any, rows: Any, bench: Any, errors_of: ErrorsOf) -> None:
    """A guess that X answers 404 then; our client goes by the errors and treats it as a 400."""
    members = rows(20, at_2={"event_id": "abc"}, at_11=BAD_HASH)
    answer = x.send(*members)
    assert answer.status_code == 404
    assert [error[1] for error in errors_of(answer)] == ["event_id", "event_id", "hashed_email"]
    ran = bench(x.sandbox.url).run(members)
    assert (ran.halted, ran.posts) == (None, 2)
    assert [n for n, state in enumerate(ran.state) if state == "rejected"] == [2, 11]


@pytest.mark.cases((38, "guess"))
def test_an_echoed_address_is_not_repeated(x: Any, rows: Any, bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    """X's echo of a raw address is in no log and not in the report; a guess, as to X's echo."""
    caplog.set_level("DEBUG")
    ran = bench(x.sandbox.url).run(rows(3, at_1={"identifiers": [{"hashed_email": "jane.doe@example.com"}]}))
    assert ran.state == ["accepted", "rejected", "accepted"]
    assert ran.detail[1] == "hashed_email (***) is not a valid SHA-256 hash"
    assert "jane.doe" not in caplog.text
