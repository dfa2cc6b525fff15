"""X's receiving end in a process of its own, whose record of what it took is the judge of a trial with kills."""

import json
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.request import urlopen

BAD_EMAIL = "no-hash"
_LONGEST_DELAY_SECONDS = 0.003  # before and after it takes a request, so that deaths fall on both sides of it


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet
    taken: ClassVar[defaultdict[str, Counter[str]]] = defaultdict(Counter)  # by pixel
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        time.sleep(random.uniform(0, _LONGEST_DELAY_SECONDS))
        conversions = json.loads(body)["conversions"]
        bad = any(each["identifiers"][0].get("hashed_email") == BAD_EMAIL for each in conversions)
        if not bad:
            with self.lock:
                self.taken[self.path.rpartition("/")[2]].update(each["conversion_id"] for each in conversions)
        time.sleep(random.uniform(0, _LONGEST_DELAY_SECONDS))
        message = f"hashed_email ({BAD_EMAIL}) is not a valid SHA-256 hash"
        error = {"code": "INVALID_PARAMETER", "message": message, "parameter": "hashed_email"}
        success = {"data": {"conversions_processed": len(conversions)}}
        self._answer(*((400, {"errors": [error]}) if bad else (200, success)))

    def do_GET(self) -> None:
        with self.lock:
            self._answer(200, self.taken[self.path.rpartition("/")[2]])

    def _answer(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A sender that was killed is no error of this end."""


@contextmanager
def receiving() -> Iterator[str]:
    """The address of a receiving end, forked from this process before that has any thread."""
    server = _Server(("127.0.0.1", 0), _Handler)
    pid = os.fork()
    if pid == 0:
        server.serve_forever()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        server.server_close()


def taken(url: str, pixel: str) -> Counter[str]:
    """How often the receiving end took each conversion of a pixel."""
    with urlopen(f"{url}/{pixel}") as reply:
        return Counter(json.load(reply))
