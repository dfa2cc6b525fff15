"""A machine without a database of time zones, as many containers are: what is in UTC needs none."""

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_ZONES = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"']
ZONES = "/usr/share/zoneinfo"
CHECK = """
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from xcapi_dagster.conversions.schema import REJECTION_REPORT
from xcapi_dagster.conversions.times import knows_zone, to_utc
from xcapi_dagster.reports.rejections import write_csv

texts = pa.array(["2026-11-01 09:00"])
(noted,) = to_utc(texts, "UTC").to_pylist()
(dated,) = to_utc(pa.array([date(2026, 11, 1)]), "UTC").to_pylist()
report = Path(sys.argv[1]) / "report.parquet"
pq.write_table(pa.Table.from_pylist([{"conversion_time": noted}], schema=REJECTION_REPORT), report)
write_csv([UPath(report)], report.with_suffix(".csv"))
written = report.with_suffix(".csv").read_text().splitlines()[1].split(",")[1]
print(noted.isoformat(), dated.isoformat(), written, knows_zone("UTC"), knows_zone("Europe/Berlin"))
"""


def can_hide_zones() -> bool:
    """Whether this machine has some, and lets this user hide them from a process."""
    try:
        done = subprocess.run([*WITHOUT_ZONES, ZONES, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and Path(ZONES).is_dir()


@pytest.mark.slow
def test_utc_needs_no_database_of_time_zones(tmp_path: Path) -> None:
    """Neither to read dates and texts, nor to write them into the report; of another zone it is known that it lacks."""
    if not can_hide_zones():
        pytest.skip("this user cannot hide the system's time zones")
    command = [*WITHOUT_ZONES, ZONES, sys.executable, "-c", CHECK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [
        "2026-11-01T09:00:00+00:00",
        "2026-11-01T00:00:00+00:00",
        '"2026-11-01',
        '09:00:00.000Z"',
        "True",
        "False",
    ], done.stderr
