"""The asset of the ads account's web event tags, in no partition: what X says about them, and what that means.

Only it asks X questions, and no other asset needs it. So it never fails because X cannot be asked: a check says so,
as a warning, and a run that it shares with partitions ends as well as they do.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from xcapi_dagster import resources
from xcapi_dagster.ads_api.tag_plan import WantedTag, wanted_tags
from xcapi_dagster.boundary import sanitized
from xcapi_dagster.contract import short_event_id
from xcapi_dagster.errors import AdsApiError, ConfigurationError
from xcapi_dagster.metadata import column_schema, of_event_tags
from xcapi_dagster.reports.ages import oldest_when_sent
from xcapi_dagster.reports.event_tags import EVENT_TAGS, CheckName, Snapshot, Verdict, verdicts
from xcapi_dagster.settings import Settings

INSTANCE_TAG = "xcapi/instance"
WANTED = "xcapi/event_tags"  # metadata of the asset: its account and the tags that should exist there
READABLE = "event_tags_readable"
SNAPSHOT = "latest"  # in the place of a partition's key

_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
CHECKS: Mapping[CheckName, tuple[dg.AssetCheckSeverity, str]] = {
    "event_ids_in_account": (
        _ERROR,
        "Every configured event id is an event tag of the ads account, as its id or as its website_tag_id.",
    ),
    "event_ids_not_deleted": (_ERROR, "No event tag that conversions are sent with is deleted."),
    "event_types_as_expected": (_WARN, "Event tags are of the type that event_tags says, or else purchases."),
    "event_tags_tracking": (_WARN, "X has verified the event tags: their status is TRACKING."),
    "click_windows_long_enough": (_WARN, "No order was older than its event's click window when it was sent."),
    "event_tags_as_configured": (_WARN, "The event tags are as event_tags in the component's YAML says."),
}


def build_event_tags_asset(settings: Settings, wanted: Sequence[WantedTag]) -> dg.AssetsDefinition:
    """The asset `<name>/event_tags` with its checks; ``wanted`` are the tags that should exist."""
    key = dg.AssetKey([settings.name, "event_tags"])
    asked_for = {"account_id": settings.account_id, "event_tags": [each.as_entry() for each in wanted]}
    spec = dg.AssetSpec(
        key,
        # whose files say how old orders were: a backfill of all ends with a look at what it sent
        deps=[dg.AssetKey([settings.name, "upload_results"])],
        description="The ads account's web event tags: type, windows, status, and when X last saw each.",
        group_name=settings.name,
        kinds={"parquet"},
        tags={INSTANCE_TAG: settings.name},
        metadata={"dagster/column_schema": column_schema(EVENT_TAGS), WANTED: dg.MetadataValue.json(asked_for)},
    )
    can_be_read = "X lets these credentials read the event tags. It needs OAuth 1.0a; a pixel token can only send."
    check_specs = [
        dg.AssetCheckSpec(READABLE, asset=key, description=can_be_read),
        *(dg.AssetCheckSpec(name, asset=key, description=told) for name, (_, told) in CHECKS.items()),
    ]

    # Of what may be asked for in parts, what is not yielded is no failure: without a snapshot the last one stays, and
    # nothing is judged.
    @dg.multi_asset(name=f"{settings.name}_event_tags", specs=[spec], check_specs=check_specs, can_subset=True)
    def event_tags(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
        with sanitized():
            reason, snapshot = "", None
            try:
                snapshot = _snapshot(settings)
            except (AdsApiError, ConfigurationError) as error:
                reason = str(error)
                context.log.warning("the event tags were not read: %s", reason)
            readable = _result(key, READABLE, _WARN, Verdict(passed=not reason, told=reason or "they were read"))
            told = [] if snapshot is None else list(_told(settings, wanted, snapshot, key))
        for result in (readable, *told):
            if _is_selected(result, context):
                yield result

    return event_tags


def wanted_event_tags(spec: dg.AssetSpec) -> tuple[str, list[WantedTag]]:
    """The ads account of an asset that `build_event_tags_asset` made, and the tags that should exist there."""
    asked_for = spec.metadata[WANTED].value
    return asked_for["account_id"], wanted_tags(asked_for["event_tags"])


def _snapshot(settings: Settings) -> Snapshot:
    with resources.event_tags_of(settings) as event_tags:
        tags = event_tags.find(with_deleted=True).tags
    return Snapshot(settings.account_id, tags, datetime.now(UTC))


def _told(
    settings: Settings, wanted: Sequence[WantedTag], snapshot: Snapshot, key: dg.AssetKey
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    """The snapshot, written down, and the verdicts on it."""
    outputs = resources.outputs_of(settings)
    outputs.write_table("event_tags", SNAPSHOT, snapshot.table())
    yield dg.MaterializeResult(asset_key=key, metadata=of_event_tags(snapshot, outputs.path("event_tags", SNAPSHOT)))
    judged = verdicts(
        snapshot,
        [short_event_id(settings.event_id)],
        wanted,
        lambda window: oldest_when_sent(outputs, snapshot.read_at, beyond=window),
    )
    for name, verdict in judged.items():
        yield _result(key, name, CHECKS[name][0], verdict)


def _result(key: dg.AssetKey, name: str, severity: dg.AssetCheckSeverity, verdict: Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=verdict.passed, asset_key=key, check_name=name, severity=severity, description=verdict.told
    )


def _is_selected(result: dg.MaterializeResult | dg.AssetCheckResult, context: dg.AssetExecutionContext) -> bool:  # type: ignore[type-arg]
    if isinstance(result, dg.MaterializeResult):
        return result.asset_key in context.selected_asset_keys
    checks = {(each.asset_key, each.name) for each in context.selected_asset_check_keys}
    return (result.asset_key, result.check_name) in checks
