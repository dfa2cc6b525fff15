"""Every kind of warehouse, with no orders in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warehouse.contract.engines import (
    CLOUDS,
    CloudEngine,
    CSVEngine,
    DuckDBEngine,
    Engine,
    MySQLEngine,
    ParquetEngine,
    SQLiteEngine,
    cloud_engine_of,
    postgres_engine,
)

LOCAL = {"duckdb": DuckDBEngine, "parquet": ParquetEngine, "csv": CSVEngine, "sqlite": SQLiteEngine}


MYSQL = os.environ.get("XCAPI_TEST_MYSQL_URL")  # mysql://USER:PASSWORD@127.0.0.1:PORT/DATABASE, to try a real one


@pytest.fixture(params=[*LOCAL, "postgres", *CLOUDS, *(["mysql"] if MYSQL else [])])
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Five that are real, and three whose driver is a fake; MySQL where there is one."""
    if request.param in LOCAL:
        yield LOCAL[request.param](tmp_path)
    elif request.param == "postgres":
        with postgres_engine(request.getfixturevalue("postgres_url")) as found:
            yield found
    elif request.param == "mysql":
        yield MySQLEngine(str(MYSQL))
    else:
        with cloud_engine_of(request.param, monkeypatch) as fake:
            yield fake


@pytest.fixture(params=CLOUDS)
def cloud_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudEngine]:
    """The three whose driver is a fake."""
    with cloud_engine_of(request.param, monkeypatch) as found:
        yield found
