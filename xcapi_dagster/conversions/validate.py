"""Every broken rule of every order: the rules are a pandera contract, checked once for a whole chunk."""

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.contract import CURRENCIES
from xcapi_dagster.conversions import faults
from xcapi_dagster.conversions.frame_contract import Broken, Contract, Rule, has_any, is_in
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.conversions.rules import Rules
from xcapi_dagster.conversions.schema import ORDERS, PAIRED_IDENTIFIERS, PRIMARY_IDENTIFIERS
from xcapi_dagster.conversions.texts import match_distinct, whole
from xcapi_dagster.conversions.times import UTC_TIME

_CLOCK_TOLERANCE = timedelta(minutes=10)
_NO_FAULT = "no_fault"  # the rule that normalizing found nothing; what it did find bears the reason codes

Rows = npt.NDArray[np.bool_]


class Verdict(NamedTuple):
    """Which orders may be sent, and every rule that some orders break, in the order of the catalogue of reasons.

    A rule's name is its reason code; its column is the warehouse's, or None.
    """

    is_sendable: Rows
    broken: list[Broken]


def validate(orders: pa.Table, rules: Rules) -> Verdict:
    """The verdict on normalized orders, a table of ORDERS."""
    broken = [each for rule in _contract(rules).broken(orders) for each in _by_reason(rule, orders)]
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
    latest = pa.scalar(rules.now + _CLOCK_TOLERANCE, UTC_TIME)
    columns: dict[str, dict[str, Rule]] = {
        "order_id": {"missing_order_id": lambda ids: ids.is_valid()},
        "event_id": {"invalid_event_id": lambda ids: match_distinct(ids, event_id)},
        "ordered_at": {
            "invalid_time": lambda times: times.is_valid(),
            "future_time": lambda times: pc.less_equal(times, latest),
        },
        "value": {"negative_value": lambda values: pc.greater_equal(values, 0)},
        "currency": {"invalid_currency": is_in(CURRENCIES)},
        "consent": {
            "consent_denied": lambda answers: pc.not_equal(answers, "denied"),
            "consent_unknown": lambda answers: pc.not_equal(answers, "unknown"),
        },
        "faults": {_NO_FAULT: lambda bits: pc.equal(bits, 0)},
    }
    rows: dict[str, Rule] = {
        "missing_currency": lambda orders: pc.or_(orders["currency"].is_valid(), pc.invert(_has_value(orders))),
        "no_identifier": lambda orders: has_any(orders, PRIMARY_IDENTIFIERS + PAIRED_IDENTIFIERS),
        "needs_second_identifier": lambda orders: _suffice(orders, is_pair_enough=rules.allow_ip_user_agent_only),
    }
    return Contract(ORDERS, columns, rows)


def _has_value(orders: Mapping[str, pa.Array]) -> pa.Array:
    return pc.or_(orders["value"].is_valid(), faults.has(orders["faults"], ("value", "invalid_value")))


def _suffice(orders: Mapping[str, pa.Array], *, is_pair_enough: bool) -> pa.Array:
    """Where no second identifier is missing beside an IP address or a user agent."""
    kept = pc.or_(has_any(orders, PRIMARY_IDENTIFIERS), pc.invert(has_any(orders, PAIRED_IDENTIFIERS)))
    has_pair = pc.and_(orders["ip_address"].is_valid(), orders["user_agent"].is_valid())
    return pc.or_(kept, has_pair) if is_pair_enough else kept


def _by_reason(broken: Broken, orders: pa.Table) -> list[Broken]:
    """A broken rule under its reason code and the warehouse's column; that there is a fault, as what the faults are."""
    if broken.rule == "missing_currency":
        return [broken._replace(column="currency")]
    if broken.rule != _NO_FAULT:
        return [broken]
    found = faults.found_in(whole(orders["faults"]))
    return [Broken(code, column, rows) for (column, code), rows in found.items()]
