"""The items of orders, from lists of structs or JSON text into the JSON of X's `contents`."""

import json
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions import amounts
from xcapi_dagster.conversions.columns import plain, to_text
from xcapi_dagster.conversions.json_columns import json_member, plain_member, text_member
from xcapi_dagster.conversions.texts import (
    UNREADABLE,
    drop_where,
    flags,
    has_email,
    has_halves,
    keep_where,
    strip,
    to_bools,
)

_FIELDS = ("content_id", "content_group_id", "content_name", "content_price", "content_type", "num_items")
_PARSED = pa.list_(pa.struct([(name, pa.string()) for name in _FIELDS]))
_SIXTH_DECIMAL = Decimal("0.000001")
_DIGITS = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Contents(NamedTuple):
    """For each order the JSON array of its items, null where there is none, and what is wrong with them."""

    values: pa.Array
    invalid: pa.Array
    has_email: pa.Array


class _Field(NamedTuple):
    """One field of all items: its JSON member, null where it is left out, and what is wrong with it."""

    member: pa.Array
    invalid: pa.Array
    has_email: pa.Array


def to_contents(column: pa.Array) -> Contents:
    """The contents of each order: its items in their order, without nulls, empty texts and items with nothing left.

    Unknown fields are ignored. Whole numbers are taken as texts too; prices follow the rules of amounts and must not
    be below zero, counts must be whole and above it. Orders with anything else in their items have no contents.
    """
    lists, unreadable = _to_lists(column)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    order_of = np.repeat(np.arange(len(lists)), lengths)
    fields = _read(pc.list_flatten(lists))
    invalid = pc.or_(unreadable, _any(order_of, len(lists), [field.invalid for field in fields]))
    with_email = _any(order_of, len(lists), [field.has_email for field in fields])
    contents = _write([field.member for field in fields], order_of, len(lists))
    return Contents(drop_where(pc.or_(invalid, with_email), contents), invalid, with_email)


def _to_lists(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The column as lists of structs, and where it is neither that nor such JSON; there the list is null."""
    kind = column.type
    if pa.types.is_string(kind):
        return _parse_column(strip(column))
    if not _is_list(kind):
        return pa.nulls(len(column), _PARSED), column.is_valid()
    if not pa.types.is_struct(plain(pa.nulls(0, kind.value_type)).type):
        return pa.nulls(len(column), _PARSED), flags(pc.greater(pc.list_value_length(column), 0))
    return column, pa.repeat(False, len(column))


def _is_list(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))


def _read(items: pa.Array) -> list[_Field]:
    """The fields of items, in the order in which they are written."""
    items = plain(items)
    names = [field.name for field in items.type]
    columns = {name: plain(pc.struct_field(items, [names.index(name)])) for name in _FIELDS if name in names}
    return [_read_field(name, column) for name, column in columns.items()]


def _read_field(name: str, column: pa.Array) -> _Field:
    """The field, read once for each distinct value: the same goods again and again."""
    try:
        encoded = column.dictionary_encode()
    except pa.ArrowNotImplementedError:  # lists, structs and the like, which no usual item has there
        return _read_values(name, column)
    member, *masks = _read_values(name, encoded.dictionary)
    return _Field(member.take(encoded.indices), *(_of_items(mask, encoded.indices) for mask in masks))


def _of_items(mask: pa.Array, indices: pa.Array) -> pa.Array:
    """The mask of distinct values as that of items: mostly it is true nowhere."""
    return mask.take(indices) if pc.any(mask).as_py() else pa.repeat(False, len(indices))


def _read_values(name: str, values: pa.Array) -> _Field:
    nowhere = pa.repeat(False, len(values))
    if name == "content_price":
        prices = amounts.to_amounts(values)
        invalid = pc.or_(prices.unreadable, flags(pc.less(prices.values, Decimal(0))))
        return _Field(plain_member(name, amounts.to_text(prices.values)), invalid, nowhere)
    if name == "num_items":
        counts = amounts.to_counts(amounts.to_amounts(values))
        return _Field(json_member(name, counts.values.cast(pa.string())), counts.unreadable, nowhere)
    texts = strip(to_text(values))
    return _Field(text_member(name, texts), flags(pc.equal(texts, UNREADABLE)), has_email(texts))


def _any(order_of: npt.NDArray[np.int64], orders: int, masks: list[pa.Array]) -> pa.Array:
    """Which orders have an item where one of the masks is true."""
    found = np.zeros(orders, np.bool_)
    for mask in masks:
        if pc.any(mask).as_py():
            found[order_of[to_bools(flags(mask))]] = True
    return pa.array(found)


def _write(members: list[pa.Array], order_of: npt.NDArray[np.int64], orders: int) -> pa.Array:
    """The JSON array of each order's items; null where none has a member."""
    has_member = np.zeros(len(order_of), np.bool_)
    for member in members:
        has_member |= to_bools(member.is_valid())
    if not has_member.any():
        return pa.nulls(orders, pa.string())
    if not has_member.all():
        members = [member.filter(pa.array(has_member)) for member in members]
    counts = np.bincount(order_of[has_member], minlength=orders)
    return keep_where(pa.array(counts > 0), _arrays_of_objects(members, counts))


def _arrays_of_objects(members: list[pa.Array], counts: npt.NDArray[np.int64]) -> pa.Array:
    """An array for each count, of that many of the next objects; each of these has a member that is not null.

    An array without any would have one that is empty. The texts are long: each is put together in three passes.
    """
    insides = pc.binary_join_element_wise(*members, ",", null_handling="skip")
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends), insides), "},{")
    return pc.binary_join_element_wise("[{", joined, "}]", "")


def _parse_column(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    distinct = texts.dictionary_encode()
    parsed = pa.array([_parse(text) for text in distinct.dictionary.to_pylist()], _PARSED)
    lists = parsed.take(distinct.indices)
    return lists, pc.and_not(texts.is_valid(), lists.is_valid())


def _parse(text: str) -> list[dict[str, str | None]] | None:
    """The items in a JSON array of objects, numbers as text; None if it is anything else."""
    try:
        items = json.loads(text, parse_int=str, parse_float=_rounded, parse_constant=_refuse)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if items is None:
        return []
    if not isinstance(items, list) or not all(item is None or isinstance(item, dict) for item in items):
        return None
    return [{name: _field_text(item.get(name)) for name in _FIELDS} for item in items if item is not None]


def _field_text(value: Any) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) and not has_halves(value) else UNREADABLE


def _rounded(number: str) -> str:
    """A JSON number as plain decimal text: they are floating-point numbers to most that write them."""
    text = f"{_DIGITS.quantize(Decimal(number), _SIXTH_DECIMAL):f}"
    return text.rstrip("0").rstrip(".")


def _refuse(constant: str) -> str:
    raise ValueError(f"{constant} is not JSON")
