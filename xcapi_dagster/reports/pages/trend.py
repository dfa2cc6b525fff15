"""Partition by partition: what share of the orders did not arrive, and where a reason appeared for the first time."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from xcapi_dagster.reports.identifiers import STRONG_IDENTIFIERS, Identifier
from xcapi_dagster.reports.pages import charts
from xcapi_dagster.reports.pages.charts import Mark
from xcapi_dagster.reports.pages.formats import amounts, number, percent
from xcapi_dagster.reports.pages.links import page_link
from xcapi_dagster.reports.pages.match import NAMES
from xcapi_dagster.reports.readiness import score_by_count
from xcapi_dagster.reports.summary import DELIVERED, LATE, LOST, WAITING, WITHHELD, Summary
from xcapi_dagster.reports.worth import Worth

_SHARES = {
    "lost": "lost",
    "waiting": "waiting",
    "late": "too late",
    "withheld": "withheld",
}  # field of a row -> in words


class Row(NamedTuple):
    """A partition as the tables list it."""

    partition: str
    link: str
    read: Worth
    delivered: Worth
    lost: Worth
    waiting: Worth
    late: Worth
    withheld: Worth
    degraded: Worth
    lost_share: str
    lost_amounts: Sequence[str]
    new: Sequence[str]
    readiness: float | None


def trend_rows(summaries: Sequence[Summary], new: Mapping[str, set[str]]) -> list[Row]:
    """A row for each of the summaries; ``new`` has the reasons that are new in each partition."""
    return [_row(summary, new[summary.partition]) for summary in summaries]


def _row(summary: Summary, new: set[str]) -> Row:
    read, lost = summary.read, summary.of(LOST)
    return Row(
        partition=summary.partition,
        link=page_link(summary.partition),
        read=read,
        delivered=summary.of(DELIVERED),
        lost=lost,
        waiting=summary.of(WAITING),
        late=summary.of(LATE),
        withheld=summary.of(WITHHELD),
        degraded=summary.degraded,
        lost_share=percent(lost.orders, read.orders),
        lost_amounts=amounts(lost, read),
        new=sorted(new),
        readiness=score_by_count(summary),
    )


def trend_chart(rows: Sequence[Row], current: str | None = None) -> Markup:
    """Columns of what share of each partition's orders did not arrive; each leads to its partition's page."""
    series = [[_mark(row, kind, current) for row in rows] for kind in _SHARES]
    title = f"Share of orders that did not arrive, in {number(len(rows))} partitions"
    return Markup(charts.columns(series, title, every=charts.every([row.partition for row in rows]), unit="%"))  # noqa: S704 - escaped by ElementTree


def _mark(row: Row, kind: str, current: str | None) -> Mark:
    orders: int = getattr(row, kind).orders
    words = f"{row.partition}: {number(orders)} of {number(row.read.orders)} orders {_SHARES[kind]}"
    if row.new:
        words += f"; new: {', '.join(row.new)}"
    return Mark(
        label=row.partition,
        value=100 * orders / row.read.orders if row.read.orders else 0.0,
        words=words,
        kind=f"{kind} current" if row.partition == current else kind,
        link=None if row.partition == current else row.link,
        is_flagged=bool(row.new) and kind == "lost",
    )


def coverage_chart(summaries: Sequence[Summary]) -> Markup:
    """Lines of how many conversions carry each strong identifier, and of match readiness."""
    series = [
        [
            Mark(each.partition, share, f"{each.partition}: {NAMES[identifier]} on {share:.0f}%", identifier)
            for each in summaries
            for share in [_coverage(each, identifier)]
        ]
        for identifier in STRONG_IDENTIFIERS
    ]
    title = f"Share of conversions with each identifier, in {number(len(summaries))} partitions"
    return Markup(charts.lines(series, title, every=charts.every([each.partition for each in summaries])))  # noqa: S704 - escaped by ElementTree


def _coverage(summary: Summary, identifier: Identifier) -> float:
    """In percent; negative where there are no conversions."""
    found = summary.identifiers
    return 100 * found.carried(identifier) / found.conversions if found.conversions else -1.0
