"""Two component instances that send two events to one pixel, with one ledger: each answers for its own orders."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.partitions.conftest import SandboxedShop
from tests.shop import DAY
from xcapi_dagster.delivery.doubt import doubts
from xcapi_dagster.delivery.safeguards import Destination, accept_stamps, admit, unknown_stamps
from xcapi_dagster.errors import LedgerError
from xcapi_dagster.partitions.relearn import relearn
from xcapi_dagster.partitions.stamp import read_stamp
from xcapi_dagster.sandbox import DEMO_SIGN_UP_EVENT_ID

Two = tuple[SandboxedShop, SandboxedShop]


class KilledError(BaseException):
    """The process is gone."""


@pytest.fixture
def two(shop: SandboxedShop) -> Two:
    """An order of purchases, and one of sign-ups."""
    sign_ups = replace(shop, name="sign_ups", event_id=DEMO_SIGN_UP_EVENT_ID, orders=[])
    shop.put("P-1")
    sign_ups.put("S-1")
    return shop, sign_ups


def die(moment: str) -> None:
    """Before anything is sent."""
    if moment == "after_claim":
        raise KilledError


def destination_of(shop: SandboxedShop) -> Destination:
    return Destination("loopback", shop.name, f"loopback|{shop.pixel_id}", shop.event_id)


def arrived(shop: SandboxedShop) -> Counter[str]:
    return Counter(received.conversion["conversion_id"] for received in shop.sandbox.received)


def test_what_is_in_doubt_is_the_other_s_matter(two: Two) -> None:
    """A run of one leaves alone what the other has in doubt, which goes out again as its policy says."""
    purchases, sign_ups = two
    with pytest.raises(KilledError):
        sign_ups.sync(failpoint=die)
    purchases.sync()
    assert len(purchases.rows("requests")) == 1
    with purchases.ledger() as ledger:
        assert ledger.requests_of(DAY)[0]["state"] == "accepted"
        assert doubts(ledger, replace(purchases.policy, on_unknown="hold")) == []
    with sign_ups.ledger() as ledger:
        assert [doubt.conversions for doubt in doubts(ledger, replace(sign_ups.policy, on_unknown="hold"))] == [1]
    sign_ups.sync()
    assert sign_ups.states == {"accepted": 1}
    assert arrived(purchases) == {"P-1": 1, "S-1": 1}


def test_a_ledger_that_was_lost_asks_for_each(two: Two) -> None:
    """When it has learned from the files of one, it still knows nothing of what the other sent."""
    purchases, sign_ups = two
    sign_ups.sync()
    purchases.sync()
    for path in (purchases.folder / "ledger").iterdir():
        path.unlink()
    for shop, other in (two, two[::-1]):
        destination, stamp = destination_of(shop), read_stamp(shop.outputs)
        assert stamp
        with shop.database() as database:
            assert unknown_stamps(database, destination, [stamp]) == [stamp]
        with shop.ledger() as ledger, shop.database() as database:
            relearn(ledger, shop.outputs, by="marie", why="the disk broke")
            accept_stamps(database, destination, [stamp], by="marie", why="the disk broke")
            admit(database, destination, [stamp])
            if shop is purchases:
                with pytest.raises(LedgerError, match="not the one that sent before"):
                    admit(database, destination_of(other), [read_stamp(other.outputs)])
    sign_ups.sync()
    purchases.sync()
    assert arrived(purchases) == {"P-1": 1, "S-1": 1}
