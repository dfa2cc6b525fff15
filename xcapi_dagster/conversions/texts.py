"""What all columns of text have in common: blank ends, lower case, e-mail addresses in them."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Stands where a column held something that cannot be made a text: no rule of any column accepts it.
UNREADABLE = "\N{REPLACEMENT CHARACTER}"

# what str.isspace() finds, and format characters: zero-width spaces, byte order marks, marks of direction
_INVISIBLE = r"[\p{Z}\p{Cf}\t-\r\x1c-\x1f\x{85}]+"
_EMAIL_INSIDE = r"[^\s@]@[^\s@]+\.\pL{2}"
_ASCII_EMAIL_INSIDE = r"[^\s@]@[^\s@]+\.[A-Za-z]{2}"  # to compile the letters of Unicode takes a millisecond

Bytes = npt.NDArray[np.uint8]

_LAST_ASCII = 0x7F
_BLOCK = 1 << 16  # bytes


def strip(texts: pa.Array) -> pa.Array:
    """The texts without white space at their ends, as `str.strip` does it; null where nothing is left."""
    return _blank_to_null(pc.utf8_trim_whitespace(texts))


def strip_invisible(texts: pa.Array) -> pa.Array:
    """The texts without white space and invisible format characters at their ends; null where nothing is left."""
    texts = pc.utf8_trim_whitespace(texts)
    return _blank_to_null(replace_where(is_not_ascii(texts), texts, _without_invisible_ends))


def lower(texts: pa.Array) -> pa.Array:
    """What `str.lower` gives, by which others hash; `pc.utf8_lower` differs in some 80 characters."""
    return pc.ascii_lower(replace_where(is_not_ascii(texts), texts, lambda some: map_distinct(some, str.lower)))


def has_email(texts: pa.Array) -> pa.Array:
    """Whether each text contains what looks like an e-mail address."""
    has_at = contains_any(texts, "@")
    if not pc.any(has_at).as_py():
        return has_at
    some = texts.filter(has_at)
    pattern = _ASCII_EMAIL_INSIDE if is_all_ascii(some) else _EMAIL_INSIDE
    return pc.replace_with_mask(has_at, has_at, pc.match_substring_regex(some, pattern))


def has_halves(text: str) -> bool:
    """Whether the text holds halves of characters, as JSON may, which nothing can write."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def contains_any(texts: pa.Array, characters: str) -> pa.Array:
    """Whether each text contains one of these ASCII characters; false for null."""
    return has_byte(texts, lambda held: reduce(np.logical_or, (held == ord(character) for character in characters)))


def is_all_ascii(texts: pa.Array) -> bool:
    """Whether none of the texts has a character beyond ASCII."""
    return bool(pc.all(pc.string_is_ascii(texts), min_count=0).as_py())


def is_not_ascii(texts: pa.Array) -> pa.Array:
    """Whether each text has a character beyond ASCII; false for null."""
    return has_byte(texts, lambda held: held > _LAST_ASCII)


def has_byte(texts: pa.Array, is_wanted: Callable[[Bytes], npt.NDArray[np.bool_]]) -> pa.Array:
    """Whether each text has a byte that ``is_wanted``; false for null.

    Looked for in the bytes of all texts at once, which takes a tenth of what a search in each of them does.
    """
    has_some = np.zeros(len(texts), np.bool_)
    if texts.null_count < len(texts):
        _, ends, held = texts.buffers()
        ends = np.frombuffer(ends, np.int32)[texts.offset :][: len(texts) + 1]
        found = _positions(np.frombuffer(held or b"", np.uint8)[ends[0] : ends[-1]], is_wanted)
        has_some[np.searchsorted(ends, found + ends[0], side="right") - 1] = True
    return pc.and_(pa.array(has_some), texts.is_valid())


def _positions(held: Bytes, is_wanted: Callable[[Bytes], npt.NDArray[np.bool_]]) -> npt.NDArray[np.intp]:
    """Where there are such bytes; in blocks that the processor's cache holds, which is five times faster."""
    blocks = range(0, len(held), _BLOCK)
    found = [np.flatnonzero(is_wanted(held[start : start + _BLOCK])) + start for start in blocks]
    return np.concatenate([np.empty(0, np.intp), *found])


def matches(texts: pa.Array, pattern: str) -> pa.Array:
    """Whether each text matches the regular expression; false for null."""
    if _is_all_null(texts):
        return pa.repeat(False, len(texts))
    return flags(pc.match_substring_regex(texts, pattern))


def extract(texts: pa.Array, pattern: str, group: str) -> pa.Array:
    """What the named group of the regular expression matches in each text; null where the expression does not."""
    if _is_all_null(texts):
        return texts
    return pc.struct_field(pc.extract_regex(texts, pattern), group)


def before(separator: str, texts: pa.Array) -> pa.Array:
    """What is before the first separator in each text: all of it if there is none."""
    return pc.list_element(pc.split_pattern(texts, separator, max_splits=1), 0)


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array; as a rule it is one, which `combine_chunks` alone would copy."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def flags(mask: pa.Array) -> pa.Array:
    """The mask with false for null."""
    if mask.null_count == 0:
        return mask
    return pc.and_kleene(mask, mask.is_valid())  # the kernel fill_null takes five times as long


def to_bools(mask: pa.Array) -> npt.NDArray[np.bool_]:
    """A mask without nulls as NumPy has it; Arrow's own way, bit by bit, takes ten times as long."""
    _, bits = mask.buffers()
    if bits is None:
        return np.zeros(len(mask), np.bool_)
    bytewise = np.unpackbits(np.frombuffer(bits, np.uint8), count=mask.offset + len(mask), bitorder="little")
    return bytewise[mask.offset :].view(np.bool_)


def keep_where(mask: pa.Array, values: pa.Array) -> pa.Array:
    """The values where the mask is true, null elsewhere."""
    if values.type.num_fields or pa.types.is_null(values.type):
        return pc.if_else(flags(mask), values, pa.scalar(None, values.type))
    if values.offset:  # of a slice of texts, `if_else` gives others before Arrow 24
        values = pa.concat_arrays([values])
    return _with_validity(pc.and_(flags(mask), values.is_valid()), values)


def drop_where(mask: pa.Array, values: pa.Array) -> pa.Array:
    """The values, null where the mask is true."""
    if not pc.any(mask).as_py():
        return values
    return keep_where(pc.invert(flags(mask)), values)


def replace_where(mask: pa.Array, texts: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The texts with ``function`` applied to those where the mask is true, all of them at once."""
    mask = flags(mask)
    if not pc.any(mask).as_py():
        return texts
    return pc.replace_with_mask(texts, mask, function(texts.filter(mask)))


def map_distinct(texts: pa.Array, function: Callable[[Any], str | None]) -> pa.Array:
    """What ``function`` gives for each distinct text, or bytes, in their places: for the rare ones beyond kernels."""
    encoded = texts.dictionary_encode()
    return pa.array([function(text) for text in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def match_distinct(texts: pa.Array, pattern: str) -> pa.Array:
    """Whether each text matches the regular expression, found out once for each distinct one."""
    encoded = texts.dictionary_encode()
    return pc.match_substring_regex(encoded.dictionary, pattern).take(encoded.indices)


def _blank_to_null(texts: pa.Array) -> pa.Array:
    return drop_where(pc.equal(texts, ""), texts)


def _with_validity(is_valid: pa.Array, values: pa.Array) -> pa.Array:
    """The same values, of which others are null: what they hold is not copied."""
    _, validity = is_valid.buffers()
    _, *held = values.buffers()
    return pa.Array.from_buffers(values.type, len(values), [validity, *held])


def _is_all_null(texts: pa.Array) -> bool:
    """Then nothing needs compiling, which for classes of Unicode takes as long as to match some thousand texts."""
    return bool(texts.null_count == len(texts))


def _without_invisible_ends(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, f"^{_INVISIBLE}|{_INVISIBLE}$", "")
