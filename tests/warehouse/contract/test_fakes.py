"""The fakes' calls are ones that the real drivers take, wherever those are installed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

import pytest


def real(module: str) -> Any:
    """The driver's module, if this environment has it."""
    if find_spec(module.partition(".")[0]) is None or (module.startswith("google.") and not _has(module)):
        pytest.skip(
            f"{module} is not installed: pip install -e '.[snowflake,bigquery,databricks]' to compare the fakes"
        )
    return import_module(module)


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def takes(function: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
    """Whether a method, here without its object, can be called like that."""
    signature(function).bind(object(), *arguments, **named)
    return True


def test_snowflake_takes_the_calls() -> None:
    """A cursor describes, runs and gives Arrow; an error has a number; types have these."""
    connector = real("snowflake.connector")
    cursor = connector.cursor.SnowflakeCursor

    assert takes(cursor.describe, "SELECT 1", ["a"])
    assert takes(cursor.execute, "SELECT 1", ["a"])
    assert takes(cursor.fetch_arrow_batches)
    assert connector.Error(msg="x", errno=2003).errno == 2003
    names = import_module("snowflake.connector.constants").FIELD_ID_TO_NAME
    numbers = {0: "FIXED", 1: "REAL", 2: "TEXT", 3: "DATE", 5: "VARIANT", 6: "TIMESTAMP_LTZ", 7: "TIMESTAMP_TZ"}
    numbers |= {8: "TIMESTAMP_NTZ", 9: "OBJECT", 10: "ARRAY", 11: "BINARY", 13: "BOOLEAN"}
    assert {number: names[number] for number in numbers} == numbers


def test_databricks_takes_the_calls() -> None:
    """A cursor runs with values for question marks, and gives so many rows in Arrow."""
    sql = real("databricks.sql")
    client = import_module("databricks.sql.client")

    signature(sql.connect).bind(
        server_hostname="h", http_path="/p", access_token="t", session_configuration={}, catalog="c", schema="s"
    )
    assert takes(client.Cursor.execute, "SELECT 1", ["a"])
    assert takes(client.Cursor.fetchmany_arrow, 10)
    assert issubclass(sql.Error, Exception)


def test_bigquery_takes_the_calls() -> None:
    """A client runs a query, dry or not, and its rows give Arrow through the Storage Read API."""
    bigquery = real("google.cloud.bigquery")
    storage = real("google.cloud.bigquery_storage")
    errors = import_module("google.api_core.exceptions")

    value = bigquery.ScalarQueryParameter(None, "STRING", "a")
    config = bigquery.QueryJobConfig(dry_run=True, query_parameters=[value])
    config.default_dataset = "project.dataset"
    assert takes(bigquery.Client.query, "SELECT 1", job_config=config)
    assert takes(bigquery.Client.__init__, project="p", location=None)
    assert takes(bigquery.table.RowIterator.to_arrow_iterable, bqstorage_client=None)
    assert callable(storage.BigQueryReadClient.from_service_account_file)
    assert issubclass(storage.BigQueryReadClient, AbstractContextManager)
    assert {"schema", "statement_type"} <= set(dir(bigquery.QueryJob))
    assert issubclass(errors.NotFound, errors.GoogleAPIError)
    assert errors.NotFound("x").code == 404
