"""Signing in with X: the sandbox plays X and the test the user; then all that can go wrong on the way."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from xcapi_dagster.ads_api.address import oauth_url
from xcapi_dagster.ads_api.callback import Callback
from xcapi_dagster.ads_api.sign_in import RequestToken, SignIn, UserToken
from xcapi_dagster.errors import AdsApiError, ConfigurationError
from xcapi_dagster.sandbox import DEMO_CONSUMER_KEY, DEMO_CONSUMER_SECRET, DEMO_WORLD, Application, Sandbox

CANARY = "canary-secret-7f3a"
TOKENS = b"oauth_token=a&oauth_token_secret=b&oauth_callback_confirmed=true"
USER = b"oauth_token=a&oauth_token_secret=b&user_id=1&screen_name=xapi"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with one user."""
    with Sandbox() as sandbox:
        yield sandbox


def signing_in(url: str, **options: Any) -> SignIn:
    """A sign-in of the demo's app."""
    return SignIn(url, DEMO_CONSUMER_KEY, DEMO_CONSUMER_SECRET, **options)


def allow(address: str, **form: str) -> requests.Response:
    """What the user gets who presses a button on the page at ``address``; browsers follow redirects."""
    page = requests.get(address, timeout=10)
    assert page.status_code == 200
    url, query = urlsplit(address), parse_qs(urlsplit(address).query)
    form = {"oauth_token": query["oauth_token"][0], **(form or {"user_id": "1"})}
    return requests.post(f"{url.scheme}://{url.netloc}/oauth/authorize", data=form, timeout=10)


def pin_for(sign_in: SignIn, token: RequestToken) -> str:
    """The PIN that the user reads."""
    return re.findall("<code>(.*?)</code>", allow(sign_in.address(token)).text)[0]


def test_by_pin(sandbox: Sandbox) -> None:
    """The user's token, with the user's id and name; none of it shows when it is printed."""
    sign_in = signing_in(sandbox.url)
    token = sign_in.begin("oob")
    user = sign_in.finish(token, pin_for(sign_in, token))
    assert user == UserToken("sandbox-access-token", "sandbox-access-token-secret", "1", "sandbox_user")
    assert "sandbox-access" not in repr(user)
    assert token.secret not in repr(token)


def test_by_callback(sandbox: Sandbox) -> None:
    """The browser is sent to this machine, and is told to close the page; others are turned away meanwhile."""
    sign_in = signing_in(sandbox.url)
    with Callback(0) as callback:
        token = sign_in.begin(callback.url)
        answers: list[requests.Response] = []

        callback.expect(token.token)

        def browse() -> None:
            strays = ("/", "/favicon.ico", "/callback?oauth_token=no&oauth_verifier=1", "/callback?denied=no")
            host = callback.url.removesuffix("/callback")
            answers.extend(requests.get(host + stray, timeout=10) for stray in strays)
            answers.append(allow(sign_in.address(token)))

        browser = threading.Thread(target=browse)
        browser.start()
        verifier = callback.wait(timeout=60)
        browser.join()
    assert [answer.status_code for answer in answers] == [404, 404, 400, 400, 200]
    assert answers[-1].url.startswith(callback.url)
    assert "You can close this page" in answers[-1].text
    assert answers[-1].headers["referrer-policy"] == "no-referrer"
    assert sign_in.finish(token, verifier).user_id == "1"


def test_a_user_who_refuses(sandbox: Sandbox) -> None:
    """It is told, and nothing more is waited for."""
    sign_in = signing_in(sandbox.url)
    with Callback(0) as callback:
        token = sign_in.begin(callback.url)
        callback.expect(token.token)
        assert allow(sign_in.address(token), cancel="true").status_code == 200
        with pytest.raises(AdsApiError, match="did not allow"):
            callback.wait(timeout=60)


def test_nobody_comes() -> None:
    """After the timeout it says so."""
    with Callback(0) as callback, pytest.raises(AdsApiError, match="within 0 s"):
        callback.wait(timeout=0.01)


@pytest.mark.parametrize(
    "query",
    ["", "oauth_token=t", "oauth_verifier=v", "oauth_token=&oauth_verifier=v", "oauth_token=t&oauth_verifier=",
     "oauth_token=t&oauth_verifier=%00", "oauth_token=t&oauth_token=t&oauth_verifier=v", "denied=", "denied=%E2%82%AC"],
)  # fmt: skip
def test_half_a_callback_is_none(query: str) -> None:
    """Without the token of this sign-in and a verifier, both once, it is waited on."""
    with Callback(0) as callback:
        callback.expect("t")
        assert requests.get(f"{callback.url}?{query}", timeout=10).status_code == 400
        with pytest.raises(AdsApiError):
            callback.wait(timeout=0.01)


def test_a_name_that_another_page_gave_this_machine_is_turned_away() -> None:
    """DNS rebinding: the browser calls another host, which leads here."""
    with Callback(0) as callback:
        callback.expect("t")
        headers = {"host": "evil.example"}
        answer = requests.get(f"{callback.url}?oauth_token=t&oauth_verifier=v", headers=headers, timeout=10)
        assert answer.status_code == 404


def test_a_port_that_is_taken() -> None:
    """The option to change is named."""
    with Callback(0) as callback:
        port = urlsplit(callback.url).port
        assert port is not None
        with pytest.raises(ConfigurationError, match="--port"):
            Callback(port)


@pytest.mark.parametrize(
    ("application", "callback", "mend"),
    [
        ({"suspended": True}, "oob", "has suspended the app"),
        ({"pin_only": True}, "http://127.0.0.1:8183/callback", "without --loopback"),
        ({"callback_urls": ("https://shop.example",)}, "http://127.0.0.1:8183/callback", "callback URLs"),
        ({"consumer_secret": "another"}, "oob", "X_ADS_CONSUMER_SECRET"),
        ({"consumer_key": "another"}, "oob", "X_ADS_CONSUMER_KEY"),
    ],
)
def test_an_app_that_x_does_not_let(application: dict[str, Any], callback: str, mend: str) -> None:
    """One request, and one line that says what to change where."""
    known = {"consumer_key": DEMO_CONSUMER_KEY, "consumer_secret": DEMO_CONSUMER_SECRET, "app_id": "1"}
    app = Application(**known | application)
    with Sandbox(replace(DEMO_WORLD, applications=(app,))) as sandbox:
        with pytest.raises(ConfigurationError, match=mend):
            signing_in(sandbox.url).begin(callback)
        assert len(sandbox.requests) == 1


@pytest.mark.parametrize("wrong", ["0000000", "12 34", "", "a" * 300])
def test_a_wrong_pin(sandbox: Sandbox, wrong: str) -> None:
    """X refuses it, or it is none; either way the sign-in is to be begun again."""
    sign_in = signing_in(sandbox.url)
    token = sign_in.begin("oob")
    pin = pin_for(sign_in, token)
    with pytest.raises(ConfigurationError, match="PIN"):
        sign_in.finish(token, wrong if wrong != pin else "1111111")


def test_a_wrong_clock_is_corrected_once(wire: Any) -> None:
    """By X's own date; a second refusal is told as what it is."""
    skewed = {"date": formatdate(1_800_000_600, usegmt=True)}
    body = {"errors": [{"code": 135, "message": "Timestamp out of bounds."}]}
    server = wire.serve(wire.answering(401, body, **skewed), wire.answering(200, TOKENS))
    assert signing_in(server.url, clock=lambda: 1_800_000_000.0).begin("oob").token == "a"
    stamps = [re.findall('oauth_timestamp="([0-9]+)"', seen.headers["authorization"])[0] for seen in server.received]
    assert stamps == ["1800000000", "1800000600"]
    stubborn = wire.serve(wire.answering(401, body, **skewed))
    with pytest.raises(ConfigurationError, match="clock"):
        signing_in(stubborn.url, clock=lambda: 1_800_000_000.0).begin("oob")
    assert len(stubborn.received) == 2


XML = (
    b'<?xml version="1.0" encoding="UTF-8"?><errors><error%s>%s</error><request>/oauth/request_token</request></errors>'
)


@pytest.mark.parametrize(
    ("status", "body", "error", "mend"),
    [
        (401, b"Failed to validate oauth signature and token", ConfigurationError, "X_ADS_CONSUMER_KEY"),
        (403, {"errors": [{"code": 415, "message": "Callback URL"}]}, ConfigurationError, "callback URLs"),
        (403, XML % (b' code="415"', b"Callback URL"), ConfigurationError, "callback URLs"),
        (
            403,
            XML % (b"", b"\n  Callback URL not approved for this client application."),
            ConfigurationError,
            "callback URLs",
        ),
        (403, XML % (b' code="416"', b"Invalid"), ConfigurationError, "has suspended the app"),
        (403, XML % (b' code="417"', b"Desktop"), ConfigurationError, "without --loopback"),
        (401, XML % (b' code="32"', b"Could not authenticate you."), ConfigurationError, "X_ADS_CONSUMER_KEY"),
        (403, XML % (b' code="9"', b"Sorry"), ConfigurationError, "X_ADS_API_URL"),
        (403, {"errors": [{"code": 9, "message": "Sorry"}]}, ConfigurationError, "X_ADS_API_URL"),
        (404, b"<html></html>", ConfigurationError, "X_ADS_API_URL"),
        (404, {"errors": [{"code": 34, "message": "Sorry"}]}, ConfigurationError, "X_ADS_API_URL"),
        (400, b"<html></html>", ConfigurationError, "X_ADS_API_URL"),
        (302, b"", ConfigurationError, "redirect"),
        (429, b"", AdsApiError, "try again later"),
        (503, b"", AdsApiError, "try again later"),
        (200, b"<html>Welcome</html>", AdsApiError, "X_ADS_API_URL"),
        (200, b"", AdsApiError, "X_ADS_API_URL"),
        (200, TOKENS.replace(b"true", b"false"), AdsApiError, "X_ADS_API_URL"),
        (200, TOKENS.replace(b"=a", b"="), AdsApiError, "X_ADS_API_URL"),
        (200, TOKENS.replace(b"=b", b"=two%20words"), AdsApiError, "X_ADS_API_URL"),
    ],
)
def test_answers_that_are_no_token(wire: Any, status: int, body: Any, error: type[Exception], mend: str) -> None:
    """One request, one line, and nothing that X answered in it."""
    server = wire.serve(wire.answering(status, body))
    with pytest.raises(error, match=mend) as raised:
        signing_in(server.url).begin("oob")
    assert len(server.received) == 1
    assert not any(word in str(raised.value) for word in ("Failed", "Welcome", "Sorry", "\n"))


def test_half_a_user_is_none(wire: Any) -> None:
    """Without the user's id it is no answer of X's."""
    server = wire.serve(wire.answering(200, USER.replace(b"user_id", b"user")))
    with pytest.raises(AdsApiError, match="X_ADS_API_URL"):
        signing_in(server.url).finish(RequestToken("t", "s"), "1234567")


def test_a_network_that_is_down() -> None:
    """What is wrong with it is said."""
    with pytest.raises(AdsApiError, match="cannot be asked to sign in"):
        signing_in("https://ads-api.invalid").begin("oob")


def test_no_secret_is_sent_or_logged(wire: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What travels is signed with the secrets and holds none; the callback and the verifier are in the header."""
    caplog.set_level("DEBUG")
    server = wire.serve(wire.answering(200, TOKENS), wire.answering(200, USER))
    sign_in = SignIn(server.url, "key", CANARY)
    sign_in.begin("http://127.0.0.1:8183/callback")
    sign_in.finish(RequestToken("token", f"{CANARY}-2"), "1234567")
    begun, finished = server.received
    assert (begun.method, begun.path, finished.path) == ("POST", "/oauth/request_token", "/oauth/access_token")
    assert 'oauth_callback="http%3A%2F%2F127.0.0.1%3A8183%2Fcallback"' in begun.headers["authorization"]
    assert 'oauth_verifier="1234567"' in finished.headers["authorization"]
    assert CANARY not in f"{begun}{finished}{caplog.text}"


@pytest.mark.parametrize(
    ("api_url", "expected"),
    [
        ("https://ads-api.x.com", "https://api.x.com"),
        ("https://ads-api.twitter.com/", "https://api.x.com"),
        ("https://ads-api-sandbox.x.com", "https://api.x.com"),
        ("http://127.0.0.1:8181/", "http://127.0.0.1:8181"),
        ("https://gateway.example", "https://gateway.example"),
    ],
)
def test_where_users_sign_in(api_url: str, expected: str) -> None:
    """X has another host for it; a sandbox or a gateway does both."""
    assert oauth_url(api_url) == expected
