"""One deadline for the whole of an answer: one that comes a byte at a time would be waited for without end."""

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

from urllib3 import HTTPConnectionPool


def set_deadlines(pool: HTTPConnectionPool) -> None:
    """Have the time to read count for an answer as a whole on all connections of ``pool``, not between two pieces."""
    kind = pool.ConnectionCls
    pool.ConnectionCls = type(kind.__name__, (kind,), {"response_class": _Answer})


class _Answer(HTTPResponse):
    """An answer that begins when its request is out, and must have been read when the time of its socket is over."""

    def __init__(self, sock: socket.socket, *arguments: Any, **more: Any) -> None:
        super().__init__(sock, *arguments, **more)
        self.fp = io.BufferedReader(_InTime(self.fp.detach(), sock))


class _InTime(io.RawIOBase):
    """What ``stream`` reads from ``sock``, each piece in the time that is left."""

    def __init__(self, stream: io.RawIOBase, sock: socket.socket) -> None:
        self._stream = stream
        self._sock = sock
        self._end = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()
