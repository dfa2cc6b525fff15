"""Batches are bounded in rows and in bytes, and nothing is lost between them."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.warehouse.batches import BATCH_BYTES, in_batches_of, in_types_of

SCHEMA = pa.schema([("order_id", pa.int64()), ("description", pa.string())])


def batch(texts: list[str], first: int = 0) -> pa.RecordBatch:
    ids = list(range(first, first + len(texts)))
    return pa.record_batch([pa.array(ids, pa.int64()), pa.array(texts, pa.string())], schema=SCHEMA)


def numbered(sizes: list[list[int]]) -> Iterator[pa.RecordBatch]:
    """Batches with texts of these sizes, and ids that count up."""
    first = 0
    for each in sizes:
        yield batch(["x" * size for size in each], first)
        first += len(each)


@given(st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=8), st.integers(1, 40), st.integers(20, 400))
def test_every_row_comes_once_in_order_and_within_bounds(sizes: list[list[int]], rows: int, most_bytes: int) -> None:
    """Whatever a driver gives, a batch has at most the rows and the bytes, or is a single row."""
    batches = list(in_batches_of(rows, numbered(sizes), SCHEMA, most_bytes))

    ids = [order for each in batches for order in each.column("order_id").to_pylist()]
    assert ids == list(range(sum(map(len, sizes))))
    assert all(each.num_rows <= rows for each in batches)
    assert all(each.nbytes <= most_bytes or each.num_rows == 1 for each in batches)


def test_usual_rows_are_bounded_by_their_number_alone() -> None:
    """Batches of a driver's own sizes become batches of exactly the size that was asked for."""
    sizes = [[5] * 7, [], [5] * 20, [5] * 3]

    assert [each.num_rows for each in in_batches_of(10, numbered(sizes), SCHEMA)] == [10, 10, 10]


def test_large_rows_never_make_a_large_batch() -> None:
    """Texts of a megabyte each, 200 to a batch of the driver's, come in batches of 24 MiB at most."""
    texts = pa.array(["x" * (1 << 20)] * 200)
    given = pa.record_batch([pa.array(range(200), pa.int64()), texts], schema=SCHEMA)

    batches = list(in_batches_of(50_000, [given, given], SCHEMA))

    assert sum(each.num_rows for each in batches) == 400
    assert max(each.nbytes for each in batches) <= BATCH_BYTES
    assert len(batches) < 2 * 400 / 23  # texts in a batch: none is less than half full


def test_columns_arrive_in_the_types_that_were_described() -> None:
    """Narrower integers and wider texts are cast, times are cut to microseconds, and a bad text is an error."""
    schema = pa.schema(
        [("n", pa.int64()), ("text", pa.string()), ("at", pa.timestamp("us", "UTC")), ("value", pa.decimal128(9, 2))]
    )
    at = pa.array([1_792_484_100_000_000_999], pa.timestamp("ns"))
    given = pa.record_batch(
        [pa.array([7], pa.int8()), pa.array(["a"], pa.large_string()), at, pa.array(["1.50"])],
        names=["N", "TEXT", "AT", "VALUE"],
    )

    found = in_types_of(schema, given)

    assert found.schema == schema
    assert [str(value) for value in found.to_pylist()[0].values()] == ["7", "a", "2026-10-20 08:15:00+00:00", "1.50"]
    wrong = given.set_column(3, "VALUE", pa.array(["1,50"]))
    with pytest.raises(pa.ArrowException):
        in_types_of(schema, wrong)
