"""From settings to what does the work: the warehouse, the API's client, the ledger, the files.

Nothing is connected, created or sent before it is used. Everything here raises ConfigurationError, in one line that
names the setting, when a setting names something that cannot be used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from xcapi_dagster import demo
from xcapi_dagster.ads_api.address import check_api_url, scope_host
from xcapi_dagster.ads_api.auth import OAuth1, PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.conversions.prepare import Rules, check_columns
from xcapi_dagster.delivery.database import Database, check_ledger_url
from xcapi_dagster.delivery.deliver import Terms
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.outputs import Outputs, check_folder, check_output_url
from xcapi_dagster.settings import Settings
from xcapi_dagster.stores import path_of
from xcapi_dagster.warehouse import Warehouse, open_warehouse

_HISTORY_SHARE = 0.8  # of a window, so that today's orders never wait for history


def warehouse_of(settings: Settings) -> Warehouse:
    """The orders, after a check that they can be read and have the columns they need."""
    if settings.demo:
        demo.build_warehouse(settings)
    warehouse = open_warehouse(settings.warehouse_url, settings.orders, settings.source_timezone)
    check_columns(warehouse.describe(), unknown_consent_is_set=settings.unknown_consent is not None)
    return warehouse


def outputs_of(settings: Settings) -> Outputs:
    """The files of this instance."""
    return Outputs(path_of(settings.output_url, "XCAPI_OUTPUT_URL"), settings.name)


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
        now=now,
    )


def terms_of(settings: Settings, *, is_history: bool) -> Terms:
    """How a run may send."""
    return Terms(
        policy=Policy(on_unknown=settings.on_unknown, pixel_also_fires=settings.pixel_also_fires),
        default_event_id=settings.event_id,
        senders=settings.senders,
        share=_HISTORY_SHARE if is_history else 1.0,
    )


@contextmanager
def api_client_of(settings: Settings) -> Iterator[AdsApiClient]:
    """A client of the Ads API; in the demo, of a sandbox that runs as long as the block."""
    if settings.api_url is not None:
        yield _client(settings, settings.api_url)
        return
    with demo.running_sandbox(settings) as url:
        yield _client(settings, url)


def ledger_of(settings: Settings, run_id: str) -> Ledger:
    """The ledger of this instance's pixel, for one run."""
    host = scope_host(settings.api_url or "http://127.0.0.1")
    return Ledger(
        Database(settings.ledger_url),
        account=f"{host}|{settings.account_id}",
        scope=f"{host}|{settings.pixel_id}",
        run_id=run_id,
        limits=Limits(events=settings.events_per_15_min, requests=settings.requests_per_min),
    )


def check(settings: Settings) -> None:
    """Find what is wrong before anything is written: the API's address, the warehouse, its columns.

    Raises ConfigurationError. In the demo, whose warehouse is built on first use, there is nothing to check.
    """
    check_folder(settings.home, "XCAPI_HOME")
    check_output_url(settings.output_url)
    check_ledger_url(settings.ledger_url)
    if settings.api_url is not None:
        check_api_url(settings.api_url)
    if not settings.demo:
        warehouse_of(settings)


def _client(settings: Settings, url: str) -> AdsApiClient:
    return AdsApiClient(
        api_url=url,
        api_version=settings.api_version,
        pixel_id=settings.pixel_id,
        account_id=settings.account_id,
        credentials=_credentials(settings),
    )


def _credentials(settings: Settings) -> OAuth1 | PixelToken:
    four = (settings.consumer_key, settings.consumer_secret, settings.access_token, settings.access_token_secret)
    key, secret, token, token_secret = four
    if key and secret and token and token_secret:
        return OAuth1(
            consumer_key=key.get_secret_value(),
            consumer_secret=secret.get_secret_value(),
            access_token=token.get_secret_value(),
            access_token_secret=token_secret.get_secret_value(),
        )
    if settings.pixel_token is None:
        raise ConfigurationError("credentials are missing: set X_ADS_PIXEL_TOKEN or the four OAuth variables")
    return PixelToken(settings.pixel_token.get_secret_value())
