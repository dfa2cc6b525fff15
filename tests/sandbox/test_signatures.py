"""The receiving side of OAuth 1.0a: X's published vectors, and whatever requests-oauthlib signs."""

from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests_oauthlib import OAuth1

from xcapi_dagster.sandbox.signatures import Nonces, Signed, base_string, parse, sign

# The example credentials of X's page "Creating a signature", which are nobody's.
CONSUMER_KEY = "xvz1evFS4wEEPTGEFPHBog"
CONSUMER_SECRET = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"
TOKEN = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"
TOKEN_SECRET = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"
OAUTH = {
    "oauth_consumer_key": CONSUMER_KEY,
    "oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
    "oauth_signature_method": "HMAC-SHA1",
    "oauth_timestamp": "1318622958",
    "oauth_token": TOKEN,
    "oauth_version": "1.0",
}
STATUS = {"include_entities": "true", "status": "Hello Ladies + Gentlemen, a signed OAuth request!"}
TAG = {"click_window": "7", "name": "web event tag", "retargeting_enabled": "false", "type": "SITE_VISIT",
       "view_through_window": "7"}  # fmt: skip
TAGS_URL = "https://ads-api.x.com/12/accounts/18ce54d4x5t/web_event_tags"

VECTORS = [
    pytest.param("POST", "https://api.x.com/1.1/statuses/update.json", STATUS, "Ls93hJiZbQ3akF3HF3x1Bz8/zU4=",
                 id="case-11-x-example"),
    pytest.param("POST", "https://api.twitter.com/1.1/statuses/update.json", STATUS, "hCtSmYh+iHYCEqBWrE7C7hYmtUk=",
                 id="case-11-old-example"),
    pytest.param("POST", "https://ads-api.x.com/12/measurement/conversions/o8z6j", {}, "7iaI+laGCTHGiawtSB+Dd+WRYfc=",
                 id="case-12-json-body-is-not-signed"),
    pytest.param("POST", TAGS_URL, TAG, "OpPRlJO+tRd8JQACOX2p1nl86Zc=", id="case-13-query-is-signed"),
    pytest.param("GET", TAGS_URL, {"web_event_tag_ids": "o3bk1,o3bk2"}, "GWUX/5dENv+Dm8NqluLiAJ5/4rQ=",
                 id="case-14-comma"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "url", "parameters", "signature"), VECTORS)
def test_published_vectors(method, url, parameters, signature):
    """X's example credentials give the published signatures."""
    text = base_string(method, url, [*OAUTH.items(), *parameters.items()])

    assert sign(text, CONSUMER_SECRET, TOKEN_SECRET) == signature


def test_published_base_string():
    """The text that is signed is the published one."""
    text = base_string("post", "https://ads-api.x.com/12/measurement/conversions/o8z6j", OAUTH.items())

    assert text == (
        "POST&https%3A%2F%2Fads-api.x.com%2F12%2Fmeasurement%2Fconversions%2Fo8z6j&"
        "oauth_consumer_key%3Dxvz1evFS4wEEPTGEFPHBog%26"
        "oauth_nonce%3DkYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg%26oauth_signature_method%3DHMAC-SHA1%26"
        "oauth_timestamp%3D1318622958%26oauth_token%3D370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb%26"
        "oauth_version%3D1.0"
    )


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("HTTPS://ADS-API.X.COM:443/12/x", "https://ads-api.x.com/12/x"),
        ("http://127.0.0.1:80/12/x", "http://127.0.0.1/12/x"),
        ("http://127.0.0.1", "http://127.0.0.1/"),
    ],
)
def test_equal_urls(url, same):
    """RFC 5849, 3.4.1.2: letter case and the default port of scheme and host do not matter; another port does."""
    assert base_string("GET", url, []) == base_string("GET", same, [])
    assert base_string("GET", same, []) != base_string("GET", "http://127.0.0.1:8080/12/x", [])


def header_of(url: str, **oauth: Any) -> str:
    """The header that requests-oauthlib sends for a POST of JSON."""
    auth = OAuth1(CONSUMER_KEY, CONSUMER_SECRET, TOKEN, TOKEN_SECRET, **oauth)
    header = requests.Request("POST", url, json={"a": 1}, auth=auth).prepare().headers["Authorization"]
    return header.decode() if isinstance(header, bytes) else header


@settings(max_examples=50, deadline=None)
@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=10), value=st.text("ab+ &=%~/é,", max_size=10))
def test_what_the_library_signs(name, value):
    """Whatever requests-oauthlib signs is recognized, and no longer when a character of the query changes."""
    prepared = requests.Request(
        "POST",
        "http://127.0.0.1:8080/12/x",
        params={name: value},
        auth=OAuth1(CONSUMER_KEY, CONSUMER_SECRET, TOKEN, TOKEN_SECRET),
    ).prepare()
    query = prepared.url.partition("?")[2].partition("#")[0]
    header = prepared.headers["Authorization"]
    signed = parse(header.decode() if isinstance(header, bytes) else header)

    assert (signed.consumer_key, signed.token) == (CONSUMER_KEY, TOKEN)
    assert signed.is_by(CONSUMER_SECRET, TOKEN_SECRET, "POST", "http://127.0.0.1:8080/12/x", query)
    assert not signed.is_by(CONSUMER_SECRET, TOKEN_SECRET, "POST", "http://127.0.0.1:8080/12/x", query + "x")


def test_what_is_signed():
    """Another secret, method or URL makes the signature wrong."""
    url = "http://127.0.0.1:8080/12/x"
    signed = parse(header_of(url))

    assert signed.is_by(CONSUMER_SECRET, TOKEN_SECRET, "POST", url, "")
    assert not signed.is_by("other", TOKEN_SECRET, "POST", url, "")
    assert not signed.is_by(CONSUMER_SECRET, "other", "POST", url, "")
    assert not signed.is_by(CONSUMER_SECRET, TOKEN_SECRET, "PUT", url, "")
    assert not signed.is_by(CONSUMER_SECRET, TOKEN_SECRET, "POST", url + "y", "")


def test_realm_is_not_signed():
    """RFC 5849, 3.4.1.3.1: a realm may stand in the header and is not part of what is signed."""
    url = "http://127.0.0.1:8080/12/x"
    header = header_of(url, realm="conversions")

    assert 'realm="conversions"' in header
    assert parse(header).is_by(CONSUMER_SECRET, TOKEN_SECRET, "POST", url, "")


@pytest.mark.parametrize(
    "change",
    [
        lambda header: "",
        lambda header: "Basic abc",
        lambda header: header.replace("OAuth ", "Bearer "),
        lambda header: header.replace("HMAC-SHA1", "PLAINTEXT"),
        lambda header: header.replace('oauth_version="1.0"', 'oauth_version="2.0"'),
        lambda header: header.replace('oauth_nonce="', 'nonce="'),
        lambda header: header.replace('oauth_timestamp="', 'oauth_timestamp="x'),
        lambda header: header + ', oauth_nonce="again"',
        lambda header: header + ", rubbish",
        lambda header: header.replace(f'oauth_token="{TOKEN}"', 'oauth_token=""'),
    ],
)
def test_incomplete_headers(change):
    """A header that is no complete OAuth 1.0a header with HMAC-SHA1 says nothing."""
    assert parse(change(header_of("http://127.0.0.1/"))) is None


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=100))
def test_any_header(text):
    """Any text as a header is read without an exception."""
    assert parse(f"OAuth {text}") is None


def signed_at(timestamp: int, nonce: str = "n", token: str = "t") -> Signed:
    return Signed("key", token, nonce, timestamp, signature="", parameters=())


@pytest.mark.parametrize(
    ("timestamp", "is_timely"), [(1000, True), (700, True), (1300, True), (699, False), (1301, False)]
)
def test_timestamps(timestamp, is_timely):
    """A request may be signed five minutes before or after the server's time, and no more."""
    assert signed_at(timestamp).is_timely(1000) is is_timely


def test_nonces():
    """A nonce is new once for each token, and stays used as long as its request could be replayed."""
    nonces = Nonces()

    assert nonces.is_new(signed_at(1300), 1000)
    assert nonces.is_new(signed_at(1300, token="other"), 1000)
    assert nonces.is_new(signed_at(1300, nonce="other"), 1000)
    assert not nonces.is_new(signed_at(1300), 1000)
    assert not nonces.is_new(signed_at(1300), 1600)
    assert nonces.is_new(signed_at(1601), 1601)
