"""Deliver purchases from a warehouse to the X Ads Conversion API, and know what became of every order.

To read the code, follow an order: `conversions.prepare` (the transform), `partitions.prepare` and `partitions.upload`
(the two stages), `delivery.deliver` (claim, POST, settle), `reports` (what became of it), `assets` (all of it in
Dagster), `cli`.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from xcapi_dagster.lateness import build_lateness_checks
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
    "build_lateness_checks",
    "build_x_conversions_assets",
    "from_environment",
]

__version__ = version("xcapi-dagster")

# Arrow's allocator, which reads this once, would give memory back 10 ms after its use, just before the next chunk needs
# as much and the system has cleared it. Ten seconds outlast thirty chunks.
os.environ.setdefault("MIMALLOC_PURGE_DELAY", "10000")  # milliseconds

# public name -> its module; the errors' is `errors`
_MODULES: Mapping[str, str] = {
    "Sandbox": "sandbox",
    "Settings": "settings",
    "XConversionsComponent": "component",
    "build_daily_schedule": "schedules",
    "build_lateness_checks": "lateness",
    "build_x_conversions_assets": "assets",
    "from_environment": "settings",
}


def __getattr__(name: str) -> object:
    """A public name, imported when it is asked for: most commands need neither Dagster nor pandas."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
