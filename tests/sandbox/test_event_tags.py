"""Web event tags in the sandbox, over signed HTTP: X's documented answers, limits and errors.

The case numbers are those of the conformance list; a case marked as a guess is on no page of X's.
"""

import dataclasses

import pytest
from requests_oauthlib import OAuth1

from xcapi_dagster.sandbox import AccessToken, Account, Application, EventTag, Limits, World

ACCOUNT = "18ce54d4x5t"
TAGS = f"/12/accounts/{ACCOUNT}/web_event_tags"
TRACKED = 1621702804.0  # 2021-05-22T17:00:04Z
DOCUMENTED = EventTag("o3bk1", "ny3od", "web event tag", "DOWNLOAD", 7, 7, last_tracked_at=TRACKED)
NEW = {"name": "web event tag", "type": "SITE_VISIT", "click_window": 7, "view_through_window": 7}
NEW |= {"retargeting_enabled": "false"}


def world(*tags: EventTag) -> World:
    """The account of X's examples with these tags, its ad manager, an analyst and somebody without a role."""
    return World(
        accounts=(Account(ACCOUNT, {"oka17": frozenset({"ol288", "o3bk1"})}, event_tags=tags or (DOCUMENTED,)),),
        applications=(
            Application("key", "key-secret", app_id="16489123"),
            Application("conversions", "secret", app_id="16489126", conversions_only=True),
            Application("no-access", "secret", app_id="16489124", has_ads_access=False),
            Application("read-only", "secret", app_id="16489125", read_only=True),
        ),
        access_tokens=(
            AccessToken("token", "token-secret", "key", user_id="2417045708"),
            AccessToken("analyst", "token-secret", "key", user_id="999"),
            AccessToken("stranger", "token-secret", "key", user_id="1000"),
            *(
                AccessToken("token", "token-secret", key, "2417045708")
                for key in ("conversions", "no-access", "read-only")
            ),
        ),
        roles={
            "2417045708": {ACCOUNT: frozenset({"AD_MANAGER"})},
            "999": {ACCOUNT: frozenset({"CAMPAIGN_ANALYST"})},
        },
        pixel_tokens={"pixel-token": "oka17"},
    )


@pytest.fixture
def ask(start):
    """Asks a sandbox with the given tags: method, the rest of the path, parameters of the query."""
    asking = {}

    def asked(method, path="", *, tags=(), **options):
        if tags or "client" not in asking:
            _, asking["client"] = start(world(*tags), seed=1)
        return asking["client"].post(None, method=method, path=TAGS + path, data=options.pop("data", b""), **options)

    return asked


def error_of(answer):
    """The status with code and parameter of the only error."""
    (error,) = answer.json()["errors"]
    return answer.status_code, error["code"], error.get("parameter")


def test_case_97_the_documented_list(ask):
    """X's example, with the fields in its order."""
    answer = ask("GET", params={"web_event_tag_ids": "o3bk1"})
    assert answer.status_code == 200
    assert answer.json().keys() == {"request", "next_cursor", "data"}
    assert answer.json()["request"] == {"params": {"web_event_tag_ids": ["o3bk1"], "account_id": ACCOUNT}}
    assert answer.json()["next_cursor"] is None
    (tag,) = answer.json()["data"]
    assert (
        list(tag)
        == (
            "name view_through_window click_window embed_code id retargeting_enabled last_tracked_at status type "
            "website_tag_id deleted"
        ).split()
    )
    assert "ny3od" in tag.pop("embed_code")
    assert tag == {
        "name": "web event tag", "view_through_window": 7, "click_window": 7, "id": "o3bk1",
        "retargeting_enabled": False, "last_tracked_at": "2021-05-22T17:00:04Z", "status": "TRACKING",
        "type": "DOWNLOAD", "website_tag_id": "ny3od", "deleted": False,
    }  # fmt: skip


def test_case_98_450_tags_in_pages(ask):
    """200, 200 and 50, each once; a cursor goes with the parameters that it was made for."""
    tags = [dataclasses.replace(DOCUMENTED, id=f"o{n}", deleted=n >= 450) for n in range(460)]
    pages, cursor = [], {}
    while cursor is not None:
        answer = ask("GET", tags=() if pages else tags, params={"count": 200} | cursor).json()
        pages.append([tag["id"] for tag in answer["data"]])
        cursor = answer["next_cursor"] and {"cursor": answer["next_cursor"]}
        other = cursor and ask("GET", params={"with_deleted": "true"} | cursor)
        assert other is None or error_of(other) == (400, "INVALID_PARAMETER", "cursor")
    assert [len(page) for page in pages] == [200, 200, 50]
    assert [each for page in pages for each in page] == [f"o{n}" for n in range(450)]
    assert ask("GET", params={"with_total_count": "true"}).json()["total_count"] == 450
    everything = ask("GET", params={"with_total_count": "true", "with_deleted": "true", "count": 1000}).json()
    assert (everything["total_count"], len(everything["data"])) == (460, 460)
    assert len(ask("GET").json()["data"]) == 200


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"count": 0}, "count"),
        ({"count": 1001}, "count"),
        ({"count": "x"}, "count"),
        ({"web_event_tag_ids": ",".join(["o1"] * 201)}, "web_event_tag_ids"),
        ({"sort_by": "id-asc"}, "sort_by"),
        ({"with_deleted": "yes"}, "with_deleted"),
        ({"cursor": "c-3yvu1pzhd3i7"}, "cursor"),
    ],
)
def test_case_100_wrong_parameters_of_a_list(ask, params, error):
    """A 400 that names the parameter."""
    assert error_of(ask("GET", params=params)) == (400, "INVALID_PARAMETER", error)


def test_case_100_a_total_and_a_cursor_exclude_each_other(ask):
    """The code is documented for such; which status and text is a guess."""
    tags = [dataclasses.replace(DOCUMENTED, id=f"o{n}") for n in range(3)]
    cursor = ask("GET", tags=tags, params={"count": 1}).json()["next_cursor"]
    answer = ask("GET", params={"count": 1, "cursor": cursor, "with_total_count": "true"})
    assert error_of(answer) == (400, "EXCLUSIVE_PARAMETERS", "with_total_count")


def test_sorting(ask):
    """By name, by time with those never tracked first, by creation."""
    tags = [
        dataclasses.replace(DOCUMENTED, id="o1", name="b", last_tracked_at=None),
        dataclasses.replace(DOCUMENTED, id="o2", name="c"),
        dataclasses.replace(DOCUMENTED, id="o3", name="a", last_tracked_at=TRACKED + 60),
    ]
    orders = {
        sort_by: [tag["id"] for tag in ask("GET", tags=tags, params={"sort_by": sort_by}).json()["data"]]
        for sort_by in ("name-asc", "name-desc", "last_tracked_at-asc", "created_at-desc")
    }
    assert orders == {
        "name-asc": ["o3", "o1", "o2"],
        "name-desc": ["o2", "o1", "o3"],
        "last_tracked_at-asc": ["o1", "o2", "o3"],
        "created_at-desc": ["o3", "o2", "o1"],
    }


def test_case_101_an_unknown_tag(ask):
    """The code of X's error page, for every method that is about one tag."""
    for method in ("GET", "PUT", "DELETE"):
        assert error_of(ask(method, "/unknown")) == (404, "WEB_EVENT_TAG_NOT_FOUND", "web_event_tag_id")


def test_case_102_create(ask):
    """X's example: UNVERIFIED, never tracked, the parameters echoed in their types."""
    answer = ask("POST", params=NEW)
    assert answer.status_code == 200
    tag = answer.json()["data"]
    assert (tag["status"], tag["last_tracked_at"], tag["deleted"]) == ("UNVERIFIED", None, False)
    assert tag["id"] != tag["website_tag_id"]
    assert answer.json()["request"]["params"] == {
        "name": "web event tag", "view_through_window": 7, "click_window": 7, "retargeting_enabled": False,
        "account_id": ACCOUNT, "type": "SITE_VISIT",
    }  # fmt: skip
    assert ask("GET", f"/{tag['id']}").json()["data"] == tag


def test_the_parameters_may_be_a_form(ask):
    """A form's fields are signed and read like the query's."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ask("POST", data=NEW | {"name": "ein & zwei ü"}, headers=headers)
    assert answer.json()["data"]["name"] == "ein & zwei ü"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"click_window": 60}, "click_window"),
        ({"click_window": 90}, "click_window"),
        ({"view_through_window": 30}, "view_through_window"),
        ({"type": "PAGE_VIEW"}, "type"),
        ({"type": "LEAD"}, "type"),
        ({"name": " "}, "name"),
        ({"retargeting_enabled": "no"}, "retargeting_enabled"),
    ],
)
def test_cases_103_to_106_wrong_values(ask, change, error):
    """Windows that only Events Manager has, a view window above the click window, names of X's interface."""
    assert error_of(ask("POST", params=NEW | change)) == (400, "INVALID_PARAMETER", error)
    assert error_of(ask("PUT", "/o3bk1", params=change)) == (400, "INVALID_PARAMETER", error)


def test_case_103_the_text_lists_the_windows(ask):
    """A guess that follows X's `Expected a value in A, B, got "x" for f`."""
    (error,) = ask("POST", params=NEW | {"click_window": 60}).json()["errors"]
    assert error["message"] == 'Expected a value in 1, 7, 14, 30, got "60" for click_window'


@pytest.mark.parametrize("left_out", NEW)
def test_case_105_a_missing_value(ask, left_out):
    """Each of the five is required."""
    params = {name: value for name, value in NEW.items() if name != left_out}
    assert error_of(ask("POST", params=params)) == (400, "MISSING_PARAMETER", left_out)


def test_case_107_update(ask):
    """X's example: the type changes and nothing else."""
    before = ask("GET", "/o3bk1").json()["data"]
    answer = ask("PUT", "/o3bk1", params={"type": "PURCHASE"})
    assert answer.json()["data"] == before | {"type": "PURCHASE"}
    params = {"web_event_tag_id": "o3bk1", "type": "PURCHASE", "account_id": ACCOUNT}
    assert answer.json()["request"]["params"] == params


def test_case_108_delete(ask):
    """It stays, as deleted: hidden unless it is asked for, and not deleted twice."""
    assert ask("DELETE", "/o3bk1").json()["data"]["deleted"] is True
    assert error_of(ask("GET", "/o3bk1"))[1] == "WEB_EVENT_TAG_NOT_FOUND"
    assert ask("GET", "/o3bk1", params={"with_deleted": "true"}).json()["data"]["deleted"] is True
    assert ask("GET").json()["data"] == []
    assert [tag["id"] for tag in ask("GET", params={"with_deleted": "true"}).json()["data"]] == ["o3bk1"]
    assert error_of(ask("DELETE", "/o3bk1"))[0] == 404


@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("PATCH", "/o3bk1"), ("POST", "/o3bk1"), ("DELETE", "")])
def test_case_109_other_methods(ask, method, path):
    """405, as X's error page has it."""
    assert error_of(ask(method, path)) == (405, "METHOD_NOT_ALLOWED", None)


@pytest.mark.parametrize(
    ("auth", "method", "status", "code"),
    [
        (None, "GET", 401, "UNAUTHORIZED_ACCESS"),
        (("key", "key-secret", "analyst"), "GET", 200, None),
        (("key", "key-secret", "analyst"), "POST", 403, "ACTION_NOT_ALLOWED"),
        (("key", "key-secret", "stranger"), "GET", 404, "NOT_FOUND"),
        (("conversions", "secret", "token"), "GET", 403, "UNAUTHORIZED_CLIENT_APPLICATION"),
        (("no-access", "secret", "token"), "GET", 403, "UNAUTHORIZED_CLIENT_APPLICATION"),
        (("read-only", "secret", "token"), "GET", 200, None),
        (("read-only", "secret", "token"), "POST", 403, "READONLY_CLIENT_APPLICATION"),
    ],
)
def test_who_may_ask_and_who_may_change(ask, auth, method, status, code):
    """Any role may ask, a manager may change; that is a guess. Case 79: an app for conversions may do neither."""
    signed = auth and OAuth1(auth[0], auth[1], auth[2], "token-secret")
    answer = ask(method, params=NEW, auth=signed)
    assert answer.status_code == status
    assert code is None or answer.json()["errors"][0]["code"] == code


def test_a_pixel_token_may_only_send(ask):
    """A guess: no page says what it opens beside conversions."""
    answer = ask("GET", auth=None, headers={"X-Pixel-Token": "pixel-token"})
    assert error_of(answer) == (403, "ACTION_NOT_ALLOWED", None)


def test_another_account(start):
    """An account that does not exist has X's documented error."""
    _, client = start(world())
    answer = client.post(None, method="GET", path="/12/accounts/18ce55other/web_event_tags", data=b"")
    assert error_of(answer) == (403, "ACCOUNT_NOT_FOUND", None)


def test_totals_have_a_limit_of_their_own(ask):
    """200 in 15 minutes, with the account's headers; a list without a total still goes."""
    answers = [ask("GET", params={"with_total_count": "true"}) for _ in range(201)]
    assert [answer.status_code for answer in answers] == [200] * 200 + [429]
    assert answers[-1].headers["x-account-rate-limit-limit"] == "200"
    assert answers[-1].headers["x-account-rate-limit-remaining"] == "0"
    plain = ask("GET")
    assert (plain.status_code, plain.headers["x-account-rate-limit-limit"]) == (200, "2000")


def test_tags_are_the_events_that_conversions_may_name(start, row):
    """A new tag is an event, by either id; a deleted one is none; what is received is what tracks a tag."""
    sandbox, client = start(world(), limits=Limits())

    def ask(method, path="", **params):
        return client.post(None, method=method, path=TAGS + path, data=b"", params=params).json()["data"]

    made = ask("POST", **NEW)
    for event_id in (made["id"], made["website_tag_id"], f"tw-oka17-{made['id']}"):
        assert client.send(row(event_id=event_id)).status_code == 200
    seen = ask("GET", f"/{made['id']}")
    assert (seen["status"], seen["last_tracked_at"] is None) == ("TRACKING", False)
    ask("DELETE", f"/{made['id']}")
    ask("DELETE", "/o3bk1")
    for event_id in (made["id"], "o3bk1"):
        errors = client.send(row(event_id=event_id)).json()["errors"]
        assert "is not a single event tag (SET)" in errors[-1]["message"]
    assert len(sandbox.received) == 3


@pytest.mark.parametrize("shape", ["errors_in_200", "count_plus_one", "other_account", "truncated_json", "html"])
def test_faults_spoil_these_answers_too(start, shape):
    """A scripted fault for conversions does no harm here."""
    sandbox, client = start(world())
    sandbox.script([{"match": {"next": 1}, "do": {"answer": shape}}])
    answer = client.post(None, method="GET", path=TAGS, data=b"")
    assert answer.status_code == 200
    if shape == "errors_in_200":
        assert "errors" in answer.json()
    if shape == "other_account":
        assert answer.json()["request"]["params"]["account_id"] == "18ce55other"
