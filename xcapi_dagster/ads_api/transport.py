"""A session that sends each request at most once and leaks nothing into a log; and why a request failed."""

import logging
import socket
import ssl
from collections.abc import Iterator

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectTimeout, ProxyError, ReadTimeout
from urllib3.exceptions import LocationValueError

# At DEBUG these print keys, tokens, signatures and whole bodies (requests/requests-oauthlib#536).
_TALKATIVE = ("oauthlib", "requests_oauthlib", "urllib3")

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (ProxyError, "the proxy did not let the request through: check HTTPS_PROXY and NO_PROXY"),
    (socket.gaierror, "the host in X_ADS_API_URL has no address: check its name and this machine's DNS"),
    (
        ssl.SSLCertVerificationError,
        "the TLS certificate is not trusted: check X_ADS_API_URL, this machine's clock and REQUESTS_CA_BUNDLE",
    ),
    (ssl.SSLError, "the TLS handshake failed: check X_ADS_API_URL and HTTPS_PROXY"),
    (ConnectionRefusedError, "the host in X_ADS_API_URL refuses connections"),
    (ConnectTimeout, "the host in X_ADS_API_URL could not be connected to in time"),
    (ReadTimeout, "no answer came in time"),
)
# What these end has not begun. Other errors of TLS, and time-outs, come before a request as well as after it.
_BEFORE_THE_REQUEST = (
    ProxyError,
    LocationValueError,
    socket.gaierror,
    ssl.SSLCertVerificationError,
    ConnectionRefusedError,
    ConnectTimeout,
)


def open_session() -> requests.Session:
    """A session for one thread: connections are kept, nothing is retried, and the libraries' DEBUG logs are shut."""
    hush()
    session = requests.Session()
    # A repetition below this line would carry the same nonce and signature, and nobody would have claimed it.
    adapter = HTTPAdapter(max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def hush() -> None:
    """Drop what the libraries that see keys and bodies log below WARNING, whatever level is set on any logger."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _TALKATIVE:
            logging.getLogger(name).addFilter(_is_harmless)  # the same filter is added but once


def failure_reason(error: BaseException) -> str:
    """Why there is no answer, in our words: those of the libraries may hold headers."""
    for cause in _causes(error):
        for kind, reason in _REASONS:
            if isinstance(cause, kind):
                return reason
    if type(error) is OSError:  # requests raises it bare, for this alone
        return "the TLS certificates cannot be read: check REQUESTS_CA_BUNDLE"
    return "the connection broke"


def never_connected(error: BaseException) -> bool:
    """Whether the request cannot have reached X; to repeat it at once would end the same way."""
    return type(error) is OSError or any(isinstance(cause, _BEFORE_THE_REQUEST) for cause in _causes(error))


def _is_harmless(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what it stems from: requests wraps urllib3's errors, which wrap those of the system."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
