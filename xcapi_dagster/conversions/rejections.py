"""The rejections of a chunk: one row for each order and reason, with the shape of what was wrong and the way out."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.contract import CURRENCIES, EVENT_ID
from xcapi_dagster.conversions.columns import column_of
from xcapi_dagster.conversions.frame_contract import Broken
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.conversions.schema import REJECTIONS, Rejections
from xcapi_dagster.conversions.texts import is_all_ascii, to_bools
from xcapi_dagster.conversions.times import to_milliseconds

Positions = npt.NDArray[np.intp]

_HEXADECIMAL = "^[0-9a-fA-F]{32,}$"  # MD5 has 32, SHA-1 has 40
_TYPE_CHARACTERS = 100
_ABOUT = ["order_id", "ordered_at", "value", "currency", "event_id", "conversion_id"]

# What a text is made of may be told, the text itself never.
_MADE_OF = {
    "letters": r"\pL",
    "digits": r"\p{Nd}",
    "white space": r"[\t-\r\pZ]",
    "control characters": r"[\x00-\x08\x0e-\x1f\x7f]",
    "invisible characters": r"\p{Cf}",
    "@": "@",
    "other signs": r"[^\pL\p{Nd}\pZ\p{Cf}\x00-\x1f\x7f@]",
}
# The same for ASCII: to compile the classes of Unicode takes longer than to match most chunks' rejections.
_ASCII_MADE_OF = _MADE_OF | {
    "letters": "[A-Za-z]",
    "digits": "[0-9]",
    "white space": r"[\t-\r ]",
    "invisible characters": r"[^\x00-\x7f]",  # there are none
    "other signs": r"[^A-Za-z0-9 \x00-\x1f\x7f@]",
}


def to_rejections(
    given: pa.Table | pa.RecordBatch, orders: pa.Table, broken: Sequence[Broken], rows: pa.Array
) -> pa.Table:
    """REJECTIONS in the order of the rows: ``given`` is as read, ``orders`` normalized, ``rows`` where they are."""
    columns = {each.column: column_of(given, each.column) for each in broken if each.column}
    reasons = [_of_rule(rule, list(group), columns) for rule, group in groupby(broken, lambda each: each.rule)]
    if not reasons:
        return REJECTIONS.empty_table()
    found = pa.concat_tables(reasons).combine_chunks()
    found = found.take(pc.sort_indices(found["position"]))  # a stable sort
    about = orders.select(_ABOUT).take(found["position"])
    is_currency = pc.is_in(about["currency"], pa.array(CURRENCIES))
    is_event = pc.match_substring_regex(about["event_id"], f"^{EVENT_ID.pattern}$")  # else it may be anything
    columns = {
        "row": rows.take(found["position"]),
        "order_id": about["order_id"],
        "conversion_time": to_milliseconds(about["ordered_at"]),
        "value": about["value"],
        "currency": pc.if_else(is_currency, about["currency"], None),
        "event_id": pc.if_else(is_event, about["event_id"], None),
        "conversion_id": about["conversion_id"],
    } | {name: found[name] for name in found.column_names}
    return Rejections.prove(pa.table({name: columns[name] for name in REJECTIONS.names}, schema=REJECTIONS))


def told_anew(
    rows: npt.NDArray[np.int64],
    told_as: Callable[[pa.Table], pa.Table],
    conversions: pa.Table,
    rejections: pa.Table,
) -> tuple[pa.Table, pa.Table]:
    """CONVERSIONS and REJECTIONS with what ``told_as`` makes of ``rows`` in their place, whatever else was found."""
    if len(rows) == 0:
        return conversions, rejections
    gone = pa.array(rows)
    goes, is_told = pc.is_in(conversions["row"], gone), pc.is_in(rejections["row"], gone)
    unsent = rejections.filter(pc.and_(is_told, pc.not_equal(rejections["severity"], "degraded")))
    anew = [told_as(each) for each in (conversions.filter(goes), _one_per_row(unsent))]
    found = pa.concat_tables([rejections.filter(pc.invert(is_told)), *anew])
    return conversions.filter(pc.invert(goes)), found.take(pc.sort_indices(found["row"]))


def _one_per_row(rejections: pa.Table) -> pa.Table:
    _, first = np.unique(rejections["row"].to_numpy(), return_index=True)
    return rejections.take(pa.array(np.sort(first)))


def _of_rule(code: str, broken: list[Broken], given: Mapping[str, pa.Array]) -> pa.Table:
    """A row for each order that breaks the rule, whichever and however many of its columns do."""
    positions = np.flatnonzero(np.any([each.rows for each in broken], axis=0))
    columns, details = [], []
    for each in broken:
        is_broken = pa.array(each.rows[positions])
        shapes = _shapes(given[each.column] if each.column else None, each.rows)
        columns.append(pc.if_else(is_broken, pa.scalar(each.column, pa.string()), None))
        details.append(pc.replace_with_mask(pa.nulls(len(positions), pa.string()), is_broken, shapes))
    return pa.table(
        {
            "position": positions,
            "column": _listed(columns),
            "detail": pc.coalesce(*details),
            **{name: pa.repeat(text, len(positions)) for name, text in REASONS[code].columns().items()},
        }
    )


def _listed(columns: list[pa.Array]) -> pa.Array:
    """The names that are not null, "a, b"; null where all are."""
    if len(columns) == 1:
        return columns[0]
    return pc.binary_join_element_wise(*columns, ", ", null_handling="skip")  # each row names at least one


def _shapes(column: pa.Array | None, rows: npt.NDArray[np.bool_]) -> pa.Array:
    """The shape of what the column holds there: of texts length and kinds of characters, else the column's type."""
    if column is None:
        return pa.nulls(np.count_nonzero(rows), pa.string())
    if pa.types.is_string(column.type):
        return _shapes_of_texts(column.take(pa.array(np.flatnonzero(rows))))
    return pc.if_else(pa.array(to_bools(column.is_valid())[rows]), f"type {column.type}"[:_TYPE_CHARACTERS], None)


def _shapes_of_texts(texts: pa.Array) -> pa.Array:
    """As "23 characters: letters, digits, @"."""
    made_of = _ASCII_MADE_OF if is_all_ascii(texts) else _MADE_OF
    kinds = [pc.if_else(pc.match_substring_regex(texts, has), f"{kind}, ", "") for kind, has in made_of.items()]
    listed = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*kinds, ""), 0, -2)
    listed = pc.if_else(pc.match_substring_regex(texts, _HEXADECIMAL), "hexadecimal digits", listed)
    lengths = pc.utf8_length(texts).cast(pa.string())
    shapes = pc.binary_join_element_wise(lengths, " characters: ", listed, "")
    return pc.if_else(pc.equal(texts, ""), "empty text", shapes)
