"""The five calls about event tags over real sockets, against scripted answers: what goes out, what is made of answers.

Numbers of cases are those of the contract's list; the statuses and texts of X's that are guesses are marked so there.
"""

import threading
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.impatience import impatient_once
from xcapi_dagster.ads_api.account import PAUSES, AdsAccount
from xcapi_dagster.ads_api.auth import OAuth1
from xcapi_dagster.ads_api.connection import Connection
from xcapi_dagster.ads_api.event_tags import EventTags
from xcapi_dagster.ads_api.tag_values import TagValues
from xcapi_dagster.errors import AdsApiError, ConfigurationError

ACCOUNT = "18ce54d4x5t"
LIST = f"/12/accounts/{ACCOUNT}/web_event_tags"
TAG = {
    "name": "web event tag",
    "view_through_window": 7,
    "click_window": 7,
    "embed_code": "<script></script>",
    "id": "o3bk1",
    "retargeting_enabled": False,
    "last_tracked_at": None,
    "status": "UNVERIFIED",
    "type": "SITE_VISIT",
    "website_tag_id": "ny3od",
    "deleted": False,
}
NO_ACCESS = "The client application making this request does not have access to Twitter Ads API."
VALUES = TagValues(
    name="web event tag", type="SITE_VISIT", click_window=7, view_through_window=7, retargeting_enabled=False
)


@pytest.fixture
def slept() -> list[float]:
    """The seconds that were waited, of which none passed."""
    return []


@pytest.fixture
def event_tags(keys: OAuth1, slept: list[float]) -> Callable[..., EventTags]:
    """The event tags of the documented account at a URL."""

    def make(url: str, **options: Any) -> EventTags:
        return EventTags(AdsAccount(Connection(url, keys, **options), "12", ACCOUNT, sleep=slept.append))

    return make


def page(*tags: Any, cursor: str | None = None, **more: Any) -> dict[str, Any]:
    """A page of a list as X answers it."""
    return {"request": {"params": {"account_id": ACCOUNT}}, "next_cursor": cursor, "data": list(tags), **more}


def one(**changes: Any) -> dict[str, Any]:
    """An answer about one tag."""
    return {"request": {"params": {"account_id": ACCOUNT}}, "data": TAG | changes}


def errors(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"errors": list(entries), "request": {"params": {"account_id": ACCOUNT}}}


def refused(code: str | int, message: str = "x", parameter: str | None = None) -> dict[str, Any]:
    """An answer that refuses for one reason."""
    return errors({"code": code, "message": message} | ({} if parameter is None else {"parameter": parameter}))


def asked(server: Any) -> list[tuple[str, str, dict[str, str]]]:
    """Method, path and query of every request."""
    return [
        (request.method, urlsplit(request.path).path, dict(parse_qsl(urlsplit(request.path).query)))
        for request in server.received
    ]


# What goes out


def test_a_list_is_one_get_and_case_97(wire: Any, event_tags: Any) -> None:
    """Ids with commas, nothing that was not given, no body and no type of one."""
    server = wire.serve(wire.answering(200, page(TAG)))
    found = event_tags(server.url).find(ids=["o3bk1", "o3bk2"])
    assert [tag.as_json() for tag in found.tags] == [TAG]
    assert asked(server) == [("GET", LIST, {"web_event_tag_ids": "o3bk1,o3bk2"})]
    (request,) = server.received
    assert (request.body, "content-type" in request.headers) == (b"", False)
    assert request.headers["authorization"].startswith("OAuth ")


def test_every_parameter_of_a_list(wire: Any, event_tags: Any) -> None:
    """The names that X documents."""
    server = wire.serve(wire.answering(200, page(total_count=0)))
    found = event_tags(server.url).find(
        ids=["o3bk1"], count=1000, sort_by="created_at-asc", with_deleted=True, with_total_count=True
    )
    assert (found.tags, found.total_count) == ((), 0)
    assert asked(server)[0][2] == {
        "web_event_tag_ids": "o3bk1",
        "count": "1000",
        "sort_by": "created_at-asc",
        "with_deleted": "true",
        "with_total_count": "true",
    }


def test_a_create_puts_its_values_into_the_query(wire: Any, event_tags: Any) -> None:
    """As in X's example, with %20 for a space; the answer is X's example."""
    server = wire.serve(wire.answering(200, one()))
    assert event_tags(server.url).create(VALUES).as_json() == TAG
    (request,) = server.received
    assert request.path.startswith(f"{LIST}?")
    assert "name=web%20event%20tag" in request.path
    assert asked(server) == [
        (
            "POST",
            LIST,
            {
                "name": "web event tag",
                "type": "SITE_VISIT",
                "click_window": "7",
                "view_through_window": "7",
                "retargeting_enabled": "false",
            },
        )
    ]
    assert request.headers["content-length"] == "0"


def test_an_update_sends_what_is_given_alone_and_case_107(wire: Any, event_tags: Any) -> None:
    """X's example changes the type."""
    server = wire.serve(wire.answering(200, one(type="DOWNLOAD")))
    assert event_tags(server.url).update("o3bk1", TagValues(type="DOWNLOAD")).type == "DOWNLOAD"
    assert asked(server) == [("PUT", f"{LIST}/o3bk1", {"type": "DOWNLOAD"})]


def test_get_and_delete(wire: Any, event_tags: Any) -> None:
    """One request each; a deleted tag is only asked for when it is wanted."""
    server = wire.serve(wire.answering(200, one()), wire.answering(200, one()), wire.answering(200, one(deleted=True)))
    tags = event_tags(server.url)
    tags.get("o3bk1")
    tags.get("o3bk1", with_deleted=True)
    assert tags.delete("o3bk1").deleted
    assert asked(server) == [
        ("GET", f"{LIST}/o3bk1", {}),
        ("GET", f"{LIST}/o3bk1", {"with_deleted": "true"}),
        ("DELETE", f"{LIST}/o3bk1", {}),
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda tags: tags.find(ids=["o1"] * 201),
        lambda tags: tags.find(count=1001),
        lambda tags: tags.find(sort_by="name"),
        lambda tags: tags.get("../accounts"),
        lambda tags: tags.create(TagValues(name="x")),
        lambda tags: tags.update("o3bk1", TagValues(click_window=90)),
        lambda tags: tags.update("o3bk1", TagValues()),
        lambda tags: tags.delete(""),
    ],
)
def test_what_x_would_refuse_is_not_asked(wire: Any, event_tags: Any, call: Any) -> None:
    """Cases 100, 103 to 106: no request at all."""
    server = wire.serve(wire.answering(200, page()))
    with pytest.raises(ConfigurationError):
        call(event_tags(server.url))
    assert server.received == []


# Pages


def many(first: int, last: int) -> list[dict[str, Any]]:
    return [TAG | {"id": f"o{number}"} for number in range(first, last)]


def test_450_tags_are_three_pages_and_case_98(wire: Any, event_tags: Any) -> None:
    """Cursors are sent back as they came, with all other parameters; the total is asked for but once."""
    server = wire.serve(
        wire.answering(200, page(*many(0, 200), cursor="c-3yvu/1=", total_count=450)),
        wire.answering(200, page(*many(200, 400), cursor="c-3w3z")),
        wire.answering(200, page(*many(400, 450))),
    )
    found = event_tags(server.url).find(count=200, with_deleted=True, with_total_count=True)
    assert [tag.id for tag in found.tags] == [f"o{number}" for number in range(450)]
    assert found.total_count == 450
    both = {"count": "200", "with_deleted": "true"}
    assert [query for _, _, query in asked(server)] == [
        both | {"with_total_count": "true"},
        both | {"cursor": "c-3yvu/1="},
        both | {"cursor": "c-3w3z"},
    ]


def test_a_full_last_page_may_be_followed_by_an_empty_one(wire: Any, event_tags: Any) -> None:
    """A tag that moved to the next page meanwhile is there once."""
    server = wire.serve(
        wire.answering(200, page(*many(0, 3), cursor="a")),
        wire.answering(200, page(*many(2, 4), cursor="b")),
        wire.answering(200, page()),
    )
    assert [tag.id for tag in event_tags(server.url).find().tags] == ["o0", "o1", "o2", "o3"]


@pytest.mark.parametrize(
    "pages",
    [
        [page(*many(0, 2), cursor="a"), page(*many(2, 4), cursor="a")],
        [page(*many(0, 2), cursor="a"), page(*many(2, 4), cursor="b"), page(*many(4, 6), cursor="a")],
        [page(*many(0, 2), cursor="a"), page(*many(0, 2), cursor="b"), page(*many(0, 2), cursor="c")],
        [page(*many(0, 2), cursor="a"), page(cursor="b"), page(cursor="c")],
        [page(*many(0, 2), cursor=["a"])],
    ],
    ids=["the-same", "a-circle", "the-same-tags", "nothing-new", "no-text"],
)
def test_pages_that_do_not_end_end_here_and_case_99(wire: Any, event_tags: Any, pages: list[Any]) -> None:
    """A cursor that comes again, and new cursors that bring nothing new."""
    server = wire.serve(*(wire.answering(200, each) for each in pages))
    with pytest.raises(AdsApiError, match="does not end"):
        event_tags(server.url).find()
    assert len(server.received) <= len(pages)


def test_one_object_may_stand_for_a_list(wire: Any, event_tags: Any) -> None:
    """X's page on responses says so."""
    server = wire.serve(wire.answering(200, page() | {"data": TAG}))
    assert [tag.id for tag in event_tags(server.url).find().tags] == ["o3bk1"]


# What is refused is told in the user's words, once


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, refused("UNAUTHORIZED_ACCESS", "This request is not properly authenticated"), "X_ADS_CONSUMER_KEY"),
        (401, refused(32, "Could not authenticate you."), "does not accept the credentials"),
        (401, refused(89, "Invalid or expired token."), "revoked or has expired"),
        (400, refused(215, "Bad Authentication data."), "X_ADS_CONSUMER_KEY"),
        (403, refused("UNAUTHORIZED_CLIENT_APPLICATION", NO_ACCESS), "Conversion only"),
        (403, refused("READONLY_CLIENT_APPLICATION"), "may only read"),
        (403, refused("ACTION_NOT_ALLOWED"), "ad manager"),
        (403, refused("ACCOUNT_NOT_FOUND", f"Account {ACCOUNT} was not found"), "X_ADS_ACCOUNT_ID"),
        (403, b"<html>Forbidden</html>", "denies access"),
        (404, refused("NOT_FOUND", f"User 999 does not have access to account {ACCOUNT}."), "no role on the ads"),
        (404, refused("ROUTE_NOT_FOUND", "The requested resource could not be found"), f"no ads account {ACCOUNT}"),
        (404, b"<html>Not Found</html>", f"X finds no ads account {ACCOUNT}"),
        (404, refused("INVALID", "Version 12 is not available."), "X_ADS_API_VERSION"),
        (405, refused("METHOD_NOT_ALLOWED"), "X_ADS_API_URL"),
        (301, b"", "redirect"),
        (400, refused("INVALID_PARAMETER", 'Expected Int, got "x" for count', "count"), "from 1 to 1000"),
        (400, refused("EXCLUSIVE_PARAMETERS"), "X refused"),
        (400, b"<html>Bad Request</html>", "without a readable error"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_and_not_repeated(
    wire: Any, event_tags: Any, slept: list[float], status: int, body: Any, words: str
) -> None:
    """Every documented refusal, as X writes it and as a gateway's page: one request, one line, what to mend."""
    server = wire.serve(wire.answering(status, body))
    for call in (lambda tags: tags.find(), lambda tags: tags.create(VALUES)):
        with pytest.raises(ConfigurationError, match=words) as raised:
            call(event_tags(server.url))
        assert "\n" not in str(raised.value)
    assert (len(server.received), slept) == (2, [])


@pytest.mark.parametrize(
    "error",
    [
        {"code": "WEB_EVENT_TAG_NOT_FOUND", "message": "x", "parameter": "web_event_tag_id"},
        {"code": "WEB_EVENT_TAG_NOT_FOUND", "message": "x"},
        {"code": "NOT_FOUND", "message": "The web event tag was not found", "parameter": "web_event_tag_id"},
        {"code": "INVALID_ID_ILLEGAL_CHARACTERS", "message": "x"},
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda tags: tags.get("o3bk1"),
        lambda tags: tags.update("o3bk1", TagValues(type="CUSTOM")),
        lambda tags: tags.delete("o3bk1"),
    ],
)
def test_an_unknown_tag_and_case_101(wire: Any, event_tags: Any, call: Any, error: dict[str, str]) -> None:
    """The account and the id are named, and where to look."""
    server = wire.serve(wire.answering(404, errors(error)))
    with pytest.raises(ConfigurationError, match=r"18ce54d4x5t has no event tag o3bk1, or it is deleted.*tags list"):
        call(event_tags(server.url))
    assert len(server.received) == 1


def test_refused_values_get_their_rule(wire: Any, event_tags: Any) -> None:
    """An update of one window alone can break a rule that only X can check; its echo is not shown."""
    window = refused("INVALID_PARAMETER", 'Expected x, got "canary" for view_through_window', "view_through_window")
    name = refused("INVALID_PARAMETER", "canary4711 is taken", "name")
    server = wire.serve(wire.answering(400, errors(*window["errors"], *name["errors"])))
    with pytest.raises(ConfigurationError, match=r"at most the click window.*the name must") as raised:
        event_tags(server.url).update("o3bk1", TagValues(view_through_window=30))
    assert "canary" not in str(raised.value)


# What may pass is asked again; what was perhaps done is looked for first


@pytest.mark.parametrize("status", [408, 423, 500, 502, 503, 504])
def test_a_question_is_asked_again(wire: Any, event_tags: Any, slept: list[float], status: int) -> None:
    """Signed anew each time, after a pause, at most three times."""
    server = wire.serve(wire.answering(status), wire.answering(status), wire.answering(200, page(TAG)))
    assert len(event_tags(server.url).find().tags) == 1
    assert slept == list(PAUSES)
    assert len({request.headers["authorization"] for request in server.received}) == 3


def test_three_times_are_enough(wire: Any, event_tags: Any) -> None:
    """Then X is told to be out of order."""
    server = wire.serve(wire.answering(503))
    with pytest.raises(AdsApiError, match="503"):
        event_tags(server.url).find()
    assert len(server.received) == 3


@pytest.mark.parametrize("status", [501, 505])
def test_what_cannot_succeed_is_not_repeated(wire: Any, event_tags: Any, slept: list[float], status: int) -> None:
    """The next time would end the same way."""
    server = wire.serve(wire.answering(status))
    with pytest.raises((AdsApiError, ConfigurationError)):
        event_tags(server.url).find()
    assert (len(server.received), slept) == (1, [])


def test_html_instead_of_json(wire: Any, event_tags: Any) -> None:
    """A 200 that is a page of something else makes one ask whose address it is."""
    for body in (b"<html>Welcome</html>", b"", b'{"data":', b"[]", b'{"request": {}}'):
        server = wire.serve(wire.answering(200, body))
        with pytest.raises(AdsApiError, match="without a readable body: does X_ADS_API_URL lead to the API"):
            event_tags(server.url).find()
        assert len(server.received) == 1


@pytest.mark.parametrize("data", [[{"name": "x"}], [None], "text", [TAG | {"id": "O3 BK1"}]])
def test_something_else_than_tags(wire: Any, event_tags: Any, data: Any) -> None:
    """Nothing is guessed."""
    server = wire.serve(wire.answering(200, page() | {"data": data}))
    with pytest.raises(AdsApiError, match="something else than event tags"):
        event_tags(server.url).find()


def test_a_limit_is_waited_for_when_that_is_soon(wire: Any, event_tags: Any, slept: list[float]) -> None:
    """As long as X says, by its own clock; and not when it would take minutes."""
    now = 1_800_000_000
    soon = wire.answering(429, Date=formatdate(now), x_account_rate_limit_reset=str(now + 30))
    server = wire.serve(soon, wire.answering(200, page()))
    event_tags(server.url).find()
    assert slept == [30.0]
    late = wire.serve(wire.answering(429, Date=formatdate(now), x_account_rate_limit_reset=str(now + 700)))
    with pytest.raises(AdsApiError, match="try again in 700 s"):
        event_tags(late.url).find()
    assert len(late.received) == 1


def test_retry_after_is_obeyed(wire: Any, event_tags: Any, slept: list[float]) -> None:
    """Seconds that X asks for go before our own."""
    server = wire.serve(wire.answering(503, retry_after="7"), wire.answering(200, page()))
    event_tags(server.url).find()
    assert slept == [7.0]


def test_a_wrong_clock_is_corrected_once(wire: Any, event_tags: Any) -> None:
    """By X's date; when that does not help, this machine's clock is blamed."""
    x_now = 1_800_000_600
    refusal = wire.answering(401, errors({"code": 135, "message": "Timestamp out of bounds."}), Date=formatdate(x_now))
    server = wire.serve(refusal, wire.answering(200, page()))
    event_tags(server.url, clock=lambda: 1_800_000_000.0).find()
    assert 'oauth_timestamp="1800000600"' in server.received[1].headers["authorization"]
    server = wire.serve(refusal)
    with pytest.raises(ConfigurationError, match="clock"):
        event_tags(server.url, clock=lambda: 1_800_000_000.0).find()
    assert len(server.received) == 2


def test_another_account_is_no_answer(wire: Any, event_tags: Any) -> None:
    """Nor are errors beside data: nothing of it is used."""
    other = page(TAG) | {"request": {"params": {"account_id": "18ce55other"}}}
    with pytest.raises(AdsApiError, match="another ads account than X_ADS_ACCOUNT_ID"):
        event_tags(wire.serve(wire.answering(200, other)).url).find()
    mixed = page(TAG) | errors({"code": "INTERNAL_ERROR", "message": "x"})
    with pytest.raises(AdsApiError, match="lists errors"):
        event_tags(wire.serve(wire.answering(200, mixed)).url).find()


def test_a_network_that_is_down(event_tags: Any, slept: list[float]) -> None:
    """Told at once, for a question as for a change."""
    for url, words in (("http://127.0.0.1:1", "refuses connections"), ("https://ads-api.invalid", "DNS")):
        for call in (lambda tags: tags.find(), lambda tags: tags.create(VALUES), lambda tags: tags.delete("o3bk1")):
            with pytest.raises(AdsApiError, match=words):
                call(event_tags(url))
    assert slept == []


def test_a_create_without_an_answer_looks_and_case_110(wire: Any, event_tags: Any, slept: list[float]) -> None:
    """X made it and the answer was lost: the tag with just these values is the one, and nothing is made twice."""
    others = [
        TAG | {"id": "o1", "name": "other"},
        TAG | {"id": "o2", "click_window": 30},
        TAG | {"id": "o3", "last_tracked_at": "2021-05-22T17:00:04Z", "status": "TRACKING"},
        TAG | {"id": "o4", "deleted": True},
    ]
    server = wire.serve(wire.resetting, wire.answering(200, page(*others, TAG)))
    assert event_tags(server.url).create(VALUES).id == "o3bk1"
    assert [method for method, _, _ in asked(server)] == ["POST", "GET"]
    assert slept == [PAUSES[0]]


@pytest.mark.parametrize("behavior", ["silent", "reset", "close", 500, 504, 408, "unreadable"])
def test_a_create_that_x_did_not_do_is_repeated_after_the_look(wire: Any, event_tags: Any, behavior: Any) -> None:
    """Whatever way the answer was lost; an answer of 200 that cannot be read is looked into and not repeated."""
    got = threading.Event()
    lost = {
        "silent": lambda _: got.set(),
        "reset": wire.resetting,
        "close": wire.closing,
        "unreadable": wire.answering(200, b"<html>"),
    }.get(behavior) or wire.answering(behavior)
    server = wire.serve(lost, wire.answering(200, page(TAG | {"name": "other"})), wire.answering(200, one()))
    tags = event_tags(server.url, **{"pool_factory": impatient_once(got)} if behavior == "silent" else {})
    if behavior == "unreadable":
        with pytest.raises(AdsApiError, match="not to be seen at X"):
            tags.create(VALUES)
        assert [method for method, _, _ in asked(server)] == ["POST", "GET"]
        return
    assert tags.create(VALUES).id == "o3bk1"
    assert [method for method, _, _ in asked(server)] == ["POST", "GET", "POST"]


def test_a_create_is_tried_three_times_and_looked_for_as_often(wire: Any, event_tags: Any) -> None:
    """Then the user is told that it is not there."""
    server = wire.serve(*[wire.answering(503), wire.answering(200, page())] * 3)
    with pytest.raises(AdsApiError, match="503: what was asked for is not to be seen at X"):
        event_tags(server.url).create(VALUES)
    assert [method for method, _, _ in asked(server)] == ["POST", "GET"] * 3


def test_when_looking_fails_too_nobody_knows(wire: Any, event_tags: Any) -> None:
    """Both reasons, and the advice to look before repeating: nothing is made a second time."""
    server = wire.serve(wire.closing, wire.answering(403))
    with pytest.raises(AdsApiError, match=r"cannot be asked what it did .*denies access.*look before you repeat"):
        event_tags(server.url).create(VALUES)
    assert [method for method, _, _ in asked(server)] == ["POST", "GET"]


def test_a_change_and_a_deletion_look_as_well(wire: Any, event_tags: Any) -> None:
    """Both were done although no answer came; a deletion is found among the deleted."""
    server = wire.serve(wire.closing, wire.answering(200, one(type="CUSTOM")))
    assert event_tags(server.url).update("o3bk1", TagValues(type="CUSTOM")).type == "CUSTOM"
    assert [method for method, _, _ in asked(server)] == ["PUT", "GET"]
    server = wire.serve(wire.closing, wire.answering(200, page(TAG | {"deleted": True})))
    assert event_tags(server.url).delete("o3bk1").deleted
    assert asked(server)[1][2] == {"web_event_tag_ids": "o3bk1", "with_deleted": "true"}


def test_a_change_that_was_not_done_is_repeated(wire: Any, event_tags: Any) -> None:
    """To look finds the old values, or the tag undeleted."""
    server = wire.serve(wire.closing, wire.answering(200, one()), wire.answering(200, one(type="CUSTOM")))
    assert event_tags(server.url).update("o3bk1", TagValues(type="CUSTOM")).type == "CUSTOM"
    server = wire.serve(wire.closing, wire.answering(200, page(TAG)), wire.answering(200, one(deleted=True)))
    assert event_tags(server.url).delete("o3bk1").deleted
    assert [method for method, _, _ in asked(server)] == ["DELETE", "GET", "DELETE"]


def test_a_limit_stops_a_change_without_a_look(wire: Any, event_tags: Any, slept: list[float]) -> None:
    """A 429 says that nothing was done."""
    server = wire.serve(wire.answering(429, retry_after="2"), wire.answering(200, one()))
    event_tags(server.url).create(VALUES)
    assert [method for method, _, _ in asked(server)] == ["POST", "POST"]
    assert slept == [2.0]


def test_no_secret_and_no_name_is_logged(wire: Any, event_tags: Any, caplog: pytest.LogCaptureFixture) -> None:
    """One line for each request: method, path, status."""
    caplog.set_level("DEBUG")
    server = wire.serve(wire.answering(200, one()))
    event_tags(server.url).create(VALUES)
    assert f"POST {LIST}: status 200 (accepted)" in caplog.text
    assert not any(word in caplog.text for word in ("secret", "web event tag", "oauth_signature", "an-access-token"))
