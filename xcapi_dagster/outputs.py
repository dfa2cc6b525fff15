"""Where the files are and how they are written: whole or not at all, on a local disk or an object store."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote
from uuid import uuid4

import pyarrow as pa
from upath import UPath

from xcapi_dagster import stores
from xcapi_dagster.errors import ConfigurationError, XConversionsError
from xcapi_dagster.parquet import parquet_writer
from xcapi_dagster.writing import UnwrittenError, to_disk, writable, written

FileKind = Literal[
    "conversions",
    "invalid",
    "superseded",
    "upload_results",
    "requests",
    "rejection_report",
    "rejection_csv",
    "rejection_page",
    "summary",
    "event_tags",
]

# kind -> the asset whose folder it is in, and what follows the partition's key in its name
_PLACES: Mapping[FileKind, tuple[str, str]] = {
    "conversions": ("conversions", ".parquet"),
    "invalid": ("conversions", ".invalid.parquet"),
    "superseded": ("conversions", ".superseded.parquet"),
    "upload_results": ("upload_results", ".parquet"),
    "requests": ("upload_results", ".requests.parquet"),
    "rejection_report": ("rejection_report", ".parquet"),
    "rejection_csv": ("rejection_report", ".csv"),
    "rejection_page": ("rejection_report", ".html"),
    "summary": ("rejection_report", ".summary.json"),
    "event_tags": ("event_tags", ".parquet"),
}


PRIVATE: tuple[FileKind, ...] = ("conversions", "invalid", "superseded")  # their folders are the user's alone

_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}(?:\.all)?")  # names that files have until they are whole
ABANDONED_AFTER = timedelta(days=1)  # nobody writes one file for so long


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files of one component instance, below ``root``: `<root>/<name>/<asset>/<partition>.parquet`.

    ``url`` is where a web server, if there is one, serves ``root``; ``setting`` is what to check where it fails.
    """

    root: UPath
    name: str
    url: str | None = None
    setting: str = "XCAPI_OUTPUT_URL"

    def path(self, kind: FileKind, partition: str) -> UPath:
        """Where the file of ``partition`` is; keys are percent-encoded, since `2026-11-01-05:00` is no file name."""
        asset, ending = _PLACES[kind]
        return self.root / self.name / asset / f"{quote(partition, safe='')}{ending}"

    def partitions(self, kind: FileKind) -> list[str]:
        """The keys of all partitions that have a file of this kind, in order."""
        asset, ending = _PLACES[kind]
        names = [path.name for path in self._files(asset)]
        longer = tuple(other for of_asset, other in _PLACES.values() if of_asset == asset and len(other) > len(ending))
        keys = [name.removesuffix(ending) for name in names if name.endswith(ending) and not name.endswith(longer)]
        return sorted(unquote(key) for key in keys if not key.startswith("."))

    def unfinished(self) -> list[UPath]:
        """The files that are being written now, or were by processes that have been killed."""
        folders = sorted({"", *(asset for asset, _ in _PLACES.values())})
        found = [path for folder in folders for path in self._files(folder) if _UNFINISHED.fullmatch(path.name)]
        return [path for path in found if path.is_file()]

    def _files(self, folder: str) -> list[UPath]:
        path = self.root / self.name / folder
        with reading(path, self.setting), suppress(FileNotFoundError, NotADirectoryError):
            return list(path.iterdir())
        return []

    @property
    def overview(self) -> UPath:
        """Where the page over all partitions is, beside theirs."""
        return self.root / self.name / "rejection_report" / "index.html"

    def range_page(self, first: str, last: str) -> UPath:
        """Where the page over the partitions from ``first`` to ``last`` is."""
        return self.overview.with_name(f"{quote(first, safe='')}..{quote(last, safe='')}.html")

    def own_path(self, name: str) -> UPath:
        """Where a file of the instance itself is, that belongs to no partition."""
        return self.root / self.name / name

    def read_own(self, name: str) -> str | None:
        """What a text file of the instance itself says; None if there is none, which a store must have said."""
        path = self.own_path(name)
        with reading(path, self.setting), suppress(FileNotFoundError):
            return str(path.read_text())
        return None

    def write_own(self, name: str, text: str) -> None:
        """Write a text file of the instance itself; after a power cut it is whole, as it was or as it is now."""
        with _whole(self.own_path(name), 0o750, self.setting, lasting=True) as path, writable(path) as file:
            file.write(text.encode())

    def address(self, path: UPath) -> str:
        """Where a browser finds the file at ``path``."""
        if self.url is None:
            return path.as_uri()
        names = path.parts[len(self.root.parts) :]
        return "/".join([self.url.rstrip("/"), *(quote(name) for name in names)])

    def writing(self, kind: FileKind, partition: str) -> AbstractContextManager[UPath]:
        """A temporary path to write to; it becomes the file when the block ends, and vanishes when it raises."""
        return _whole(self.path(kind, partition), 0o700 if kind in PRIVATE else 0o750, self.setting)

    def write_text(self, target: UPath, text: str) -> None:
        """Write ``text`` as the file ``target``, one of this instance's."""
        with _whole(target, 0o750, self.setting) as path, writable(path) as file:
            file.write(text.encode())

    def write_table(self, kind: FileKind, partition: str, table: pa.Table) -> None:
        """Write ``table`` as the file of ``partition``."""
        with self.writing(kind, partition) as path, parquet_writer(path, table.schema) as writer:
            writer.write_table(table)


@contextmanager
def reading(path: UPath | str, setting: str) -> Iterator[None]:
    """Tell what a folder or a store answers instead of ``path``.

    To ask whether a file exists is not enough: to a store that does not answer, libraries say that it does not.
    """
    try:
        yield
    except Exception as error:
        if (why := stores.problem(error)) is None:
            raise
        raise XConversionsError(f"{path} cannot be read ({why}): check {setting}") from None


@contextmanager
def _whole(target: UPath, mode: int, setting: str, *, lasting: bool = False) -> Iterator[UPath]:
    """Tell what keeps the file from being written, and nothing else that goes wrong in the block.

    One that is to be ``lasting`` is on the disk afterwards, for which others do not wait.
    """
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with written(target):
            if not stores.is_object_store(target):  # which has no folders: there it would create a missing bucket
                target.parent.mkdir(parents=True, exist_ok=True, mode=mode)
        yield temporary
        if lasting:
            to_disk(temporary)
        with written(target):
            _put_in_place(temporary, target)
        if lasting:
            to_disk(target.parent)
    except UnwrittenError as error:
        raise XConversionsError(f"{error.path.parent} cannot be written ({error.why}): check {setting}") from None
    finally:
        _remove(temporary)


def _put_in_place(temporary: UPath, target: UPath) -> None:
    """Let the file be ``target``, whatever was there: to rename one to another that is there, Windows refuses."""
    if target.protocol:  # of a store, by which no file is replaced in any other way
        temporary.rename(target)
    else:
        Path(temporary.path).replace(target.path)


def check_output_url(url: str) -> None:
    """Raise ConfigurationError unless ``url`` is an absolute folder that can be written, or a bucket that is there."""
    root = stores.path_of(url, "XCAPI_OUTPUT_URL")
    if stores.is_object_store(root):
        stores.check_bucket(root, "XCAPI_OUTPUT_URL")
        return
    check_folder(Path(root.path), "XCAPI_OUTPUT_URL")


def check_folder(folder: Path, variable: str) -> None:
    """Raise ConfigurationError, naming ``variable``, unless files can be written to ``folder``, which may be new."""
    try:
        existing = next(each for each in (folder, *folder.parents) if each.exists())
    except OSError as error:  # below a folder that this user may not enter, or with a name that none can have
        raise ConfigurationError(f"{variable} names a folder that cannot be used: {error.strerror}") from None
    if not existing.is_dir() or not os.access(existing, os.W_OK) or existing.is_relative_to("/proc"):
        raise ConfigurationError(f"{variable} names a folder that cannot be written: {existing} is in the way")


def is_there(path: UPath) -> bool:
    """Whether there is a file at ``path``, which a store must have said: one that does not answer raises."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return False
    return True


def _remove(path: UPath) -> None:
    """Remove a temporary file, if it is there; where that cannot be done, nothing could be written either."""
    try:
        path.unlink(missing_ok=True)
    except Exception as error:
        if stores.problem(error) is None:
            raise
