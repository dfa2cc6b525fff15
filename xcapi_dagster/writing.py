"""How a file is written, in a folder or an object store, and what is said when that cannot be done."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from fsspec.spec import AbstractBufferedFile
from upath import UPath

from xcapi_dagster import stores

_CANNOT_BE_ASKED = (errno.EINVAL, errno.ENOTSUP)  # what fsync says where there is no such thing


class UnwrittenError(OSError):
    """That a folder or a store did not take what was to be the file at ``path``, and ``why``, in our words."""

    def __init__(self, path: UPath | Path, why: str) -> None:
        super().__init__(f"{path} cannot be written ({why})")
        self.path = path
        self.why = why


@contextmanager
def written(path: UPath | Path) -> Iterator[None]:
    """Raise as UnwrittenError what a folder or a store answers to a block that does nothing but to write ``path``."""
    try:
        yield
    except Exception as error:
        if (why := stores.problem(error)) is None:
            raise
        raise UnwrittenError(path, why) from None


@contextmanager
def writable(path: UPath | Path) -> Iterator[IO[bytes]]:
    """A file at ``path``, open for writing; on an object store there is none if the block raises.

    Raises UnwrittenError when it cannot be opened, written or closed.
    """
    with written(path):
        file = path.open("wb")
    try:
        yield cast("IO[bytes]", _Written(file, path))
    except BaseException:
        _throw_away(file)
        raise
    with written(path):
        file.close()


def to_disk(path: UPath) -> None:
    """Let what a file on a local disk holds, or which files a folder has, outlive a power cut.

    An object store has it once it answered, and some file systems cannot be asked. Raises UnwrittenError.
    """
    if stores.is_object_store(path) or sys.platform == "win32":  # where folders cannot be opened
        return
    with written(path):
        descriptor = os.open(path.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _CANNOT_BE_ASKED:
                raise
        finally:
            os.close(descriptor)


class _Written:
    """A file that says of itself when it cannot be written."""

    def __init__(self, file: IO[bytes], path: UPath | Path) -> None:
        self._file = file
        self._path = path

    def write(self, content: bytes) -> int:
        """Write ``content``; returns how much of it. Raises UnwrittenError."""
        with written(self._path):
            return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _throw_away(file: IO[bytes] | AbstractBufferedFile) -> None:
    with suppress(Exception):  # the disk or the store may be what failed; what counts is the error that led here
        file.discard() if isinstance(file, AbstractBufferedFile) else file.close()
    if isinstance(file, AbstractBufferedFile):
        file.closed = True  # to close it would be to complete what there is
