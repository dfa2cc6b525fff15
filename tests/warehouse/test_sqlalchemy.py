"""What is particular to databases that are read through SQLAlchemy: SQLite's file and its mixed types; drivers."""

import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.conversions.amounts import to_amounts
from xcapi_dagster.conversions.columns import to_text
from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse import open_warehouse
from xcapi_dagster.warehouse.query import JSON
from xcapi_dagster.warehouse.values import UNREADABLE, to_arrow

DAY = datetime(2026, 10, 20, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.sqlite"


@pytest.fixture
def execute(path: Path) -> Callable[..., None]:
    """Run a script, or one statement with values, on a SQLite file."""

    def run(sql: str, *values: Any) -> None:
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(sql, values) if values else connection.executescript(sql)
        connection.close()

    return run


def read(path: Path, orders: str = "orders") -> list[dict[str, Any]]:
    batches = open_warehouse(f"sqlite:///{path}", orders, "UTC").read(DAY, DAY + ONE_DAY)
    return [row for batch in batches for row in batch.to_pylist()]


def test_a_file_that_does_not_exist_is_named_and_not_created(tmp_path: Path) -> None:
    """One line with the setting and the path; no empty database is left behind."""
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path / "nothing.sqlite")

    assert (
        str(caught.value) == f"XCAPI_WAREHOUSE_URL names a SQLite file that does not exist: {tmp_path}/nothing.sqlite"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    """A SQLite warehouse is a file; the message shows the three slashes."""
    with pytest.raises(ConfigurationError, match="sqlite:///FILE, with three slashes"):
        open_warehouse(url, "orders", "UTC").describe()


def test_a_relative_path_with_odd_characters_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Percent signs, number signs and spaces in a name are the name's."""
    connection = sqlite3.connect(tmp_path / "a #1 100%25.sqlite")
    connection.execute("CREATE TABLE orders (order_id)")
    connection.close()
    monkeypatch.chdir(tmp_path)

    assert open_warehouse("sqlite:///a #1 100%25.sqlite", "orders", "UTC").describe().names == ["order_id"]


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """The message names the setting, and nothing of the file."""
    path.write_text("order_id,email\n1,ann@example.com\n" * 100)

    with pytest.raises(ConfigurationError, match=r"^XCAPI_") as caught:
        read(path)

    assert "ann@example.com" not in str(caught.value)


def test_the_file_is_never_written_to(path: Path, tmp_path: Path, execute: Callable[..., None]) -> None:
    """Reading leaves the file's bytes and the folder as they were."""
    execute("CREATE TABLE orders AS SELECT '1' AS order_id, '2026-10-20' AS ordered_at")
    before = path.read_bytes()

    assert len(read(path)) == 1
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["shop.sqlite"]


@pytest.mark.slow
def test_a_file_that_is_locked_is_busy(path: Path, execute: Callable[..., None]) -> None:
    """The message says to run again: no setting is wrong."""
    execute("CREATE TABLE orders AS SELECT '1' AS order_id, '2026-10-20' AS ordered_at")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")

    with pytest.raises(WarehouseError, match="is being written to; run again"):
        read(path)

    writer.close()


def test_a_damaged_file_is_no_short_read(path: Path, execute: Callable[..., None]) -> None:
    """Some orders arrive, then a page that is none: an error, not the end."""
    execute("CREATE TABLE orders (order_id, ordered_at, user_agent)")
    execute("""
        INSERT INTO orders WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000)
        SELECT n, '2026-10-20', printf('%.200c', 'u') FROM s
    """)
    pages = bytearray(path.read_bytes())
    middle = len(pages) // 2 // 4096 * 4096
    pages[middle : middle + 8 * 4096] = b"\xff" * 8 * 4096
    path.write_bytes(pages)

    with pytest.raises(WarehouseError, match="sqlite could not give the orders to the end"):
        read(path)


def test_types_that_differ_by_row_are_read_row_by_row(path: Path, execute: Callable[..., None]) -> None:
    """SQLite holds what it is given; each value reads as it would in a column of its own type."""
    execute("CREATE TABLE orders (order_id, ordered_at, value, phone, hashed_email, description)")
    day = "2026-10-20"
    execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", 1, day, 20, 4930901820, None, "text")
    execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", "2", day, 0.1 + 0.2, 4930901820.0, b"\xff" * 32, 1.5)
    execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", 3.0, day, "1e3", "030", b"ab", b"\xff")
    execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, CAST(x'61ff' AS TEXT))", 4, day, 1e21, None, None)
    execute("INSERT INTO orders VALUES (5, 1792484100, 1, NULL, NULL, NULL)")

    rows = sorted(read(path), key=lambda row: row["order_id"])

    assert [row["order_id"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["value"] for row in rows] == ["20", "0.300000", "1e3", "1000000000000000000000.000000"]
    assert [row["phone"] for row in rows] == ["4930901820", "4930901820", "030", None]
    assert [row["hashed_email"] for row in rows] == [None, "ff" * 32, "ab", None]
    assert [row["description"] for row in rows] == ["text", UNREADABLE, UNREADABLE, UNREADABLE]
    assert open_warehouse(f"sqlite:///{path}", "orders", "UTC").count_without_time() == 1


def test_spellings_of_iso_8601_are_all_found(path: Path, execute: Callable[..., None]) -> None:
    """What SQLite compares as text is finished by what reads time: blanks before it and offsets count."""
    execute("CREATE TABLE orders (order_id, ordered_at DATETIME)")
    times = [
        "2026-10-20", "\t 2026-10-20 10:00", "\u00a02026-10-20T10:00Z", "2026-10-21T01:00+02:00",
        "2026-10-20T01:00+02:00", "2026-10-19T23:00-02:00", "yesterday", "", None, "2026-13-01",
    ]  # fmt: skip
    for number, time in enumerate(times):
        execute("INSERT INTO orders VALUES (?, ?)", str(number), time)

    assert sorted(row["order_id"] for row in read(path)) == ["0", "1", "2", "3", "5"]
    assert open_warehouse(f"sqlite:///{path}", "orders", "UTC").count_without_time() == 4


def test_seconds_since_1970_are_no_time(path: Path, execute: Callable[..., None]) -> None:
    """The message shows the cast in the SQL of SQLite."""
    execute("CREATE TABLE orders AS SELECT '1' AS order_id, 1792484100 AS ordered_at")

    with pytest.raises(
        ConfigurationError,
        match=r"ordered_at as int, which is no time.*datetime\(ordered_at, 'unixepoch'\) AS ordered_at",
    ):
        open_warehouse(f"sqlite:///{path}", "orders", "UTC").describe()


@pytest.mark.parametrize("name", ["order_id:1", "Order_Id:1", ":order_id", "order_id:x"])
def test_a_colon_in_a_name_is_a_part_of_it(path: Path, execute: Callable[..., None], name: str) -> None:
    """SQLite reads as a text what is quoted and no column: all orders had the id `Order_Id`."""
    execute(f"""CREATE TABLE orders AS SELECT '2026-10-20' AS ordered_at, 'A-1' AS "{name}" """)

    assert read(path) == [{"ordered_at": "2026-10-20"}]


def test_two_columns_of_one_name_are_refused(path: Path, tmp_path: Path, execute: Callable[..., None]) -> None:
    """Which of the two was meant cannot be known."""
    execute("CREATE TABLE orders (n)")
    (query := tmp_path / "orders.sql").write_text("SELECT 1 AS email, 2 AS email, '2026-10-20' AS ordered_at")

    with pytest.raises(ConfigurationError, match="XCAPI_ORDERS gives the column email twice"):
        read(path, str(query))


@pytest.mark.parametrize(
    ("url", "module", "told"),
    [
        ("mysql://shop:hunter2@127.0.0.1:1/shop", "pymysql", r"is of mysql, .*pip install 'xcapi-dagster\[mysql\]'"),
        ("mariadb://shop:hunter2@127.0.0.1:1/shop", "pymysql", r"is of mariadb, .*'xcapi-dagster\[mysql\]'"),
        ("redshift://shop:hunter2@127.0.0.1:1/shop", "none", r"is of redshift, .*'xcapi-dagster\[redshift\]'"),
        ("oracle+oracledb://shop:hunter2@127.0.0.1:1", "oracledb", "is of oracle, and its driver oracledb is not"),
        ("mysql://shop:hunter2@127.0.0.1:1/shop", "none", r": the database cannot be opened \(OperationalError\)"),
        ("mysql://shop:hunter2@127.0.0.1:port/shop", "none", " cannot be read; write DIALECT://"),
        ("snowflake://shop:hunter2@org-account/shop", "snowflake", r"is of Snowflake, .*'xcapi-dagster\[snowflake\]'"),
        ("bigquery://shop-1/shop", "google.cloud", r"is of BigQuery, .*pip install 'xcapi-dagster\[bigquery\]'"),
        (
            "databricks://token:hunter2@h?http_path=/x",
            "databricks",
            r"is of Databricks, .*'xcapi-dagster\[databricks\]'",
        ),
        ("snowflake:///shop", "none", r" names no account: write snowflake://"),
        ("databricks://token:hunter2@h", "none", r" names no host or no http_path: write databricks://"),
        ("bigquery://shop-1?hunter2=1", "none", r" must be bigquery://PROJECT/DATASET"),
    ],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, url: str, module: str, told: str) -> None:
    """A driver, by the extra that brings it; a part of the URL; a server. No message holds a part of the URL."""
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(
        ConfigurationError, match=f"^XCAPI_WAREHOUSE_URL{told if told[0] in ': ' else f' {told}'}"
    ) as caught:
        open_warehouse(url, "orders", "UTC").describe()

    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans())))
def test_numbers_read_as_in_columns_of_their_own_type(values: list[Any]) -> None:
    """Whichever way they come, the transform sees the same amounts and the same texts."""
    for type_, kind in ((pa.int64(), int), (pa.float64(), float)):
        given_values = [value if type(value) is kind else None for value in values]
        column = pa.array(given_values, type_)

        as_amounts = to_amounts(to_arrow([*given_values, object], pa.field("value", pa.string())).slice(0, len(values)))
        as_texts = to_text(to_arrow([*given_values, object], pa.field("phone", pa.string())).slice(0, len(values)))

        assert as_amounts == to_amounts(column)
        assert as_texts == to_text(column)


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9)))
def test_decimals_stay_exact(values: list[Decimal]) -> None:
    """Every digit, without an exponent."""
    found = to_arrow([*values, None], pa.field("value", pa.string()))

    assert found.to_pylist() == [*(f"{value:f}" for value in values), None]
    assert to_amounts(found) == to_amounts(pa.array([*values, None], pa.decimal128(38, 3)))


@given(st.lists(st.one_of(st.none(), st.text(), st.binary(), st.text(st.characters(categories=["Cs"])))))
def test_no_value_is_an_error(values: list[Any]) -> None:
    """Any text and any bytes become text, or what no rule accepts."""
    found = to_arrow(values, pa.field("email", pa.string()))

    found.validate(full=True)
    assert len(found) == len(values)


def test_values_of_python_become_text() -> None:
    """What a driver has parsed is no text but in items; JSON is told apart from text."""
    parsed = [{"a": "é"}, ["b"], "c", None]
    assert to_arrow(parsed, pa.field("items", pa.string())).to_pylist() == ['{"a": "é"}', '["b"]', "c", None]
    assert to_arrow(parsed, pa.field("email", pa.string())).to_pylist() == [UNREADABLE, UNREADABLE, "c", None]
    assert to_arrow(['"c"', None], pa.field("email", JSON)).equals(pa.array(['"c"', None]).cast(pa.json_()))
