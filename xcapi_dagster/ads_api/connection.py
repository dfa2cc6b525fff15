"""One HTTP request to X's API and its reply, safe for threads: signed anew, sent once, never redirected."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Timeout
from urllib3.exceptions import HTTPError

from xcapi_dagster.ads_api.address import check_api_url
from xcapi_dagster.ads_api.auth import Credentials
from xcapi_dagster.ads_api.transport import failure_reason, never_connected, open_pool

MAX_ANSWER_BYTES = 5_000_000  # 500 rows with several errors each make a few 100 kB, 1,000 event tags some 1 MB
TIMEOUT = (10.0, 60.0)
_READ_BYTES = 65_536
# Refusals of which the body changes nothing; what X means by a 400 or a 404 stands there alone.
_SAY_ALL = frozenset({401, 403, 407, 413, 429})
_FIRST_FINAL_STATUS = 200  # RFC 9110, section 15.2: after what is below, the answer is still to come
_HEADERS = {"Accept": "application/json", "User-Agent": "xcapi-dagster"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``content`` is None when it is longer than any answer that X documents.

    Of a refusal whose status says all it is empty then, and when it was cut off or cannot be read.

    ``clock_offset`` is how many seconds were added to this machine's clock to sign the request.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes | None
    clock_offset: float


@dataclass(frozen=True, slots=True)
class NoReply:
    """That nothing came back, and why, in our words; ``may_have_arrived`` is False when X cannot have the request."""

    reason: str
    may_have_arrived: bool


class Connection:
    """Sends requests to the API at ``api_url``, signed with ``credentials``.

    ``timeout`` is in seconds, to connect and for a whole answer; ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        api_url: str,
        credentials: Credentials,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        pool_factory: Callable[[str], HTTPConnectionPool] = open_pool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check the address; nothing is connected to yet. Raises ConfigurationError when it may not be used."""
        check_api_url(api_url)
        self.clock = clock
        self.clock_offset = 0.0  # set it to sign later requests as if this machine's clock were so many seconds later
        self._url = api_url.rstrip("/")
        self._credentials = credentials
        self._timeout = Timeout(connect=timeout[0], read=timeout[1])
        self._pool_factory = pool_factory
        self._pool: HTTPConnectionPool | None = None
        self._lock = threading.Lock()

    def exchange(self, method: str, path: str, body: bytes | None = None) -> Reply | NoReply:
        """Send one request, whose ``body`` is JSON; never raises because of the network."""
        offset = self.clock_offset
        watched = None if body is None else _Body(body)
        try:
            pool = self._connected()
        except (OSError, HTTPError) as error:
            return NoReply(failure_reason(error), may_have_arrived=False)
        try:
            # A repetition below this line would carry the same nonce and signature, and nobody would have claimed it.
            # X's host has moved once: following a redirect would turn a POST into a GET and its 200 into a false
            # success, or hand the body and the pixel token to another host.
            response = pool.urlopen(
                method,
                path,
                body=watched,
                headers=self._headers(method, path, body, offset),
                retries=False,
                redirect=False,
                timeout=self._timeout,
                preload_content=False,
            )
            if response.status < _FIRST_FINAL_STATUS:
                response.close()  # with its connection, on which another request would take that for its own
            return Reply(response.status, response.headers, _content_of(response), offset)
        except (OSError, HTTPError) as error:
            may_have_arrived = watched.was_asked_for if watched else not never_connected(error)
            return NoReply(failure_reason(error), may_have_arrived)

    def close(self) -> None:
        """Give back the connections to X; used again, it opens new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _headers(self, method: str, path: str, body: bytes | None, offset: float) -> Mapping[str, str]:
        signed = self._credentials.headers(method, self._url + path, self.clock() + offset)
        of_body = {} if body is None else {"Content-Type": "application/json", "Content-Length": str(len(body))}
        return {**_HEADERS, **of_body, **signed}

    def _connected(self) -> HTTPConnectionPool:
        """The connections to X, which all threads share and each has for itself while it uses one."""
        with self._lock:
            if self._pool is None:
                self._pool = self._pool_factory(self._url)
            return self._pool


class _Body:
    """The body of one request, and whether the connection has asked for it.

    It asks when it is established and the headers are out, so that a failure before it proves that X has no
    conversion of this request. The types of the exceptions prove nothing: a time-out may be the TLS handshake's.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.was_asked_for = False

    def __iter__(self) -> Iterator[bytes]:
        self.was_asked_for = True
        yield self._content


def _content_of(response: BaseHTTPResponse) -> bytes | None:
    if response.status not in _SAY_ALL:
        return _content(response)
    with suppress(OSError, HTTPError):
        return _content(response) or b""
    response.close()
    return b""


def _content(response: BaseHTTPResponse) -> bytes | None:
    """The whole body of an answer, None when it is longer than an answer of X's can be."""
    content = bytearray()
    for piece in response.stream(_READ_BYTES, decode_content=True):  # chunks stay compressed unless it is said
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            response.close()  # and its connection, on which the rest would come
            return None
    return bytes(content)
