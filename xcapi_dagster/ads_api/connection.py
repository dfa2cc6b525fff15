"""One HTTP request to X's API and its reply, safe for threads: signed anew, sent once, never redirected."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from xcapi_dagster.ads_api.address import check_api_url, is_loopback
from xcapi_dagster.ads_api.auth import Credentials
from xcapi_dagster.ads_api.transport import failure_reason, never_connected, open_session

MAX_ANSWER_BYTES = 5_000_000  # 500 rows with several errors each make a few 100 kB, 1,000 event tags some 1 MB
TIMEOUT = (10.0, 60.0)
_READ_BYTES = 65_536
_HEADERS = {"Accept": "application/json", "User-Agent": "xcapi-dagster"}
_OF_JSON = {"Content-Type": "application/json"}
# A proxy's loopback is another machine's. None takes away the environment's proxies and leaves its certificates.
_WITHOUT_PROXY: dict[str, Any] = {"http": None, "https": None, "all": None}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``content`` is None when it is longer than any answer that X documents.

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

    Each thread has its own session, which lives as long as the thread and the connection. ``timeout`` is in seconds,
    to connect and between two pieces of an answer; ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        api_url: str,
        credentials: Credentials,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        session_factory: Callable[[], requests.Session] = open_session,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check the address; nothing is connected to yet. Raises ConfigurationError when it may not be used."""
        check_api_url(api_url)
        self.clock = clock
        self.clock_offset = 0.0  # set it to sign later requests as if this machine's clock were so many seconds later
        self._url = api_url.rstrip("/")
        self._proxies = _WITHOUT_PROXY if is_loopback(api_url) else {}
        self._credentials = credentials
        self._timeout = timeout
        self._session_factory = session_factory
        self._of_thread = threading.local()

    def exchange(self, method: str, path: str, body: bytes | None = None) -> Reply | NoReply:
        """Send one request, whose ``body`` is JSON; never raises because of the network."""
        offset = self.clock_offset
        watched = None if body is None else _Body(body)
        try:
            request = requests.Request(
                method,
                self._url + path,
                data=watched,
                headers=_HEADERS if body is None else _HEADERS | _OF_JSON,
                auth=self._credentials.auth(self.clock() + offset),
            )
            with self._sender()(request.prepare()) as response:
                return Reply(response.status_code, response.headers, _content(response), offset)
        # requests' own exceptions are OSErrors; it lets some of urllib3's through
        except (OSError, HTTPError) as error:
            may_have_arrived = watched.was_asked_for if watched else not never_connected(error)
            return NoReply(failure_reason(error), may_have_arrived)

    def _sender(self) -> Callable[[requests.PreparedRequest], requests.Response]:
        """What sends a request on this thread's own connection, by the proxies and certificates of the environment.

        The session finds those once, and sends nothing itself: it would look for them with every request, and follow
        redirects. X's host has moved once. Following a redirect would turn a POST into a GET and its 200 into a false
        success, or hand the body and the pixel token to another host.
        """
        if not hasattr(self._of_thread, "send"):
            session = self._session_factory()
            given = dict(self._proxies)  # requests adds to it
            ways: dict[str, Any] = session.merge_environment_settings(
                self._url, given, stream=True, verify=True, cert=None
            )  # type: ignore[assignment]
            self._of_thread.send = partial(session.get_adapter(self._url).send, timeout=self._timeout, **ways)
        send: Callable[[requests.PreparedRequest], requests.Response] = self._of_thread.send
        return send


class _Body:
    """The body of one request, and whether the connection has asked for it.

    It asks when it is established and the headers are out, so that a failure before it proves that X has no
    conversion of this request. The types of the exceptions prove nothing: a time-out may be the TLS handshake's.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.was_asked_for = False

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        self.was_asked_for = True
        yield self._content


def _content(response: requests.Response) -> bytes | None:
    """The whole body of an answer, None when it is longer than an answer of X's can be."""
    content = bytearray()
    for piece in response.iter_content(_READ_BYTES):
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            return None
    return bytes(content)
