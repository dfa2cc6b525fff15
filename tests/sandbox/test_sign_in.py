"""Signing in to the sandbox as requests-oauthlib does it with X: by PIN, and by way of a callback."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from requests_oauthlib import OAuth1, OAuth1Session
from requests_oauthlib.oauth1_session import TokenRequestDenied

from xcapi_dagster.sandbox import AccessToken, Account, Application, Sandbox, World

CALLBACK = "http://127.0.0.1:8183/callback"
WORLD = World(
    accounts=(Account("18ce552mlaq", {"oka17": frozenset({"ol288"})}),),
    applications=(
        Application("key", "key-secret", app_id="16489123", callback_urls=(CALLBACK,)),
        Application("suspended", "suspended-secret", app_id="16489124", suspended=True),
        Application("pin-only", "pin-only-secret", app_id="16489125", pin_only=True),
    ),
    access_tokens=(AccessToken("known", "known-secret", "key", user_id="999"),),
    roles={"2417045708": {"18ce552mlaq": frozenset({"AD_MANAGER"})}},
    screen_names={"2417045708": "xapi", "999": "analyst"},
)


@pytest.fixture
def url(start: Callable[..., Any]) -> str:
    """The address of a sandbox of this world."""
    sandbox: Sandbox = start(WORLD)[0]
    return sandbox.url


def begin(url: str, callback: str = "oob", consumer: str = "key") -> dict[str, str]:
    """A request token, as the library gets it."""
    session = OAuth1Session(consumer, client_secret=f"{consumer}-secret", callback_uri=callback)
    token: dict[str, str] = session.fetch_request_token(f"{url}/oauth/request_token", timeout=10)
    return token


def decide(url: str, token: str, **form: str) -> requests.Response:
    """What a user gets who decides on the page."""
    form = {"oauth_token": token, **form}
    return requests.post(f"{url}/oauth/authorize", data=form, allow_redirects=False, timeout=10)


def finish(url: str, token: dict[str, str], verifier: str, consumer: str = "key") -> dict[str, str]:
    """The access token, as the library gets it."""
    session = OAuth1Session(
        consumer,
        client_secret=f"{consumer}-secret",
        resource_owner_key=token["oauth_token"],
        resource_owner_secret=token["oauth_token_secret"],
        verifier=verifier,
    )
    found: dict[str, str] = session.fetch_access_token(f"{url}/oauth/access_token", timeout=10)
    return found


def pin_of(answer: requests.Response) -> str:
    """The PIN on a page."""
    return re.findall(r"<code>(.*?)</code>", answer.text)[0]


def test_by_pin(url: str) -> None:
    """A page asks, a PIN of seven digits answers, and the token that it brings may send."""
    token = begin(url)
    assert token["oauth_callback_confirmed"] == "true"
    page = requests.get(f"{url}/oauth/authorize", params={"oauth_token": token["oauth_token"]}, timeout=10)
    assert page.status_code == 200
    assert "@xapi" in page.text
    pin = pin_of(decide(url, token["oauth_token"], user_id="2417045708"))
    assert re.fullmatch("[0-9]{7}", pin)
    found = finish(url, token, pin)
    assert (found["user_id"], found["screen_name"]) == ("2417045708", "xapi")
    row = {
        "conversion_time": "2022-02-18T01:14:00.603Z",
        "event_id": "ol288",
        "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
    }
    auth = OAuth1("key", "key-secret", found["oauth_token"], found["oauth_token_secret"])
    path = "/12/measurement/conversions/oka17"
    answer = requests.post(url + path, json={"conversions": [row]}, auth=auth, timeout=10)
    assert answer.status_code == 200


def test_by_callback(url: str) -> None:
    """The user is sent back to the app with the token and its verifier."""
    token = begin(url, CALLBACK)
    answer = decide(url, token["oauth_token"], user_id="2417045708")
    assert answer.status_code == 302
    location = urlsplit(answer.headers["location"])
    assert location._replace(query="").geturl() == CALLBACK
    query = parse_qs(location.query)
    assert query["oauth_token"] == [token["oauth_token"]]
    assert finish(url, token, query["oauth_verifier"][0])["user_id"] == "2417045708"


def test_a_user_may_say_no(url: str) -> None:
    """The app is told so, and the request token is worth nothing any more."""
    token = begin(url, CALLBACK)["oauth_token"]
    assert decide(url, token, cancel="true").headers["location"] == f"{CALLBACK}?denied={token}"
    assert decide(url, token, user_id="2417045708").status_code == 401
    assert "not allowed" in decide(url, begin(url)["oauth_token"], cancel="true").text


def test_a_known_token_comes_back(url: str) -> None:
    """Who signs in again gets the same access token, as with X."""
    for _ in range(2):
        token = begin(url)
        assert finish(url, token, pin_of(decide(url, token["oauth_token"], user_id="999")))["oauth_token"] == "known"


@pytest.mark.parametrize(
    ("callback", "consumer", "code"),
    [
        ("http://127.0.0.1:9999/callback", "key", 415),
        ("", "key", 415),
        (CALLBACK, "pin-only", 417),
        ("oob", "suspended", 416),
        ("oob", "nobody", 32),
    ],
)
def test_what_an_app_may_not(url: str, callback: str, consumer: str, code: int) -> None:
    """X's numbers for an unknown callback, an app for PINs alone, a suspended and an unknown app."""
    with pytest.raises(TokenRequestDenied) as denied:
        begin(url, callback, consumer)
    assert [error["code"] for error in denied.value.response.json()["errors"]] == [code]


def test_a_wrong_pin_ends_the_sign_in(url: str) -> None:
    """It is refused, and so is the right one after it; nor does a PIN work without a decision, or twice."""
    token = begin(url)
    pin = pin_of(decide(url, token["oauth_token"], user_id="2417045708"))
    for wrong in ("0000000" if pin != "0000000" else "1", pin):
        with pytest.raises(TokenRequestDenied):
            finish(url, token, wrong)
    with pytest.raises(TokenRequestDenied):
        finish(url, begin(url), "1")


def test_wrong_secrets(url: str) -> None:
    """Neither another consumer secret nor another app finishes a sign-in."""
    token = begin(url)
    pin = pin_of(decide(url, token["oauth_token"], user_id="2417045708"))
    with pytest.raises(TokenRequestDenied):
        finish(url, token, pin, consumer="pin-only")
    with pytest.raises(TokenRequestDenied):
        finish(url, token | {"oauth_token_secret": "another"}, pin)
    assert finish(url, token, pin)["user_id"] == "2417045708"


def test_a_revoked_token_is_replaced(start: Callable[..., Any]) -> None:
    """Signing in again brings another one."""
    revoked = AccessToken("known", "known-secret", "key", user_id="999", revoked=True)
    url = start(replace(WORLD, access_tokens=(revoked,)))[0].url
    token = begin(url)
    found = finish(url, token, pin_of(decide(url, token["oauth_token"], user_id="999")))
    assert found["oauth_token"].startswith("999-")
