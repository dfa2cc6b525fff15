"""Signatures against X's own vectors, the pixel token, and secrets that stay secret."""

import copy
import pickle
import re
from urllib.parse import unquote

import pytest
import requests

from xcapi_dagster.ads_api.auth import Credentials, OAuth1, PixelToken
from xcapi_dagster.errors import ConfigurationError

# The public example credentials of X's page "Creating a signature", and its nonce and timestamp.
EXAMPLE = OAuth1(
    "xvz1evFS4wEEPTGEFPHBog",
    "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
)
NONCE = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"
TIMESTAMP = 1318622958
STATUS = {"status": "Hello Ladies + Gentlemen, a signed OAuth request!"}
CONVERSIONS = "https://ads-api.x.com/12/measurement/conversions/o8z6j"
TAGS = "https://ads-api.x.com/12/accounts/18ce54d4x5t/web_event_tags"
NEW_TAG = {
    "click_window": "7",
    "name": "web event tag",
    "retargeting_enabled": "false",
    "type": "SITE_VISIT",
    "view_through_window": "7",
}


def _signed(request: requests.Request, nonce: str | None = None, now: float = TIMESTAMP) -> dict[str, str]:
    """The parameters of the Authorization header that ``request`` gets."""
    request.auth = EXAMPLE.auth(now)
    request.auth.client.nonce = nonce
    header = request.prepare().headers["Authorization"]
    text = header.decode() if isinstance(header, bytes) else header
    assert text.startswith("OAuth ")
    return {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', text)}


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (  # X's own example
            requests.Request(
                "POST", "https://api.x.com/1.1/statuses/update.json", params={"include_entities": "true"}, data=STATUS
            ),
            "Ls93hJiZbQ3akF3HF3x1Bz8/zU4=",
        ),
        (  # the same on its old host, as the page read before 2024
            requests.Request(
                "POST",
                "https://api.twitter.com/1.1/statuses/update.json",
                params={"include_entities": "true"},
                data=STATUS,
            ),
            "hCtSmYh+iHYCEqBWrE7C7hYmtUk=",
        ),
        (requests.Request("POST", CONVERSIONS, json={"conversions": []}), "7iaI+laGCTHGiawtSB+Dd+WRYfc="),
        (
            requests.Request("POST", CONVERSIONS, data=b"{}", headers={"Content-Type": "application/json"}),
            "7iaI+laGCTHGiawtSB+Dd+WRYfc=",
        ),
        (requests.Request("POST", TAGS, params=NEW_TAG), "OpPRlJO+tRd8JQACOX2p1nl86Zc="),
        (requests.Request("GET", TAGS, params={"web_event_tag_ids": "o3bk1,o3bk2"}), "GWUX/5dENv+Dm8NqluLiAJ5/4rQ="),
    ],
)
def test_signs_as_x_documents(request_: requests.Request, signature: str) -> None:
    """The signatures of known base strings: query and form are signed, a JSON body is not."""
    assert _signed(request_, NONCE) == {
        "oauth_consumer_key": EXAMPLE.consumer_key,
        "oauth_nonce": NONCE,
        "oauth_signature": signature,
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1318622958",
        "oauth_token": EXAMPLE.access_token,
        "oauth_version": "1.0",
    }


def test_every_attempt_is_signed_anew() -> None:
    """Two attempts at one time differ in nonce and signature, and each has the time it is given."""
    first = _signed(requests.Request("POST", CONVERSIONS))
    second = _signed(requests.Request("POST", CONVERSIONS))
    later = _signed(requests.Request("POST", CONVERSIONS), now=TIMESTAMP + 61.9)
    assert first["oauth_nonce"] != second["oauth_nonce"]
    assert first["oauth_signature"] != second["oauth_signature"]
    assert later["oauth_timestamp"] == "1318623019"


def test_the_pixel_token_goes_alone() -> None:
    """The token's header is there and no Authorization beside it, whatever a URL or a .netrc would add."""
    request = requests.Request("POST", CONVERSIONS, headers={"Authorization": "Basic abc"})
    request.auth = PixelToken("a-pixel-token").auth(TIMESTAMP)
    headers = request.prepare().headers
    assert headers["X-Pixel-Token"] == "a-pixel-token"
    assert "Authorization" not in headers


@pytest.mark.parametrize("credentials", [EXAMPLE, PixelToken("a-pixel-token")])
def test_no_secret_is_printed_or_pickled(credentials: Credentials) -> None:
    """Only the names of the fields show, wherever the credentials are printed."""
    for text in (repr(credentials), str(credentials), f"{credentials}", f"{[credentials]!r}"):
        assert "****" in text
        assert not any(getattr(credentials, name) in text for name in credentials.__dataclass_fields__)
    for carry in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            carry(credentials)


@pytest.mark.parametrize("value", ["", " ", "hunter2 ", "hunter2\n", "hunter2\u2026", "hunter\x002"])
def test_what_fits_in_no_header_is_refused_by_name(value: str) -> None:
    """A blank or badly pasted value is named by its variable and never repeated."""
    with pytest.raises(ConfigurationError, match=r"^X_ADS_ACCESS_TOKEN_SECRET ") as caught:
        OAuth1("key", "secret", "token", value)
    assert "hunter" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"^X_ADS_PIXEL_TOKEN "):
        PixelToken(value)
