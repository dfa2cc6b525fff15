"""What the assets show in Dagster: the same numeric keys for every partition, so that Dagster plots them."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa
from upath import UPath

from xcapi_dagster.delivery.database import Stamp
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions.prepare import Prepared
from xcapi_dagster.partitions.upload import Uploaded
from xcapi_dagster.reports.event_tags import Snapshot
from xcapi_dagster.reports.identifiers import IDENTIFIERS
from xcapi_dagster.reports.pages.partition import headline
from xcapi_dagster.reports.pages.reasons import SECTIONS, ReasonView, reason_views
from xcapi_dagster.reports.readiness import readiness

_REASONS_SHOWN = 10
_LEDGER = "ledger"
WITHOUT_TIME = "orders_without_time"
_TAGS_SHOWN = 50


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
        **{f"with_{identifier}": prepared.identifiers.carried(identifier) for identifier in IDENTIFIERS},
        WITHOUT_TIME: without_time,
        "path": dg.MetadataValue.path(str(path)),
    }


def of_uploaded(uploaded: Uploaded, path: UPath) -> Mapping[str, Any]:
    """The counts of a partition, which add up."""
    return {**uploaded.counts.as_dict(), "path": dg.MetadataValue.path(str(path))}


def of_report(uploaded: Uploaded, outputs: Outputs) -> Mapping[str, Any]:
    """The same, and the report's headline, its reasons, match readiness, and the way to its page."""
    summary = uploaded.summary
    found = readiness(summary)
    scores = {"match_readiness": found.by_count, "match_readiness_by_value": found.by_value}
    views = reason_views(summary.reasons, summary.read, set())
    return {
        "headline": dg.MetadataValue.md(headline(summary)),
        "report": dg.MetadataValue.url(outputs.address(outputs.path("rejection_page", summary.partition))),
        "overview": dg.MetadataValue.url(outputs.address(outputs.overview)),
        "reasons": dg.MetadataValue.table(
            [dg.TableRecord(_record(view)) for view in views[:_REASONS_SHOWN]], schema=_REASONS
        ),
        **of_uploaded(uploaded, outputs.path("rejection_report", summary.partition)),
        _LEDGER: f"{uploaded.ledger.ledger_id}:{uploaded.ledger.revision}",
        "degraded": summary.degraded.orders,
        "rejection_rate": round(uploaded.counts.rejection_rate, 4),
        **{name: round(score, 1) for name, score in scores.items() if score is not None},
    }


_REASONS = dg.TableSchema(
    [
        dg.TableColumn("reason", "string"),
        dg.TableColumn("orders", "int", description="An order with several reasons is in each of them."),
        dg.TableColumn("became", "string", description="What became of them: lost, waiting, withheld, …"),
        dg.TableColumn("value at stake", "string", description="By currency; different ones are never added up."),
        dg.TableColumn("how to fix it", "string"),
    ]
)


def _record(view: ReasonView) -> Mapping[str, str | int]:
    return {
        "reason": view.reason.code,
        "orders": view.orders,
        "became": SECTIONS[view.section][0].lower(),
        "value at stake": ", ".join([*view.amounts, *([f"{view.unvalued} of unknown value"] if view.unvalued else [])]),
        "how to fix it": view.reason.fix,
    }


def of_event_tags(snapshot: Snapshot, path: UPath) -> Mapping[str, Any]:
    """How many event tags there are, the first of them, and where all are."""
    alive = [tag for tag in snapshot.tags if not tag.deleted]
    shown = ("id", "website_tag_id", "name", "type", "click_window", "view_through_window", "status")
    records = [
        dg.TableRecord({name: getattr(tag, name) for name in shown} | {"last_tracked": tag.last_seen(snapshot.read_at)})
        for tag in alive[:_TAGS_SHOWN]
    ]
    return {
        "dagster/row_count": len(snapshot.tags),
        "deleted": len(snapshot.tags) - len(alive),
        "tracking": sum(tag.status == "TRACKING" for tag in alive),
        **({"event_tags": dg.MetadataValue.table(records)} if records else {}),
        "path": dg.MetadataValue.path(str(path)),
    }


def ledger_stamp(metadata: Mapping[str, Any]) -> Stamp | None:
    """Which ledger a materialization with this metadata was made with, and how far that had come."""
    told = metadata.get(_LEDGER)
    ledger_id, _, revision = str(told.value if told else "").partition(":")
    return Stamp(ledger_id, int(revision)) if revision.isdecimal() else None
