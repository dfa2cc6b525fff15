"""Match readiness as the pages tell it: who carries what, the score, and what would raise it."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from markupsafe import Markup

from xcapi_dagster.reports.identifiers import STRONG_IDENTIFIERS
from xcapi_dagster.reports.pages import charts
from xcapi_dagster.reports.pages.charts import Mark
from xcapi_dagster.reports.pages.formats import number, percent
from xcapi_dagster.reports.readiness import PAIR, Change, Readiness, best_changes, readiness
from xcapi_dagster.reports.summary import AGE_EDGES, Summary
from xcapi_dagster.reports.worth import Worth, sum_of

NAMES: Mapping[str, str] = {
    "twclid": "Click id (twclid)",
    "hashed_email": "E-mail",
    "hashed_phone_number": "Phone",
    PAIR: "IP address with user agent",
}
_CHANGES: Mapping[str, str] = {
    "mend hashed_email": "Mend the e-mail addresses that could not be used; the reasons above say why.",
    "mend hashed_phone_number": "Mend the phone numbers that could not be used; the reasons above say why.",
    "give twclid": "Keep X’s click id from the landing page and store it with the order.",
    "give hashed_email": "Give the e-mail address with the orders that have none.",
    "give hashed_phone_number": "Give the phone number, and the country, with the orders that have none.",
    f"give {PAIR}": "Give both the visitor’s IP address and the user agent.",
    "unshare twclid": "Find out why many orders have the same click id, as out of a cached page.",
    "unshare hashed_email": "Leave out e-mail addresses that stand for many customers, as a shop’s own.",
    "unshare hashed_phone_number": "Leave out phone numbers that stand for many customers, as a shop’s own.",
    "correct domains": "Correct mistyped e-mail domains, such as gmial.com, where they are entered.",
    "send sooner": "Send orders within a day.",
}
_AGES = ("<1 h", "1–6 h", "6–12 h", "12–24 h", "24–36 h", "36–44 h", "44–48 h", "2–3 d", "3–7 d", "7–30 d", ">30 d")
_TOO_OLD = AGE_EDGES.index(48)


class Coverage(NamedTuple):
    """How many conversions carry an identifier, beside what was usual."""

    name: str
    orders: int
    share: str
    value_share: str
    usual: str
    shared: int


class Match(NamedTuple):
    """All that the page says about matching."""

    readiness: Readiness
    changes: Sequence[tuple[str, Change]]
    coverage: Sequence[Coverage]
    chart: Markup
    mistyped_domains: int


def match_view(summary: Summary, earlier: Sequence[Summary]) -> Match:
    """The match readiness of a partition, beside that of the ones before."""
    groups = summary.identifiers.groups
    everything = sum_of(groups.values())
    coverage = [_coverage(name, summary, earlier, everything) for name in NAMES]
    marks = [
        Mark(
            label=each.name,
            value=100 * each.orders / max(everything.orders, 1),
            words=f"{each.name}: {number(each.orders)} of {number(everything.orders)} conversions",
            kind="identifier",
            text=each.share,
        )
        for each in coverage
    ]
    return Match(
        readiness=readiness(summary),
        changes=[(_CHANGES[change.name], change) for change in best_changes(summary) if change.name in _CHANGES],
        coverage=coverage,
        chart=Markup(charts.bars(marks, "Share of conversions with each identifier", most=100)),  # noqa: S704
        mistyped_domains=summary.identifiers.mistyped_domains,
    )


def _coverage(name: str, summary: Summary, earlier: Sequence[Summary], everything: Worth) -> Coverage:
    carrying = _carrying(name, summary)
    before = [
        _carrying(name, each).orders / each.identifiers.conversions for each in earlier if each.identifiers.conversions
    ]
    return Coverage(
        name=NAMES[name],
        orders=carrying.orders,
        share=percent(carrying.orders, everything.orders),
        value_share=percent(carrying.in_average_orders(summary.read), everything.in_average_orders(summary.read)),
        usual=percent(median(before), 1) if before else "–",
        shared=summary.identifiers.shared.get(name, 0) if name in STRONG_IDENTIFIERS else 0,
    )


def _carrying(name: str, summary: Summary) -> Worth:
    wanted = {"ip_address", "user_agent"} if name == PAIR else {name}
    return sum_of(worth for group, worth in summary.identifiers.groups.items() if wanted <= set(group.split("+")))


class Ages(NamedTuple):
    """How old the conversions were when they were first sent."""

    chart: Markup
    sent: int
    too_old: int
    rows: Sequence[tuple[str, int, str]]


def ages_view(summary: Summary) -> Ages:
    """The ages at sending, with the line behind which X does not deduplicate."""
    sent = sum(summary.ages)
    marks = [
        Mark(
            label=label,
            value=count,
            words=f"{label}: {number(count)} conversions",
            kind="lost" if position >= _TOO_OLD and summary.pixel_also_fires else "delivered",
        )
        for position, (label, count) in enumerate(zip(_AGES, summary.ages, strict=True))
    ]
    chart = charts.columns([marks], "Conversions by their age when they were first sent", line=(_TOO_OLD, "48 h"))
    return Ages(
        chart=Markup(chart),  # noqa: S704 - escaped by ElementTree
        sent=sent,
        too_old=sum(summary.ages[_TOO_OLD:]),
        rows=[(label, count, percent(count, sent)) for label, count in zip(_AGES, summary.ages, strict=True)],
    )
