"""Who may send: routes, versions, OAuth 1.0a and pixel tokens, sent over HTTP.

The case numbers are those of the conformance list; a case marked as a guess is on no page of X's.
"""

import pytest
import requests
from requests_oauthlib import OAuth1

from xcapi_dagster import settings
from xcapi_dagster.sandbox import (
    DEMO_ACCESS_TOKEN,
    DEMO_ACCESS_TOKEN_SECRET,
    DEMO_ACCOUNT_ID,
    DEMO_CONSUMER_KEY,
    DEMO_CONSUMER_SECRET,
    DEMO_EVENT_ID,
    DEMO_PIXEL_ID,
    DEMO_PIXEL_TOKEN,
    DEMO_SIGN_UP_EVENT_ID,
    Sandbox,
    one_pixel_world,
)

NOT_AUTHENTICATED = {"code": "UNAUTHORIZED_ACCESS", "message": "This request is not properly authenticated"}
NO_SUCH_ROUTE = {"code": "ROUTE_NOT_FOUND", "message": "The requested resource could not be found"}


def errors_of(answer: requests.Response) -> list[dict[str, object]]:
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json().keys() == {"errors", "request"}
    return answer.json()["errors"]


@pytest.mark.parametrize(
    "request_options",
    [
        pytest.param({"auth": None}, id="case-61-no-authorization"),
        pytest.param({"auth": None, "headers": {"Authorization": "OAuth rubbish"}}, id="case-61-rubbish"),
        pytest.param({"auth": ("user", "password")}, id="case-61-basic"),
        pytest.param({"auth": OAuth1("unknown", "key-secret", "token", "token-secret")}, id="case-61-unknown-key"),
        pytest.param({"auth": OAuth1("key", "key-secret", "unknown", "token-secret")}, id="case-61-unknown-token"),
        pytest.param({"auth": None, "headers": {"X-Pixel-Token": "wrong"}}, id="case-75-wrong-pixel-token"),
    ],
)
def test_unknown_senders(client, sandbox, row, request_options):
    """Whoever is not known gets 401 in the general API's words, and no account is named."""
    answer = client.send(row(), **request_options)

    assert (answer.status_code, errors_of(answer)) == (401, [NOT_AUTHENTICATED])
    assert answer.json()["request"] == {"params": {}}
    assert sandbox.received == []


@pytest.mark.parametrize(
    "secrets",
    [
        pytest.param({"client_secret": "wrong"}, id="case-62-consumer-secret"),
        pytest.param({"resource_owner_secret": "wrong"}, id="case-62-token-secret"),
    ],
)
def test_wrong_signatures(client, row, secrets):
    """A wrong signature gets 401 with X's code 32."""
    answer = client.send(row(), auth=OAuth1(**(client.oauth | secrets)))

    assert (answer.status_code, errors_of(answer)) == (401, [{"code": 32, "message": "Could not authenticate you."}])


def test_case_63_repeated_nonce(client, sandbox, row):
    """A request that is sent twice as it is gets 401 the second time; the first stays received."""
    body = requests.Request(
        "POST",
        f"{client.url}/12/measurement/conversions/oka17",
        json={"conversions": [row()]},
        auth=OAuth1(**client.oauth),
    ).prepare()
    first, second = client.session.send(body), client.session.send(body)

    assert (first.status_code, second.status_code) == (200, 401)
    assert errors_of(second) == [NOT_AUTHENTICATED]
    assert len(sandbox.received) == 1


@pytest.mark.parametrize("skew", [pytest.param(-600, id="case-64-behind"), pytest.param(600, id="case-64-ahead")])
def test_wrong_clocks(start, clock, row, skew):
    """A clock ten minutes off gets 401 with code 135; signed again by the answer's `Date`, the request passes."""
    _, client = start(clock=clock)
    answer = client.send(row(), auth=OAuth1(**client.oauth, timestamp=str(int(clock.now) + skew)))
    again = client.send(row(), auth=OAuth1(**client.oauth, timestamp=str(int(clock.now))))

    assert (answer.status_code, [error["code"] for error in errors_of(answer)]) == (401, [135])
    assert answer.headers["date"] == "Fri, 15 Jan 2027 08:00:00 GMT"  # 1,800,000,000 seconds
    assert again.status_code == 200


def test_case_65_revoked_token(client, row):
    """A revoked token gets 401 with X's code 89."""
    oauth = client.oauth | {"resource_owner_key": "revoked", "resource_owner_secret": "revoked-secret"}
    answer = client.send(row(), auth=OAuth1(**oauth))

    assert (answer.status_code, errors_of(answer)) == (401, [{"code": 89, "message": "Invalid or expired token."}])


def test_case_66_application_without_access(client, row):
    """An application without access to the Ads API gets 403 in the guide's words."""
    oauth = client.oauth | {"client_key": "no-access", "client_secret": "no-access-secret"}
    answer = client.send(row(), auth=OAuth1(**oauth))
    message = (
        "The client application with id 16489124 making this request does not have access to Twitter Ads API. "
        "Ensure your application has advertiser-api access. Use 'twurl accounts' and "
        "'twurl set default <username> <key>' to change the application you're using."
    )

    assert answer.status_code == 403
    assert errors_of(answer) == [{"code": "UNAUTHORIZED_CLIENT_APPLICATION", "message": message}]


def test_case_67_read_only_application(client, row):
    """An application that may only read gets 403 with the documented code; the message is a guess."""
    oauth = client.oauth | {"client_key": "read-only", "client_secret": "read-only-secret"}
    answer = client.send(row(), auth=OAuth1(**oauth))

    assert answer.status_code == 403
    assert [error["code"] for error in errors_of(answer)] == ["READONLY_CLIENT_APPLICATION"]


@pytest.mark.parametrize(
    ("pixel", "account"),
    [
        pytest.param("o8z6j", "18ce55gze09", id="case-68-no-role"),
        pytest.param("oka17", "18ce552mlaq", id="case-69-analyst"),
    ],
)
def test_users_without_access(client, row, pixel, account):
    """A user who may not send to the pixel's account gets 404 in the guide's words."""
    oauth = client.oauth | {"resource_owner_key": "analyst", "resource_owner_secret": "analyst-secret"}
    answer = client.send(row(), pixel=pixel, auth=OAuth1(**oauth))
    message = (
        f"User 999 does not have access to account {account}. Type 'sn 999' to get the handle of the user. "
        "Use 'twurl accounts' and 'twurl set default <username>' to change the user you're using."
    )

    assert (answer.status_code, errors_of(answer)) == (404, [{"code": "NOT_FOUND", "message": message}])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", "/12/measurement/conversions/onowhere", id="case-70-unknown-pixel"),
        pytest.param("POST", "/12/measurement/conversion/oka17", id="case-71-unknown-route"),
        pytest.param("POST", "/12/measurement/conversions/oka17/x", id="case-71-longer-route"),
        pytest.param("POST", "/measurement/conversions/oka17", id="case-71-no-version"),
        pytest.param("GET", "/12/nothing", id="case-71-get"),
    ],
)
def test_unknown_routes(client, row, method, path):
    """What does not exist gets 404 ROUTE_NOT_FOUND."""
    answer = client.send(row(), method=method, path=path)

    assert (answer.status_code, errors_of(answer)) == (404, [NO_SUCH_ROUTE])


@pytest.mark.parametrize("version", [pytest.param(v, id=f"case-73-version-{v}") for v in ("9", "11", "13", "5.0")])
def test_other_versions(client, row, version):
    """Another version gets the body that X was seen to send; the status is a guess. No credentials are needed."""
    answer = client.send(row(), path=f"/{version}/measurement/conversions/oka17", auth=None)

    assert answer.status_code == 404
    assert errors_of(answer) == [{"code": "INVALID", "message": f"Version {version} is not available."}]
    assert answer.headers["x-current-api-version"] == "12"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods(client, row, method):
    """Conversions can only be posted: anything else is 405 METHOD_NOT_ALLOWED."""
    answer = client.send(row(), method=method)

    assert (answer.status_code, [error["code"] for error in errors_of(answer)]) == (405, ["METHOD_NOT_ALLOWED"])


def test_case_75_pixel_token(client, sandbox, row):
    """A pixel's token suffices, without `Authorization`."""
    answer = client.send(row(), auth=None, headers={"X-Pixel-Token": "token-of-oka17"})

    assert answer.json()["data"]["conversions_processed"] == 1
    assert len(sandbox.received) == 1


def test_case_75_token_of_another_pixel(client, row):
    """Guess: the token of another pixel is refused with 403; an unknown pixel stays 404."""
    headers = {"X-Pixel-Token": "token-of-o8z6j"}
    other = client.send(row(), auth=None, headers=headers)
    unknown = client.send(row(), pixel="onowhere", auth=None, headers=headers)

    assert (other.status_code, unknown.status_code) == (403, 404)


def test_case_75_both_ways_to_sign_in(client, sandbox, row):
    """Guess: a request that signs in both ways is refused, for a client must never send both."""
    answer = client.send(row(), headers={"X-Pixel-Token": "token-of-oka17"})

    assert (answer.status_code, errors_of(answer)) == (400, [{"code": 215, "message": "Bad Authentication data."}])
    assert sandbox.received == []


def test_body_is_judged_after_access(client):
    """Guess: who may not send learns nothing about the body."""
    assert client.post([], auth=None).status_code == 401
    assert client.post([], pixel="onowhere").status_code == 404


def test_demo_world(row):
    """The constants of the demo open the sandbox as it is by default, both ways, for both events."""
    path = f"/12/measurement/conversions/{DEMO_PIXEL_ID}"
    auth = OAuth1(DEMO_CONSUMER_KEY, DEMO_CONSUMER_SECRET, DEMO_ACCESS_TOKEN, DEMO_ACCESS_TOKEN_SECRET)
    rows = {"conversions": [row(event_id=DEMO_EVENT_ID), row(event_id=DEMO_SIGN_UP_EVENT_ID)]}
    with Sandbox() as sandbox:
        by_oauth = requests.post(sandbox.url + path, json=rows, auth=auth, timeout=10)
        by_token = requests.post(sandbox.url + path, json=rows, headers={"X-Pixel-Token": DEMO_PIXEL_TOKEN}, timeout=10)

    assert by_oauth.json()["request"] == {"params": {"account_id": DEMO_ACCOUNT_ID}}
    assert by_token.json()["data"]["conversions_processed"] == 2


def test_demo_settings_fit():
    """What the settings say of the demo is what the sandbox knows."""
    assert settings.DEMO["account_id"] == DEMO_ACCOUNT_ID
    assert settings.DEMO["pixel_id"] == DEMO_PIXEL_ID
    assert settings.DEMO["event_id"] == DEMO_EVENT_ID
    assert settings.DEMO["pixel_token"] == DEMO_PIXEL_TOKEN


def test_secrets_are_not_shown():
    """A world's text, which may end up in a log, holds no secret."""
    text = repr(one_pixel_world("a", "p", ["e"]))

    assert DEMO_CONSUMER_SECRET not in text
    assert DEMO_ACCESS_TOKEN_SECRET not in text
    assert DEMO_PIXEL_TOKEN not in text
