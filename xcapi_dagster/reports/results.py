"""`upload_results`: one row per conversion, and the requests that carried a partition's conversions."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.schema import UPLOAD_RESULTS
from xcapi_dagster.conversions.times import MILLISECONDS
from xcapi_dagster.delivery.outcomes import Outcomes

REQUESTS = pa.schema(
    [
        ("request_id", pa.int64()),
        ("parent_id", pa.int64()),
        ("state", pa.string()),
        ("conversions", pa.int64()),
        ("http_status", pa.int64()),
        ("debug_id", pa.string()),
        ("first_sent_at", MILLISECONDS),
        ("claimed_at", MILLISECONDS),
        ("settled_at", MILLISECONDS),
        ("message", pa.string()),
        ("decided_by", pa.string()),
    ]
)


def upload_results(conversions: pa.Table, outcomes: Outcomes) -> pa.Table:
    """What became of ``conversions``, of which ``outcomes`` has an entry each, in the same order."""
    known = {
        "state": pa.array(outcomes.state, pa.string()),
        "reason_code": pa.array(outcomes.reason_code, pa.string()),
        "request_id": outcomes.request_id,
        "http_status": outcomes.http_status,
        "debug_id": outcomes.debug_id,
        "first_sent_at": _milliseconds(outcomes.first_sent_at),
        "settled_at": _milliseconds(outcomes.settled_at),
    }
    columns = [known[field.name] if field.name in known else conversions[field.name] for field in UPLOAD_RESULTS]
    return pa.table(columns, schema=UPLOAD_RESULTS)


def requests_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """The ledger's requests as the file beside `upload_results`; times of ``rows`` in seconds since 1970."""
    names = {"request_id": "id", "conversions": "size"}
    values = {name: [row[names.get(name, name)] for row in rows] for name in REQUESTS.names}
    columns = [
        _milliseconds(pa.array(values[field.name], pa.float64()))
        if field.name.endswith("_at")
        else pa.array(values[field.name], field.type)
        for field in REQUESTS
    ]
    return pa.table(columns, schema=REQUESTS)


def counts_of(results: pa.Table, outcomes: Outcomes) -> dict[str, int]:
    """How many conversions are in each state; `accepted` before this run is `already_accepted`."""
    counted = {entry["values"]: entry["counts"] for entry in pc.value_counts(results["state"]).to_pylist()}
    already = int(((outcomes.state == "accepted") & ~outcomes.by_this_run).sum())
    counted["accepted"] = counted.get("accepted", 0) - already
    return {state: count for state, count in (counted | {"already_accepted": already}).items() if count}


def _milliseconds(seconds: pa.Array) -> pa.Array:
    return pc.round(pc.multiply(seconds, 1000.0), round_mode="half_to_even").cast(pa.int64()).cast(MILLISECONDS)
