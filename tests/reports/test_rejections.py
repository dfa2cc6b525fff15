"""The rejection report as CSV: the same rows, and nothing that a spreadsheet would run."""

import csv
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from upath import UPath

from xcapi_dagster.conversions.schema import REJECTION_REPORT
from xcapi_dagster.reports.rejections import write_csv


def as_csv(folder: Path, **columns: object) -> dict[str, str]:
    """One row of the report as the CSV has it."""
    row = {field.name: None for field in REJECTION_REPORT} | {"stage": "api", "severity": "rejected"}
    row |= {"reason_code": "api_value", "fix": "-", **columns}
    pq.write_table(pa.Table.from_pylist([row], schema=REJECTION_REPORT), folder / "report.parquet")
    write_csv([UPath(folder / "report.parquet")], UPath(folder / "report.csv"))
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        (found,) = csv.DictReader(file)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff20A1",
        "\u00a0=1",
        "\u200b=1",
        "\x00=1",
    ],
)
def test_formulas_are_inert(tmp_path: Path, text: str) -> None:
    """A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    assert as_csv(tmp_path, order_id=text)["order_id"].startswith("'")


ODD = st.sampled_from([*"=+-@\t\r\n\0 'a\v\f", "\u00a0", "\u200b", "\uff1d", "é"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ODD, min_size=1, max_size=4).map("".join))
def test_beyond_ascii_or_not_the_same_is_inert(tmp_path: Path, text: str) -> None:
    """What begins, after what a spreadsheet does not show, with a sign, a tab or a return."""
    shown = text.lstrip("\t\n\f\r \0\u00a0\u200b")
    is_formula = shown[:1] in [*"=+-@\uff1d"] or bool({*text[: len(text) - len(shown)]} & {*"\t\r"})
    assert (as_csv(tmp_path, order_id=text)["order_id"] == f"'{text}") == is_formula
    assert (as_csv(tmp_path, order_id=f"{text}é")["order_id"] == f"'{text}é") == is_formula


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    """Values are typed columns: no apostrophe, no rounding."""
    row = as_csv(tmp_path, order_id="A-1", value=Decimal("-12.340000"), request_id=7)
    assert (Decimal(row["value"]), row["request_id"], row["order_id"]) == (Decimal("-12.34"), "7", "A-1")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    """Quotes, line breaks and commas survive; at most an apostrophe is put before."""
    assert as_csv(tmp_path, order_id=text)["order_id"] in (text, f"'{text}")
