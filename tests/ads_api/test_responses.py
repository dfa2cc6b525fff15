"""Every answer that X documents, and every broken one, is one of nine kinds; bodies as X's pages show them."""

import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.ads_api.responses import Answer, RateHeaders, classify

NOW = 1_800_000_000.0
ACCOUNT = "18ce552mlaq"
DEBUG_ID = "ff02e052-36e4-47d6-bdf0-6d8986446562"
EMAIL = "jane.doe@example.com"


def answer(status: int, body: Any = b"", *, sent: int = 1, account_id: str | None = ACCOUNT, **headers: str) -> Answer:
    """What an answer means to somebody who sent ``sent`` conversions; `retry_after` becomes `retry-after`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(status, named, content, sent=sent, account_id=account_id, now=NOW)


def success(processed: Any = 1, account_id: str = ACCOUNT, **more: Any) -> dict[str, Any]:
    """X's success body (reference, "Example Response")."""
    data = {"conversions_processed": processed, "debug_id": DEBUG_ID}
    return {"request": {"params": {"account_id": account_id}}, "data": data} | more


def error(message: str, code: Any = "INVALID_PARAMETER", parameter: Any = None) -> dict[str, Any]:
    """X's error body with one error."""
    entry = {"code": code, "message": message} | ({} if parameter is None else {"parameter": parameter})
    return {"errors": [entry], "request": {"params": {"account_id": ACCOUNT}}}


def test_a_success_has_all_that_x_says() -> None:
    """The count and the account agree; the ids, headers and X's clock are kept."""
    found = answer(
        200,
        success(500),
        sent=500,
        Date=formatdate(NOW - 2, usegmt=True),
        X_Account_Rate_Limit_Limit="60000",
        X_Account_Rate_Limit_Remaining="119",
        X_Account_Rate_Limit_Reset="1800000900",
        X_Api_Warn="This version will be removed (soon)",
    )
    assert found == Answer(
        kind="accepted",
        status=200,
        debug_id=DEBUG_ID,
        account_id=ACCOUNT,
        rate=RateHeaders(119, 1_800_000_900.0),
        warning="This version will be removed ***",
        server_date=NOW - 2,
        clock_skew=-2.0,
    )


@pytest.mark.parametrize("body", [success(), success(errors=[]), success(errors=None), {"data": success()["data"]}])
def test_nothing_to_doubt(body: Any) -> None:
    """An empty list of errors is none, and an answer without an account names no other one."""
    assert answer(200, body).kind == "accepted"


def test_any_account_will_do_when_none_is_configured() -> None:
    """Without X_ADS_ACCOUNT_ID there is nothing to compare with."""
    assert answer(200, success(account_id="18ce55gze09"), account_id=None).kind == "accepted"


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, success(499), "processed 499 conversions of 500"),
        (200, success(501), "processed 501 conversions of 500"),
        (200, success("500"), "does not say how many"),
        (200, success(500.0), "does not say how many"),
        (200, success(None), "does not say how many"),
        (200, {"data": [500]}, "does not say how many"),
        (200, {}, "does not say how many"),
        (200, [], "does not say how many"),
        (200, 500, "does not say how many"),
        (200, success(500, errors=[{"message": EMAIL}]), "lists errors"),
        (200, success(500, errors="oh"), "lists errors"),
        (200, success(500, account_id="18ce55gze09"), "another ads account"),
        (202, success(500), "the only success"),
    ],
)
def test_a_success_that_contradicts_itself_is_doubtful(status: int, body: Any, why: str) -> None:
    """It is neither called accepted nor sent again: an operator must look."""
    found = answer(status, body, sent=500)
    assert (found.kind, found.status) == ("doubtful", status)
    assert why in found.reason
    assert EMAIL not in found.reason


def test_true_is_not_one() -> None:
    """A boolean is no count, although it equals one in Python."""
    assert answer(200, success(True)).kind == "doubtful"


@pytest.mark.parametrize("body", [b"", b"<html>ok</html>", b'{"data":{"conversions_proc', b"\xff\xfe\x00", b"[" * 9999])
@pytest.mark.parametrize("status", [200, 204])
def test_a_success_that_cannot_be_read_is_unknown(status: int, body: bytes) -> None:
    """Such a page comes from something between X and us: what X did is not known."""
    assert answer(status, body).kind == "unknown"


@pytest.mark.parametrize("status", [408, 423, 500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("body", [b"", b"<html></html>", error("An internal error", code="INTERNAL_ERROR"), success()])
def test_x_gave_up(status: int, body: Any) -> None:
    """X may have processed the request before it failed, whatever the body says."""
    found = answer(status, body, retry_after="7")
    assert (found.kind, found.retry_after) == ("unknown", 7.0)
    assert str(status) in found.reason


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b""),
        (429, b"<html></html>"),
        (429, error("Too many", code="TOO_MANY_REQUESTS")),
        (429, error("Rate limit exceeded.", code=88)),
        (420, error("Rate limit exceeded.", code=88)),
        (400, error("Rate limit exceeded.", code="88")),
    ],
)
def test_throttled(status: int, body: Any) -> None:
    """By the status or by the code, with the wait that X asks for."""
    found = answer(status, body, retry_after="Fri, 15 Jan 2027 08:01:00 GMT", x_rate_limit_reset="1800000900")
    assert (found.kind, found.retry_after, found.rate.reset) == ("throttled", 60.0, 1_800_000_900.0)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (413, b"<html>413</html>"),
        (413, b""),
        (400, error("Conversion count limit is 500", parameter="conversions")),
        (400, error("Conversion count limit is 500", parameter="")),
    ],
)
def test_too_large(status: int, body: Any) -> None:
    """Fewer conversions per request may do."""
    assert answer(status, body).kind == "too_large"


@pytest.mark.parametrize(
    "body",
    [
        error("Could not authenticate you.", code=135),
        error("Timestamp out of bounds.", code="135"),
        error("Timestamp out of bounds."),
    ],
)
@pytest.mark.parametrize("status", [400, 401])
def test_x_finds_the_clock_wrong(status: int, body: Any) -> None:
    """By code or message, with the difference from X's own clock where it tells it."""
    found = answer(status, body, date=formatdate(NOW + 600, usegmt=True))
    assert (found.kind, found.clock_skew, found.server_date) == ("clock", 600.0, NOW + 600)
    assert "+600 s" in found.reason
    assert answer(status, body).clock_skew is None


def test_a_401_from_another_time_is_the_clock() -> None:
    """X need not say it: its Date header is more than five minutes from this machine's clock."""
    body = error("Could not authenticate you.", code=32)
    assert answer(401, body, date=formatdate(NOW - 301, usegmt=True)).kind == "clock"
    assert answer(401, body, date=formatdate(NOW - 300, usegmt=True)).kind == "halted"
    assert answer(403, body, date=formatdate(NOW - 301, usegmt=True)).kind == "halted"


def test_a_401_after_the_clock_was_corrected_is_the_credentials() -> None:
    """The request was signed with X's time, so the time is not at fault."""
    headers = {"date": formatdate(NOW - 600, usegmt=True)}
    found = classify(401, headers, b"", sent=1, account_id=None, now=NOW, clock_offset=-600.0)
    assert (found.kind, found.clock_skew) == ("halted", -600.0)


def test_ids_are_ids_or_nothing() -> None:
    """Nothing but an id is kept of the fields for ids: they are logged."""
    body = success()
    body["data"]["debug_id"] = EMAIL
    assert answer(200, body).debug_id is None
    body["data"]["debug_id"] = {"a": 1}
    assert answer(200, body).debug_id is None
    assert answer(200, success(account_id="x" * 65), account_id=None).account_id is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(EMAIL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_ENTRIES = st.fixed_dictionaries({}, optional={"code": _JSON, "message": _JSON, "parameter": _JSON})
_DOCUMENTS = _JSON | st.fixed_dictionaries(
    {}, optional={"errors": _JSON | st.lists(_ENTRIES | _JSON, max_size=4), "data": _JSON, "request": _JSON}
)


@settings(max_examples=400)
@given(
    st.integers(-1, 700), st.dictionaries(st.text(), st.text(), max_size=3), _DOCUMENTS.map(json.dumps) | st.binary()
)
def test_any_answer_is_an_answer(status: int, headers: dict[str, str], body: str | bytes) -> None:
    """Whatever X sends: a kind, one line, no exception, and no e-mail address where it would be printed."""
    content = body.encode() if isinstance(body, str) else body
    found = classify(status, headers, content, sent=1, account_id=ACCOUNT, now=NOW)
    assert found.kind != "refused" or found.errors
    assert found.kind != "accepted" or status == 200
    assert "\n" not in found.reason
    assert EMAIL not in repr(found)
