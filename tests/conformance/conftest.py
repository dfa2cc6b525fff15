"""The numbered cases of the API's contract, a sandbox of X's examples, and our client against it or against a script.

`@pytest.mark.cases((number, evidence, *values), …)` makes one test of each case; the fixture `case` has its values. The
evidence is a word: `documented` by X, `verified` by computing it, `observed` by others, `required` of the client, or a
`guess`, which no page of X's confirms.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import requests_oauthlib

from xcapi_dagster.ads_api.account import AdsAccount
from xcapi_dagster.ads_api.auth import Credentials, OAuth1, PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.ads_api.connection import Connection
from xcapi_dagster.conversions.payload import Events
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.deliver import Delivery, Terms
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.outcomes import outcomes
from xcapi_dagster.delivery.standing import Policy, standings
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.sandbox import AccessToken, Account, Application, EventTag, Sandbox, World

ACCOUNT, PIXEL, EVENT = "18ce552mlaq", "oka17", "ol288"
NOW = 1_790_000_000.0  # 2026-09-21, in Unix seconds

# X's reference, "Web Event Tags"
TAG = EventTag(
    "o3bk1", "ny3od", "web event tag", "DOWNLOAD", click_window=7, view_through_window=7,
    last_tracked_at=datetime(2021, 5, 22, 17, 0, 4, tzinfo=UTC).timestamp(),
)  # fmt: skip
# The accounts, pixels, events and users of X's guide and reference; a second event and an owner of 18ce55gze09 beside.
WORLD = World(
    accounts=(
        Account(ACCOUNT, {PIXEL: frozenset({EVENT, "ol289"}), "o6dkt": frozenset({"o6dl3"})}),
        Account("18ce55gze09", {"o8z6j": frozenset({"o87ne"})}),
        Account("18ce54d4x5t", {}, event_tags=(TAG,)),
    ),
    applications=(
        Application("key", "key-secret", app_id="16489123"),
        Application("no-access", "no-access-secret", app_id="16489124", has_ads_access=False),
        Application("read-only", "read-only-secret", app_id="16489125", read_only=True),
        Application("conversions", "conversions-secret", app_id="16489126", conversions_only=True),
    ),
    access_tokens=(
        AccessToken("token", "token-secret", "key", user_id="2417045708"),
        AccessToken("owner", "owner-secret", "key", user_id="2417045709"),
        AccessToken("analyst", "analyst-secret", "key", user_id="999"),
        AccessToken("revoked", "revoked-secret", "key", user_id="2417045708", revoked=True),
        AccessToken("token", "token-secret", "no-access", user_id="2417045708"),
        AccessToken("token", "token-secret", "read-only", user_id="2417045708"),
        AccessToken("token", "token-secret", "conversions", user_id="2417045708"),
    ),
    roles={
        "2417045708": {
            ACCOUNT: frozenset({"ACCOUNT_ADMIN", "TWEET_COMPOSER"}),
            "18ce54d4x5t": frozenset({"AD_MANAGER"}),
        },
        "2417045709": {"18ce55gze09": frozenset({"AD_MANAGER"})},
        "999": {ACCOUNT: frozenset({"CAMPAIGN_ANALYST"})},
    },
    pixel_tokens={"token-of-oka17": PIXEL, "token-of-o8z6j": "o8z6j"},
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case of the mark, named after its number and evidence."""
    for mark in metafunc.definition.iter_markers("cases"):
        values = [more[0] if len(more) == 1 else tuple(more) for _, _, *more in mark.args]
        names = [f"{number}-{evidence}" for number, evidence, *_ in mark.args]
        metafunc.parametrize("case", values, ids=names, indirect=True)


@pytest.fixture(autouse=True)
def case(request: pytest.FixtureRequest) -> Any:
    """The values of this case: the one there is, else a tuple."""
    return getattr(request, "param", None)


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """The smallest conversion of X's reference, with any field changed; None takes a field away."""

    def changed(**fields: Any) -> dict[str, Any]:
        conversion = {
            "conversion_time": "2022-02-18T01:14:00.603Z",
            "event_id": EVENT,
            "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
        } | fields
        return {name: value for name, value in conversion.items() if value is not None}

    return changed


@pytest.fixture
def rows(row: Callable[..., dict[str, Any]]) -> Callable[..., list[dict[str, Any]]]:
    """So many good conversions with ids, and at the positions that are given as `at_3` others."""

    def made(count: int, **changed: dict[str, Any]) -> list[dict[str, Any]]:
        return [row(conversion_id=f"order-{n}", **changed.get(f"at_{n}", {})) for n in range(count)]

    return made


class Clock:
    """Unix seconds that stand still until somebody sleeps; then the ``hearts`` beat, as they do by real time."""

    def __init__(self) -> None:
        self.now = NOW
        self.naps: list[float] = []
        self.hearts: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.naps.append(seconds)
            self.now += seconds
            for beat in list(self.hearts):
                beat()


@pytest.fixture
def clock() -> Clock:
    """A clock at the same moment in every test."""
    return Clock()


@dataclass
class X:
    """A sandbox of X's examples, and raw requests to it, signed as X's user 2417045708 unless told otherwise."""

    sandbox: Sandbox
    clock: Clock

    @staticmethod
    def keys(token: str = "token", consumer: str = "key", **changed: str) -> dict[str, str]:
        """The four values of a sign-in, by the names of requests-oauthlib."""
        keys = {"client_key": consumer, "client_secret": f"{consumer}-secret"}
        return keys | {"resource_owner_key": token, "resource_owner_secret": f"{token}-secret"} | changed

    def sign(self, keys: Mapping[str, str] | None = None, **more: str) -> requests_oauthlib.OAuth1:
        """What signs one request, by the sandbox's clock."""
        return requests_oauthlib.OAuth1(**{"timestamp": str(int(self.clock())), **(keys or self.keys()), **more})

    def request(self, method: str, path: str, **request: Any) -> requests.Response:
        """The answer to any request."""
        request = {"auth": self.sign(), "timeout": 10, "allow_redirects": False} | request
        return requests.request(method, self.sandbox.url + path, **request)

    def send(self, *conversions: object, pixel: str = PIXEL, **request: Any) -> requests.Response:
        """The answer to these conversions, or to the document that is given as `json` or `data`."""
        if not request.keys() & {"json", "data"}:
            request["json"] = {"conversions": list(conversions)}
        headers = {"Content-Type": "application/json"} | request.pop("headers", {})
        return self.request("POST", f"/12/measurement/conversions/{pixel}", headers=headers, **request)


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., X]]:
    """Start a sandbox with other options than the strict ones."""
    with ExitStack() as stack:
        yield lambda world=WORLD, **options: X(
            stack.enter_context(Sandbox(world, **{"clock": clock, "seed": 1} | options)), clock
        )


@pytest.fixture
def x(start: Callable[..., X]) -> X:
    """A strict sandbox of X's examples."""
    return start()


def codes(answer: requests.Response) -> list[tuple[str, str | None, str]]:
    """Code, parameter and message of each error of an answer."""
    return [(str(e["code"]), e.get("parameter"), e["message"]) for e in answer.json()["errors"]]


@pytest.fixture
def errors_of() -> Callable[[requests.Response], list[tuple[str, str | None, str]]]:
    """Code, parameter and message of each error of an answer."""
    return codes


@dataclass
class Ran:
    """How a run ended: why it stopped, the state of each conversion, its reason and detail, and its requests."""

    halted: str | None
    state: list[str]
    reason_code: list[str | None]
    detail: list[str | None]
    posts: int

    @property
    def states(self) -> Counter[str]:
        """How many conversions are in each state."""
        return Counter(self.state)


@dataclass
class Bench:
    """Runs our whole delivery, each run as a process of its own would, against the API at ``url``."""

    url: str
    ledger_url: str
    clock: Clock
    credentials: Credentials = field(default_factory=lambda: OAuth1("key", "key-secret", "token", "token-secret"))
    pixel: str = PIXEL
    account: str = ACCOUNT
    limits: Limits = field(default_factory=lambda: Limits(events=60_000, requests=400))
    on_sleep: Callable[[], object] = lambda: None
    runs: int = 0

    def run(self, members: Sequence[dict[str, Any]], *, on_unknown: Any = "resend", **terms: Any) -> Ran:
        """Deliver the conversions and look up what became of them."""
        self.runs += 1
        posts: list[str] = []
        policy = Policy(on_unknown=on_unknown, pixel_also_fires=False)
        ledger = self._ledger(f"run-{self.runs}")
        heart = ledger._lease.prolong
        self.clock.hearts.append(heart)  # which beats from the first: another run may sleep at any time
        with ledger:

            def sleep(seconds: float) -> None:
                self.clock.sleep(seconds)
                self.on_sleep()

            def count(moment: str) -> None:
                posts.extend(["one"] if moment == "after_post" else [])

            client = AdsApiClient(
                self.url, "12", self.pixel, self.credentials, account_id=self.account, clock=self.clock
            )
            delivery = Delivery(
                ledger, client, Terms(policy, EVENT, senders=1, **terms), sleep=sleep, jitter=lambda: 0.5,
                failpoint=count,
            )  # fmt: skip
            chunk = self._chunk(ledger, members)
            delivery.deliver("2026-09-21", iter([chunk]))
            now = ledger.refresh()
            found = standings(ledger.memory, chunk.keys, chunk.fingerprints, chunk.times, policy, now)
            told = outcomes(ledger.memory, chunk.keys, found, ledger.run_id)
            self.clock.hearts.remove(heart)
        return Ran(delivery.halted, told.state.tolist(), told.reason_code.tolist(), told.detail.tolist(), len(posts))

    def _ledger(self, run_id: str) -> Ledger:
        return Ledger(
            Database(self.ledger_url, self.clock), account=f"loopback|{self.account}", scope=f"loopback|{self.pixel}",
            run_id=run_id, limits=self.limits, steady=self.clock,
        )  # fmt: skip

    def _chunk(self, ledger: Ledger, members: Sequence[dict[str, Any]]) -> Chunk:
        return Chunk(
            keys=ledger.keys([m["event_id"] for m in members], [m["conversion_id"] for m in members]),
            fingerprints=np.full(len(members), 1 << 56, np.uint64),
            times=np.full(len(members), int((NOW - 3600) * 1000), np.int64),
            render=lambda positions: _events([members[int(position)] for position in positions]),
        )


def _events(members: Sequence[dict[str, Any]]) -> Events:
    texts = [json.dumps(member).encode() + b"," for member in members]
    return Events(memoryview(b"".join(texts)), np.cumsum([0, *map(len, texts)], dtype=np.int64))


@pytest.fixture
def bench(clock: Clock, tmp_path: Path) -> Callable[..., Bench]:
    """Our delivery to the API at a URL, with a ledger that is the test's."""

    def made(url: str, **options: Any) -> Bench:
        return Bench(url, f"sqlite:///{tmp_path}/ledger/ledger.db", clock, **options)

    return made


@pytest.fixture
def ads_account(clock: Clock) -> Callable[..., AdsAccount]:
    """Our client's ads account at a URL, signed in as X's user 2417045708 unless told otherwise."""

    def made(url: str, account: str = "18ce54d4x5t", token: str = "token", consumer: str = "key") -> AdsAccount:
        keys = OAuth1(consumer, f"{consumer}-secret", token, f"{token}-secret")
        connection = Connection(url, keys, clock=clock)
        return AdsAccount(connection, "12", account, sleep=clock.sleep)

    return made


@pytest.fixture
def pixel_token() -> PixelToken:
    """The token of X's pixel oka17 in the sandbox."""
    return PixelToken("token-of-oka17")


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Scripted(ThreadingHTTPServer):
    """Gives the n-th of some answers (status, body, headers) to the n-th request, and the last one to all after."""

    daemon_threads = True

    def __init__(self, answers: Sequence[tuple[int, Any, Mapping[str, str]]]) -> None:
        self.answers = answers
        self.seen: list[Seen] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status, content, headers = self.server.answers[min(len(self.server.seen), len(self.server.answers)) - 1]
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response_only(status)
        for name, value in {"content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _respond  # noqa: N815 - BaseHTTPRequestHandler's names

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """A server that answers as scripted and keeps what arrived: each answer is a status, a body and headers."""
    with ExitStack() as stack:

        def made(*answers: tuple[int, Any, Mapping[str, str]]) -> Scripted:
            server = Scripted(answers)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield made


@pytest.fixture
def accepted() -> Callable[..., tuple[int, dict[str, Any], dict[str, str]]]:
    """X's answer to so many conversions that it took, with any headers."""

    def made(processed: int = 1, account: str = ACCOUNT, **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        data = {"conversions_processed": processed, "debug_id": "ff02e052-36e4-47d6-bdf0-6d8986446562"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return 200, {"request": {"params": {"account_id": account}}, "data": data}, named

    return made


@pytest.fixture
def refused() -> Callable[..., tuple[int, dict[str, Any], dict[str, str]]]:
    """X's answer with one error."""

    def made(status: int, code: Any, message: str, parameter: str | None = None) -> tuple[int, dict[str, Any], Any]:
        error = {"code": code, "message": message} | ({} if parameter is None else {"parameter": parameter})
        return status, {"errors": [error], "request": {"params": {"account_id": ACCOUNT}}}, {}

    return made
