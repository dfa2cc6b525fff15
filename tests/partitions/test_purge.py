"""Files expire by when they were written; what X accepted stays known without them."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.partitions.conftest import SandboxedShop
from tests.shop import Shop
from xcapi_dagster.partitions.purge import Keep, expired, purge

NOW = datetime(2026, 11, 20, tzinfo=UTC)
WEEK, YEAR = timedelta(days=7), timedelta(days=365)


def written(shop: Shop, days_ago: float) -> None:
    """Let all files of the shop have been written so long ago."""
    for path in Path(str(shop.outputs.root)).rglob("*"):
        if path.is_file():
            time = (NOW - timedelta(days=days_ago)).timestamp()
            os.utime(path, (time, time))


@pytest.mark.parametrize(
    ("days_ago", "keep", "gone"),
    [
        (6.9, Keep(WEEK, None), set()),
        (7.1, Keep(WEEK, None), {"conversions"}),
        (7.1, Keep(WEEK, YEAR), {"conversions"}),
        (366, Keep(WEEK, YEAR), {"conversions", "upload_results", "rejection_report"}),
        (366, Keep(None, None), set()),
    ],
)
def test_what_expires_and_what_stays(shop: SandboxedShop, days_ago: float, keep: Keep, gone: set[str]) -> None:
    """By kind and age; then a sync of the partition sends nothing again."""
    shop.put_many(3)
    shop.sync()
    written(shop, days_ago)
    assert {path.parent.name for path in expired(shop.outputs, keep, NOW)} == gone
    purge(shop.outputs, keep, NOW)
    assert list(expired(shop.outputs, keep, NOW)) == []
    again = shop.sync()
    assert (again.counts.already_accepted, again.counts.requests) == (3, 0)
    assert len(shop.sandbox.received) == 3


def test_without_files_nothing_expires(shop: SandboxedShop) -> None:
    assert purge(shop.outputs, Keep(WEEK, WEEK), NOW) == 0
