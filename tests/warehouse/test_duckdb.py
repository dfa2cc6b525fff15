"""What is particular to DuckDB: its file, its lock, its types and its habit of keeping results in memory."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa

from xcapi_dagster.conversions.normalize import normalize_items, normalize_text
from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse import open_warehouse
from xcapi_dagster.warehouse.batches import BATCH_BYTES
from xcapi_dagster.warehouse.duckdb import DuckDB
from xcapi_dagster.warehouse.query import Relation, select_all

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
        ("1.50::decimal(12, 3)", Decimal("1.500")),
        ("sum(3::integer)", "3"),
        ("170141183460469231731687303715884105727::hugeint", "170141183460469231731687303715884105727"),
        ("'b'::ENUM ('a', 'b')", "b"),
        ("'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        (r"'\x01\xFF'::blob", b"\x01\xff"),
        ("time '10:00:00'", "10:00:00"),
        ("interval '3 days'", "3 days"),
        ("NULL", None),
        ("'101'::bit", "101"),
        ("date '2026-10-20'", "2026-10-20"),
        ("timestamp 'infinity'", "infinity"),
        ("['a', 'b']", '["a","b"]'),  # as JSON, whose text is in no list
        ("""'"a"'::json""", '"a"'),
    ],
)
def test_any_type_arrives_as_something_the_transform_knows(duckdb_shop: "Shop", expression: str, value: object) -> None:
    """What Arrow lacks, or cannot hold, exactly, is text."""
    assert read_one(duckdb_shop, expression, "description") == value


def test_items_stay_exact_lists_of_structs_or_become_json(duckdb_shop: "Shop") -> None:
    """Plain structs pass as they are; anything else becomes the JSON text that says the same."""
    assert read_one(duckdb_shop, "[{content_id: 'a', content_price: 1.50::decimal(9, 2)}]", "items") == [
        {"content_id": "a", "content_price": Decimal("1.50")}
    ]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("""'[{"content_id": "a"}]'::json""", '[{"content_id": "a"}]'),
        ("""['{"content_id": "a"}'::json]""", '[{"content_id":"a"}]'),
        ("[{content_id: uuid '6ba7b810-9dad-11d1-80b4-00c04fd430c8'}]",
         '[{"content_id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"}]'),
        ("[{content_id: '\"a\"'::json, content_price: '1.5'::json, content_name: '\"a\"'}]",
         '[{"content_id":"a","content_price":1.5,"content_name":"\\"a\\""}]'),
        ("array_value({content_price: 1.50::decimal(9, 2)})", '[{"content_price":1.5}]'),
    ],
)  # fmt: skip
def test_items_of_other_types_are_json_text(duckdb_shop: "Shop", expression: str, text: str) -> None:
    """The JSON says what the column held."""
    assert read_one(duckdb_shop, expression, "items") == text


def test_long_texts_come_shortened(duckdb_shop: "Shop") -> None:
    """What is too long for any column is given so far that it still is, at less than a tenth of its memory."""
    longest = read_one(duckdb_shop, "repeat('x', 100000)", "twclid")
    duckdb_shop.execute("DROP TABLE orders")
    longer = read_one(duckdb_shop, "repeat('x', 2000000)", "twclid")
    assert (longest, longer) == ("x" * 100_000, "x" * 100_001)
    assert normalize_text(pa.array([longest, longer])).faults["text_too_long"].to_pylist() == [False, True]
    duckdb_shop.execute("DROP TABLE orders")
    assert read_one(duckdb_shop, "repeat('x', 800000)", "items") == "x" * 800_000


def test_long_items_are_too_long_and_not_unreadable(duckdb_shop: "Shop") -> None:
    """A part of their JSON would be none."""
    items = read_one(duckdb_shop, """concat('[{"content_id": "', repeat('x', 2000000), '"}]')""", "items")

    faults = normalize_items(pa.array([items])).faults

    assert len(items) < 100_100
    assert {name: rows.to_pylist() for name, rows in faults.items() if name != "text_has_identifier"} == {
        "invalid_items": [False],
        "text_too_long": [True],
    }


@pytest.mark.parametrize("unit", ["TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ"])
def test_times_of_every_unit_are_compared_with_the_window(duckdb_shop: "Shop", unit: str) -> None:
    """The bounds hold for each of DuckDB's timestamps, and infinite ones are counted as missing."""
    duckdb_shop.execute(f"""
        CREATE TABLE orders (order_id text, ordered_at {unit});
        INSERT INTO orders VALUES ('before', '2026-10-19 23:59:59'), ('first', '2026-10-20 00:00:00'),
            ('last', '2026-10-20 23:59:59'), ('after', '2026-10-21 00:00:00'), ('never', 'infinity')
    """)
    warehouse = open_warehouse(duckdb_shop.url, "orders", "UTC")

    (batch,) = warehouse.read(DAY, DAY + ONE_DAY)

    assert batch.column("order_id").to_pylist() == ["first", "last"]
    assert warehouse.count_without_time() == 1


def test_a_file_that_does_not_exist_is_named_and_not_created(tmp_path: Path) -> None:
    """One line with the setting and the path; no empty database is left behind."""
    path = tmp_path / "nothing.duckdb"

    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(f"duckdb:///{path}", "orders", "UTC").describe()

    assert str(caught.value) == f"XCAPI_WAREHOUSE_URL names a DuckDB file that does not exist: {path}"
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_is_taken_from_the_working_folder(
    duckdb_shop: "Shop", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three slashes, then the path from here."""
    duckdb_shop.execute("CREATE TABLE orders AS SELECT 1 AS order_id")
    monkeypatch.chdir(tmp_path)

    assert open_warehouse("duckdb:///shop.duckdb", "orders", "UTC").describe().names == ["order_id"]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """The message names the setting and the file."""
    path = tmp_path / "orders.duckdb"
    path.write_text("order_id,email\n1,ann@example.com\n" * 1000)

    with pytest.raises(ConfigurationError, match=r"^XCAPI_WAREHOUSE_URL names a file that DuckDB .* cannot open: .*"):
        open_warehouse(f"duckdb:///{path}", "orders", "UTC").describe()


@pytest.fixture
def writer(duckdb_shop: "Shop") -> Iterator[None]:
    """Hold the shop's file open for writing, from another process."""
    path = duckdb_shop.url.removeprefix("duckdb:///")
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate("")


@pytest.mark.usefixtures("writer")
def test_a_file_that_another_process_writes_to_is_busy(duckdb_shop: "Shop") -> None:
    """The message says to run again: no setting is wrong."""
    with pytest.raises(WarehouseError, match=r"shop\.duckdb is open for writing; run again"):
        open_warehouse(duckdb_shop.url, "orders", "UTC").describe()


def test_a_file_that_this_process_writes_to_is_busy(duckdb_shop: "Shop") -> None:
    """The same, when the writer is another asset of the same process."""
    with (
        duckdb.connect(duckdb_shop.url.removeprefix("duckdb:///")),
        pytest.raises(WarehouseError, match="is open for writing; run again"),
    ):
        open_warehouse(duckdb_shop.url, "orders", "UTC").describe()


def test_a_column_that_a_join_gives_twice_is_refused(duckdb_shop: "Shop", tmp_path: Path) -> None:
    """Which of the two was meant cannot be known; of columns that are not read it is no matter."""
    duckdb_shop.execute("""
        CREATE TABLE bought AS SELECT 1 AS order_id, date '2026-10-20' AS ordered_at, 7 AS buyer, 'a@shop.de' AS email;
        CREATE TABLE buyers AS SELECT 7 AS buyer, 'ann@example.com' AS "Email"
    """)
    path = tmp_path / "orders.sql"
    path.write_text("SELECT bought.*, buyers.* FROM bought JOIN buyers ON bought.buyer = buyers.buyer -- all: of both")
    with pytest.raises(ConfigurationError, match="XCAPI_ORDERS gives the column email twice; rename or drop one"):
        open_warehouse(duckdb_shop.url, str(path), "UTC").describe()

    path.write_text("SELECT bought.*, buyers.buyer FROM bought JOIN buyers ON bought.buyer = buyers.buyer")
    warehouse = open_warehouse(duckdb_shop.url, str(path), "UTC")
    assert (warehouse.describe().names, warehouse.unread()) == (["order_id", "ordered_at", "email"], ["buyer", "buyer"])


def test_the_file_is_never_written_to(duckdb_shop: "Shop", tmp_path: Path) -> None:
    """A query file cannot change the warehouse, and reading leaves the file's bytes as they were."""
    duckdb_shop.execute(
        "CREATE SEQUENCE s; CREATE TABLE orders AS SELECT 1 AS order_id, date '2026-10-20' AS ordered_at"
    )
    path = tmp_path / "orders.sql"
    path.write_text("SELECT nextval('s') AS order_id, date '2026-10-20' AS ordered_at")
    before = (tmp_path / "shop.duckdb").read_bytes()

    assert (
        sum(batch.num_rows for batch in open_warehouse(duckdb_shop.url, "orders", "UTC").read(DAY, DAY + ONE_DAY)) == 1
    )
    with pytest.raises((ConfigurationError, WarehouseError)):
        list(open_warehouse(duckdb_shop.url, str(path), "UTC").read(DAY, DAY + ONE_DAY))
    assert (tmp_path / "shop.duckdb").read_bytes() == before


def test_a_python_variable_is_never_taken_for_a_table(duckdb_shop: "Shop") -> None:
    """DuckDB would look for a frame of that name among the variables of the function that asks."""
    for name in ("query", "pa"):
        with pytest.raises(ConfigurationError, match=f"no table {name}"):
            open_warehouse(duckdb_shop.url, name, "UTC").describe()


def test_a_query_with_groups_has_the_same_order_every_time(duckdb_shop: "Shop", tmp_path: Path) -> None:
    """Rows come back in one order, so that a re-run writes the same files."""
    path = tmp_path / "orders.sql"
    path.write_text("""
        SELECT 'o' || n % 200000 AS order_id, max(timestamp '2026-10-20' + n * interval '1 millisecond') AS ordered_at
        FROM range(400000) t(n) GROUP BY ALL
    """)
    warehouse = open_warehouse(duckdb_shop.url, str(path), "UTC")

    reads = [[batch.column("order_id") for batch in warehouse.read(DAY, DAY + ONE_DAY)] for _ in range(3)]

    assert reads[0] == reads[1] == reads[2]
    assert sum(map(len, reads[0])) == 200_000


def test_a_query_that_needs_too_much_memory_is_explained(duckdb_shop: "Shop", tmp_path: Path) -> None:
    """Two gigabytes in one value are refused, with the limit and a way out."""
    path = tmp_path / "orders.sql"
    path.write_text("""
        SELECT date '2026-10-20' AS ordered_at, string_agg(repeat('x', 10000) || n, '') AS description
        FROM range(200000) t(n)
    """)

    with pytest.raises(WarehouseError, match="the query needs more than 512MB; store its result as a table"):
        list(open_warehouse(duckdb_shop.url, str(path), "UTC").read(DAY, DAY + ONE_DAY))


@pytest.mark.parametrize("column", ["ordered_at", "updated_at"])
@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("uuid '6ba7b810-9dad-11d1-80b4-00c04fd430c8'", "UUID"),
        ("'2026-10-20'::ENUM ('2026-10-20')", "ENUM"),
        ("""'"2026-10-20"'::json""", "JSON"),
    ],
)
def test_what_would_pass_for_text_is_no_time(duckdb_shop: "Shop", column: str, expression: str, name: str) -> None:
    """Arrow has it as text, which may tell time; it is refused before anything is read."""
    duckdb_shop.execute(f"CREATE TABLE orders AS SELECT '1' AS order_id, {expression} AS {column}")

    with pytest.raises(ConfigurationError, match=f"XCAPI_ORDERS gives {column} as {name}, which is no time"):
        open_warehouse(duckdb_shop.url, "orders", "UTC").describe()


@pytest.mark.slow
def test_a_text_column_of_more_than_two_gigabytes_is_read(duckdb_shop: "Shop", tmp_path: Path) -> None:
    """Fifty thousand orders, as many as a batch may have, with 45 kB each: more than Arrow's text can hold at once."""
    path = tmp_path / "orders.sql"
    path.write_text("""
        SELECT n AS order_id, date '2026-10-20' AS ordered_at, repeat('x', 45000) AS description FROM range(50000) t(n)
    """)

    sizes = [
        (batch.num_rows, batch.nbytes)
        for batch in open_warehouse(duckdb_shop.url, str(path), "UTC").read(DAY, DAY + ONE_DAY)
    ]

    assert sum(rows for rows, _ in sizes) == 50_000
    assert sum(size for _, size in sizes) > 1 << 31
    assert max(size for _, size in sizes) <= BATCH_BYTES


def test_what_was_read_of_the_file_does_not_stay_in_memory(duckdb_shop: "Shop") -> None:
    """DuckDB would keep all of it up to its limit; the rows are the same, and its limit afterwards is what it was."""
    duckdb_shop.execute("""
        CREATE TABLE orders AS
        SELECT n AS order_id, md5(n::VARCHAR) AS twclid, md5((n + 1)::VARCHAR) AS user_agent FROM range(1200000) t(n)
    """)
    orders = Relation(sa.table("orders"), "the table orders")
    with DuckDB.from_url(duckdb_shop.url).connect(orders) as session:
        rows, most, beside = 0, 0, session.connection.cursor()
        for batch in session.stream(select_all(orders), pa.schema([])):
            assert batch["order_id"][0].as_py() == rows
            rows += len(batch)
            (kept,) = beside.sql("SELECT memory_usage_bytes FROM duckdb_memory() WHERE tag = 'BASE_TABLE'").fetchall()
            most = max(most, kept[0])
        limit = beside.sql("SELECT current_setting('memory_limit')").fetchall()
    assert rows == 1_200_000
    assert most < Path(duckdb_shop.url.removeprefix("duckdb:///")).stat().st_size / 2
    assert limit == [("488.2 MiB",)]  # 512 MB


def test_a_query_that_works_with_much_memory_keeps_it(duckdb_shop: "Shop") -> None:
    """Sorted rows, of which the last can only come when all were read, arrive in order while blocks are let go."""
    duckdb_shop.execute("CREATE TABLE numbers AS SELECT n, md5(n::VARCHAR) AS text FROM range(800000) t(n)")
    orders = Relation(sa.table("sorted"), "the view sorted")
    duckdb_shop.execute("CREATE VIEW sorted AS SELECT * FROM numbers ORDER BY text DESC")
    with DuckDB.from_url(duckdb_shop.url).connect(orders) as session:
        texts = pa.concat_arrays([batch["text"] for batch in session.stream(select_all(orders), pa.schema([]))])
    assert len(texts) == 800_000
    assert pc.all(pc.less(texts[1:], texts[:-1])).as_py()
