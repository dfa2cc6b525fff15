"""Cases 1 to 15: hashes and signatures, as our transform and our client make them."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.ads_api.auth import OAuth1
from xcapi_dagster.conversions.payload import to_events
from xcapi_dagster.conversions.prepare import Rules, prepare
from xcapi_dagster.sandbox.signatures import base_string, sign

RULES = Rules(
    event_id="ol288",
    pixel_id="oka17",
    default_country=None,
    default_currency=None,
    source_timezone="UTC",
    unknown_consent="send",
    allow_ip_user_agent_only=True,
    send_event_source_url=False,
    now=datetime(2026, 11, 3, 12, tzinfo=UTC),
)
TEST_AT_TWITTER = "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"
PHONE = "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231"
PHONE_WITHOUT_PLUS = "cf14fe3c9d73fcb3574d2643988efb2db605b1c224725bd322d7d2350467b4dc"
PHONE_WITHOUT_COUNTRY = "c775e7b757ede630cd0aa1113bd102661ab38829ca52a6422ab782862f268646"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
PLACEHOLDERS = ("", "null", "none", "nan", "n/a", "unknown", "None", "NaN", "NULL")

# The public example credentials of X's page "Creating a signature", and its nonce and timestamp.
EXAMPLE = OAuth1(
    "xvz1evFS4wEEPTGEFPHBog",
    "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
)
STATUS = {"status": "Hello Ladies + Gentlemen, a signed OAuth request!"}
TAGS = "https://ads-api.x.com/12/accounts/18ce54d4x5t/web_event_tags"
NEW_TAG = "click_window=7&name=web{}event{}tag&retargeting_enabled=false&type=SITE_VISIT&view_through_window=7"


def sent(**columns: Any) -> dict[str, Any]:
    """The one event that an order with these columns, and a click id, becomes: its identifiers as one object."""
    order = {"order_id": "A-1", "ordered_at": datetime(2026, 11, 2, tzinfo=UTC), "twclid": "23opevjt88", **columns}
    arrays = {name: value if isinstance(value, pa.Array) else pa.array([value]) for name, value in order.items()}
    prepared = prepare(pa.table(arrays), 0, RULES)
    (event,) = json.loads(to_events(prepared.conversions).body(slice(None)))["conversions"]
    identifiers: dict[str, Any] = {}
    for identifier in event["identifiers"]:
        identifiers |= identifier
    return identifiers | {"reasons": prepared.rejections["reason_code"].to_pylist()}


@pytest.mark.cases(
    (1, "verified", "test@twitter.com", TEST_AT_TWITTER),
    (2, "verified", "  Test@Twitter.COM \n", TEST_AT_TWITTER),
    (3, "verified", "test-email@test.com", "e586883b2b4faf78d48300a79e0e15138d664cdf796ffb86e533170a9893eda8"),
    (4, "verified", "test@x.com", "5806dc6b2f04fb728708a8f7b81c14edcd4fba36f77914cf0c9368d9a3a25f76"),
    (8, "verified", "first.last+tag@gmail.com", "a3997a3fbbd1a0839c1eb9240489103ddc167f6b5cfa1c429c48ff2190346a4f"),
)
def test_an_email_becomes_its_hash(case: tuple[str, str]) -> None:
    """Trimmed, in lower case, and nothing else changed; X's current page shows the hash of another address for 4."""
    assert sent(email=case[0])["hashed_email"] == case[1]


@pytest.mark.cases(
    (5, "verified", "+11234567890", None),
    (5, "verified", "+1 (123) 456-7890", None),
    (5, "verified", "001 123 456 7890", None),
    (6, "verified", "1234567890", "US"),
)
def test_a_phone_becomes_the_hash_of_e_164(case: tuple[str, str | None]) -> None:
    """With its plus, however it was written; X's own example number is possible, although not valid."""
    found = sent(phone=case[0], country=pa.array([case[1]], pa.string()))["hashed_phone_number"]
    assert found == PHONE
    assert found not in (PHONE_WITHOUT_PLUS, PHONE_WITHOUT_COUNTRY)


@pytest.mark.cases((6, "verified", "11234567890"), (6, "verified", "1234567890"))
def test_a_national_number_without_a_country_is_not_hashed(case: str) -> None:
    """Without its plus or its country it would be the hash of something else."""
    found = sent(phone=case)
    assert "hashed_phone_number" not in found
    assert found["reasons"] == ["phone_no_country"]


@pytest.mark.cases(
    (7, "verified", pa.array([""])),
    (7, "verified", pa.array([None], pa.string())),
    (7, "verified", pa.array([float("nan")])),
    (7, "verified", pa.array(["   "])),
)
def test_nothing_is_no_identifier(case: pa.Array) -> None:
    """Empty, null, not a number or white space: the identifier is left out, and not the hash of nothing."""
    found = sent(email=case, phone=case, hashed_email=case)
    assert not {"hashed_email", "hashed_phone_number"} & found.keys()
    assert EMPTY not in found.values()


@pytest.mark.cases(*((7, "verified", text) for text in PLACEHOLDERS))
def test_the_hash_of_a_placeholder_is_refused(case: str) -> None:
    """What somebody hashed without looking tells X nothing."""
    found = sent(hashed_email=hashlib.sha256(case.encode()).hexdigest())
    assert "hashed_email" not in found
    assert found["reasons"] == ["hash_placeholder"]


@pytest.mark.cases((9, "required", TEST_AT_TWITTER), (9, "required", TEST_AT_TWITTER.upper()))
def test_a_hash_passes_once(case: str) -> None:
    """As it is, in lower case, and not hashed again."""
    assert sent(hashed_email=case)["hashed_email"] == TEST_AT_TWITTER


@pytest.mark.cases(
    (9, "required", TEST_AT_TWITTER[1:]), (9, "required", f"{TEST_AT_TWITTER}0"), (9, "required", "g" * 64)
)
def test_what_is_no_hash_is_refused_here(case: str) -> None:
    """63 or 65 digits, or none at all: X would refuse the whole request."""
    found = sent(hashed_email=case)
    assert "hashed_email" not in found
    assert found["reasons"] == ["hash_invalid"]


@pytest.mark.cases((10, "documented"))
@settings(max_examples=10, deadline=None)
@given(st.from_regex(r"jane\.[a-z0-9]{1,20}@[a-z]{1,10}\.(com|org)", fullmatch=True))
def test_no_salt(email: str) -> None:
    """Any address becomes the plain SHA-256 of itself, in lower case hexadecimal digits."""
    assert sent(email=email)["hashed_email"] == hashlib.sha256(email.encode()).hexdigest()


def signature(method: str, url: str) -> str:
    """The signature that our client makes with X's example nonce and timestamp."""
    nonce = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"
    header = EXAMPLE.headers(method, url, 1318622958, nonce=nonce)["Authorization"]
    return dict(re.findall(r'(\w+)="([^"]*)"', unquote(header)))["oauth_signature"]


def _status(host: str) -> str:
    """X's own example, the form in the query: both are signed as one."""
    return f"https://{host}/1.1/statuses/update.json?{urlencode({'include_entities': 'true', **STATUS})}"


@pytest.mark.cases(
    (11, "verified", "POST", _status("api.x.com"), "Ls93hJiZbQ3akF3HF3x1Bz8/zU4="),
    (11, "verified", "POST", _status("api.twitter.com"), "hCtSmYh+iHYCEqBWrE7C7hYmtUk="),
    (12, "verified", "POST", "https://ads-api.x.com/12/measurement/conversions/o8z6j", "7iaI+laGCTHGiawtSB+Dd+WRYfc="),
    (13, "verified", "POST", f"{TAGS}?{NEW_TAG.format('%20', '%20')}", "OpPRlJO+tRd8JQACOX2p1nl86Zc="),
    (13, "verified", "POST", f"{TAGS}?{NEW_TAG.format('+', '+')}", "OpPRlJO+tRd8JQACOX2p1nl86Zc="),
    (14, "verified", "GET", f"{TAGS}?web_event_tag_ids=o3bk1%2Co3bk2", "GWUX/5dENv+Dm8NqluLiAJ5/4rQ="),
)  # fmt: skip
def test_our_signatures_are_x_s(case: tuple[str, str, str]) -> None:
    """X's vectors: the query is signed, a JSON body is not."""
    assert signature(*case[:2]) == case[2]


@pytest.mark.cases(
    (11, "verified", "POST", "https://api.x.com/1.1/statuses/update.json", {"include_entities": "true", **STATUS},
     "Ls93hJiZbQ3akF3HF3x1Bz8/zU4="),
    (12, "verified", "POST", "https://ads-api.x.com/12/measurement/conversions/o8z6j", {},
     "7iaI+laGCTHGiawtSB+Dd+WRYfc="),
    (14, "verified", "GET", TAGS, {"web_event_tag_ids": "o3bk1,o3bk2"}, "GWUX/5dENv+Dm8NqluLiAJ5/4rQ="),
)  # fmt: skip
def test_the_sandbox_expects_x_s(case: tuple[str, str, dict[str, str], str]) -> None:
    """The side that checks, written without the library that signs, agrees with X's vectors."""
    method, url, parameters, expected = case
    oauth = {
        "oauth_consumer_key": EXAMPLE.consumer_key,
        "oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1318622958",
        "oauth_token": EXAMPLE.access_token,
        "oauth_version": "1.0",
    }
    text = base_string(method, url, (parameters | oauth).items())
    assert sign(text, EXAMPLE.consumer_secret, EXAMPLE.access_token_secret) == expected


@pytest.mark.cases((15, "required"))
def test_each_attempt_is_signed_anew(
    scripted: Callable[..., Any], accepted: Callable[..., Any], bench: Callable[..., Any], rows: Callable[..., Any]
) -> None:
    """A repetition has another nonce and a later timestamp, and both signatures are right."""
    server = scripted((503, b"", {"retry-after": "30"}), accepted(3))
    assert bench(server.url).run(rows(3)).states == {"accepted": 3}
    first, second = (dict(re.findall(r'(\w+)="([^"]*)"', seen.headers["authorization"])) for seen in server.seen)
    assert first["oauth_nonce"] != second["oauth_nonce"]
    assert int(second["oauth_timestamp"]) >= int(first["oauth_timestamp"]) + 30
    for oauth in (first, second):
        pairs = sorted((name, value) for name, value in oauth.items() if name != "oauth_signature")
        url = quote(f"{server.url}/12/measurement/conversions/oka17", safe="")
        text = f"POST&{url}&{quote('&'.join(f'{n}={v}' for n, v in pairs), safe='')}"
        expected = base64.b64encode(hmac.new(b"key-secret&token-secret", text.encode(), hashlib.sha1).digest())
        assert unquote(oauth["oauth_signature"]) == expected.decode()
