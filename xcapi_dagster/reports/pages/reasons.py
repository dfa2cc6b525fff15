"""Reasons as the pages list them: what each cost, how to mend it, ranked by value and by count."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from xcapi_dagster.conversions.reasons import REASONS, Reason, reason
from xcapi_dagster.reports.pages.formats import amount, amounts, shortened
from xcapi_dagster.reports.summary import ReasonSummary
from xcapi_dagster.reports.worth import Worth

_SAMPLES = 10

# section -> heading, and what being in it means
SECTIONS: Mapping[str, tuple[str, str]] = {
    "lost": ("Lost", "Not sent, or refused by X. Mended in the warehouse, they are sent by the next run."),
    "waiting": ("Waiting", "Neither accepted nor rejected yet: a later run or somebody has to decide."),
    "late": ("Too late", "Not sent, for X could not tell them from the pixel's copies, which are most likely there."),
    "withheld": (
        "Withheld",
        "Not sent, because nobody is known to have agreed to it, or somebody asked to be forgotten.",
    ),
    "degraded": (
        "Field left out",
        "Without the field at fault, if they are sent; counted whatever became of them, lost and late ones too.",
    ),
    "changed": ("Changed", "X has them as they were when it accepted them, and takes nothing back."),
    "replaced": ("Replaced", "Older versions of orders; the newest one decides."),
}
_OF_CODE = {"duplicate_order": "replaced", "too_late_to_deduplicate": "late", "changed_after_acceptance": "changed"}
_OF_SEVERITY = {"rejected": "lost", "held": "waiting", "suppressed": "withheld", "degraded": "degraded"}

ISOLATED_BY: Mapping[str, str] = {
    "echoed_value": "X’s message repeats the value at fault",
    "local_rule": "it breaks the rule that X names, and the others do not",
    "alone": "it was sent alone and refused",
    "bisection": "X’s refusal followed it when the batch was halved",
    "group": "refused together with others; which of them is at fault is not known",
}


class ReasonView(NamedTuple):
    """A reason with all that a page says of it; ``value`` is in average orders, for ranking alone."""

    reason: Reason
    section: str
    orders: int
    alone: int
    value: float
    amounts: Sequence[str]
    unvalued: int
    columns: Mapping[str, int]
    shapes: Mapping[str, int]
    found: Mapping[str, int]
    at_least: Sequence[str]
    samples: Sequence[tuple[str, str]]
    is_new: bool
    partitions: Sequence[str] = ()


def section_of(code: str) -> str:
    """The section that lists the reason."""
    return _OF_CODE.get(code) or _OF_SEVERITY[REASONS[code].severity]


def reason_views(
    reasons: Iterable[ReasonSummary],
    read: Worth,
    new: set[str],
    rows: pa.Table | None = None,
    partitions: Mapping[str, Sequence[str]] | None = None,
) -> list[ReasonView]:
    """The reasons by section, those that cost most first.

    ``rows`` has the orders to name, ``partitions`` says where each reason is, ``new`` which are new.

    A code that is not in the catalogue, as of a newer version, is left out.
    """
    samples = _samples(rows)
    views = [
        ReasonView(
            reason=reason(each.code),
            section=section_of(each.code),
            orders=each.worth.orders,
            alone=each.alone,
            value=round(each.worth.in_average_orders(read), 6),
            amounts=amounts(each.worth, read),
            unvalued=each.worth.unvalued,
            columns=each.columns,
            shapes=each.shapes,
            found={ISOLATED_BY.get(how, how): count for how, count in each.isolated_by.items()},
            at_least=each.at_least,
            samples=samples.get(each.code, []),
            is_new=each.code in new,
            partitions=(partitions or {}).get(each.code, ()),
        )
        for each in reasons
        if each.code in REASONS
    ]
    return sorted(views, key=_rank)


def _rank(view: ReasonView) -> tuple[int, float, int, str]:
    return list(SECTIONS).index(view.section), -view.value, -view.orders, view.reason.code


def _samples(rows: pa.Table | None) -> dict[str, list[tuple[str, str]]]:
    """Some orders of each reason, with their values; ``rows`` has those worth most first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in [] if rows is None else rows.select(["reason_code", "order_id", "value", "currency"]).to_pylist():
        listed = found.setdefault(row["reason_code"], [])
        if len(listed) < _SAMPLES and row["order_id"] is not None:
            value = "" if row["value"] is None else amount(row["currency"], row["value"])
            listed.append((shortened(row["order_id"]), value))
    return found
