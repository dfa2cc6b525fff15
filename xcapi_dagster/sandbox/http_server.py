"""HTTP/1.1 on a loopback address: bytes in, bytes out, and nothing of X's rules."""

import re
import socket
import sys
import threading
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from xcapi_dagster import contract
from xcapi_dagster.sandbox.answers import Answer, Request, failure, of_status

HOSTS = ("127.0.0.1", "localhost")

_HOST_HEADER = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?", re.IGNORECASE)
_MAX_DISCARDED_BYTES = 64 * 1024 * 1024
_PATIENCE_SECONDS = 2.0


class LoopbackServer(ThreadingMixIn, TCPServer):
    """Listens from its construction on; `serve_forever` answers; `close` ends every connection and thread.

    ``handle`` makes the answer, or None to close the connection without one. ``clock`` (Unix seconds) is for `Date`.
    Raises ValueError for a host that is not this machine alone, OSError when the port is taken.
    """

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        handle: Callable[[Request], Answer | None],
        clock: Callable[[], float],
        max_body_bytes: int,
    ) -> None:
        if address[0] not in HOSTS:
            raise ValueError(f"the sandbox listens on {' or '.join(HOSTS)} only")
        self.handle = handle
        self.clock = clock
        self.max_body_bytes = max_body_bytes
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        super().__init__(address, _Handler)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.socket.getsockname()[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives the connection a thread of its own that `close` can end."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._connections = {c: t for c, t in self._connections.items() if t.is_alive()}
            self._connections[request] = thread
            thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports a bug as usual; a client that went away is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Lets requests under way end for a moment, then closes everything; call it after `shutdown`."""
        self.server_close()
        for how in (socket.SHUT_RD, socket.SHUT_RDWR):
            with self._lock:
                threads = list(self._connections.values())
                for connection in self._connections:
                    _shut(connection, how)
            for thread in threads:
                thread.join(_PATIENCE_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _respond(self) -> None:
        if not _HOST_HEADER.fullmatch(self.headers.get("host", "")):
            self.close_connection = True
            self._send(failure(of_status(421)))
            return
        body = self._body()
        answer = self.server.handle(self._request(body)) if isinstance(body, bytes) else body
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815 - BaseHTTPRequestHandler's names

    def _body(self) -> bytes | Answer | None:
        """The request's body; an answer that refuses it; None when the client went away."""
        length = self.headers.get("content-length", "0" if self.command in ("GET", "DELETE") else "")
        if not re.fullmatch("[0-9]{1,15}", length) or "transfer-encoding" in self.headers:
            self.close_connection = True
            return failure(of_status(411))
        if int(length) > self.server.max_body_bytes:
            # a client that is still sending would not see the answer
            self._discard(min(int(length), _MAX_DISCARDED_BYTES))
            self.close_connection = True
            return failure(of_status(413))
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else None

    def _discard(self, size: int) -> None:
        while size > 0 and (chunk := self.rfile.read(min(size, 65536))):
            size -= len(chunk)

    def _request(self, body: bytes) -> Request:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, f"http://{headers['host']}{path}", path, query, headers, body)

    def _send(self, answer: Answer) -> None:
        body = b"" if answer.status in (204, 304) else answer.body
        headers = {
            "date": formatdate(self.server.clock(), usegmt=True),
            "content-type": answer.content_type,
            "content-length": str(len(body)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "x-current-api-version": contract.API_VERSION,
        }
        headers |= {name.lower(): value for name, value in answer.headers.items()}
        if self.close_connection:
            headers["connection"] = "close"
        self.send_response_only(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the sandbox writes its own line for every request."""


def _shut(connection: socket.socket, how: int) -> None:
    try:
        connection.shutdown(how)
    except OSError:
        return  # it is closed already
