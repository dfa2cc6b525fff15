"""The items of orders, from lists of structs or JSON text into the JSON of X's `contents`."""

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import reduce
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
_NAMES = frozenset(_FIELDS)
_PARSED = pa.list_(pa.struct([(name, pa.string()) for name in _FIELDS]))
_CHARACTERS_AT_ONCE = 1 << 20  # of JSON

_LEFT_OUT = -1  # no member
_BRACKETS = pa.array(["", "[{", "},{", "}]"])  # around and between objects
_NOTHING, _FIRST, _NEXT, _LAST = range(len(_BRACKETS))

Positions = npt.NDArray[np.int32]


def _refuse(constant: str) -> str:
    raise ValueError(f"{constant} is not JSON")


_JSON = json.JSONDecoder(parse_int=str, parse_float=amounts.rounded, parse_constant=_refuse)


class Contents(NamedTuple):
    """For each order the JSON array of its items, null where there is none, and what is wrong with them."""

    values: pa.Array
    invalid: pa.Array
    has_email: pa.Array


class _Field(NamedTuple):
    """One field of all items.

    ``members`` are its values as JSON, null where left out; ``of_items`` says which of them each item has.
    """

    members: pa.Array
    of_items: Positions
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
    contents = _write(fields, order_of, len(lists))
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
        encoded = column.dictionary_encode("encode")
        values, of_items = encoded.dictionary, encoded.indices.to_numpy()
    except pa.ArrowNotImplementedError:  # lists, structs and the like, which no usual item has there
        values, of_items = column, np.arange(len(column), dtype=np.int32)
    members, *masks = _read_values(name, values)
    return _Field(members, of_items, *(_of_items(mask, of_items) for mask in masks))


def _of_items(mask: pa.Array, of_items: Positions) -> pa.Array:
    """The mask of distinct values as that of items: mostly it is true nowhere."""
    return mask.take(pa.array(of_items)) if pc.any(mask).as_py() else pa.repeat(False, len(of_items))


def _read_values(name: str, values: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The JSON member of each value, which are invalid, and which have an e-mail address in them."""
    nowhere = pa.repeat(False, len(values))
    if name == "content_price":
        prices = amounts.to_amounts(values)
        invalid = pc.or_(prices.unreadable, flags(pc.less(prices.values, Decimal(0))))
        return plain_member(name, amounts.to_text(prices.values)), invalid, nowhere
    if name == "num_items":
        counts = amounts.to_counts(amounts.to_amounts(values))
        return json_member(name, counts.values.cast(pa.string())), counts.unreadable, nowhere
    texts = strip(to_text(values))
    return text_member(name, texts), flags(pc.equal(texts, UNREADABLE)), has_email(texts)


def _any(order_of: npt.NDArray[np.int64], orders: int, masks: list[pa.Array]) -> pa.Array:
    """Which orders have an item where one of the masks is true."""
    found = np.zeros(orders, np.bool_)
    for mask in masks:
        if pc.any(mask).as_py():
            found[order_of[to_bools(flags(mask))]] = True
    return pa.array(found)


def _write(fields: list[_Field], order_of: npt.NDArray[np.int64], orders: int) -> pa.Array:
    """The JSON array of each order's items; null where none has a member."""
    of_items = [_given(field) for field in fields]
    is_empty = reduce(np.logical_and, (each == _LEFT_OUT for each in of_items), np.ones(len(order_of), np.bool_))
    if is_empty.any():
        of_items, order_of = [each[~is_empty] for each in of_items], order_of[~is_empty]
    counts = np.bincount(order_of, minlength=orders)
    return keep_where(pa.array(counts > 0), _arrays_of_objects([field.members for field in fields], of_items, counts))


def _given(field: _Field) -> Positions:
    """Which member each item has, _LEFT_OUT where it has none."""
    if field.members.null_count == 0:
        return field.of_items
    is_given = to_bools(field.members.is_valid())[field.of_items]
    return np.where(is_given, field.of_items, np.int32(_LEFT_OUT))


def _arrays_of_objects(members: list[pa.Array], of_items: list[Positions], counts: npt.NDArray[np.int64]) -> pa.Array:
    """An array for each count, of that many of the next items, each an object of those ``members`` that are its own.

    Arrow keeps the texts of an array one behind the other. So members, commas and brackets, taken in the order in which
    they stand in the JSON of all orders, are that JSON, and only where an order's begins is to be told. To join them
    would be a pass over long texts for objects, for arrays and for the brackets around these.
    """
    ends = np.cumsum(counts)
    taken = np.full((counts.sum(), len(members) + 2), _NOTHING, np.int32)
    taken[:, 0] = _NEXT
    taken[(ends - counts)[counts > 0], 0] = _FIRST
    taken[ends[counts > 0] - 1, -1] = _LAST
    texts, known = [_BRACKETS], len(_BRACKETS)
    is_begun = np.zeros(len(taken), np.bool_)
    for column, (of_field, of_each) in enumerate(zip(members, of_items, strict=True), 1):
        texts += [of_field, pc.binary_join_element_wise(",", of_field, "")]
        is_given = of_each != _LEFT_OUT
        first = np.where(is_begun, np.int32(known + len(of_field)), np.int32(known))  # of these texts
        taken[:, column] = np.where(is_given, first + of_each, _NOTHING)
        is_begun |= is_given
        known += 2 * len(of_field)
    _, offsets, held = pa.concat_arrays(texts).take(pa.array(taken.ravel())).buffers()
    bounds = np.frombuffer(offsets, np.int32)[np.append(0, ends) * taken.shape[1]]
    return pa.StringArray.from_buffers(len(counts), pa.py_buffer(bounds), held)


def _parse_column(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    distinct = texts.dictionary_encode()
    portions = _portions(distinct.dictionary.to_pylist())
    parsed = pa.concat_arrays([_in_columns([_parse(text) for text in portion]) for portion in portions])
    lists = parsed.take(distinct.indices)
    return lists, pc.and_not(texts.is_valid(), lists.is_valid())


def _portions(texts: list[str]) -> Iterator[list[str]]:
    """The texts, a few at a time: as objects, items take a hundred times the memory that they do in columns."""
    portion: list[str] = []
    characters = 0
    for text in texts:
        portion.append(text)
        characters += len(text)
        if characters >= _CHARACTERS_AT_ONCE:
            yield portion
            portion, characters = [], 0
    yield portion


def _parse(text: str) -> list[dict[str, Any]] | None:
    """The items in a JSON array of objects, or in a JSON text of such; numbers as text; None if it is anything else."""
    try:
        items = _JSON.decode(text)
        items = _JSON.decode(items) if isinstance(items, str) else items
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if items is None:
        return []
    if not isinstance(items, list) or not all(item is None or isinstance(item, dict) for item in items):
        return None
    return [item for item in items if item and not _NAMES.isdisjoint(item)]


def _in_columns(lists: list[list[dict[str, Any]] | None]) -> pa.Array:
    """The lists of items as _PARSED: a column for each field takes a third of the time that a dictionary each does."""
    items = [item for each in lists if each for item in each]
    columns = [_field_texts([item.get(name) for item in items]) for name in _FIELDS]
    ends = np.cumsum([0, *(len(each or ()) for each in lists)], dtype=np.int32)
    return pa.ListArray.from_arrays(
        pa.array(ends),
        pa.StructArray.from_arrays(columns, fields=list(_PARSED.value_type)),
        type=_PARSED,
        mask=pa.array([each is None for each in lists], pa.bool_()),
    )


def _field_texts(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowException, TypeError, ValueError):  # as of objects in it, or halves of characters
        return pa.array([_field_text(value) for value in values], pa.string())


def _field_text(value: Any) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) and not has_halves(value) else UNREADABLE
