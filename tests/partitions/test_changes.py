"""Changed orders are reported with the names of what changed, as far as files tell; values are nobody's business."""

from datetime import timedelta
from typing import Any

import pytest

from tests.partitions.conftest import SandboxedShop
from tests.shop import NOON
from xcapi_dagster.partitions.upload import write_results

NOT_KNOWN = "which columns changed is not known: what was sent is not kept any more"


def told(shop: SandboxedShop) -> dict[str, tuple[str | None, str | None]]:
    """Columns and detail of every order that is reported as changed."""
    return {
        row["order_id"]: (row["column"], row["detail"])
        for row in shop.rows("rejection_report")
        if row["reason_code"] == "changed_after_acceptance"
    }


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"value": "2.00"}, "value"),
        ({"email": "other@example.com"}, "hashed_email"),
        ({"description": "a gift"}, "description"),  # none before
        ({"value": None, "email": "other@example.com"}, "hashed_email, value, currency"),
    ],
)
def test_what_changed_is_named(shop: SandboxedShop, columns: dict[str, Any], names: str) -> None:
    """In the order of the file's columns; the orders beside it, before and behind, are not."""
    shop.put("a")
    shop.put("b")
    shop.put("c")
    shop.sync()
    shop.put("b", **columns)
    shop.orders.reverse()
    assert shop.sync().counts.changed == 1
    assert told(shop) == {"b": (names, None)}
    again = shop.files()
    shop.sync()
    assert shop.files() == again
    assert "other@example.com" not in str(shop.rows("rejection_report"))


def test_what_changes_twice_is_told_of_both_times(shop: SandboxedShop) -> None:
    """Compared with what was accepted as long as that is kept, then with what was told."""
    shop.put("a")
    shop.put("b")
    shop.sync()
    shop.put("a", value="2.00")
    shop.sync()
    shop.put("a", value="2.00", description="a gift")
    shop.put("b", description="a gift")
    shop.sync()
    assert told(shop) == {"a": ("value, description", None), "b": ("description", None)}
    shop.put("a")
    shop.sync()
    assert told(shop) == {"b": ("description", None)}


def test_several_are_found_wherever_they_are(shop: SandboxedShop) -> None:
    """In other row groups than before, and in another order."""
    ids = shop.put_many(50)
    shop.batch_rows = 7
    shop.sync()
    for order_id in ids[::3]:
        shop.put(order_id, value="2.00")
    shop.batch_rows = 11
    shop.sync()
    assert told(shop) == dict.fromkeys(ids[::3], ("value", None))


def test_a_run_that_did_not_report_loses_nothing(shop: SandboxedShop) -> None:
    """Prepared twice, and changed in between: what was accepted is what is compared with."""
    shop.put("a")
    shop.sync()
    shop.put("a", value="2.00")
    shop.prepare()
    shop.put("a", description="a gift")
    shop.sync()
    assert told(shop) == {"a": ("description", None)}
    assert not shop.outputs.path("superseded", shop.key).exists()


def test_without_the_file_the_words_say_so(shop: SandboxedShop) -> None:
    """It has expired, or another was accepted than the one that lies there."""
    shop.put("a")
    shop.put("b")
    shop.sync()
    shop.outputs.path("conversions", shop.key).unlink()
    shop.put("a", value="2.00")
    shop.sync()
    assert told(shop) == {"a": (None, NOT_KNOWN)}
    shop.put("a", value="3.00")
    shop.put("b", value="3.00")
    shop.sync()
    assert told(shop) == {"a": (None, NOT_KNOWN), "b": ("value", None)}


def test_another_partition_that_sent_it_is_named(shop: SandboxedShop) -> None:
    """An order that has moved to another day, and one that has another one's conversion id."""
    shop.put("a")
    shop.put("b")
    shop.sync()
    shop.key, earlier = "2026-11-19", NOON - timedelta(days=1)
    shop.put("a", ordered_at=earlier)
    shop.put("c", ordered_at=earlier, conversion_id="b")
    shop.sync()
    words = "it was sent as of 2026-11-20: the order has moved from there, or another one has its conversion id"
    assert told(shop) == {"a": (None, words), "c": (None, words)}
    assert sorted(shop.sent) == ["a", "b"]


def test_results_written_anew_say_the_same(shop: SandboxedShop) -> None:
    """Of an order under two events each is known by itself."""
    for event, value in ((None, "1.00"), ("oother1", "1.00")):
        shop.put("tmp", event_id=event, value=value)
        shop.orders[-1]["order_id"] = "a"
    shop.sync()
    for order in shop.orders:
        order.update({"value": "2.00"} if order["event_id"] else {"description": "a gift"})
    shop.sync()
    before = [row["column"] for row in shop.rows("rejection_report")]
    with shop.ledger() as ledger:
        write_results(shop.key, ledger, shop.policy, shop.outputs)
    assert [row["column"] for row in shop.rows("rejection_report")] == before
