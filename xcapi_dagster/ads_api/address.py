"""Where requests may go, and under which name what went there is remembered."""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from xcapi_dagster import contract
from xcapi_dagster.errors import ConfigurationError

_LOOPBACK = "loopback"
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # RFC 1035, section 2.3.4: at most 63 characters
_LONGEST_NAME = 253  # RFC 1035: 255 octets with the lengths of its labels
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# X's hosts before 2024 answer for the same accounts.
_ALIASES: Mapping[str, str] = {
    "ads-api.twitter.com": "ads-api.x.com",
    "ads-api-sandbox.twitter.com": "ads-api-sandbox.x.com",
}
_PORTS: Mapping[str, int] = {"https": 443, "http": 80}


def check_api_url(url: str) -> None:
    """Raise ConfigurationError unless ``url`` is `https://host[:port]`, or http to this very machine."""
    parts = _split(url)
    if parts.scheme == "http" and not _is_loopback(parts):
        raise ConfigurationError("X_ADS_API_URL must begin with https://: personal data never travels unencrypted")
    if "@" in parts.netloc:
        raise ConfigurationError("X_ADS_API_URL must hold no user and password")
    if parts.path not in ("", "/") or parts.query or parts.fragment or url[-1] in "?#":
        raise ConfigurationError("X_ADS_API_URL must end after the host: the path, with the version, is added to it")


def scope_host(url: str) -> str:
    """The host, and the port unless it is the usual one, of a checked ``url``, for the ledger.

    All addresses of this machine are one host, so that trials against the sandbox never count as deliveries to X,
    and so are the two names of X's API.
    """
    parts = _split(url)
    if _is_loopback(parts):
        return _LOOPBACK
    host = _ALIASES.get(_host(parts), _host(parts))
    return host if parts.port in (None, _PORTS[parts.scheme]) else f"{host}:{parts.port}"


def oauth_url(api_url: str) -> str:
    """Where users sign in to the API at a checked ``api_url``: X has a host of its own for that, others do both."""
    is_x = scope_host(api_url) in ("ads-api.x.com", "ads-api-sandbox.x.com")
    return contract.OAUTH_URL if is_x else api_url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether ``url`` leads to this very machine."""
    return _is_loopback(_split(url))


def _split(url: str) -> SplitResult:
    """The parts of ``url``; its scheme and host are those of an address of the web."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in _PORTS and parts.port != 0 and _names_a_host(_host(parts))
    except ValueError:
        is_address = False
    # urlsplit drops line breaks and tabs without a word
    if not is_address or any(character.isspace() for character in url):
        raise ConfigurationError("X_ADS_API_URL is not an address such as https://ads-api.x.com")
    return parts


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").removesuffix(".")


def _names_a_host(host: str) -> bool:
    is_name = len(host) <= _LONGEST_NAME and _HOST_NAME.fullmatch(host) is not None
    return is_name or _ip_address(host) is not None


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(parts: SplitResult) -> bool:
    address = _ip_address(_host(parts))
    return _host(parts) == "localhost" or (address is not None and address.is_loopback)
