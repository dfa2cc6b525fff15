"""Orders that X does not have at 40 hours of age, while it can still tell them from the pixel's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest

from tests.partitions.conftest import SandboxedShop
from tests.shop import DAY
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.upload import write_results
from xcapi_dagster.partitions.watch import ageing
from xcapi_dagster.warehouse import Warehouse, open_warehouse

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
PARTITION = Partition(DAY, MIDNIGHT, MIDNIGHT + timedelta(days=1))

Found = Callable[[float], list[str]]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """An order at the beginning of every hour of the day."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT n AS order_id, "
            "TIMESTAMPTZ '2026-11-20 00:00:00+00' + n * INTERVAL 1 HOUR AS ordered_at FROM range(24) AS t(n)"
        )
    return open_warehouse(f"duckdb:///{tmp_path}/shop.duckdb", "orders", "UTC")


@pytest.fixture
def found(shop: SandboxedShop, warehouse: Warehouse) -> Found:
    """What is told so many hours after midnight, with the summary that the shop's last run left."""
    summaries = {}

    def at(hours: float) -> list[str]:
        if shop.outputs.path("conversions", DAY).exists():
            with shop.ledger() as ledger:
                summaries[DAY] = write_results(DAY, ledger, shop.policy, shop.outputs).summary
        now = MIDNIGHT + timedelta(hours=hours)
        return [each.told for each in ageing([PARTITION], warehouse, shop.outputs, summaries, now)]

    return at


@pytest.mark.parametrize(
    ("hours", "orders"),
    [
        (39.5, 0),  # the oldest is 39.5 h old
        (40.5, 1),
        (47.5, 8),
        (52.5, 8),  # those of 0 to 4 o'clock are too late
        (70.5, 1),  # that of 23 o'clock alone is not
        (71.5, 0),
    ],
)
def test_a_partition_that_was_never_synced(found: Found, hours: float, orders: int) -> None:
    """Its orders of 40 to 48 hours of age, by the warehouse."""
    assert found(hours) == ([f"{orders} in the warehouse, never synced"] if orders else [])


def test_orders_that_wait_in_a_partition_that_was_synced(shop: SandboxedShop, found: Found) -> None:
    """Pending ones count as they are, past 48 hours too, until they are sent; what X has does not."""
    shop.put("a")  # at noon
    shop.sync()
    shop.put("b")
    shop.put("old", ordered_at=MIDNIGHT)
    shop.prepare()
    assert found(39) == []
    assert found(41) == ["1 waiting"]
    assert found(49) == ["1 waiting, 1 past 48 h"]
    assert found(53) == ["2 waiting, 1 past 48 h"]
    shop.upload()
    assert found(53) == []


def test_results_that_are_not_kept_any_more_tell_of_nobody(shop: SandboxedShop, warehouse: Warehouse) -> None:
    """The summary is a moment younger, and so may be there for a moment longer."""
    shop.put("a")
    shop.prepare()
    with shop.ledger() as ledger:
        summaries = {DAY: write_results(DAY, ledger, shop.policy, shop.outputs).summary}
    look = partial(ageing, [PARTITION], warehouse, shop.outputs, summaries, MIDNIGHT + timedelta(hours=53))
    assert [each.told for each in look()] == ["1 waiting"]
    shop.outputs.path("upload_results", DAY).unlink()
    assert list(look()) == []
