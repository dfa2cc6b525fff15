"""Cases 97 to 112: web event tags and what X tells of accounts, asked raw and by our client."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from xcapi_dagster.ads_api.event_tags import EventTags
from xcapi_dagster.ads_api.tag_values import TagValues
from xcapi_dagster.ads_api.user_access import user_access
from xcapi_dagster.errors import AdsApiError, ConfigurationError
from xcapi_dagster.sandbox import Account, EventTag, World

TAGS = "/12/accounts/18ce54d4x5t/web_event_tags"
NEW = {
    "click_window": "7", "name": "web event tag", "retargeting_enabled": "false", "type": "SITE_VISIT",
    "view_through_window": "7",
}  # fmt: skip
VALUES = TagValues(
    name="web event tag", type="SITE_VISIT", click_window=7, view_through_window=7, retargeting_enabled=False
)

ErrorsOf = Callable[..., list[tuple[str, str | None, str]]]


@pytest.fixture
def tags(ads_account: Any) -> Callable[[str], EventTags]:
    """Our client's event tags of X's account 18ce54d4x5t at a URL."""
    return lambda url: EventTags(ads_account(url))


def with_tags(world: World, *event_tags: EventTag) -> World:
    """The world with other tags in X's account 18ce54d4x5t."""
    others = tuple(account for account in world.accounts if account.account_id != "18ce54d4x5t")
    return replace(world, accounts=(*others, Account("18ce54d4x5t", {}, event_tags=event_tags)))


@pytest.fixture
def many(start: Any, x: Any) -> Any:
    """A sandbox with 450 event tags and 3 deleted ones."""
    made = [EventTag(f"o{n:x}", f"ny{n:x}", f"Tag {n}", "PURCHASE", deleted=n >= 450) for n in range(453)]
    return start(with_tags(x.sandbox._behavior.world, *made))


@pytest.mark.cases((97, "documented"))
def test_x_s_own_example_of_a_list(x: Any, tags: Any) -> None:
    """The fields of X's reference, and no further page."""
    answer = x.request("GET", TAGS, params={"web_event_tag_ids": "o3bk1"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["request"] == {"params": {"web_event_tag_ids": ["o3bk1"], "account_id": "18ce54d4x5t"}}
    assert body["next_cursor"] is None
    (tag,) = body["data"]
    assert "trackPid('ny3od'" in tag.pop("embed_code")
    assert tag == {
        "name": "web event tag", "view_through_window": 7, "click_window": 7, "id": "o3bk1",
        "retargeting_enabled": False, "last_tracked_at": "2021-05-22T17:00:04Z", "status": "TRACKING",
        "type": "DOWNLOAD", "website_tag_id": "ny3od", "deleted": False,
    }  # fmt: skip
    (found,) = tags(x.sandbox.url).find(ids=["o3bk1"]).tags
    assert found.as_json() == body["data"][0] | {"embed_code": found.embed_code}


@pytest.mark.cases((98, "documented"))
def test_pages(many: Any, tags: Any) -> None:
    """200, 200 and 50; our client reads them all and repeats its filters with each cursor."""
    sizes, cursor = [], None
    while not sizes or cursor:
        answer = many.request("GET", TAGS, params={"count": "200"} | ({"cursor": cursor} if cursor else {})).json()
        sizes.append(len(answer["data"]))
        cursor = answer["next_cursor"]
    assert sizes == [200, 200, 50]
    found = tags(many.sandbox.url).find(count=200, with_deleted=True).tags
    assert [tag.id for tag in found] == [f"o{n:x}" for n in range(453)]


@pytest.mark.cases((98, "documented"))
def test_filters_are_repeated(scripted: Any, tags: Any) -> None:
    """The second request has the cursor beside everything that the first one had."""
    pages = [{"data": [{"id": "o1"}], "next_cursor": "c1"}, {"data": [{"id": "o2"}], "next_cursor": None}]
    server = scripted(*((200, page, {}) for page in pages))
    assert len(tags(server.url).find(count=1, with_deleted=True).tags) == 2
    asked = [set(seen.path.partition("?")[2].split("&")) for seen in server.seen]
    assert asked == [{"count=1", "with_deleted=true"}, {"count=1", "with_deleted=true", "cursor=c1"}]


@pytest.mark.cases(
    (99, "required", {"data": [{"id": "o1"}], "next_cursor": "c"}), (99, "required", {"data": [], "next_cursor": "c"})
)
def test_a_list_that_does_not_end(case: dict[str, Any], scripted: Any, tags: Any) -> None:
    """Our client notices that the pages repeat, and stops."""
    server = scripted((200, case, {}))
    with pytest.raises(AdsApiError, match="does not end"):
        tags(server.url).find()
    assert len(server.seen) <= 3


@pytest.mark.cases(
    (100, "documented", {"count": "0"}, "count"),
    (100, "documented", {"count": "1001"}, "count"),
    (100, "documented", {"web_event_tag_ids": ",".join(f"o{n:x}" for n in range(201))}, "web_event_tag_ids"),
)
def test_more_than_a_list_may_have(case: tuple[dict[str, str], str], x: Any, errors_of: ErrorsOf) -> None:
    """X documents the bounds; that it answers 400 with an INVALID_PARAMETER is a guess."""
    parameters, name = case
    answer = x.request("GET", TAGS, params=parameters)
    assert answer.status_code == 400
    assert [error[:2] for error in errors_of(answer)] == [("INVALID_PARAMETER", name)]


@pytest.mark.cases(
    (100, "required", {"count": 0}),
    (100, "required", {"count": 1001}),
    (100, "required", {"ids": [f"o{n:x}" for n in range(201)]}),
)
def test_our_client_does_not_ask_for_it(case: dict[str, Any], x: Any, tags: Any) -> None:
    """It is refused before any request."""
    with pytest.raises(ConfigurationError):
        tags(x.sandbox.url).find(**case)
    assert x.sandbox.requests == []


@pytest.mark.cases((100, "guess"))
def test_a_cursor_and_a_total_exclude_each_other(many: Any, tags: Any, errors_of: ErrorsOf) -> None:
    """X documents that they do; the code is a guess. Our client asks for the total with the first page alone."""
    cursor = many.request("GET", TAGS, params={"count": "200"}).json()["next_cursor"]
    answer = many.request("GET", TAGS, params={"count": "200", "cursor": cursor, "with_total_count": "true"})
    assert (answer.status_code, errors_of(answer)[0][0]) == (400, "EXCLUSIVE_PARAMETERS")
    assert tags(many.sandbox.url).find(with_total_count=True).total_count == 450


@pytest.mark.cases((101, "documented"))
def test_a_tag_that_is_none(x: Any, tags: Any, errors_of: ErrorsOf) -> None:
    """X's code; our client names the tag, and asks once."""
    answer = x.request("GET", f"{TAGS}/onone")
    assert (answer.status_code, errors_of(answer)[0][0]) == (404, "WEB_EVENT_TAG_NOT_FOUND")
    with pytest.raises(ConfigurationError, match="has no event tag onone"):
        tags(x.sandbox.url).get("onone")
    assert len(x.sandbox.requests) == 2


@pytest.mark.cases((102, "documented"))
def test_x_s_own_example_of_a_new_tag(x: Any, tags: Any) -> None:
    """Never tracked, unverified, and the parameters echoed with their types."""
    body = x.request("POST", TAGS, params=NEW).json()
    typed = NEW | {"click_window": 7, "view_through_window": 7, "retargeting_enabled": False}
    assert body["request"] == {"params": typed | {"account_id": "18ce54d4x5t"}}
    assert (body["data"]["status"], body["data"]["last_tracked_at"]) == ("UNVERIFIED", None)
    made = tags(x.sandbox.url).create(VALUES)
    assert (made.status, made.last_tracked_at, made.type) == ("UNVERIFIED", None, "SITE_VISIT")


@pytest.mark.cases((13, "required"))
def test_a_space_goes_out_as_20(scripted: Any, tags: Any) -> None:
    """As on X's page, where a plus would be signed as well."""
    server = scripted((200, {"data": {"id": "o1"}}, {}))
    tags(server.url).create(VALUES)
    assert "name=web%20event%20tag" in server.seen[0].path


@pytest.mark.cases(
    (103, "guess", {"click_window": "60"}, 'Expected a value in 1, 7, 14, 30, got "60" for click_window'),
    (103, "guess", {"click_window": "90"}, 'Expected a value in 1, 7, 14, 30, got "90" for click_window'),
    (104, "documented", {"view_through_window": "30"}, None),
    (105, "documented", {"name": None}, None),
    (106, "documented", {"type": "PAGE_VIEW"}, None),
    (106, "documented", {"type": "LEAD"}, None),
)
def test_values_that_x_does_not_take(case: tuple[dict[str, Any], str | None], x: Any, errors_of: ErrorsOf) -> None:
    """A 400 that names the parameter; X documents what it takes, and of 103 the text is a guess."""
    changes, text = case
    answer = x.request("POST", TAGS, params={name: value for name, value in (NEW | changes).items() if value})
    assert answer.status_code == 400
    ((code, parameter, message),) = errors_of(answer)
    assert code == ("MISSING_PARAMETER" if None in changes.values() else "INVALID_PARAMETER")
    assert parameter in changes
    assert text is None or message == text


@pytest.mark.cases(
    (103, "required", {"click_window": 60}, "1, 7, 14 or 30"),
    (103, "required", {"click_window": 90}, "1, 7, 14 or 30"),
    (104, "required", {"view_through_window": 30}, "click window"),
    (105, "required", {"name": None}, "name"),
    (106, "required", {"type": "PAGE_VIEW"}, "SITE_VISIT"),
    (106, "required", {"type": "LEAD"}, "SIGN_UP"),
)
def test_our_client_refuses_them_first(case: tuple[dict[str, Any], str], x: Any, tags: Any) -> None:
    """Without any request, and with what X would take instead."""
    changes, hint = case
    with pytest.raises(ConfigurationError, match=hint):
        tags(x.sandbox.url).create(replace(VALUES, **changes))
    assert x.sandbox.requests == []


@pytest.mark.cases((107, "documented"))
def test_a_change_changes_what_is_given(x: Any, tags: Any) -> None:
    """X's own example: the type alone, and the parameters echoed."""
    before = x.request("GET", f"{TAGS}/o3bk1").json()["data"]
    body = x.request("PUT", f"{TAGS}/o3bk1", params={"type": "PURCHASE"}).json()
    assert body["request"]["params"] == {"web_event_tag_id": "o3bk1", "type": "PURCHASE", "account_id": "18ce54d4x5t"}
    assert body["data"] == before | {"type": "PURCHASE"}
    changed = tags(x.sandbox.url).update("o3bk1", TagValues(type="DOWNLOAD"))
    assert changed.as_json() == before


@pytest.mark.cases((108, "documented"))
def test_a_deleted_tag(x: Any, tags: Any) -> None:
    """It is hidden unless it is asked for, from the list and alone."""
    assert tags(x.sandbox.url).delete("o3bk1").deleted is True
    assert x.request("GET", f"{TAGS}/o3bk1").status_code == 404
    assert x.request("GET", f"{TAGS}/o3bk1", params={"with_deleted": "true"}).json()["data"]["deleted"] is True
    assert tags(x.sandbox.url).find().tags == ()
    assert [tag.id for tag in tags(x.sandbox.url).find(with_deleted=True).tags] == ["o3bk1"]


@pytest.mark.cases((109, "required"))
def test_a_method_that_x_has_not(x: Any, errors_of: ErrorsOf) -> None:
    """X documents PUT for changes, and the code for other methods."""
    answer = x.request("PATCH", f"{TAGS}/o3bk1")
    assert (answer.status_code, errors_of(answer)[0][0]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.cases((110, "guess", "after", 1), (110, "guess", "before", 2))
def test_a_new_tag_whose_answer_is_lost(case: tuple[str, int], x: Any, tags: Any) -> None:
    """Our client looks before it repeats, for X has no key against repetition: a guess, as far as X goes."""
    drop, posts = case
    x.sandbox.script([{"match": {"next": 1}, "do": {"drop": drop}}])
    tags(x.sandbox.url).create(VALUES)
    assert [request.method for request in x.sandbox.requests].count("POST") == posts
    assert x.sandbox.requests[1].method == "GET"
    assert len(tags(x.sandbox.url).find().tags) == 2


@pytest.mark.cases((111, "documented"))
def test_who_is_signed_in(x: Any, ads_account: Any) -> None:
    """X's own example of an administrator, and what our client makes of it."""
    body = x.request("GET", "/12/accounts/18ce552mlaq/authenticated_user_access").json()
    assert body == {
        "data": {"user_id": "2417045708", "permissions": ["ACCOUNT_ADMIN", "TWEET_COMPOSER"]},
        "request": {"params": {"account_id": "18ce552mlaq"}},
    }
    access = user_access(ads_account(x.sandbox.url, "18ce552mlaq"))
    assert (access.user_id, access.permissions) == ("2417045708", ("ACCOUNT_ADMIN", "TWEET_COMPOSER"))
    assert access.may_send


@pytest.mark.cases((112, "documented"))
def test_five_questions_without_an_account(x: Any, clock: Any, errors_of: ErrorsOf) -> None:
    """The sixth in 15 minutes is refused; the accounts are those on which the user has a role."""
    answers = [x.request("GET", "/12/accounts") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [account["id"] for account in answers[0].json()["data"]] == ["18ce552mlaq", "18ce54d4x5t"]
    assert errors_of(answers[5])[0][0] == "TOO_MANY_REQUESTS"
    clock.now += 900
    assert x.request("GET", "/12/accounts").status_code == 200
