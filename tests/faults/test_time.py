"""What time does to orders: faults 42 to 44."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
import pytest

from tests.clocks import FrozenClock
from tests.faults.trial import Trial
from tests.shop import RESEND
from xcapi_dagster import Sandbox, build_x_conversions_assets, from_environment
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.sandbox import Do, Fault, Match
from xcapi_dagster.settings import DEMO

Try = Callable[..., Trial]

HOUR = 3600.0
BESIDE_PIXEL = Policy(on_unknown="resend", pixel_also_fires=True)


def clock_of(trial: Trial) -> FrozenClock:
    """The clock, to be moved."""
    assert isinstance(trial.shop.clock, FrozenClock)
    return trial.shop.clock


def lose_the_answers(trial: Trial, *, processed: bool) -> None:
    """X gives no answer until the script ends, after it took the conversions or before."""
    trial.sandbox.script([Fault(Match(next=999), Do(drop="after" if processed else "before"))])


@pytest.mark.parametrize("processed", [True, False], ids=["taken", "not_taken"])
def test_fault_42_in_doubt_for_43_hours(attempt: Try, *, processed: bool) -> None:
    """X still counts one of two: sent once more."""
    trial = attempt()
    ids = trial.shop.put_many(20)
    lose_the_answers(trial, processed=processed)
    trial.judge(trial.shop.sync(), {"unknown": 20}, again=dict.fromkeys(ids, 3))
    clock_of(trial).now += 43 * HOUR
    trial.sandbox.script([])
    trial.judge(trial.shop.sync(), {"accepted": 20}, again=dict.fromkeys(ids, 4 if processed else 0))
    assert trial.sandbox.deduplicated == 20
    trial.settles()


def test_fault_42_in_doubt_for_45_hours(attempt: Try) -> None:
    """X might count both: nobody sends it without an operator's word."""
    trial = attempt()
    ids = trial.shop.put_many(20)
    lose_the_answers(trial, processed=False)
    trial.shop.sync()
    clock_of(trial).now += 45 * HOUR
    trial.sandbox.script([])
    trial.judge(trial.shop.sync(), {"held": 20})
    trial.settles(keep=ids)
    assert trial.arrived == Counter()


def test_fault_42_in_doubt_for_twice_40_hours(attempt: Try) -> None:
    """The hours count from the first time that X may have got it, not from the last."""
    trial = attempt()
    ids = trial.shop.put_many(5)
    lose_the_answers(trial, processed=True)
    trial.shop.sync()
    clock_of(trial).now += 40 * HOUR
    assert trial.shop.sync().counts.requests == 4
    clock_of(trial).now += 40 * HOUR
    uploaded = trial.shop.sync()
    assert uploaded.counts.requests == 0
    trial.judge(uploaded, {"held": 5}, again=dict.fromkeys(ids, 7))
    trial.settles(keep=ids)


def test_fault_43_a_clock_that_is_set_back(attempt: Try) -> None:
    """An hour back in the middle of a run: no order is lost or doubled, and none becomes younger than it is."""
    trial = attempt(batch_rows=10)
    ids = trial.shop.put_many(30)
    trial.sandbox.script([Fault(Match(request=2), Do(drop="after"))])

    def set_back(moment: str) -> None:
        if moment == "after_post" and trial.posts == 2:
            clock_of(trial).now -= HOUR

    uploaded = trial.shop.sync(failpoint=set_back)
    trial.judge(uploaded, {"accepted": 30}, again=ids[10:20])
    first, doubtful, resent, last = trial.query("SELECT first_sent_at, claimed_at FROM request ORDER BY id")
    assert doubtful[0] - HOUR < resent[1] < doubtful[0]  # claimed by the clock that was set back
    assert resent[0] == min(doubtful[0], resent[1])
    assert first[0] == doubtful[0]
    assert last[0] == last[1]
    trial.settles()


def test_fault_43_a_clock_that_was_ahead_when_it_was_in_doubt(attempt: Try) -> None:
    """Set right, it is half a day before the first send: what is in doubt is sent once more all the same."""
    trial = attempt()
    trial.shop.put_many(10)
    lose_the_answers(trial, processed=False)
    trial.shop.sync()
    clock_of(trial).now -= 12 * HOUR
    trial.sandbox.script([])
    trial.judge(trial.shop.sync(), {"accepted": 10})
    trial.settles()


# The days on which New York's clocks change have 25 and 23 hours: their windows, in UTC, are these.
CHANGES = {
    "2026-11-01": ("2026-11-01T04:00:00", "2026-11-02T05:00:00"),
    "2026-03-08": ("2026-03-08T05:00:00", "2026-03-09T04:00:00"),
}


@pytest.mark.slow
@pytest.mark.parametrize("day", CHANGES)
def test_fault_43_days_on_which_clocks_change(day: str, tmp_path: Path) -> None:
    """Partitions in New York's time: each order is in one of them, also in the hour that there is twice, or not."""
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in CHANGES[day])
    times = [start - timedelta(minutes=30) + n * timedelta(minutes=30) for n in range(2 * 26)]
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE orders (order_id text, ordered_at timestamptz, email text, consent boolean)")
        rows = [(f"order-{number}", time, f"{number}@example.com", True) for number, time in enumerate(times)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
    before, after = (datetime.fromisoformat(day) + timedelta(days=days) for days in (-1, 1))
    keys = [f"{each:%Y-%m-%d}" for each in (before, datetime.fromisoformat(day), after)]
    with Sandbox() as sandbox:
        settings = from_environment(
            {},
            **DEMO | {"demo": False, "home": tmp_path, "warehouse_url": f"duckdb:///{tmp_path}/shop.duckdb"},
            api_url=sandbox.url,
            timezone="America/New_York",
        )
        partitions = dg.DailyPartitionsDefinition(start_date="2026-01-01", timezone="America/New_York")
        assets = [
            each for each in build_x_conversions_assets(settings, partitions) if isinstance(each, dg.AssetsDefinition)
        ]
        instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster"))
        tags = dict(zip(("start", "end"), (keys[0], keys[-1]), strict=True))
        tags = {f"dagster/asset_partition_range_{name}": key for name, key in tags.items()}
        result = dg.materialize(assets, tags=tags, instance=instance)
        read = {
            str(event.materialization.partition): event.materialization.metadata["read"].value
            for event in result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey(["purchases", "rejection_report"])
        }
        expected = [sum(time < start for time in times), sum(start <= time < end for time in times)]
        assert [read[key] for key in keys] == [*expected, len(times) - sum(expected)]
        sent = Counter(str(each.conversion["conversion_id"]) for each in sandbox.received)
        assert sent == Counter(f"order-{number}" for number in range(len(times)))
    assert datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC) == start


def test_fault_44_orders_too_old_beside_the_pixel(attempt: Try) -> None:
    """X would count an order of 49 hours ago twice, once from the pixel: reported, not sent; younger ones are sent."""
    trial = attempt(policy=BESIDE_PIXEL)
    now = datetime.fromtimestamp(trial.shop.clock(), UTC)
    trial.shop.key = f"{now - timedelta(hours=49):%Y-%m-%d}"
    trial.shop.put_many(10, "old", ordered_at=now - timedelta(hours=49))
    trial.shop.put_many(10, "young", ordered_at=now - timedelta(hours=43))
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"too_late": 10, "accepted": 10})
    assert all(name.startswith("young") for name in trial.arrived)
    trial.settles()


def test_fault_44_no_pixel_and_no_hurry(attempt: Try) -> None:
    """The same orders, where no pixel reports them."""
    trial = attempt(policy=RESEND)
    now = datetime.fromtimestamp(trial.shop.clock(), UTC)
    trial.shop.key = f"{now - timedelta(hours=49):%Y-%m-%d}"
    trial.shop.put_many(10, "old", ordered_at=now - timedelta(hours=49))
    trial.judge(trial.shop.sync(), {"accepted": 10})


@pytest.mark.parametrize("hours", [2.0, 40.0])
def test_fault_44_in_doubt_until_it_is_too_late(attempt: Try, hours: Any) -> None:
    """What is in doubt grows too old for the pixel's copy: held, as soon as that is so, and not sent again."""
    trial = attempt(policy=BESIDE_PIXEL)
    ids = trial.shop.put_many(10)  # fourteen hours old
    lose_the_answers(trial, processed=True)
    trial.shop.sync()
    clock_of(trial).now += hours * HOUR
    trial.sandbox.script([])
    uploaded = trial.shop.sync()
    if hours + 14 < 44:
        trial.judge(uploaded, {"accepted": 10}, again=dict.fromkeys(ids, 4))
    else:
        trial.judge(uploaded, {"held": 10}, again=dict.fromkeys(ids, 3))
        trial.settles(keep=ids)
