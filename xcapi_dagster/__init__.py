"""Deliver purchases from a warehouse to the X Ads Conversion API, and know what became of every order.

To read the code, follow an order: `conversions.prepare` (the transform), `partitions.prepare` and `partitions.upload`
(the two stages), `delivery.deliver` (claim, POST, settle), `reports` (what became of it), `assets` (all of it in
Dagster), `cli`.
"""

from importlib.metadata import version

from xcapi_dagster.assets import build_x_conversions_assets
from xcapi_dagster.component import XConversionsComponent
from xcapi_dagster.errors import (
    AdsApiError,
    ConfigurationError,
    ContractError,
    DeliveryHaltedError,
    LedgerError,
    WarehouseError,
    XConversionsError,
)
from xcapi_dagster.sandbox import Sandbox
from xcapi_dagster.schedules import build_daily_schedule
from xcapi_dagster.settings import Settings, from_environment

__all__ = [
    "AdsApiError",
    "ConfigurationError",
    "ContractError",
    "DeliveryHaltedError",
    "LedgerError",
    "Sandbox",
    "Settings",
    "WarehouseError",
    "XConversionsComponent",
    "XConversionsError",
    "build_daily_schedule",
    "build_x_conversions_assets",
    "from_environment",
]

__version__ = version("xcapi-dagster")
