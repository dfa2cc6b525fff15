"""`google.cloud.bigquery` and its Storage Read API: fields with a mode, dry runs, record batches."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa

from tests.warehouse.contract.clouds import Closing, Cloud, RefusedError, described, modules

_NAMES = {
    "varchar": "STRING", "bigint": "INTEGER", "integer": "INTEGER", "decimal": "NUMERIC", "double": "FLOAT",
    "boolean": "BOOLEAN", "blob": "BYTES", "date": "DATE", "timestamp with time zone": "TIMESTAMP",
    "timestamp": "DATETIME", "list": "RECORD",
}  # fmt: skip


class GoogleAPIError(Exception):
    """What a call of the API ends in, with an HTTP status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


class GoogleAuthError(Exception):
    """What the search for credentials ends in."""


class Reader(Closing):
    """A client of the Storage Read API."""


class Rows:
    """A result, of which the number of rows is known."""

    def __init__(self, cloud: Cloud, table: pa.Table) -> None:
        self._cloud, self._table, self.total_rows = cloud, table, len(table)

    def to_arrow_iterable(self, bqstorage_client: Reader) -> Iterator[pa.RecordBatch]:
        """The rows; a NUMERIC has nine decimals."""
        assert bqstorage_client in Closing.opened
        for chunk in self._cloud.chunks(self._table, GoogleAPIError("stream reset at ann@example.com", 503)):
            types = [pa.decimal128(38, 9) if pa.types.is_decimal(type_) else type_ for type_ in chunk.schema.types]
            columns = [column.cast(type_) for column, type_ in zip(chunk.columns, types, strict=True)]
            yield from pa.table(columns, chunk.column_names).to_batches()


@dataclass
class ScalarQueryParameter:
    """A value for a question mark."""

    name: None
    type_: str
    value: Any

    def __post_init__(self) -> None:
        kind = {"str": "STRING", "int": "INT64", "date": "DATE"}.get(type(self.value).__name__)
        assert self.type_ == (kind or ("TIMESTAMP" if self.value.tzinfo else "DATETIME"))


@dataclass
class QueryJobConfig:
    """How to run a query."""

    dry_run: bool = False
    query_parameters: list[ScalarQueryParameter] = field(default_factory=list)
    default_dataset: str | None = None


class Client(Closing):
    """A client of any project but `closed`."""

    def __init__(self, cloud: Cloud, project: str, location: str | None) -> None:
        assert location == "EU"
        if project == "closed":
            raise GoogleAuthError("no credentials for hunter2")
        self._cloud, self.project = cloud, project

    def query(self, sql: str, job_config: QueryJobConfig) -> SimpleNamespace:
        """Run a query, or only look at it."""
        assert job_config.default_dataset == f"{self.project}.main"
        try:
            found = self._cloud.run(sql, [each.value for each in job_config.query_parameters])
        except RefusedError as error:
            raise _refusal(error) from error
        if not job_config.dry_run:
            return SimpleNamespace(result=lambda: Rows(self._cloud, found.to_arrow_table()))
        fields = [
            SimpleNamespace(name=name, field_type=_NAMES[kind], mode="REPEATED" if kind == "list" else "NULLABLE")
            for name, kind, _ in described(found)
        ]
        return SimpleNamespace(statement_type="SELECT", schema=fields)


def _refusal(error: RefusedError) -> GoogleAPIError:
    match error.what:
        case "table":
            return GoogleAPIError(f"Not found: {error}", 404)
        case "column":
            name = str(error).split('"')[1]
            return GoogleAPIError(f"Unrecognized name: {name} at [1:1]", 400)
        case "syntax":
            return GoogleAPIError(f"Syntax error: {error}", 400)


def driver(cloud: Cloud) -> dict[str, ModuleType]:
    """The modules of the driver, by name."""
    return {
        **modules(
            "google.cloud.bigquery",
            Client=lambda project, location=None: Client(cloud, project, location),
            QueryJobConfig=QueryJobConfig,
            ScalarQueryParameter=ScalarQueryParameter,
        ),
        **modules("google.cloud.bigquery_storage", BigQueryReadClient=Reader),
        **modules("google.auth.exceptions", GoogleAuthError=GoogleAuthError),
        **modules("google.api_core.exceptions", GoogleAPIError=GoogleAPIError),
    }
