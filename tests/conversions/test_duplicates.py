"""The latest version of an order wins, whatever the chunks and the order in which they come."""

import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.duplicates import NEVER, Duplicates, Versions, duplicate_rejections
from xcapi_dagster.conversions.hashing import KEY
from xcapi_dagster.conversions.prepare import Prepared, Rules, prepare
from xcapi_dagster.conversions.schema import Rejections

ROOT = Path(__file__).parents[2]

Order = tuple[int, int, int | None, int, int]  # key high, low, updated_at, ordered_at, fingerprint


def versions(orders: list[tuple[int, Order]]) -> Versions:
    """The versions of (row, order) pairs."""
    return Versions(
        np.array([(order[0], order[1]) for _, order in orders], KEY),
        np.array([NEVER if order[2] is None else order[2] for _, order in orders], np.int64),
        np.array([order[3] for _, order in orders], np.int64),
        np.array([order[4] for _, order in orders], np.uint64),
        np.array([row for row, _ in orders], np.uint32),
    )


def losers(*chunks: list[tuple[int, Order]]) -> list[int]:
    with SpooledTemporaryFile(200) as file:
        duplicates = Duplicates(file)
        found = [row for chunk in chunks for row in duplicates.add(versions(chunk)).tolist()]
        return sorted(found + duplicates.losers().tolist())


@pytest.mark.parametrize(
    ("first", "second", "loser"),
    [
        ((1, 1, 5, 0, 0), (1, 1, 6, 0, 0), 0),
        ((1, 1, None, 9, 0), (1, 1, -(2**62), 0, 0), 0),
        ((1, 1, 5, 2, 0), (1, 1, 5, 1, 0), 1),
        ((1, 1, None, 1, 2**64 - 1), (1, 1, None, 1, 2**63), 0),
        ((1, 1, 5, 1, 7), (1, 1, 5, 1, 7), 1),
    ],
)
def test_who_wins(first: Order, second: Order, loser: int) -> None:
    """The later update, none being the earliest; the later order; the smaller fingerprint; the earlier row."""
    assert losers([(0, first), (1, second)]) == [loser]
    assert losers([(1, second)], [(0, first)]) == [loser]


def test_keys_that_differ_in_a_half_are_others() -> None:
    """Both halves count."""
    assert losers([(0, (1, 1, 5, 0, 0)), (1, (1, 2, 6, 0, 0)), (2, (2, 1, 7, 0, 0))]) == []


def test_no_orders_no_losers() -> None:
    """Nor with empty chunks."""
    assert losers() == []
    assert losers([], []) == []


ORDER = st.tuples(
    st.integers(0, 2), st.integers(0, 1), st.none() | st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 2)
)


@given(st.lists(ORDER, max_size=30), st.integers(1, 30), st.randoms())
@settings(max_examples=150)
def test_all_but_the_best_of_each_key_lose(orders: list[Order], size: int, random: Any) -> None:
    """As a plain loop finds them, in chunks of any size in any order."""
    best: dict[tuple[int, int], tuple[Any, int]] = {}
    for row, (high, low, updated, ordered, fingerprint) in enumerate(orders):
        rank = (updated is not None, updated or 0, ordered, -fingerprint, -row)
        best[high, low] = max(best.get((high, low), ((False,), -1)), (rank, row))
    expected = sorted(set(range(len(orders))) - {row for _, row in best.values()})
    rows = list(enumerate(orders))
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    random.shuffle(chunks)
    assert losers(*chunks) == expected


def test_eight_bytes_of_an_order_stay_in_memory() -> None:
    """Though a partition of millions is read; 44 are in the file, and NumPy and Python keep none."""
    orders = versions([(row, (row, row, 1, 1, 1)) for row in range(20_000)])
    with TemporaryFile() as file:
        duplicates = Duplicates(file)
        duplicates.add(orders)
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        duplicates.add(orders)
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert pa.total_allocated_bytes() - before == 8 * len(orders.rows)
        assert kept < len(orders.rows)
        assert file.seek(0, os.SEEK_END) == 2 * 44 * len(orders.rows)


FULL = """
import resource, signal
from tests.conversions.test_duplicates import versions
from xcapi_dagster.conversions import duplicates
from xcapi_dagster.errors import XConversionsError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
duplicates._BYTES_IN_MEMORY = 1000
chunks = [versions([(row, (row, row, 1, 1, 1)) for row in range(333)]) for _ in range(10)]
for limit in range(1500, 145_000, 1500):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with duplicates.temporary_file() as file:
            collected = duplicates.Duplicates(file)
            for chunk in chunks:
                collected.add(chunk)
            collected.losers()
    except XConversionsError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a file's size is limited by what Linux has for that")
def test_a_full_disk_is_told_with_what_to_do() -> None:
    """Wherever it fills up: orders of which nobody knows whether they are the latest are not sent."""
    told = subprocess.run([sys.executable, "-c", FULL], cwd=ROOT, capture_output=True, text=True, check=True)
    assert Counter(told.stdout.splitlines()) == {
        "the folder for temporary files cannot be written (file too large): let TMPDIR name one with room": 96
    }


LATER = datetime(2026, 11, 3, 1, tzinfo=UTC)


def prepared_losers(rules: Rules, *orders: dict[str, Any]) -> list[int]:
    duplicates = Duplicates(BytesIO())
    for row, order in enumerate(orders):
        prepare(pa.Table.from_pylist([order]), row, rules, duplicates)
    found: list[int] = duplicates.losers().tolist()
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"twclid": "other"},
        {"conversion_id": "A-1"},
        {"event_id": "tw-o8z6j-o87ne"},
        {"consent": "denied"},
        {"value": -5},
    ],
    ids=str,
)
def test_the_latest_version_decides(rules: Rules, order: dict[str, Any], change: dict[str, Any]) -> None:
    """Also when it must not be sent: the older one, which it replaces, is not sent in its stead."""
    newer = order | change | {"updated_at": LATER}
    assert prepared_losers(rules, order, newer) == [0]
    assert prepared_losers(rules, newer, order) == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"conversion_id": "web-1"},
        {"event_id": "ol288"},
        {"order_id": None},
        {"conversion_id": b"\xff"},
        {"event_id": "Purchase"},
        {"ordered_at": None},
    ],
    ids=str,
)
def test_another_order_is_no_version(rules: Rules, order: dict[str, Any], change: dict[str, Any]) -> None:
    """Nor is one whose id, event or time cannot be read."""
    assert prepared_losers(rules, order, order | change | {"updated_at": LATER}) == []


def test_orders_of_a_wrong_event_are_no_versions_of_each_other(rules: Rules, order: dict[str, Any]) -> None:
    """Each of them is reported for its event id."""
    wrong = order | {"event_id": "Purchase"}
    assert prepared_losers(rules, wrong, wrong | {"updated_at": LATER}) == []


def test_an_unreadable_update_is_the_earliest(rules: Rules, order: dict[str, Any]) -> None:
    """As if there were none."""
    assert prepared_losers(rules, order | {"updated_at": "?"}, order | {"updated_at": "2026-11-02"}) == [0]


@pytest.mark.parametrize("day", ["2026-10-25", "2026-03-29"], ids=["an hour twice", "an hour skipped"])
def test_an_update_while_clocks_change_is_later_than_one_before(rules: Rules, order: dict[str, Any], day: str) -> None:
    """Local time that is not certain cannot be sent, but decides between versions as what it says."""
    versions = [order | {"updated_at": f"{day} {hour}"} for hour in ("01:59", "02:30", "03:01")]
    berlin = replace(rules, source_timezone="Europe/Berlin")
    assert prepared_losers(berlin, *versions) == [0, 1]
    assert prepared_losers(berlin, *versions[:2]) == [0]


def test_updates_differ_in_microseconds(rules: Rules, order: dict[str, Any]) -> None:
    """Although times are sent in milliseconds."""
    orders = [order | {"updated_at": LATER.replace(microsecond=microsecond)} for microsecond in (1, 3, 2)]
    assert prepared_losers(rules, *orders) == [0, 2]


def test_rejections_of_duplicates(prepare_order: Callable[..., Prepared]) -> None:
    """Of conversions and of rejections, in the shape that all rejections have."""
    prepared = prepare_order(value=pa.array([5.0, -5.0]), currency="USD")
    for table, row in ((prepared.conversions, 0), (prepared.rejections, 1)):
        (rejection,) = Rejections.prove(duplicate_rejections(table)).to_pylist()
        assert (rejection["row"], rejection["order_id"], rejection["reason_code"]) == (row, "A-1", "duplicate_order")
        assert abs(rejection["value"]) == 5
