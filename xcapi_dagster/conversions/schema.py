"""The tables between the stages and in the files: their shapes, and the contracts that their values keep.

The contract of orders, whose rules an order may break, is in `validate`. Whatever breaks one of those here is a bug.
"""

from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.contract import CURRENCIES, EVENT_ID
from xcapi_dagster.conversions.amounts import AMOUNT
from xcapi_dagster.conversions.frame_contract import Contract, has_any, is_in
from xcapi_dagster.conversions.hashing import is_sha256
from xcapi_dagster.conversions.reasons import REASONS, Severity, Stage
from xcapi_dagster.conversions.texts import match_distinct
from xcapi_dagster.conversions.times import MILLISECONDS, UTC_TIME

SCHEMA_VERSION = 1  # of the files: raised when a column goes, is renamed or gets another meaning

_VERSION = {"xcapi.schema_version": str(SCHEMA_VERSION)}

PRIMARY_IDENTIFIERS = ("twclid", "email", "phone", "hashed_email", "hashed_phone_number")
PAIRED_IDENTIFIERS = ("ip_address", "user_agent")  # identify nobody one by one
_IDENTIFIERS = ("twclid", "hashed_email", "hashed_phone_number", *PAIRED_IDENTIFIERS)  # as they are sent


def _texts(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.string()) for name in names]


# Normalized orders, in memory only: their e-mail addresses and phone numbers are not hashed yet.
ORDERS = pa.schema(
    [
        *_texts("order_id", "conversion_id", "event_id"),
        ("ordered_at", UTC_TIME),
        ("updated_at", UTC_TIME),
        *_texts(*PRIMARY_IDENTIFIERS, *PAIRED_IDENTIFIERS),
        ("value", AMOUNT),
        ("currency", pa.string()),
        ("number_items", pa.int64()),
        *_texts("description", "contents", "event_source_url", "consent"),
        ("faults", pa.uint64()),  # those of `faults`
    ]
)

# What is sent, one row per conversion; `row` is the order's position in the partition.
CONVERSIONS = pa.schema(
    [
        ("row", pa.int64()),
        *_texts("order_id", "conversion_id", "event_id"),
        ("conversion_time", MILLISECONDS),
        *_texts(*_IDENTIFIERS),
        ("value", AMOUNT),
        ("currency", pa.string()),
        ("number_items", pa.int64()),
        *_texts("description", "contents", "event_source_url"),
        ("fingerprint", pa.uint64()),
    ],
    metadata=_VERSION,
)

REJECTIONS = pa.schema(
    [
        ("row", pa.int64()),
        ("order_id", pa.string()),
        ("conversion_time", MILLISECONDS),
        *_texts("stage", "severity", "reason_code", "column", "detail", "fix"),
        ("value", AMOUNT),
        *_texts("currency", "event_id", "conversion_id"),
    ],
    metadata=_VERSION,
)

UPLOAD_RESULTS = pa.schema(
    [
        *_texts("order_id", "conversion_id", "event_id"),
        ("conversion_time", MILLISECONDS),
        ("value", AMOUNT),
        *_texts("currency", "state", "reason_code"),
        ("request_id", pa.int64()),
        ("http_status", pa.int64()),
        ("debug_id", pa.string()),
        ("first_sent_at", MILLISECONDS),
        ("settled_at", MILLISECONDS),
    ],
    metadata=_VERSION,
)

REJECTION_REPORT = pa.schema(
    [
        *(field for field in REJECTIONS if field.name not in ("row", "event_id", "conversion_id")),
        ("isolated_by", pa.string()),
        ("request_id", pa.int64()),
        ("debug_id", pa.string()),
    ],
    metadata=_VERSION,
)

_HASH = {"is_sha256": is_sha256}
_CURRENCY = {"is_currency": is_in(CURRENCIES)}
_GIVEN = {"is_given": lambda values: values.is_valid()}

Conversions = Contract(
    CONVERSIONS,
    {
        "conversion_id": _GIVEN,
        "event_id": {"is_event_id": lambda ids: match_distinct(ids, f"^{EVENT_ID.pattern}$")},
        "conversion_time": _GIVEN,
        "hashed_email": _HASH,
        "hashed_phone_number": _HASH,
        "value": {"is_not_negative": lambda values: pc.greater_equal(values, 0)},
        "currency": _CURRENCY,
        "number_items": {"is_positive": lambda numbers: pc.greater(numbers, 0)},
        "fingerprint": _GIVEN,
    },
    {
        "value_has_currency": lambda rows: pc.equal(rows["value"].is_null(), rows["currency"].is_null()),
        "has_identifier": lambda rows: has_any(rows, _IDENTIFIERS),
    },
)
Rejections = Contract(
    REJECTIONS,
    {
        "stage": _GIVEN | {"is_stage": is_in(get_args(Stage))},
        "severity": _GIVEN | {"is_severity": is_in(get_args(Severity))},
        "reason_code": _GIVEN | {"is_reason": is_in(REASONS)},
        "fix": _GIVEN,
    },
)
