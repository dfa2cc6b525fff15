"""The page of a plan: what sending some partitions would do, before anything is sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from xcapi_dagster.reports.pages import charts
from xcapi_dagster.reports.pages.charts import Mark
from xcapi_dagster.reports.pages.formats import number
from xcapi_dagster.reports.pages.render import render

_MOST_COLUMNS = 400
# What the columns are made of: class in the style sheet -> in words, counts of a forecast.
_PARTS = {
    "delivered": ("would be sent", ("would_send",)),
    "degraded": ("accepted already", ("already_accepted",)),
    "lost": ("invalid or rejected", ("invalid", "rejected")),
    "waiting": ("in doubt, changed, or too late", ("unknown", "held", "too_late", "changed", "pending")),
    "withheld": ("withheld, or a duplicate", ("suppressed", "duplicate")),
}


def plan_page(name: str, rows: Sequence[Mapping[str, Any]], facts: Sequence[tuple[str, str]]) -> str:
    """The page over ``rows``, the forecasts of the partitions of ``name`` in their order; ``facts`` stand above."""
    columns = [_column(rows[start:end]) for start, end in _cuts(len(rows))]
    return render(
        "plan.html",
        name=name,
        span=_label(rows),
        facts=facts,
        chart=_chart(columns),
        is_grouped=len(columns) < len(rows),
        parts={kind: words for kind, (words, _) in _PARTS.items()},
        columns=columns,
        total=_column(rows),
    )


def _cuts(count: int) -> list[tuple[int, int]]:
    """Where the partitions are cut, so that there are not more columns than anybody can tell apart."""
    size = max(1, -(-count // _MOST_COLUMNS))
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _column(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Partitions that stand together, with the orders of each part."""
    parts = {kind: sum(row[name] for row in rows for name in names) for kind, (_, names) in _PARTS.items()}
    totals = {name: sum(row[name] for row in rows) for name in ("read", "requests")}
    return {"label": _label(rows), **totals, **parts}


def _label(rows: Sequence[Mapping[str, Any]]) -> str:
    first, last = rows[0]["partition"], rows[-1]["partition"]
    return str(first) if first == last else f"{first} to {last}"


def _chart(columns: Sequence[Mapping[str, Any]]) -> Markup:
    series = [
        [Mark(each["label"], each[kind], f"{each['label']}: {number(each[kind])} {words}", kind) for each in columns]
        for kind, (words, _) in _PARTS.items()
    ]
    every = charts.every([each["label"] for each in columns])
    return Markup(charts.columns(series, "What would become of the orders", every=every))  # noqa: S704 - escaped by ElementTree
