"""Orders that cannot be read: which setting is wrong, in one line that shows no value. The same for each warehouse."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse import open_warehouse

if TYPE_CHECKING:
    from tests.warehouse.conftest import Shop

DAY = datetime(2026, 10, 20, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


def test_a_missing_table_is_named(shop: "Shop") -> None:
    """The message names the setting and the table, in one line."""
    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(shop.url, "nowhere.orders", "UTC").describe()

    assert str(caught.value) == (
        "XCAPI_ORDERS: the table nowhere.orders cannot be read: the warehouse has no table nowhere.orders"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT * FROM purchases", "no table purchases"),
        ("SELECT bought_at AS ordered_at FROM (SELECT 1 AS n) AS t", "no column bought_at"),
        ("SELEC 1", "not one valid SELECT"),
        ("SELECT 1; SELECT 2", "not one valid SELECT"),
        ("DROP TABLE orders", "not one valid SELECT"),
    ],
)
def test_a_query_that_cannot_run_is_explained(shop: "Shop", tmp_path: Path, sql: str, told: str) -> None:
    """The message names the file and what is wrong with it."""
    path = tmp_path / "orders.sql"
    path.write_text(sql)

    with pytest.raises(ConfigurationError, match=rf"^XCAPI_ORDERS: the query in .*orders\.sql .*{told}"):
        open_warehouse(shop.url, str(path), "UTC").describe()


def test_values_in_a_broken_query_are_not_shown(shop: "Shop", tmp_path: Path) -> None:
    """A literal that the database complains about stays out of the message and of its context."""
    path = tmp_path / "orders.sql"
    path.write_text("SELECT CAST('ann@example.com' AS integer) AS order_id, timestamp '2026-10-20' AS ordered_at")

    with pytest.raises((ConfigurationError, WarehouseError)) as caught:
        list(open_warehouse(shop.url, str(path), "UTC").read(DAY, DAY + ONE_DAY))

    assert "ann@example.com" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_reading_that_fails_halfway_is_a_warehouse_error_without_values(shop: "Shop", tmp_path: Path) -> None:
    """Some batches arrive, then one line that holds nothing of the row that failed."""
    path = tmp_path / "orders.sql"
    path.write_text("""
        SELECT CAST(CASE WHEN n = 200000 THEN 'ann@example.com' ELSE '1' END AS integer) AS order_id,
            timestamp '2026-10-20' + n * interval '1 millisecond' AS ordered_at FROM generate_series(1, 200000) s(n)
    """)
    batches = open_warehouse(shop.url, str(path), "UTC").read(DAY, DAY + ONE_DAY, batch_rows=1_000)

    with pytest.raises(WarehouseError) as caught:
        for _ in batches:
            pass

    assert "ann@example.com" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("method", ["read", "count_without_time"])
def test_orders_without_a_time_column_are_refused(shop: "Shop", method: str) -> None:
    """`describe` tells what there is; reading says which column is missing and where to rename it."""
    shop.execute("CREATE TABLE orders AS SELECT '1' AS order_id, timestamp '2026-10-20' AS created_at")
    warehouse = open_warehouse(shop.url, "orders", "UTC")

    assert warehouse.describe().names == ["order_id"]
    with pytest.raises(ConfigurationError, match=r"XCAPI_ORDERS.*no column ordered_at.*rename"):
        list(warehouse.read(DAY, DAY + ONE_DAY)) if method == "read" else warehouse.count_without_time()


def test_seconds_since_1970_are_no_time(shop: "Shop") -> None:
    """A number is refused, even though it could be guessed at; the message shows the cast."""
    shop.execute("CREATE TABLE orders AS SELECT '1' AS order_id, CAST(1792484100 AS bigint) AS ordered_at")

    with pytest.raises(ConfigurationError, match=r"XCAPI_ORDERS gives ordered_at as int64.*to_timestamp"):
        list(open_warehouse(shop.url, "orders", "UTC").read(DAY, DAY + ONE_DAY))
