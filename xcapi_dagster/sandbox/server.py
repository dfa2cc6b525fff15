"""The running sandbox: an X Ads API on 127.0.0.1, for the demo, the tests and anybody's dry run."""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from xcapi_dagster.sandbox.answers import Answer, Request
from xcapi_dagster.sandbox.api import Api, Behavior
from xcapi_dagster.sandbox.conversions import STRICT, Rules
from xcapi_dagster.sandbox.faults import Fault, from_json
from xcapi_dagster.sandbox.http_server import LoopbackServer
from xcapi_dagster.sandbox.limits import DEFAULT_LIMITS, Limits
from xcapi_dagster.sandbox.page import own_page
from xcapi_dagster.sandbox.record import HandledRequest, Received, Record
from xcapi_dagster.sandbox.world import DEMO_WORLD, World

MAX_BODY_BYTES = 5 * 1024 * 1024  # a guess; X's audience endpoint states 5,000,000


class Sandbox:
    """An X Ads API that answers while its `with` block runs, and tells what it received also afterwards.

    ``port`` 0 takes a free one. ``record`` is a file that survives the process and is continued; ``seed`` decides
    the debug ids (None: others every time). ``clock`` gives Unix seconds. ``log`` gets one line per request, which
    holds method, path, status and the number of conversions. Raises ValueError for a host other than 127.0.0.1 and
    localhost or an unusable record, OSError when the port is taken.
    """

    def __init__(
        self,
        world: World = DEMO_WORLD,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        rules: Rules = STRICT,
        limits: Limits = DEFAULT_LIMITS,
        record: Path | None = None,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
        log: Callable[[str], object] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._host = host
        self._port = port
        self._behavior = Behavior(world, rules, limits, secrets.randbits(32) if seed is None else seed)
        self._record_path = record
        self._record = Record()
        self._clock = clock
        self._log = log
        self._max_body_bytes = max_body_bytes
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._server = LoopbackServer((self._host, self._port), self._answer, self._clock, self._max_body_bytes)
        try:
            self._record = Record(self._record_path)
        except BaseException:
            self._server.server_close()
            raise
        self._port = self._server.port
        self._api = Api(self._behavior, self._record, self._clock, wait=self._closing.wait)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="sandbox", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.close()
        self._thread.join()
        self._record.close()

    @property
    def url(self) -> str:
        """What to set as the API's URL."""
        return f"http://{self._host}:{self._port}"

    @property
    def requests(self) -> list[HandledRequest]:
        """Every request to the API, answered or dropped."""
        return self._record.requests

    @property
    def received(self) -> list[Received]:
        """Every accepted conversion."""
        return self._record.received

    @property
    def deduplicated(self) -> int:
        """How many of the accepted conversions count: one event and conversion_id once within 48 hours."""
        return self._record.deduplicated

    def script(self, faults: Iterable[Fault | Mapping[str, Any]]) -> None:
        """Replaces the script of faults, each a `Fault` or its JSON form; an empty one ends them.

        Raises ValueError for what is no fault.
        """
        self._api.script.replace(
            [fault if isinstance(fault, Fault) else from_json([fault])[0] for fault in faults],
        )

    def _answer(self, request: Request) -> Answer | None:
        conversions = 0
        answer = own_page(request, self._record, self._api.script)
        if answer is None:
            answer, conversions = self._api.answer(request)
        if self._log is not None:
            status = "dropped" if answer is None else answer.status
            path = request.path.encode("unicode_escape").decode()
            self._log(f"{request.method} {path} {status} {conversions} conversions")
        return answer


def serve(
    host: str,
    port: int,
    *,
    world: World = DEMO_WORLD,
    record: Path | None = None,
    log: Callable[[str], object] | None = None,
    ready: Callable[[str], object],
    stop: threading.Event | None = None,
) -> None:
    """Runs a sandbox until ``stop`` is set or Ctrl-C; ``ready`` is told its URL. Raises what `Sandbox` raises."""
    try:
        with Sandbox(world, host=host, port=port, record=record, log=log) as sandbox:
            ready(sandbox.url)
            (stop or threading.Event()).wait()
    except KeyboardInterrupt:
        return
