"""The page over all partitions: what was lost when, why, and where it began."""

from collections.abc import Sequence

from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports.history import new_reasons
from xcapi_dagster.reports.pages.formats import number
from xcapi_dagster.reports.pages.partition import headline, tiles
from xcapi_dagster.reports.pages.reasons import SECTIONS, reason_views
from xcapi_dagster.reports.pages.render import render
from xcapi_dagster.reports.pages.trend import coverage_chart, trend_chart, trend_rows
from xcapi_dagster.reports.repairs import repairs
from xcapi_dagster.reports.summary import Summary, merged

_MOST_LISTED = 400  # partitions: charts and table of more help nobody


def overview_page(everything: Sequence[Summary], outputs: Outputs, first: str = "", last: str = "\uffff") -> str:
    """The page over the partitions from ``first`` to ``last`` of ``everything``, which is in their order."""
    summaries = [summary for summary in everything if first <= summary.partition <= last]
    total = merged(summaries)
    new = new_reasons(everything)
    recent = {code for each in summaries[-1:] for code in new[each.partition]}
    partitions: dict[str, list[str]] = {}
    for summary in summaries:
        for reason in summary.reasons:
            partitions.setdefault(reason.code, []).append(summary.partition)
    views = reason_views(total.reasons, total.read, recent, partitions=partitions)
    listed = summaries[-_MOST_LISTED:]
    rows = trend_rows(listed, new)
    return render(
        "overview.html",
        name=outputs.name,
        headline=headline(total),
        read=total.read,
        tiles=tiles(total, "partitions"),
        sections={key: (*told, [view for view in views if view.section == key]) for key, told in SECTIONS.items()},
        rows=rows,
        partitions=len(summaries),
        is_range=bool(first),
        reported={summary.partition for summary in everything},  # a repair is told for longer than a report is kept
        repairs=[each for each in repairs(outputs) if first <= each.partition <= last],
        span=f"{first} to {last}" if first else f"all {number(len(summaries))} partitions",
        trend_chart=trend_chart(rows) if rows else "",
        coverage_chart=coverage_chart(listed) if rows else "",
    )
