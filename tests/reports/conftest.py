"""Small tables of rejections and results."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from xcapi_dagster.conversions.reasons import reason
from xcapi_dagster.conversions.schema import REJECTION_REPORT, REJECTIONS, UPLOAD_RESULTS

Row = Mapping[str, Any]
MakeTable = Callable[..., pa.Table]


def _rejections(rows: tuple[Row, ...], schema: pa.Schema) -> pa.Table:
    told = []
    for row in rows:
        why = reason(row["reason_code"])
        given = {"order_id": f"order-{row.get('row')}", "value": Decimal(10), "currency": "USD", **row}
        told.append({"stage": why.stage, "severity": why.severity, "fix": why.fix, **given})
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in told], schema=schema)


@pytest.fixture(scope="session")
def rejections() -> MakeTable:
    """Make rows of REJECTIONS; each needs `row` and `reason_code`, and is worth 10 USD unless it says otherwise."""
    return lambda *rows: _rejections(rows, REJECTIONS)


@pytest.fixture(scope="session")
def report() -> MakeTable:
    """Make the same as rows of REJECTION_REPORT."""
    return lambda *rows: _rejections(rows, REJECTION_REPORT)


@pytest.fixture(scope="session")
def results() -> MakeTable:
    """Make rows of UPLOAD_RESULTS; each needs a `state`, and is worth 10 USD unless it says otherwise."""
    return lambda *rows: pa.Table.from_pylist(
        [{"value": Decimal(10), "currency": "USD", **row} for row in rows], schema=UPLOAD_RESULTS
    )
