"""Reading orders, the same from a DuckDB file and from a PostgreSQL server."""

import math
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from xcapi_dagster.conversions.columns import COLUMNS
from xcapi_dagster.conversions.times import to_comparable
from xcapi_dagster.warehouse import Warehouse, open_warehouse
from xcapi_dagster.warehouse.query import KNOWN_COLUMNS

if TYPE_CHECKING:
    from tests.warehouse.conftest import Shop

DAY = datetime(2026, 10, 20, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
READ_ALL = """
import re, sys
from datetime import datetime, UTC
from xcapi_dagster.warehouse import open_warehouse

batches = open_warehouse(sys.argv[1], sys.argv[2], "UTC").read(
    datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 10, 21, tzinfo=UTC)
)
print(sum(batch.num_rows for batch in batches), re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def read_ids(warehouse: Warehouse, start: datetime = DAY, end: datetime = DAY + ONE_DAY) -> list[str]:
    return [order for batch in warehouse.read(start, end) for order in batch.column("order_id").to_pylist()]


def read_rows(warehouse: Warehouse) -> list[dict[str, Any]]:
    return [row for batch in warehouse.read(DAY, DAY + ONE_DAY) for row in batch.to_pylist()]


def days_of(first: datetime, number: int) -> Iterator[tuple[datetime, datetime]]:
    return ((first + day * ONE_DAY, first + (day + 1) * ONE_DAY) for day in range(number))


def test_the_window_includes_its_start_and_excludes_its_end(shop: "Shop") -> None:
    """An order at the start is read, one at the end is the next partition's."""
    shop.execute("""
        CREATE TABLE orders (order_id text, ordered_at timestamptz);
        INSERT INTO orders VALUES ('before', '2026-10-19 23:59:59.999999Z'), ('first', '2026-10-20 00:00:00Z'),
            ('last', '2026-10-21 01:59:59.999999+02'), ('after', '2026-10-21 00:00:00Z'), ('never', NULL)
    """)
    warehouse = open_warehouse(shop.url, "orders", "UTC")

    assert read_ids(warehouse) == ["first", "last"]
    assert warehouse.count_without_time() == 1


@pytest.mark.parametrize("column_type", ["timestamp", "text"])
def test_times_without_a_zone_are_local_to_the_source(shop: "Shop", column_type: str) -> None:
    """In Berlin, summer time, the UTC day runs from 02:00 to 02:00."""
    shop.execute(f"""
        CREATE TABLE orders (order_id text, ordered_at {column_type});
        INSERT INTO orders VALUES ('before', '2026-10-20 01:59:59.999'), ('first', '2026-10-20 02:00:00'),
            ('last', '2026-10-21 01:59:59'), ('after', '2026-10-21 02:00:00')
    """)

    assert read_ids(open_warehouse(shop.url, "orders", "Europe/Berlin")) == ["first", "last"]


def test_a_date_is_midnight_in_the_source_zone(shop: "Shop") -> None:
    """The 21st in Berlin begins on the 20th in UTC, the 21st in New York on the 21st."""
    shop.execute("""
        CREATE TABLE orders (order_id text, ordered_at date);
        INSERT INTO orders VALUES ('19th', '2026-10-19'), ('20th', '2026-10-20'), ('21st', '2026-10-21')
    """)

    assert read_ids(open_warehouse(shop.url, "orders", "UTC")) == ["20th"]
    assert read_ids(open_warehouse(shop.url, "orders", "Europe/Berlin")) == ["21st"]
    assert read_ids(open_warehouse(shop.url, "orders", "America/New_York")) == ["20th"]


def test_text_times_are_read_with_and_without_a_zone(shop: "Shop") -> None:
    """Offsets are obeyed, spaces ignored, and what cannot be read belongs to no partition but is counted."""
    shop.execute("""
        CREATE TABLE orders (order_id text, ordered_at text);
        INSERT INTO orders VALUES ('utc', '2026-10-20T00:00:00Z'), ('west', '2026-10-19T19:00:00-05:00'),
            ('east', '2026-10-21T13:59:59.9+14:00'), ('padded', E'\\t\u00a02026-10-20T12:00:00Z '),
            ('local', '2026-10-20 12:00'), ('a date', '2026-10-20'), ('early', '2026-10-20T00:00:00+00:01'),
            ('late', '2026-10-21T00:00:00Z'), ('words', 'yesterday'), ('wrong', '2026-02-30'), ('blank', ''),
            ('none', NULL)
    """)
    warehouse = open_warehouse(shop.url, "orders", "UTC")

    assert sorted(read_ids(warehouse)) == ["a date", "east", "local", "padded", "utc", "west"]
    assert warehouse.count_without_time() == 4
    assert sorted(warehouse.forms_without_time(3)) == ["9999-99-99", "aaaaaaaaa"]
    assert len(warehouse.forms_without_time(1)) == 1


def test_forms_of_times_tell_nothing_else(shop: "Shop") -> None:
    """Whatever was taken for a time: of letters and digits in any script, and of signs, only that they are there."""
    shop.execute("""
        CREATE TABLE orders (order_id text, ordered_at text);
        INSERT INTO orders VALUES ('mail', 'ann_b7@shop.example'), ('arabic', '\u0662\u0660/\u0663\u0663'),
            ('accented', 'héute'), ('long', repeat('7', 500)), ('terminal', E'\x1b[31m8')
    """)
    warehouse = open_warehouse(shop.url, "orders", "UTC")

    forms = ["aaa?a9?aaaa.aaaaaaa", "99/99", "aaaaa", "9" * 30, "??99a9"]
    assert sorted(warehouse.forms_without_time(9)) == sorted(forms)
    shop.execute("CREATE TABLE timed AS SELECT order_id, CAST(NULL AS timestamp) AS ordered_at FROM orders")
    assert open_warehouse(shop.url, "timed", "UTC").forms_without_time(9) == []


def test_hourly_partitions_have_each_order_once_when_clocks_change(shop: "Shop") -> None:
    """Orders at every ten minutes of Berlin's local time, through both changes of 2026: each is in one hour."""
    shop.execute("CREATE TABLE orders (order_id text, ordered_at timestamp)")
    for first, last in [("2026-03-28 12:00", "2026-03-29 12:00"), ("2026-10-24 12:00", "2026-10-25 12:00")]:
        times = f"generate_series(timestamp '{first}', timestamp '{last}', interval '10 minutes')"
        shop.execute(f"INSERT INTO orders SELECT CAST(t AS text), t FROM {times} AS times(t)")
    warehouse = open_warehouse(shop.url, "orders", "Europe/Berlin")
    changes = [datetime(2026, 3, 28, 9, tzinfo=UTC), datetime(2026, 10, 24, 9, tzinfo=UTC)]
    hours = [first + timedelta(hours=hour) for first in changes for hour in range(28)]

    found = [order for hour in hours for order in read_ids(warehouse, hour, hour + timedelta(hours=1))]

    assert len(found) == len(set(found)) == 2 * 145


def test_times_that_no_calendar_has_are_counted_and_read_by_no_partition(shop: "Shop") -> None:
    """Infinite times count as orders without a time; the year 9999 and BC are just far away."""
    shop.execute("""
        CREATE TABLE orders (order_id text, ordered_at timestamptz, updated_at timestamptz);
        INSERT INTO orders VALUES ('infinite', 'infinity', NULL), ('before all', '-infinity', NULL),
            ('far', '9999-12-31 23:59:59Z', NULL), ('today', '2026-10-20 10:00Z', 'infinity')
    """)
    ides_of_march = "-0043-03-15 10:00:00Z" if shop.kind == "duckdb" else "0044-03-15 10:00:00Z BC"
    shop.execute(f"INSERT INTO orders VALUES ('old', '{ides_of_march}', NULL)")
    warehouse = open_warehouse(shop.url, "orders", "America/New_York")

    assert read_ids(warehouse) == ["today"]
    assert warehouse.count_without_time() == 2


@pytest.mark.parametrize("type_", ["timestamptz", "timestamp", "date", "text"])
def test_a_version_that_holds_for_ever_is_the_latest(shop: "Shop", type_: str) -> None:
    """As `infinity` says where a table keeps versions: an older one in its place would be sent."""
    shop.execute(f"""
        CREATE TABLE orders AS SELECT CAST(n AS text) AS order_id, timestamp '2026-10-20' AS ordered_at,
            CAST(u AS {type_}) AS updated_at FROM (VALUES (1, 'infinity'), (2, '9999-12-31 23:59:59'),
                (3, '2026-11-01'), (4, '1969-12-31'), (5, '-infinity'), (6, NULL)) s(n, u)
    """)

    (batch,) = open_warehouse(shop.url, "orders", "America/New_York").read(DAY, DAY + ONE_DAY)

    moments = to_comparable(batch["updated_at"], "UTC").to_pylist()
    first, second, *others = [moment for _, moment in sorted(zip(batch["order_id"].to_pylist(), moments, strict=True))]
    assert first == second > others[0] > others[1]
    assert others[2:] == [None, None]


def test_batches_have_the_size_that_was_asked_for_and_one_schema(shop: "Shop") -> None:
    """A thousand orders by 300 are three batches of 300 and one of 100, in order, all as `describe` says."""
    shop.execute("""
        CREATE TABLE orders AS SELECT lpad(CAST(n AS text), 4, '0') AS order_id, CAST(n AS numeric(12, 2)) AS value,
            timestamp '2026-10-20' + n * interval '1 minute' AS ordered_at FROM generate_series(1, 1000) s(n)
    """)
    warehouse = open_warehouse(shop.url, "orders", "UTC")

    batches = list(warehouse.read(DAY, DAY + ONE_DAY, batch_rows=300))

    assert [batch.num_rows for batch in batches] == [300, 300, 300, 100]
    assert {batch.schema for batch in batches} == {warehouse.describe()}
    assert pa.Table.from_batches(batches).column("order_id").to_pylist() == [f"{n:04}" for n in range(1, 1001)]


def test_an_empty_window_gives_no_batch(shop: "Shop") -> None:
    """A day without orders is no batch and no error."""
    shop.execute("CREATE TABLE orders (order_id text, ordered_at timestamptz)")

    assert list(open_warehouse(shop.url, "orders", "UTC").read(DAY, DAY + ONE_DAY)) == []


def test_the_time_zone_of_the_session_is_always_utc(shop: "Shop", tmp_path: Path) -> None:
    """Whatever zone the server or this machine is set to, a query's casts and the times that arrive are in UTC."""
    path = tmp_path / "orders.sql"
    path.write_text("SELECT '2026-10-20 10:00'::timestamptz AS ordered_at, current_setting('TimeZone') AS description")
    warehouse = open_warehouse(shop.url, str(path), "Asia/Tokyo")

    assert warehouse.describe().field("ordered_at").type == pa.timestamp("us", "UTC")
    assert read_rows(warehouse) == [{"ordered_at": datetime(2026, 10, 20, 10, tzinfo=UTC), "description": "UTC"}]


def test_only_known_columns_are_read_under_their_lower_case_names(shop: "Shop") -> None:
    """Names match whatever their case; a column that means nothing here is not even selected."""
    shop.execute("""
        CREATE TABLE "Orders" ("ORDER_ID" text, "Ordered_At" timestamptz, password text, "select" text, "eMail" text);
        INSERT INTO "Orders" VALUES ('1', '2026-10-20 10:00Z', 'hunter2', 'x', 'ann@example.com')
    """)
    warehouse = open_warehouse(shop.url, "Orders", "UTC")

    assert warehouse.describe().names == ["order_id", "ordered_at", "email"]
    assert read_rows(warehouse) == [
        {"order_id": "1", "ordered_at": datetime(2026, 10, 20, 10, tzinfo=UTC), "email": "ann@example.com"}
    ]


def test_every_documented_column_is_known(shop: "Shop") -> None:
    """The columns of an order that the README lists, and no other, are described."""
    columns = ", ".join(f"'x' AS {name}" for name in reversed(KNOWN_COLUMNS))
    shop.execute(f"CREATE TABLE orders AS SELECT {columns}, 'y' AS unknown")

    assert open_warehouse(shop.url, "orders", "UTC").describe().names == [
        "order_id", "ordered_at", "conversion_id", "email", "phone", "hashed_email", "hashed_phone_number", "country",
        "twclid", "landing_url", "ip_address", "user_agent", "value", "currency", "quantity", "description", "event_id",
        "event_source_url", "consent", "updated_at", "items",
    ]  # fmt: skip


def test_every_column_that_the_transform_uses_is_read() -> None:
    """Neither may import the other, so each has its own list."""
    assert {*KNOWN_COLUMNS} == {*COLUMNS}


def test_orders_may_stand_in_a_schema(shop: "Shop") -> None:
    """`schema.table` is read from that schema."""
    shop.execute("""
        DROP SCHEMA IF EXISTS "my$sales" CASCADE; CREATE SCHEMA "my$sales";
        CREATE TABLE "my$sales"."group" AS SELECT '1' AS order_id, timestamptz '2026-10-20 10:00Z' AS ordered_at
    """)

    assert read_ids(open_warehouse(shop.url, "my$sales.group", "UTC")) == ["1"]


@pytest.mark.parametrize("end", ["", ";", " ; \n", ";;", "; -- that's all; folks", " -- none;", "; /* the\nend; */ "])
def test_a_query_file_may_end_as_people_end_them(shop: "Shop", tmp_path: Path, end: str) -> None:
    """With or without a semicolon, and with comments after it."""
    path = tmp_path / "orders.sql"
    path.write_text(f"-- paid; not cancelled\nSELECT 1 AS order_id, timestamp '2026-10-20 10:00' AS ordered_at{end}")

    assert read_ids(open_warehouse(shop.url, str(path), "UTC")) in ([1], ["1"])


@pytest.mark.parametrize("end", ["", ";", " -- it's all; folks"])
def test_what_ends_a_query_file_is_no_text_in_it(shop: "Shop", tmp_path: Path, end: str) -> None:
    """A text that ends like a query: without its semicolon no order would have it, and none would be read."""
    path = tmp_path / "orders.sql"
    order = "SELECT '1;--' AS order_id, timestamp '2026-10-20 10:00' AS ordered_at"
    path.write_text(f"SELECT * FROM ({order}) AS paid WHERE order_id = '1;--'{end}")

    assert read_ids(open_warehouse(shop.url, str(path), "UTC")) == ["1;--"]


def test_a_query_file_is_taken_word_by_word(shop: "Shop", tmp_path: Path) -> None:
    """Colons, percent signs, backslashes, quotes and braces in it mean what they mean in SQL."""
    text = r"""50% :off \:x "quoted" {braces} $1 ? %s %(x)s ; --"""
    path = tmp_path / "orders.sql"
    path.write_text(f"""\ufeff
        WITH paid AS (SELECT '7'::text AS order_id, '{text}' AS description, '2026-10-20 10:00'::timestamp AS "at")
        SELECT order_id, description, "at" AS ordered_at FROM paid WHERE '12:30'::time > '10:00'::time
    """)

    (row,) = read_rows(open_warehouse(shop.url, str(path), "UTC"))

    assert row["description"] == text


def test_numbers_and_text_arrive_without_loss(shop: "Shop") -> None:
    """Exact decimals stay exact, NaN does not disappear, and any text comes as it is."""
    shop.execute("""
        CREATE TABLE orders (order_id bigint, ordered_at timestamptz, value numeric(20, 6), quantity integer,
            phone double precision, description text, consent boolean);
        INSERT INTO orders VALUES (9007199254740993, '2026-10-20 10:00Z', 12345678901234.123456, 3, 'nan',
            'Ünïcode "quotes" \\ 🙂', true)
    """)

    (row,) = read_rows(open_warehouse(shop.url, "orders", "UTC"))

    assert str(row["order_id"]) == "9007199254740993"
    assert str(row["value"]) == "12345678901234.123456"
    assert (row["quantity"], row["consent"], row["description"]) == (3, True, 'Ünïcode "quotes" \\ 🙂')
    assert math.isnan(row["phone"])


def test_orders_without_any_known_column_are_described_as_such(shop: "Shop") -> None:
    """An empty schema, for the check of the columns to explain."""
    shop.execute("CREATE TABLE orders AS SELECT 1 AS n")

    assert open_warehouse(shop.url, "orders", "UTC").describe() == pa.schema([])


def test_leaving_in_the_middle_closes_the_connection(shop: "Shop") -> None:
    """A reader that stops early leaves nothing open: the table can be dropped at once."""
    shop.execute("""
        CREATE TABLE orders AS SELECT n AS order_id, timestamp '2026-10-20' + n * interval '1 millisecond' AS ordered_at
            FROM generate_series(1, 300000) s(n)
    """)
    batches = open_warehouse(shop.url, "orders", "UTC").read(DAY, DAY + ONE_DAY, batch_rows=1_000)

    assert next(batches).num_rows == 1_000
    batches.close()  # type: ignore[attr-defined]

    shop.execute("DROP TABLE orders")


@pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc")
def test_memory_stays_bounded(shop: "Shop", tmp_path: Path) -> None:
    """A million orders, 400 MB in Arrow, are read by a process that never has 350 MB."""
    path = tmp_path / "orders.sql"
    path.write_text("""
        SELECT n AS order_id, timestamp '2026-10-20' + n * interval '1 millisecond' AS ordered_at,
            CAST(1.50 AS decimal(12, 2)) AS value, concat(repeat('u', 350), n) AS user_agent
        FROM generate_series(1, 1000000) AS orders(n)
    """)
    read = subprocess.run(
        [sys.executable, "-c", READ_ALL, shop.url, str(path)], capture_output=True, text=True, check=True
    )

    rows, peak_kilobytes = map(int, read.stdout.split())

    assert rows == 1_000_000
    assert peak_kilobytes < 350 * 1024
