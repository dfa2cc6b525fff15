"""What was lost for a reason is what the report says, and what came back is counted, with and without an id."""

from tests.partitions.conftest import SandboxedShop
from tests.shop import DAY
from xcapi_dagster.partitions.repair import Lost, lost_for, recovered


def lost(shop: SandboxedShop, code: str) -> Lost | None:
    """Those of the day, None when nothing was lost for that."""
    return next(iter(lost_for(code, [DAY], shop.outputs)), None)


def test_what_was_withheld_is_not_lost_for_what_else_is_wrong_with_it(shop: SandboxedShop) -> None:
    """The report counts it among those without consent alone, and a mend of the rest sends nothing."""
    shop.put("lost", value="-1")
    shop.put("denied", value="-1", consent="denied")
    shop.put("accepted")
    (reason,) = [each for each in shop.sync().summary.reasons if each.code == "negative_value"]
    found = lost(shop, "negative_value")
    assert found
    assert (found.orders, found.total) == ({"lost"}, reason.worth.orders)
    withheld = lost(shop, "consent_denied")
    assert withheld
    assert withheld.orders == {"denied"}


def test_orders_without_an_id_are_lost_and_come_back_too(shop: SandboxedShop) -> None:
    """Given ids they are accepted, as many as there were; what else was sent meanwhile does not count twice."""
    shop.put("accepted")
    shop.orders += [shop.orders[0] | {"order_id": None} for _ in range(2)]
    shop.sync()
    found = lost(shop, "missing_order_id")
    assert found
    assert (found.orders, found.total) == (set(), 2)
    assert recovered([found], shop.outputs) == {DAY: 0}

    for number, order in enumerate(shop.orders[1:]):
        order["order_id"] = f"mended-{number}"
    shop.put("late")
    assert shop.sync().counts.accepted == 3
    assert recovered([found], shop.outputs) == {DAY: 2}
    assert lost(shop, "missing_order_id") is None


def test_an_order_of_which_x_took_another_event_is_lost_for_the_one_it_refused(shop: SandboxedShop) -> None:
    """And comes back when that is mended, whatever was accepted before."""
    shop.put("a")
    shop.orders.append(shop.orders[0] | {"event_id": "onotset"})
    (reason,) = shop.sync().summary.reasons
    found = lost(shop, reason.code)
    assert found
    assert (found.orders, found.total) == ({"a"}, reason.worth.orders)
    assert recovered([found], shop.outputs) == {DAY: 0}
    shop.orders[-1]["event_id"] = "osignup"
    shop.sync()
    assert recovered([found], shop.outputs) == {DAY: 1}


def test_what_is_withheld_and_has_no_id_is_not_lost(shop: SandboxedShop) -> None:
    """As what was forgotten: nothing is to bring it back."""
    shop.orders += [{"order_id": None, "value": "-1", "consent": "denied", "ordered_at": shop.partition.start}]
    shop.sync()
    assert lost(shop, "consent_denied") is None
    assert lost(shop, "negative_value") is None


def test_what_x_accepted_is_not_kept_in_memory_where_nobody_asks_for_it(shop: SandboxedShop) -> None:
    """A repair may be about months of orders: only what could be among those without an id is looked for later."""
    shop.put_many(3)
    shop.put("lost", value="-1")
    shop.sync()
    found = lost(shop, "negative_value")
    assert found
    assert (found.orders, found.accepted) == ({"lost"}, set())
    shop.orders.append(shop.orders[0] | {"order_id": None})
    shop.sync()
    of_nobody = lost(shop, "missing_order_id")
    assert of_nobody
    assert of_nobody.accepted == {"order-0", "order-1", "order-2"}
