"""What a rejection tells: which order, what it is worth, what was wrong with which column, and never the value."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from xcapi_dagster.conversions.prepare import prepare
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.conversions.schema import REJECTIONS

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def rejections(prepared: Any) -> list[dict[str, Any]]:
    assert prepared.rejections.schema.equals(REJECTIONS, check_metadata=True)
    rows: list[dict[str, Any]] = prepared.rejections.to_pylist()
    return rows


def test_a_rejection_in_full(rules: Any, order: dict[str, Any]) -> None:
    """Row, order and time, the catalogue's words, the column, the shape of what was in it, and the order's worth."""
    broken = order | {"order_id": " B-2 ", "value": "12.5", "currency": "eur", "email": "Marie Curie@example.com"}
    orders = pa.Table.from_pylist([dict.fromkeys(broken) | order, broken])
    assert rejections(prepare(orders, 1_000, rules)) == [
        {
            "row": 1_001,
            "order_id": "B-2",
            "conversion_time": datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
            "stage": "validate",
            "severity": "degraded",
            "reason_code": "email_invalid",
            "column": "email",
            "detail": "23 characters: letters, white space, @, other signs",
            "fix": REASONS["email_invalid"].fix,
            "value": Decimal("12.5"),
            "currency": "EUR",
            "event_id": "o87ne",
            "conversion_id": "B-2",
        }
    ]


def test_what_cannot_be_read_is_null(prepare_order: Any) -> None:
    """Order id, time, value and currency; a code that is no currency may be anything and is not repeated."""
    columns = {"order_id": None, "ordered_at": None, "value": "?", "currency": "marie@example.com"}
    told = rejections(prepare_order(**columns))
    assert [row["reason_code"] for row in told] == [
        "missing_order_id", "invalid_time", "invalid_value", "invalid_currency",
    ]  # fmt: skip
    for row in told:
        assert [row[name] for name in ("order_id", "conversion_time", "value", "currency")] == [None] * 4


@pytest.mark.parametrize(
    ("column", "given", "detail"),
    [
        ("email", "", None),
        ("email", MD5, "32 characters: hexadecimal digits"),
        ("email", "ä1\u200b\0", "4 characters: letters, digits, control characters, invisible characters"),
        ("currency", "$", "1 characters: other signs"),
        ("value", "1,5", "3 characters: digits, other signs"),
        ("value", float("nan"), "type double"),
        ("phone", [1, 2], "type list<item: int64>"),
        ("consent", None, None),
        ("order_id", "", "empty text"),
        ("order_id", " \t", "2 characters: white space"),
    ],
)
def test_details_are_shapes(prepare_order: Any, column: str, given: Any, detail: str | None) -> None:
    """Length and kinds of characters of text, the type of anything else."""
    prepared = prepare_order(**{"value": 1, "currency": "USD"} | {column: given})
    told = [row["detail"] for row in rejections(prepared) if row["column"] == column]
    assert told == ([detail] if column != "email" or given else [])


def test_ascii_is_described_as_any_text_is(rules: Any, order: dict[str, Any]) -> None:
    """Each of its characters, whether or not another text of the chunk has more than that."""
    orders = [order | {"ip_address": f"a{chr(code)}b"} for code in range(128)]
    alone, beside = (
        prepare(pa.Table.from_pylist([*orders, *others]), 0, rules).rejections["detail"].to_pylist()
        for others in ([], [order | {"ip_address": "ä"}])
    )
    assert len(alone) == len(orders)
    assert beside == [*alone, "1 characters: letters"]


def test_one_row_for_each_order_and_reason(prepare_order: Any) -> None:
    """Where two columns break the same rule, it names both."""
    emails, phones = pa.array([MD5, MD5, "x"]), pa.array([MD5, None, None])
    told = rejections(prepare_order(hashed_email=emails, hashed_phone_number=phones))
    assert [(row["row"], row["column"], row["detail"]) for row in told] == [
        (0, "hashed_email, hashed_phone_number", "32 characters: hexadecimal digits"),
        (1, "hashed_email", "32 characters: hexadecimal digits"),
        (2, "hashed_email", "1 characters: letters"),
    ]


def test_a_rule_about_no_column_names_none(prepare_order: Any) -> None:
    """Nothing at all identifies the order."""
    (row,) = rejections(prepare_order(twclid=None))
    assert (row["column"], row["detail"]) == (None, None)
