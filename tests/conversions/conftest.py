"""Orders to try rules on: one without fault, and what the transform makes of it when some columns are changed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from xcapi_dagster.conversions.prepare import Prepared, Rules, prepare

RULES = Rules(
    event_id="o87ne",
    pixel_id="o8z6j",
    default_country=None,
    default_currency=None,
    source_timezone="UTC",
    unknown_consent="suppress",
    allow_ip_user_agent_only=True,
    send_event_source_url=False,
    now=datetime(2026, 11, 3, 12, tzinfo=UTC),
)
ORDER = {
    "order_id": "A-1",
    "ordered_at": datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
    "twclid": "23opevjt88psuo13lu8d020qkn",
    "consent": "granted",
}

PrepareOrder = Callable[..., Prepared]


@pytest.fixture(scope="session")
def rules() -> Rules:
    """Rules without any default."""
    return RULES


@pytest.fixture(scope="session")
def order() -> dict[str, Any]:
    """An order without fault, with nothing in it that need not be."""
    return ORDER


@pytest.fixture(scope="session")
def prepare_order() -> PrepareOrder:
    """`prepare` of the order without fault, but for the columns given; `rules` changes the rules.

    A column may be an Arrow array of any type; the other columns are then repeated for each of its rows.
    """

    def run(*, rules: dict[str, Any] | None = None, **columns: Any) -> Prepared:
        arrays = {name: values for name, values in columns.items() if isinstance(values, pa.Array)}
        rows = len(next(iter(arrays.values()))) if arrays else 1
        for name, value in (ORDER | columns).items():
            if name not in arrays:
                arrays[name] = pa.array([value] * rows)
        return prepare(pa.table(arrays), 0, replace(RULES, **(rules or {})))

    return run
