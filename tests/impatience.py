"""Clients that do not wait long for an answer which never comes."""

import threading
from collections.abc import Callable
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Timeout

from xcapi_dagster.ads_api.transport import open_pool

_SECONDS = 0.2


def impatient_once(got: threading.Event) -> Callable[[str], HTTPConnectionPool]:
    """Connections on which the first request is soon given up, and this is heard of when the other end has ``got`` it.

    However slow that end is, it gets the first request before the second. Later ones are waited for as ever.
    """

    def opened(url: str) -> HTTPConnectionPool:
        pool = open_pool(url)
        send, first = pool.urlopen, iter(["first"])

        def sent(*request: Any, timeout: Timeout, **more: Any) -> BaseHTTPResponse:
            if next(first, None) is None:
                return send(*request, timeout=timeout, **more)
            try:
                return send(*request, timeout=Timeout(connect=timeout.connect_timeout, read=_SECONDS), **more)
            finally:
                assert got.wait(60)

        pool.urlopen = sent  # type: ignore[method-assign]
        return pool

    return opened
