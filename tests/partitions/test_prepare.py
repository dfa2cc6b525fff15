"""The first stage: files with counts that add up, whatever the chunks, duplicates decided over the whole partition."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from upath import UPath

from xcapi_dagster.conversions.prepare import Rules
from xcapi_dagster.errors import WarehouseError
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.prepare import Prepared, prepare_partition

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PARTITION = Partition("2026-11-20", NOON - timedelta(hours=12), NOON + timedelta(hours=12))
RULES = Rules(
    event_id="o87ne",
    pixel_id="o8z6j",
    default_country=None,
    default_currency="USD",
    source_timezone="UTC",
    unknown_consent="suppress",
    allow_ip_user_agent_only=True,
    send_event_source_url=False,
    now=NOON + timedelta(days=1),
)


@dataclass
class Shop:
    """A warehouse that gives these rows in chunks of a size, and may fail before the end."""

    rows: Sequence[dict[str, Any]]
    chunk: int = 2
    fails_after: int | None = None

    def read(self, _start: datetime, _end: datetime) -> Iterator[pa.RecordBatch]:
        for first in range(0, len(self.rows), self.chunk):
            if self.fails_after is not None and first >= self.fails_after:
                raise WarehouseError("the connection was lost")
            yield from pa.Table.from_pylist(list(self.rows[first : first + self.chunk]), schema=SCHEMA).to_batches()


_TEXTS = [(name, pa.string()) for name in ("order_id", "email", "value", "consent")]
_TIMES = [(name, pa.timestamp("us", "UTC")) for name in ("ordered_at", "updated_at")]
SCHEMA = pa.schema([*_TEXTS, *_TIMES])


def order(order_id: str | None, **columns: Any) -> dict[str, Any]:
    """A good order, but for what is given."""
    good = {"email": f"{order_id}@example.com", "value": "1.00", "consent": "granted", "ordered_at": NOON}
    return {"order_id": order_id, "updated_at": NOON} | good | columns


def stage(tmp_path: Path, shop: Shop) -> tuple[Prepared, list[dict[str, Any]], list[dict[str, Any]]]:
    """The counts, the conversions and the invalid orders that ``shop`` leads to."""
    outputs = Outputs(UPath(tmp_path), "purchases")
    prepared = prepare_partition(PARTITION, shop, RULES, outputs)  # type: ignore[arg-type]
    assert Prepared.of_file(outputs, PARTITION.key) == prepared
    files = [pq.read_table(str(outputs.path(kind, PARTITION.key))).to_pylist() for kind in ("conversions", "invalid")]
    return prepared, files[0], files[1]


def test_counts_are_of_orders_not_of_reasons(tmp_path: Path) -> None:
    """An order with two faults is one invalid order; one that is denied is not lost, whatever else is wrong with it."""
    rows = [
        order("a"),
        order("b", value="-1", email=None),
        order("c", consent="denied"),
        order("d", consent="denied", value="-1"),
        order(None),
    ]
    prepared, conversions, invalid = stage(tmp_path, Shop(rows))
    assert (prepared.read, prepared.ready, prepared.invalid, prepared.suppressed, prepared.duplicate) == (5, 1, 2, 2, 0)
    assert [row["order_id"] for row in conversions] == ["a"]
    assert sorted((str(row["order_id"]), row["reason_code"]) for row in invalid) == [
        ("None", "missing_order_id"),
        ("b", "negative_value"),
        ("b", "no_identifier"),
        ("c", "consent_denied"),
        ("d", "consent_denied"),
        ("d", "negative_value"),
    ]


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_the_latest_version_decides_across_chunks(tmp_path: Path, chunk: int) -> None:
    """Older versions are duplicates, and nothing else, also when the latest must not be sent."""
    later = NOON + timedelta(hours=1)
    rows = [
        order("a", value="1.00"),
        order("b", value="-1"),
        order("c"),
        order("b", updated_at=later, value="2.00"),
        order("a", updated_at=later, consent="denied"),
        order("c", updated_at=None),
    ]
    prepared, conversions, invalid = stage(tmp_path, Shop(rows, chunk))
    assert (prepared.read, prepared.ready, prepared.invalid, prepared.suppressed, prepared.duplicate) == (6, 2, 0, 1, 3)
    assert sorted((row["order_id"], str(row["value"])) for row in conversions) == [("b", "2.000000"), ("c", "1.000000")]
    assert sorted((row["order_id"], row["reason_code"]) for row in invalid) == [
        ("a", "consent_denied"),
        ("a", "duplicate_order"),
        ("b", "duplicate_order"),
        ("c", "duplicate_order"),
    ]


def test_a_read_that_fails_changes_no_file(tmp_path: Path) -> None:
    """What an earlier run wrote stays until a whole read replaces it."""
    stage(tmp_path, Shop([order("a")]))
    with pytest.raises(WarehouseError):
        stage(tmp_path, Shop([order("b"), order("c"), order("d")], chunk=1, fails_after=2))
    files = sorted((tmp_path / "purchases" / "conversions").iterdir())
    assert [path.name for path in files] == ["2026-11-20.invalid.parquet", "2026-11-20.parquet"]
    assert pq.read_table(files[1])["order_id"].to_pylist() == ["a"]


def test_no_orders_are_two_empty_files(tmp_path: Path) -> None:
    """An empty partition has files with columns and no rows."""
    prepared, conversions, invalid = stage(tmp_path, Shop([]))
    assert (prepared.read, conversions, invalid) == (0, [], [])


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.builds(
            order,
            st.sampled_from(["a", "b", "c", None]),
            value=st.sampled_from(["1", "-1", None]),
            consent=st.sampled_from(["granted", "denied", None]),
            email=st.sampled_from(["x@example.com", "none", None]),
            updated_at=st.sampled_from([NOON, NOON + timedelta(hours=1), None]),
        ),
        max_size=12,
    ),
    chunk=st.integers(1, 5),
)
def test_every_order_is_counted_once(tmp_path: Path, rows: list[dict[str, Any]], chunk: int) -> None:
    """Read is the sum of all that can become of an order here, and no order id is sent twice."""
    prepared, conversions, _ = stage(tmp_path, Shop(rows, chunk))
    counted = prepared.ready + prepared.invalid + prepared.suppressed + prepared.duplicate
    assert prepared.read == len(rows) == counted
    ids = [row["order_id"] for row in conversions]
    assert len(ids) == len(set(ids)) == prepared.ready


def test_identifiers_are_counted_among_what_is_ready(tmp_path: Path) -> None:
    """An older version, which is not sent, does not count."""
    shop = Shop(
        [
            order("A", email="ann@gmial.com"),
            order("A", updated_at=NOON + timedelta(hours=1), email="ann@gmail.con"),
            order("B"),
            order("C", email="nobody@gmial.com", consent="denied"),
        ]
    )
    prepared, _, _ = stage(tmp_path, shop)
    found = prepared.identifiers
    assert (prepared.ready, found.conversions, found.carried("hashed_email")) == (2, 2, 2)
    assert found.groups.keys() == {"hashed_email"}
    assert found.mistyped_domains == 1
