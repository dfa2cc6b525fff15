"""The rows that a page shows: all of a small report, of a large one the most valuable of each reason."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from xcapi_dagster.reports.pages.samples import MOST_ROWS, rows_to_show, searchable
from xcapi_dagster.reports.summary import ReasonSummary, Summary
from xcapi_dagster.reports.worth import Worth, worth_by

MakeTable = Callable[..., pa.Table]


def shown(folder: Path, table: pa.Table) -> pa.Table:
    """The rows of this report that its page shows."""
    pq.write_table(table, folder / "report.parquet", row_group_size=1000)
    reasons = worth_by(table["reason_code"], table["value"], table["currency"])
    summary = Summary(
        partition="2026-11-01",
        states={"invalid": sum(reasons.values(), Worth())},
        reasons=tuple(ReasonSummary(code=code, worth=worth) for code, worth in reasons.items()),
    )
    return rows_to_show(UPath(folder / "report.parquet"), summary)


def test_a_small_report_is_shown_whole_the_most_valuable_first(tmp_path: Path, report: MakeTable) -> None:
    """20 dollars among orders of 10 go before 1,500 yen among orders of 1,500, a refund comes last."""
    rows = [
        {"reason_code": "negative_value", "order_id": "refund", "value": Decimal(-900)},
        {"reason_code": "no_identifier", "order_id": "yen", "value": Decimal(1500), "currency": "JPY"},
        {"reason_code": "no_identifier", "order_id": "dollars", "value": Decimal(18)},
        {"reason_code": "no_identifier", "order_id": "cents", "value": Decimal(2)},
        {"reason_code": "missing_currency", "order_id": "unknown", "currency": None},
    ]
    listed = shown(tmp_path, report(*rows))["order_id"].to_pylist()
    assert listed == ["dollars", "yen", "unknown", "cents", "refund"]


def test_a_large_report_shows_some_of_each_reason(tmp_path: Path, report: MakeTable) -> None:
    """Of 20,000 rows at most 3,000: the rare reason whole, of the frequent one the dearest."""
    rows = [{"reason_code": "no_identifier", "order_id": str(n), "value": Decimal(n)} for n in range(20_000)]
    rare = [{"reason_code": "email_invalid", "order_id": f"rare {n}", "value": Decimal(1)} for n in range(5)]
    table = shown(tmp_path, report(*rows, *rare))
    listed = table["order_id"].to_pylist()
    assert len(listed) == MOST_ROWS // 2 + 5
    assert listed[: MOST_ROWS // 2] == [str(n) for n in range(19_999, 19_999 - MOST_ROWS // 2, -1)]
    assert {f"rare {n}" for n in range(5)} <= set(listed)


def test_what_is_searched_is_short(tmp_path: Path, report: MakeTable) -> None:
    """Ids are cut, texts that repeat are told once, times are in minutes."""
    rows = [{"reason_code": "no_identifier", "order_id": "x" * 10_000, "column": "email"}] * 3
    told = searchable(shown(tmp_path, report(*rows)))
    assert [row[0] for row in told["rows"]] == ["x" * 100 + "…"] * 3
    assert told["texts"] == ["no_identifier", "email", "USD"]


def test_what_else_is_wrong_with_an_order_that_must_not_be_sent_is_withheld(tmp_path: Path, report: MakeTable) -> None:
    """It is not lost; another order with the same reason is, also one without an id."""
    rows = [
        {"reason_code": "invalid_currency", "order_id": "denied", "severity": "rejected"},
        {"reason_code": "consent_denied", "order_id": "denied", "severity": "suppressed"},
        {"reason_code": "email_invalid", "order_id": "denied", "severity": "degraded"},
        {"reason_code": "unknown_outcome", "order_id": "denied", "severity": "held"},
        {"reason_code": "invalid_currency", "order_id": "other", "severity": "rejected"},
        {"reason_code": "forgotten", "order_id": None, "severity": "suppressed"},
        {"reason_code": "missing_order_id", "order_id": None, "severity": "rejected"},
    ]
    told = searchable(shown(tmp_path, report(*rows)))
    sections = {
        (row[0], told["texts"][row[2]]): None if row[10] is None else told["texts"][row[10]] for row in told["rows"]
    }
    assert sections == {
        ("denied", "invalid_currency"): "Withheld",
        ("denied", "consent_denied"): "Withheld",
        ("denied", "email_invalid"): "Withheld",
        ("denied", "unknown_outcome"): None,
        ("other", "invalid_currency"): None,
        (None, "forgotten"): "Withheld",
        (None, "missing_order_id"): None,
    }


def test_an_empty_report_has_no_rows(tmp_path: Path, report: MakeTable) -> None:
    """Nothing was wrong."""
    assert searchable(shown(tmp_path, report())) == {"texts": [], "rows": []}
