"""JSON written column by column: members of objects, null where there is no value, and texts joined of parts.

Of long texts each pass costs more than the parts that a text is joined of: those are `given`, and joined at once.
"""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.texts import Bytes, has_byte, map_distinct, replace_where

# RFC 8259, section 7: what cannot stand between quotation marks as it is; in UTF-8 no other character has such a byte.
_BELOW_IS_CONTROL, _QUOTE, _BACKSLASH = 0x20, 0x22, 0x5C

Parts = tuple[str | pa.Array, ...]  # a text for all rows, or one for each


def given(before: str, texts: pa.Array, after: str) -> Parts:
    """Parts for `joined`: the text of each row between ``before`` and ``after``, nothing at all where it is null."""
    if texts.null_count == 0:
        return before, texts, after
    return (pc.binary_join_element_wise(before, texts, after, ""),)


def joined(*parts: str | pa.Array) -> pa.Array:
    """One text in each row, of what there is in it."""
    return pc.binary_join_element_wise(*_merged(parts), "", null_handling="replace", null_replacement="")


def escaped(texts: pa.Array) -> pa.Array:
    """The texts as they stand between quotation marks."""
    return replace_where(has_byte(texts, _is_special), texts, lambda some: map_distinct(some, _escape))


def text_member(name: str, texts: pa.Array) -> pa.Array:
    """`"name":"text"` for each text."""
    return plain_member(name, escaped(texts))


def plain_member(name: str, texts: pa.Array) -> pa.Array:
    """The same for texts in which nothing can need escaping, as times and hashes."""
    return pc.binary_join_element_wise(f'"{name}":"', texts, '"', "")


def json_member(name: str, texts: pa.Array) -> pa.Array:
    """`"name":text` for each text, which is JSON."""
    return pc.binary_join_element_wise(f'"{name}":', texts, "")


def _merged(parts: Sequence[str | pa.Array]) -> list[str | pa.Array]:
    """The parts, neighbours that are the same in all rows as one: in every row each part takes its time."""
    merged: list[str | pa.Array] = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _is_special(held: Bytes) -> npt.NDArray[np.bool_]:
    is_special: npt.NDArray[np.bool_] = (held < _BELOW_IS_CONTROL) | (held == _QUOTE) | (held == _BACKSLASH)
    return is_special


def _escape(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
