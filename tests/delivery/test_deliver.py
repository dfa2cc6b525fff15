"""Deliveries over HTTP to the sandbox, whose own record of what arrived is the judge."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol
from weakref import ReferenceType, ref

import numpy as np
import pytest

from tests.ports import reserved_port
from xcapi_dagster.ads_api.auth import OAuth1, PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.deliver import Delivery, Terms
from xcapi_dagster.delivery.doubt import Resolution, doubts, resolve
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.outcomes import Outcomes, outcomes
from xcapi_dagster.delivery.standing import Policy, standings
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.errors import LedgerError
from xcapi_dagster.sandbox import (
    DEMO_ACCESS_TOKEN,
    DEMO_ACCESS_TOKEN_SECRET,
    DEMO_ACCOUNT_ID,
    DEMO_CONSUMER_KEY,
    DEMO_CONSUMER_SECRET,
    DEMO_EVENT_ID,
    DEMO_PIXEL_ID,
    DEMO_PIXEL_TOKEN,
    DEMO_SIGN_UP_EVENT_ID,
    Do,
    Fault,
    Match,
    Rules,
    Sandbox,
    one_pixel_world,
)
from xcapi_dagster.sandbox import Limits as XLimits

RESEND = Policy(on_unknown="resend", pixel_also_fires=False)
HOLD = Policy(on_unknown="hold", pixel_also_fires=False)
LIMITS = Limits(events=60_000, requests=400)
HOUR = 3600.0
BAD_EMAIL = {"identifiers": [{"hashed_email": "no-hash"}]}

Members = list[dict[str, Any]]
Event = Callable[..., dict[str, Any]]


class Clock(Protocol):
    """Unix seconds that a test sets, and those that were slept."""

    now: float
    naps: list[float]

    def __call__(self) -> float:
        """Now."""

    def sleep(self, seconds: float) -> None:
        """Let so many pass."""


@dataclass
class Ran:
    """How a run ended: why it stopped, what the files would say, and how many requests X saw of it."""

    halted: str | None
    outcomes: Outcomes
    posts: int

    @property
    def states(self) -> Counter[str]:
        """How many conversions are in each state."""
        return Counter(self.outcomes.state.tolist())


@dataclass
class Bench:
    """Runs one delivery after the other, each as a process of its own would, against one sandbox."""

    url: str
    sandbox: Sandbox
    clock: Clock
    chunk: Callable[..., Chunk]
    limits: Limits
    token: PixelToken | OAuth1 = field(default_factory=lambda: PixelToken(DEMO_PIXEL_TOKEN))
    api_url: str | None = None
    heart_beats: bool = True
    one_sleeps: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self,
        members: Members,
        *,
        run_id: str = "run-1",
        version: int = 1,
        age_hours: float = 1.0,
        default_event_id: str = DEMO_EVENT_ID,
        policy: Policy = RESEND,
        senders: int = 1,
        failpoint: Callable[[str], None] = lambda _: None,
        chunks_of: int = 10_000,
        **terms: Any,
    ) -> Ran:
        """Deliver the conversions and look up what became of them."""
        before = len(self.sandbox.requests)
        with self.ledger(run_id) as ledger:
            terms_of_run = Terms(policy=policy, default_event_id=default_event_id, senders=senders, **terms)
            delivery = Delivery(
                ledger,
                self.client(),
                terms_of_run,
                sleep=lambda seconds: self.sleep(ledger, seconds),
                jitter=lambda: 0.5,
                failpoint=failpoint,
            )
            made = [
                self.chunk(ledger, members[start : start + chunks_of], version=version, age_hours=age_hours)
                for start in range(0, len(members), chunks_of)
            ]
            delivery.deliver("2026-09-21", iter(made))
            told = self.told(ledger, members, version=version, age_hours=age_hours, policy=policy)
        return Ran(delivery.halted, told, len(self.sandbox.requests) - before)

    def sleep(self, ledger: Ledger, seconds: float) -> None:
        """Let time pass, and the heart beat as it does every 15 s."""
        with self.one_sleeps:  # of several senders, as there is one heart
            self.clock.sleep(seconds)
            if self.heart_beats:
                ledger._lease.prolong()

    def told(
        self, ledger: Ledger, members: Members, *, version: int = 1, age_hours: float = 1.0, policy: Policy = RESEND
    ) -> Outcomes:
        """What the ledger says of the conversions."""
        now = ledger.refresh()
        known = self.chunk(ledger, members, version=version, age_hours=age_hours)
        found = standings(ledger.memory, known.keys, known.fingerprints, known.times, policy, now)
        return outcomes(ledger.memory, known.keys, found, ledger.run_id)

    def ledger(self, run_id: str) -> Ledger:
        """The ledger, on a connection of its own."""
        return Ledger(
            Database(self.url, self.clock),
            account=f"loopback|{DEMO_ACCOUNT_ID}",
            scope=f"loopback|{DEMO_PIXEL_ID}",
            run_id=run_id,
            limits=self.limits,
            steady=self.clock,
        )

    def client(self) -> AdsApiClient:
        """The real client."""
        return AdsApiClient(
            self.api_url or self.sandbox.url,
            "12",
            DEMO_PIXEL_ID,
            self.token,
            account_id=DEMO_ACCOUNT_ID,
            clock=self.clock,
        )

    @property
    def arrived(self) -> Counter[str]:
        """How often X accepted each conversion id."""
        return Counter(str(received.conversion["conversion_id"]) for received in self.sandbox.received)


Start = Callable[..., Bench]


@pytest.fixture
def start(clock: Clock, chunk: Callable[..., Chunk], sqlite_url: str) -> Iterator[Start]:
    """Start a sandbox with these options, on the test's clock, and a bench beside it."""
    with ExitStack() as stack:

        def started(url: str = sqlite_url, *, our_limits: Limits = LIMITS, **options: Any) -> Bench:
            sandbox = stack.enter_context(Sandbox(**{"clock": clock} | options))
            return Bench(url, sandbox, clock, chunk, our_limits)

        yield started


@pytest.fixture
def orders(event: Event) -> Callable[..., Members]:
    """So many good purchases, and at some positions others."""

    def made(count: int, **changed: dict[str, Any]) -> Members:
        return [event(f"order-{n}", **changed.get(f"at_{n}", {})) for n in range(count)]

    return made


Orders = Callable[..., Members]


def ids(members: Sequence[dict[str, Any]]) -> list[str]:
    """The conversion ids."""
    return [member["conversion_id"] for member in members]


def test_each_is_accepted_once_and_again_nothing_is_sent(ledger_url: str, start: Start, orders: Orders) -> None:
    """1,200 conversions are three requests; another run makes none and says the same, but whose they are."""
    bench, members = start(ledger_url), orders(1_200)
    first = bench.run(members)
    assert (first.halted, first.states, first.posts) == (None, {"accepted": 1_200}, 3)
    assert bench.arrived == Counter(ids(members))
    assert [request.conversions for request in bench.sandbox.requests] == [500, 500, 200]
    again = bench.run(members, run_id="run-2")
    assert (again.halted, again.states, again.posts) == (None, {"accepted": 1_200}, 0)
    assert first.outcomes.by_this_run.all()
    assert not again.outcomes.by_this_run.any()
    for mine, theirs in zip(first.outcomes[:-1], again.outcomes[:-1], strict=True):
        assert mine.tolist() == theirs.tolist()


def test_late_orders_are_all_that_a_rerun_sends(start: Start, orders: Orders) -> None:
    """A partition that grew sends what is new."""
    bench, members = start(), orders(30)
    bench.run(members[:10] + members[15:25])
    again = bench.run(members, run_id="run-2")
    assert (again.posts, again.states) == (1, {"accepted": 30})
    assert bench.arrived == Counter(ids(members))


def test_it_is_told_before_anything_of_a_chunk_is_sent(start: Start, orders: Orders) -> None:
    """Of chunks of which something may be, alone."""
    bench, members = start(), orders(30)
    bench.run(members[10:20])
    told: list[int] = []
    with bench.ledger("run-2") as ledger:
        delivery = Delivery(ledger, bench.client(), Terms(RESEND, DEMO_EVENT_ID, senders=1))
        chunks = [bench.chunk(ledger, members[first : first + 10]) for first in (0, 10, 20)]
        for each in chunks:
            delivery.deliver("2026-09-21", [each], before_sending=lambda: told.append(len(bench.sandbox.requests)))
    assert told == [1, 2]


def test_several_senders_and_chunks_send_each_once(ledger_url: str, start: Start, orders: Orders) -> None:
    """Four threads, chunks of 700: every conversion arrives once."""
    bench, members = start(ledger_url), orders(5_000)
    ran = bench.run(members, senders=4, chunks_of=700)
    assert (ran.halted, ran.states, ran.posts) == (None, {"accepted": 5_000}, 7 * 2 + 1)
    assert bench.arrived == Counter(ids(members))


def test_a_conversion_twice_in_a_partition_is_sent_once(start: Start, orders: Orders) -> None:
    """Even if two chunks hold the same conversion, the ledger lets one of them through."""
    bench, members = start(), orders(40)
    ran = bench.run(members + members[:20], senders=4, chunks_of=10)
    assert bench.arrived == Counter(ids(members))
    assert ran.states == {"accepted": 60}


@pytest.mark.parametrize("positions", [[250], [0, 499], [7, 8, 300]])
def test_echoed_rows_cost_two_posts(start: Start, orders: Orders, positions: list[int]) -> None:
    """The bad rows are rejected by their values, and the others arrive with the second request."""
    bench = start()
    members = orders(500, **{f"at_{position}": BAD_EMAIL for position in positions})
    ran = bench.run(members)
    assert (ran.posts, ran.halted) == (2, None)
    assert np.flatnonzero(ran.outcomes.state == "rejected").tolist() == positions
    assert set(ran.outcomes.reason_code[positions]) == {"api_hashed_email"}
    assert set(ran.outcomes.isolated_by[positions]) == {"echoed_value"}
    assert bench.arrived == Counter(ids(members)) - Counter(f"order-{position}" for position in positions)
    assert bench.run(members, run_id="run-2").posts == 0


@pytest.mark.parametrize(("positions", "most"), [([0], 19), ([321], 19), ([499], 19), ([17, 400], 35)])
def test_rows_without_an_echo_are_found_by_halving(
    start: Start, orders: Orders, positions: list[int], most: int
) -> None:
    """Within the documented number of requests, and no good row is rejected."""
    bench = start(rules=Rules(echo_values=False))
    members = orders(500, **{f"at_{position}": BAD_EMAIL for position in positions})
    ran = bench.run(members)
    assert ran.posts <= most
    assert ran.halted is None
    assert np.flatnonzero(ran.outcomes.state == "rejected").tolist() == positions
    assert bench.arrived == Counter(ids(members)) - Counter(f"order-{position}" for position in positions)
    assert bench.run(members, run_id="run-2").posts == 0


def test_doubled_and_merged_messages_confuse_nothing(start: Start, orders: Orders) -> None:
    """Two errors for one row, and one message for three rows."""
    bench = start(rules=Rules(merge_errors=True))
    bad = {"event_id": "nosuch", **BAD_EMAIL}
    members = orders(100, at_3=bad, at_4=bad, at_50=BAD_EMAIL)
    ran = bench.run(members)
    assert ran.posts == 2
    assert np.flatnonzero(ran.outcomes.state == "rejected").tolist() == [3, 4, 50]
    assert sum(bench.arrived.values()) == 97


def test_more_bad_rows_than_the_cap_are_found_by_later_runs(start: Start, orders: Orders) -> None:
    """Eight rows without an echo: 40 requests at most, the rest waits, and runs go on until all is settled."""
    bench = start(rules=Rules(echo_values=False))
    positions = [5, 60, 130, 200, 270, 340, 410, 480]
    members = orders(500, **{f"at_{position}": BAD_EMAIL for position in positions})
    ran = bench.run(members)
    assert ran.posts <= 40
    assert ran.states["pending"] > 0
    assert set(ran.outcomes.reason_code[ran.outcomes.state == "pending"]) == {"api_group_held"}
    for number in range(2, 9):
        if not ran.states["pending"]:
            break
        ran = bench.run(members, run_id=f"run-{number}")
    assert ran.states == {"accepted": 492, "rejected": 8}
    assert np.flatnonzero(ran.outcomes.state == "rejected").tolist() == positions
    assert bench.arrived == Counter(ids(members)) - Counter(f"order-{position}" for position in positions)


def test_an_event_of_rows_that_x_refuses_costs_two_posts(start: Start, orders: Orders) -> None:
    """All its rows are rejected together; those of other events arrive."""
    bench = start()
    bad = {f"at_{n}": {"event_id": "nosuch"} for n in range(0, 90, 3)}
    members = orders(500, **bad, at_1={"event_id": DEMO_SIGN_UP_EVENT_ID})
    ran = bench.run(members)
    assert (ran.posts, ran.halted) == (2, None)
    assert ran.states == {"accepted": 470, "rejected": 30}
    assert set(ran.outcomes.reason_code[ran.outcomes.state == "rejected"]) == {"api_event_id"}


@pytest.mark.parametrize("echo_values", [True, False])
def test_a_refused_default_event_halts_and_rejects_nothing(
    start: Start,
    orders: Orders,
    echo_values: bool,  # noqa: FBT001
) -> None:
    """With four senders at most four requests are spent; with the right event all arrive."""
    bench = start(
        world=one_pixel_world(DEMO_ACCOUNT_ID, DEMO_PIXEL_ID, ("oright1",)), rules=Rules(echo_values=echo_values)
    )
    ran = bench.run(orders(5_000), senders=4)
    assert "X_ADS_EVENT_ID" in str(ran.halted)
    assert 1 <= ran.posts <= 4
    assert ran.states == {"pending": 5_000}
    corrected = [member | {"event_id": "oright1"} for member in orders(5_000)]
    assert bench.run(corrected, run_id="run-2", default_event_id="oright1").states == {"accepted": 5_000}


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404])
def test_what_is_not_about_rows_halts(start: Start, orders: Orders, status: int) -> None:
    """No row is rejected, nothing is in doubt, and each sender spends one request at most."""
    bench, members = start(), orders(5_000)
    bench.sandbox.script([Fault(Match(next=99), Do(status=status, headers={"location": bench.sandbox.url}))])
    ran = bench.run(members, senders=4)
    assert f"({status})" in str(ran.halted)
    assert 1 <= ran.posts <= 4
    assert ran.states == {"pending": 5_000}
    bench.sandbox.script([])
    assert bench.run(members, run_id="run-2").states == {"accepted": 5_000}
    assert bench.arrived == Counter(ids(members))


def test_wrong_credentials_halt(start: Start, orders: Orders) -> None:
    """The sandbox's own 401."""
    bench = start()
    bench.token = PixelToken("not-the-token")
    ran = bench.run(orders(10))
    assert "X_ADS_" in str(ran.halted)
    assert (ran.posts, ran.states) == (1, {"pending": 10})


def test_after_a_halt_nothing_more_is_sent(start: Start, orders: Orders, clock: Clock) -> None:
    """The next partition of the same run is left alone."""
    bench, members = start(), orders(10)
    bench.sandbox.script([Fault(Match(request=1), Do(status=401))])
    with bench.ledger("run-1") as ledger:
        delivery = Delivery(ledger, bench.client(), Terms(RESEND, DEMO_EVENT_ID), sleep=clock.sleep)
        delivery.deliver("2026-09-21", [bench.chunk(ledger, members)])
        delivery.deliver("2026-09-22", [bench.chunk(ledger, members)])
    assert len(bench.sandbox.requests) == 1


@pytest.mark.parametrize("drop", ["before", "after"])
def test_an_answer_that_never_came_is_followed_by_the_same_conversions(start: Start, orders: Orders, drop: str) -> None:
    """One more request with the same conversion ids, in the same run: X counts each once."""
    bench, members = start(), orders(20)
    bench.sandbox.script([Fault(Match(request=1), Do(drop=drop))])
    ran = bench.run(members)
    assert (ran.posts, ran.halted, ran.states) == (2, None, {"accepted": 20})
    assert bench.arrived == Counter(ids(members) * (2 if drop == "after" else 1))
    assert bench.sandbox.deduplicated == 20
    assert bench.run(members, run_id="run-2").posts == 0


@pytest.mark.parametrize("do", [Do(status=504, process=True), Do(status=500), Do(answer="html"), Do(answer="empty")])
def test_an_answer_that_says_nothing_is_no_answer(start: Start, orders: Orders, do: Do) -> None:
    """Server errors and unreadable bodies leave it unknown, so the conversions follow once more."""
    bench, members = start(), orders(20)
    bench.sandbox.script([Fault(Match(request=1), do)])
    ran = bench.run(members)
    assert (ran.posts, ran.states) == (2, {"accepted": 20})
    assert bench.sandbox.deduplicated == 20


def test_hold_never_resends(start: Start, orders: Orders) -> None:
    """The conversions are unknown, in this run and the next, and X gets them once."""
    bench, members = start(), orders(20)
    bench.sandbox.script([Fault(Match(request=1), Do(drop="after"))])
    ran = bench.run(members, policy=HOLD)
    assert (ran.posts, ran.halted, ran.states) == (1, None, {"unknown": 20})
    again = bench.run(members, run_id="run-2", policy=HOLD)
    assert (again.posts, again.states) == (0, {"unknown": 20})
    assert bench.arrived == Counter(ids(members))


def test_three_more_attempts_then_unknown_until_the_next_run(start: Start, orders: Orders, clock: Clock) -> None:
    """Pauses grow; the next run sends the doubtful conversions together once more."""
    bench, members = start(), orders(20)
    bench.sandbox.script([Fault(Match(next=4), Do(drop="after"))])
    ran = bench.run(members)
    assert (ran.posts, ran.halted, ran.states) == (4, None, {"unknown": 20})
    assert clock.naps == [0.5, 1.0, 2.0]
    again = bench.run([*members, *orders(21)[20:]], run_id="run-2")
    assert (again.posts, again.states) == (2, {"accepted": 21})
    assert [request.conversions for request in bench.sandbox.requests[4:]] == [20, 1]


@pytest.mark.parametrize(("hours", "posts", "state"), [(43.0, 1, "accepted"), (45.0, 0, "held")])
def test_unknown_is_resent_within_44_hours_alone(
    start: Start, orders: Orders, clock: Clock, hours: float, posts: int, state: str
) -> None:
    """After that X could count both."""
    bench, members = start(), orders(20)
    bench.sandbox.script([Fault(Match(next=4), Do(drop="before"))])
    bench.run(members)
    clock.now += hours * HOUR
    again = bench.run(members, run_id="run-2")
    assert (again.posts, again.states) == (posts, {state: 20})


def test_the_horizon_counts_from_the_first_send(start: Start, orders: Orders, clock: Clock) -> None:
    """Unknown, 40 h later unknown again, 40 h later not sent any more."""
    bench, members = start(), orders(5)
    bench.sandbox.script([Fault(Match(next=99), Do(drop="before"))])
    bench.run(members)
    clock.now += 40 * HOUR
    assert bench.run(members, run_id="run-2").posts == 4
    clock.now += 40 * HOUR
    ran = bench.run(members, run_id="run-3")
    assert (ran.posts, ran.states) == (0, {"held": 5})


@pytest.mark.parametrize(
    ("ahead", "passed", "posts", "state"),
    [(43.0, 0.0, 1, "accepted"), (45.0, 0.0, 0, "held"), (30 * 24.0, 5 * 24.0, 0, "held")],
)
def test_what_was_sent_by_a_clock_that_was_ahead_is_of_no_known_age(
    start: Start, orders: Orders, clock: Clock, ahead: float, passed: float, posts: int, state: str
) -> None:
    """X could count it twice days later, when by what was written it will be sent in some weeks."""
    bench, members = start(), orders(5)
    bench.sandbox.script([Fault(Match(next=4), Do(drop="before"))])
    clock.now += ahead * HOUR
    bench.run(members)
    clock.now += (passed - ahead) * HOUR
    again = bench.run(members, run_id="run-2")
    assert (again.posts, again.states) == (posts, {state: 5})


def test_silence_from_x_stops_the_run(start: Start, orders: Orders) -> None:
    """After three batches without any answer the others are not tried."""
    bench, members = start(), orders(5_000)
    bench.sandbox.script([Fault(Match(next=99), Do(drop="before"))])
    ran = bench.run(members)
    assert "does not answer" in str(ran.halted)
    assert (ran.posts, ran.states) == (12, {"unknown": 1_500, "pending": 3_500})


@pytest.mark.parametrize(
    "answer", ["count_plus_one", "count_minus_one", "count_as_string", "errors_in_200", "other_account"]
)
def test_a_contradictory_success_is_held_and_halts(start: Start, orders: Orders, answer: str) -> None:
    """Nothing more is sent, and what X contradicted itself about is not sent again by anybody."""
    bench, members = start(), orders(1_000)
    bench.sandbox.script([Fault(Match(request=1), Do(answer=answer))])
    ran = bench.run(members)
    assert (ran.posts, ran.states) == (1, {"held": 500, "pending": 500})
    assert "X answered 200, but" in str(ran.halted)
    again = bench.run(members, run_id="run-2")
    assert (again.posts, again.states) == (1, {"held": 500, "accepted": 500})
    assert bench.arrived == Counter(ids(members))


def test_a_429_waits_as_long_as_x_says(start: Start, orders: Orders, clock: Clock) -> None:
    """Seven seconds and half the spread of 15 later, the same conversions are accepted."""
    bench, members = start(), orders(20)
    bench.sandbox.script([Fault(Match(request=1), Do(status=429, headers={"retry-after": "7"}))])
    ran = bench.run(members)
    assert (ran.posts, ran.states) == (2, {"accepted": 20})
    assert sum(clock.naps) == pytest.approx(14.5)


@pytest.mark.parametrize(("told", "refusals"), [(("x-rate-limit",), 0), ((), 2)], ids=["told", "untold"])
def test_a_limit_of_x_s_below_ours_loses_nothing(
    start: Start, orders: Orders, clock: Clock, told: tuple[str, ...], refusals: int
) -> None:
    """X takes 1,000 events in 15 minutes: where its headers say so, the run waits before it is refused."""
    bench, members = start(limits=XLimits(events=1_000, header_families=told)), orders(2_500)
    ran = bench.run(members)
    assert (ran.halted, ran.states) == (None, {"accepted": 2_500})
    assert bench.arrived == Counter(ids(members))
    statuses = Counter(request.status for request in bench.sandbox.requests)
    assert statuses[200] == 5
    assert (statuses[429] >= refusals) if refusals else (statuses[429] == 0)
    assert sum(clock.naps) >= 1_800


def test_our_own_limit_is_never_exceeded(start: Start, orders: Orders, clock: Clock) -> None:
    """With 1,000 events in 15 minutes the sandbox, which takes no more, never has to refuse."""
    bench, members = start(our_limits=Limits(events=1_000, requests=400), limits=XLimits(events=1_000)), orders(3_000)
    ran = bench.run(members, senders=4)
    assert (ran.halted, ran.states) == (None, {"accepted": 3_000})
    assert {request.status for request in bench.sandbox.requests} == {200}
    assert ran.posts == 6


def test_history_uses_its_share(start: Start, orders: Orders, clock: Clock) -> None:
    """Four fifths of 1,000 events in any 15 minutes, in requests that fit into them."""
    bench = start(our_limits=Limits(events=1_000, requests=400))
    assert bench.run(orders(800), share=0.8).states == {"accepted": 800}
    assert clock.naps == []
    assert bench.run(orders(900), run_id="run-2", share=0.8).states == {"accepted": 900}
    assert sum(clock.naps) > 800


def test_a_limit_smaller_than_a_request_makes_smaller_requests(start: Start, orders: Orders) -> None:
    """With 100 events in 15 minutes, 250 conversions are three requests."""
    bench = start(our_limits=Limits(events=100, requests=400))
    assert bench.run(orders(250)).states == {"accepted": 250}
    assert [request.conversions for request in bench.sandbox.requests] == [100, 100, 50]


def test_a_wait_beyond_the_run_s_patience_halts(start: Start, orders: Orders, clock: Clock) -> None:
    """What the limit does not allow within ten seconds is left pending when the run waits no longer."""
    bench = start(our_limits=Limits(events=500, requests=400))
    ran = bench.run(orders(1_000), patience=10.0)
    assert "run again after that" in str(ran.halted)
    assert (ran.states, clock.naps) == ({"accepted": 500, "pending": 500}, [])


def test_endless_429_ends_with_the_run_s_patience(start: Start, orders: Orders, clock: Clock) -> None:
    """Half an hour of waiting is enough: the conversions are pending, and the message says what to do."""
    bench = start()
    bench.sandbox.script([Fault(Match(next=99), Do(status=429))])
    ran = bench.run(orders(20))
    assert "run again" in str(ran.halted)
    assert ran.states == {"pending": 20}
    assert sum(clock.naps) <= 1_800


def test_a_503_with_retry_after_waits_and_is_in_doubt(start: Start, orders: Orders, clock: Clock) -> None:
    """X may have processed it: the same conversions follow after the time X asked for."""
    bench = start()
    bench.sandbox.script([Fault(Match(request=1), Do(status=503, process=True, headers={"retry-after": "40"}))])
    ran = bench.run(orders(20))
    assert (ran.posts, ran.states) == (2, {"accepted": 20})
    assert bench.sandbox.deduplicated == 20
    assert sum(clock.naps) == pytest.approx(40.0)


def test_413_halves_the_batch(start: Start, orders: Orders) -> None:
    """Two requests of half the size follow."""
    bench, members = start(), orders(501)
    bench.sandbox.script([Fault(Match(request=1), Do(status=413))])
    ran = bench.run(members)
    assert [request.conversions for request in bench.sandbox.requests] == [500, 250, 250, 1]
    assert ran.states == {"accepted": 501}
    assert bench.arrived == Counter(ids(members))


def test_a_server_that_is_down_leaves_everything_pending(start: Start, orders: Orders, clock: Clock) -> None:
    """Nothing can have been processed, so nothing is in doubt; a later run sends all."""
    bench, members = start(), orders(1_200)
    with reserved_port() as port:
        bench.api_url = f"http://127.0.0.1:{port}"
        ran = bench.run(members)
    assert "could not be reached" in str(ran.halted)
    assert (ran.states, clock.naps) == ({"pending": 1_200}, [0.5, 1.0, 2.0])
    bench.api_url = None
    assert bench.run(members, run_id="run-2").states == {"accepted": 1_200}
    assert bench.arrived == Counter(ids(members))


def test_two_runs_at_once_send_nothing_twice(ledger_url: str, start: Start, orders: Orders) -> None:
    """Both want the same partition: each conversion arrives once, and afterwards both say the same."""
    bench, members = start(ledger_url), orders(3_000)
    both_know = threading.Barrier(2, timeout=120)
    is_first = threading.local()

    def meet(moment: str) -> None:
        if moment == "after_claim" and not hasattr(is_first, "no"):
            is_first.no = True
            both_know.wait()

    ran: dict[str, Ran] = {}
    threads = [
        threading.Thread(target=lambda name=name: ran.update({name: bench.run(members, run_id=name, failpoint=meet)}))
        for name in ("run-1", "run-2")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.arrived == Counter(ids(members))
    assert [run.halted for run in ran.values()] == [None, None]
    assert all(set(run.states) <= {"accepted", "pending"} for run in ran.values())
    assert bench.run(members, run_id="run-3").states == {"accepted": 3_000}


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("moment", "copies", "posts"), [("after_claim", 1, 1), ("after_post", 2, 1), ("after_settle", 1, 0)]
)
def test_a_run_that_dies_loses_nothing(
    ledger_url: str, start: Start, orders: Orders, moment: str, copies: int, posts: int
) -> None:
    """Before or after the POST its conversions are in doubt and sent once more; after settling they are not."""
    bench, members = start(ledger_url), orders(20)

    def die(now: str) -> None:
        if now == moment:
            raise KilledError

    with pytest.raises(KilledError):
        bench.run(members, failpoint=die)
    again = bench.run(members, run_id="run-2")
    assert (again.posts, again.states) == (posts, {"accepted": 20})
    assert bench.arrived == Counter(ids(members) * copies)
    assert bench.sandbox.deduplicated == 20


def test_a_failing_sender_stops_the_others(start: Start, orders: Orders) -> None:
    """What was waiting to be sent is not sent after something went wrong that nobody expected."""
    bench = start()

    def die(_moment: str) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        bench.run(orders(1_000), failpoint=die)
    with bench.ledger("run-2") as ledger:
        assert [request["state"] for request in ledger.requests_of("2026-09-21")] == ["unknown"]
    assert bench.sandbox.requests == []


def test_a_run_that_dies_while_it_isolates_loses_nothing(start: Start, orders: Orders) -> None:
    """The next run finds the bad row all the same, and every good one arrives."""
    bench = start(rules=Rules(echo_values=False))
    members = orders(64, at_20=BAD_EMAIL)
    settled: list[str] = []

    def die(moment: str) -> None:
        settled.append(moment)
        if settled.count("after_settle") == 5:
            raise KilledError

    with pytest.raises(KilledError):
        bench.run(members, failpoint=die)
    again = bench.run(members, run_id="run-2")
    assert np.flatnonzero(again.outcomes.state == "rejected").tolist() == [20]
    assert bench.arrived == Counter(ids(members)) - Counter(["order-20"])


@pytest.mark.parametrize(("moment", "posts", "later"), [("after_claim", 1, 1), ("after_post", 1, 1)])
def test_a_failing_ledger_stops_the_run_loudly(
    ledger_url: str, start: Start, orders: Orders, query: Callable[..., Any], moment: str, posts: int, later: int
) -> None:
    """What was sent and could not be settled is in doubt; nothing else is sent."""
    bench, members = start(ledger_url), orders(5_000)

    def break_it(now: str) -> None:
        if now == moment:
            query(ledger_url, "ALTER TABLE spending RENAME TO spending_gone")

    with pytest.raises(LedgerError):
        bench.run(members, failpoint=break_it)
    assert len(bench.sandbox.requests) == posts
    query(ledger_url, "ALTER TABLE spending_gone RENAME TO spending")
    assert bench.run(members, run_id="run-2").states == {"accepted": 5_000}
    assert bench.arrived == Counter(ids(members)) + Counter(ids(members[: 500 * later]))


def test_orders_that_cannot_be_read_stop_the_senders(start: Start, orders: Orders, clock: Clock) -> None:
    """What goes wrong while chunks are read is seen, and no sender goes on by itself."""
    bench, members = start(), orders(500)

    def chunks(ledger: Ledger) -> Iterator[Chunk]:
        yield bench.chunk(ledger, members)
        raise ZeroDivisionError

    with bench.ledger("run-1") as ledger:
        delivery = Delivery(ledger, bench.client(), Terms(RESEND, DEMO_EVENT_ID), sleep=clock.sleep)
        with pytest.raises(ZeroDivisionError):
            delivery.deliver("2026-09-21", chunks(ledger))
    assert "interrupted" in str(delivery.halted)
    assert len(bench.sandbox.requests) <= 1


def test_a_chunk_is_let_go_of_before_the_next_is_read(start: Start, orders: Orders, clock: Clock) -> None:
    """Two at once would take twice the memory; requests under way hold no more of one than their JSON."""
    bench, members = start(), orders(1_500)
    alive: list[int] = []
    made: list[ReferenceType[Any]] = []

    def chunk(ledger: Ledger, part: Members) -> Chunk:
        alive.append(sum(render() is not None for render in made))
        plain = bench.chunk(ledger, part)
        chunk = replace(plain, render=partial(plain.render))
        made.append(ref(chunk.render))
        return chunk

    with bench.ledger("run-1") as ledger:
        delivery = Delivery(ledger, bench.client(), Terms(RESEND, DEMO_EVENT_ID), sleep=clock.sleep)
        parts = (members[at : at + 500] for at in range(0, 1_500, 500))
        delivery.deliver("2026-09-21", (chunk(ledger, part) for part in parts))
    assert (len(bench.sandbox.requests), alive) == (3, [0, 0, 0])


def test_a_process_that_stood_still_does_not_post(start: Start, orders: Orders, clock: Clock) -> None:
    """Between claim and POST its lease ran out: the run stops, nothing arrived, and nothing is in doubt."""
    bench, members = start(), orders(1_000)

    def stand_still(moment: str) -> None:
        if moment == "after_claim":
            clock.now += 301

    ran = bench.run(members, failpoint=stand_still)
    assert "lease" in str(ran.halted)
    assert (ran.posts, ran.states) == (0, {"pending": 1_000})


def test_a_lease_lost_while_waiting_halts(start: Start, orders: Orders) -> None:
    """A sleep that took too long ends the run, not with an error but with what is left pending."""
    bench = start(our_limits=Limits(events=500, requests=400))
    bench.heart_beats = False
    ran = bench.run(orders(1_000))
    assert "lease" in str(ran.halted)
    assert ran.states == {"accepted": 500, "pending": 500}


@pytest.mark.parametrize("senders", [1, 4])
@pytest.mark.parametrize("seconds", [600.0, -600.0])
def test_a_wrong_clock_is_corrected_by_x_s_date(
    start: Start, orders: Orders, clock: Clock, senders: int, seconds: float
) -> None:
    """Each sender may learn of it once; then all requests are signed by X's clock."""
    bench, members = start(clock=lambda: clock.now + seconds), orders(2_000)
    bench.token = OAuth1(DEMO_CONSUMER_KEY, DEMO_CONSUMER_SECRET, DEMO_ACCESS_TOKEN, DEMO_ACCESS_TOKEN_SECRET)
    ran = bench.run(members, senders=senders)
    assert (ran.halted, ran.states) == (None, {"accepted": 2_000})
    assert 4 < ran.posts <= 4 + senders
    assert bench.arrived == Counter(ids(members))


def test_a_query_that_makes_all_rows_bad_stops_the_run(start: Start, orders: Orders) -> None:
    """A value that a whole batch shares accuses none of its rows: the few that were refused alone are rejected."""
    bench = start()
    ran = bench.run(orders(2_000, **{f"at_{n}": BAD_EMAIL for n in range(2_000)}))
    assert "api_hashed_email" in str(ran.halted)
    assert ran.posts <= 40
    assert ran.states["rejected"] <= 20
    assert ran.states["rejected"] + ran.states["pending"] == 2_000


def test_a_query_that_makes_all_rows_bad_stops_without_an_echo_too(start: Start, orders: Orders) -> None:
    """At most the 40 requests of one batch are spent."""
    bench = start(rules=Rules(echo_values=False))
    ran = bench.run(orders(2_000, **{f"at_{n}": BAD_EMAIL for n in range(2_000)}))
    assert "api_hashed_email" in str(ran.halted)
    assert ran.posts <= 40


def test_a_refusal_in_unknown_words_rejects_nothing(start: Start, orders: Orders) -> None:
    """X refuses everything and says why in words that nobody knows: few requests, and all rows are still to be sent."""
    bench, members = start(), orders(100)
    body = '{"errors": [{"code": "ACCOUNT_ON_FIRE", "message": "Account 17 is on fire"}]}'
    bench.sandbox.script([Fault(Match(next=99), Do(status=400, body=body))])
    ran = bench.run(members)
    assert "is on fire" in str(ran.halted)
    assert "17" not in str(ran.halted)
    assert ran.posts <= 20
    assert ran.states == {"pending": 100}
    bench.sandbox.script([])
    again = bench.run(members, run_id="run-2")
    assert again.states == {"accepted": 100}
    assert bench.arrived == Counter(ids(members))


@pytest.mark.parametrize("position", [0, 31, 63])
def test_a_row_refused_in_unknown_words_is_rejected_beside_accepted_ones(
    start: Start, orders: Orders, position: int
) -> None:
    """Since X takes the others, the words are about the row, wherever in the batch it stands."""
    bench, members = start(), orders(64)
    body = '{"errors": [{"code": "NEW", "message": "This conversion is not to our liking"}]}'
    bench.sandbox.script([Fault(Match(conversion_id=f"order-{position}"), Do(status=400, body=body))])
    ran = bench.run(members)
    assert ran.halted is None
    assert np.flatnonzero(ran.outcomes.state == "rejected").tolist() == [position]
    assert ran.outcomes.reason_code[position] == "api_unrecognised"
    assert ran.states == {"accepted": 63, "rejected": 1}
    assert bench.run(members, run_id="run-2").posts == 0


def test_a_corrected_order_is_sent_again_after_its_rejection(start: Start, orders: Orders) -> None:
    """Another payload of a rejected conversion is new."""
    bench = start()
    bench.run(orders(10, at_4=BAD_EMAIL))
    again = bench.run(orders(5)[4:], run_id="run-2", version=2)
    assert (again.posts, again.states) == (1, {"accepted": 1})


def test_a_changed_order_is_reported_and_not_sent(start: Start, orders: Orders) -> None:
    """X has no corrections."""
    bench, members = start(), orders(10)
    bench.run(members)
    again = bench.run(members, run_id="run-2", version=2)
    assert (again.posts, again.states) == (0, {"changed": 10})


def test_too_late_beside_the_pixel_is_not_sent(start: Start, orders: Orders) -> None:
    """Orders of 45 hours ago could be counted twice."""
    bench, members = start(), orders(10)
    beside = Policy(on_unknown="resend", pixel_also_fires=True)
    late = bench.run(members, policy=beside, age_hours=45.0)
    assert (late.posts, late.states) == (0, {"too_late": 10})
    assert bench.run(members, run_id="run-2", policy=beside, age_hours=43.0).states == {"accepted": 10}


def test_a_doubt_during_isolation_is_resolved_in_the_same_run(start: Start, orders: Orders) -> None:
    """The rest of a refused batch is lost on the way and follows with the same ids."""
    bench, members = start(), orders(20, at_4=BAD_EMAIL)
    bench.sandbox.script([Fault(Match(request=2), Do(drop="after"))])
    ran = bench.run(members)
    assert (ran.posts, ran.states) == (3, {"accepted": 19, "rejected": 1})
    assert bench.sandbox.deduplicated == 19


def test_a_resent_request_that_x_refuses_is_isolated(start: Start, orders: Orders) -> None:
    """What was in doubt and then refused is found and rejected, and the rest arrives."""
    bench, members = start(rules=Rules(echo_values=False)), orders(20, at_4=BAD_EMAIL)
    bench.sandbox.script([Fault(Match(request=1), Do(drop="before"))])
    ran = bench.run(members)
    assert ran.states == {"accepted": 19, "rejected": 1}
    assert bench.arrived == Counter(ids(members)) - Counter(["order-4"])
    assert bench.run(members, run_id="run-2").posts == 0


@pytest.mark.parametrize("resolution", ["lost", "resend"])
def test_what_an_operator_lets_go_out_again_is_settled_though_x_refuses_it_late(
    start: Start, orders: Orders, resolution: Resolution
) -> None:
    """Days after they were first sent, in groups after a refusal without a word: nothing stays pending for ever."""
    bench = start(rules=Rules(echo_values=False))
    bad = (5, 60, 130, 200, 270, 340, 410, 480)
    members = orders(500, **{f"at_{position}": BAD_EMAIL for position in bad})

    def die(_moment: str) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        bench.run(members, failpoint=die, policy=HOLD)
    bench.clock.now += 60 * HOUR
    with bench.ledger("operator") as ledger:
        assert resolve(ledger, doubts(ledger, HOLD), resolution, by="marie", why="looked it up") == 500
    assert bench.run(members, run_id="run-2", policy=HOLD).states["pending"] > 0  # too many requests for one run
    ran = bench.run(members, run_id="run-3", policy=HOLD)
    assert ran.states == {"accepted": 492, "rejected": 8}
