"""When the answers together say that a run must stop."""

from collections.abc import Sequence

import pytest

from xcapi_dagster.delivery.breaker import Breaker
from xcapi_dagster.delivery.records import RequestState, Settlement, Verdict, VerdictState


def settlement(state: RequestState, *verdicts: tuple[VerdictState, int], code: str = "api_value") -> Settlement:
    """A request that ended so, with so many verdicts of each kind."""
    states = [each for each, count in verdicts for _ in range(count)]
    rulings = [
        Verdict(
            state=each,
            fingerprint=1,
            request_id=1,
            since=1,
            reason_code=code,
            detail="Something new",
            isolated_by=None,
            at=0.0,
        )
        for each in states
    ]
    return Settlement(state, verdicts=list(enumerate(rulings)))


ACCEPTED, UNKNOWN = settlement("accepted"), settlement("unknown")


@pytest.fixture
def breaker() -> Breaker:
    """The default: a fifth of the conversions, three silent batches."""
    return Breaker(0.2, 3)


def notes(breaker: Breaker, settlements: Sequence[tuple[Settlement, int]]) -> list[str | None]:
    """What the breaker says to each, no batch having been given up."""
    return [breaker.note(each, tried, gave_up=False) for each, tried in settlements]


def test_more_than_a_fifth_of_500_stops(breaker: Breaker) -> None:
    """101 of 500 are a mistake in the query; the reason that most have is named."""
    others = settlement("refused", ("rejected", 30), code="api_hashed_email")
    most = settlement("refused", ("rejected", 71))
    said = notes(breaker, [(others, 250), (most, 250)])
    assert said[0] is None
    assert "101 of 500" in str(said[1])
    assert "api_value" in str(said[1])


def test_a_fifth_is_no_reason(breaker: Breaker) -> None:
    """100 of 500 are rejected row by row."""
    assert notes(breaker, [(settlement("refused", ("rejected", 100)), 500), (ACCEPTED, 0)]) == [None, None]


def test_fewer_than_500_say_nothing(breaker: Breaker) -> None:
    """All of 499 may be bad rows."""
    assert notes(breaker, [(settlement("refused", ("rejected", 499)), 499)]) == [None]


def test_bad_rows_of_batches_under_way_are_measured_against_those_batches(breaker: Breaker) -> None:
    """Four batches with 18 % bad rows each, of which none has sent its good rows yet: no reason to stop."""
    assert notes(breaker, [(settlement("refused", ("rejected", 90)), 500)] * 4) == [None] * 4


def test_bad_rows_without_an_echo_stop_after_one_batch(breaker: Breaker) -> None:
    """Where each row that was searched for was bad, the group that was not searched says nothing against it."""
    singles = [(settlement("refused", ("rejected", 1)), 0)] * 15
    said = notes(breaker, [(settlement("refused"), 500), *singles, (settlement("refused", ("grouped", 480)), 0)])
    assert said[:-1] == [None] * 16
    assert "15 of 20" in str(said[-1])


def test_a_group_among_good_rows_is_no_reason(breaker: Breaker) -> None:
    """Three rows found and a group of 200 held, of 500."""
    found = settlement("refused", ("rejected", 3), ("grouped", 200))
    assert notes(breaker, [(settlement("refused"), 500), (found, 0)]) == [None, None]


def test_three_silent_batches_in_a_row_stop(breaker: Breaker) -> None:
    """A batch that X answers begins the count anew."""
    assert [breaker.note(UNKNOWN, 9, gave_up=True) for _ in range(2)] == [None, None]
    assert breaker.note(ACCEPTED, 9, gave_up=False) is None
    said = [breaker.note(UNKNOWN, 9, gave_up=True) for _ in range(3)]
    assert said[:2] == [None, None]
    assert "does not answer" in str(said[2])


def test_three_lone_rows_refused_in_unknown_words_stop_a_run_that_accepted_nothing(breaker: Breaker) -> None:
    """X may refuse everything in these words, which are shown."""
    lone = settlement("refused", ("suspected", 1))
    said = notes(breaker, [(lone, 1)] * 3)
    assert said[:2] == [None, None]
    assert "Something new" in str(said[2])


def test_unknown_words_beside_acceptance_are_about_rows(breaker: Breaker) -> None:
    """When X accepts others, the rows are at fault."""
    lone = settlement("refused", ("suspected", 1))
    assert notes(breaker, [(ACCEPTED, 1), *[(lone, 1)] * 9]) == [None] * 10
