"""Progress: told now and then, with figures that a calculation by hand gives."""

from typing import Any

from tests.clocks import FrozenClock
from tests.partitions.conftest import SandboxedShop
from xcapi_dagster.delivery.deliver import Delivery, Terms
from xcapi_dagster.partitions.chunks import chunks
from xcapi_dagster.partitions.progress import Progress


def test_it_tells_how_far_it_is_every_half_minute() -> None:
    """1,000 a second of 100,000; the time that is left counts down, and is never negative."""
    clock, told = FrozenClock(1e9), list[str]()
    progress = Progress("2026-11-20", 100_000, told.append, clock)
    for _ in range(100):
        clock.sleep(1.0)
        progress.add(1_000)
    assert told == [
        "2026-11-20: 30,000 of at most 100,000 conversions sent, 1,000 a second, 0:01:10 left",
        "2026-11-20: 60,000 of at most 100,000 conversions sent, 1,000 a second, 0:00:40 left",
        "2026-11-20: 90,000 of at most 100,000 conversions sent, 1,000 a second, 0:00:10 left",
    ]
    clock.sleep(100.0)
    progress.add(1_000)
    assert told[-1].endswith("101,000 of at most 100,000 conversions sent, 505 a second, 0:00:00 left")


def test_nothing_sent_is_nothing_told() -> None:
    clock, told = FrozenClock(1e9), list[str]()
    progress = Progress("2026-11-20", 10, told.append, clock)
    clock.sleep(60.0)
    progress.add(0)
    assert told == []


def test_what_isolation_sends_again_does_not_count_again(shop: SandboxedShop) -> None:
    """Ten conversions, one of which X refuses: the first request of each counts, however many follow."""
    shop.put_many(10)
    shop.spoil("order-4", currency="ZZZ")
    assert counted(shop) == [10, *[0] * (len(shop.sandbox.requests) - 1)]
    assert len(shop.sandbox.requests) > 1


def test_what_is_tried_again_counts_once_it_is_answered(shop: SandboxedShop) -> None:
    """X asks three times to wait, then gives no answer, before it takes the ten."""
    shop.put_many(10)
    wait: dict[str, Any] = {"status": 429, "headers": {"retry-after": "1"}}
    faults = [{"match": {"request": number}, "do": wait} for number in (1, 2, 3)]
    shop.sandbox.script([*faults, {"match": {"request": 4}, "do": {"drop": "before"}}])
    assert counted(shop) == [10]
    assert len(shop.sandbox.requests) == 5


def test_what_has_no_answer_does_not_count(shop: SandboxedShop) -> None:
    """To the end of the run."""
    shop.put_many(10)
    shop.sandbox.script([{"match": {"next": 99}, "do": {"drop": "before"}}])
    assert counted(shop) == []


def counted(shop: SandboxedShop) -> list[int]:
    """What is counted in a run."""
    shop.prepare()
    numbers: list[int] = []
    with shop.ledger() as ledger:
        terms = Terms(shop.policy, shop.event_id, senders=1)
        delivery = Delivery(ledger, shop.client(), terms, sleep=shop.clock.sleep)
        made = chunks(shop.outputs.path("conversions", shop.key), ledger)
        delivery.deliver(shop.key, made, numbers.append)
    return numbers
