"""From settings to what does the work: the warehouse, the API's client, the ledger, the files.

Nothing is connected, created or sent before it is used. Everything here raises ConfigurationError, in one line that
names the setting, when a setting names something that cannot be used.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import pyarrow as pa

from xcapi_dagster import demo
from xcapi_dagster.ads_api.account import AdsAccount
from xcapi_dagster.ads_api.address import check_api_url, scope_host
from xcapi_dagster.ads_api.auth import OAuth1, PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.ads_api.connection import Connection
from xcapi_dagster.ads_api.event_tags import EventTags
from xcapi_dagster.contract import short_event_id
from xcapi_dagster.conversions.columns import check_columns, check_zone
from xcapi_dagster.conversions.prepare import Rules
from xcapi_dagster.delivery.database import Database, Stamp
from xcapi_dagster.delivery.deliver import Terms
from xcapi_dagster.delivery.engines import check_ledger_url, may_exist
from xcapi_dagster.delivery.forgotten import Forgotten
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.safeguards import Destination, admit, admit_none
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.delivery.view import LedgerView
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.outputs import Outputs, check_folder, check_output_url
from xcapi_dagster.partitions import Partition
from xcapi_dagster.partitions.purge import Keep
from xcapi_dagster.partitions.stamp import read_stamp
from xcapi_dagster.settings import DEMO_OAUTH, OAUTH_FIELDS, AccountSettings, Settings, missing_oauth
from xcapi_dagster.stores import path_of
from xcapi_dagster.warehouse import Warehouse, open_warehouse

PATIENCE_WITH_QUESTIONS = (10.0, 30.0)  # seconds, to connect and for a whole answer
_HISTORY_AFTER = timedelta(days=4)  # a partition that ended longer ago is history: the look-back covers the others
_HISTORY_SHARE = 0.8  # of a window, so that today's orders never wait for history


def warehouse_of(settings: Settings) -> Warehouse:
    """The orders, after a check that they can be read and have the columns they need."""
    warehouse = warehouse_unchecked(settings)
    check_orders(settings, warehouse.describe())
    return warehouse


def warehouse_unchecked(settings: Settings) -> Warehouse:
    """The orders, whatever columns they have."""
    if settings.demo:
        demo.build_warehouse(settings)
    return open_warehouse(settings.warehouse_url, settings.orders, settings.source_timezone)


def check_orders(settings: Settings, columns: pa.Schema) -> None:
    """Raise ConfigurationError unless orders with these columns can be prepared."""
    check_columns(columns, unknown_consent_is_set=settings.unknown_consent is not None)
    check_zone(columns, settings.source_timezone)


def outputs_of(settings: Settings) -> Outputs:
    """The files of this instance."""
    return Outputs(path_of(settings.output_url, "XCAPI_OUTPUT_URL"), settings.name, settings.reports_url)


def rules_of(settings: Settings, now: datetime) -> Rules:
    """What decides the transform, at the time ``now``."""
    return Rules(
        event_id=settings.event_id,
        pixel_id=settings.pixel_id,
        default_country=settings.default_country,
        default_currency=settings.default_currency,
        source_timezone=settings.source_timezone,
        unknown_consent=settings.unknown_consent or "suppress",
        allow_ip_user_agent_only=settings.allow_ip_user_agent_only,
        send_event_source_url=settings.send_event_source_url,
        now=now,
    )


def keep_of(settings: Settings) -> Keep:
    """How long files and details are kept."""
    days = (settings.keep_conversions_days, settings.keep_reports_days, settings.keep_details_days)
    return Keep(*[timedelta(days=each) if each else None for each in days])


def terms_of(settings: Settings, *, is_history: bool) -> Terms:
    """How a run may send."""
    return Terms(
        policy=Policy(on_unknown=settings.on_unknown, pixel_also_fires=settings.pixel_also_fires),
        default_event_id=settings.event_id,
        senders=settings.senders,
        share=_HISTORY_SHARE if is_history else 1.0,
    )


def is_history(partitions: Sequence[Partition], now: datetime) -> bool:
    """Whether a run over ``partitions`` would send history at the time ``now``."""
    return partitions[-1].end < now - _HISTORY_AFTER


@contextmanager
def api_client_of(settings: Settings) -> Iterator[AdsApiClient]:
    """A client of the Ads API; in the demo, of a sandbox that runs as long as the block."""
    with api_url_of(settings) as url, closing(_client(settings, url)) as client:
        yield client


@contextmanager
def event_tags_of(settings: AccountSettings) -> Iterator[EventTags]:
    """The event tags of the ads account; in the demo, of its sandbox."""
    with ads_account_of(settings) as account:
        yield EventTags(account)


@contextmanager
def ads_account_of(settings: AccountSettings) -> Iterator[AdsAccount]:
    """The ads account; in the demo, its sandbox's. Needs OAuth 1.0a: a pixel token only sends."""
    credentials = oauth_of(settings)
    if credentials is None:
        raise ConfigurationError("; ".join(missing_oauth(dict(settings))))
    with (
        api_url_of(settings) as url,
        closing(Connection(url, credentials, timeout=PATIENCE_WITH_QUESTIONS)) as connection,
    ):
        yield AdsAccount(connection, settings.api_version, settings.account_id)


@contextmanager
def ledger_of(settings: Settings, run_id: str, stamps: Iterable[Stamp] = ()) -> Iterator[Ledger]:
    """The ledger of this instance's pixel, entered for one run, after it was found to know all that was sent before.

    ``stamps`` are what materializations say of it, beside what the files do. Raises LedgerError and
    ConfigurationError as `safeguards.admit` does.
    """
    with closing(Database(settings.ledger_url)) as database:
        admit(database, destination_of(settings), (*stamps_of_files(settings), *stamps))
        with _ledger(settings, database, run_id) as ledger:
            yield ledger


@contextmanager
def operators_ledger_of(settings: Settings) -> Iterator[Ledger]:
    """The ledger of this instance's pixel, entered, for an operator, who may look at one that must not send."""
    with closing(Database(settings.ledger_url)) as database, _ledger(settings, database, run_id="operator") as ledger:
        yield ledger


def ledger_view_of(settings: Settings) -> LedgerView:
    """What the ledger knows of this instance's pixel now. Raises what `ledger_of` does.

    Nothing is claimed, and no ledger is made where there is none; one of an earlier version is copied and brought up to
    date, as whenever one is opened.
    """
    destination, stamps = destination_of(settings), stamps_of_files(settings)
    if not may_exist(settings.ledger_url):
        admit_none(stamps)
        return LedgerView(destination.scope)
    with closing(Database(settings.ledger_url)) as database:
        admit(database, destination, stamps, remember=False)
        return LedgerView.of(database, destination.scope)


def forgotten_of(settings: Settings) -> Forgotten | None:
    """The orders that are not to be kept or sent, None where there is no ledger that could tell. Raises LedgerError."""
    if not may_exist(settings.ledger_url):
        return None
    with closing(Database(settings.ledger_url)) as database:
        return Forgotten.of(database, destination_of(settings).scope, settings.name)


def limits_of(settings: Settings) -> Limits:
    """The ads account's limits."""
    return Limits(events=settings.events_per_15_min, requests=settings.requests_per_min)


def destination_of(settings: Settings) -> Destination:
    """Where the instance sends."""
    host = scope_host(settings.api_url or "http://127.0.0.1")
    event_id = short_event_id(settings.event_id)
    return Destination(host=host, name=settings.name, scope=f"{host}|{settings.pixel_id}", event_id=event_id)


def stamps_of_files(settings: Settings) -> list[Stamp]:
    """What the instance's files say of the ledger that wrote them."""
    stamp = read_stamp(outputs_of(settings))
    return [stamp] if stamp else []


def _ledger(settings: Settings, database: Database, run_id: str) -> Ledger:
    destination = destination_of(settings)
    return Ledger(
        database,
        account=f"{destination.host}|{settings.account_id}",
        scope=destination.scope,
        run_id=run_id,
        limits=limits_of(settings),
        instance=settings.name,
    )


def check_ledger(settings: Settings) -> None:
    """Raises ConfigurationError unless there is a ledger: looking at one must not make it."""
    check_ledger_url(settings.ledger_url)
    if not may_exist(settings.ledger_url):
        raise ConfigurationError("there is no ledger yet at XCAPI_LEDGER_URL: nothing was ever sent with it")


def check(settings: Settings) -> None:
    """Find what is wrong before anything is written: the API's address, the warehouse, its columns, the ledger.

    Raises ConfigurationError, and LedgerError for a ledger that must not send. In the demo, whose warehouse is built
    on first use, there is no warehouse to check.
    """
    check_folder(settings.home, "XCAPI_HOME")
    check_output_url(settings.output_url)
    check_ledger_url(settings.ledger_url)
    if settings.api_url is not None:
        check_api_url(settings.api_url)
    if not settings.demo:
        warehouse_of(settings)
    check_ledger_knows(settings, stamps_of_files(settings))


def check_ledger_knows(settings: Settings, stamps: Sequence[Stamp]) -> None:
    """Raise LedgerError for a ledger that knows less than ``stamps`` do, also where there is none yet.

    ConfigurationError where the instance used to send elsewhere.
    """
    if may_exist(settings.ledger_url):
        with closing(Database(settings.ledger_url)) as database:
            admit(database, destination_of(settings), stamps, remember=False)
    else:
        admit_none(stamps)


def _client(settings: Settings, url: str) -> AdsApiClient:
    return AdsApiClient(
        api_url=url,
        api_version=settings.api_version,
        pixel_id=settings.pixel_id,
        account_id=settings.account_id,
        credentials=_credentials(settings),
    )


@contextmanager
def api_url_of(settings: AccountSettings) -> Iterator[str]:
    """The API's address; in the demo, that of a sandbox that runs as long as the block."""
    if settings.api_url is not None:
        yield settings.api_url
        return
    assert isinstance(settings, Settings)  # noqa: S101 - the demo's are
    with demo.running_sandbox(settings) as url:
        yield url


def _credentials(settings: Settings) -> OAuth1 | PixelToken:
    if not settings.demo and (oauth := oauth_of(settings)):
        return oauth
    if settings.pixel_token is None:
        raise ConfigurationError("credentials are missing: set X_ADS_PIXEL_TOKEN or the four OAuth variables")
    return PixelToken(settings.pixel_token.get_secret_value())


def oauth_of(settings: AccountSettings) -> OAuth1 | None:
    """The four values of OAuth 1.0a, None unless all are there."""
    of_demo = DEMO_OAUTH if settings.demo else {}
    found = [getattr(settings, field) or of_demo.get(field) for field in OAUTH_FIELDS]
    values = [value.get_secret_value() for value in found if value is not None]
    return OAuth1(*values) if len(values) == len(OAUTH_FIELDS) else None
