"""Signatures against X's own vectors, the pixel token, and secrets that stay secret."""

import copy
import pickle
import re
from urllib.parse import unquote, urlencode

import pytest

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
# Its parameters, those of the form too: both are signed as one.
STATUS = urlencode({"include_entities": "true", "status": "Hello Ladies + Gentlemen, a signed OAuth request!"})
CONVERSIONS = "https://ads-api.x.com/12/measurement/conversions/o8z6j"
TAGS = "https://ads-api.x.com/12/accounts/18ce54d4x5t/web_event_tags"
NEW_TAG = {
    "click_window": "7",
    "name": "web event tag",
    "retargeting_enabled": "false",
    "type": "SITE_VISIT",
    "view_through_window": "7",
}


def _signed(method: str, url: str, nonce: str | None = None, now: float = TIMESTAMP) -> dict[str, str]:
    """The parameters of the Authorization header that such a request gets."""
    (name, text), *others = EXAMPLE.headers(method, url, now, nonce=nonce).items()
    assert (name, others) == ("Authorization", [])
    assert text.startswith("OAuth ")
    return {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', text)}


@pytest.mark.parametrize(
    ("method", "url", "signature"),
    [
        ("POST", f"https://api.x.com/1.1/statuses/update.json?{STATUS}", "Ls93hJiZbQ3akF3HF3x1Bz8/zU4="),
        # the same on its old host, as the page read before 2024
        ("POST", f"https://api.twitter.com/1.1/statuses/update.json?{STATUS}", "hCtSmYh+iHYCEqBWrE7C7hYmtUk="),
        ("POST", CONVERSIONS, "7iaI+laGCTHGiawtSB+Dd+WRYfc="),
        ("POST", f"{TAGS}?{urlencode(NEW_TAG)}", "OpPRlJO+tRd8JQACOX2p1nl86Zc="),
        ("GET", f"{TAGS}?web_event_tag_ids=o3bk1%2Co3bk2", "GWUX/5dENv+Dm8NqluLiAJ5/4rQ="),
    ],
)
def test_signs_as_x_documents(method: str, url: str, signature: str) -> None:
    """The signatures of known base strings: the query is signed, a JSON body is not."""
    assert _signed(method, url, NONCE) == {
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
    first, second = _signed("POST", CONVERSIONS), _signed("POST", CONVERSIONS)
    later = _signed("POST", CONVERSIONS, now=TIMESTAMP + 61.9)
    assert first["oauth_nonce"] != second["oauth_nonce"]
    assert first["oauth_signature"] != second["oauth_signature"]
    assert later["oauth_timestamp"] == "1318623019"


def test_the_pixel_token_goes_alone() -> None:
    """The token's header is there and no Authorization beside it."""
    assert PixelToken("a-pixel-token").headers("POST", CONVERSIONS, TIMESTAMP) == {"X-Pixel-Token": "a-pixel-token"}


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
