"""The transform: orders in, conversions and rejections out. Pure, column by column, one chunk at a time.

Raw e-mail addresses and phone numbers exist in here alone: what is returned has none, and no exception does.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.contract import EVENT_ID
from xcapi_dagster.conversions.columns import check_columns, convert
from xcapi_dagster.conversions.domains import count_mistyped_domains
from xcapi_dagster.conversions.duplicates import NEVER, NONE, Duplicates, Versions, duplicate_rejections
from xcapi_dagster.conversions.hashing import to_fingerprints, to_keys, to_sha256
from xcapi_dagster.conversions.normalize import normalize
from xcapi_dagster.conversions.rejections import to_rejections, told_anew
from xcapi_dagster.conversions.rules import Rules
from xcapi_dagster.conversions.schema import CONVERSIONS, Conversions
from xcapi_dagster.conversions.texts import match_distinct, whole
from xcapi_dagster.conversions.times import to_milliseconds
from xcapi_dagster.conversions.validate import validate

# What is sent.
_NUMBERS = ("conversion_time", "value", "number_items")
_TEXTS = (
    "event_id", "hashed_email", "hashed_phone_number", "ip_address", "currency", "twclid", "user_agent",
    "conversion_id", "description", "contents",
)  # fmt: skip

__all__ = ["Prepared", "Rules", "check_columns", "prepare"]


class Prepared(NamedTuple):
    """A chunk of orders: what may be sent (CONVERSIONS) and what is wrong (REJECTIONS).

    Of those that may be sent, ``mistyped_domains`` have an e-mail address at a domain that is mistyped.
    """

    conversions: pa.Table
    rejections: pa.Table
    mistyped_domains: int


def prepare(
    orders: pa.Table | pa.RecordBatch, first_row: int, rules: Rules, duplicates: Duplicates | None = None
) -> Prepared:
    """The orders of a chunk, ready to be sent or rejected with reasons; whatever they hold, nothing is raised.

    ``first_row`` is the position of the first of them in the partition. With the ``duplicates`` of its earlier chunks,
    older versions of orders within this one are rejected as such. ContractError is a bug of this package.
    """
    rows = pa.array(np.arange(first_row, first_row + orders.num_rows, dtype=np.int64))
    columns = convert(orders, rules.source_timezone)
    normalized = normalize(columns, rules)
    verdict = validate(normalized, rules)
    hashed = _hash_identifiers(normalized, rows)
    rejections = to_rejections(orders, normalized, verdict.broken, rows)
    older = NONE if duplicates is None else duplicates.add(_versions(hashed, normalized))
    is_older = np.zeros(len(rows), np.bool_)
    is_older[older - first_row] = True
    unsent = hashed.take(pa.array(np.flatnonzero(verdict.is_sendable & is_older)))
    _, rejections = told_anew(older, duplicate_rejections, unsent, rejections)
    is_sendable = pa.array(verdict.is_sendable & ~is_older)
    return Prepared(
        conversions=Conversions.prove(hashed.filter(is_sendable)),
        rejections=rejections,
        mistyped_domains=count_mistyped_domains(normalized["email"].filter(is_sendable)),
    )


def _hash_identifiers(orders: pa.Table, rows: pa.Array) -> pa.Table:
    """Normalized orders as CONVERSIONS, sendable or not; a raw identifier goes before one that came hashed."""
    columns = {name: whole(orders[name]) for name in orders.column_names}
    columns |= {
        "row": rows,
        "conversion_time": to_milliseconds(columns["ordered_at"]),
        "hashed_email": pc.coalesce(to_sha256(columns["email"]), columns["hashed_email"]),
        "hashed_phone_number": pc.coalesce(to_sha256(columns["phone"]), columns["hashed_phone_number"]),
    }
    columns["fingerprint"] = to_fingerprints([columns[name] for name in _NUMBERS], [columns[name] for name in _TEXTS])
    return pa.table({name: columns[name] for name in CONVERSIONS.names}, schema=CONVERSIONS)


def _versions(conversions: pa.Table, orders: pa.Table) -> Versions:
    """The versions of orders whose event, conversion id and time are known, whether or not they may be sent.

    An order whose latest version is faulty or must not be sent is not sent in an older one.
    """
    is_event = match_distinct(whole(conversions["event_id"]), f"^{EVENT_ID.pattern}$")
    has_key = pc.and_(conversions["conversion_id"].is_valid(), conversions["conversion_time"].is_valid())
    is_known = pc.and_(is_event, has_key)
    known = conversions.select(["row", "event_id", "conversion_id", "fingerprint"]).filter(is_known)
    times = orders.select(["updated_at", "ordered_at"]).filter(is_known)
    updated_at, ordered_at = (pc.fill_null(column.cast(pa.int64()), NEVER).to_numpy() for column in times.columns)
    return Versions(
        keys=to_keys(whole(known["event_id"]), whole(known["conversion_id"])),
        updated_at=updated_at,
        ordered_at=ordered_at,
        fingerprints=known["fingerprint"].to_numpy(),
        rows=known["row"].to_numpy().astype(np.uint32),
    )
