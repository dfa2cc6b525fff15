"""Every broken rule of every order: the rules are a pandera contract, checked once for a whole chunk."""

from datetime import timedelta
from functools import lru_cache, reduce
from operator import or_
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from xcapi_dagster.contract import CURRENCIES
from xcapi_dagster.conversions.frame_contract import Broken, Contract, Rule, by_arrow
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.conversions.rules import Rules
from xcapi_dagster.conversions.schema import FAULTS, ORDERS, PAIRED_IDENTIFIERS, PRIMARY_IDENTIFIERS, flag_name
from xcapi_dagster.conversions.texts import match_distinct

_CLOCK_TOLERANCE = timedelta(minutes=10)

Rows = npt.NDArray[np.bool_]


class Verdict(NamedTuple):
    """Which orders may be sent, and every rule that some orders break, in the order of the catalogue of reasons.

    A rule's name is its reason code; its column is the warehouse's, or None.
    """

    is_sendable: Rows
    broken: list[Broken]


def validate(orders: pa.Table, rules: Rules) -> Verdict:
    """The verdict on normalized orders, a table of ORDERS."""
    broken = [_of_warehouse(each) for each in _contract(rules).broken(orders)]
    broken.sort(key=lambda each: list(REASONS).index(each.rule))
    is_sendable = np.ones(len(orders), np.bool_)
    for each in broken:
        if REASONS[each.rule].severity != "degraded":
            is_sendable &= ~each.rows
    return Verdict(is_sendable, broken)


@lru_cache(maxsize=8)
def _contract(rules: Rules) -> Contract:
    """What is true of orders without fault; each rule bears the reason code of the orders that break it."""
    event_id = f"^(?:tw-{rules.pixel_id}-)?[0-9a-z]+$"
    latest = pd.Timestamp(rules.now + _CLOCK_TOLERANCE)
    columns: dict[str, dict[str, Rule]] = {
        "order_id": {"missing_order_id": lambda ids: ids.notna()},
        "event_id": {"invalid_event_id": by_arrow(lambda ids: match_distinct(ids, event_id))},
        "ordered_at": {"invalid_time": lambda times: times.notna(), "future_time": lambda times: times <= latest},
        "value": {"negative_value": lambda values: values >= 0},
        "currency": {"invalid_currency": lambda codes: codes.isna() | codes.isin(CURRENCIES)},
        "consent": {
            "consent_denied": lambda answers: answers != "denied",
            "consent_unknown": lambda answers: answers != "unknown",
        },
    }
    columns |= {flag_name(column, code): {code: lambda flags: ~flags} for column, code in FAULTS}
    rows: dict[str, Rule] = {
        "missing_currency": lambda orders: orders["currency"].notna() | ~_has_value(orders),
        "no_identifier": lambda orders: _has_any(orders, PRIMARY_IDENTIFIERS + PAIRED_IDENTIFIERS),
        "needs_second_identifier": lambda orders: (
            _has_any(orders, PRIMARY_IDENTIFIERS)
            | ~_has_any(orders, PAIRED_IDENTIFIERS)
            | (_has_pair(orders) & rules.allow_ip_user_agent_only)
        ),
    }
    return Contract(ORDERS, columns, rows)


def _has_value(orders: pd.DataFrame) -> pd.Series:
    return orders["value"].notna() | orders[flag_name("value", "invalid_value")]


def _has_any(orders: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    return reduce(or_, (orders[column].notna() for column in columns))


def _has_pair(orders: pd.DataFrame) -> pd.Series:
    return orders["ip_address"].notna() & orders["user_agent"].notna()


def _of_warehouse(broken: Broken) -> Broken:
    """The same with the warehouse's column instead of that of ORDERS."""
    if broken.rule == "missing_currency":
        return broken._replace(column="currency")
    return broken._replace(column=broken.column and broken.column.partition(":")[0])
