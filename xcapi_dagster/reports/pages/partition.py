"""The page of one partition: which orders were lost, why, what they are worth, and how to get them back."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
from markupsafe import Markup

from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports.history import new_reasons
from xcapi_dagster.reports.pages import charts
from xcapi_dagster.reports.pages.charts import Mark
from xcapi_dagster.reports.pages.formats import amounts, more_currencies, number, percent
from xcapi_dagster.reports.pages.links import file_link
from xcapi_dagster.reports.pages.match import ages_view, match_view
from xcapi_dagster.reports.pages.reasons import ISOLATED_BY, SECTIONS, reason_views, section_of
from xcapi_dagster.reports.pages.render import render, to_json
from xcapi_dagster.reports.pages.samples import searchable
from xcapi_dagster.reports.pages.trend import trend_chart, trend_rows
from xcapi_dagster.reports.summary import DELIVERED, DOUBTFUL, LATE, LOST, REPLACED, WAITING, WITHHELD, Summary
from xcapi_dagster.reports.worth import Worth

_TREND = 30  # partitions
_AMOUNTS_IN_A_SENTENCE = 3

# state -> its name on the page and its colour, in the order in which orders drop out
_STEPS = {
    "duplicate": ("Replaced by a newer version", "replaced"),
    "suppressed": ("Withheld", "withheld"),
    "invalid": ("Invalid", "lost"),
    "too_late": ("Too late", "late"),
    "rejected": ("Rejected by X", "lost"),
    "pending": ("Not sent yet", "waiting"),
    "unknown": ("Answer never came", "waiting"),
    "held": ("Held for a decision", "waiting"),
    "changed": ("Accepted, changed since", "delivered"),
}


class Step(NamedTuple):
    """One line of what became of the orders."""

    name: str
    kind: str
    orders: int
    share: str
    amounts: Sequence[str]


def partition_page(summary: Summary, earlier: Sequence[Summary], rows: pa.Table, outputs: Outputs) -> str:
    """The page; ``earlier`` are the summaries of the partitions before, ``rows`` the rows of the report to show."""
    read = summary.read
    everything = [*earlier, summary]
    new = new_reasons(everything)
    views = reason_views(summary.reasons, read, new[summary.partition], rows)
    trend = trend_rows(everything[-_TREND:], new)
    return render(
        "partition.html",
        name=outputs.name,
        partition=summary.partition,
        summary=summary,
        headline=headline(summary),
        read=read,
        tiles=tiles(summary, "fate"),
        steps=_steps(summary),
        fate=_fate(summary),
        sections={key: (*told, [view for view in views if view.section == key]) for key, told in SECTIONS.items()},
        trend=trend,
        trend_chart=trend_chart(trend, summary.partition),
        match=match_view(summary, earlier[-_TREND:]),
        ages=ages_view(summary),
        rows_shown=len(rows),
        rows_total=summary.rows,
        search=to_json(searchable(rows) | {"sections": _sections(), "found": dict(ISOLATED_BY)}),
        csv=file_link(summary.partition, ".csv"),
        parquet=file_link(summary.partition, ".parquet"),
    )


class Tile(NamedTuple):
    """One number that stands out, with what it is worth."""

    name: str
    kind: str
    orders: int
    share: str
    amounts: Sequence[str]
    unvalued: int
    link: str


def tiles(summary: Summary, all_orders: str) -> list[Tile]:
    """The numbers at the top of a page; ``all_orders`` is where it tells of orders that no section is about."""
    read = summary.read
    sections = {section_of(reason.code) for reason in summary.reasons if reason.code in REASONS}

    def tile(name: str, kind: str, worth: Worth) -> Tile:
        share, link = percent(worth.orders, read.orders), f"#{kind if kind in sections else all_orders}"
        return Tile(name, kind, worth.orders, share, amounts(worth, read), worth.unvalued, link)

    late = [tile("Too late", "late", summary.of(LATE))]
    return [
        tile("Delivered", "delivered", summary.of(DELIVERED)),
        tile("Lost", "lost", summary.of(LOST)),
        tile("Waiting", "waiting", summary.of(WAITING)),
        *(late if summary.of(LATE).orders else ()),
        tile("Withheld", "withheld", summary.of(WITHHELD)),
        tile("Field left out", "degraded", summary.degraded),
    ]


def headline(summary: Summary) -> str:
    """What became of the orders, in a sentence or two."""
    read, lost = summary.read, summary.of(LOST)
    if not read.orders:
        return "There were no orders to read."
    delivered = summary.of(DELIVERED).orders
    if delivered == read.orders:
        return f"All {number(delivered)} orders reached X." if delivered > 1 else "The one order reached X."
    doubtful = summary.of(DOUBTFUL).orders
    reached = "are known to have reached X" if doubtful else "reached X"
    told = [f"{number(delivered)} of {number(read.orders)} orders {reached}."]
    if lost.orders:
        told.append(f"{_orders(lost.orders)} lost{_worth(lost, read)}.")
    others = [
        (doubtful, "in doubt"),
        (summary.of(["pending"]).orders, "waiting for the next run"),
        (summary.of(LATE).orders, "too late to be told from the pixel's, and left to it"),
        (summary.of(WITHHELD).orders, "withheld, without consent or forgotten"),
        (summary.of(REPLACED).orders, "replaced by a newer version"),
    ]
    told += [f"{_orders(orders)} {what}." for orders, what in others if orders]
    return " ".join(told)


def _orders(count: int) -> str:
    return "One is" if count == 1 else f"{number(count)} are"


def _worth(worth: Worth, read: Worth) -> str:
    """As ", worth USD 12.50 and GBP 3"."""
    told = amounts(worth, read)
    if not told:
        return ""
    shown = told[:_AMOUNTS_IN_A_SENTENCE]
    if more := len(told) - len(shown):
        shown.append(f"amounts in {more_currencies(more)}")
    return f", worth {' and '.join([', '.join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)}"


def _steps(summary: Summary) -> list[Step]:
    """Every state that has orders, from read to accepted."""
    read = summary.read

    def step(name: str, kind: str, worth: Worth) -> Step:
        return Step(name, kind, worth.orders, percent(worth.orders, read.orders), amounts(worth, read))

    between = [
        step(name, kind, summary.states[state]) for state, (name, kind) in _STEPS.items() if state in summary.states
    ]
    return [step("Read", "read", read), *between, step("Accepted", "delivered", summary.of(["accepted"]))]


def _fate(summary: Summary) -> Markup:
    """The waterfall from read to accepted."""
    steps = _steps(summary)
    left = summary.read.orders
    marks = []
    for step in steps:
        is_between = step not in (steps[0], steps[-1])
        left -= step.orders if is_between else 0
        words = f"{step.name}: {number(step.orders)} orders, {step.share}"
        start = left if is_between else 0
        text = f"{number(step.orders)} · {step.share}" if step is not steps[0] else number(step.orders)
        marks.append(Mark(step.name, step.orders, words, step.kind, start=start, text=text))
    return Markup(charts.bars(marks, "What became of the orders that were read"))  # noqa: S704 - escaped by ElementTree


def _sections() -> dict[str, str]:
    """For each reason code, what its section is called."""
    return {code: SECTIONS[section_of(code)][0] for code in REASONS}
