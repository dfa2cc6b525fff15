"""The rows of a report that its page shows: all of a small one, of a large one the most valuable of each reason."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from upath import UPath

from xcapi_dagster.parquet import parquet_file
from xcapi_dagster.reports.pages.formats import amount, shortened
from xcapi_dagster.reports.pages.reasons import SECTIONS
from xcapi_dagster.reports.summary import Summary

MOST_ROWS = 3000
_LEAST_ROWS = 20  # of a reason, however many reasons there are

_COLUMNS = (
    "order_id", "conversion_time", "reason_code", "column", "detail", "value", "currency", "isolated_by", "request_id",
    "debug_id", "severity",
)  # fmt: skip


def rows_to_show(report: UPath, summary: Summary) -> pa.Table:
    """At most MOST_ROWS rows of the ``report``, a Parquet of REJECTION_REPORT: those worth most first.

    All that are about an order which must not be sent have that severity: it is not lost, whatever else is wrong.
    """
    each = max(_LEAST_ROWS, MOST_ROWS // max(len(summary.reasons), 1))
    averages = {currency: float(average) for currency, average in summary.read.averages.items()}
    kept: pa.Table | None = None
    for chunk in _chunks(report):
        kept = chunk if kept is None else pa.concat_tables([kept, chunk])
        weights = _weights(kept, averages)
        order = np.argsort(-weights, kind="stable")
        kept = kept.take(pa.array(order if summary.rows <= MOST_ROWS else _first_of_each(kept, order, each)))
    return kept if kept is not None else pa.table({name: [] for name in _COLUMNS})


def _chunks(report: UPath) -> Iterator[pa.Table]:
    with parquet_file(report) as parquet:
        for group in range(parquet.num_row_groups):
            yield _with_one_fate(parquet.read_row_group(group, columns=list(_COLUMNS)))


def _with_one_fate(rows: pa.Table) -> pa.Table:
    """The rows of a chunk, in which all that are about one order stand together."""
    times = pc.fill_null(rows["conversion_time"].cast(pa.int64()).cast(pa.string()), "")
    orders = pc.binary_join_element_wise(rows["order_id"], times, " ")  # null for one without an id
    is_suppressed = pc.equal(rows["severity"], "suppressed")
    is_withheld = pc.and_(
        pc.is_in(orders, orders.filter(is_suppressed).drop_null().combine_chunks()),
        pc.is_in(rows["severity"], pa.array(["rejected", "degraded"])),  # one that X has, or may have, is not
    )
    severities = pc.if_else(is_withheld, "suppressed", rows["severity"])
    return rows.set_column(rows.column_names.index("severity"), "severity", severities)


def _weights(rows: pa.Table, averages: Mapping[str, float]) -> NDArray[np.float64]:
    """How many average orders of its currency each row's is worth; one where that is not known."""
    known = pa.array(list(averages), pa.string())
    average = pa.array(list(averages.values()), pa.float64()).take(pc.index_in(rows["currency"], known))
    weights: NDArray[np.float64] = pc.fill_null(pc.divide(rows["value"].cast(pa.float64()), average), 1.0).to_numpy()
    return np.maximum(weights, 0)


def _first_of_each(rows: pa.Table, order: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """The positions of ``order`` without those of a reason that already has so many."""
    codes = rows["reason_code"].combine_chunks().dictionary_encode().indices.to_numpy()[order]
    by_code = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[by_code], codes[by_code])
    kept: NDArray[np.intp] = order[np.sort(by_code[np.arange(len(codes)) - starts < most])]
    return kept


def searchable(rows: pa.Table) -> dict[str, Any]:
    """The rows for the page's search: as lists, with texts that repeat told once.

    The last of a row is the heading under which it is found, where that is not the one of its reason.
    """
    texts: dict[str, int] = {}

    def position(text: object) -> int | None:
        return None if text is None else texts.setdefault(str(text), len(texts))

    times = pc.utf8_slice_codeunits(rows["conversion_time"].cast(pa.timestamp("ms")).cast(pa.string()), 0, 16)
    listed = [
        [
            row["order_id"] and shortened(row["order_id"]),
            time,
            position(row["reason_code"]),
            position(row["column"]),
            position(row["detail"]),
            None if row["value"] is None else amount(row["currency"], row["value"]),
            position(row["currency"]),
            position(row["isolated_by"]),
            row["request_id"],
            position(row["debug_id"]),
            position(SECTIONS["withheld"][0]) if row["severity"] == "suppressed" else None,
        ]
        for row, time in zip(rows.drop_columns("conversion_time").to_pylist(), times.to_pylist(), strict=True)
    ]
    return {"texts": list(texts), "rows": listed}
