"""The address on this machine to which X sends the user's browser back after a sign-in."""

import hmac
import queue
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from xcapi_dagster.ads_api.sign_in import VERIFIER
from xcapi_dagster.errors import AdsApiError, ConfigurationError

_HOST = "127.0.0.1"
_PATH = "/callback"
_ALLOWED = "The app was allowed. You can close this page."
_DENIED = "The app was not allowed. You can close this page."
_NOT_EXPECTED = "This is not the sign-in that is waited for."


class Callback:
    """Listens on 127.0.0.1 as long as its block runs. Raises ConfigurationError for a port that is in use.

    X hands the request token back together with the verifier. It is random, known to X and this process alone, and so
    proves that the browser comes from this very sign-in; whatever else calls is turned away and waited past.
    """

    def __init__(self, port: int) -> None:
        try:
            self._server = _Server((_HOST, port), _Handler)
        except OSError as error:
            raise ConfigurationError(f"port {port} cannot be used ({error.strerror}): give another --port") from None
        self.url = f"http://{_HOST}:{self._server.server_port}{_PATH}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="xcapi-callback", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def expect(self, request_token: str) -> None:
        """From now on take the verifier of this sign-in, and of no other."""
        self._server.expected = request_token

    def wait(self, timeout: float) -> str:
        """The verifier. Raises AdsApiError when the user does not allow the app, or ``timeout`` seconds have passed."""
        try:
            verifier = self._server.verifiers.get(timeout=timeout)
        except queue.Empty:
            raise AdsApiError(f"nobody allowed the app within {timeout:.0f} s: run `xcapi auth login` again") from None
        if verifier is None:
            raise AdsApiError("the user did not allow the app: nothing was stored")
        return verifier


class _Server(ThreadingHTTPServer):
    """Browsers open connections that they may not use, so each has a thread of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self.expected = ""
        self.verifiers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        super().__init__(*arguments)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds for a request line

    def do_GET(self) -> None:
        """Take the verifier from X's redirect, or turn the caller away."""
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items() if len(values) == 1}
        if address.path != _PATH or self.headers.get("host") != f"{_HOST}:{self.server.server_port}":
            self._tell(404, _NOT_EXPECTED)
        elif self._is_expected(query.get("denied", "")):
            self._tell(200, _DENIED)
            self.server.verifiers.put(None)
        elif VERIFIER.fullmatch(query.get("oauth_verifier", "")) and self._is_expected(query.get("oauth_token", "")):
            self._tell(200, _ALLOWED)
            self.server.verifiers.put(query["oauth_verifier"])
        else:
            self._tell(400, _NOT_EXPECTED)

    def _is_expected(self, token: str) -> bool:
        expected = self.server.expected
        return bool(expected) and hmac.compare_digest(expected.encode(), token.encode())

    def _tell(self, status: int, text: str) -> None:
        body = f"<!doctype html><title>xcapi</title><p>{text}</p>".encode()
        self.send_response_only(status)
        self.send_header("content-type", "text/html;charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.send_header("referrer-policy", "no-referrer")  # the address holds the verifier
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the request line holds the verifier."""
