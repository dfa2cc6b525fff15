"""Where requests may go, and what counts as one host."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.ads_api.address import check_api_url, is_loopback, scope_host
from xcapi_dagster.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "https://ads-api.x.com",
        "https://ads-api.x.com/",
        "https://ADS-API.X.COM:443",
        "https://proxy_host:8443",
        f"https://{'a' * 63}.x.com",
        "https://[2001:db8::1]:8443",
        "http://127.0.0.1:8080",
        "http://127.1.2.3",
        "http://localhost:1/",
        "http://[::1]:9",
    ],
)
def test_allows_https_and_this_machine(url: str) -> None:
    """HTTPS may go anywhere, plain HTTP to the loopback addresses alone."""
    check_api_url(url)


@pytest.mark.parametrize(
    ("url", "about"),
    [
        ("http://ads-api.x.com", "https"),
        ("http://127.0.0.1.example.com", "https"),
        ("http://localhost.example.com", "https"),
        ("http://0.0.0.0", "https"),
        ("http://192.168.0.1", "https"),
        ("http://[::ffff:192.168.0.1]", "https"),
        ("https://user:hunter2@ads-api.x.com", "password"),
        ("https://hunter2@ads-api.x.com", "password"),
        ("http://127.0.0.1@ads-api.x.com", "https"),
        ("https://ads-api.x.com/12", "path"),
        ("https://ads-api.x.com//", "path"),
        ("https://ads-api.x.com?hunter2=1", "path"),
        ("https://ads-api.x.com?", "path"),
        ("https://ads-api.x.com/#hunter2", "path"),
        ("https://ads-api.x.com#", "path"),
        ("ads-api.x.com", "such as"),
        ("ftp://ads-api.x.com", "such as"),
        ("https://", "such as"),
        ("https://ads-api.x.com:0", "such as"),
        ("https://ads-api.x.com:99999", "such as"),
        ("https://ads-api.x.com:https", "such as"),
        ("https://[::1", "such as"),
        ("https://-.x.com", "such as"),
        ("https://ads-api..x.com", "such as"),
        (f"https://{'a' * 64}.x.com", "such as"),
        ("https://ads-api.x.com\n", "such as"),
        ("https://ads-api.x\t.com", "such as"),
        (" https://ads-api.x.com", "such as"),
        ("https://äds-api.x.com", "such as"),
        (f"https://{'.'.join(['h' * 63] * 3 + ['h' * 62])}", "such as"),  # RFC 1035: at most 253 characters
        ("", "such as"),
    ],
)
def test_refuses_everything_else_without_repeating_it(url: str, about: str) -> None:
    """The message names the setting and what is wrong with it, and never holds what may be a password."""
    with pytest.raises(ConfigurationError, match=about) as caught:
        check_api_url(url)
    assert str(caught.value).startswith("X_ADS_API_URL ")
    assert "hunter2" not in str(caught.value)


@settings(max_examples=200)
@given(st.one_of(st.text(), st.text().map("https://".__add__), st.text("0123456789.:[]@/x%-").map("http://".__add__)))
def test_no_text_gets_past_or_breaks_the_check(url: str) -> None:
    """Any text is either refused as configuration or an address that a scope can be named for."""
    try:
        check_api_url(url)
    except ConfigurationError:
        return
    assert url.lower().startswith("https://") or is_loopback(url)
    assert scope_host(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://ads-api.x.com", "ads-api.x.com"),
        ("https://ADS-API.x.com:443/", "ads-api.x.com"),
        ("https://ads-api.x.com.", "ads-api.x.com"),
        ("https://ads-api.twitter.com", "ads-api.x.com"),
        ("https://ads-api-sandbox.twitter.com", "ads-api-sandbox.x.com"),
        ("https://ads-api-sandbox.x.com", "ads-api-sandbox.x.com"),
        ("https://ads-api.x.com:8443", "ads-api.x.com:8443"),
        ("http://127.0.0.1:8001", "loopback"),
        ("http://127.0.0.1:8002", "loopback"),
        ("http://127.9.9.9", "loopback"),
        ("http://localhost:8001", "loopback"),
        ("http://[::1]:8001", "loopback"),
        ("https://localhost", "loopback"),
    ],
)
def test_names_the_host_for_the_ledger(url: str, host: str) -> None:
    """Every address of this machine is one host, and so are X's old and new names."""
    assert scope_host(url) == host
