"""Connections that leak nothing into a log; and why a request failed."""

import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL, InvalidSchema
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, LocationValueError, ProxyError, ReadTimeoutError

from xcapi_dagster.ads_api.address import is_loopback
from xcapi_dagster.ads_api.deadline import set_deadlines

_MOST_CONNECTIONS = 64  # twice as many as there are senders at most: a pool closes those above, and says so
# A proxy's loopback is another machine's. None takes away the environment's proxies and leaves its certificates.
_WITHOUT_PROXY: dict[str, Any] = {"http": None, "https": None, "all": None}

_TALKATIVE = "urllib3"  # at DEBUG it prints the paths of all requests

_NO_PROXY = "the proxy cannot be used: check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
# The first that fits: urllib3 calls each failure to connect a time-out too.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (ProxyError, "the proxy did not let the request through: check HTTPS_PROXY and NO_PROXY"),
    (InvalidProxyURL, _NO_PROXY),
    (InvalidSchema, _NO_PROXY),  # of a proxy's address, as SOCKS is without PySocks: that of X's is checked before
    (socket.gaierror, "the host in X_ADS_API_URL has no address: check its name and this machine's DNS"),
    (
        ssl.SSLCertVerificationError,
        "the TLS certificate is not trusted: check X_ADS_API_URL, this machine's clock and REQUESTS_CA_BUNDLE",
    ),
    (ssl.SSLError, "the TLS handshake failed: check X_ADS_API_URL, HTTPS_PROXY and REQUESTS_CA_BUNDLE"),
    (ConnectionRefusedError, "the host in X_ADS_API_URL refuses connections"),
    (ConnectTimeoutError, "the host in X_ADS_API_URL could not be connected to"),
    (ReadTimeoutError, "no answer came in time"),
)
# What these end has not begun. Other errors of TLS, and time-outs, come before a request as well as after it.
_BEFORE_THE_REQUEST = (
    ProxyError,
    LocationValueError,
    socket.gaierror,
    ssl.SSLCertVerificationError,
    ConnectionRefusedError,
    ConnectTimeoutError,
)


class _Adapter(HTTPAdapter):
    """Tells on which connections requests would send."""

    def pool(self, session: requests.Session, url: str) -> HTTPConnectionPool:
        """Those to the host of ``url``. Raises OSError when the certificates cannot be read."""
        proxies = dict(_WITHOUT_PROXY) if is_loopback(url) else {}  # to which those of the environment are added
        found: dict[str, Any] = session.merge_environment_settings(url, proxies, stream=None, verify=None, cert=None)  # type: ignore[assignment]
        verify, cert = found["verify"], found["cert"]
        request = requests.Request("GET", url).prepare()
        pool = self.get_connection_with_tls_context(request, verify, found["proxies"], cert)
        self.cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]
        return cast("HTTPConnectionPool", pool)


def open_pool(url: str) -> HTTPConnectionPool:
    """Connections to the host of ``url``, by the proxies and certificates of the environment; they are kept open.

    The time to read is that of a whole answer. `requests` only chooses proxy and certificates, once: to send by way of
    it takes half as much CPU again. The DEBUG log of `urllib3` is shut. Raises OSError when the certificates cannot be
    read.
    """
    hush()
    pool = _Adapter(pool_maxsize=_MOST_CONNECTIONS).pool(requests.Session(), url)
    set_deadlines(pool)
    return pool


def hush() -> None:
    """Drop what the library that sees keys and bodies logs below WARNING, whatever level is set on any logger.

    Of its warnings, those with a traceback: they print headers that it could not read, and the whole address.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == _TALKATIVE:
            logging.getLogger(name).addFilter(_is_harmless)  # the same filter is added but once


def failure_reason(error: BaseException) -> str:
    """Why there is no answer, in our words: those of the libraries may hold headers."""
    causes = list(_causes(error))
    for kind, reason in _REASONS:
        if any(isinstance(cause, kind) for cause in causes):
            return reason
    if type(error) is OSError:  # requests raises it bare, for this alone, when the pool is opened
        return "the TLS certificates cannot be read: check REQUESTS_CA_BUNDLE"
    return "the connection broke"


def never_connected(error: BaseException) -> bool:
    """Whether the request cannot have reached X; to repeat it at once would end the same way."""
    return any(isinstance(cause, _BEFORE_THE_REQUEST) for cause in _causes(error))


def _is_harmless(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING and record.exc_info is None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what it stems from: urllib3 wraps the errors of the system."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
