"""What each kind of answer leads to: settlement, next batches, pause or halt. Pure."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xcapi_dagster.ads_api.responses import Answer, RateHeaders, classify
from xcapi_dagster.conversions.payload import Events
from xcapi_dagster.delivery.batch import Batch
from xcapi_dagster.delivery.decide import Decision, Situation, decide
from xcapi_dagster.delivery.keys import KEY
from xcapi_dagster.delivery.records import Request
from xcapi_dagster.delivery.standing import Policy

NOW = 1_790_000_000.0
HOUR = 3600.0

Event = Callable[..., dict[str, Any]]
MakeEvents = Callable[[Sequence[dict[str, Any]]], Events]
MakeBatch = Callable[..., Batch]

REQUEST = Request(id=7, state="in_flight", partition="p", run_id="r", owner_id=1, size=4, first_sent_at=NOW - 1)


@pytest.fixture
def batch(event: Event, events: MakeEvents) -> MakeBatch:
    """A batch of so many good events, or of these."""

    def made(content: int | Sequence[dict[str, Any]] = 4, **more: Any) -> Batch:
        members = [event(f"order-{n}") for n in range(content)] if isinstance(content, int) else content
        size = len(members)
        keys = np.array([(n, n) for n in range(1, size + 1)], KEY)
        return Batch(
            events=events(members),
            positions=np.arange(size),
            keys=keys,
            fingerprints=np.arange(size, dtype=np.uint64) + np.uint64(100),
            times=np.full(size, int(NOW * 1000)),
            known=np.zeros(size, np.uint32),
            **more,
        )

    return made


def situation(**more: Any) -> Situation:
    """A policy of resending, and jitter that is always half."""
    values = {
        "policy": Policy(on_unknown="resend", pixel_also_fires=False),
        "default_event_id": "opurch1",
        "now": NOW,
        "jitter": lambda: 0.5,
        "patience": 1800.0,
    }
    return Situation(**(values | more))


def decided(batch: Batch, answer: Answer, request: Request = REQUEST, **more: Any) -> Decision:
    """What is to be done about this answer."""
    return decide(batch, request, answer, situation(**more))


def refused(*entries: tuple[str, str], status: int = 400) -> Answer:
    """X's refusal with these parameters and messages."""
    listed = ", ".join(f'{{"code": "INVALID", "parameter": "{p}", "message": "{m}"}}' for p, m in entries)
    body = f'{{"errors": [{listed}]}}'.encode()
    answer = classify(status, {}, body, sent=4, account_id=None, now=NOW)
    assert answer.kind == "refused"
    return answer


def sizes(decision: Decision) -> list[int]:
    """How large the next batches are."""
    return [len(each) for each in decision.batches]


def test_accepted_is_settled_and_done(batch: MakeBatch) -> None:
    """Status, debug id and what X says of the limit are recorded."""
    rate = RateHeaders(remaining=42, reset=NOW + 60)
    decision = decided(batch(), Answer("accepted", 200, debug_id="d-1", rate=rate))
    assert decision.settlement.state == "accepted"
    assert (decision.settlement.http_status, decision.settlement.debug_id) == (200, "d-1")
    assert (decision.settlement.requests_left, decision.settlement.resets_in) == (42, 60)
    assert (decision.batches, decision.halt, decision.settlement.verdicts) == ((), None, ())


def test_a_reset_counts_by_x_s_own_clock(batch: MakeBatch) -> None:
    """A clock that is ten minutes off does not move the reset."""
    answer = Answer("accepted", 200, rate=RateHeaders(remaining=1, reset=NOW + 660), server_date=NOW + 600)
    assert decided(batch(), answer).settlement.resets_in == 60


def test_doubtful_is_held_and_halts(batch: MakeBatch) -> None:
    """A contradictory success is for somebody to look at, and nothing more is sent."""
    decision = decided(batch(), Answer("doubtful", 200, reason="X answered 200, but it processed 3 conversions of 4"))
    assert decision.settlement.state == "held"
    assert "3 conversions of 4" in str(decision.halt)
    assert decision.batches == ()


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_halted_rejects_nothing(batch: MakeBatch, status: int) -> None:
    """What is not about rows stops the run and leaves all rows pending."""
    decision = decided(batch(), Answer("halted", status, reason="correct X_ADS_PIXEL_ID"))
    assert (decision.settlement.state, decision.halt) == ("not_processed", "correct X_ADS_PIXEL_ID")
    assert (decision.batches, decision.settlement.verdicts) == ((), ())


def test_a_wrong_clock_is_corrected_once(batch: MakeBatch) -> None:
    """The batch goes out again, signed by X's clock; the second time the run stops and names the seconds."""
    answer = Answer("clock", 401, reason="this machine's clock differs from X's by +600 s", clock_skew=600.0)
    first = decided(batch(), answer)
    assert (first.settlement.state, first.clock_offset, sizes(first), first.halt) == ("not_processed", 600.0, [4], None)
    second = decided(batch(), answer, clock_was_corrected=True)
    assert (second.batches, second.clock_offset) == ((), None)
    assert "+600 s" in str(second.halt)


def test_a_wrong_clock_without_a_date_halts(batch: MakeBatch) -> None:
    """Nothing says by how much to correct it."""
    decision = decided(batch(), Answer("clock", 401, reason="X finds this machine's clock wrong: correct it"))
    assert (decision.batches, decision.halt) == ((), "X finds this machine's clock wrong: correct it")


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer("throttled", 429, retry_after=7.0), 7.0 + 7.5),
        (Answer("throttled", 429, rate=RateHeaders(reset=NOW + 120)), 120.0 + 7.5),
        (Answer("throttled", 429, retry_after=7.0, rate=RateHeaders(reset=NOW + 120)), 120.0 + 7.5),
        (Answer("throttled", 429, rate=RateHeaders(reset=NOW + 720), server_date=NOW + 600), 120.0 + 7.5),
        (Answer("throttled", 429, retry_after=0.2), 1.0 + 7.5),
        (Answer("throttled", 429, retry_after=86_400.0), 1200.0 + 7.5),
        (Answer("throttled", 429), 22.5),
        (Answer("throttled", 429, retry_after=0.0), 22.5),
        (Answer("throttled", 429, rate=RateHeaders(reset=NOW - 5)), 22.5),
    ],
    ids=["retry-after", "reset", "both", "other clock", "too short", "absurd", "nothing", "zero", "past"],
)
def test_a_429_makes_all_wait(batch: MakeBatch, answer: Answer, seconds: float) -> None:
    """As long as X says, between 1 s and 20 min, spread over 15 s; without a word between 15 and 30 s."""
    decision = decided(batch(), answer)
    assert (decision.settlement.state, decision.settlement.blocked_for) == ("not_processed", seconds)
    assert (sizes(decision), decision.halt) == ([4], None)


def test_without_a_word_the_wait_doubles_until_patience_ends(batch: MakeBatch) -> None:
    """22.5 s, then twice as long each time up to 20 min; the run stops before it has waited for half an hour."""
    waiting, waits, halt = batch(), [], None
    while halt is None:
        decision = decided(waiting, Answer("throttled", 429))
        waits.append(decision.settlement.blocked_for)
        waiting, halt = (decision.batches or [waiting])[0], decision.halt
    assert waits == [22.5, 45.0, 90.0, 180.0, 360.0, 720.0, 900.0]
    assert "wait" in halt
    assert decision.batches == ()


def test_not_sent_is_tried_four_times(batch: MakeBatch) -> None:
    """X cannot have it: pauses of up to 1, 2 and 4 s, then the run stops with everything pending."""
    waiting, pauses = batch(), []
    for _ in range(3):
        decision = decided(waiting, Answer("not_sent", reason="the host refuses connections"))
        assert (decision.settlement.state, decision.gave_up) == ("not_processed", False)
        pauses.append(decision.pause)
        (waiting,) = decision.batches
    assert pauses == [0.5, 1.0, 2.0]
    last = decided(waiting, Answer("not_sent", reason="the host refuses connections"))
    assert (last.batches, last.settlement.state) == ((), "not_processed")
    assert "the host refuses connections" in str(last.halt)


def test_unknown_is_resent_three_times_after_it(batch: MakeBatch) -> None:
    """Each follows the request before it, so that the first time sent is inherited; then the batch stays unknown."""
    waiting, request = batch(), REQUEST
    for number in range(3):
        decision = decided(waiting, Answer("unknown", 504), request)
        (waiting,) = decision.batches
        assert decision.settlement.state == "unknown"
        assert (waiting.parent, waiting.known.tolist()) == (request, [request.id] * 4)
        assert decision.pause == 0.5 * 2**number
        request = replace(request, id=request.id + 1)
    last = decided(waiting, Answer("unknown", 504), request)
    assert (last.settlement.state, last.batches, last.gave_up, last.halt) == ("unknown", (), True, None)


def test_hold_never_resends(batch: MakeBatch) -> None:
    """An operator decides, from the first time on."""
    decision = decided(batch(), Answer("unknown"), policy=Policy(on_unknown="hold", pixel_also_fires=False))
    assert (decision.settlement.state, decision.batches, decision.gave_up) == ("unknown", (), True)


@pytest.mark.parametrize(("hours", "resent"), [(43.9, [4]), (44.0, [])])
def test_unknown_has_a_horizon(batch: MakeBatch, hours: float, resent: list[int]) -> None:
    """Nothing is sent again 44 h after the first of its requests."""
    request = replace(REQUEST, first_sent_at=NOW - hours * HOUR)
    assert sizes(decided(batch(), Answer("unknown"), request)) == resent


@pytest.mark.parametrize(("asked", "blocked"), [(None, None), (7.0, 7.0), (86_400.0, 1200.0)])
def test_unknown_with_retry_after_blocks_all(batch: MakeBatch, asked: float | None, blocked: float | None) -> None:
    """A 503 that asks to wait is a wait for everybody, of 20 minutes at most."""
    assert decided(batch(), Answer("unknown", 503, retry_after=asked)).settlement.blocked_for == blocked


def test_too_large_is_halved_and_not_counted_as_refused(batch: MakeBatch) -> None:
    """Two halves in order, which are no parts of a refused batch and cost nothing of its budget."""
    whole = batch(5)
    decision = decided(whole, Answer("too_large", 413))
    assert (decision.settlement.state, sizes(decision)) == ("not_processed", [2, 3])
    assert [list(half.keys["low"]) for half in decision.batches] == [[1, 2], [3, 4, 5]]
    assert [half.refused_since for half in decision.batches] == [0, 0]
    assert whole.budget.posts == 39


def test_one_event_that_is_too_large_is_rejected(batch: MakeBatch) -> None:
    """It cannot be halved."""
    ((position, ruling),) = decided(batch(1), Answer("too_large", 413)).settlement.verdicts
    assert (position, ruling.state, ruling.reason_code) == (0, "rejected", "api_unrecognised")


def test_an_echoed_value_rejects_its_row_and_resends_the_others(batch: MakeBatch, event: Event) -> None:
    """One more POST carries the rest, in their order."""
    members = [event("1"), event("2", value="20"), event("3"), event("4")]
    decision = decided(batch(members), refused(("value", 'Expected Double, got \\"20\\" for value')))
    ((position, ruling),) = decision.settlement.verdicts
    assert (decision.settlement.state, position, ruling.state) == ("refused", 1, "rejected")
    assert (ruling.fingerprint, ruling.request_id, ruling.reason_code) == (101, REQUEST.id, "api_value")
    (rest,) = decision.batches
    assert list(rest.keys["low"]) == [1, 3, 4]
    assert (rest.parent, rest.refused_since, rest.budget.posts) == (REQUEST, REQUEST.id, 38)


def test_without_a_value_the_batch_is_halved(batch: MakeBatch) -> None:
    """Nothing is rejected on a guess."""
    decision = decided(batch(), refused(("hashed_email", "hashed_email is not a valid SHA-256 hash")))
    assert (decision.settlement.state, decision.settlement.verdicts, sizes(decision)) == ("refused", (), [2, 2])
    assert [half.refused_since for half in decision.batches] == [REQUEST.id] * 2


@pytest.mark.parametrize(("refused_since", "isolated_by", "since"), [(0, "alone", 7), (3, "bisection", 3)])
def test_the_only_row_is_the_one(batch: MakeBatch, refused_since: int, isolated_by: str, since: int) -> None:
    """A refused request with one conversion is about that, under the first error that is about rows."""
    answer = refused(("", "Something new"), ("hashed_email", "hashed_email is not a valid SHA-256 hash"))
    decision = decided(batch(1, refused_since=refused_since), answer)
    ((_, ruling),) = decision.settlement.verdicts
    assert (ruling.state, ruling.reason_code, ruling.isolated_by) == ("rejected", "api_hashed_email", isolated_by)
    assert (ruling.request_id, ruling.since) == (7, since)
    assert (decision.settlement.state, list(decision.batches)) == ("refused", [])


def test_words_that_nobody_knows_are_only_a_suspicion(batch: MakeBatch) -> None:
    """The row alone is refused, but X may refuse everything in these words."""
    ((_, ruling),) = decided(batch(1), refused(("", "Something new"))).settlement.verdicts
    assert (ruling.state, ruling.reason_code, ruling.detail) == ("suspected", "api_unrecognised", "Something new")


@pytest.mark.parametrize(
    ("since", "last_accepted", "state"),
    [
        ({}, 6, "suspected"),
        ({"refused_since": 3}, 2, "suspected"),
        ({"refused_since": 3}, 4, "rejected"),
        ({"refused_since": 3, "suspected_since": 5}, 4, "suspected"),
        ({"refused_since": 3, "suspected_since": 5}, 6, "rejected"),
    ],
)
def test_what_x_accepts_between_two_refusals_decides(
    batch: MakeBatch, since: dict[str, int], last_accepted: int, state: str
) -> None:
    """It began to refuse the row, took others, and refuses it again: then the row is at fault."""
    decision = decided(batch(1, **since), refused(("", "Something new")), last_accepted=last_accepted)
    ((_, ruling),) = decision.settlement.verdicts
    assert (ruling.state, decision.batches, decision.afterwards) == (state, (), ())


def test_a_suspected_row_is_tried_once_more_after_the_others(batch: MakeBatch) -> None:
    """Once alone, and only while a POST is left."""
    first = batch(1, refused_since=3)
    decision = decided(first, refused(("", "Something new")), last_accepted=4, others_wait=True)
    assert [ruling.state for _, ruling in decision.settlement.verdicts] == ["suspected"]
    (again,) = decision.afterwards
    assert (again.suspected_since, again.known.tolist(), again.parent) == (REQUEST.id, [REQUEST.id], REQUEST)
    assert decided(again, refused(("", "Something new")), others_wait=True).afterwards == ()
    assert first.budget.take(38)
    assert decided(first, refused(("", "Something new")), others_wait=True).afterwards == ()


def test_a_spent_budget_leaves_a_group(batch: MakeBatch) -> None:
    """No POST is left for two halves: all four wait together, and none is rejected."""
    spent = batch()
    assert spent.budget.take(38)
    decision = decided(spent, refused(("", "Something new")))
    assert decision.batches == ()
    assert [(position, ruling.state, ruling.reason_code) for position, ruling in decision.settlement.verdicts] == [
        (position, "grouped", "api_group_held") for position in range(4)
    ]


def test_a_spent_budget_still_rejects_what_is_certain(batch: MakeBatch, event: Event) -> None:
    """The echoed row is rejected; the others wait as a group."""
    spent = batch([event("1"), event("2", value="20"), event("3")])
    assert spent.budget.take(39)
    decision = decided(spent, refused(("value", 'Expected Double, got \\"20\\" for value')))
    assert {position: ruling.state for position, ruling in decision.settlement.verdicts} == {
        0: "grouped",
        1: "rejected",
        2: "grouped",
    }
    assert decision.batches == ()


@pytest.mark.parametrize("configured", ["opurch1", "tw-odemo1-opurch1"])
@pytest.mark.parametrize(
    "message",
    ["event_id (opurch1) is not a single event tag (SET)", "event_id is not a single event tag (SET)"],
)
def test_the_configured_event_halts_and_rejects_nothing(batch: MakeBatch, configured: str, message: str) -> None:
    """It is a setting that is wrong, not rows, also when another error stands before it and nothing is echoed."""
    answer = refused(("hashed_email", "hashed_email (x) is not a valid SHA-256 hash"), ("event_id", message))
    decision = decided(batch(), answer, default_event_id=configured)
    assert (decision.settlement.state, decision.settlement.verdicts, decision.batches) == ("not_processed", (), ())
    assert "X_ADS_EVENT_ID" in str(decision.halt)
    assert "not a single event tag" in str(decision.halt)


def test_an_event_of_rows_is_refused_with_all_its_rows(batch: MakeBatch, event: Event) -> None:
    """Both forms of the id are rejected together and the others go out in one POST."""
    members = [event("1"), event("2", event_id="nosuch"), event("3", event_id="tw-odemo1-nosuch"), event("4")]
    answer = refused(("event_id", "event_id (nosuch) does not belong to provided account"), status=404)
    decision = decided(batch(members), answer)
    assert [(position, ruling.state) for position, ruling in decision.settlement.verdicts] == [
        (1, "rejected"),
        (2, "rejected"),
    ]
    assert (sizes(decision), decision.halt) == ([2], None)


@pytest.mark.parametrize("bad", [[0], [499], [250], [17, 18], [0, 499], [249, 250], [100, 400]])
def test_bisection_finds_two_bad_rows_within_the_cap(batch: MakeBatch, bad: list[int]) -> None:
    """Against an X that says nothing useful: 19 POSTs for one bad row in 500, at most 35 for two, all good accepted."""
    accepted, rejected, posts, ids = set(), set(), 0, itertools.count(8)
    todo = [batch(500)]
    while todo:
        current = todo.pop()
        numbers = [int(number) - 1 for number in current.keys["low"]]
        request = replace(REQUEST, id=next(ids), size=len(current))
        posts += 1
        if set(numbers) & set(bad):
            decision = decided(current, refused(("", "Something is wrong")), request)
            rejected |= {numbers[position] for position, ruling in decision.settlement.verdicts}
            assert all(ruling.state == "suspected" for _, ruling in decision.settlement.verdicts)
            todo += reversed(decision.batches)
        else:
            accepted |= set(numbers)
    assert (accepted, rejected) == (set(range(500)) - set(bad), set(bad))
    assert posts <= (19 if len(bad) == 1 else 35)
