"""What is in doubt: found, held when it is another order by now, and settled by an operator's word."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pytest

from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.doubt import HELD_BY, Resolution, doubts, hold_what_changed, resolve
from xcapi_dagster.delivery.keys import Entries
from xcapi_dagster.delivery.ledger import Claim, Ledger
from xcapi_dagster.delivery.records import RequestState, Settlement, Verdict, VerdictState
from xcapi_dagster.delivery.standing import Policy, Standing, standings

DAY = "2026-09-21"
HOUR = 3600.0
RESEND = Policy(on_unknown="resend", pixel_also_fires=False)
HOLD = Policy(on_unknown="hold", pixel_also_fires=False)
BESIDE_PIXEL = Policy(on_unknown="resend", pixel_also_fires=True)

Query = Callable[..., list[Any]]
OpenLedger = Callable[..., Ledger]


class Clock(Protocol):
    """Unix seconds that a test sets."""

    now: float


@pytest.fixture
def make(chunk: Callable[..., Chunk], event: Callable[..., dict[str, Any]]) -> Callable[..., Chunk]:
    """The conversions with these ids, as a partition has them now."""

    def made(ledger: Ledger, *names: str, version: int = 1, age_hours: float = 1.0) -> Chunk:
        return chunk(ledger, [event(name) for name in names], version=version, age_hours=age_hours)

    return made


Make = Callable[..., Chunk]


def sent(ledger: Ledger, some: Chunk, state: RequestState, partition: str = DAY) -> int:
    """A request with these conversions that ended so; returns its id."""
    known = ledger.memory.look_up(some.keys).heard
    leave = ledger.claim(partition, some.keys, some.fingerprints, known, parent=None, share=1.0)
    assert isinstance(leave, Claim)
    assert leave.request is not None
    ledger.settle(leave.request, some.keys, some.fingerprints, Settlement(state))
    return leave.request.id


def refused(ledger: Ledger, some: Chunk, state: VerdictState, *, code: str = "api_price_currency") -> int:
    """A request with these conversions that X refused, ruling ``state`` on each; returns its id."""
    known = ledger.memory.look_up(some.keys).heard
    leave = ledger.claim(DAY, some.keys, some.fingerprints, known, parent=None, share=1.0)
    assert isinstance(leave, Claim)
    assert leave.request is not None
    request_id = leave.request.id
    verdicts = [
        (
            position,
            Verdict(
                state=state,
                fingerprint=int(fingerprint),
                request_id=request_id,
                since=request_id,
                reason_code=code,
                detail=None,
                isolated_by="value",
                at=ledger.now(),
            ),
        )
        for position, fingerprint in enumerate(some.fingerprints)
    ]
    ledger.settle(leave.request, some.keys, some.fingerprints, Settlement("refused", verdicts=verdicts))
    return request_id


def stand(ledger: Ledger, some: Chunk, policy: Policy = RESEND) -> list[Standing]:
    """Where the conversions stand now."""
    found = standings(ledger.memory, some.keys, some.fingerprints, some.times, policy, ledger.refresh())
    return [Standing(each) for each in found.standing]


def held_now(ledger: Ledger, policy: Policy = RESEND) -> list[tuple[int, str]]:
    """How many conversions of each request an operator must decide about, and why."""
    return [(doubt.conversions, doubt.why) for doubt in doubts(ledger, policy)]


@pytest.fixture(params=["same", "another"])
def look(request: pytest.FixtureRequest, ledger_url: str, open_ledger: OpenLedger) -> Callable[[], Ledger]:
    """The run that did something, or one that learns of it from the database."""
    first: list[Ledger] = []

    def opened() -> Ledger:
        if request.param == "another" and first:
            return open_ledger(ledger_url, f"run-{len(first) + 1}")
        if not first:
            first.append(open_ledger(ledger_url))
        return first[0]

    return opened


def test_what_is_as_it_was_is_left_to_the_policy(sqlite_url: str, open_ledger: OpenLedger, make: Make) -> None:
    """An order in doubt that is still in the partition, unchanged, may be resent."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a", "b"), "unknown")
    hold_what_changed(ledger, DAY, [make(ledger, "b"), make(ledger, "a", "c")], RESEND)
    assert stand(ledger, make(ledger, "a", "b")) == [Standing.UNSURE, Standing.UNSURE]
    assert held_now(ledger) == []


def test_what_changed_or_is_gone_is_held(look: Callable[[], Ledger], make: Make, ledger_url: str, query: Query) -> None:
    """Each of them, with the reason, by this package's own name; and the order's return changes nothing."""
    ledger = look()
    request_id = sent(ledger, make(ledger, "same", "changed", "gone"), "unknown")
    hold_what_changed(ledger, DAY, [make(ledger, "same"), make(ledger, "changed", version=2)], RESEND)
    later = look()
    assert stand(later, make(later, "same", "gone")) == [Standing.UNSURE, Standing.HELD]
    assert stand(later, make(later, "changed", version=2)) == stand(later, make(later, "changed")) == [Standing.HELD]
    assert held_now(later) == [
        (1, "the order has changed since it was sent"),
        (1, "the order can no longer be sent, or is no longer in its partition"),
    ]
    assert query(ledger_url, "SELECT parent_id, decided_by, http_status FROM request WHERE state = 'held'") == 2 * [
        (request_id, HELD_BY, None)
    ]


def test_what_is_gone_is_held_once(look: Callable[[], Ledger], make: Make) -> None:
    """An order that moved to another partition: an operator who knows is not asked again before that is synced."""
    ledger = look()
    sent(ledger, make(ledger, "moved"), "unknown")
    hold_what_changed(ledger, DAY, [], RESEND)
    resolve(ledger, doubts(ledger, RESEND), "resend", by="ann", why="it is in the next day now")
    later = look()
    hold_what_changed(later, DAY, [], RESEND)
    assert stand(later, make(later, "moved")) == [Standing.RELEASED]
    assert doubts(later, RESEND) == []


def test_what_is_gone_only_after_an_operator_s_word_is_held(look: Callable[[], Ledger], make: Make) -> None:
    """He wanted it sent and did not know that it would not be."""
    ledger = look()
    sent(ledger, make(ledger, "gone"), "held")
    resolve(ledger, doubts(ledger, RESEND), "resend", by="ann", why="once more")
    later = look()
    hold_what_changed(later, DAY, [], RESEND)
    assert stand(later, make(later, "gone")) == [Standing.HELD]


def test_beside_the_pixel_what_became_too_old_is_held(sqlite_url: str, open_ledger: OpenLedger, make: Make) -> None:
    """X could not deduplicate it against the pixel's copy, so the policy may not resend it."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a"), "unknown")
    hold_what_changed(ledger, DAY, [make(ledger, "a", age_hours=45)], BESIDE_PIXEL)
    assert held_now(ledger, BESIDE_PIXEL) == [
        (1, "the order is so old that X could not deduplicate it against the pixel's copy")
    ]


@pytest.mark.parametrize("state", ["accepted", "held", "refused", "not_processed"])
def test_only_the_unknown_are_looked_at(
    state: RequestState, sqlite_url: str, open_ledger: OpenLedger, make: Make
) -> None:
    """What was answered is left alone, also when it is no longer in its partition."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a"), state)
    before = stand(ledger, make(ledger, "a"))
    hold_what_changed(ledger, DAY, [], RESEND)
    assert stand(ledger, make(ledger, "a")) == before


def test_another_partition_s_doubts_are_its_own(sqlite_url: str, open_ledger: OpenLedger, make: Make) -> None:
    """A partition can say nothing of orders that were sent for another."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a"), "unknown", partition="2026-09-20")
    hold_what_changed(ledger, DAY, [], RESEND)
    assert stand(ledger, make(ledger, "a")) == [Standing.UNSURE]


def test_what_another_run_accepted_meanwhile_is_not_held(ledger_url: str, open_ledger: OpenLedger, make: Make) -> None:
    """The ledger is asked again in the transaction that would hold it."""
    slow, quick = open_ledger(ledger_url, "slow"), open_ledger(ledger_url, "quick")
    sent(slow, make(slow, "a"), "unknown")
    quick.refresh()
    doubtful = slow.memory.entries_of("unknown")
    sent(quick, make(quick, "a"), "accepted")
    assert slow.overrule(doubtful, "held", by=HELD_BY, why="gone") == 0
    assert stand(slow, make(slow, "a")) == [Standing.ACCEPTED]


def test_a_word_is_about_what_was_known(ledger_url: str, open_ledger: OpenLedger, make: Make) -> None:
    """What another run has sent once more since, and heard nothing of, it does not decide."""
    slow, quick = open_ledger(ledger_url, "slow"), open_ledger(ledger_url, "quick")
    sent(slow, make(slow, "a"), "unknown")
    doubtful = slow.memory.entries_of("unknown")
    quick.refresh()
    sent(quick, make(quick, "a"), "unknown")
    assert slow.overrule(doubtful, "lost", by=HELD_BY, why="X never got it") == 0
    assert stand(slow, make(slow, "a")) == [Standing.UNSURE]


@pytest.mark.parametrize(
    ("policy", "hours", "expected"),
    [
        (RESEND, 43.9, []),
        (RESEND, 44.0, [(2, "the answer never came")]),
        (RESEND, -43.9, []),
        (RESEND, -44.0, [(2, "the answer never came")]),
        (HOLD, 0.1, [(2, "the answer never came")]),
    ],
)
def test_an_operator_is_asked_when_the_policy_ends(
    policy: Policy,
    hours: float,
    expected: list[tuple[int, str]],
    sqlite_url: str,
    open_ledger: OpenLedger,
    make: Make,
    clock: Clock,
) -> None:
    """With `resend` after 44 hours from the first send or by a clock that was ahead then, with `hold` at once."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a", "b"), "unknown")
    clock.now += hours * HOUR
    ledger = open_ledger(sqlite_url, "later")
    assert held_now(ledger, policy) == expected


def test_what_was_resent_and_accepted_is_in_doubt_no_more(sqlite_url: str, open_ledger: OpenLedger, make: Make) -> None:
    """Of a request only the conversions that it still answers for are listed."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a", "b", "c"), "held")
    ledger.overrule(ledger.memory.entries_of("held").where(np.array([True, False, False])), "lost", by="me", why="x")
    assert [conversions for conversions, _ in held_now(ledger)] == [2]


def test_what_x_refused_when_it_was_sent_again_is_in_doubt_no_more(look: Callable[[], Ledger], make: Make) -> None:
    """X refuses a request whole, so that the one before, with the same order, was refused as well: nobody has it."""
    ledger = look()
    sent(ledger, make(ledger, "a", "b"), "unknown")
    refused(ledger, make(ledger, "a"), "rejected")
    later = look()
    assert held_now(later, HOLD) == [(1, "the answer never came")]
    assert stand(later, make(later, "a", "b"), HOLD) == [Standing.REJECTED, Standing.UNKNOWN]
    hold_what_changed(later, DAY, [make(later, "a", version=2)], HOLD)
    assert held_now(later, HOLD) == [(1, "the order can no longer be sent, or is no longer in its partition")]
    assert stand(later, make(later, "a", version=2), HOLD) == [Standing.NEW]


@pytest.mark.parametrize(
    "code", ["api_event_id", "api_conversion_time", "api_conversion_id", "api_unrecognised", "api_group_held"]
)
def test_x_may_have_what_it_refused_for_another_reason_than_what_it_is(
    code: str, look: Callable[[], Ledger], make: Make
) -> None:
    """The event tag may have gone meanwhile, the order grown too old, or X may say that it has it: a doubt."""
    ledger = look()
    sent(ledger, make(ledger, "a"), "unknown")
    refused(ledger, make(ledger, "a"), "rejected", code=code)
    later = look()
    assert stand(later, make(later, "a")) == [Standing.REJECTED]
    assert stand(later, make(later, "a", version=2)) == [Standing.HELD]
    hold_what_changed(later, DAY, [make(later, "a", version=2)], RESEND)
    assert held_now(later) == [(1, "the order has changed since it was sent")]
    assert resolve(later, doubts(later, RESEND), "lost", by="ann", why="X has none") == 1
    assert stand(later, make(later, "a", version=2)) == [Standing.NEW]


def test_an_old_refusal_keeps_no_mended_order_from_being_sent(
    sqlite_url: str, open_ledger: OpenLedger, make: Make, clock: Clock
) -> None:
    """It is new, as if it had never been sent: in one request with others, and not late by its first sending."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a"), "unknown")
    refused(ledger, make(ledger, "a"), "rejected")
    clock.now += 45 * HOUR
    later = open_ledger(sqlite_url, "later")
    mended = make(later, "a", version=2)
    assert later.memory.look_up(mended.keys).requests.tolist() == [0]
    again = sent(later, mended, "unknown")
    assert later.memory.requests[again].first_sent_at == clock.now
    assert stand(later, mended) == [Standing.UNSURE]


def test_x_may_have_what_it_refused_together_with_others(look: Callable[[], Ledger], make: Make) -> None:
    """The request before may have been taken all the same: a change, or the operator's word, is about that one."""
    ledger = look()
    sent(ledger, make(ledger, "a", "b", "c"), "unknown")
    refused(ledger, make(ledger, "a", "b", "c"), "grouped")
    hold_what_changed(ledger, DAY, [make(ledger, "b"), make(ledger, "a", version=2)], RESEND)
    later = look()
    assert stand(later, make(later, "a", "b", "c")) == [Standing.HELD, Standing.GROUPED, Standing.HELD]
    found = doubts(later, HOLD)
    assert [doubt.conversions for doubt in found] == [1, 1, 1]
    assert resolve(later, found, "lost", by="ann", why="X has none of them") == 3
    assert stand(later, make(later, "a", "b", "c")) == [Standing.NEW] * 3
    assert doubts(later, HOLD) == []


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [("accepted", Standing.ACCEPTED), ("lost", Standing.NEW), ("resend", Standing.RELEASED)],
)
def test_an_operator_s_word_is_recorded_and_counts(
    resolution: Resolution,
    expected: Standing,
    look: Callable[[], Ledger],
    make: Make,
    ledger_url: str,
    query: Query,
) -> None:
    """Who, why and when are kept; the request itself stays as it was; nothing is left to decide."""
    ledger = look()
    sent(ledger, make(ledger, "a", "b"), "held")
    sent(ledger, make(ledger, "c"), "held")
    chosen = doubts(ledger, RESEND)[:1]
    assert resolve(ledger, chosen, resolution, by="ann@shop", why="Ads Manager shows two") == 2
    later = look()
    assert stand(later, make(later, "a", "b", "c")) == [expected, expected, Standing.HELD]
    assert len(doubts(later, RESEND)) == 1
    told = "SELECT id, parent_id, state, size, decided_by, message FROM request ORDER BY id"
    assert query(ledger_url, told) == [
        (1, None, "held", 2, None, None),
        (2, None, "held", 1, None, None),
        (3, 1, resolution, 2, "ann@shop", "Ads Manager shows two"),
    ]


def test_what_counts_as_accepted_is_compared_with_what_was_sent(
    sqlite_url: str, open_ledger: OpenLedger, make: Make
) -> None:
    """An operator's word says that X has the order as it was sent: another form of it is a change."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a"), "held")
    resolve(ledger, doubts(ledger, RESEND), "accepted", by="ann", why="seen")
    assert stand(ledger, make(ledger, "a", version=2)) == [Standing.CHANGED]


def test_an_old_order_that_is_released_is_sent_once_and_never_by_itself_again(
    sqlite_url: str, open_ledger: OpenLedger, make: Make, clock: Clock
) -> None:
    """Its first send stays the first: when the answer fails to come once more, it is held at once."""
    ledger = open_ledger(sqlite_url)
    sent(ledger, make(ledger, "a"), "unknown")
    clock.now += 50 * HOUR
    ledger = open_ledger(sqlite_url, "later")
    resolve(ledger, doubts(ledger, RESEND), "resend", by="ann", why="once more")
    some = make(ledger, "a")
    parent = ledger.memory.requests[int(ledger.memory.look_up(some.keys).requests[0])]
    known = ledger.memory.look_up(some.keys).heard
    refused = ledger.claim(DAY, some.keys, some.fingerprints, known, parent=parent, share=1.0)
    assert isinstance(refused, Claim)
    assert refused.request is None
    leave = ledger.claim(DAY, some.keys, some.fingerprints, known, parent=parent, share=1.0, may_be_late=True)
    assert isinstance(leave, Claim)
    assert leave.request is not None
    ledger.settle(leave.request, some.keys, some.fingerprints, Settlement("unknown"))
    assert stand(ledger, some) == [Standing.HELD]


def test_what_is_adopted_counts_as_if_it_had_been_sent(
    look: Callable[[], Ledger], make: Make, ledger_url: str, query: Query
) -> None:
    """More conversions than fit in a request, without a fingerprint: accepted, and never called changed."""
    ledger = look()
    names = [f"order-{number}" for number in range(1201)]
    some = make(ledger, *names)
    ledger.adopt(DAY, some.keys, "accepted", by="ann", why="from the files")
    later = look()
    assert (
        set(stand(later, make(later, *names)))
        == set(stand(later, make(later, *names, version=2)))
        == {Standing.ACCEPTED}
    )
    assert query(ledger_url, "SELECT size, decided_by FROM request ORDER BY id") == [
        (500, "ann"),
        (500, "ann"),
        (201, "ann"),
    ]


def test_no_entries_change_nothing(sqlite_url: str, open_ledger: OpenLedger, query: Query) -> None:
    """Deciding about nothing writes nothing."""
    ledger = open_ledger(sqlite_url)
    nothing = Entries(*(column[:0] for column in ledger.memory.entries_of("unknown")))
    assert ledger.overrule(nothing, "held", by="x", why="y") == 0
    ledger.adopt(DAY, nothing.keys, "accepted", by="x", why="y")
    assert query(sqlite_url, "SELECT count(*) FROM request") == [(0,)]
