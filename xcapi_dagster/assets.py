"""The assets of one component instance: conversions, and from one step upload results and rejection report."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg

from xcapi_dagster import checks, resources
from xcapi_dagster.ads_api.tag_plan import wanted_tags
from xcapi_dagster.boundary import sanitized
from xcapi_dagster.conversions.schema import CONVERSIONS, REJECTION_REPORT, UPLOAD_RESULTS
from xcapi_dagster.delivery.database import Stamp
from xcapi_dagster.delivery.deliver import Delivery
from xcapi_dagster.errors import DeliveryHaltedError, XConversionsError
from xcapi_dagster.event_tags import INSTANCE_TAG, build_event_tags_asset
from xcapi_dagster.machines import check_ledger_is_shared
from xcapi_dagster.metadata import column_schema, ledger_stamp, of_prepared, of_report, of_uploaded
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.prepare import Prepared, prepare_partition
from xcapi_dagster.partitions.purge import purge, purge_details
from xcapi_dagster.partitions.stamp import write_stamp
from xcapi_dagster.partitions.upload import Uploaded, upload_partition
from xcapi_dagster.reports.history import History
from xcapi_dagster.reports.pages import write_overview, write_page
from xcapi_dagster.reports.summary import Summary
from xcapi_dagster.settings import Settings
from xcapi_dagster.windows import windows_of

ORDERS_GROUP = "warehouse"
# A day's orders are sent the morning after it. Later than this, X's 48 hours for deduplication come near.
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36))


def build_x_conversions_assets(
    settings: Settings,
    partitions_def: dg.TimeWindowPartitionsDefinition | None = None,
    *,
    partitions_per_run: int = 30,
    event_tags: Sequence[Mapping[str, Any]] = (),
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets `<name>/conversions`, `upload_results`, `rejection_report` and `event_tags`, and the orders' spec.

    For projects without `dg`: `dg.Definitions(assets=build_x_conversions_assets(from_environment(os.environ)))`.
    Partitions are daily from the settings' start date, in their time zone, unless ``partitions_def`` is given; a
    backfill gives each run ``partitions_per_run`` of them. ``event_tags`` are the web event tags that should exist,
    each with name, type, click_window, view_through_window, retargeting_enabled and perhaps an id.
    """
    partitions_def = partitions_def or dg.DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(), timezone=settings.timezone
    )
    policy = dg.BackfillPolicy.multi_run(partitions_per_run)
    orders = dg.AssetSpec(
        dg.AssetKey([ORDERS_GROUP, f"{settings.name}_orders"]),
        description="The table or query that the orders come from. Nothing of it is stored.",
        group_name=settings.name,
        kinds={"table"},
    )
    return [
        orders,
        _conversions(settings, partitions_def, policy, orders.key),
        _upload(settings, partitions_def, policy),
        build_event_tags_asset(settings, wanted_tags(event_tags)),
    ]


def settings_key(name: str) -> str:
    """The resource with which the assets of the instance ``name`` carry its settings, for the command line."""
    return f"{name}_settings"


def pool_of(settings: Settings) -> str:
    """The pool of the upload step, one for each ads account."""
    return f"x_ads_{settings.account_id}"


def _conversions(
    settings: Settings,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    policy: dg.BackfillPolicy,
    orders: dg.AssetKey,
) -> dg.AssetsDefinition:
    key = dg.AssetKey([settings.name, "conversions"])

    @dg.asset(
        key=key,
        deps=[orders],
        resource_defs={settings_key(settings.name): dg.ResourceDefinition.hardcoded_resource(settings)},
        partitions_def=partitions_def,
        backfill_policy=policy,
        group_name=settings.name,
        kinds={"pandas", "parquet"},
        tags={INSTANCE_TAG: settings.name},
        description="Orders that X can take, normalized and hashed; the orders that it cannot, with reasons, beside.",
        check_specs=checks.specs_of_conversions(key),
        metadata={"dagster/column_schema": column_schema(CONVERSIONS)},
    )
    def conversions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster reads it
        with sanitized():
            check_ledger_is_shared(settings, context.instance, context.job_def.executor_def.name)
            warehouse, outputs = resources.warehouse_of(settings), resources.outputs_of(settings)
            rules = resources.rules_of(settings, datetime.now(UTC))
            forgotten = partial(resources.forgotten_of, settings)
            done: dict[str, Prepared] = {}
            if without_time := warehouse.count_without_time():
                context.log.warning(
                    "%d orders have no ordered_at that can be read: no partition has them", without_time
                )
            for partition in windows_of(partitions_def, context.partition_keys):
                done[partition.key] = prepared = prepare_partition(partition, warehouse, rules, outputs, forgotten)
                context.log.info("%s: %d orders read, %d ready to send", partition.key, prepared.read, prepared.ready)
                metadata = of_prepared(prepared, without_time, outputs.path("conversions", partition.key))
                context.add_asset_metadata(metadata, asset_key=key, partition_key=partition.key)
            _delete_expired(context, settings, outputs)
            history = History.of(outputs)
        verdicts = [checks.identifier_coverage(key, done), checks.steady_identifier_coverage(key, done, history)]
        return dg.MaterializeResult(asset_key=key, check_results=verdicts)

    return conversions


def _delete_expired(context: dg.AssetExecutionContext, settings: Settings, outputs: Outputs) -> None:
    """Files that have served their time go; that one cannot be deleted is told, and no reason to send nothing."""
    try:
        if purged := purge(outputs, resources.keep_of(settings), datetime.now(UTC)):
            context.log.info("%d files were deleted that had been kept as long as the settings say", purged)
    except XConversionsError as error:
        context.log.warning("%s, though it was kept as long as the settings say", error)


def _upload(
    settings: Settings, partitions_def: dg.TimeWindowPartitionsDefinition, policy: dg.BackfillPolicy
) -> dg.AssetsDefinition:
    results = dg.AssetKey([settings.name, "upload_results"])
    report = dg.AssetKey([settings.name, "rejection_report"])

    @dg.multi_asset(
        name=f"{settings.name}_upload",
        specs=_specs_of_upload(settings, results, report),
        check_specs=checks.specs_of_report(report),
        partitions_def=partitions_def,
        backfill_policy=policy,
        pool=pool_of(settings),
    )
    def upload(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization]:  # type: ignore[type-arg]
        uploaded: dict[str, Uploaded] = {}
        with sanitized():
            check_ledger_is_shared(settings, context.instance, context.job_def.executor_def.name)
            partitions, outputs = windows_of(partitions_def, context.partition_keys), resources.outputs_of(settings)
        try:
            with sanitized():
                history = History.of(outputs)
                read_before = {summary.partition: summary.read.orders for summary in history.all}
                _upload_partitions(context, settings, partitions, history, uploaded)
                for each in _materializations(outputs, uploaded, results, report):
                    context.add_asset_metadata(each.metadata, asset_key=each.asset_key, partition_key=each.partition)
                counts = {key: outcome.counts for key, outcome in uploaded.items()}
                verdicts = [
                    checks.counts_add_up(report, counts),
                    checks.rejection_rate(report, counts),
                    checks.some_consent(report, counts),
                    checks.no_new_reasons(report, list(counts), history),
                    checks.no_missing_orders(report, counts, read_before),
                ]
        except (Exception, dg.DagsterExecutionInterruptedError):  # the latter of a signal
            yield from _materializations(outputs, uploaded, results, report)
            raise
        yield dg.MaterializeResult(asset_key=report, check_results=verdicts)
        if halted := next((outcome.halted for outcome in uploaded.values() if outcome.halted), None):
            told = _materializations(outputs, uploaded, results, report)
            yield from (each for each in told if each.asset_key == results)  # those before it are as they should be
            with sanitized():
                raise DeliveryHaltedError(halted)
        yield dg.MaterializeResult(asset_key=results)

    return upload


def _materializations(
    outputs: Outputs, uploaded: Mapping[str, Uploaded], results: dg.AssetKey, report: dg.AssetKey
) -> Iterator[dg.AssetMaterialization]:
    """What the partitions that were done show, also when the run fails at a later one: a halt leaves a report alone."""
    for key, outcome in uploaded.items():
        yield dg.AssetMaterialization(report, metadata=of_report(outcome, outputs), partition=key)
        if not outcome.halted:
            told = of_uploaded(outcome, outputs.path("upload_results", key))
            yield dg.AssetMaterialization(results, metadata=told, partition=key)


def _specs_of_upload(settings: Settings, results: dg.AssetKey, report: dg.AssetKey) -> list[dg.AssetSpec]:
    """What the upload materializes, both from the conversions."""
    shared: dict[str, Any] = {
        "deps": [dg.AssetKey([settings.name, "conversions"])],
        "group_name": settings.name,
        "tags": {INSTANCE_TAG: settings.name},
    }
    return [
        dg.AssetSpec(
            results,
            description="What became of every conversion, and the request that decided it.",
            kinds={"parquet"},
            freshness_policy=FRESHNESS,
            metadata={"dagster/column_schema": column_schema(UPLOAD_RESULTS)},
            **shared,
        ),
        dg.AssetSpec(
            report,
            description="Every order that was not accepted as it was, why, and how to mend it.",
            kinds={"parquet", "csv"},
            metadata={"dagster/column_schema": column_schema(REJECTION_REPORT)},
            **shared,
        ),
    ]


def _upload_partitions(
    context: dg.AssetExecutionContext,
    settings: Settings,
    partitions: Sequence[Partition],
    history: History,
    uploaded: dict[str, Uploaded],
) -> None:
    """Add what became of each partition to ``uploaded`` and to ``history``; write their pages and the overview.

    One that cannot be sent leaves those after it pending, with their files.
    """
    outputs = resources.outputs_of(settings)
    terms = resources.terms_of(settings, is_history=resources.is_history(partitions, datetime.now(UTC)))
    stamps = latest_stamps(context.instance, settings.name)

    def show(summary: Summary) -> None:
        history.add(summary)
        write_page(summary, history, outputs)

    try:
        with (
            resources.ledger_of(settings, context.run.run_id, stamps) as ledger,
            resources.api_client_of(settings) as client,
        ):
            write_stamp(outputs, ledger.stamp())
            purge_details(ledger, resources.keep_of(settings))
            delivery = Delivery(ledger, client, terms)
            for partition in partitions:
                uploaded[partition.key] = outcome = upload_partition(
                    partition.key, ledger, delivery, terms.policy, outputs, context.log.info, show
                )
                show(outcome.summary)
                told = ", ".join(f"{count} {name}" for name, count in outcome.counts.as_dict().items() if count)
                context.log.info("%s: %s", partition.key, told or "no orders")
    except BaseException:
        with suppress(XConversionsError):  # the first error says more
            write_overview(outputs)
        raise
    write_overview(outputs)


def latest_stamps(instance: dg.DagsterInstance, name: str) -> list[Stamp]:
    """What the latest materialization of the instance ``name`` says of the ledger that it was made with."""
    event = instance.get_latest_materialization_event(dg.AssetKey([name, "rejection_report"]))
    told = ledger_stamp(event.asset_materialization.metadata) if event and event.asset_materialization else None
    return [told] if told else []
