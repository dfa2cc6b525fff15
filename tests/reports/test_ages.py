"""How old orders were when they were sent, from the files of real results."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from upath import UPath

from xcapi_dagster.conversions.schema import UPLOAD_RESULTS
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports import ages
from xcapi_dagster.reports.ages import oldest_when_sent

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(UPath(tmp_path), "purchases")


def write(outputs: Outputs, partition: str, *rows: dict[str, Any]) -> None:
    """A partition's results."""
    outputs.write_table("upload_results", partition, pa.Table.from_pylist(list(rows), schema=UPLOAD_RESULTS))
    outputs.write_table("requests", partition, pa.table({"request_id": [1]}))


def row(
    age_days: float, *, sent: datetime | None = NOW, event_id: str = "o87ne", state: str = "accepted"
) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "conversion_time": (sent or NOW) - timedelta(days=age_days),
        "first_sent_at": sent,
        "state": state,
    }


def test_the_oldest_of_each_event_over_all_partitions(outputs: Outputs) -> None:
    """Both forms of an event id are one event; what waits is as old as it is now; the refused ones do not count."""
    last_year = datetime(2025, 11, 1, tzinfo=UTC)
    write(outputs, "2025-10-01", row(31, sent=last_year), row(12, sent=last_year, event_id="osign"))
    write(
        outputs, "2026-11-01", row(40, event_id="tw-o8z6j-o87ne"), row(99, state="rejected"), row(98, state="too_late")
    )
    write(outputs, "2026-11-02", row(50, sent=None, state="pending", event_id="oother"))
    assert oldest_when_sent(outputs, NOW, beyond=timedelta(days=1)) == {
        "o87ne": timedelta(days=40),
        "osign": timedelta(days=12),
        "oother": timedelta(days=50),
    }
    assert set(oldest_when_sent(outputs, NOW, beyond=timedelta(days=40))) == {"oother"}


def test_without_results_nothing_is_old(outputs: Outputs) -> None:
    """Before the first run, and after one without orders."""
    assert oldest_when_sent(outputs, NOW, beyond=timedelta(0)) == {}
    write(outputs, "2026-11-01")
    assert oldest_when_sent(outputs, NOW, beyond=timedelta(0)) == {}


def test_files_that_cannot_hold_an_old_order_are_not_read(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daily sync of a year ago tells by its footer that all was a day old; a waiting order has to be looked at."""
    last_year = datetime(2025, 11, 1, tzinfo=UTC)
    write(outputs, "2025-10-31", row(1.1, sent=last_year), row(0.2, sent=last_year))
    read: list[int] = []
    real = ages._ages
    monkeypatch.setattr(ages, "_ages", lambda results, now: read.append(len(results)) or real(results, now))
    assert oldest_when_sent(outputs, NOW, beyond=timedelta(days=7)) == {}
    assert read == []
    write(outputs, "2025-10-30", row(1, sent=last_year), row(0, sent=last_year) | {"first_sent_at": None})
    assert oldest_when_sent(outputs, NOW, beyond=timedelta(days=7)) != {}
    assert read == [2]
