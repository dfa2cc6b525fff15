"""This side: the warehouse and its orders, the ledger, the files, the limits."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
from sqlalchemy.engine import make_url

from xcapi_dagster import resources
from xcapi_dagster.contract import EVENTS_PER_WINDOW, REQUESTS_PER_MINUTE
from xcapi_dagster.conversions.columns import COLUMNS
from xcapi_dagster.conversions.prepare import Prepared, prepare
from xcapi_dagster.conversions.schema import PAIRED_IDENTIFIERS, PRIMARY_IDENTIFIERS
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.engines import check_ledger_url, may_exist
from xcapi_dagster.delivery.safeguards import admit, admit_none
from xcapi_dagster.doctor.finding import Finding, Status, guarded, not_checked
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.machines import check_ledger_is_shared, dagster_home, opening_instance
from xcapi_dagster.outputs import check_folder, check_output_url
from xcapi_dagster.reports.identifiers import IDENTIFIERS, STRONG_IDENTIFIERS
from xcapi_dagster.settings import Settings
from xcapi_dagster.warehouse import Warehouse

CHECKS = ("warehouse", "columns", "time zone", "orders", "identifiers", "ledger", "run launcher", "output", "limits")
_OF_WAREHOUSE = CHECKS[1:5]
_SAMPLE = 5_000  # orders
_LISTED = 30  # names of columns
_FORMS = 3  # of times that cannot be read
_ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
_FEW_IDENTIFIED = 0.5  # of the orders
_MANY_UNSENT = 0.2  # of the orders, rejected or without consent: a mistake in the query rather than in single orders


def examine(settings: Settings) -> Iterator[Finding]:
    """A finding for each of CHECKS."""
    yield from _warehouse(settings)
    yield from guarded("ledger", "correct XCAPI_LEDGER_URL, or what it names", lambda: _ledger(settings))
    yield from guarded("run launcher", "", lambda: _run_launcher(settings))
    yield from guarded("output", "give this user the right to write there", lambda: _output(settings))
    yield _limits(settings)


def _warehouse(settings: Settings) -> Iterator[Finding]:
    found = list(guarded("warehouse", "correct XCAPI_WAREHOUSE_URL or XCAPI_ORDERS", lambda: _reachable(settings)))
    yield from found
    if found[-1].status == "broken":
        yield from not_checked(_OF_WAREHOUSE, "the warehouse comes first")
        return
    warehouse = resources.warehouse_unchecked(settings)
    columns = list(
        guarded("columns", "change the query, or the setting that is named", lambda: _columns(settings, warehouse))
    )
    yield from columns
    if columns[-1].status == "broken":
        yield from not_checked(_OF_WAREHOUSE[1:], "the columns come first")
        return
    yield _time_zone(settings, warehouse.describe())
    yield from guarded("orders", "run the query in the warehouse", lambda: _orders(settings, warehouse))
    yield from guarded("identifiers", "run the query in the warehouse", lambda: _identifiers(settings, warehouse))


def _reachable(settings: Settings) -> Iterator[Finding]:
    schema = resources.warehouse_unchecked(settings).describe()
    yield Finding("warehouse", "ok", f"{settings.orders} can be read, with {len(schema)} known columns")


def _columns(settings: Settings, warehouse: Warehouse) -> Iterator[Finding]:
    schema, unread = warehouse.describe(), _listed("not read", warehouse.unread())
    try:
        resources.check_orders(settings, schema)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}{unread}") from None
    told = ", ".join(f"{field.name} {_kind(field.type)}" for field in schema)
    if not {*PRIMARY_IDENTIFIERS, "landing_url", *PAIRED_IDENTIFIERS} & {*schema.names}:
        mend = "give at least one of email, phone, twclid and landing_url"
        yield Finding("columns", "broken", f"none of them tells X whose order it is: {told}{unread}", mend)
        return
    absent = [name for name in COLUMNS if name not in schema.names]
    yield Finding("columns", "ok", told + _listed("not given", absent) + unread)


def _listed(what: str, names: Sequence[str]) -> str:
    """What is so, if anything is; of a table with hundreds of columns the first."""
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"; {what}: {', '.join(names[:_LISTED])}{more}"


def _kind(kind: pa.DataType) -> str:
    return "list" if pa.types.is_nested(kind) else "json" if isinstance(kind, pa.JsonType) else str(kind)


def _time_zone(settings: Settings, schema: pa.Schema) -> Finding:
    kind = schema.field("ordered_at").type
    has_zone = pa.types.is_timestamp(kind) and kind.tz is not None
    read = "has a zone of its own" if has_zone else f"without a zone is in {settings.source_timezone}"
    if settings.start_date > datetime.now(ZoneInfo(settings.timezone)).date():
        told = f"the first partition is {settings.start_date}, which is to come: until then nothing is sent"
        return Finding("time zone", "warning", told, "set XCAPI_START_DATE to the first day to send")
    return Finding("time zone", "ok", f"partitions are in {settings.timezone}; ordered_at {read}")


def _orders(settings: Settings, warehouse: Warehouse) -> Iterator[Finding]:
    today = _midnight(settings, datetime.now(UTC))
    yesterday = _midnight(settings, today - timedelta(hours=1))
    counts = [warehouse.count(yesterday, today), warehouse.count(today, datetime.now(UTC) + timedelta(days=1))]
    told = f"{counts[0]:,} yesterday, {counts[1]:,} today"
    if without_time := warehouse.count_without_time():
        mend = "give every order a time, as a timestamp or as ISO 8601 text: those without belong to no partition"
        status: Status = "warning" if any(counts) or warehouse.count(*_ALWAYS) else "broken"
        told += f"; {without_time:,} have no ordered_at that can be read"
        if forms := warehouse.forms_without_time(_FORMS):
            told += f": it looks like {', '.join(forms)}"
        yield Finding("orders", status, told, mend)
    elif not any(counts) and not settings.demo:
        mend = "look at ordered_at, XCAPI_SOURCE_TIMEZONE and whether the warehouse gets new orders"
        yield Finding("orders", "warning", f"{told}: there is nothing to send", mend)
    else:
        yield Finding("orders", "ok", told)


def _identifiers(settings: Settings, warehouse: Warehouse) -> Iterator[Finding]:
    prepared, read = _sample(settings, warehouse)
    if not read:
        yield Finding("identifiers", "not checked", "there are no orders of the last weeks to look at")
        return
    ready = len(prepared.conversions)
    carried = {name: 1 - prepared.conversions[name].null_count / max(ready, 1) for name in IDENTIFIERS}
    told = f"of {read:,} orders {ready / read:.0%} can be sent"
    told += ": " + ", ".join(f"{name} on {part:.0%}" for name, part in carried.items() if part) if ready else ""
    blocking = prepared.rejections.filter(pa.compute.not_equal(prepared.rejections["severity"], "degraded"))
    reasons = Counter(blocking["reason_code"].to_pylist()).most_common(3)
    told += f"; {', '.join(f'{count:,} {code}' for code, count in reasons)}" if reasons else ""
    if 1 - ready / read > _MANY_UNSENT:
        mend = f"run `xcapi explain-error {reasons[0][0]}`: more than a fifth of the orders would not be sent"
        yield Finding("identifiers", "warning", told, mend)
    elif max(carried[name] for name in STRONG_IDENTIFIERS) < _FEW_IDENTIFIED:
        yield Finding("identifiers", "warning", told, "give more of email, phone and twclid: X matches few orders so")
    else:
        yield Finding("identifiers", "ok", told)


def _sample(settings: Settings, warehouse: Warehouse) -> tuple[Prepared, int]:
    """What the transform makes of some of the latest orders, in memory, and of how many."""
    now = datetime.now(UTC)
    rules = resources.rules_of(settings, now)
    for days in (2, 60, 4_000):
        batches = warehouse.read(now - timedelta(days=days), now, _SAMPLE)
        if batch := next(islice(batches, 1), None):
            return prepare(batch, 0, rules), batch.num_rows
    empty = pa.table({"order_id": pa.array([], pa.string()), "ordered_at": pa.array([], pa.timestamp("us", "UTC"))})
    return prepare(empty, 0, rules), 0


def _ledger(settings: Settings) -> Iterator[Finding]:
    check_ledger_url(settings.ledger_url)
    stamps = resources.stamps_of_files(settings)
    kind = settings.ledger_url.partition(":")[0].partition("+")[0]
    if not may_exist(settings.ledger_url):
        admit_none(stamps)
        check_folder(Path(str(make_url(settings.ledger_url).database)).parent, "XCAPI_LEDGER_URL")
        yield Finding("ledger", "ok", f"{kind}, to be made by the first sync")
        return
    with closing(Database(settings.ledger_url)) as database:
        admit(database, resources.destination_of(settings), stamps, remember=False)
    yield Finding("ledger", "ok", f"{kind}, can be written and knows all that the files tell of")


def _run_launcher(settings: Settings) -> Iterator[Finding]:
    home = dagster_home(settings)
    with opening_instance(home):
        instance = dg.DagsterInstance.from_config(str(home)) if (home / "dagster.yaml").exists() else None
    if instance is None:
        yield Finding("run launcher", "ok", "no Dagster instance yet: runs start on this machine")
        return
    with instance:
        check_ledger_is_shared(settings, instance)
        yield Finding("run launcher", "ok", f"{type(instance.run_launcher).__name__} suits the ledger")


def _output(settings: Settings) -> Iterator[Finding]:
    check_folder(settings.home, "XCAPI_HOME")
    check_output_url(settings.output_url)
    yield Finding("output", "ok", "can be written")


def _limits(settings: Settings) -> Finding:
    events, requests = settings.events_per_15_min, settings.requests_per_min
    told = f"{events:,} events in 15 minutes, {requests:,} requests a minute, {settings.senders} at once"
    if events > EVENTS_PER_WINDOW or requests > REQUESTS_PER_MINUTE:
        mend = "X documents two limits; where the small one holds, X answers 429 and runs wait"
        return Finding("limits", "warning", f"{told}: more than the smaller that X documents", mend)
    return Finding("limits", "ok", told)


def _midnight(settings: Settings, time: datetime) -> datetime:
    zone = ZoneInfo(settings.timezone)
    return time.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
