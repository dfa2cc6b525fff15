"""Orders out of files, Parquet or CSV, in folders or object stores: together they are the table `orders` of a DuckDB.

CSV is taken strictly, by RFC 4180, and all of it as text: whatever guesses types or skips a line loses orders.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, Self

import duckdb
from upath import UPath

from xcapi_dagster import stores
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.warehouse.duckdb import DuckDBSession, interruptible, start_session
from xcapi_dagster.warehouse.parquet_types import groups_alike
from xcapi_dagster.warehouse.paths import exactly, folders_of
from xcapi_dagster.warehouse.query import Naming, Relation

Format = Literal["parquet", "csv"]

_VARIABLE: Final = "XCAPI_WAREHOUSE_URL"
_ENDINGS: Final[dict[Format, tuple[str, ...]]] = {
    "parquet": (".parquet",),
    "csv": (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz"),
}
_SEPARATORS: Final = ",;\t|"
_QUOTED: Final = re.compile(r'"[^"]*"')
_WILD: Final = frozenset("*[")
_LONGEST_HEADER: Final = 100_000  # characters

# A file that lacks a column has nulls in it; `country=DE` in a path is a column, of text.
_PARQUET: Final = "SELECT * {} FROM read_parquet(?, union_by_name = true, hive_types_autocast = false)"
_FIRST_LINE: Final = r"""
    SELECT line FROM read_csv(?, columns = {'line': 'VARCHAR'}, auto_detect = false, header = false,
                              delim = '\x01', quote = '', escape = '', strict_mode = false) LIMIT 1
"""
# `\N` is what PostgreSQL, MySQL, Snowflake and Hive write for null.
_CSV: Final = r"""
    SELECT * FROM read_csv(?, columns = ?, delim = ?, auto_detect = false, header = true, quote = '"', escape = '"',
                           nullstr = ['', '\N'], strict_mode = true, null_padding = false, ignore_errors = false,
                           hive_types_autocast = false)
"""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a path names: one file, a pattern with `*`, or a folder with all below it."""

    path: UPath = field(repr=False)
    format: Format | None = None  # None: as the files' names end
    naming: ClassVar[Naming] = Naming()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The files of `parquet:///PATH`, `csv:///PATH`, `file:///PATH` (absolute), `s3://BUCKET/PATH` and the like.

        ``?format=csv`` after it says what names do not.
        """
        scheme, _, rest = url.partition("://")
        place, _, query = rest.partition("?format=")
        told = next((format_ for format_ in _ENDINGS if format_ == (query or scheme)), None)
        if "?" in place or (query and not told):
            raise ConfigurationError(
                f"{_VARIABLE} may end in ?format=parquet or ?format=csv and have no other parameter; "
                f"{stores.NO_SECRETS}"
            )
        if scheme in stores.OBJECT_STORES:
            return cls(stores.path_of(f"{scheme}://{place}", _VARIABLE), told)
        if not place.startswith("/") or "://" in place:
            raise ConfigurationError(f"{_VARIABLE} must name files by an absolute path: {scheme}:///FOLDER/FILE")
        return cls(UPath(place), told)

    @contextmanager
    def connect(self, orders: Relation) -> Iterator[DuckDBSession]:
        """A session in which `orders` is what the files hold. ConfigurationError unless they can be opened."""
        files, format_ = self._files()
        with interruptible(), duckdb.connect() as connection:
            start_session(connection)
            connection.execute("SET temp_directory = ''")  # no order is ever written to disk
            if stores.is_object_store(self.path):
                connection.register_filesystem(self.path.fs)
            try:
                _view(connection, files, format_)
            except (duckdb.Error, OSError) as error:
                raise _unreadable(files, format_, error) from None
            yield DuckDBSession(connection, orders, reading="the files")

    def _files(self) -> tuple[list[str], Format]:
        """The names of the files, in order, and what they all are."""
        try:
            names = sorted(self._names())
        except Exception as error:
            if (why := stores.problem(error)) is None:
                raise
            raise ConfigurationError(f"{_VARIABLE}: {self.path} cannot be read: {why}") from None
        found = {self.format or _format(name) for name in names} - {None}
        if not found:
            raise ConfigurationError(f"{_VARIABLE}: there is no Parquet or CSV file at {self.path}")
        if len(found) > 1:
            raise ConfigurationError(f"{_VARIABLE}: both Parquet and CSV files are at {self.path}: name one kind")
        (format_,) = found
        assert format_ is not None  # noqa: S101 - for mypy
        return [name for name in names if self.format or _format(name)], format_

    def _names(self) -> list[str]:
        """The files at the path, without those that a writer has not finished or keeps for itself."""
        files, path = self.path.fs, self.path.path
        if files.isfile(path):
            return [self._url(path)]
        pattern = path if _WILD & set(path) else f"{path.rstrip('/')}/**"
        found = files.glob(pattern, detail=True)
        shown = {part for part in path.split("/") if part.startswith((".", "_"))}
        return [
            self._url(name)
            for name, told in found.items()
            if told["type"] == "file" and not any(part.startswith((".", "_")) for part in {*name.split("/")} - shown)
        ]

    def _url(self, name: str) -> str:
        return f"{self.path.protocol}://{name}" if stores.is_object_store(self.path) else name


def _format(name: str) -> Format | None:
    return next((format_ for format_, endings in _ENDINGS.items() if name.lower().endswith(endings)), None)


def _view(connection: duckdb.DuckDBPyConnection, files: Sequence[str], format_: Format) -> None:
    """Make the table `orders`; files of different columns have those of all of them."""
    selects: list[str] = []
    parameters: list[Any] = []
    if format_ == "parquet":
        for texts, alike in groups_alike(connection, files):
            selects.append(_PARQUET.format(texts))
            parameters.append(exactly(alike))
    else:
        for header in _by_header(connection, files):
            selects.append(_CSV)
            parameters += header
    connection.sql(" UNION ALL BY NAME ".join(selects), params=parameters).create_view("orders")


def _by_header(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> Iterator[list[Any]]:
    """For each header that files in alike folders have: those files, the columns that it names, what separates them."""
    headers: dict[tuple[str, Any], list[str]] = {}
    for file in files:
        lines = connection.sql(_FIRST_LINE, params=[exactly([file])]).fetchall()
        header = (lines[0][0] or "") if lines else ""
        if not header or len(header) > _LONGEST_HEADER:
            raise ConfigurationError(
                f"{_VARIABLE}: the first line of {file} is {'too long' if header else 'empty'}: a CSV file begins with "
                "the names of its columns"
            )
        if header.startswith("sep="):
            raise ConfigurationError(
                f"{_VARIABLE}: the first line of {file} is sep=, which is for Excel alone: leave it out; what "
                "separates fields is seen from the names of the columns"
            )
        headers.setdefault((header, folders_of(file)), []).append(file)
    first: set[str] = set()
    for (header, _), alike in headers.items():
        separator = max(_SEPARATORS, key=_QUOTED.sub("", header).count)
        given = next(csv.reader([header], delimiter=separator))
        names = [name or f"column {at}, without a name" for at, name in enumerate(given, 1)]
        if len({name.lower() for name in names}) < len(names):
            raise ConfigurationError(f"{_VARIABLE}: {alike[0]} names a column twice in its first line")
        first = first or _shown(given)
        if first and first.isdisjoint(_shown(given)):  # one of them begins with an order, which would be lost
            raise ConfigurationError(
                f"{_VARIABLE}: the first lines of {files[0]} and {alike[0]} have no name in common: a CSV file begins "
                "with the names of its columns"
            )
        yield [exactly(alike), dict.fromkeys(names, "VARCHAR"), separator]


def _shown(names: Sequence[str]) -> set[str]:
    """The names that there are, in lower case."""
    return {name.lower() for name in names if name}


def _unreadable(files: Sequence[str], format_: Format, error: Exception) -> ConfigurationError:
    which = next((file for file in files if file in str(error)), files[0] if len(files) == 1 else "one of the files")
    if "Maximum line size" in str(error):
        return ConfigurationError(f"{_VARIABLE}: {which} has a line of more than 2,000,000 bytes, which is too long")
    return ConfigurationError(
        f"{_VARIABLE}: {which} is not {'a whole Parquet file' if format_ == 'parquet' else 'whole CSV in UTF-8'}"
    )
