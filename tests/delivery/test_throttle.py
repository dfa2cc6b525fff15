"""The shared limit, judged by a simulation that counts requests as a server would, on a clock of its own."""

import heapq
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.keys import KEY, Keys
from xcapi_dagster.delivery.ledger import Claim, Ledger, Wait
from xcapi_dagster.delivery.records import Settlement
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.sandbox import Sandbox

OpenLedger = Callable[..., Ledger]


class Clock(Protocol):
    """Unix seconds that a test sets."""

    now: float


Two = Callable[[Limits], tuple[Ledger, Ledger]]

NOT_PROCESSED = Settlement("not_processed")
_numbers = itertools.count(1)


def new_keys(count: int) -> Keys:
    """So many keys that nobody had before."""
    keys = np.zeros(count, KEY)
    keys["high"] = [next(_numbers) for _ in range(count)]
    return keys


@dataclass(frozen=True)
class Exchange:
    """How one request goes: its events, how long X takes, and when in that time (0 to 1) X counts it."""

    events: int
    seconds: float
    counted: float


@dataclass(frozen=True)
class Counted:
    """What the server saw."""

    at: float
    events: int


def try_to_claim(ledger: Ledger, size: int, share: float = 1.0) -> Claim | Wait:
    """Ask for leave to send so many new conversions."""
    keys = new_keys(size)
    nothing = np.zeros(size, np.uint32)
    return ledger.claim("p", keys, nothing.astype(np.uint64), nothing, parent=None, share=share)


def settle(ledger: Ledger, claim: Claim, settlement: Settlement = NOT_PROCESSED) -> None:
    """Record the answer to a claimed request."""
    size = claim.request.size
    ledger.settle(claim.request, new_keys(size), np.zeros(size, np.uint64), settlement)


def simulate(ledgers: Sequence[Ledger], clock: "MovingClock", exchanges: Iterator[Exchange]) -> list[Counted]:
    """Each ledger sends one request after the other until there is none left; what the server counted, in order."""
    counted: list[Counted] = []
    order = itertools.count()
    moments: list[tuple[float, int, Callable[[], None]]] = []
    busy = set(ledgers)

    def later(seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(moments, (clock.now + seconds, next(order), action))

    def send(ledger: Ledger, exchange: Exchange | None) -> None:
        if exchange is None:
            busy.remove(ledger)
            return
        leave = try_to_claim(ledger, exchange.events)
        if isinstance(leave, Wait):
            later(leave.seconds, lambda: send(ledger, exchange))
            return
        counted.append(Counted(clock.now + exchange.counted * exchange.seconds, exchange.events))
        later(exchange.seconds, lambda: answered(ledger, leave))

    def answered(ledger: Ledger, claim: Claim) -> None:
        settle(ledger, claim)
        send(ledger, next(exchanges, None))

    def beat() -> None:
        for ledger in busy:
            ledger._lease.prolong()
        later(200, beat)

    beat()
    for ledger in ledgers:
        send(ledger, next(exchanges, None))
    while busy:
        clock.now, _, action = heapq.heappop(moments)
        action()
    return sorted(counted, key=lambda each: each.at)


def most_in_any(window: float, counted: Sequence[Counted], amount: Callable[[Counted], int]) -> int:
    """The largest sum within any half-open window: one that ends with a request is the largest there is."""
    ends = [each.at for each in counted]
    return max(
        sum(amount(other) for other in counted if end - window < other.at <= end)  # not cheap, and plainly right
        for end in ends
    )


class MovingClock:
    """Unix seconds, as the simulation sets them."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.25

    def __call__(self) -> float:
        return self.now


@contextmanager
def four_runs(limits: Limits) -> Iterator[tuple[list[Ledger], MovingClock]]:
    """Four runs that share a ledger and these limits, each with a connection of its own, and their clock."""
    clock = MovingClock()
    with TemporaryDirectory() as folder, ExitStack() as stack:
        url = f"sqlite:///{Path(folder).resolve()}/ledger.db"
        ledgers = [
            Ledger(
                Database(url, clock), account="a", scope="s", run_id=f"run-{each}", limits=limits, steady=lambda: 0.0
            )
            for each in range(4)
        ]
        yield [stack.enter_context(ledger) for ledger in ledgers], clock


@given(
    st.lists(
        st.builds(
            Exchange,
            events=st.integers(1, 500),
            seconds=st.floats(0, 60),
            counted=st.floats(0, 1),
        ),
        min_size=8,
        max_size=40,
    )
)
@settings(max_examples=15, deadline=None)
def test_no_window_holds_more_than_the_limits(exchanges: list[Exchange]) -> None:
    """Whenever within its 0 to 60 s X counts a request, no 90 s hold over 2,000 events and no 20 s over 5 requests."""
    limits = Limits(events=2_000, requests=5, window=90.0, request_window=20.0)
    with four_runs(limits) as (ledgers, clock):
        counted = simulate(ledgers, clock, iter(exchanges))
    assert len(counted) == len(exchanges)
    assert most_in_any(90.0, counted, lambda each: each.events) <= 2_000
    assert most_in_any(20.0, counted, lambda each: 1) <= 5


@pytest.mark.parametrize(
    ("limits", "size", "per_window", "window"),
    [
        (Limits(events=10_000, requests=10_000, window=100.0, request_window=10.0), 500, 20, 100.0),
        (Limits(events=10**6, requests=25, window=100.0, request_window=10.0), 1, 25, 10.0),
    ],
    ids=["events", "requests"],
)
def test_at_least_95_percent_of_a_limit_is_used(limits: Limits, size: int, per_window: int, window: float) -> None:
    """When answers take 50 ms, six windows' worth of requests need hardly longer than the five that must pass."""
    with four_runs(limits) as (ledgers, clock):
        counted = simulate(ledgers, clock, itertools.repeat(Exchange(size, 0.05, 1.0), 6 * per_window))
    took = counted[-1].at - counted[0].at
    assert 5 * window <= took + 0.05 * per_window
    assert 5 * window / took >= 0.95


@pytest.fixture
def two(ledger_url: str, open_ledger: OpenLedger) -> Callable[[Limits], tuple[Ledger, Ledger]]:
    """Two runs that share a ledger and limits."""
    return lambda limits: (
        open_ledger(ledger_url, "run-1", limits=limits),
        open_ledger(ledger_url, "run-2", limits=limits),
    )


def test_requests_in_flight_count_until_they_are_settled(two: Two) -> None:
    """Nobody gets leave for what others have in flight, and settling leaves it counted for a window."""
    one, other = two(Limits(events=1_000, requests=10))
    claim = try_to_claim(one, 600)
    assert isinstance(try_to_claim(other, 500), Wait)
    assert isinstance(try_to_claim(other, 400), Claim)
    settle(one, claim)
    assert isinstance(leave := try_to_claim(other, 500), Wait)
    assert 890 < leave.seconds <= 903


def test_other_accounts_have_limits_of_their_own(ledger_url: str, open_ledger: OpenLedger) -> None:
    """What one account used up is nothing to another."""
    limits = Limits(events=500, requests=10)
    one = open_ledger(ledger_url, limits=limits)
    other = open_ledger(ledger_url, limits=limits, account="another", scope="another")
    assert isinstance(try_to_claim(one, 500), Claim)
    assert isinstance(try_to_claim(one, 1), Wait)
    assert isinstance(try_to_claim(other, 500), Claim)


def test_a_block_stops_all_runs_until_it_ends(sqlite_url: str, open_ledger: OpenLedger, clock: Clock) -> None:
    """After one run was told to wait, each waits for the rest of that time; a shorter word does not cut it short."""
    one, other = open_ledger(sqlite_url, "run-1"), open_ledger(sqlite_url, "run-2")
    first, second = try_to_claim(one, 1), try_to_claim(one, 1)
    settle(one, first, Settlement("not_processed", blocked_for=100.0))
    clock.now += 10
    settle(one, second, Settlement("not_processed", blocked_for=5.0))
    assert try_to_claim(other, 1) == Wait(90.0)
    clock.now += 90
    assert isinstance(try_to_claim(other, 1), Claim)


def test_what_x_says_is_left_lowers_the_limit_until_its_reset(two: Two) -> None:
    """With 2 requests left, 2 get leave and the third waits for the reset."""
    one, other = two(Limits(events=60_000, requests=400))
    settle(one, try_to_claim(one, 1), Settlement("not_processed", requests_left=2, resets_in=50.0))
    assert isinstance(try_to_claim(one, 1), Claim)
    assert isinstance(try_to_claim(other, 1), Claim)
    assert isinstance(leave := try_to_claim(other, 1), Wait)
    assert 45 < leave.seconds <= 50


def test_requests_in_flight_are_taken_as_not_counted_by_x(two: Two) -> None:
    """Of 2 requests left one may be the other run's that is on its way."""
    one, other = two(Limits(events=60_000, requests=400))
    claim = try_to_claim(one, 1)
    try_to_claim(other, 1)
    settle(one, claim, Settlement("not_processed", requests_left=2, resets_in=50.0))
    assert isinstance(try_to_claim(one, 1), Claim)
    assert isinstance(try_to_claim(one, 1), Wait)


@pytest.mark.parametrize("resets_in", [None, -3.0, 0.0, 1_201.0, 1.7e12])
def test_a_reset_that_makes_no_sense_is_ignored(resets_in: float | None, two: Two) -> None:
    """Nobody waits for a reset that is past, unknown, or further away than X's windows are long."""
    one, other = two(Limits(events=60_000, requests=400))
    settle(one, try_to_claim(one, 1), Settlement("not_processed", requests_left=0, resets_in=resets_in))
    assert isinstance(try_to_claim(other, 1), Claim)


def test_none_left_ends_with_the_reset(sqlite_url: str, open_ledger: OpenLedger, clock: Clock) -> None:
    """After the reset, an old count of none says nothing any more."""
    ledger = open_ledger(sqlite_url)
    settle(ledger, try_to_claim(ledger, 1), Settlement("not_processed", requests_left=0, resets_in=50.0))
    assert try_to_claim(ledger, 1) == Wait(50.0)
    clock.now += 50
    assert isinstance(try_to_claim(ledger, 1), Claim)


@pytest.mark.parametrize(
    ("limits", "settlement"),
    [
        (Limits(events=60_000, requests=400), Settlement("not_processed", blocked_for=100.0)),
        (Limits(events=60_000, requests=400), Settlement("not_processed", requests_left=0, resets_in=50.0)),
        (Limits(events=1, requests=400), NOT_PROCESSED),
        (Limits(events=60_000, requests=1), NOT_PROCESSED),
    ],
    ids=["blocked", "none left", "events", "requests"],
)
def test_a_clock_that_was_ahead_blocks_nobody_for_long(
    limits: Limits, settlement: Settlement, sqlite_url: str, open_ledger: OpenLedger, clock: Clock
) -> None:
    """Set right, what was written by it is of a time to come: it is over at once, and a new block counts again."""
    clock.now += 30 * 24 * 3600
    ledger = open_ledger(sqlite_url, limits=limits)
    settle(ledger, try_to_claim(ledger, 1), settlement)
    assert isinstance(try_to_claim(ledger, 1), Wait)
    clock.now -= 30 * 24 * 3600
    ledger = open_ledger(sqlite_url, "later", limits=limits)
    claim = try_to_claim(ledger, 1)
    assert isinstance(claim, Claim)
    settle(ledger, claim, Settlement("not_processed", blocked_for=100.0))
    assert isinstance(leave := try_to_claim(ledger, 1), Wait)
    assert leave.seconds >= 100.0


def test_history_leaves_a_share_to_others(two: Two) -> None:
    """With a share of 0.8, leave is given up to 80 % of either limit; the rest is for runs without it."""
    history, today = two(Limits(events=1_000, requests=5))
    assert isinstance(try_to_claim(history, 500, share=0.8), Claim)
    assert isinstance(try_to_claim(history, 301, share=0.8), Wait)
    assert isinstance(try_to_claim(history, 300, share=0.8), Claim)
    assert isinstance(try_to_claim(today, 100), Claim)
    assert isinstance(try_to_claim(today, 1), Claim)
    assert isinstance(try_to_claim(history, 1, share=1.0), Claim)
    assert isinstance(try_to_claim(today, 1), Wait)


def test_no_batch_is_larger_than_can_ever_be_sent(two: Two) -> None:
    """The largest batch is X's 500, or less where the share of the limit is less."""
    ledger, _ = two(Limits(events=400, requests=5))
    assert ledger.largest_batch(0.8) == 320
    assert isinstance(try_to_claim(ledger, 320, share=0.8), Claim)
    large, _ = two(Limits(events=60_000, requests=400))
    assert large.largest_batch(0.8) == 500


def test_the_dead_do_not_use_up_the_limit(
    sqlite_url: str, open_ledger: OpenLedger, clock: Clock, query: Callable[..., list[Any]]
) -> None:
    """What a dead run had in flight counts for a window after that is noticed, and then no more."""
    limits = Limits(events=500, requests=400)
    dead, alive = open_ledger(sqlite_url, "dead", limits=limits), open_ledger(sqlite_url, "alive", limits=limits)
    assert isinstance(try_to_claim(dead, 500), Claim)
    query(sqlite_url, "UPDATE owner SET lease_until = 0 WHERE run_id = 'dead'")
    assert isinstance(try_to_claim(alive, 500), Wait)
    for _ in range(5):
        clock.now += 200
        alive._lease.prolong()
    assert isinstance(try_to_claim(alive, 500), Claim)


_SEND = """
import sys, time
import numpy as np
from xcapi_dagster.ads_api.auth import PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.conversions.payload import Events
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.deliver import Delivery, Terms
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.sandbox import DEMO_ACCOUNT_ID, DEMO_EVENT_ID, DEMO_PIXEL_ID, DEMO_PIXEL_TOKEN

url, api_url, name = sys.argv[1:]
ids = [f"{name}-{number}" for number in range(60)]
texts = [
    b'{"conversion_time":"2026-11-20T10:00:00.000Z","event_id":"%s","identifiers":[{"twclid":"c"}],"conversion_id":"%s"},'
    % (DEMO_EVENT_ID.encode(), each.encode())
    for each in ids
]

def render(positions):
    some = [texts[position] for position in positions]
    return Events(memoryview(b"".join(some)), np.cumsum([0, *map(len, some)], dtype=np.int64))

limits = Limits(events=40, requests=6, window=1.5, request_window=0.5)
ledger = Ledger(Database(url), account="loopback|a", scope="loopback|p", run_id=name, limits=limits)
client = AdsApiClient(api_url, "12", DEMO_PIXEL_ID, PixelToken(DEMO_PIXEL_TOKEN), account_id=DEMO_ACCOUNT_ID)
with ledger:
    delivery = Delivery(ledger, client, Terms(Policy("resend", False), DEMO_EVENT_ID, senders=2))
    for start in range(0, 60, 10):
        some = np.arange(start, start + 10)
        chunk = Chunk(
            ledger.keys([DEMO_EVENT_ID] * 10, [ids[position] for position in some]),
            np.full(10, 1 << 56, np.uint64),
            np.full(10, int(time.time() * 1000)),
            lambda positions, some=some: render(some[positions]),
        )
        delivery.deliver("p", [chunk])
    assert delivery.halted is None, delivery.halted
"""


@pytest.mark.slow
def test_four_processes_stay_within_the_limits_as_the_server_sees_them(ledger_url: str) -> None:
    """240 conversions of four real processes: whichever window the server looks at, neither limit is exceeded."""
    with Sandbox() as sandbox:
        command = [sys.executable, "-W", "ignore", "-c", _SEND, ledger_url, sandbox.url]
        processes = [subprocess.Popen([*command, f"run-{n}"]) for n in range(4)]
        assert [process.wait(timeout=300) for process in processes] == [0, 0, 0, 0]
        counted = [Counted(each.received_at, each.conversions) for each in sandbox.requests]
    assert sum(each.events for each in counted) == 240
    assert most_in_any(1.5, counted, lambda each: each.events) <= 40
    assert most_in_any(0.5, counted, lambda _: 1) <= 6
