"""Where a conversion stands, from the smallest history that puts it there, and what the files say of that."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from xcapi_dagster.delivery.keys import KEY, Keys
from xcapi_dagster.delivery.memory import Memory
from xcapi_dagster.delivery.outcomes import Outcomes, outcomes
from xcapi_dagster.delivery.records import Request, RequestState, Verdict, VerdictState
from xcapi_dagster.delivery.standing import Policy, Standing, Standings, standings

NOW = 1_790_000_000.0
HOUR = 3600.0
VERSION_1, VERSION_2 = 1 << 56, 2 << 56  # the normalizer's version is a fingerprint's upper byte
SENT = VERSION_1 + 17
RESEND = Policy(on_unknown="resend", pixel_also_fires=False)
HOLD = Policy(on_unknown="hold", pixel_also_fires=False)
RESEND_BESIDE_PIXEL = Policy(on_unknown="resend", pixel_also_fires=True)

KEY_OF_A = np.array([(1, 1)], KEY)


class History:
    """What became of one conversion, request after request."""

    def __init__(self) -> None:
        self.memory = Memory("scope")
        self._ids = itertools.count(1)

    def request(
        self,
        state: RequestState,
        *,
        hours_ago: float = 1.0,
        fingerprint: int = SENT,
        keys: Keys = KEY_OF_A,
        run: str = "r",
    ) -> int:
        """One more request with the conversion; returns its id."""
        request = Request(
            id=next(self._ids),
            state=state,
            partition="p",
            run_id=run,
            owner_id=1,
            size=len(keys),
            first_sent_at=NOW - hours_ago * HOUR,
            settled_at=NOW,
            http_status=200,
            debug_id="d-1",
        )
        self.memory.claim(request, keys)
        if state != "in_flight":
            self.memory.settle(request, keys, np.full(len(keys), fingerprint, np.uint64), [])
        return request.id

    def settle(self, request_id: int, state: RequestState) -> None:
        """The answer to a request that had been given up came after all."""
        told = replace(self.memory.requests[request_id], state=state)
        self.memory.settle(told, KEY_OF_A, np.array([SENT], np.uint64), [])

    def ruled(self, state: VerdictState, *, fingerprint: int = SENT, since: int = 0) -> int:
        """One more request, which was refused because of the conversion, or of a group with it."""
        request_id = next(self._ids)
        request = Request(
            id=request_id,
            state="refused",
            partition="p",
            run_id="r",
            owner_id=1,
            size=1,
            first_sent_at=NOW - HOUR,
            http_status=400,
        )
        code = {"rejected": "api_hashed_email", "suspected": "api_unrecognised", "grouped": "api_group_held"}[state]
        ruling = Verdict(
            state=state,
            fingerprint=fingerprint,
            request_id=request_id,
            since=since or request_id,
            reason_code=code,
            detail="what X said",
            isolated_by="bisection",
            at=NOW,
        )
        self.memory.claim(request, KEY_OF_A)
        self.memory.settle(request, KEY_OF_A, np.array([fingerprint], np.uint64), [(0, ruling)])
        return request_id

    def known(
        self, policy: Policy = RESEND, *, fingerprint: int = SENT, age_hours: float = 1.0, now: float = NOW
    ) -> Standings:
        """Where the conversion stands when the order is ``age_hours`` old."""
        times = np.array([(NOW - age_hours * HOUR) * 1000], np.int64)
        return standings(self.memory, KEY_OF_A, np.array([fingerprint], np.uint64), times, policy, now)

    def standing(self, policy: Policy = RESEND, **now: float) -> Standing:
        """The same, the standing alone."""
        return Standing(self.known(policy, **now).standing[0])

    def outcome(self, policy: Policy = RESEND, **now: float) -> Outcomes:
        """What the files will say."""
        return outcomes(self.memory, KEY_OF_A, self.known(policy, **now), "r")


@pytest.fixture
def history() -> History:
    """A conversion of which the ledger knows nothing."""
    return History()


def test_never_sent_is_new(history: History) -> None:
    """A conversion without a request may be sent, and is pending until then."""
    assert history.standing() == Standing.NEW
    assert (history.outcome().state[0], history.outcome().reason_code[0]) == ("pending", None)
    assert history.outcome().request_id[0].as_py() is None


@pytest.mark.parametrize("state", ["refused", "not_processed"])
def test_a_request_that_was_not_processed_leaves_it_new(history: History, state: RequestState) -> None:
    """Nothing was taken, so it may be sent again."""
    history.request(state)
    assert history.standing() == Standing.NEW


def test_accepted_is_final(history: History) -> None:
    """Accepted years ago and the pixel fires too: accepted, with the request that did it."""
    request_id = history.request("accepted", hours_ago=9_000)
    for policy in (RESEND, HOLD, RESEND_BESIDE_PIXEL):
        assert history.standing(policy, age_hours=9_000) == Standing.ACCEPTED
    told = history.outcome()
    assert (told.state[0], told.reason_code[0], told.request_id[0].as_py()) == ("accepted", None, request_id)
    assert (told.http_status[0].as_py(), told.debug_id[0].as_py(), told.settled_at[0].as_py()) == (200, "d-1", NOW)
    assert told.first_sent_at[0].as_py() == NOW - 9_000 * HOUR


@pytest.mark.parametrize(("run", "by_this_run"), [("r", True), ("another", False)])
def test_accepted_by_whom(history: History, run: str, by_this_run: bool) -> None:  # noqa: FBT001
    """The outcome tells what this run did apart from what was accepted already."""
    history.request("accepted", run=run)
    assert history.outcome().by_this_run.tolist() == [by_this_run]


def test_another_payload_than_accepted_is_changed(history: History) -> None:
    """The order differs from what X has: reported, with the request that was accepted, and not sent."""
    request_id = history.request("accepted")
    assert history.standing(fingerprint=SENT + 1) == Standing.CHANGED
    told = history.outcome(fingerprint=SENT + 1)
    assert (told.state[0], told.reason_code[0]) == ("changed", "changed_after_acceptance")
    assert told.request_id[0].as_py() == request_id


def test_another_version_of_the_normalizer_is_no_change(history: History) -> None:
    """Fingerprints of other versions cannot be compared: the order stays accepted."""
    history.request("accepted")
    assert history.standing(fingerprint=VERSION_2 + 99) == Standing.ACCEPTED


def test_in_flight_is_elsewhere(history: History) -> None:
    """What is being sent is pending here, also when its last request's answer never came."""
    history.request("unknown")
    history.request("in_flight")
    assert history.standing() == Standing.ELSEWHERE
    assert (history.outcome().state[0], history.outcome().request_id[0].as_py()) == ("pending", None)


@pytest.mark.parametrize(
    ("policy", "hours_ago", "expected"),
    [
        (RESEND, 1.0, Standing.UNSURE),
        (RESEND, 43.0, Standing.UNSURE),
        (RESEND, 44.0, Standing.HELD),
        (RESEND, 45.0, Standing.HELD),
        (HOLD, 1.0, Standing.UNKNOWN),
        (HOLD, 43.0, Standing.UNKNOWN),
        (HOLD, 45.0, Standing.HELD),
    ],
)
def test_unknown_is_a_policy_with_a_horizon(
    history: History, policy: Policy, hours_ago: float, expected: Standing
) -> None:
    """Sent again within 44 h of the first send where the policy says so; after that an operator decides."""
    history.request("unknown", hours_ago=hours_ago)
    assert history.standing(policy) == expected
    told = history.outcome(policy)
    assert told.state[0] == ("held" if expected == Standing.HELD else "unknown")
    assert (told.reason_code[0], told.request_id[0].as_py()) == ("unknown_outcome", 1)


@pytest.mark.parametrize("policy", [RESEND, HOLD])
def test_unknown_and_changed_is_held(history: History, policy: Policy) -> None:
    """X may have the old state of the order: neither is sent."""
    history.request("unknown")
    assert history.standing(policy, fingerprint=SENT + 1) == Standing.HELD


def test_unknown_and_another_version_may_be_resent(history: History) -> None:
    """An upgrade is no change of the order."""
    history.request("unknown")
    assert history.standing(fingerprint=VERSION_2 + 99) == Standing.UNSURE


def test_a_contradictory_success_is_held(history: History) -> None:
    """A 200 that contradicts itself waits for an operator under any policy and at any age."""
    history.request("held")
    for policy in (RESEND, HOLD):
        assert history.standing(policy) == Standing.HELD
    assert history.outcome().state[0] == "held"


@pytest.mark.parametrize(("age_hours", "expected"), [(43.0, Standing.NEW), (45.0, Standing.TOO_LATE)])
def test_too_late_beside_the_pixel(history: History, age_hours: float, expected: Standing) -> None:
    """After 44 h X could not tell the pixel's copy from ours."""
    assert history.standing(RESEND_BESIDE_PIXEL, age_hours=age_hours) == expected
    assert history.standing(RESEND, age_hours=age_hours) == Standing.NEW


def test_what_too_late_is_called(history: History) -> None:
    """The file says that it was not sent and why."""
    told = history.outcome(RESEND_BESIDE_PIXEL, age_hours=49.0)
    assert (told.state[0], told.reason_code[0]) == ("too_late", "too_late_to_deduplicate")
    assert told.request_id[0].as_py() is None


def test_unknown_and_too_late_is_held(history: History) -> None:
    """X may have it already, so it is not simply too late."""
    history.request("unknown", hours_ago=20.0)
    assert history.standing(RESEND_BESIDE_PIXEL, age_hours=45.0) == Standing.HELD


def test_rejected_is_final_for_this_payload(history: History) -> None:
    """The order that X refused stays rejected, with X's reason; another payload is new."""
    request_id = history.ruled("rejected")
    assert history.standing() == Standing.REJECTED
    told = history.outcome()
    assert (told.state[0], told.reason_code[0], told.detail[0]) == ("rejected", "api_hashed_email", "what X said")
    assert (told.isolated_by[0], told.request_id[0].as_py(), told.http_status[0].as_py()) == (
        "bisection",
        request_id,
        400,
    )
    assert history.standing(fingerprint=SENT + 1) == Standing.NEW


def test_rejected_is_not_too_late(history: History) -> None:
    """What X refused was refused, however old the order is now."""
    history.ruled("rejected")
    assert history.standing(RESEND_BESIDE_PIXEL, age_hours=100.0) == Standing.REJECTED


def test_refused_after_a_doubt_is_rejected(history: History) -> None:
    """The resent conversion was refused, which settles it."""
    history.request("unknown")
    history.ruled("rejected")
    for policy in (RESEND, HOLD):
        assert history.standing(policy) == Standing.REJECTED


def test_accepted_after_all_is_accepted(history: History) -> None:
    """Given up, sent once more and rejected; then it is heard that X has accepted the first."""
    first = history.request("unknown")
    history.ruled("rejected")
    history.settle(first, "accepted")
    assert history.standing() == Standing.ACCEPTED
    assert history.outcome().request_id[0].as_py() == first


def test_accepted_after_all_and_another_since_is_changed(history: History) -> None:
    """Given up, declared lost, and rejected as it is now; then it is heard that X has accepted the first, as it was."""
    first = history.request("unknown")
    history.request("lost")
    history.ruled("rejected", fingerprint=SENT + 1)
    history.settle(first, "accepted")
    assert Standing(history.known(fingerprint=SENT + 1).standing[0]) == Standing.CHANGED
    assert history.known().known.verdicts == {}


def test_a_request_after_a_verdict_counts_more(history: History) -> None:
    """Corrected at X and accepted since: accepted."""
    history.ruled("rejected")
    history.request("accepted")
    assert history.standing() == Standing.ACCEPTED
    history.ruled("grouped")
    history.request("in_flight")
    assert history.standing() == Standing.ELSEWHERE


def test_a_group_may_be_sent_again(history: History) -> None:
    """A conversion that was refused with others is pending and may go out in a small batch."""
    request_id = history.ruled("grouped")
    assert history.standing() == Standing.GROUPED
    told = history.outcome()
    assert (told.state[0], told.reason_code[0], told.request_id[0].as_py()) == ("pending", "api_group_held", request_id)
    assert history.standing(fingerprint=SENT + 1) == Standing.NEW
    assert history.standing(RESEND_BESIDE_PIXEL, age_hours=45.0) == Standing.TOO_LATE


@pytest.mark.parametrize(
    ("policy", "hours_ago", "expected"),
    [(RESEND, 1.0, Standing.GROUPED), (RESEND, 45.0, Standing.HELD), (HOLD, 1.0, Standing.UNKNOWN)],
)
def test_a_group_in_doubt_is_sent_only_as_the_doubt_allows(
    history: History, policy: Policy, hours_ago: float, expected: Standing
) -> None:
    """Resent, refused with others and still not settled: policy and horizon of the first request stand."""
    history.request("unknown", hours_ago=hours_ago)
    history.ruled("grouped")
    assert history.standing(policy) == expected


def test_a_group_that_an_operator_released_is_sent_whatever_its_age(history: History) -> None:
    """Refused with others since: the word is kept."""
    history.request("resend", hours_ago=45.0)
    history.ruled("grouped")
    assert history.standing(RESEND_BESIDE_PIXEL, age_hours=50.0) == Standing.GROUPED


def test_a_suspected_row_is_tried_again_like_a_group(history: History) -> None:
    """Refused alone in words that nobody knows: whatever X accepts, this row may be as good."""
    history.ruled("suspected", since=history.request("refused"))
    told = history.outcome()
    assert (told.state[0], told.reason_code[0], told.detail[0]) == ("pending", "api_group_held", "what X said")
    history.request("accepted", keys=np.array([(2, 2)], KEY))
    assert history.standing() == Standing.GROUPED


def test_what_was_heard_last_is_what_a_claim_compares(history: History) -> None:
    """A verdict is news as a request is; the request in doubt stays the one that a resent one follows."""
    unknown = history.request("unknown")
    grouped = history.ruled("grouped")
    known = history.known().known
    assert (known.requests.tolist(), known.heard.tolist()) == ([unknown], [grouped])
    accepted = history.request("accepted")
    known = history.known().known
    assert (known.requests.tolist(), known.heard.tolist()) == ([accepted], [accepted])


def test_many_conversions_stand_each_for_itself() -> None:
    """Of five conversions in one look-up, each has its own standing, time and fingerprint."""
    history = History()
    keys = np.array([(number, 7) for number in range(5)], KEY)
    history.request("accepted", keys=keys[[1, 2]])
    history.request("unknown", keys=keys[[3]], hours_ago=43)
    fingerprints = np.array([SENT, SENT, SENT + 1, SENT, SENT], np.uint64)
    times = np.array([(NOW - hours * HOUR) * 1000 for hours in (1, 99, 99, 1, 99)], np.int64)
    found = standings(history.memory, keys, fingerprints, times, RESEND_BESIDE_PIXEL, NOW)
    assert [Standing(each) for each in found.standing] == [
        Standing.NEW,
        Standing.ACCEPTED,
        Standing.CHANGED,
        Standing.UNSURE,
        Standing.TOO_LATE,
    ]
    told = outcomes(history.memory, keys, found, "r")
    assert told.state.tolist() == ["pending", "accepted", "changed", "unknown", "too_late"]
    assert told.request_id.tolist() == [None, 1, 1, 2, None]
