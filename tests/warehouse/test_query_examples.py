"""The example queries of the documentation, on DuckDB, against tables of the shape that they are for."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from xcapi_dagster.conversions.items import to_contents
from xcapi_dagster.conversions.prepare import Rules, check_columns, prepare
from xcapi_dagster.warehouse import open_warehouse

if TYPE_CHECKING:
    from tests.warehouse.conftest import Shop

DOCS = Path(__file__).parents[2] / "docs"
QUERIES = DOCS / "queries"
DAY = datetime(2026, 10, 20, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
RULES = Rules(
    event_id="o87ne", pixel_id="o8z6j", default_country=None, default_currency=None, source_timezone="UTC",
    unknown_consent="send", allow_ip_user_agent_only=True, send_event_source_url=False, now=DAY + ONE_DAY,
)  # fmt: skip

SOURCES = Path(__file__).parent / "query_sources"  # the tables that they read
NAMES = sorted(path.stem for path in QUERIES.glob("*.sql"))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_the_orders_that_count(tmp_path: Path, name: str) -> None:
    """Of all the rows, the one order that was paid, with every column the transform can use."""
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute((SOURCES / f"{name}.sql").read_text())
    warehouse = open_warehouse(f"duckdb:///{path}", str(QUERIES / f"{name}.sql"), "UTC")

    check_columns(warehouse.describe(), unknown_consent_is_set=True)
    (batch,) = warehouse.read(DAY, DAY + ONE_DAY)
    prepared = prepare(batch, 0, RULES)

    assert prepared.rejections.num_rows == 0
    (order,) = prepared.conversions.to_pylist()
    groups = {"dbt_mart": ("", "")}.get(name, ('"content_group_id":"81",', '"content_group_id":"82",'))
    assert (order["order_id"], order["conversion_id"]) == ("1", "W-1" if name == "dbt_mart" else "1")
    assert (order["value"], order["currency"], order["number_items"]) == (Decimal("40.000000"), "EUR", 3)
    assert (order["twclid"], order["ip_address"], order["user_agent"]) == ("abc", "9.9.9.9", "Mozilla/5.0")
    assert order["hashed_email"] is not None
    assert order["hashed_phone_number"] is not None
    assert order["contents"] == (
        f'[{{"content_id":"sku-1",{groups[0]}"content_name":"Book","content_price":"20.00","num_items":1}},'
        f'{{"content_id":"sku-2",{groups[1]}"content_name":"Mug","content_price":"10.00","num_items":2}}]'
    )


def test_every_example_is_documented() -> None:
    """No file is left out of the table."""
    assert [name for name in NAMES if f"(queries/{name}.sql)" not in (DOCS / "queries.md").read_text()] == []


LINES = """
    CREATE TABLE order_items AS SELECT 'sku-1' AS sku, CAST(1.50 AS numeric(9, 2)) AS unit_price, 2 AS quantity
"""


def items_expressions() -> dict[str, str]:
    """The documentation's table of how to make items, by warehouse."""
    rows = re.findall(r"^\| (\w+)[^|]* \| `(.*)` \|$", (DOCS / "queries.md").read_text(), re.MULTILINE)
    return dict(rows)


def test_items_are_made_as_documented_in_duckdb() -> None:
    """The expression gives what becomes an item."""
    with duckdb.connect() as connection:
        connection.execute(LINES)
        found = connection.sql(f"SELECT {items_expressions()['DuckDB']} AS items FROM order_items").to_arrow_table()
    assert contents(found.column("items").combine_chunks()) == ITEMS


def test_items_are_made_as_documented_in_sqlite() -> None:
    """The expression gives what becomes an item."""
    connection = sqlite3.connect(":memory:")
    connection.execute(LINES)
    (found,) = connection.execute(f"SELECT {items_expressions()['SQLite']} FROM order_items").fetchone()
    connection.close()
    assert contents(pa.array([found])) == ITEMS


def test_items_are_made_as_documented_in_postgres(postgres_shop: "Shop") -> None:
    """The expression gives what becomes an item."""
    postgres_shop.execute(LINES)
    found: Any = postgres_shop.execute(f"SELECT CAST({items_expressions()['PostgreSQL']} AS text) FROM order_items")
    assert contents(pa.array([found.fetchone()[0]])) == ITEMS


ITEMS = ['[{"content_id":"sku-1","content_price":"1.50","num_items":2}]']


def contents(items: pa.Array) -> list[str | None]:
    return to_contents(items).values.to_pylist()  # type: ignore[no-any-return]
