"""Scripted faults, over HTTP: the bad days that a client must survive.

The case numbers are those of the conformance list; its cases say what the client does, these tests that the
sandbox gives it the chance.
"""

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.holding import holding, until
from xcapi_dagster.sandbox import Do, Fault, Match
from xcapi_dagster.sandbox.faults import Script, from_json

PATH = "/12/measurement/conversions/oka17"
NEXT = {"next": 1}


@pytest.mark.parametrize(
    ("do", "status", "code"),
    [
        pytest.param({"status": 503, "headers": {"retry-after": "7"}}, 503, "SERVICE_UNAVAILABLE", id="case-84-503"),
        pytest.param({"status": 500}, 500, "INTERNAL_ERROR", id="case-85-500"),
        pytest.param({"status": 408}, 408, "CANCELLED_REQUEST", id="case-85-408"),
        pytest.param({"status": 423}, 423, "LOCK_ACQUISITION_TIMEOUT", id="case-85-423"),
        pytest.param({"status": 429}, 429, "TOO_MANY_REQUESTS", id="case-82-429-without-reset"),
        pytest.param({"status": 401}, 401, "UNAUTHORIZED_ACCESS", id="fault-matrix-401-in-between"),
    ],
)
def test_statuses(client, sandbox, row, do, status, code):
    """A status is answered with its documented code and any headers; nothing is processed, the next request is."""
    sandbox.script([{"match": NEXT, "do": do}])
    answer, after = client.send(row()), client.send(row())

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    assert do.get("headers", {}).items() <= dict(answer.headers).items()
    assert (after.status_code, len(sandbox.received)) == (200, 1)


@pytest.mark.parametrize("status", [pytest.param(s, id=f"case-85-{s}") for s in (501, 502, 504, 505, 520)])
def test_gateway_pages(client, sandbox, row, status):
    """A gateway answers with a page of HTML."""
    sandbox.script([{"match": NEXT, "do": {"status": status}}])
    answer = client.send(row())

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html;charset=utf-8")
    assert sandbox.received == []


def test_failing_after_processing(client, sandbox, row):
    """A 504 may come for what arrived: `process` stores first."""
    sandbox.script([{"match": NEXT, "do": {"status": 504, "process": True}}])

    assert client.send(row()).status_code == 504
    assert len(sandbox.received) == 1


@pytest.mark.parametrize("status", [pytest.param(s, id=f"case-76-{s}") for s in (301, 302, 307, 308)])
def test_redirects(client, sandbox, row, status):
    """A redirect names another place, and nothing is processed."""
    elsewhere = {"location": "http://127.0.0.1:9/elsewhere"}
    sandbox.script([{"match": NEXT, "do": {"status": status, "headers": elsewhere}}])
    answer = client.send(row())

    assert (answer.status_code, answer.headers["location"]) == (status, elsewhere["location"])
    assert sandbox.received == []


@pytest.mark.parametrize(
    ("drop", "received"), [pytest.param("before", 0, id="case-87-before"), pytest.param("after", 1, id="case-86-after")]
)
def test_dropped_connections(client, sandbox, row, drop, received):
    """A connection is closed without an answer, before or after processing; the request is on record either way."""
    sandbox.script([{"match": NEXT, "do": {"drop": drop}}])
    with pytest.raises(requests.ConnectionError):
        client.send(row())

    assert len(sandbox.received) == received
    assert [(request.status, request.is_faulty) for request in sandbox.requests] == [(None, True)]
    assert client.send(row()).status_code == 200


def test_case_86_timeout(client, sandbox, row):
    """A request that is answered too late for its client is stored all the same."""
    with holding(sandbox, Match(conversion_id="A-1")) as late:
        with pytest.raises(requests.ReadTimeout):
            client.send(row(conversion_id="A-1"), timeout=(10, 0.1))
        assert late.came.wait(60)
    until(lambda: sandbox.received)
    client.send(row(conversion_id="A-1"))

    assert (len(sandbox.received), sandbox.deduplicated) == (2, 1)


@pytest.mark.parametrize(
    ("shape", "processed"),
    [
        pytest.param("count_plus_one", 2, id="case-89-more"),
        pytest.param("count_minus_one", 0, id="case-89-less"),
        pytest.param("count_as_string", "1", id="case-92-text"),
    ],
)
def test_wrong_counts(client, sandbox, row, shape, processed):
    """A success may tell another count than what was sent and stored."""
    sandbox.script([{"match": NEXT, "do": {"answer": shape}}])
    answer = client.send(row())

    assert (answer.status_code, answer.json()["data"]["conversions_processed"]) == (200, processed)
    assert len(sandbox.received) == 1


def test_case_90_errors_in_a_success(client, sandbox, row):
    """A 200 may carry `errors` beside its data."""
    sandbox.script([{"match": NEXT, "do": {"answer": "errors_in_200"}}])
    answer = client.send(row())

    assert (answer.status_code, len(answer.json()["errors"])) == (200, 1)
    assert answer.json()["data"]["conversions_processed"] == 1


@pytest.mark.parametrize("shape", [pytest.param(s, id=f"case-91-{s}") for s in ("html", "empty", "truncated_json")])
def test_successes_that_cannot_be_read(client, sandbox, row, shape):
    """A 200 may hold no JSON, though all is stored."""
    sandbox.script([{"match": NEXT, "do": {"answer": shape}}])
    answer = client.send(row())

    assert answer.status_code == 200
    assert len(sandbox.received) == 1
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_case_59_unknown_refusals(client, sandbox, row):
    """A 400 may hold words that nobody documents, or a page of HTML."""
    body = '{"errors":[{"code":"INVALID_PARAMETER","message":"Something new"}]}'
    sandbox.script(
        [
            {"match": {"request": 1}, "do": {"status": 400, "body": body}},
            {"match": {"request": 2}, "do": {"status": 400, "answer": "html"}},
        ]
    )
    words, page = client.send(row()), client.send(row())

    assert (words.status_code, words.text, words.headers["content-type"][:16]) == (400, body, "application/json")
    assert (page.status_code, page.text[:6]) == (400, "<html>")
    assert sandbox.received == []


def test_case_72_html_404(client, sandbox, row):
    """A 404 may be a page of HTML."""
    sandbox.script([{"match": NEXT, "do": {"status": 404, "answer": "html"}}])
    answer = client.send(row())

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html;charset=utf-8")


def test_cases_74_and_81_headers(client, sandbox, row):
    """Headers alone are added to the true answer, and go before its own."""
    headers = {"x-api-warn": "deprecated", "X-Rate-Limit-Remaining": "0"}
    sandbox.script([{"match": NEXT, "do": {"headers": headers}}])
    answer = client.send(row())

    assert answer.json()["data"]["conversions_processed"] == 1
    assert (answer.headers["x-api-warn"], answer.headers["x-rate-limit-remaining"]) == ("deprecated", "0")


@pytest.mark.parametrize("shape", ["count_plus_one", "errors_in_200", "other_account"])
def test_spoiling_a_refusal(client, sandbox, row, shape):
    """What spoils a success leaves a refusal as it is."""
    sandbox.script([{"match": NEXT, "do": {"answer": shape}}])
    answer = client.send(row(event_id="o6dkt"))

    assert (answer.status_code, answer.json().keys()) == (400, {"errors", "request"})


def test_case_78_other_account(client, sandbox, row):
    """A success may name another account than the pixel's."""
    sandbox.script([{"match": NEXT, "do": {"answer": "other_account"}}])

    assert client.send(row()).json()["request"]["params"]["account_id"] != "18ce552mlaq"


def test_which_requests(client, sandbox, row):
    """A fault hits the request with its number, the next so many, or all that hold a conversion; the first one wins."""
    sandbox.script(
        [
            Fault(Match(request=3), Do(status=500)),
            Fault(Match(next=1), Do(status=502)),
            Fault(Match(conversion_id="A-7"), Do(status=503)),
        ]
    )
    rows = [row(), row(), row(), row(conversion_id="A-7"), row(conversion_id="A-8"), row(conversion_id="A-7")]

    assert [client.send(each).status_code for each in rows] == [502, 200, 500, 503, 200, 503]


def test_script_over_http(client, sandbox, row):
    """A script can be put in place and taken away over HTTP; each replaces the one before."""
    url = f"{client.url}/_sandbox/faults"
    script = [{"match": {"next": 100}, "do": {"status": 503}}]
    assert requests.post(url, json=script, timeout=10).json() == {"faults": 1}
    assert client.send(row()).status_code == 503
    script[0]["do"]["status"] = 500
    assert requests.post(url, json=script, timeout=10).json() == {"faults": 1}
    assert client.send(row()).status_code == 500
    assert requests.delete(url, timeout=10).json() == {"faults": 0}
    assert client.send(row()).status_code == 200


BAD_SCRIPTS = [
    {},
    [1],
    [{"match": NEXT}],
    [{"match": {}, "do": {}}],
    [{"match": {"next": 0}, "do": {}}],
    [{"match": {"next": True}, "do": {}}],
    [{"match": {"next": 1, "request": 1}, "do": {}}],
    [{"match": {"conversion_id": 7}, "do": {}}],
    [{"match": NEXT, "do": {"delay": "1"}}],
    [{"match": NEXT, "do": {"delay": -1}}],
    [{"match": NEXT, "do": {"drop": "later"}}],
    [{"match": NEXT, "do": {"status": 99}}],
    [{"match": NEXT, "do": {"body": 7}}],
    [{"match": NEXT, "do": {"answer": "nonsense"}}],
    [{"match": NEXT, "do": {"process": 1}}],
    [{"match": NEXT, "do": {"headers": ["a"]}}],
    [{"match": NEXT, "do": {"headers": {"a": 1}}}],
    [{"match": NEXT, "do": {"headers": {"a": "line\nbreak"}}}],
    [{"match": NEXT, "do": {"unknown": 1}}],
]


@pytest.mark.parametrize("script", BAD_SCRIPTS)
def test_bad_scripts(client, sandbox, row, script):
    """A script that is none is refused with a reason, and the one in place stays."""
    sandbox.script([{"match": NEXT, "do": {"status": 500}}])
    answer = requests.post(f"{client.url}/_sandbox/faults", json=script, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"].startswith("the script is not usable: ")
    assert client.send(row()).status_code == 500


def test_foreign_pages_cannot_script(client):
    """What a web page may send without asking, a form or plain text, is refused."""
    url = f"{client.url}/_sandbox/faults"
    body = '[{"match": {"next": 1}, "do": {"status": 500}}]'

    assert requests.post(url, data=body, headers={"Content-Type": "text/plain"}, timeout=10).status_code == 415
    assert "access-control-allow-origin" not in requests.get(client.url, timeout=10).headers


KEYS = ["match", "do", "next", "request", "conversion_id", "status", "headers", "delay", "drop", "answer", "body"]


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-1, 700) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_json_as_script(script):
    """Whatever JSON a script is, it is taken or refused with ValueError."""
    taker = Script()
    try:
        taker.replace(from_json(script))
    except ValueError:
        return
    taker.take(1, list)
