"""OAuth 1.0a with HMAC-SHA1, the receiving side, written from RFC 5849 without any OAuth library.

X's pages: "Authorizing a request" and "Creating a signature". A JSON body is not signed; the query string is.
"""

import base64
import hashlib
import hmac
import re
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

TOLERANCE_SECONDS = 300  # a guess: X refuses what is "too far in the past" and publishes no figure

_PARAMETER = re.compile(r'\s*([a-z_]+)="([^"]*)"\s*')
_REQUIRED = frozenset(
    f"oauth_{name}" for name in ("consumer_key", "nonce", "signature", "signature_method", "timestamp")
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Signed:
    """What an `Authorization: OAuth` header says. ``parameters`` are all that is signed beside the query.

    ``token`` is empty where an application signs in nobody's name.
    """

    consumer_key: str
    token: str
    nonce: str
    timestamp: int
    signature: str
    parameters: tuple[tuple[str, str], ...]

    def is_by(self, consumer_secret: str, token_secret: str, method: str, url: str, query: str) -> bool:
        """Whether these two secrets made the signature, for this method, URL and query string."""
        pairs = [*self.parameters, *parse_qsl(query, keep_blank_values=True)]
        expected = sign(base_string(method, url, pairs), consumer_secret, token_secret)
        return hmac.compare_digest(expected.encode(), self.signature.encode())

    def is_timely(self, now: float) -> bool:
        """Whether it was signed near enough to ``now`` (Unix seconds), before or after."""
        return abs(now - self.timestamp) <= TOLERANCE_SECONDS


def parse(header: str, *, needs_token: bool = True) -> Signed | None:
    """What the header says; None when it is no complete OAuth 1.0a header with HMAC-SHA1."""
    required = _REQUIRED | ({"oauth_token"} if needs_token else set())
    scheme, _, rest = header.partition(" ")
    found = [_PARAMETER.fullmatch(part) for part in rest.split(",")]
    pairs = [(match[1], unquote(match[2])) for match in found if match]
    values = dict(pairs)
    is_complete = None not in found and len(values) == len(pairs) and values.keys() >= required
    if scheme.lower() != "oauth" or not is_complete or not all(values[name] for name in required):
        return None
    if values["oauth_signature_method"] != "HMAC-SHA1" or values.get("oauth_version", "1.0") != "1.0":
        return None
    if not re.fullmatch("[0-9]{1,12}", values["oauth_timestamp"]):
        return None
    return Signed(
        consumer_key=values["oauth_consumer_key"],
        token=values.get("oauth_token", ""),
        nonce=values["oauth_nonce"],
        timestamp=int(values["oauth_timestamp"]),
        signature=values["oauth_signature"],
        parameters=tuple((name, value) for name, value in pairs if name not in ("oauth_signature", "realm")),
    )


def base_string(method: str, url: str, parameters: Iterable[tuple[str, str]]) -> str:
    """RFC 5849, 3.4.1: the text that is signed. ``parameters`` are decoded; ``url`` carries no query."""
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in parameters)
    normalized = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join([method.upper(), _encoded(_base_url(url)), _encoded(normalized)])


def sign(text: str, consumer_secret: str, token_secret: str) -> str:
    """RFC 5849, 3.4.2: the base64 HMAC-SHA1 of a base string."""
    key = f"{_encoded(consumer_secret)}&{_encoded(token_secret)}".encode()
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha1).digest()).decode()


class Nonces:
    """Remembers the nonces of every request that could still be replayed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[tuple[str, str, str]] = set()
        self._expiries: deque[tuple[float, tuple[str, str, str]]] = deque()

    def is_new(self, signed: Signed, now: float) -> bool:
        """Whether this application and token never used the nonce before; it counts as used from now on."""
        key = (signed.consumer_key, signed.token, signed.nonce)
        with self._lock:
            while self._expiries and self._expiries[0][0] < now:
                self._seen.discard(self._expiries.popleft()[1])
            if key in self._seen:
                return False
            self._seen.add(key)
            # a request may be signed up to the tolerance ahead and stays acceptable as long after that
            self._expiries.append((now + 2 * TOLERANCE_SECONDS, key))
            return True


def _encoded(text: str) -> str:
    return quote(text, safe="")


def _base_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    default_port = _DEFAULT_PORTS.get(scheme.lower(), "")
    return f"{scheme.lower()}://{host.lower().removesuffix(default_port)}/{path}"
