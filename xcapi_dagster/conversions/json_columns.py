"""JSON written column by column: members of objects, null where there is no value, then objects and arrays of them."""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.texts import map_distinct, replace_where

_SPECIAL = r'["\\\x00-\x1f]'  # RFC 8259, section 7: what cannot stand between quotation marks as it is


def text_member(name: str, texts: pa.Array) -> pa.Array:
    """`"name":"text"` for each text."""
    return plain_member(name, _escape(texts))


def plain_member(name: str, texts: pa.Array) -> pa.Array:
    """The same for texts in which nothing can need escaping, as times and hashes."""
    return pc.binary_join_element_wise(f'"{name}":"', texts, '"', "")


def json_member(name: str, texts: pa.Array) -> pa.Array:
    """`"name":text` for each text, which is JSON."""
    return pc.binary_join_element_wise(f'"{name}":', texts, "")


def objects(members: Sequence[pa.Array]) -> pa.Array:
    """An object in each row, of the members that are not null there; every row must have one.

    The kernel leaves out rows without any, and all rows after them would move up.
    """
    return pc.binary_join_element_wise("{", pc.binary_join_element_wise(*members, ",", null_handling="skip"), "}", "")


def arrays(values: pa.Array, counts: npt.NDArray[np.int64]) -> pa.Array:
    """An array for each count, of that many of the next ``values``."""
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(ends), values)
    return pc.binary_join_element_wise("[", pc.binary_join(lists, ","), "]", "")


def _escape(texts: pa.Array) -> pa.Array:
    is_special = pc.match_substring_regex(texts, _SPECIAL)
    return replace_where(is_special, texts, lambda some: map_distinct(some, _escaped))


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
