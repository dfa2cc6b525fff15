"""Conversions to one pixel: one request and its answer, safe for threads."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from urllib3 import HTTPConnectionPool

from xcapi_dagster.ads_api.auth import Credentials
from xcapi_dagster.ads_api.connection import TIMEOUT, Connection, NoReply
from xcapi_dagster.ads_api.responses import Answer, classify
from xcapi_dagster.ads_api.transport import open_pool
from xcapi_dagster.contract import CONVERSIONS_PATH

logger = logging.getLogger("xcapi_dagster.ads_api")


class AdsApiClient:
    """Sends conversions of one pixel to the API at ``api_url``; the other options are those of `Connection`."""

    def __init__(
        self,
        api_url: str,
        api_version: str,
        pixel_id: str,
        credentials: Credentials,
        *,
        account_id: str | None = None,
        timeout: tuple[float, float] = TIMEOUT,
        pool_factory: Callable[[str], HTTPConnectionPool] = open_pool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check the address; nothing is connected to yet. Raises ConfigurationError when it may not be used."""
        self._connection = Connection(api_url, credentials, timeout=timeout, pool_factory=pool_factory, clock=clock)
        self._path = CONVERSIONS_PATH.format(version=api_version, pixel_id=pixel_id)
        self._account_id = account_id
        self._has_warned = False
        self._lock = threading.Lock()

    def correct_clock(self, seconds: float) -> None:
        """Sign later requests as if this machine's clock were ``seconds`` later than it is."""
        self._connection.clock_offset = seconds

    def close(self) -> None:
        """Give back the connections to X; used again, it opens new ones."""
        self._connection.close()

    def post_conversions(self, body: bytes, *, request_id: str, sent: int) -> Answer:
        """Send the ``sent`` conversions in ``body`` once and say how that ended; never raises because of the network.

        ``request_id`` is for the log line.
        """
        started = time.monotonic()
        answer = self._exchange(body, sent)
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

    def _exchange(self, body: bytes, sent: int) -> Answer:
        reply = self._connection.exchange("POST", self._path, body)
        if isinstance(reply, NoReply):
            if reply.may_have_arrived:
                return Answer("unknown", reason=f"{reply.reason}: whether X took the conversions is not known")
            return Answer("not_sent", reason=reply.reason)
        answer = classify(
            reply.status,
            reply.headers,
            reply.content or b"",
            sent=sent,
            account_id=self._account_id,
            now=self._connection.clock(),
            clock_offset=reply.clock_offset,
        )
        if reply.content is None:
            return replace(
                answer, kind="unknown", reason=f"X's answer ({reply.status}) is longer than any it documents"
            )
        return answer
