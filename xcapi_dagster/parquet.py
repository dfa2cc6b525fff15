"""The Parquet files of this package: how they are written, and read back as they were."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from xcapi_dagster import stores
from xcapi_dagster.errors import XConversionsError
from xcapi_dagster.writing import writable

_RANDOM = frozenset({"hashed_email", "hashed_phone_number", "ip_address", "twclid"})


class Writer:
    """Writes each table in a thread, while the next one is made; what goes wrong is raised with that or at the end.

    To write an order takes as long as a seventh of what its preparation does, and to an object store longer.
    """

    def __init__(self, writer: pq.ParquetWriter, thread: Executor) -> None:
        self._writer = writer
        self._thread = thread
        self._latest: Future[None] | None = None

    def write_table(self, table: pa.Table) -> None:
        """Add the rows of ``table``, which is read back as one row group."""
        self.finish()
        self._latest = self._thread.submit(self._writer.write_table, table)

    def add_metadata(self, facts: dict[bytes, bytes]) -> None:
        """Let the file say these of itself."""
        self.finish()
        self._writer.add_key_value_metadata(facts)

    def finish(self) -> None:
        """Wait until all is written."""
        latest, self._latest = self._latest, None
        if latest:
            latest.result()


@contextmanager
def parquet_writer(path: UPath, schema: pa.Schema) -> Iterator[Writer]:
    """A writer of Parquet with this package's options.

    Zstandard finds what repeats better than Parquet's own dictionaries do, which makes files smaller and a third faster
    to write and to read; but user agents are long and few. What is random, as hashes are, is not compressed, nor are
    numbers: it would take longer than all else that is done to write and to read them. Whole numbers and times are
    written as differences. Line items are most of all bytes: at its fast level they take a quarter less time and,
    compressed, half as much room again. Of texts, order ids alone are looked for by what is least and greatest in a row
    group.
    """
    numbers = {field.name: field.type for field in schema if not pa.types.is_string(field.type)}
    words = [name for name, kind in numbers.items() if pa.types.is_int64(kind) or pa.types.is_timestamp(kind)]
    compressed = [name for name in schema.names if name not in numbers and name not in _RANDOM]
    options = {
        "compression": dict.fromkeys(schema.names, "NONE") | dict.fromkeys(compressed, "ZSTD"),
        "compression_level": {name: -3 if name == "contents" else 1 for name in compressed},
        "use_dictionary": [name for name in schema.names if name == "user_agent"],
        "column_encoding": dict.fromkeys(words, "DELTA_BINARY_PACKED"),
        "write_statistics": [name for name in schema.names if name in numbers or name == "order_id"],
    }
    with (
        writable(path) as file,
        pq.ParquetWriter(file, schema, **options) as parquet,
        ThreadPoolExecutor(1, thread_name_prefix="xcapi-writer") as thread,
    ):
        writer = Writer(parquet, thread)
        yield writer
        writer.finish()


class ParquetFile(pq.ParquetFile):  # type: ignore[misc] # it has no types
    """The Parquet in ``file``, which is at ``path``. XConversionsError when it is not as it was written."""

    def __init__(self, file: IO[bytes], path: UPath) -> None:
        self._path = path
        with _undamaged(path):
            super().__init__(file)

    def read_row_group(self, *of: Any, **options: Any) -> pa.Table:
        """The rows of a group, read by this thread: to hand its columns to others takes more CPU and memory."""
        with _undamaged(self._path):
            return super().read_row_group(*of, use_threads=False, **options)

    def read(self, *of: Any, **options: Any) -> pa.Table:
        """All rows."""
        with _undamaged(self._path):
            return super().read(*of, **options)


@contextmanager
def parquet_file(path: UPath) -> Iterator[ParquetFile]:
    """The Parquet file at ``path``, open for reading. FileNotFoundError when there is none.

    XConversionsError when it cannot be opened, as by another user than the one who wrote it.
    """
    try:
        opened = path.open("rb")
    except Exception as error:
        if isinstance(error, FileNotFoundError) or (why := stores.problem(error)) is None:
            raise
        raise XConversionsError(f"{path} cannot be read ({why})") from None
    with opened as file, ParquetFile(file, path) as parquet:
        yield parquet


@contextmanager
def _undamaged(path: UPath) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # Arrow's own, as of what cannot be decompressed, have none
            raise
        raise XConversionsError(f"{path} is damaged: sync that partition again") from None
