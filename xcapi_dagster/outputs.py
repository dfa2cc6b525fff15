"""Where the files are and how they are written: whole or not at all, on a local disk or an object store."""

import glob
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from xcapi_dagster.errors import ConfigurationError, XConversionsError

FileKind = Literal[
    "conversions",
    "invalid",
    "upload_results",
    "requests",
    "rejection_report",
    "rejection_csv",
    "rejection_page",
    "summary",
]

# kind -> the asset whose folder it is in, and what follows the partition's key in its name
_PLACES: Mapping[FileKind, tuple[str, str]] = {
    "conversions": ("conversions", ".parquet"),
    "invalid": ("conversions", ".invalid.parquet"),
    "upload_results": ("upload_results", ".parquet"),
    "requests": ("upload_results", ".requests.parquet"),
    "rejection_report": ("rejection_report", ".parquet"),
    "rejection_csv": ("rejection_report", ".csv"),
    "rejection_page": ("rejection_report", ".html"),
    "summary": ("rejection_report", ".summary.json"),
}


_PRIVATE = ("conversions", "invalid")
_LOCAL = ("", "file")
_ABANDONED_AFTER_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files of one component instance, below ``root``: `<root>/<name>/<asset>/<partition>.parquet`.

    ``url`` is where a web server, if there is one, serves ``root``.
    """

    root: UPath
    name: str
    url: str | None = None

    def path(self, kind: FileKind, partition: str) -> UPath:
        """Where the file of ``partition`` is; keys are percent-encoded, since `2026-11-01-05:00` is no file name."""
        asset, ending = _PLACES[kind]
        return self.root / self.name / asset / f"{quote(partition, safe='')}{ending}"

    def partitions(self, kind: FileKind) -> list[str]:
        """The keys of all partitions that have a file of this kind, in order."""
        asset, ending = _PLACES[kind]
        folder = self.root / self.name / asset
        names = [path.name for path in folder.iterdir()] if folder.exists() else []
        others = tuple(
            other for folder_of, other in _PLACES.values() if folder_of == asset and len(other) > len(ending)
        )
        keys = [name.removesuffix(ending) for name in names if name.endswith(ending) and not name.endswith(others)]
        return sorted(unquote(key) for key in keys if not key.startswith("."))

    def own_path(self, name: str) -> UPath:
        """Where a file of the instance itself is, that belongs to no partition."""
        return self.root / self.name / name

    @property
    def overview(self) -> UPath:
        """Where the page over all partitions is, beside theirs."""
        return self.own_path("rejection_report/index.html")

    def range_page(self, first: str, last: str) -> UPath:
        """Where the page over the partitions from ``first`` to ``last`` is."""
        return self.own_path(f"rejection_report/{quote(first, safe='')}..{quote(last, safe='')}.html")

    def address(self, path: UPath) -> str:
        """Where a browser finds the file at ``path``."""
        if self.url is None:
            return path.as_uri()
        names = path.parts[len(self.root.parts) :]
        return "/".join([self.url.rstrip("/"), *(quote(name) for name in names)])

    @contextmanager
    def writing(self, kind: FileKind, partition: str) -> Iterator[UPath]:
        """A temporary path to write to; it becomes the file when the block ends, and vanishes when it raises."""
        with _whole(self.path(kind, partition), mode=0o700 if kind in _PRIVATE else 0o750) as path:
            yield path

    @contextmanager
    def writing_own(self, name: str) -> Iterator[UPath]:
        """The same for a file of the instance itself."""
        with _whole(self.own_path(name), mode=0o750) as path:
            yield path

    def write_text(self, target: UPath, text: str) -> None:
        """Write ``text`` as the file ``target``, one of this instance's."""
        with _whole(target, mode=0o750) as path:
            path.write_text(text, encoding="utf-8")

    def write_table(self, kind: FileKind, partition: str, table: pa.Table) -> None:
        """Write ``table`` as the file of ``partition``."""
        with self.writing(kind, partition) as path, parquet_writer(path, table.schema) as writer:
            writer.write_table(table)


@contextmanager
def _whole(target: UPath, mode: int) -> Iterator[UPath]:
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=mode)
        _clear_up(target)
        yield temporary
        temporary.rename(target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise XConversionsError(f"{target.parent} cannot be written ({reason}): check XCAPI_OUTPUT_URL") from None
    finally:
        with suppress(OSError):  # an unwritable folder holds no temporary file either
            temporary.unlink(missing_ok=True)


def _clear_up(target: UPath) -> None:
    """Remove what killed processes left of earlier attempts; nobody writes one file for a day."""
    if target.protocol not in _LOCAL:
        return
    for left in Path(target.parent.path).glob(f".{glob.escape(target.name)}.*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER_SECONDS:
                left.unlink()


def check_output_url(url: str) -> None:
    """Raise ConfigurationError unless ``url`` is an absolute folder that can be written, or an object store's."""
    try:
        root = UPath(url)
    except (ValueError, ImportError):
        raise ConfigurationError("XCAPI_OUTPUT_URL is neither a folder nor a known object store") from None
    if root.protocol not in _LOCAL:
        return
    if not Path(root.path).is_absolute():
        raise ConfigurationError("XCAPI_OUTPUT_URL must be an absolute path or an object store's URL")
    check_folder(Path(root.path), "XCAPI_OUTPUT_URL")


def check_folder(folder: Path, variable: str) -> None:
    """Raise ConfigurationError, naming ``variable``, unless files can be written to ``folder``, which may be new."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK) or existing.is_relative_to("/proc"):
        raise ConfigurationError(f"{variable} names a folder that cannot be written: {existing} is in the way")


@contextmanager
def parquet_writer(path: UPath, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of Parquet with this package's options: zstd, and dates that every reader understands."""
    with path.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd", compression_level=1) as writer:
        yield writer


@contextmanager
def parquet_file(path: UPath) -> Iterator[pq.ParquetFile]:
    """The Parquet file at ``path``, open for reading."""
    with path.open("rb") as file, pq.ParquetFile(file) as parquet:
        yield parquet
