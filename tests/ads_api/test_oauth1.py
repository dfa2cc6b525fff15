"""Our signatures beside those of an independent implementation, for whatever is signed."""

import re
from urllib.parse import unquote, urlencode

from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth1 import Client

from xcapi_dagster.ads_api.oauth1 import authorization

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=50)
PAIR = st.tuples(VISIBLE, VISIBLE)
NAMES = {"callback": "callback_uri", "verifier": "verifier"}  # of the sign-in's parameters: ours, then oauthlib's


def parameters_of(header: str) -> dict[str, str]:
    """What the header says, its names and values decoded."""
    assert header.startswith("OAuth ")
    return {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', header)}


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    origin=st.sampled_from(
        ["https://ads-api.x.com", "https://ADS-API.x.com:443", "http://127.0.0.1:80", "http://127.0.0.1:8080",
         "http://[::1]:9000", "https://proxy.example:8443"]
    ),
    path=st.sampled_from(["/12/measurement/conversions/o8z6j", "/oauth/request_token", "/a%20b/c~d", "/"]),
    query=st.lists(st.tuples(TEXT, TEXT | st.just("")), max_size=4),
    app=PAIR,
    user=st.none() | PAIR,
    more=st.dictionaries(st.sampled_from(sorted(NAMES)), VISIBLE, max_size=1),
    nonce=VISIBLE,
    now=st.floats(1e9, 4e9),
)  # fmt: skip
def test_signs_as_oauthlib_does(
    method: str, origin: str, path: str, query: list[tuple[str, str]], app: tuple[str, str],
    user: tuple[str, str] | None, more: dict[str, str], nonce: str, now: float,
) -> None:  # fmt: skip
    """The same parameters and the same signature, whatever keys, hosts, queries and parameters of the sign-in."""
    url = f"{origin}{path}" + (f"?{urlencode(query)}" if query else "")
    theirs = Client(
        app[0],
        client_secret=app[1],
        resource_owner_key=user[0] if user else None,
        resource_owner_secret=user[1] if user else None,
        nonce=nonce,
        timestamp=str(int(now)),
        **{NAMES[name]: value for name, value in more.items()},
    )
    expected = theirs.sign(url, method)[1]["Authorization"]
    ours = authorization(method, url, now, app, user, nonce=nonce, **more)
    assert parameters_of(ours) == parameters_of(expected)


def test_nonces_are_new() -> None:
    """X takes a repeated nonce for a repeated request."""
    headers = [authorization("POST", "https://ads-api.x.com/12/x", 0.0, ("key", "secret")) for _ in range(100)]
    nonces = {parameters_of(header)["oauth_nonce"] for header in headers}
    assert len(nonces) == 100
    assert min(map(len, nonces)) >= 32
