"""Runs that share a ledger: what each may send, and what each learns of the others."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.keys import Fingerprints, Keys
from xcapi_dagster.delivery.ledger import Claim, Ledger, Wait
from xcapi_dagster.delivery.records import Request, RequestState, Settlement, Verdict
from xcapi_dagster.delivery.safeguards import Destination, admit
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.errors import DeliveryHaltedError, LedgerError

LIMITS = Limits(events=10**6, requests=10**4)
HOUR = 3600.0

OpenLedger = Callable[..., Ledger]
Query = Callable[..., list[Any]]
Overtake = Callable[..., tuple[Ledger, Claim, Ledger]]


class Clock(Protocol):
    """Unix seconds that a test sets."""

    now: float


def keys_of(ledger: Ledger, *names: str) -> Keys:
    """The keys of the conversions with these ids."""
    return ledger.keys(["opurch1"] * len(names), names)


def fingerprints_of(keys: Keys) -> Fingerprints:
    """Other fingerprints for other keys, with the upper bit set in some."""
    return keys["low"].astype(np.uint64)


def heard(ledger: Ledger, *names: str) -> list[int]:
    """The request last heard of each conversion."""
    return [int(request) for request in ledger.memory.look_up(keys_of(ledger, *names)).heard]


def claim(ledger: Ledger, *names: str, known: Sequence[int] | None = None, parent: Request | None = None) -> Claim:
    """Ask to send these conversions, of which this run knows what it has heard."""
    keys = keys_of(ledger, *names)
    known_now = np.array(heard(ledger, *names) if known is None else known, np.uint32)
    leave = ledger.claim("2026-09-21", keys, fingerprints_of(keys), known_now, parent=parent, share=1.0)
    assert not isinstance(leave, Wait)
    return leave


def settle(ledger: Ledger, claimed: Claim, state: RequestState, *names: str, **more: Any) -> None:
    """Record how the request that carried these conversions ended."""
    keys = keys_of(ledger, *names)
    ledger.settle(claimed.request, keys, fingerprints_of(keys), Settlement(state, **more))


def send(ledger: Ledger, state: RequestState, *names: str, **more: Any) -> int:
    """A request with these conversions that ended so; returns its id."""
    claimed = claim(ledger, *names)
    settle(ledger, claimed, state, *names, **more)
    return claimed.request.id


@pytest.fixture
def overtake(ledger_url: str, open_ledger: OpenLedger, query: Query) -> Overtake:
    """Make a run that was given up for dead while it sent these conversions, its request, and another run."""

    def made(*names: str) -> tuple[Ledger, Claim, Ledger]:
        slow = open_ledger(ledger_url, "slow")
        claimed = claim(slow, *names)
        query(ledger_url, "UPDATE owner SET lease_until = 0")
        return slow, claimed, open_ledger(ledger_url, "other")

    return made


def rejection(request_id: int, keys: Keys, position: int) -> tuple[int, Verdict]:
    """X refused the conversion at this position."""
    ruling = Verdict(
        state="rejected",
        fingerprint=int(fingerprints_of(keys)[position]),
        request_id=request_id,
        since=request_id,
        reason_code="api_hashed_email",
        detail="hashed_email (***) is not a valid SHA-256 hash",
        isolated_by="echoed_value",
        at=1.0,
    )
    return position, ruling


def state_of(ledger: Ledger, name: str) -> str | None:
    """The state of the request that last carried a conversion, as this run knows it."""
    request_id = int(ledger.memory.look_up(keys_of(ledger, name)).requests[0])
    request = ledger.memory.requests.get(request_id)
    return request.state if request else None


def test_a_claim_is_durable_before_anything_is_sent(ledger_url: str, open_ledger: OpenLedger, query: Query) -> None:
    """The request is in the database with its owner, its keys in the order of the body, and when it may be sent."""
    ledger = open_ledger(ledger_url, "run-1")
    claimed = claim(ledger, "a", "b", "c")
    keys = keys_of(ledger, "a", "b", "c")
    assert claimed.kept.tolist() == [0, 1, 2]
    rows = query(
        ledger_url,
        "SELECT request.id, state, size, keys, fingerprints, request.run_id, partition, owner.run_id, pid"
        " FROM request JOIN owner ON owner.id = owner_id",
    )
    assert [tuple(map(_plain, row)) for row in rows] == [
        (
            claimed.request.id,
            "in_flight",
            3,
            keys.tobytes(),
            fingerprints_of(keys).tobytes(),
            "run-1",
            "2026-09-21",
            "run-1",
            os.getpid(),
        )
    ]
    first_sent_at, claimed_at = query(ledger_url, "SELECT first_sent_at, claimed_at FROM request")[0]
    assert first_sent_at == claimed_at == claimed.request.first_sent_at


def test_a_host_may_have_a_name_as_long_as_any(ledger_url: str, open_ledger: OpenLedger, query: Query) -> None:
    """Of 253 characters (RFC 1035: 255 octets with the lengths of its labels), with a port and the longest ids."""
    host = ".".join(["h" * 63] * 3 + ["h" * 61]) + ":65535"
    account, scope = f"{host}|{'a' * 64}", f"{host}|{'p' * 64}"
    ledger = open_ledger(ledger_url, account=account, scope=scope)
    admit(ledger._database, Destination(host=host, name="purchases", scope=scope, event_id="o87ne"), [])
    claimed = claim(ledger, "a", "b")
    ruled = [rejection(claimed.request.id, keys_of(ledger, "a", "b"), 1)]
    settle(ledger, claimed, "accepted", "a", "b", verdicts=ruled, requests_left=7, resets_in=60.0)
    for table in ("request", "spending", "allowance"):
        assert query(ledger_url, f"SELECT account FROM {table}") == [(account,)]
    for table in ("request", "verdict", "instance"):
        assert query(ledger_url, f"SELECT scope FROM {table}") == [(scope,)]


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value


def test_no_identifier_and_no_conversion_id_is_in_the_ledger(sqlite_url: str, open_ledger: OpenLedger) -> None:
    """The file and its log hold keyed hashes; the order's id is nowhere."""
    ledger = open_ledger(sqlite_url)
    send(ledger, "accepted", "order-4711")
    folder = Path(sqlite_url.removeprefix("sqlite:///")).parent
    assert not any(b"order-4711" in path.read_bytes() for path in folder.iterdir())


def test_a_settlement_is_written_with_what_x_said(ledger_url: str, open_ledger: OpenLedger, query: Query) -> None:
    """State, status, debug id and message stand in the request's row."""
    ledger = open_ledger(ledger_url)
    send(ledger, "held", "a", http_status=200, debug_id="d-1", message="it processed 2 conversions of 1")
    told = ("held", 200, "d-1", "it processed 2 conversions of 1")
    assert query(ledger_url, "SELECT state, http_status, debug_id, message FROM request") == [told]
    (row,) = ledger.requests_of("2026-09-21")
    assert (row["state"], row["http_status"], row["debug_id"], row["message"]) == told
    assert row["settled_at"] >= row["claimed_at"]
    assert ledger.requests_of("2026-09-22") == []


def test_others_learn_of_a_claim_and_of_how_it_ended(ledger_url: str, open_ledger: OpenLedger) -> None:
    """What one run claims is in flight for the other, and then accepted."""
    one, other = open_ledger(ledger_url, "run-1"), open_ledger(ledger_url, "run-2")
    claimed = claim(one, "a", "b")
    assert heard(other, "a", "b") == [0, 0]
    other.refresh()
    assert heard(other, "a", "b", "c") == [claimed.request.id, claimed.request.id, 0]
    assert state_of(other, "a") == "in_flight"
    settle(one, claimed, "accepted", "a", "b")
    assert state_of(one, "a") == "accepted"
    other.refresh()
    assert state_of(other, "a") == "accepted"
    assert heard(other, "a", "b", "c") == [claimed.request.id, claimed.request.id, 0]


def test_a_later_run_finds_everything(ledger_url: str, open_ledger: OpenLedger) -> None:
    """Accepted, unknown and held conversions are remembered with their fingerprints; refused requests tell nothing."""
    first = open_ledger(ledger_url, "run-1")
    ids = {state: send(first, state, state) for state in ("accepted", "unknown", "held", "refused", "not_processed")}
    later = open_ledger(ledger_url, "run-2")
    assert heard(later, *ids) == [ids["accepted"], ids["unknown"], ids["held"], 0, 0]
    keys = keys_of(later, "accepted")
    assert later.memory.look_up(keys).fingerprints.tolist() == fingerprints_of(keys).tolist()


@pytest.mark.parametrize("state", ["refused", "not_processed"])
def test_what_was_not_processed_is_as_before(state: RequestState, ledger_url: str, open_ledger: OpenLedger) -> None:
    """A conversion in doubt stays so when its next request is not processed, for this run and for others."""
    one, other = open_ledger(ledger_url, "run-1"), open_ledger(ledger_url, "run-2")
    unknown = send(one, "unknown", "a")
    other.refresh()
    again = claim(other, "a", "b")
    one.refresh()
    assert heard(one, "a", "b") == [again.request.id] * 2
    settle(other, again, state, "a", "b")
    one.refresh()
    assert heard(one, "a", "b") == heard(other, "a", "b") == [unknown, 0]


def test_a_claim_leaves_out_what_another_run_took(ledger_url: str, open_ledger: OpenLedger, query: Query) -> None:
    """Of a batch that was cut before another run claimed some of it, the rest alone is kept."""
    one, other = open_ledger(ledger_url, "run-1"), open_ledger(ledger_url, "run-2")
    claim(one, "b")
    send(one, "accepted", "d")
    claimed = claim(other, "a", "b", "c", "d", "e", known=[0] * 5)
    assert claimed.kept.tolist() == [0, 2, 4]
    assert claimed.request.size == 3
    stored = query(ledger_url, "SELECT keys FROM request WHERE run_id = 'run-2'")[0][0]
    assert bytes(stored) == keys_of(other, "a", "c", "e").tobytes()


def test_a_claim_of_nothing_writes_nothing(ledger_url: str, open_ledger: OpenLedger, query: Query) -> None:
    """When others took all of a batch there is no request."""
    one, other = open_ledger(ledger_url, "run-1"), open_ledger(ledger_url, "run-2")
    claim(one, "a")
    claimed = claim(other, "a", known=[0])
    assert (claimed.request, claimed.kept.tolist()) == (None, [])
    assert query(ledger_url, "SELECT count(*) FROM request") == [(1,)]


def test_a_claim_leaves_out_what_was_rejected_meanwhile(ledger_url: str, open_ledger: OpenLedger) -> None:
    """A row that another run found X to refuse is not sent again by a run that knew it as new."""
    one, other = open_ledger(ledger_url, "run-1"), open_ledger(ledger_url, "run-2")
    claimed = claim(one, "a", "b")
    verdict = rejection(claimed.request.id, keys_of(one, "a", "b"), 1)
    settle(one, claimed, "refused", "a", "b", verdicts=[verdict])
    assert claim(other, "a", "b", known=[0, 0]).kept.tolist() == [0]


def test_a_verdict_is_the_same_after_the_database(ledger_url: str, open_ledger: OpenLedger) -> None:
    """Each field of a verdict, a fingerprint with its upper bit set among them, comes back as it was."""
    one = open_ledger(ledger_url, "run-1")
    claimed = claim(one, "a")
    position, ruling = rejection(claimed.request.id, keys_of(one, "a"), 0)
    verdict = Verdict(**{name: getattr(ruling, name) for name in Verdict.__slots__} | {"fingerprint": 2**64 - 2})
    settle(one, claimed, "refused", "a", verdicts=[(position, verdict)])
    later = open_ledger(ledger_url, "run-2")
    for ledger in (one, later):
        assert ledger.memory.look_up(keys_of(ledger, "x", "a")).verdicts == {1: verdict}


def test_a_run_does_not_send_its_own_conversions_twice_at_once(ledger_url: str, open_ledger: OpenLedger) -> None:
    """What this run has in flight is not claimed again by another of its senders."""
    ledger = open_ledger(ledger_url)
    claimed = claim(ledger, "a", "b")
    assert claim(ledger, "b", "c", known=[0, 0]).kept.tolist() == [1]
    settle(ledger, claimed, "not_processed", "a", "b")
    assert claim(ledger, "b", known=[0]).kept.tolist() == [0]


def test_other_pixels_are_other_conversions(ledger_url: str, open_ledger: OpenLedger) -> None:
    """What one pixel accepted is new to another."""
    send(open_ledger(ledger_url, "run-1", scope="loopback|odemo1"), "accepted", "a")
    assert heard(open_ledger(ledger_url, "run-2", scope="loopback|odemo2"), "a") == [0]


def ended_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("sign", ["its process has ended", "its lease ran out"])
def test_what_the_dead_had_in_flight_is_unknown(
    sign: str, ledger_url: str, open_ledger: OpenLedger, query: Query
) -> None:
    """Requests of a run that is gone may have been sent: a run that starts, and one that runs, call them unknown."""
    dead, running = open_ledger(ledger_url, "dead"), open_ledger(ledger_url, "running")
    claimed = claim(dead, "a")
    running.refresh()
    assert state_of(running, "a") == "in_flight"
    change = f"pid = {ended_pid()}" if sign == "its process has ended" else "lease_until = 0"
    query(ledger_url, f"UPDATE owner SET {change} WHERE run_id = 'dead'")
    later = open_ledger(ledger_url, "later")
    running.refresh()
    assert heard(later, "a") == heard(running, "a") == [claimed.request.id]
    assert state_of(later, "a") == state_of(running, "a") == "unknown"
    assert query(ledger_url, "SELECT state, settled_at IS NULL FROM request")[0] in [("unknown", 0), ("unknown", False)]


def test_a_run_learns_what_it_gives_up_in_a_transaction_in_which_it_settles(
    ledger_url: str, open_ledger: OpenLedger, query: Query
) -> None:
    """All changes of a transaction bear one number: a claim that waits for the dead adds to that of what it settles."""
    dead = open_ledger(ledger_url, "dead")
    running = open_ledger(ledger_url, "running", limits=replace(LIMITS, events=2))
    send(running, "accepted", "before")
    in_flight, lost = claim(running, "a"), claim(dead, "b")
    running.refresh()
    query(ledger_url, "UPDATE owner SET lease_until = 0 WHERE run_id = 'dead'")
    settlement, waiting = Settlement("accepted"), running._database._waiting
    keys, wanted = keys_of(running, "a"), keys_of(running, "c")
    asked = (
        lambda: running.settle(in_flight.request, keys, fingerprints_of(keys), settlement),
        lambda: running.claim(
            "2026-09-21", wanted, fingerprints_of(wanted), np.zeros(1, np.uint32), parent=None, share=1.0
        ),
    )
    with ThreadPoolExecutor(len(asked)) as pool:
        with running._database.transaction():
            answers = []
            for number, ask in enumerate(asked, start=1):
                answers.append(pool.submit(ask))
                while len(waiting) < number:  # for this transaction, in their order
                    assert not any(each.done() for each in answers)
        assert isinstance(answers[1].result(), Wait)
        answers[0].result()
    running.refresh()
    assert heard(running, "b") == [lost.request.id]
    assert state_of(running, "b") == "unknown"


def test_what_the_dead_had_in_flight_by_a_clock_that_was_ahead_is_unknown(
    sqlite_url: str, open_ledger: OpenLedger, clock: Clock, query: Query
) -> None:
    """The machine was started anew and its clock set right: nobody waits until it is as late as it was then."""
    clock.now += 30 * 24 * HOUR
    claim(open_ledger(sqlite_url, "dead"), "a")
    query(sqlite_url, "UPDATE owner SET boot = 'an earlier one'")
    clock.now -= 30 * 24 * HOUR
    assert state_of(open_ledger(sqlite_url, "later"), "a") == "unknown"


def test_a_run_lives_on_when_a_clock_that_was_ahead_is_set_right(
    sqlite_url: str, open_ledger: OpenLedger, clock: Clock
) -> None:
    """Of a process of this machine one knows that it lives: what it has in flight stays its own."""
    clock.now += 30 * 24 * HOUR
    alive = open_ledger(sqlite_url, "alive")
    claimed = claim(alive, "a")
    clock.now -= 30 * 24 * HOUR
    assert state_of(open_ledger(sqlite_url, "other"), "a") == "in_flight"
    alive.refresh()
    settle(alive, claimed, "not_processed", "a")
    assert state_of(open_ledger(sqlite_url, "later"), "a") is None


@pytest.mark.parametrize("elsewhere", ["host", "boot"])
def test_a_process_number_means_nothing_elsewhere(
    elsewhere: str, ledger_url: str, open_ledger: OpenLedger, query: Query
) -> None:
    """A run on another machine, or in another container, lives as long as its lease, whatever runs here."""
    remote = open_ledger(ledger_url, "remote")
    claim(remote, "a")
    query(ledger_url, f"UPDATE owner SET pid = {ended_pid()}, {elsewhere} = 'another' WHERE run_id = 'remote'")
    assert state_of(open_ledger(ledger_url, "later"), "a") == "in_flight"


def test_a_changed_account_does_not_leave_conversions_in_flight_for_ever(
    ledger_url: str, open_ledger: OpenLedger, query: Query
) -> None:
    """A run of the same pixel finds the dead also when the account was configured otherwise."""
    claim(open_ledger(ledger_url, "dead", account="wrong"), "a")
    query(ledger_url, "UPDATE owner SET lease_until = 0")
    assert state_of(open_ledger(ledger_url, "later", account="right"), "a") == "unknown"


def test_leaving_gives_up_what_is_in_flight(ledger_url: str, open_ledger: OpenLedger) -> None:
    """A run that ends without an answer leaves the request unknown, at once and not after its lease."""
    ledger = open_ledger(ledger_url, "run-1")
    claim(ledger, "a")
    ledger.__exit__(None, None, None)
    assert state_of(open_ledger(ledger_url, "run-2"), "a") == "unknown"


def test_a_heartbeat_keeps_a_run_alive(sqlite_url: str, open_ledger: OpenLedger, clock: Clock) -> None:
    """With a beat before the lease of 300 s ends, a run goes on for as long as it takes."""
    ledger = open_ledger(sqlite_url, "slow")
    claimed = claim(ledger, "a")
    for _ in range(4):
        clock.now += 290
        ledger._lease.prolong()
    assert state_of(open_ledger(sqlite_url, "other"), "a") == "in_flight"
    ledger.check_lease()
    settle(ledger, claimed, "accepted", "a")


def test_a_run_that_stood_still_sends_nothing_more(sqlite_url: str, open_ledger: OpenLedger, clock: Clock) -> None:
    """After 300 s without a beat others may have taken over: no claim, no POST, and no beat brings the lease back."""
    ledger = open_ledger(sqlite_url, "slow")
    clock.now += 300
    ledger._lease.prolong()
    with pytest.raises(DeliveryHaltedError, match="lease"):
        claim(ledger, "a")
    with pytest.raises(DeliveryHaltedError, match="lease"):
        ledger.check_lease()


def test_the_lease_ends_by_either_clock(ledger_url: str) -> None:
    """A wall clock that was set back does not hide that a process stood still."""
    uptime = 1000.0
    ledger = Ledger(Database(ledger_url), account="a", scope="s", run_id="r", limits=LIMITS, steady=lambda: uptime)
    with ledger:
        ledger.check_lease()
        uptime += 300
        with pytest.raises(DeliveryHaltedError):
            ledger.check_lease()


@pytest.mark.parametrize("state", ["accepted", "held"])
def test_a_late_answer_counts_when_it_is_certain(
    state: RequestState, ledger_url: str, open_ledger: OpenLedger, overtake: Overtake
) -> None:
    """Given up as unknown and answered after all: what X certainly did is what the ledger says."""
    slow, claimed, other = overtake("a")
    settle(slow, claimed, state, "a")
    other.refresh()
    later = open_ledger(ledger_url, "later")
    assert [state_of(each, "a") for each in (slow, other, later)] == [state] * 3


@pytest.mark.parametrize("state", ["refused", "not_processed", "unknown"])
def test_a_late_answer_that_is_not_certain_leaves_it_unknown(
    state: RequestState, ledger_url: str, open_ledger: OpenLedger, overtake: Overtake
) -> None:
    """All runs agree on unknown, the late one and those that come after it."""
    slow, claimed, other = overtake("a")
    settle(slow, claimed, state, "a")
    other.refresh()
    later = open_ledger(ledger_url, "later")
    assert [state_of(each, "a") for each in (slow, other, later)] == ["unknown"] * 3


def test_a_late_refusal_leaves_it_in_doubt_for_all(
    ledger_url: str, open_ledger: OpenLedger, overtake: Overtake
) -> None:
    """Also the row that X named: it is looked up and listed as what it is in the ledger, unknown."""
    slow, claimed, other = overtake("a", "b")
    settle(slow, claimed, "refused", "a", "b", verdicts=[rejection(claimed.request.id, keys_of(slow, "a"), 0)])
    other.refresh()
    for each in (slow, other, open_ledger(ledger_url, "later")):
        known = each.memory.look_up(keys_of(each, "a", "b"))
        assert (known.requests.tolist(), known.verdicts) == ([claimed.request.id] * 2, {})
        assert len(each.entries_of("unknown").keys) == 2


@pytest.mark.parametrize("state", ["accepted", "held"])
def test_a_late_answer_is_seen_by_the_claim_that_would_send_again(state: RequestState, overtake: Overtake) -> None:
    """Given up as unknown, looked up to be sent once more, answered before that is claimed: nothing is left to send."""
    slow, given_up, other = overtake("a", "b")
    keys = keys_of(other, "a", "b", "c")
    known = other.memory.look_up(keys)
    parent = other.memory.requests[given_up.request.id]
    assert parent.state == "unknown"
    settle(slow, given_up, state, "a", "b")
    resent = {"parent": parent, "share": 1.0, "moment": known.moment}
    leave = other.claim("2026-09-21", keys, fingerprints_of(keys), known.heard, **resent)
    assert isinstance(leave, Claim)
    assert leave.kept.tolist() == [2]


def test_a_late_acceptance_is_seen_behind_a_later_verdict(overtake: Overtake) -> None:
    """Given up, sent once more and refused as one of a group, to be tried again: its first request was accepted."""
    slow, given_up, other = overtake("a")
    keys = keys_of(other, "a")
    resent = claim(other, "a", parent=other.memory.requests[given_up.request.id])
    position, ruling = rejection(resent.request.id, keys, 0)
    settle(other, resent, "refused", "a", verdicts=[(position, replace(ruling, state="grouped"))])
    known = other.memory.look_up(keys)
    assert known.heard.tolist() == [resent.request.id]
    settle(slow, given_up, "accepted", "a")
    leave = other.claim(
        "2026-09-21", keys, fingerprints_of(keys), known.heard, parent=None, share=1.0, moment=known.moment
    )
    assert isinstance(leave, Claim)
    assert leave.kept.tolist() == []


def test_a_late_answer_does_not_hide_a_later_request(
    ledger_url: str, open_ledger: OpenLedger, overtake: Overtake
) -> None:
    """When the resent request was accepted, a late acceptance of the first changes nothing for anybody."""
    slow, first, other = overtake("a")
    second = send(other, "accepted", "a")
    settle(slow, first, "held", "a")
    other.refresh()
    assert heard(other, "a") == heard(open_ledger(ledger_url, "later"), "a") == [second]


@pytest.mark.parametrize("state", ["unknown", "held", "refused", "not_processed"])
def test_nothing_later_hides_what_x_accepted(
    state: RequestState, ledger_url: str, open_ledger: OpenLedger, overtake: Overtake
) -> None:
    """A run was given up and its order sent in its place; then its answer came: X has the order, whatever else ends."""
    slow, first, other = overtake("a")
    second = claim(other, "a")
    settle(slow, first, "accepted", "a")
    settle(other, second, state, "a")
    for each in (slow, other):
        each.refresh()
    assert [state_of(each, "a") for each in (slow, other, open_ledger(ledger_url, "later"))] == ["accepted"] * 3


def test_the_first_time_sent_is_inherited_and_never_later(
    sqlite_url: str, open_ledger: OpenLedger, clock: Clock
) -> None:
    """A resent request counts from the first, also when the clock was set back in between."""
    ledger = open_ledger(sqlite_url)
    first = claim(ledger, "a")
    settle(ledger, first, "unknown", "a")
    began = clock.now
    clock.now += 200
    second = claim(ledger, "a", parent=first.request)
    settle(ledger, second, "unknown", "a")
    clock.now -= 3600
    third = claim(ledger, "a", parent=second.request)
    assert first.request.first_sent_at == second.request.first_sent_at == began
    assert third.request.first_sent_at == began - 3400


@pytest.mark.parametrize(("hours", "kept"), [(43.9, [0]), (44.0, [])])
def test_nothing_is_resent_after_44_hours(
    hours: float, kept: list[int], sqlite_url: str, open_ledger: OpenLedger, clock: Clock
) -> None:
    """The age is judged when leave is given, however long a batch waited for it."""
    first = open_ledger(sqlite_url, "run-1")
    unknown = claim(first, "a")
    settle(first, unknown, "unknown", "a")
    clock.now += hours * HOUR
    later = open_ledger(sqlite_url, "run-2")
    assert claim(later, "a", parent=unknown.request).kept.tolist() == kept


def test_a_failing_database_is_a_ledger_error(ledger_url: str, open_ledger: OpenLedger, query: Query) -> None:
    """Before a POST nothing is claimed, after it the request stays in flight, and leaving says so too."""
    ledger = open_ledger(ledger_url)
    claimed = claim(ledger, "a")
    query(ledger_url, "ALTER TABLE spending RENAME TO spending_gone")
    with pytest.raises(LedgerError):
        claim(ledger, "b")
    with pytest.raises(LedgerError):
        settle(ledger, claimed, "accepted", "a")
    assert query(ledger_url, "SELECT id, state FROM request") == [(claimed.request.id, "in_flight")]
    query(ledger_url, "ALTER TABLE spending_gone RENAME TO spending")
    assert state_of(ledger, "a") == "in_flight"


def test_after_a_failed_commit_nothing_more_is_claimed(ledger_url: str, open_ledger: OpenLedger) -> None:
    """The run would not learn what others did under the number of the change that was undone."""
    one, other = open_ledger(ledger_url, "one"), open_ledger(ledger_url, "other")
    database = one._database

    def fail(_connection: object) -> None:
        sa.event.remove(database._engine, "commit", fail)
        raise database._driver_error("the disk is full")

    sa.event.listen(database._engine, "commit", fail)
    with pytest.raises(LedgerError):
        claim(one, "a")
    assert claim(other, "b").request is not None
    with pytest.raises(DeliveryHaltedError, match="the ledger failed: this run sends nothing more"):
        claim(one, "b", known=[0])
    assert claim(open_ledger(ledger_url, "next"), "a").request is not None


@pytest.mark.parametrize("ends", ["claim", "answer"])
def test_a_server_that_lags_behind_is_found_out_also_when_another_run_has_counted_on(
    ends: str, postgresql_ledger_url: str, open_ledger: OpenLedger, query: Query
) -> None:
    """It takes the place of one that had what X accepted last; the other run was not told of that, and goes on."""
    url = postgresql_ledger_url
    run, other = open_ledger(url, "run"), open_ledger(url, "other")
    claimed = claim(run, "a")
    send(other, "accepted", "b")
    ((before,),) = query(url, "SELECT value FROM meta WHERE name = 'revision'")
    lost = [send(run, "accepted", "c"), claim(run, "d").request.id]
    query(url, f"DELETE FROM request WHERE id IN ({lost[0]}, {lost[1]})")
    query(url, f"UPDATE meta SET value = '{before}' WHERE name = 'revision'")
    disconnect = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    query(url, f"{disconnect} AND datname = current_database()")
    for name in "efgh":
        send(other, "accepted", name)
    with pytest.raises(LedgerError, match="has forgotten what was written to it"):
        claim(run, "i") if ends == "claim" else settle(run, claimed, "accepted", "a")
    known = Destination("loopback", "purchases", "loopback|odemo1", "opurch1")
    with closing(Database(url)) as database, pytest.raises(LedgerError, match="is older than the files"):
        admit(database, known, [run.latest_stamp()])
    send(other, "accepted", "j")


def test_a_failure_while_leaving_does_not_hide_the_first(sqlite_url: str, clock: Clock) -> None:
    """The exception that ends a run is the one that is seen."""
    database = Database(sqlite_url, clock)
    ledger = Ledger(database, account="a", scope="s", run_id="r", limits=LIMITS, steady=clock)

    def fail() -> None:
        with ledger, database.transaction() as connection:
            connection.exec_driver_sql("DROP TABLE owner")
            connection.exec_driver_sql("COMMIT")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_a_failure_while_leaving_is_seen(sqlite_url: str, clock: Clock) -> None:
    """A run that ended well and cannot give up its lease says so."""
    database = Database(sqlite_url, clock)
    ledger = Ledger(database, account="a", scope="s", run_id="r", limits=LIMITS, steady=clock)

    def leave() -> None:
        with ledger, database.transaction() as connection:
            connection.exec_driver_sql("DROP TABLE owner")

    with pytest.raises(LedgerError):
        leave()


def test_of_many_threads_and_runs_one_alone_gets_each_conversion(ledger_url: str, open_ledger: OpenLedger) -> None:
    """Six threads of two runs that want the same 40 conversions, in other orders, get each once altogether."""
    runs = [open_ledger(ledger_url, "run-1"), open_ledger(ledger_url, "run-2")]
    taken: list[str] = []

    def take(ledger: Ledger, seed: int) -> None:
        names = [f"order-{number}" for number in range(40)]
        random.Random(seed).shuffle(names)
        for start in range(0, 40, 5):
            part = names[start : start + 5]
            claimed = claim(ledger, *part, known=[0] * 5)
            kept = [part[position] for position in claimed.kept]
            taken.extend(kept)
            if claimed.request:
                settle(ledger, claimed, "accepted", *kept)

    threads = [threading.Thread(target=take, args=(runs[seed % 2], seed)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"order-{number}" for number in range(40))


def test_a_look_up_never_misses_what_was_settled(sqlite_url: str, open_ledger: OpenLedger) -> None:
    """While senders settle and the index is merged, another thread always finds what is in it."""
    ledger = open_ledger(sqlite_url, limits=LIMITS)
    send(ledger, "accepted", "first")
    wanted = keys_of(ledger, "first")
    keys = keys_of(ledger, *(f"order-{number}" for number in range(20_000)))
    missed: list[int] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            if ledger.memory.look_up(wanted).requests[0] == 0:
                missed.append(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for request_id, part in enumerate(np.array_split(keys, 400), start=10):
        settled = Request(
            id=request_id, state="accepted", partition="p", run_id="r", owner_id=1, size=len(part), first_sent_at=0.0
        )
        ledger.memory.settle(settled, part, fingerprints_of(part), [])
    is_over.set()
    watcher.join()
    assert missed == []


Step = tuple[int, RequestState, frozenset[str]]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["accepted", "unknown", "held", "refused", "not_processed", "in_flight"]),
        st.frozensets(st.sampled_from("abcdef"), min_size=1),
    ),
    max_size=12,
)


@given(STEPS)
@settings(max_examples=20, deadline=None)
def test_following_along_is_the_same_as_starting_anew(steps: list[Step]) -> None:
    """After any history of two runs, both know of every conversion what a third run finds."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder).resolve()}/ledger.db"
        runs = [Ledger(Database(url), account="a", scope="s", run_id=each, limits=LIMITS) for each in "123"]
        with runs[0], runs[1]:
            for run, state, names in steps:
                runs[run].refresh()
                taken = ("in_flight", "accepted", "held")
                is_free = [name for name in sorted(names) if state_of(runs[run], name) not in taken]
                if is_free:
                    claimed = claim(runs[run], *is_free)
                    if state != "in_flight":
                        settle(runs[run], claimed, state, *is_free)
            for run in runs[:2]:
                run.refresh()
            with runs[2]:
                known = [[(heard(run, name), state_of(run, name)) for name in "abcdef"] for run in runs]
    assert known[0] == known[1] == known[2]
