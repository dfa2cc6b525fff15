"""One request to X and its answer, safe for threads."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from xcapi_dagster.ads_api.address import check_api_url, is_loopback
from xcapi_dagster.ads_api.auth import Credentials
from xcapi_dagster.ads_api.responses import Answer, classify
from xcapi_dagster.ads_api.transport import failure_reason, open_session
from xcapi_dagster.contract import CONVERSIONS_PATH

logger = logging.getLogger("xcapi_dagster.ads_api")

MAX_ANSWER_BYTES = 5_000_000  # 500 rows with several errors each make a few 100 kB
_READ_BYTES = 65_536
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "xcapi-dagster"}
# A proxy's loopback is another machine's. None takes away the environment's proxies and leaves its certificates.
_WITHOUT_PROXY: dict[str, Any] = {"http": None, "https": None, "all": None}


class AdsApiClient:
    """Sends conversions of one pixel to the API at ``api_url``.

    Each thread has its own session, which lives as long as the thread and the client. ``timeout`` is in seconds, to
    connect and between two pieces of an answer; ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        api_url: str,
        api_version: str,
        pixel_id: str,
        credentials: Credentials,
        *,
        account_id: str | None = None,
        timeout: tuple[float, float] = (10.0, 60.0),
        session_factory: Callable[[], requests.Session] = open_session,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check the address; nothing is connected to yet. Raises ConfigurationError when it may not be used."""
        check_api_url(api_url)
        self._url = api_url.rstrip("/") + CONVERSIONS_PATH.format(version=api_version, pixel_id=pixel_id)
        self._proxies = _WITHOUT_PROXY if is_loopback(api_url) else {}
        self._credentials = credentials
        self._account_id = account_id
        self._timeout = timeout
        self._session_factory = session_factory
        self._clock = clock
        self._clock_offset = 0.0
        self._of_thread = threading.local()
        self._has_warned = False
        self._lock = threading.Lock()

    def correct_clock(self, seconds: float) -> None:
        """Sign later requests as if this machine's clock were ``seconds`` later than it is."""
        self._clock_offset = seconds

    def post_conversions(self, body: bytes, *, request_id: str, sent: int) -> Answer:
        """Send the ``sent`` conversions in ``body`` once and say how that ended; never raises because of the network.

        ``request_id`` is for the log line.
        """
        started = time.monotonic()
        answer = self._exchange(_Body(body), sent)
        logger.info(
            "request %s: %d conversions, %d bytes, status %s (%s), %d ms, debug id %s",
            request_id,
            sent,
            len(body),
            answer.status,
            answer.kind,
            round(1000 * (time.monotonic() - started)),
            answer.debug_id,
        )
        self._warn_once(answer.warning)
        return answer

    def _warn_once(self, warning: str | None) -> None:
        """Tell what X warns of, but not with each of its answers, which it does for months."""
        if warning is None:
            return
        with self._lock:
            is_news, self._has_warned = not self._has_warned, True
        if is_news:
            logger.warning("X warns: %s: look for a newer xcapi-dagster", warning)

    def _exchange(self, body: "_Body", sent: int) -> Answer:
        offset = self._clock_offset
        try:
            with self._session().post(
                self._url,
                data=body,
                headers=_HEADERS,
                auth=self._credentials.auth(self._clock() + offset),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
                proxies=dict(self._proxies),  # requests adds to it
            ) as response:
                content = _content(response)
                return self._classified(response.status_code, response.headers, content, sent, offset)
        # requests' own exceptions are OSErrors; it lets some of urllib3's through
        except (OSError, HTTPError) as error:
            return _without_answer(error, body)

    def _classified(
        self, status: int, headers: Mapping[str, str], content: bytes | None, sent: int, offset: float
    ) -> Answer:
        answer = classify(
            status,
            headers,
            content or b"",
            sent=sent,
            account_id=self._account_id,
            now=self._clock(),
            clock_offset=offset,
        )
        if content is None:
            return replace(answer, kind="unknown", reason=f"X's answer ({status}) is longer than any it documents")
        return answer

    def _session(self) -> requests.Session:
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = self._session_factory()
        session: requests.Session = self._of_thread.session
        return session


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


def _without_answer(error: BaseException, body: _Body) -> Answer:
    if body.was_asked_for:
        return Answer("unknown", reason=f"{failure_reason(error)}: whether X took the conversions is not known")
    return Answer("not_sent", reason=failure_reason(error))
