"""What is told of one order, whatever became of it since it was sent."""

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pytest

from tests.partitions.conftest import SandboxedShop
from tests.shop import HOLD
from xcapi_dagster.delivery.view import LedgerView
from xcapi_dagster.partitions.story import Sighting, story_of


def story(shop: SandboxedShop, order_id: str) -> list[Sighting]:
    with shop.database() as database:
        view = LedgerView.of(database, f"loopback|{shop.pixel_id}")
        return story_of(order_id, shop.outputs, view, shop.policy, shop.open_now(), shop.event_id)


def test_an_order_in_doubt_whose_time_cannot_be_read_any_more(
    shop: SandboxedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warehouse gives it as text now, which is no time: it is held, and its story says so."""
    shop.policy = HOLD
    shop.put("a")
    shop.sandbox.script([{"match": {"next": 1}, "do": {"drop": "after"}}])
    assert shop.sync().counts.unknown == 1
    read = shop.read

    def without_time(start: datetime, end: datetime) -> Iterator[pa.RecordBatch]:
        for batch in read(start, end):
            texts = pa.array(["at noon"] * len(batch))
            yield batch.set_column(batch.schema.get_field_index("ordered_at"), "ordered_at", texts)

    monkeypatch.setattr(shop, "read", without_time)
    assert shop.sync().counts.held == 1
    (told,) = story(shop, "a")
    assert (told.state, told.result["conversion_time"]) == ("held", None)
    assert told.next_run == "nothing until somebody decides: see `xcapi held list`"


def test_an_order_that_is_two_conversions_has_the_story_of_each(shop: SandboxedShop) -> None:
    """X took one and refused the other, which no run sends again as it is."""
    shop.put("a")
    shop.orders.append(shop.orders[0] | {"event_id": "onotset"})
    shop.sync()
    told = {each.result["event_id"]: each for each in story(shop, "a")}
    assert {event: each.state for event, each in told.items()} == {shop.event_id: "accepted", "onotset": "rejected"}
    assert told[shop.event_id].reasons == []
    assert [row["reason_code"] for row in told["onotset"].reasons] == ["api_event_id"]
    assert told["onotset"].next_run.startswith("nothing until it is another order")
    assert shop.sync().counts.requests == 0


def test_an_order_without_consent_is_not_lost_whatever_else_is_wrong_with_it(shop: SandboxedShop) -> None:
    """Its story says what the counts say, with all reasons."""
    shop.put("a", consent="denied", email=None)
    assert shop.sync().counts.as_dict()["suppressed"] == 1
    (told,) = story(shop, "a")
    assert told.state == "suppressed"
    assert {row["reason_code"] for row in told.reasons} == {"no_identifier", "consent_denied"}
