"""`xcapi report`: pages and tables of any range, out of the files that the runs left."""

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xcapi_dagster.cli import main
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports.summary import Summary

WritePartition = Callable[..., tuple[Outputs, Summary]]


@pytest.fixture
def home(tmp_path: Path, write_partition: WritePartition) -> Path:
    """Three days of the demo's instance: two with a lost order, one without."""
    lost = {"reason_code": "no_identifier", "value": Decimal("12.50"), "currency": "USD"}
    formula = lost | {"order_id": "=1+1", "currency": "EUR"}
    for day, rows in (("2026-10-20", [lost]), ("2026-10-21", []), ("2026-10-22", [lost, formula])):
        write_partition(tmp_path / "output", day, *rows)
    return tmp_path


def xcapi(home: Path, *arguments: str) -> Result:
    return CliRunner(env={"XCAPI_HOME": str(home)}).invoke(main, ["report", *arguments])


def test_the_report_is_built_from_its_files(home: Path) -> None:
    """A page for each partition and the overview, and the headline with the reasons in the terminal."""
    done = xcapi(home)
    assert done.exit_code == 0, done.output
    assert "30 of 33 orders reached X. 3 are lost" in done.output
    assert "no_identifier" in done.output
    assert "Give at least one of twclid, landing_url, email and phone." in done.output  # on one line, not cut off
    folder = home / "output" / "purchases" / "rejection_report"
    assert done.output.rstrip().endswith((folder / "index.html").as_uri())
    names = {path.name for path in folder.glob("*.html")}
    assert names == {"index.html", "2026-10-20.html", "2026-10-21.html", "2026-10-22.html"}


def test_a_range_has_a_page_of_its_own(home: Path) -> None:
    """Over these partitions alone; the overview stays that of all."""
    done = xcapi(home, "--from", "2026-10-21", "--to", "2026-10-22")
    assert "20 of 22 orders reached X." in done.output
    folder = home / "output" / "purchases" / "rejection_report"
    assert "<h1>Rejection report, 2026-10-21 to 2026-10-22</h1>" in (folder / "2026-10-21..2026-10-22.html").read_text(
        encoding="utf-8"
    )
    assert "all 3 partitions" in (folder / "index.html").read_text(encoding="utf-8")


def test_json_is_one_object_for_each_partition(home: Path) -> None:
    """States, reasons with exact amounts by currency, and the score."""
    done = xcapi(home, "--json", "--from", "2026-10-22", "--to", "2026-10-22")
    (told,) = map(json.loads, done.output.splitlines())
    assert told["partition"] == "2026-10-22"
    assert told["states"]["invalid"] == {
        "orders": 2,
        "worth": {"EUR": "12.500000", "USD": "12.500000"},
        "of_unknown_value": 0,
    }
    assert [(each["code"], each["orders"], each["alone"]) for each in told["reasons"]] == [("no_identifier", 2, 2)]
    assert told["match_readiness"] == pytest.approx(70 * 10 / 12)


def test_csv_has_the_rows_of_all_partitions(home: Path, tmp_path: Path) -> None:
    """One header, and nothing that a spreadsheet would run."""
    done = xcapi(home, "--csv", str(tmp_path / "rows.csv"))
    assert done.exit_code == 0, done.output
    assert done.stderr == f"The rows are in {tmp_path / 'rows.csv'}.\n"
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["order_id"] for row in rows] == ["A-0", "A-0", "'=1+1"]


def test_what_cannot_be_done_is_one_line(home: Path, tmp_path: Path) -> None:
    """No partition in the range, half a range, a file that cannot be written: exit status 2."""
    for arguments in (
        ("--from", "2027-01-01", "--to", "2027-01-02"),
        ("--from", "2026-10-20"),
        ("--csv", str(tmp_path / "no folder" / "rows.csv")),
    ):
        done = xcapi(home, *arguments)
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.output


def test_a_range_without_reports_says_where_some_are(home: Path) -> None:
    """To sync again would not help."""
    done = xcapi(home, "--from", "2027-01-01", "--to", "2027-01-02")
    assert done.stderr == (
        "xcapi: there is no report from 2027-01-01 to 2027-01-02: there are some from 2026-10-20 to 2026-10-22\n"
    )


@pytest.mark.parametrize(("content", "told"), [(None, "missing"), (b"PAR1, or not", "damaged")])
def test_a_damaged_file_is_named(home: Path, content: bytes | None, told: str) -> None:
    """The Parquet of one day is gone, or is none: one line that says which, exit status 1."""
    path = home / "output" / "purchases" / "rejection_report" / "2026-10-21.parquet"
    path.unlink() if content is None else path.write_bytes(content)
    done = xcapi(home)
    assert done.exit_code == 1
    assert done.output == f"xcapi: {path} is {told}: sync that partition again\n"


def test_open_starts_a_browser(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the page's address; when there is none, the address is told."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)))
    done = xcapi(home, "--open")
    assert opened == [(home / "output" / "purchases" / "rejection_report" / "index.html").as_uri()]
    assert done.exit_code == 1
    assert opened[0] in done.output
