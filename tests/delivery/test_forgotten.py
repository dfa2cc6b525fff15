"""Tombstones: whoever learns of one sends the order no more, and nothing hides what X has accepted."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.forgotten import Forgotten, leave_tombstone, tombstone_of
from xcapi_dagster.delivery.ledger import Claim, Ledger
from xcapi_dagster.delivery.records import RequestState, Settlement
from xcapi_dagster.delivery.standing import Policy, Standing, standings
from xcapi_dagster.delivery.view import LedgerView

EVENT, SCOPE = "opurch1", "loopback|odemo1"
RESEND = Policy(on_unknown="resend", pixel_also_fires=False)
FINGERPRINT = np.full(1, (1 << 56) + 1, np.uint64)

OpenLedger = Callable[..., Ledger]


def claim(ledger: Ledger, order: str) -> Claim:
    keys = ledger.keys([EVENT], [order])
    known = ledger.memory.look_up(keys).heard
    claimed = ledger.claim("2026-09-21", keys, FINGERPRINT, known, parent=None, share=1.0)
    assert isinstance(claimed, Claim)
    return claimed


def settle(ledger: Ledger, order: str, claimed: Claim, state: RequestState) -> None:
    assert claimed.request is not None
    ledger.settle(claimed.request, ledger.keys([EVENT], [order]), FINGERPRINT, Settlement(state, 200, "d", None))


def standing_of(ledger: Ledger | LedgerView, order: str, now: float) -> Standing:
    keys, times = ledger.keys([EVENT], [order]), np.array([int(now * 1000)])
    return Standing(standings(ledger.memory, keys, FINGERPRINT, times, RESEND, now).standing[0])


def test_a_run_under_way_claims_it_no_more(ledger_url: str, open_ledger: OpenLedger) -> None:
    """The tombstone is there between its look at the ledger and its claim: nothing is kept of the batch."""
    run, operator = open_ledger(ledger_url), open_ledger(ledger_url, "operator")
    keys = run.keys([EVENT], ["A-1"])
    known = run.memory.look_up(keys).heard
    leave_tombstone(operator, "A-1", [(EVENT, "A-1")], by="me@here")
    claimed = run.claim("2026-09-21", keys, FINGERPRINT, known, parent=None, share=1.0)
    assert isinstance(claimed, Claim)
    assert (claimed.request, len(claimed.kept)) == (None, 0)


@pytest.mark.parametrize(
    ("before", "stands"),
    [
        ("accepted", Standing.ACCEPTED),
        ("unknown", Standing.FORGOTTEN),
        ("held", Standing.FORGOTTEN),
        ("not_processed", Standing.FORGOTTEN),
        (None, Standing.FORGOTTEN),
    ],
)
@pytest.mark.parametrize("while_in_flight", [False, True])
def test_nothing_is_sent_and_an_acceptance_is_never_forgotten(
    ledger_url: str,
    open_ledger: OpenLedger,
    clock: Callable[[], float],
    before: RequestState | None,
    stands: Standing,
    *,
    while_in_flight: bool,
) -> None:
    """Whatever became of it before, or becomes of a request that was on its way; for those who learn later too."""
    run, operator = open_ledger(ledger_url), open_ledger(ledger_url, "operator")
    claimed = claim(run, "A-1") if before else None
    if before and claimed and not while_in_flight:
        settle(run, "A-1", claimed, before)
    leave_tombstone(operator, "A-1", [(EVENT, "A-1")], by="me@here")
    if before and claimed and while_in_flight:
        run.refresh()
        settle(run, "A-1", claimed, before)
    run.refresh()
    assert standing_of(run, "A-1", clock()) == stands
    assert standing_of(open_ledger(ledger_url, "later"), "A-1", clock()) == stands
    with closing(Database(ledger_url, clock)) as database:
        told = tombstone_of(LedgerView.of(database, SCOPE), "A-1")
    assert told is not None
    assert (told.state, told.decided_by) == ("forgotten", "me@here")
    assert told.settled_at == pytest.approx(operator.now(), abs=60)


def test_an_order_is_known_by_its_id_whatever_it_is_sent_as(ledger_url: str, open_ledger: OpenLedger) -> None:
    """Those without an id and those of another pixel are not; and a ledger without tombstones knows none."""
    orders = ["A-1", None, "A-2", "a-1", "A-1"]
    operator = open_ledger(ledger_url, "operator")
    with closing(Database(ledger_url)) as database:
        assert not Forgotten.of(database, SCOPE, "shop")
        leave_tombstone(operator, "A-1", [("other", "not the order id")], by="me@here")
        found = Forgotten.of(database, SCOPE, "shop")
        assert not Forgotten.of(database, "loopback|oelse", "shop")
    assert found
    assert found.among(orders).tolist() == [True, False, False, False, True]
    assert Forgotten.known_to(operator).among(orders).tolist() == [True, False, False, False, True]


def test_no_id_is_in_the_ledger(ledger_url: str, open_ledger: OpenLedger, query: Callable[..., list[Any]]) -> None:
    """Who and when are, and hashes."""
    leave_tombstone(open_ledger(ledger_url, "operator"), "A-very-own-order", [(EVENT, "its-conversion")], by="me@here")
    (row,) = query(ledger_url, "SELECT * FROM request")
    assert "me@here" in row
    told = " ".join(bytes(cell).decode("latin-1") if isinstance(cell, bytes) else str(cell) for cell in row)
    assert "very-own" not in told
    assert "its-conversion" not in told
