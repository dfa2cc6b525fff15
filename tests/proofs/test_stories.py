"""Stories of several days, hour by hour, with the ends that the stated policies give them."""

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.proofs.world import DEDUPLICATED, HORIZON, HOUR, World, kill
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.safeguards import Destination, accept_stamps, admit
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.errors import LedgerError

DAY, NEXT_DAY = "2026-09-20", "2026-09-21"
LOST = ["answer lost"] * 4  # for one batch: the first time and all that a run tries again
NEVER_ARRIVED = ["lost on the way"] * 4
UNBOUNDED = Limits(events=60_000, requests=400)

Live = Callable[..., World]


@pytest.fixture
def live(tmp_path: Path) -> Live:
    """A world with three orders, which are one batch, under a policy."""

    def begun(on_unknown: Any = "resend", *, pixel: bool = False, deduplicates: bool = True) -> World:
        policy = Policy(on_unknown=on_unknown, pixel_also_fires=pixel)
        world = World(tmp_path, policy, deduplicates, limits=UNBOUNDED)
        for name in "abc":
            world.put(DAY, name)
        return world

    return begun


def states(world: World, day: str = DAY) -> str:
    """The one state that all orders of a day are in."""
    (state,) = set(world.told[day].values())
    return state


def sync(world: World, *plan: str, day: str = DAY) -> int:
    """One run, with what X does to its requests; returns how many it made."""
    before = len(world.posts)
    world.x.plan.extend(plan)
    world.run(day)
    assert not world.x.plan, "the run made fewer requests than the story tells"
    return len(world.posts) - before


@pytest.mark.parametrize("deduplicates", [True, False])
def test_in_doubt_over_night(live: Live, *, deduplicates: bool) -> None:
    """The answer came four times not at all: the next day's run sends them once more.

    X counts them once or, if it does not deduplicate what it promises to, as often as the policy sent them.
    """
    world = live(deduplicates=deduplicates)
    assert sync(world, *LOST) == 4
    assert states(world) == "unknown"
    world.pass_time(24 * HOUR)
    assert sync(world) == 1
    assert states(world) == "accepted"
    assert set(world.x.counted.values()) == {1 if deduplicates else 5}
    world.settle()


def test_in_doubt_for_twice_40_hours(live: Live) -> None:
    """The age counts from the first send: forty hours on it is sent once more, another forty on it never is."""
    world = live()
    sync(world, *LOST)
    world.pass_time(40 * HOUR)
    assert sync(world, *LOST) == 4
    world.pass_time(40 * HOUR)
    assert sync(world) == 0
    assert states(world) == "held"
    assert set(world.x.counted.values()) == {1}
    world.settle()


def test_each_death_is_a_possible_send(live: Live) -> None:
    """The same with processes that died after the claim, of which X never heard."""
    world = live()
    for _ in range(2):
        world.run(DAY, {("after_claim", 1): kill})
        world.pass_time(40 * HOUR)
    assert sync(world) == 0
    assert states(world) == "held"
    assert not world.x.taken


@pytest.mark.parametrize(("hours", "requests", "state"), [(43.0, 1, "accepted"), (45.0, 0, "held")])
def test_the_horizon_is_44_hours(live: Live, hours: float, requests: int, state: str) -> None:
    """X deduplicates for 48 hours from when it got an event; four are kept for requests on their way."""
    assert (HORIZON, DEDUPLICATED) == (44 * HOUR, 48 * HOUR)
    world = live()
    sync(world, *LOST)
    world.pass_time(hours * HOUR)
    assert sync(world) == requests
    assert states(world) == state


def test_the_horizon_passes_while_a_run_waits(live: Live) -> None:
    """What a run may still send when it begins it may not when X has let it wait for so long."""
    world = live()
    sync(world, *LOST)
    world.pass_time(HORIZON - 100)
    assert sync(world, "429") == 1
    world.run(DAY)
    assert states(world) == "held"


def test_hold_waits_for_an_operator(live: Live) -> None:
    """Days may pass: nothing is sent until somebody says that X never got them, and then once."""
    world = live("hold")
    assert sync(world, "lost on the way") == 1
    for _ in range(3):
        world.pass_time(24 * HOUR)
        assert sync(world) == 0
    assert states(world) == "held"
    assert world.decide("lost") == 3
    assert sync(world) == 1
    assert states(world) == "accepted"
    assert set(world.x.taken.values()) == {1}
    world.settle()


def test_an_operator_knows_that_x_has_them(live: Live) -> None:
    """They count as accepted and are never sent, whatever changes."""
    world = live("hold")
    sync(world, "answer lost")
    world.decide("accepted")
    assert sync(world) == 0
    assert states(world) == "accepted"
    for name in "abc":
        world.change(DAY, name)
    assert sync(world) == 0
    assert states(world) == "changed"


def test_an_operator_lets_them_go_once_more(live: Live) -> None:
    """Four days later: one more send, whose answer is lost as well, is the last one without another word."""
    world = live("hold")
    sync(world, "answer lost")
    world.pass_time(96 * HOUR)
    world.decide("resend")
    assert sync(world, "429", "answer lost") == 2
    assert states(world) == "held"
    world.pass_time(HOUR)
    assert sync(world) == 0
    world.decide("resend")
    assert sync(world) == 1
    assert states(world) == "accepted"


def test_a_verdict_that_comes_too_late(live: Live) -> None:
    """A run sent them once more between the operator's look and word: what X accepted stands."""
    world = live()
    sync(world, *LOST)
    world.pass_time(45 * HOUR)
    sync(world)
    assert world.decide("accepted") == 3
    assert world.decide("lost") == 0
    assert sync(world) == 0
    assert states(world) == "accepted"


@pytest.mark.parametrize("on_unknown", ["resend", "hold"])
def test_changed_while_in_doubt(live: Live, on_unknown: str) -> None:
    """Another order under the id that X may have: held, and sent as it now is when X never got the first."""
    world = live(on_unknown)
    sync(world, *(NEVER_ARRIVED if on_unknown == "resend" else NEVER_ARRIVED[:1]))
    for name in "abc":
        world.change(DAY, name)
    assert sync(world) == 0
    assert states(world) == "held"
    world.decide("lost")
    assert sync(world) == 1
    assert states(world) == "accepted"


def test_suppressed_while_in_doubt_and_granted_again(live: Live) -> None:
    """Consent was withdrawn for a day: what was in doubt then is an operator's, also after it is back."""
    world = live()
    sync(world, *LOST)
    orders = dict(world.orders[DAY])
    world.orders[DAY].clear()
    sync(world)
    world.orders[DAY] |= orders
    assert sync(world) == 0
    assert states(world) == "held"


def test_moved_to_another_day(live: Live) -> None:
    """An accepted order is sent from neither day, one in doubt from the first that runs."""
    world = live()
    sync(world)
    for name in "abc":
        world.move(name, DAY, NEXT_DAY)
    world.put(NEXT_DAY, "d")
    sync(world, *LOST, day=NEXT_DAY)
    world.move("d", NEXT_DAY, DAY)
    assert sync(world) == 1
    assert sync(world, day=NEXT_DAY) == 0
    assert set(world.told[DAY].values()) | set(world.told[NEXT_DAY].values()) == {"accepted"}
    assert world.x.counted == dict.fromkeys("abcd", 1)


def test_late_orders_are_all_that_is_sent(live: Live) -> None:
    """Two days after, one more order is in the warehouse."""
    world = live()
    sync(world)
    world.pass_time(48 * HOUR)
    world.put(DAY, "late")
    assert sync(world) == 1
    assert world.posts[-1][1] == 1
    assert world.x.taken == dict.fromkeys(["a", "b", "c", "late"], 1)


def test_rejected_when_sent_again_mended_and_accepted(live: Live) -> None:
    """X cannot have taken a bad row from the request that it never answered: that was sent a day too long ago."""
    world = live()
    world.change(DAY, "b", is_bad=True)
    sync(world, *NEVER_ARRIVED)
    sync(world)
    assert world.told[DAY] == {"a": "accepted", "b": "rejected", "c": "accepted"}
    world.pass_time(72 * HOUR)
    world.change(DAY, "b")
    assert sync(world) == 1
    assert world.x.taken == dict.fromkeys("abc", 1)


def test_rejected_mended_and_accepted(live: Live) -> None:
    """A bad row stays rejected for as long as it is what it was, and is sent when it is another."""
    world = live()
    world.change(DAY, "b", is_bad=True)
    assert sync(world) == 2
    assert world.told[DAY] == {"a": "accepted", "b": "rejected", "c": "accepted"}
    world.pass_time(24 * HOUR)
    assert sync(world) == 0
    world.change(DAY, "b")
    assert sync(world) == 1
    assert states(world) == "accepted"


def test_49_hours_old_beside_the_pixel(live: Live) -> None:
    """Of an order of two days ago X could not tell the pixel's copy: too late. Without a pixel it is sent."""
    world = live(pixel=True)
    world.put(DAY, "old", age=49 * HOUR)
    assert sync(world) == 1
    assert world.told[DAY] == {"old": "too_late", **dict.fromkeys("abc", "accepted")}
    world.policy = Policy(on_unknown="resend", pixel_also_fires=False)
    assert sync(world) == 1
    assert states(world) == "accepted"


def test_44_hours_pass_beside_the_pixel_while_a_run_waits(live: Live) -> None:
    """What may still be sent when a run begins may not be when the limit has let it wait for hours: too late."""
    world = live(pixel=True)
    world.limits, world.batch = Limits(events=1, requests=12), 30
    for number in range(24):
        world.put(DAY, f"old-{number}", age=40 * HOUR)
    assert sync(world) < 24
    counts = Counter(world.told[DAY].values())
    assert (set(counts), counts.total()) == ({"accepted", "too_late"}, 27)
    assert counts["accepted"] == world.x.taken.total() == len(world.posts)


def test_in_doubt_beside_the_pixel(live: Live) -> None:
    """An order in doubt grows too old for the pixel's copy before its 44 hours are over."""
    world = live(pixel=True)
    world.orders[DAY].clear()
    world.put(DAY, "old", age=20 * HOUR)
    sync(world, *LOST)
    world.pass_time(25 * HOUR)
    assert sync(world) == 0
    assert states(world) == "held"


def test_a_success_that_contradicts_itself(live: Live) -> None:
    """X took three and says four: nothing more is sent today, and these not before an operator has looked."""
    world = live()
    world.put(DAY, "d")
    assert sync(world, "wrong count") == 1
    assert world.told[DAY] == {**dict.fromkeys("abc", "held"), "d": "pending"}
    world.pass_time(HOUR)
    assert sync(world) == 1
    world.decide("accepted")
    assert sync(world) == 0
    assert states(world) == "accepted"


def test_a_run_that_stood_still_for_six_minutes(live: Live) -> None:
    """Another run has sent what it was about to send: woken, it sends nothing, and what it knows counts."""
    world = live()

    def sleep() -> None:
        world.pass_time(360)
        assert sync(world) == 1

    world.run(DAY, {("after_claim", 1): sleep})
    assert len(world.posts) == 1
    world.run(DAY)
    assert states(world) == "accepted"
    assert set(world.x.taken.values()) == {1}


def test_an_answer_that_came_after_the_lease(live: Live) -> None:
    """X's answer was six minutes under way, and another run's resend was never answered: what X said stands."""
    world = live()

    def sleep() -> None:
        world.pass_time(360)
        assert sync(world, *LOST) == 4

    world.run(DAY, {("on its way back", 1): sleep})
    assert sync(world) == 0
    assert states(world) == "accepted"


def test_a_machine_that_is_lost(live: Live) -> None:
    """Nobody here can tell that its process is gone: its orders wait until its lease has run out."""
    world = live()
    world.run(DAY, {("on its way back", 1): lambda: kill(is_seen=False)})
    assert sync(world) == 0
    assert states(world) == "pending"
    world.pass_time(300)
    assert sync(world) == 1
    assert states(world) == "accepted"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_words_that_nobody_knows(live: Live, count: int) -> None:
    """X refuses everything for a day, in words that it does not document: no order is rejected for it."""
    world = live()
    for name in "abc"[count:]:
        world.suppress(DAY, name)
    world.x.is_out_of_order = True
    world.run(DAY)
    assert states(world) == "pending"
    world.settle()
    assert states(world) == "accepted"


def test_a_ledger_that_was_restored(live: Live, tmp_path: Path) -> None:
    """Yesterday's copy does not know what was sent today: refused, until somebody says that it may be."""
    world = live()
    destination = Destination("loopback", "purchases", "loopback|odemo1", "opurch1")
    sync(world)
    ledger, copy = tmp_path / "ledger", tmp_path / "copy"
    shutil.copytree(ledger, copy)
    world.put(DAY, "today")
    sync(world)
    with closing(Database(world.url)) as database:
        stamp = database.stamp()
        admit(database, destination, [stamp])
    shutil.rmtree(ledger)
    with closing(Database(world.url)) as database, pytest.raises(LedgerError, match="not the one that sent before"):
        admit(database, destination, [stamp])
    shutil.rmtree(ledger)
    shutil.copytree(copy, ledger)
    with closing(Database(world.url)) as database:
        with pytest.raises(LedgerError, match="older than the files"):
            admit(database, destination, [stamp])
        accept_stamps(database, destination, [stamp], by="olga", why="the disk broke")
        admit(database, destination, [stamp])


def test_wrong_credentials(live: Live) -> None:
    """X does not know who is asking: one request says so, nothing is rejected, and tomorrow all is sent."""
    world = live()
    for number in range(9):
        world.put(DAY, f"more-{number}")
    assert sync(world, "401") == 1
    assert states(world) == "pending"
    world.pass_time(24 * HOUR)
    assert sync(world) == 4
    assert states(world) == "accepted"


def test_two_runs_at_once(live: Live) -> None:
    """A whole second run, at each moment of the first: one of them sends an order, and both end well."""
    world = live()
    for number, moment in enumerate(("after_claim", "on its way", "on its way back", "after_post", "after_settle")):
        world.orders[DAY].clear()
        for order in range(9):
            world.put(DAY, f"{number}-{order}")
        world.run(DAY, {(moment, 2): lambda: world.run(DAY) and None})
        world.run(DAY)
        assert states(world) == "accepted"
    assert set(world.x.taken.values()) == {1}
    assert len(world.x.taken) == 45


def test_a_day_at_the_limit(tmp_path: Path) -> None:
    """Ninety orders where X takes forty in fifteen minutes and twelve requests in one, with a 429 in between."""
    world = World(tmp_path)
    for number in range(90):
        world.put(DAY, str(number))
    assert sync(world, "taken", "taken", "429") == 31
    assert states(world) == "accepted"
    assert 1800 < world.elapsed < 2100


def test_the_same_orders_are_the_same_requests(tmp_path: Path) -> None:
    """Two shops with the same orders: request by request, byte by byte."""
    bodies: list[list[bytes]] = []
    for shop in ("one", "another"):
        world = World(tmp_path / shop, limits=UNBOUNDED)
        for number in range(10):
            world.put(DAY, str(number), is_bad=number == 4)
        world.x.echoes = False
        world.run(DAY)
        bodies.append(world.x.bodies)
    assert bodies[0] == bodies[1]
    assert len(bodies[0]) > 4
