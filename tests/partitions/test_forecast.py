"""What a run would do is what it then does."""

import pytest

from tests.partitions.conftest import SandboxedShop
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.delivery.view import LedgerView
from xcapi_dagster.partitions.forecast import Forecast, Terms, forecast
from xcapi_dagster.sandbox import Rules, Sandbox


def foreseen(shop: SandboxedShop, share: float = 1.0) -> Forecast:
    """What a run with this share of the limits would do, by what the ledger knows."""
    with shop.database() as database:
        view = LedgerView.of(database, f"loopback|{shop.pixel_id}")
    terms = Terms(view, shop.forgotten(), shop.policy, shop.clock(), shop.limits.shared(share))
    return forecast(shop.partition, shop, shop.rules, terms)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "share", "requests"), [(60_000, 1.0, 1), (100, 1.0, 3), (100, 0.8, 4), (1, 0.8, 250)]
)
def test_requests_are_as_small_as_the_limit_makes_them(
    shop: SandboxedShop, events: int, share: float, requests: int
) -> None:
    """A request can only get leave for what the limit, or a run's share of it, ever lets through at a time."""
    shop.put_many(250)
    shop.limits = Limits(events=events, requests=10_000, window=60.0)
    found = foreseen(shop, share)
    assert (found.would_send, found.requests) == (250, requests)
    assert shop.sync(share=share).counts.accepted == 250
    assert len(shop.sandbox.requests) == requests
    assert foreseen(shop, share).requests == 0


def test_what_was_refused_as_a_group_goes_in_small_requests(shop: SandboxedShop) -> None:
    """Those of which isolation could not find out, because X does not say what is bad; then the defect is mended."""
    shop.put_many(500)
    for number in range(0, 500, 20):
        shop.spoil(f"order-{number}", hashed_email="no-hash")
    with Sandbox(clock=shop.clock, rules=Rules(echo_values=False)) as sandbox:
        shop.api_url = sandbox.url
        assert shop.sync().counts.pending > 100
        shop.spoiled.clear()
        shop.prepare()
        found, before = foreseen(shop), len(sandbox.requests)
        assert found.would_send > 100
        assert shop.sync().counts.accepted == found.would_send
        assert len(sandbox.requests) - before == found.requests > found.would_send // 100


def test_why_orders_are_not_sent_is_counted_as_the_report_does(shop: SandboxedShop) -> None:
    """What is without consent is not counted for what else is wrong with it, which no mend sends."""
    shop.put("invalid", value="-1")
    shop.put("withheld", value="-1", consent="denied")
    shop.put("both", email="nobody", value="-1")
    reasons = foreseen(shop).reasons
    assert reasons == {"negative_value": 2, "consent_denied": 1, "no_identifier": 1}
    told = {each.code: each.worth.orders for each in shop.sync().summary.reasons}
    assert reasons == {code: told[code] for code in reasons}
