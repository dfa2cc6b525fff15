"""What is particular to PostgreSQL: connections, types without a counterpart, order, and streaming."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDialect

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse import open_warehouse
from xcapi_dagster.warehouse.window import TimeKind, window_between

if TYPE_CHECKING:
    from tests.warehouse.conftest import Shop

DAY = datetime(2026, 10, 20, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


def read_one(shop: "Shop", expression: str, name: str) -> Any:
    """Return what the column ``name``, made by ``expression``, reads as."""
    shop.execute(f"CREATE TABLE orders AS SELECT timestamp '2026-10-20' AS ordered_at, {expression} AS {name}")
    (batch,) = open_warehouse(shop.url, "orders", "UTC").read(DAY, DAY + ONE_DAY)
    return batch.column(name)[0].as_py()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1.50::numeric(12, 2)", "1.5"),
        ("1001.00::numeric(12, 2)", "1001"),
        ("'NaN'::numeric", "NaN"),
        ("'Infinity'::numeric", "Infinity"),
        ("12345678901234567890123456789012345678901234567890.123456789::numeric",
         "12345678901234567890123456789012345678901234567890.123456789"),
        ("12.34::money", "12.34"),
        ("9223372036854775807::bigint", "9223372036854775807"),
        ("7::smallint", 7),
        ("1.5::real", 1.5),
        ("true", True),
        ("'DE'::char(4)", "DE"),
        ("'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("'192.0.2.7'::inet", "192.0.2.7/32"),
        (r"'\x01ff'::bytea", b"\x01\xff"),
        ("interval '3 days'", "3 days"),
        ("time '10:00'", "10:00:00"),
        ("""'{"a": 1.50}'::json""", '{"a": 1.50}'),
        ("""'{"a": 1.50}'::jsonb""", '{"a": 1.50}'),
        ("b'101'", "101"),
        ("int4range(1, 2)", "[1,2)"),
        ("date '2026-10-20'", "2026-10-20"),
        ("timestamp 'infinity'", "infinity"),
        ("NULL", None),
    ],
)  # fmt: skip
def test_any_type_arrives_as_something_the_transform_knows(
    postgres_shop: "Shop", expression: str, value: object
) -> None:
    """Numbers, truth and bytes are exact; all else is its text."""
    assert read_one(postgres_shop, expression, "description") == value


def test_types_of_ones_own_arrive_as_text(postgres_shop: "Shop") -> None:
    """An enumeration and a domain are what they hold."""
    postgres_shop.execute("CREATE TYPE consent AS ENUM ('granted', 'denied'); CREATE DOMAIN code AS text")

    assert read_one(postgres_shop, "'granted'::consent", "consent") == "granted"
    postgres_shop.execute("DROP TABLE orders")
    assert read_one(postgres_shop, "'USD'::code", "currency") == "USD"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("""'[{"content_id": "a"}]'::text""", '[{"content_id": "a"}]'),
        ("""'[{"content_id": "a"}]'::json""", '[{"content_id": "a"}]'),
        ("""ARRAY['{"content_id": "a"}'::json]""", '[{"content_id": "a"}]'),
        ("ARRAY[ROW('a', 1.50, 2)::item]", '[{"content_id":"a","content_price":1.50,"num_items":2}]'),
    ],
)
def test_items_are_json_text(postgres_shop: "Shop", expression: str, text: str) -> None:
    """Text, JSON, arrays of JSON and arrays of a composite type all say their items as JSON, digits kept."""
    postgres_shop.execute("CREATE TYPE item AS (content_id text, content_price numeric, num_items int)")

    assert read_one(postgres_shop, expression, "items") == text


@pytest.mark.parametrize("expression", ["json '{}'", "time '10:00'", "12.34::money", "uuidv4()"])
def test_an_ordered_at_of_another_type_is_refused(postgres_shop: "Shop", expression: str) -> None:
    """No cast makes a time of what is none."""
    postgres_shop.execute(f"CREATE TABLE orders AS SELECT 1 AS order_id, {expression} AS ordered_at")

    with pytest.raises(ConfigurationError, match="XCAPI_ORDERS gives ordered_at as"):
        list(open_warehouse(postgres_shop.url, "orders", "UTC").read(DAY, DAY + ONE_DAY))


def test_an_updated_at_that_is_no_time_stays_what_it_is(postgres_shop: "Shop") -> None:
    """As text it would pass for a time that cannot be read; as a number the check of the columns refuses it."""
    assert read_one(postgres_shop, "1792484100::bigint", "updated_at") == 1792484100


def test_two_columns_that_differ_by_case_are_refused(postgres_shop: "Shop", tmp_path: Path) -> None:
    """Which of the two was meant cannot be known; the same name twice is refused too."""
    path = tmp_path / "orders.sql"
    for sql in ['SELECT 1 AS email, 2 AS "Email"', "SELECT 1 AS email, 2 AS email"]:
        path.write_text(sql)

        with pytest.raises(ConfigurationError, match="XCAPI_ORDERS gives the column email twice"):
            open_warehouse(postgres_shop.url, str(path), "UTC").describe()


def test_orders_come_sorted_by_time_and_id(postgres_shop: "Shop") -> None:
    """Wherever the rows lie in the table, a re-run reads them in the same order."""
    postgres_shop.execute("""
        CREATE TABLE orders (order_id text, ordered_at timestamptz);
        INSERT INTO orders VALUES ('c', '2026-10-20 10:00Z'), ('z', '2026-10-20 09:00Z'), ('a', '2026-10-20 10:00Z')
    """)
    warehouse = open_warehouse(postgres_shop.url, "orders", "UTC")
    for _ in range(2):
        (batch,) = warehouse.read(DAY, DAY + ONE_DAY)
        assert batch.column("order_id").to_pylist() == ["z", "a", "c"]
        postgres_shop.execute("UPDATE orders SET order_id = 'a' WHERE order_id = 'a'")


@pytest.mark.parametrize(
    ("kind", "column_type"), [("local", "timestamp"), ("instant", "timestamptz"), ("date", "date")]
)
def test_an_index_on_the_time_serves(postgres_url: str, kind: TimeKind, column_type: str) -> None:
    """One day of ten years is found by the index, whichever type tells the time."""
    window = window_between(DAY, DAY + ONE_DAY, ZoneInfo("Europe/Berlin"))
    found = window.condition(sa.column("ordered_at"), kind)
    condition = found.compile(dialect=PGDialect(paramstyle="named"), compile_kwargs={"literal_binds": True})
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"""
            CREATE TEMPORARY TABLE orders AS
                SELECT ({column_type} '2016-11-01' + n * interval '1 hour')::{column_type} AS ordered_at
                FROM generate_series(1, 90000) AS hours(n);
            CREATE INDEX by_time ON orders (ordered_at); ANALYZE orders
        """)
        plan = connection.execute(f"EXPLAIN SELECT * FROM orders WHERE {condition}").fetchall()
        found = connection.execute(f"SELECT count(*) FROM orders WHERE {condition}").fetchone()

    assert any("by_time" in line for (line,) in plan)
    assert found == (24,)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_both_spellings_of_the_scheme_are_read(postgres_shop: "Shop", scheme: str) -> None:
    """`postgres://` and `postgresql://` are one."""
    postgres_shop.execute("CREATE TABLE orders (order_id int)")
    url = postgres_shop.url.replace("postgresql://", f"{scheme}://")

    assert open_warehouse(url, "orders", "UTC").describe().names == ["order_id"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://shop:hunter2@127.0.0.1:1/shop", "no server answers there"),
        ("postgresql://shop:hunter2@/shop?host=/nowhere", "no server answers there"),
        ("postgresql://shop:hun@ter2@nowhere.invalid/shop", "its host is unknown"),
        ("postgresql://shop:hunter2@[nowhere/shop", "it cannot be read"),
        ("postgresql://shop:hunter2@127.0.0.1:port/shop", "it cannot be read"),
        ("postgresql://shop:hunter2@127.0.0.1/shop?sslmood=require", "it cannot be read"),
    ],
)
def test_a_server_that_cannot_be_reached_is_explained(url: str, told: str) -> None:
    """One line that names the setting and what to check, and holds no part of the URL."""
    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(url, "orders", "UTC").describe()

    assert str(caught.value).startswith(f"XCAPI_WAREHOUSE_URL: {told}")
    assert not any(part in str(caught.value) for part in ("\n", "hunter2", "ter2", "shop", "nowhere"))
    assert caught.value.__suppress_context__


def test_a_wrong_database_and_a_wrong_user_are_explained(postgres_url: str) -> None:
    """A database and a user that the server does not have."""
    with pytest.raises(ConfigurationError, match="XCAPI_WAREHOUSE_URL: the server has no database of this name"):
        open_warehouse(postgres_url.replace("/postgres?", "/nowhere?"), "orders", "UTC").describe()
    with pytest.raises(ConfigurationError, match="XCAPI_WAREHOUSE_URL: the server refuses this user or password"):
        open_warehouse(postgres_url.replace("postgres:@", "nobody:hunter2@"), "orders", "UTC").describe()


@pytest.fixture
def guarded_url(postgres_shop: "Shop", postgres_url: str) -> Iterator[str]:
    """Let the user `clerk` in by password alone, and the user `barred` not at all."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk LOGIN PASSWORD 'hunter2'; CREATE ROLE barred LOGIN")
        (path,) = connection.execute("SHOW hba_file").fetchone() or ()
        rules = Path(path)
        usual = rules.read_text()
        rules.write_text(f"local all clerk scram-sha-256\nlocal all barred reject\n{usual}")
        connection.execute("SELECT pg_reload_conf()")
        while is_let_in(postgres_url.replace("postgres:@", "barred:@")):
            pass  # the server reads its rules again when it gets to it
        yield postgres_shop.url
        rules.write_text(usual)
        connection.execute("SELECT pg_reload_conf(); DROP ROLE clerk; DROP ROLE barred")


def is_let_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_refused_password_is_explained_without_it(guarded_url: str) -> None:
    """The right password opens, another or none does not, and a user who may not connect is told apart."""
    right, wrong, none, barred = (
        open_warehouse(guarded_url.replace("postgres:@", f"{user}@"), "pg_catalog.pg_class", "UTC")
        for user in ("clerk:hunter2", "clerk:hunter3", "clerk:", "barred:hunter2")
    )

    assert right.describe().names == []
    for warehouse in (wrong, none):
        with pytest.raises(ConfigurationError) as refused:
            warehouse.describe()
        assert str(refused.value) == "XCAPI_WAREHOUSE_URL: the server refuses this user or password"
    with pytest.raises(ConfigurationError, match=r"^XCAPI_WAREHOUSE_URL: the server lets nobody of this name in"):
        barred.describe()


def test_a_table_that_may_not_be_read_is_explained(postgres_shop: "Shop") -> None:
    """The message names the right that is missing, before anything is read."""
    postgres_shop.execute("""
        CREATE TABLE orders (order_id int, ordered_at date);
        CREATE ROLE reader LOGIN;
        DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO reader', current_schema()); END $$
    """)
    warehouse = open_warehouse(postgres_shop.url.replace("postgres:@", "reader:@"), "orders", "UTC")

    with pytest.raises(ConfigurationError, match=r"XCAPI_ORDERS: the table orders may not be read.*grant SELECT"):
        warehouse.describe()

    postgres_shop.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_nothing_can_be_written(postgres_shop: "Shop", tmp_path: Path) -> None:
    """A query file that would change the database is stopped by the transaction."""
    postgres_shop.execute("CREATE SEQUENCE s")
    path = tmp_path / "orders.sql"
    path.write_text("SELECT nextval('s') AS order_id, date '2026-10-20' AS ordered_at")

    with pytest.raises(WarehouseError):
        list(open_warehouse(postgres_shop.url, str(path), "UTC").read(DAY, DAY + ONE_DAY))


def test_a_patience_of_ones_own_is_kept(postgres_shop: "Shop") -> None:
    """A URL that says how long to wait for the server is taken as it is: libpq refuses what is no number."""
    url = f"{postgres_shop.url}&connect_timeout="

    with pytest.raises(ConfigurationError, match="XCAPI_WAREHOUSE_URL: it cannot be read"):
        open_warehouse(f"{url}soon", "orders", "UTC").describe()
    with pytest.raises(ConfigurationError, match="no table orders"):
        open_warehouse(f"{url}3", "orders", "UTC").describe()


def test_the_password_is_in_no_representation() -> None:
    """What a traceback or a log may show of the warehouse holds nothing of its URL."""
    assert "hunter2" not in repr(open_warehouse("postgresql://shop:hunter2@db/shop", "orders", "UTC"))


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    for module in ("adbc_driver_postgresql", "adbc_driver_postgresql.dbapi"):  # which another test may have loaded
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigurationError, match=r"XCAPI_WAREHOUSE_URL.*pip install 'xcapi-dagster\[postgres\]'"):
        open_warehouse("postgresql://nowhere/shop", "orders", "UTC").describe()


def test_a_server_that_ends_the_connection_is_no_short_read(postgres_shop: "Shop") -> None:
    """Some batches arrive, then the connection breaks: an error, not the end."""
    postgres_shop.execute("""
        CREATE TABLE orders AS SELECT n AS order_id, repeat('u', 200) AS user_agent,
            timestamp '2026-10-20' + n * interval '1 millisecond' AS ordered_at FROM generate_series(1, 300000) s(n)
    """)
    batches = open_warehouse(postgres_shop.url, "orders", "UTC").read(DAY, DAY + ONE_DAY, batch_rows=1_000)
    assert next(batches).num_rows == 1_000
    postgres_shop.execute("""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND query LIKE '%user_agent%' AND query NOT LIKE '%pg_stat_activity%'
    """)

    with pytest.raises(WarehouseError, match="PostgreSQL could not give the orders to the end"):
        for _ in batches:
            pass
