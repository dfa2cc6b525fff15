"""Several processes on one ledger, and one that stands still meanwhile: faults 14 and 29 to 31."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

import pytest

from tests.clocks import SharedClock
from tests.faults.trial import Trial
from tests.faults.worker import Processes, Running, Strike, pause
from tests.shop import NOON
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.sandbox import Do, Fault, Match

pytestmark = pytest.mark.slow

Try = Callable[..., Trial]
on_both = pytest.mark.parametrize("ledger_kind", ["sqlite", "postgresql"])


def days(trial: Trial, count: int, orders: int) -> list[str]:
    """So many partitions, each with so many orders of its own."""
    times = [NOON - timedelta(days=age) for age in range(count)]
    for time in times:
        trial.shop.put_many(orders, f"of-{time:%Y-%m-%d}", ordered_at=time)
    return [f"{time:%Y-%m-%d}" for time in times]


@dataclass(frozen=True)
class ResetIn(Mapping[str, str]):
    """X's header, of which the time is so many seconds after the answer that has it, whenever that is."""

    seconds: int
    clock: Callable[[], float]

    def __getitem__(self, _name: str) -> str:
        return str(ceil(self.clock()) + self.seconds)

    def __iter__(self) -> Iterator[str]:
        return iter(["x-account-rate-limit-reset"])

    def __len__(self) -> int:
        return 1


@on_both
def test_fault_14_a_429_that_says_when(attempt: Try, processes: Processes) -> None:
    """Told to one of four processes, it stops them all until X's reset and a little longer; nothing is in doubt.

    The three others had a request under way, which is answered; by the ledger's clock nobody claims one meanwhile.
    """
    trial = attempt(live=True, batch_rows=2, spread=0.1)
    keys = days(trial, 4, orders=12)
    running = [processes.start(trial.shop, Strike("after_claim", 1, pause), keys=[key]) for key in keys]
    for each in running:
        each.paused()
    trial.sandbox.script([Fault(Match(request=1), Do(status=429, headers=ResetIn(4, trial.shop.clock)))])
    for each in running:
        each.go_on()
    assert sum(each.uploaded()[0].counts.accepted for each in running) == 4 * 12
    assert Counter(request.status for request in trial.sandbox.requests) == {429: 1, 200: 4 * 6}
    (told,) = trial.query("SELECT settled_at FROM request WHERE state = 'not_processed'")
    (until,) = trial.query("SELECT blocked_until FROM allowance")
    assert 1.0 < until[0] - told[0] < 6.0 + 0.1 * 15.0  # X's Date is in whole seconds
    within = "SELECT count(*) FROM request WHERE claimed_at > :told AND claimed_at < :until"
    assert trial.query(within, told=told[0], until=until[0]) == [(0,)]
    assert sum(told[0] < request.received_at < until[0] for request in trial.sandbox.requests) <= 3 * trial.shop.senders
    trial.judge_all(keys, {"accepted": 12})


@on_both
def test_fault_29_two_runs_on_one_partition(attempt: Try, processes: Processes) -> None:
    """The second run leaves to the first what that has in flight, and counts it as pending; each is sent once."""
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    first = processes.start(trial.shop, Strike("after_claim", 2, pause))
    first.paused()
    (second,) = processes.start(trial.shop).uploaded()
    assert (second.counts.accepted, second.counts.already_accepted, second.counts.pending) == (10, 10, 10)
    assert (second.counts.requests, second.halted) == (1, None)
    assert trial.shop.states == {"accepted": 20, "pending": 10}
    first.go_on()
    (uploaded,) = first.uploaded()
    assert uploaded.counts.requests == 2
    trial.judge(uploaded, {"accepted": 30})
    assert trial.posts == 3
    trial.settles()


@on_both
def test_fault_29_four_runs_on_one_partition(attempt: Try, processes: Processes) -> None:
    """However their batches meet, X gets each conversion once."""
    trial = attempt(live=True, batch_rows=3, senders=2)
    trial.shop.put_many(90)
    running = [processes.start(trial.shop, act=pause) for _ in range(4)]
    for each in running:
        each.paused()
    for each in running:
        each.go_on()
    told = [each.uploaded()[0] for each in running]
    assert all(each.counts.add_up and each.halted is None for each in told)
    assert sum(each.counts.accepted for each in told) == 90
    trial.settles()
    trial.judge(None, {"accepted": 90})


@on_both
def test_fault_30_a_backfill_by_four_processes(attempt: Try, processes: Processes) -> None:
    """Thirty partitions, some answers late: the limits hold in every window that X looks at, and all is sent."""
    limits = Limits(events=200, requests=15, window=1.0, request_window=0.5)
    trial = attempt(live=True, batch_rows=10, limits=limits, senders=2)
    keys = days(trial, 30, orders=20)
    trial.sandbox.script([Fault(Match(request=number), Do(delay=0.4)) for number in range(3, 60, 8)])
    running = [processes.start(trial.shop, keys=keys[which::4]) for which in range(4)]
    told = [uploaded for each in running for uploaded in each.uploaded()]
    assert [each.counts.accepted for each in told] == [20] * 30
    trial.judge_all(keys, {"accepted": 20})
    assert trial.busiest(1.0, lambda request: request.conversions) <= 200
    assert trial.busiest(0.5) <= 15
    assert trial.posts == 60


def standing_still(trial: Trial, processes: Processes) -> Running:
    """A process that is stopped as by Ctrl-Z with its second request claimed and not sent, for six minutes.

    It holds nothing of the ledger then: its other threads look into it meanwhile, and whoever is stopped there is
    waited for in vain.
    """
    running = processes.start(trial.shop, Strike("after_claim", 2, pause))
    running.paused()
    with trial.shop.database() as database, database.transaction():
        running.stand_still()
    assert isinstance(trial.shop.clock, SharedClock)
    trial.shop.clock.advance(360.0)
    running.go_on()
    return running


def test_fault_31_a_process_that_stands_still_for_six_minutes(attempt: Try, processes: Processes) -> None:
    """Its lease is over, so that another run sends in its place; awake again, it looks before it sends."""
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    sleeper = standing_still(trial, processes)
    uploaded = trial.shop.sync()
    assert uploaded.counts.requests == 2
    trial.judge(uploaded, {"accepted": 30})
    before = trial.shop.files()
    sleeper.send_signal(signal.SIGCONT)
    (late,) = sleeper.uploaded()
    assert "lease on the ledger ran out" in str(late.halted)
    assert (late.counts.requests, late.counts.already_accepted) == (2, 20)
    assert trial.posts == 3
    assert trial.shop.files() == before
    trial.judge(late, {"accepted": 30})
    trial.settles()


@on_both
def test_fault_31_alone_it_sends_nothing_either(attempt: Try, processes: Processes) -> None:
    """Nobody took over: nothing was sent, even if the run found itself given up, and the next one sends each once."""
    trial = attempt(live=True, batch_rows=10)
    trial.shop.put_many(30)
    sleeper = standing_still(trial, processes)
    sleeper.send_signal(signal.SIGCONT)
    (late,) = sleeper.uploaded()
    assert "lease on the ledger ran out" in str(late.halted)
    assert (late.counts.accepted, late.counts.pending + late.counts.unknown, trial.posts) == (10, 20, 1)
    trial.judge(late)
    trial.judge(trial.shop.sync(), {"accepted": 30})
    assert trial.posts == 3
    trial.settles()
