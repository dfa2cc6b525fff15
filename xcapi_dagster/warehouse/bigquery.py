"""Orders out of BigQuery, through its own client's Arrow results. Needs the extra `bigquery`."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Final, Self

import pyarrow as pa
import sqlalchemy as sa

from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse.dialects import Backticks, SqlType
from xcapi_dagster.warehouse.drivers import VARIABLE, all_of, driver, parameters, parsed
from xcapi_dagster.warehouse.query import (
    JSON,
    NAME,
    TIME_COLUMNS,
    Column,
    Expression,
    Naming,
    Query,
    Relation,
    column,
    compiled,
    select_all,
)
from xcapi_dagster.warehouse.window import not_a_time

_FORM: Final = "bigquery://PROJECT/DATASET?location=EU&credentials_path=FILE"
_DIALECT: Final = Backticks()
_STRING: Final = SqlType("STRING")
_PROJECT: Final = r"[a-z][a-z0-9-]{0,127}"

_TIMES: Final = {"TIMESTAMP": pa.timestamp("us", "UTC"), "DATETIME": pa.timestamp("us"), "DATE": pa.date32()}
_EXACT: Final = {
    "STRING": pa.string(), "BYTES": pa.binary(), "INTEGER": pa.int64(), "INT64": pa.int64(), "FLOAT": pa.float64(),
    "FLOAT64": pa.float64(), "BOOLEAN": pa.bool_(), "BOOL": pa.bool_(), "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal256(76, 38),
}  # fmt: skip
_NESTED: Final = ("RECORD", "STRUCT", "JSON")

# HTTP status, and a pattern of what BigQuery says -> what is wrong with the orders
_QUERY_PROBLEMS: Final = (
    (404, "", "cannot be read: the warehouse has no such table, dataset or project"),
    (403, "", "may not be read by this user; grant BigQuery Data Viewer on it, and Job User on the project"),
    (400, r"Unrecognized name: ([\w.]+)", "cannot be read: there is no column {}"),
    (400, r"must be qualified with a dataset", "cannot be read: name its dataset, here or in XCAPI_WAREHOUSE_URL"),
    (400, r"Syntax error", "is not one valid SELECT; run it in BigQuery to see where"),
)


@dataclass(frozen=True, slots=True)
class BigQuery:
    """A project of BigQuery, with the credentials that this machine has unless the URL names a key file."""

    url: sa.URL = field(repr=False)
    naming: ClassVar[Naming] = Naming(
        "table, dataset.table, project.dataset.table", rf"(?:(?:{_PROJECT}\.)?{NAME}\.)?{NAME}"
    )

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The project of a URL in the form that BigQuery's SQLAlchemy dialect takes."""
        found = parsed(url, _FORM)
        if not found.host or found.query.keys() - {"location", "credentials_path"}:
            raise ConfigurationError(f"{VARIABLE} must be {_FORM}")
        return cls(found)

    @contextmanager
    def connect(self, orders: Relation) -> Iterator["BigQuerySession"]:
        """A session, which runs queries that BigQuery says are a SELECT, and no others."""
        bigquery = driver("google.cloud.bigquery", "BigQuery", "bigquery")
        storage = driver("google.cloud.bigquery_storage", "BigQuery", "bigquery")
        auth = driver("google.auth.exceptions", "BigQuery", "bigquery")
        given = parameters(self.url)
        names = {"project": self.url.host, "location": given.get("location")}
        key_file = given.get("credentials_path")
        errors = driver("google.api_core.exceptions", "BigQuery", "bigquery").GoogleAPIError, auth.GoogleAuthError
        with ExitStack() as opened:
            try:
                if key_file:
                    client = opened.enter_context(bigquery.Client.from_service_account_json(key_file, **names))
                    reader = opened.enter_context(storage.BigQueryReadClient.from_service_account_file(key_file))
                else:
                    client = opened.enter_context(bigquery.Client(**names))
                    reader = opened.enter_context(storage.BigQueryReadClient())
            except (auth.GoogleAuthError, OSError, ValueError) as error:
                raise ConfigurationError(
                    f"{VARIABLE}: BigQuery finds no credentials that it takes ({type(error).__name__}); "
                    "run gcloud auth application-default login, or add ?credentials_path=FILE"
                ) from None
            yield BigQuerySession(bigquery, client, reader, orders, errors, self.url.database)


@dataclass(frozen=True, slots=True)
class BigQuerySession:
    """A client of a project, and one of the Storage Read API, which gives Arrow."""

    bigquery: Any  # the driver
    client: Any
    reader: Any
    orders: Relation
    errors: tuple[type[Exception], ...]
    dataset: str | None  # of tables named without one
    has_infinite_times: ClassVar[bool] = False
    order_by: ClassVar[tuple[str, ...]] = ("ordered_at", "order_id")

    def columns(self) -> list[Column]:
        """All columns of the orders, by a dry run, which costs nothing."""
        try:
            job = self._query(select_all(self.orders), is_dry=True)
        except self.errors as error:
            raise ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} {_problem(error)}") from None
        if job.statement_type != "SELECT":  # a `.sql` file may close the parenthesis in which it stands
            raise ConfigurationError(f"XCAPI_ORDERS: {self.orders.words} is not one valid SELECT")
        return [_column(each.name, each.field_type, each.mode) for each in job.schema]

    def bound(self, time: datetime | date) -> Expression:
        """``time`` as it is."""
        return sa.literal(time)

    def stream(self, query: Query, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - read as they come
        """The rows of ``query``, in batches as the Storage Read API gives them."""
        try:
            rows = self._query(query).result()
            yield from all_of(rows.total_rows, rows.to_arrow_iterable(bqstorage_client=self.reader), "BigQuery")
        except (*self.errors, pa.ArrowException, OSError) as error:
            told = type(error).__name__
            raise WarehouseError(f"BigQuery could not give the orders to the end ({told})") from None

    def _query(self, query: Query, *, is_dry: bool = False) -> Any:
        text, values = compiled(query, _DIALECT)
        bound = [self.bigquery.ScalarQueryParameter(None, _parameter_type(value), value) for value in values]
        config = self.bigquery.QueryJobConfig(dry_run=is_dry, query_parameters=bound)
        if self.dataset:
            config.default_dataset = f"{self.client.project}.{self.dataset}"
        return self.client.query(text, job_config=config)


def _column(name: str, type_: str, mode: str) -> Column:
    found, is_repeated = column(name), mode == "REPEATED"
    if name.lower() in TIME_COLUMNS and not is_repeated and type_ in _TIMES:
        return Column(name, found, _TIMES[type_])
    if name.lower() in TIME_COLUMNS and (is_repeated or type_ != "STRING"):
        raise not_a_time(name.lower(), type_, "TIMESTAMP_SECONDS({name})")
    if is_repeated or type_ in _NESTED:
        return Column(name, sa.func.to_json_string(found), JSON)
    if type_ in _EXACT:
        return Column(name, found, _EXACT[type_])
    return Column(name, sa.cast(found, _STRING), pa.string())


def _parameter_type(value: object) -> str:
    match value:
        case datetime():
            return "TIMESTAMP" if value.tzinfo else "DATETIME"
        case date():
            return "DATE"
        case int():
            return "INT64"
    return "STRING"


def _problem(error: Exception) -> str:
    """What is wrong with the orders, from the status and names alone: the rest of a message may hold values."""
    status = getattr(error, "code", None)
    for code, pattern, words in _QUERY_PROBLEMS:
        if code == status and (found := re.search(pattern, str(error))):
            return words.format(*found.groups())
    return f"cannot be read ({type(error).__name__}); run it in BigQuery to see why"
