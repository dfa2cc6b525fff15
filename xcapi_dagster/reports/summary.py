"""The summary of a partition: all that pages, overview and checks tell of it, in a few kilobytes beside its report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from xcapi_dagster.reports.identifiers import Identifiers
from xcapi_dagster.reports.worth import Worth, sum_of, worth_by

# What can become of an order, as people ask for it; `changed` orders are at X as they were.
DELIVERED = ("accepted", "changed")
LOST = ("invalid", "rejected")
LATE = ("too_late",)  # left to the pixel, which reported them in time
DOUBTFUL = ("unknown", "held")
WAITING = ("pending", *DOUBTFUL)
WITHHELD = ("suppressed",)
REPLACED = ("duplicate",)

AGE_EDGES = (0, 1, 6, 12, 24, 36, 44, 48, 72, 168, 720)  # hours between order and sending; the last class is open

_LISTED = {"columns": "column", "shapes": "detail", "isolated_by": "isolated_by"}  # what is listed of which column
_SHAPES_SHOWN = 5
_SHAPES_REMEMBERED = 500
_ORDER_STATES = np.array(["duplicate", "suppressed", "invalid", "degraded"], object)  # the first that holds, holds
_MILLISECONDS_AN_HOUR = 3_600_000


class ReasonSummary(BaseModel):
    """One reason's part in a partition; an order with several reasons is in each of them.

    One that must not be sent is in the reasons for that alone: no mend brings it back.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    worth: Worth
    alone: int = 0  # orders that nothing else keeps from being sent
    columns: Mapping[str, int] = {}
    shapes: Mapping[str, int] = {}  # the most frequent details
    isolated_by: Mapping[str, int] = {}
    at_least: tuple[str, ...] = ()  # which of these three may have counted too few, as less frequent ones were dropped


class Summary(BaseModel):
    """What became of the orders of a partition, why, and how well X can match them. It holds no order's data."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    partition: str
    states: Mapping[str, Worth] = {}  # each order read is in one of them
    degraded: Worth = Worth()  # fit to be sent, but without some field; whatever became of them
    reasons: tuple[ReasonSummary, ...] = ()
    more_rows: int = 0  # of the report: what else is wrong with orders that must not be sent
    ages: tuple[int, ...] = (0,) * len(AGE_EDGES)  # conversions by their age when first sent, by AGE_EDGES
    identifiers: Identifiers = Identifiers()
    requests: Mapping[str, int] = {}  # by the ledger's state
    last_settled_at: datetime | None = None
    pixel_also_fires: bool = False
    scope: str = ""  # host and pixel that the orders were for; empty where an earlier version wrote it

    @property
    def read(self) -> Worth:
        """All orders read."""
        return sum_of(self.states.values())

    @property
    def rows(self) -> int:
        """How many rows the report has: one for each order and reason."""
        return sum(reason.worth.orders for reason in self.reasons) + self.more_rows

    def of(self, states: Sequence[str]) -> Worth:
        """The orders in these states."""
        return sum_of(self.states[state] for state in states if state in self.states)


class SummaryTally:
    """Adds up a partition's summary while its results and its report are written, chunk by chunk."""

    def __init__(self) -> None:
        self._states: dict[str, Worth] = {}
        self._reasons: dict[str, _Reason] = {}
        self._more_rows = 0
        self._ages = np.zeros(len(AGE_EDGES), np.int64)
        self._last_settled_at: datetime | None = None

    def add(self, orders: pa.Table, results: pa.Table, report: pa.Table, about: NDArray[np.int64]) -> None:
        """Add a chunk: ``orders`` has the state, value and currency of each, ``results`` is a table of UPLOAD_RESULTS.

        ``about`` says which order each row of the ``report`` is about; all rows about one are in the same chunk.
        """
        for state, worth in worth_by(orders["state"], orders["value"], orders["currency"]).items():
            self._states[state] = self._states.get(state, Worth()) + worth
        if len(report):  # where X accepted everything there is none
            self._add_reasons(report, about)
        times = results.select(["first_sent_at", "conversion_time"])
        sent = times.filter(times["first_sent_at"].is_valid())
        ages = pc.subtract(sent["first_sent_at"].cast(pa.int64()), sent["conversion_time"].cast(pa.int64()))
        hours = np.maximum(pc.fill_null(ages, 0).to_numpy() / _MILLISECONDS_AN_HOUR, 0)
        self._ages += np.bincount(np.digitize(hours, AGE_EDGES) - 1, minlength=len(AGE_EDGES))
        settled_at = pc.max(results["settled_at"]).as_py()
        self._last_settled_at = max(filter(None, (self._last_settled_at, settled_at)), default=None)

    def summary(self, **known: Any) -> Summary:
        """The summary; ``known`` are its fields that no chunk tells."""
        states = dict(self._states)
        degraded = states.pop("degraded", Worth())
        return Summary(
            states=dict(sorted(states.items())),
            degraded=degraded,
            reasons=tuple(reason.summary(code) for code, reason in sorted(self._reasons.items())),
            more_rows=self._more_rows,
            ages=tuple(self._ages.tolist()),
            last_settled_at=self._last_settled_at,
            **known,
        )

    def _add_reasons(self, rejections: pa.Table, orders: NDArray[np.int64]) -> None:
        severities = rejections["severity"].to_numpy()
        blocks = severities != "degraded"
        _, which = np.unique(orders, return_inverse=True)
        obstacles = np.bincount(which, blocks)
        alone = rejections["reason_code"].filter(pa.array(blocks & (obstacles[which] == 1)))
        is_withheld = np.bincount(which, severities == "suppressed") > 0
        is_more = is_withheld[which] & np.isin(severities, ["rejected", "degraded"])
        self._more_rows += int(is_more.sum())
        rejections = rejections.filter(pa.array(~is_more))
        for code, worth in worth_by(rejections["reason_code"], rejections["value"], rejections["currency"]).items():
            self._reasons.setdefault(code, _Reason()).worth += worth
        for row in alone.value_counts().to_pylist():
            self._reasons[row["values"]].alone += row["counts"]
        for column in _LISTED.values():
            self._add_texts(rejections, column)

    def _add_texts(self, rejections: pa.Table, column: str) -> None:
        given = rejections.select(["reason_code", column]).filter(rejections[column].is_valid())
        for row in given.group_by(["reason_code", column]).aggregate([([], "count_all")]).to_pylist():
            self._reasons[row["reason_code"]].add(column, row[column], row["count_all"])


class _Reason:
    """One reason's part so far."""

    def __init__(self) -> None:
        self.worth = Worth()
        self.alone = 0
        self._texts = {column: Counter[str]() for column in _LISTED.values()}
        self._dropped: set[str] = set()

    def add(self, column: str, text: str, count: int) -> None:
        counted = self._texts[column]
        counted[text] += count
        if len(counted) > 2 * _SHAPES_REMEMBERED:
            self._texts[column] = Counter(dict(_most_common(counted, _SHAPES_REMEMBERED)))
            self._dropped.add(column)

    def summary(self, code: str) -> ReasonSummary:
        return ReasonSummary(
            code=code,
            worth=self.worth,
            alone=self.alone,
            at_least=tuple(name for name, column in _LISTED.items() if column in self._dropped),
            **{name: dict(_most_common(self._texts[column], _SHAPES_SHOWN)) for name, column in _LISTED.items()},
        )


def order_states(rejections: pa.Table) -> pa.Table:
    """One of REJECTIONS for each order, with its `state`: suppressed, invalid, duplicate, or degraded.

    A duplicate is nothing else besides, and what must not be sent is not lost too, whatever else is wrong with it: the
    counts add up.
    """
    severities = rejections["severity"].to_numpy()
    ranks = np.select(
        [
            rejections["reason_code"].to_numpy() == "duplicate_order",
            severities == "suppressed",
            severities == "rejected",
        ],
        [0, 1, 2],
        3,
    )
    _, first, which = np.unique(rejections["row"].to_numpy(), return_index=True, return_inverse=True)
    best = np.full(len(first), 3)
    np.minimum.at(best, which, ranks)
    return rejections.take(pa.array(first)).append_column("state", pa.array(_ORDER_STATES[best], pa.string()))


def _most_common(counted: Counter[str], most: int) -> list[tuple[str, int]]:
    """The most frequent, in an order that does not depend on which came first."""
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:most]


def merged(summaries: Sequence[Summary]) -> Summary:
    """What the summaries say together."""
    reasons: dict[str, list[ReasonSummary]] = {}
    states: dict[str, Worth] = {}
    for summary in summaries:
        for state, worth in summary.states.items():
            states[state] = states.get(state, Worth()) + worth
        for reason in summary.reasons:
            reasons.setdefault(reason.code, []).append(reason)
    return Summary(
        partition="",
        states=states,
        degraded=sum_of(summary.degraded for summary in summaries),
        reasons=tuple(_merged_reason(code, each) for code, each in sorted(reasons.items())),
        more_rows=sum(summary.more_rows for summary in summaries),
    )


def _merged_reason(code: str, reasons: Sequence[ReasonSummary]) -> ReasonSummary:
    counted = {name: [getattr(reason, name) for reason in reasons] for name in _LISTED}
    cut = {name for name, lists in counted.items() if len(lists) > 1 and max(map(len, lists)) >= _SHAPES_SHOWN}
    return ReasonSummary(
        code=code,
        worth=sum_of(reason.worth for reason in reasons),
        alone=sum(reason.alone for reason in reasons),
        at_least=tuple(sorted(cut.union(*(reason.at_least for reason in reasons)))),
        **{
            name: dict(_most_common(sum(map(Counter, lists), Counter[str]()), _SHAPES_SHOWN))
            for name, lists in counted.items()
        },
    )
