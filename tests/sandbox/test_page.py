"""The sandbox's own pages: `/` for people, `received.json` for programs."""

import re
from html import unescape

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xcapi_dagster.sandbox.page import overview
from xcapi_dagster.sandbox.record import Batch, Record

EMAIL = "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=10)


def table(page: str, title: str) -> list[tuple[str, ...]]:
    """The rows of the table under a title, as a browser shows them."""
    body = re.search(f"<h2>{title}</h2><table>(.*?)</table>", page, re.DOTALL)[1]
    rows = re.findall("<tr>(.*?)</tr>", body, re.DOTALL)[1:]
    return [tuple(unescape(cell) for cell in re.findall("<td>(.*?)</td>", row, re.DOTALL)) for row in rows]


def test_what_the_page_shows(start, clock, row):
    """The page counts requests and conversions, by event and by hour, and lists the last ones, the newest first."""
    _, client = start(clock=clock)
    client.send(row(conversion_id="A-1"), row(conversion_id="A-1", conversion_time="2022-02-18T02:59:59.999Z"))
    client.send(row(conversion_id="A-2", event_id="o6dl3"), row(value=20))
    client.send(row(conversion_id="A-2", event_id="tw-o6dkt-o6dl3"))
    page = get(client.url).text

    assert table(page, "Received") == [("requests", "3"), ("conversions", "3"), ("counted once", "2")]
    assert table(page, "Conversions by event") == [("ol288", "2"), ("o6dl3", "1")]
    assert table(page, "Conversions by their hour") == [("2022-02-18T01", "2"), ("2022-02-18T02", "1")]
    assert [row[0:5] for row in table(page, "Last requests")] == [
        ("3", "2027-01-15 08:00:00", "POST /12/measurement/conversions/oka17", "200", "1"),
        ("2", "2027-01-15 08:00:00", "POST /12/measurement/conversions/oka17", "400", "2"),
        ("1", "2027-01-15 08:00:00", "POST /12/measurement/conversions/oka17", "200", "2"),
    ]
    assert table(page, "Last conversions") == [("A-2",), ("A-1",), ("A-1",)]


def test_page_shows_the_last_50_requests(client, row):
    """The page stays short: 50 requests, 20 conversion ids."""
    for number in range(60):
        client.send(row(conversion_id=str(number)), auth=None, headers={"X-Pixel-Token": "token-of-oka17"})
    page = get(client.url).text

    assert [row[0] for row in table(page, "Last requests")] == [str(number) for number in range(60, 10, -1)]
    assert [row[0] for row in table(page, "Last conversions")] == [str(number) for number in range(59, 39, -1)]


def test_page_holds_no_identifier(client, row):
    """No identifier, secret or value is on the page, and it loads nothing."""
    identifiers = [{"twclid": "click-1"}, {"hashed_email": EMAIL}, {"ip_address": "1.2.3.4", "user_agent": "Agent"}]
    client.send(row(identifiers=identifiers, value="12.34", description="private"))
    answer = get(client.url)

    for secret in ("click-1", EMAIL, "1.2.3.4", "Agent", "12.34", "private", "token"):
        assert secret not in answer.text
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in answer.text
    assert "<script" not in answer.text
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("text/html;charset=utf-8", "no-store")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversion_id=st.text("<>&\"'ab/=", min_size=1, max_size=20))
def test_ids_are_only_text(row, conversion_id):
    """Whatever an id is, the page shows it as text."""
    page, plain = page_of(row(conversion_id=conversion_id)), page_of(row(conversion_id="A-1"))

    assert table(page, "Last conversions") == [(conversion_id,)]
    assert [page.count(sign) for sign in "<>\"'"] == [plain.count(sign) for sign in "<>\"'"]


def page_of(conversion) -> str:
    record = Record()
    record.accept(Batch(1, 0.0, "a", "p", [conversion]))
    return overview(record)


def test_received_json(start, clock, row):
    """The JSON has every request and the whole payload of every conversion, all or since a request."""
    _, client = start(clock=clock)
    client.send(row(conversion_id="A-1", value="1.00"))
    client.send(row(conversion_id="A-1", value="1.00"))
    everything, rest = (get(f"{client.url}/_sandbox/received.json{query}").json() for query in ("", "?since=1"))

    assert [request["number"] for request in everything["requests"]] == [1, 2]
    assert everything["requests"][0].keys() == {
        "number", "received_at", "method", "path", "status", "size", "conversions", "is_faulty"
    }  # fmt: skip
    assert everything["deduplicated"] == 1
    assert len(everything["conversions"]) == 2
    assert [request["number"] for request in rest["requests"]] == [2]
    assert rest["conversions"] == [
        {
            "request": 2,
            "received_at": 1_800_000_000.0,
            "account_id": "18ce552mlaq",
            "pixel_id": "oka17",
            "conversion": row(conversion_id="A-1", value="1.00"),
        }
    ]


def test_own_pages_are_no_requests_to_the_api(client, sandbox):
    """Looking at the sandbox leaves no trace in what it received."""
    get(client.url)
    get(f"{client.url}/_sandbox/received.json")

    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/_sandbox/received.json?since=x", 400),
        (f"/_sandbox/received.json?since={'9' * 5_000}", 400),
        ("/_sandbox/nothing", 404),
        ("/favicon.ico", 404),
    ],
)
def test_other_pages(client, path, status):
    """What does not exist is told so."""
    assert get(client.url + path).status_code == status
