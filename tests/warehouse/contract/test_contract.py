"""What every warehouse does alike: the same orders arrive as the same orders, or one line says why not.

DuckDB, Parquet, CSV, SQLite and PostgreSQL are real; Snowflake, BigQuery and Databricks are fakes of their drivers.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.warehouse.contract.clouds import Closing
from tests.warehouse.contract.engines import CloudEngine, CSVEngine, Engine, Kind, Rows, SQLiteEngine, Types, table_of
from xcapi_dagster.conversions.columns import Columns, convert
from xcapi_dagster.conversions.items import to_contents
from xcapi_dagster.conversions.prepare import Rules, prepare
from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse import Warehouse, open_warehouse

DAY = datetime(2026, 10, 20, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
SAMPLE_ORDERS = Path(__file__).parents[3] / "sample_data" / "orders.parquet"
RULES = Rules(
    event_id="opurch1", pixel_id="odemo1", default_country=None, default_currency=None, source_timezone="UTC",
    unknown_consent="suppress", allow_ip_user_agent_only=True, send_event_source_url=False, now=DAY + 14 * ONE_DAY,
)  # fmt: skip

TYPES: Types = {
    "order_id": "text", "ordered_at": "instant", "updated_at": "local", "email": "text", "phone": "text",
    "hashed_email": "bytes", "country": "text", "landing_url": "text", "description": "text", "currency": "text",
    "value": "decimal", "quantity": "integer", "consent": "boolean", "items": "items", "unknown": "text",
}  # fmt: skip
NOTHING = dict.fromkeys(TYPES)
ORDERS: Rows = [
    NOTHING | {"order_id": "nothing else", "ordered_at": DAY + timedelta(hours=1)},
    {
        "order_id": "1001",
        "ordered_at": DAY,
        "updated_at": datetime(2026, 10, 20, 12, 34, 56, 789012),  # noqa: DTZ001 - local time of the source
        "email": " Ann@Example.com",
        "phone": "+49 30 901820",
        "hashed_email": bytes(range(224, 256)),
        "country": "DE",
        "landing_url": "https://shop.example/?a=1%20:b&twclid=abc",
        "description": 'Käse "Ünïcode", 🙂; it\'s \\ %s :x ?\nnext line',
        "currency": "EUR",
        "value": Decimal("1234567.891"),
        "quantity": 3,
        "consent": True,
        "items": [
            {"content_id": "sku-1", "content_price": Decimal("1.50"), "num_items": 2},
            {"content_id": "sku-2", "content_price": None, "num_items": None},
        ],
        "unknown": "hunter2",
    },
    NOTHING
    | {
        "order_id": "0007",
        "ordered_at": DAY + ONE_DAY - timedelta(microseconds=1),
        "phone": "030901820",
        "value": Decimal("0.100"),
        "quantity": -2,
        "consent": False,
        "items": [{"content_id": "sku-3", "content_price": Decimal("0.99"), "num_items": 1}],
    },
    NOTHING | {"order_id": "day before", "ordered_at": DAY - timedelta(microseconds=1)},
    NOTHING | {"order_id": "day after", "ordered_at": DAY + ONE_DAY},
    NOTHING | {"order_id": "never", "ordered_at": None, "email": "bea@example.com"},
]
OF_THE_DAY = [ORDERS[1], ORDERS[0], ORDERS[2]]  # by time


def read(warehouse: Warehouse, start: datetime = DAY, days: int = 1) -> pa.Table:
    """The orders of some days, by time."""
    batches = list(warehouse.read(start, start + days * ONE_DAY))
    table = pa.Table.from_batches(batches, warehouse.describe())
    times = convert(table, "UTC").times["ordered_at"]
    return table.append_column("at", times).sort_by([("at", "ascending"), ("order_id", "ascending")]).drop(["at"])


def ids(table: pa.Table) -> list[str]:
    return [str(order) for order in table.column("order_id").to_pylist()]


def plain(columns: Columns) -> dict[str, Any]:
    """What the transform sees of orders."""
    amounts = {name: (each.values.to_pylist(), each.unreadable.to_pylist()) for name, each in columns.amounts.items()}
    columns_of = {**columns.texts, **columns.times, "items": to_contents(columns.items).values}
    seen = {name: array.to_pylist() for name, array in columns_of.items()} | amounts
    numbers = {"1": "true", "0": "false"}  # MySQL's booleans are numbers, which mean the same
    return seen | {"consent": [numbers.get(answer, answer) for answer in seen["consent"]]}


def orders(number: int, day: datetime = DAY) -> tuple[Types, Rows]:
    """A number of orders, every ten seconds of a day."""
    types: Types = {"order_id": "text", "ordered_at": "instant", "value": "decimal"}
    every = timedelta(seconds=10)
    rows = [{"order_id": f"{n:05}", "ordered_at": day + n * every, "value": Decimal(n)} for n in range(number)]
    return types, rows


def query(tmp_path: Path, sql: str) -> str:
    (path := tmp_path / "query.sql").write_text(sql)
    return str(path)


def test_the_same_orders_arrive_from_everywhere(engine: Engine) -> None:
    """Texts, decimals, times with and without a zone, nulls, bytes, booleans and items are what was put in."""
    engine.create(TYPES, ORDERS)

    found = read(open_warehouse(engine.url, "orders", "Europe/Berlin"))

    assert plain(convert(found, "Europe/Berlin")) == plain(convert(table_of(TYPES, OF_THE_DAY), "Europe/Berlin"))
    assert "unknown" not in found.column_names


@pytest.mark.slow
def test_the_sample_orders_become_the_same_conversions(engine: Engine) -> None:
    """Five thousand orders of ten countries, with all that is wrong in some of them, through the whole transform."""
    sample = pq.read_table(SAMPLE_ORDERS)
    kinds: dict[str, Kind] = {"ordered_at": "instant", "updated_at": "instant", "value": "decimal", "items": "items"}
    types: Types = {name: kinds.get(name, "integer" if name == "quantity" else "text") for name in sample.column_names}
    engine.create(types, sample.to_pylist())

    found = read(open_warehouse(engine.url, "orders", "UTC"), days=14)

    wanted, given = prepared(sample.filter(pc.is_valid(sample["ordered_at"]))), prepared(found)
    difference = [*(wanted - given), *(given - wanted)]
    assert difference[:2] == []


def prepared(table: pa.Table) -> Counter[str]:
    """The conversions and the rejections that orders become, whatever their order.

    What a rejection tells of a value that cannot be read is left out: it may name the type.
    """
    result = prepare(table, 0, RULES)
    rows = [*result.conversions.drop(["row"]).to_pylist(), *result.rejections.drop(["row", "detail"]).to_pylist()]
    return Counter(map(repr, rows))


@pytest.mark.parametrize("kind", ["instant", "local", "date", "text"])
def test_each_order_is_in_one_partition_whatever_tells_its_time(engine: Engine, kind: Kind) -> None:
    """Half-open windows in UTC, over orders at every hour of New York's local time, or on every day of it."""
    hours = [datetime(2026, 10, 18) + timedelta(hours=hour) for hour in range(24 * 4)]  # noqa: DTZ001
    times: dict[Kind, list[Any]] = {
        "instant": [hour.replace(tzinfo=UTC) for hour in hours],
        "local": hours,
        "date": [hour.date() for hour in hours[::24]],
        "text": [hour.isoformat() for hour in hours],
    }
    rows = [{"order_id": f"{n:03}", "ordered_at": time} for n, time in enumerate(times[kind])]
    engine.create({"order_id": "text", "ordered_at": kind}, rows)
    warehouse = open_warehouse(engine.url, "orders", "America/New_York")

    days = [ids(read(warehouse, datetime(2026, 10, 17, tzinfo=UTC) + day * ONE_DAY)) for day in range(6)]

    shift = 0 if kind == "instant" else 4  # hours that New York is behind UTC
    numbers = {"date": [0, 1, 1, 1, 1, 0]}.get(kind, [0, 24 - shift, 24, 24, 24, shift])
    assert [len(day) for day in days] == numbers
    assert [order for day in days for order in day] == [row["order_id"] for row in rows]
    starts = [datetime(2026, 10, 17, tzinfo=UTC) + day * ONE_DAY for day in range(6)]
    assert [warehouse.count(start, start + ONE_DAY) for start in starts] == numbers


def test_orders_without_a_time_are_counted(engine: Engine) -> None:
    """They are in no partition."""
    engine.create(TYPES, ORDERS)

    assert open_warehouse(engine.url, "orders", "UTC").count_without_time() == 1


def test_batches_share_the_schema_that_was_described(engine: Engine) -> None:
    """Of the size that was asked for, whatever the driver gives, and in an order that is the same every time."""
    engine.create(*orders(20))
    warehouse = open_warehouse(engine.url, "orders", "UTC")

    first, second = ([*warehouse.read(DAY, DAY + ONE_DAY, batch_rows=7)] for _ in range(2))

    assert [batch.num_rows for batch in first] == [7, 7, 6]
    assert {batch.schema for batch in first} == {warehouse.describe()}
    assert first == second
    assert ids(pa.Table.from_batches(first)) == [f"{n:05}" for n in range(20)]


def test_a_decimal_that_is_whole_is_an_id_without_a_point(engine: Engine) -> None:
    """As the pixel sends it: 1001, not 1001.000."""
    numbers = [Decimal(0), Decimal(1000), Decimal(1001)]
    engine.create(
        {"order_id": "text" if isinstance(engine, CSVEngine) else "decimal", "ordered_at": "instant"},
        [{"order_id": number, "ordered_at": DAY} for number in numbers],
    )

    found = convert(read(open_warehouse(engine.url, "orders", "UTC")), "UTC").texts["order_id"]

    assert sorted(found.to_pylist()) == ["0", "1000", "1001"]


def test_a_day_without_orders_is_no_batch(engine: Engine) -> None:
    """Neither of a table with other days, nor of one with nothing in it."""
    engine.create(*orders(3, DAY + 2 * ONE_DAY))

    assert list(open_warehouse(engine.url, "orders", "UTC").read(DAY, DAY + ONE_DAY)) == []


def test_a_query_maps_names(engine: Engine, tmp_path: Path) -> None:
    """A `.sql` file renames, filters and computes, in words that all of them understand."""
    engine.create(TYPES, ORDERS)
    path = query(
        tmp_path,
        """
        -- what's paid: all of it; 100%
        WITH paid AS (SELECT order_id AS id, ordered_at AS bought, currency, email AS address FROM orders)
        SELECT id AS order_id, bought AS ordered_at, COALESCE(currency, 'USD') AS currency,
               CASE WHEN id = '1001' THEN 'is:it 100% ?' ELSE address END AS description
        FROM paid
        WHERE id <> '0007';
        """,
    )

    found = read(open_warehouse(engine.url, path, "UTC"))

    assert ids(found) == ["1001", "nothing else"]
    assert found.column("currency").to_pylist() == ["EUR", "USD"]
    assert found.column("description").to_pylist() == ["is:it 100% ?", None]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT * FROM purchases", "cannot be read: the warehouse has no"),
        ("SELECT bought_at AS ordered_at FROM orders", "cannot be read: there is no column"),
        ("SELEC 1", "is not one valid SELECT"),
        ("SELECT 1 AS n; SELECT 2 AS n", "is not one valid SELECT"),
        ("SELECT 1 AS n) AS o; DELETE FROM orders; SELECT * FROM (SELECT 1 AS n", "is not one valid SELECT"),
        ("DROP TABLE orders", "is not one valid SELECT"),
    ],
)
def test_a_query_that_cannot_run_is_explained(engine: Engine, tmp_path: Path, sql: str, told: str) -> None:
    """One line that names the setting and the file; nothing was changed."""
    engine.create(*orders(1))

    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(engine.url, query(tmp_path, sql), "UTC").describe()

    assert str(caught.value).startswith(f"XCAPI_ORDERS: the query in {tmp_path / 'query.sql'} {told}")
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert ids(read(open_warehouse(engine.url, "orders", "UTC"))) == ["00000"]


def test_a_missing_table_is_explained(engine: Engine) -> None:
    """The message names the setting and the table."""
    engine.create(*orders(1))

    with pytest.raises(ConfigurationError, match=r"^XCAPI_ORDERS: the table purchases cannot be read"):
        open_warehouse(engine.url, "purchases", "UTC").describe()


@pytest.mark.parametrize(("kind", "value"), [("integer", 1792484100), ("float", 1.5), ("boolean", True)])
@pytest.mark.parametrize("column", ["ordered_at", "updated_at"])
def test_what_is_no_time_is_refused_before_anything_is_read(
    engine: Engine, column: str, kind: Kind, value: Any
) -> None:
    """The schema, which is checked, or the message says so; in CSV everything is text, which may be a time."""
    if isinstance(engine, CSVEngine) or (isinstance(engine, SQLiteEngine) and kind == "boolean"):
        return  # there it is text
    engine.create({"order_id": "text", column: kind}, [{"order_id": "1", column: value}])

    try:
        found = open_warehouse(engine.url, "orders", "UTC").describe().field(column).type
    except ConfigurationError as error:
        assert str(error).startswith(f"XCAPI_ORDERS gives {column} as ")  # noqa: PT017
        assert "which is no time: cast it in a .sql query" in str(error)  # noqa: PT017
    else:
        assert not any(check(found) for check in (pa.types.is_string, pa.types.is_temporal, pa.types.is_null))


def test_orders_without_ordered_at_are_refused(engine: Engine) -> None:
    """The message says which column is missing and where to rename it."""
    engine.create({"order_id": "text", "bought_at": "instant"}, [{"order_id": "1", "bought_at": DAY}])

    with pytest.raises(ConfigurationError, match="XCAPI_ORDERS: the table orders has no column ordered_at; rename"):
        list(open_warehouse(engine.url, "orders", "UTC").read(DAY, DAY + ONE_DAY))


def test_leaving_in_the_middle_closes_everything(engine: Engine) -> None:
    """A reader that stops early leaves nothing open: the same orders can be read again."""
    engine.create(*orders(20))
    warehouse = open_warehouse(engine.url, "orders", "UTC")
    batches: Iterator[pa.RecordBatch] = warehouse.read(DAY, DAY + ONE_DAY, batch_rows=3)

    assert next(batches).num_rows == 3
    batches.close()  # type: ignore[attr-defined]

    assert Closing.opened == []
    assert read(warehouse).num_rows == 20


def test_a_reader_that_dies_midway_is_no_short_read(cloud_engine: CloudEngine) -> None:
    """Some batches arrive, then one line that holds nothing of what the driver said."""
    cloud_engine.create(*orders(20))
    cloud_engine.cloud.breaks_after = 2
    batches = open_warehouse(cloud_engine.url, "orders", "UTC").read(DAY, DAY + ONE_DAY, batch_rows=2)

    read_before = []
    with pytest.raises(WarehouseError, match="could not give the orders to the end") as caught:
        read_before.extend(batch.num_rows for batch in batches)

    assert read_before
    assert "ann@example.com" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_fewer_orders_than_promised_are_no_short_read(cloud_engine: CloudEngine) -> None:
    """Where the warehouse tells how many rows there are, all of them must come."""
    if cloud_engine.cloud.dialect == "databricks":
        return  # its cursor promises nothing
    cloud_engine.create(*orders(20))
    cloud_engine.cloud.loses = 1

    with pytest.raises(WarehouseError, match="promised 20 orders and gave 19"):
        list(open_warehouse(cloud_engine.url, "orders", "UTC").read(DAY, DAY + ONE_DAY))


def test_every_value_is_bound(cloud_engine: CloudEngine) -> None:
    """No query has a date of the window in its text."""
    for kind in ("instant", "local", "date", "text"):
        cloud_engine.cloud.behind.execute("DROP TABLE IF EXISTS orders")
        cloud_engine.create(
            {"order_id": "text", "ordered_at": kind},
            [{"order_id": "1", "ordered_at": {"date": date(2026, 10, 20), "text": "2026-10-20"}.get(kind, DAY)}],
        )
        cloud_engine.cloud.queries.clear()

        assert read(open_warehouse(cloud_engine.url, "orders", "UTC")).num_rows == 1

        (sql, values) = cloud_engine.cloud.queries[1]
        assert "2026" not in sql
        assert sum("2026-10-" in str(value) for value in values) == 2


def test_a_refused_connection_is_explained_without_secrets(cloud_engine: CloudEngine) -> None:
    """One line that names the setting and what to check, and holds no part of the URL."""
    url = cloud_engine.url.replace("hunter2", "hunter3").replace("my-project", "closed")

    with pytest.raises(ConfigurationError, match=r"^XCAPI_WAREHOUSE_URL: ") as caught:
        open_warehouse(url, "orders", "UTC").describe()

    assert not any(part in str(caught.value) for part in ("\n", "hunter", "shop", "dbc.example.com"))
    assert caught.value.__suppress_context__
