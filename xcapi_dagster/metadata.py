"""What the assets show in Dagster: the same numeric keys for every partition, so that Dagster plots them."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa
from upath import UPath

from xcapi_dagster.delivery.database import Stamp
from xcapi_dagster.partitions.prepare import Prepared
from xcapi_dagster.partitions.upload import Uploaded

_REASONS_SHOWN = 10
_LEDGER = "ledger"
WITHOUT_TIME = "orders_without_time"


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """An Arrow schema as Dagster shows it."""
    return dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in schema])


def of_prepared(prepared: Prepared, without_time: int, path: UPath) -> Mapping[str, Any]:
    """Counts and identifier coverage of a partition's conversions, and where they are.

    ``without_time`` are the orders that belong to no partition.
    """
    return {
        "read": prepared.read,
        "invalid": prepared.invalid,
        "suppressed": prepared.suppressed,
        "duplicate": prepared.duplicate,
        "dagster/partition_row_count": prepared.ready,
        **{f"with_{identifier}": count for identifier, count in prepared.with_identifier.items()},
        WITHOUT_TIME: without_time,
        "path": dg.MetadataValue.path(str(path)),
    }


def of_uploaded(uploaded: Uploaded, path: UPath) -> Mapping[str, Any]:
    """The counts of a partition, which add up, and its most frequent reasons."""
    rows = [
        f"| {count} | {severity} | `{code}` |"
        for (severity, code), count in uploaded.reasons.most_common(_REASONS_SHOWN)
    ]
    table = "\n".join(["| orders | severity | reason |", "| ---: | --- | --- |", *rows]) if rows else "No rejections."
    return {
        **uploaded.counts.as_dict(),
        "rejections": dg.MetadataValue.md(table),
        _LEDGER: f"{uploaded.ledger.ledger_id}:{uploaded.ledger.revision}",
        "path": dg.MetadataValue.path(str(path)),
    }


def ledger_stamp(metadata: Mapping[str, Any]) -> Stamp | None:
    """Which ledger a materialization with this metadata was made with, and how far that had come."""
    told = metadata.get(_LEDGER)
    ledger_id, _, revision = str(told.value if told else "").partition(":")
    return Stamp(ledger_id, int(revision)) if revision.isdecimal() else None
