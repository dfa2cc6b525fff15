"""What the two settings may say, and what a wrong one gets: before anything is connected to."""

import traceback
from pathlib import Path
from string import ascii_letters, digits

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.warehouse import open_warehouse
from xcapi_dagster.warehouse.dialects import Standard
from xcapi_dagster.warehouse.query import select_all

URL = "duckdb:///nothing-is-opened.duckdb"

SECRETS = st.text(f"{ascii_letters}{digits}+=-._~", max_size=30).map(lambda text: f"Canary{text}Canary")
KINDS = (
    "duckdb:///md:shop?motherduck_token={}", "duckdb:///MotherDuck:{}", "duckdb:///s3://key:{}@bucket/shop.duckdb",
    "duckdb:////srv/shop.duckdb?token={}", "duckdb://shop:{}@host/shop",
    "csv:///srv/orders?token={}", "csv:///srv/orders?token={}?format=csv", "csv://shop:{}@host/orders",
    "parquet:///srv/orders?format=parquet&token={}", "file:///https://shop:{}@host/orders.csv",
    "s3://key:{}@bucket/orders", "s3://key:{}/{}@bucket/orders", "s3://{}@bucket/orders", "s3://bucket/orders?key={}", "s3a://key:{}@bucket/",
    "gs://{}@bucket/orders", "az://{}@container/orders", "abfss://{}@shop.dfs.core.windows.net/orders",
    "postgresql://shop:{}@127.0.0.1:1/shop", "postgresql+psycopg://127.0.0.1:1/shop?password={}",
    "sqlite:////nowhere/shop.db?key={}", "sqlite://shop:{}@/shop.db",
    "mysql://shop:{}@127.0.0.1:1/shop", "mariadb://127.0.0.1:1/shop?password={}",
    "redshift://shop:{}@127.0.0.1:1/shop", "mssql://shop:{}@127.0.0.1:1/shop",
    "snowflake://shop:{}@account/shop", "snowflake://shop@account/shop?token={}",
    "bigquery://project/shop?token={}", "bigquery://shop:{}@project/shop",
    "databricks://token:{}@host?http_path=/sql", "databricks://host?http_path=/sql&access_token={}",
    "mongodb://shop:{}@host/shop", "{}", "shop:{}@host",
)  # fmt: skip


def refused(url: str, orders: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(url, orders, "UTC")
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("url", ["mongodb://shop:hunter2@db/shop", "elasticsearch+http://shop:hunter2@db/shop"])
def test_another_kind_of_warehouse_is_refused_without_showing_the_url(url: str) -> None:
    """The message names the setting and what is supported, and holds neither user, password nor host."""
    message = refused(url, "orders")

    assert f"XCAPI_WAREHOUSE_URL is a URL of the kind {url.partition(':')[0]}://; supported are" in message
    assert "duckdb:///FILE" in message
    assert "postgresql://" in message
    assert not any(part in message for part in ("hunter2", "shop", "@db"))


@pytest.mark.parametrize("url", ["", "hunter2", "shop:hunter2@db/shop", "hunter2 or so://", "duckdb:/file"])
def test_what_is_no_url_is_refused_without_showing_it(url: str) -> None:
    """A password pasted in the wrong place is not repeated."""
    message = refused(url, "orders")

    assert "XCAPI_WAREHOUSE_URL is no URL" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("url", ["duckdb://", "duckdb:///", "duckdb://shop.duckdb", "duckdb:///:memory:"])
def test_a_duckdb_url_without_a_file_is_refused(url: str) -> None:
    """A DuckDB warehouse is a file; the message shows the three slashes."""
    assert "duckdb:///FILE" in refused(url, "orders")


@pytest.mark.parametrize("kind", KINDS)
@given(secret=SECRETS)
@settings(max_examples=15, deadline=None)
def test_no_error_repeats_what_may_be_a_password(kind: str, secret: str) -> None:
    """Wherever a URL may hold one, and whether the URL is refused, the driver missing or nobody answering."""
    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(kind.replace("{}", secret), "orders", "UTC").describe()

    assert "XCAPI_WAREHOUSE_URL" in str(caught.value)
    assert "canary" not in "".join(traceback.format_exception(caught.value)).casefold()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("duckdb:///md:shop", "must name a DuckDB file on this machine"),
        ("duckdb:////srv/shop.duckdb?access_mode=x", "without parameters or tokens"),
        ("csv:///srv/orders?format=csv&token=x", "may end in ?format=parquet or ?format=csv and have no other"),
        ("s3://key:x@bucket/orders", "credentials belong where the store's own library looks for them"),
    ],
)
def test_where_credentials_belong_is_said(url: str, told: str) -> None:
    """What cannot be in a URL is refused before anything is opened, with what to write instead."""
    assert told in refused(url, "orders")


def test_paths_are_taken_as_they_are_written() -> None:
    """A colon, an at sign or a percent sign is no credential, and Azure's own form names no user."""
    for url in ("duckdb:///C:/shop.duckdb", "duckdb:////srv/a:b@c%20d.duckdb", "csv:///srv/a:b@c%20d/*.csv"):
        assert open_warehouse(url, "orders", "UTC")
    with pytest.raises(ConfigurationError, match="driver is not installed"):
        open_warehouse("abfss://orders@shop.dfs.core.windows.net/2026", "orders", "UTC")


@pytest.mark.parametrize(
    "orders",
    [
        "",
        " ",
        "a.b.c",
        "orders;",
        "orders -- x",
        'or"ders',
        "1orders",
        "orders\n",
        ".orders",
        "orders.",
        "für",
        "a" * 129,
    ],
)
def test_a_name_that_is_no_table_is_refused(orders: str) -> None:
    """Only table and schema.table of plain names are accepted, and the message says so."""
    assert "XCAPI_ORDERS must be table, schema.table or a path ending in .sql" in refused(URL, orders)


@given(st.text().filter(lambda text: not text.endswith(".sql")))
def test_no_name_reaches_a_query_unless_it_is_plain(orders: str) -> None:
    """Either the name is made of plain parts, which are quoted, or it is refused."""
    try:
        relation = open_warehouse(URL, orders, "UTC").orders
    except ConfigurationError:
        return
    names = ".".join(f'"{part}"' for part in orders.split("."))
    assert str(select_all(relation).compile(dialect=Standard())).split() == ["SELECT", "*", "FROM", names]
    assert set(orders) <= {*ascii_letters, *digits, *"._$"}


def test_a_query_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """The message names the setting and the path."""
    path = tmp_path / "orders.sql"

    assert refused(URL, str(path)) == f"XCAPI_ORDERS names a file that does not exist: {path}"


@pytest.mark.parametrize("content", [b"", b" \n\t", b"\xff\xfe\x00"])
def test_a_query_file_without_text_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty file, and one that is not UTF-8, are named."""
    path = tmp_path / "orders.sql"
    path.write_bytes(content)

    assert str(path) in refused(URL, str(path))


def test_a_folder_is_no_query_file(tmp_path: Path) -> None:
    """A folder whose name ends in .sql is refused like a file that cannot be read."""
    path = tmp_path / "orders.sql"
    path.mkdir()

    assert str(path) in refused(URL, str(path))
