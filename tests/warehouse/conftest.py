"""A shop: an empty database of each kind, to put orders into."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

import duckdb
import psycopg
import pytest


@dataclass(frozen=True, slots=True)
class Shop:
    """A database with nothing in it, the URL by which the package reads it, and a way to write to it."""

    kind: Literal["duckdb", "postgres"]
    url: str
    execute: Callable[[str], object]


@pytest.fixture
def duckdb_shop(tmp_path: Path) -> Shop:
    path = tmp_path / "shop.duckdb"

    def execute(sql: str) -> None:
        with duckdb.connect(path) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(sql)

    execute("SELECT 1")
    return Shop("duckdb", f"duckdb:///{path}", execute)


@pytest.fixture
def postgres_shop(postgres_url: str) -> Iterator[Shop]:
    schema = f"shop_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}; SET search_path = {schema}; SET TimeZone = 'UTC'")
        yield Shop("postgres", f"{postgres_url}&options=-csearch_path%3D{schema}", connection.execute)
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest) -> Shop:
    found: Shop = request.getfixturevalue(f"{request.param}_shop")
    return found
