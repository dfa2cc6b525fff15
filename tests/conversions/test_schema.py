"""The shapes of the files, which users build upon, and the contracts of their values."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tests.contracts import RejectionReport, UploadResults
from xcapi_dagster.conversions.frame_contract import Contract
from xcapi_dagster.conversions.schema import (
    CONVERSIONS,
    REJECTION_REPORT,
    REJECTIONS,
    SCHEMA_VERSION,
    UPLOAD_RESULTS,
    Conversions,
    Rejections,
)
from xcapi_dagster.errors import ContractError

TIME = datetime(2026, 11, 2, tzinfo=UTC)
HASH = "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"


def test_upload_results_have_the_documented_columns() -> None:
    """By name and in this order."""
    assert (
        UPLOAD_RESULTS.names
        == (
            "order_id conversion_id event_id conversion_time value currency state reason_code request_id http_status "
            "debug_id first_sent_at settled_at"
        ).split()
    )


def test_the_rejection_report_has_the_documented_columns() -> None:
    """By name and in this order."""
    documented = "order_id conversion_time stage severity reason_code column detail fix value currency"
    assert REJECTION_REPORT.names == [*documented.split(), "isolated_by", "request_id", "debug_id"]


def test_conversions_hold_no_raw_identifier() -> None:
    """Of e-mail addresses and phones the hashes alone."""
    assert {"email", "phone", "landing_url"}.isdisjoint(CONVERSIONS.names)
    assert REJECTIONS.names == ["row", *REJECTION_REPORT.names[:10], "event_id", "conversion_id"]


def test_every_file_carries_the_version() -> None:
    """In its metadata, and times in milliseconds of UTC, and money as decimals."""
    for schema in (CONVERSIONS, REJECTIONS, UPLOAD_RESULTS, REJECTION_REPORT):
        assert schema.metadata == {b"xcapi.schema_version": str(SCHEMA_VERSION).encode()}
        assert schema.field("conversion_time").type == pa.timestamp("ms", "UTC")
        assert schema.field("value").type == pa.decimal128(38, 6)


CONVERSION = {
    "row": 0,
    "conversion_id": "1",
    "event_id": "o87ne",
    "conversion_time": TIME,
    "hashed_email": HASH,
    "value": Decimal(1),
    "currency": "USD",
    "number_items": 1,
    "fingerprint": 1,
}
REJECTION = {"row": 0, "stage": "validate", "severity": "rejected", "reason_code": "invalid_time", "fix": "Mend it."}
RESULT = {"conversion_id": "1", "event_id": "o87ne", "conversion_time": TIME, "state": "accepted"}


@pytest.mark.parametrize(
    ("contract", "schema", "row", "wrong"),
    [
        (Conversions, CONVERSIONS, CONVERSION, {"conversion_id": None}),
        (Conversions, CONVERSIONS, CONVERSION, {"event_id": "O87NE"}),
        (Conversions, CONVERSIONS, CONVERSION, {"conversion_time": None}),
        (Conversions, CONVERSIONS, CONVERSION, {"hashed_email": "marie@example.com"}),
        (Conversions, CONVERSIONS, CONVERSION, {"hashed_phone_number": HASH.upper()}),
        (Conversions, CONVERSIONS, CONVERSION, {"value": Decimal(-1)}),
        (Conversions, CONVERSIONS, CONVERSION, {"value": None}),
        (Conversions, CONVERSIONS, CONVERSION, {"currency": None}),
        (Conversions, CONVERSIONS, CONVERSION, {"currency": "usd"}),
        (Conversions, CONVERSIONS, CONVERSION, {"number_items": 0}),
        (Conversions, CONVERSIONS, CONVERSION, {"hashed_email": None}),
        (Conversions, CONVERSIONS, CONVERSION, {"fingerprint": None}),
        (Rejections, REJECTIONS, REJECTION, {"reason_code": "made_up"}),
        (Rejections, REJECTIONS, REJECTION, {"stage": "somewhere"}),
        (Rejections, REJECTIONS, REJECTION, {"severity": "bad"}),
        (Rejections, REJECTIONS, REJECTION, {"fix": None}),
        (RejectionReport, REJECTION_REPORT, REJECTION, {"reason_code": "made_up"}),
        (UploadResults, UPLOAD_RESULTS, RESULT, {"state": "lost"}),
        (UploadResults, UPLOAD_RESULTS, RESULT, {"conversion_id": None}),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) and len(given) == 1 else "",
)
def test_what_the_contracts_forbid(
    contract: Contract, schema: pa.Schema, row: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """A row that keeps the contract passes; with one wrong value it does not, and the value is not told."""
    complete = dict.fromkeys(schema.names) | {name: row[name] for name in row if name in schema.names}
    contract.prove(pa.Table.from_pylist([complete], schema=schema))
    with pytest.raises(ContractError) as raised:
        contract.prove(pa.Table.from_pylist([complete | wrong], schema=schema))
    assert "marie@example.com" not in str(raised.value)
