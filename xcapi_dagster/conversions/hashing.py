"""Digests of columns: SHA-256 of identifiers for X, BLAKE2b for our own keys and fingerprints.

The only loops over values in the transform, but for rare ones, are in here: no Arrow kernel hashes.
"""

from collections.abc import Sequence
from hashlib import blake2b, sha256

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

KEY = np.dtype([("high", ">u8"), ("low", ">u8")])
Keys = npt.NDArray[np.void]  # of KEY
Fingerprints = npt.NDArray[np.uint64]

# Part of every fingerprint, in clear: raise it when the same order becomes another payload, for that is no change
# of the order.
NORMALIZER_VERSION = 1

_VERSION_BITS = 8
_DIGEST_DIGITS = 64


def to_sha256(texts: pa.Array) -> pa.Array:
    """The SHA-256 of each text as 64 lower-case hexadecimal digits, without salt; null stays null."""
    digests = b"".join([sha256(text).digest() for text in texts.drop_null().cast(pa.binary()).to_pylist()])
    ends = np.arange(0, 2 * len(digests) + 1, _DIGEST_DIGITS, dtype=np.int32)
    hashes = pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(digests.hex().encode()))
    if not texts.null_count:
        return hashes
    is_given = texts.is_valid()
    return pc.replace_with_mask(pa.nulls(len(texts), pa.string()), is_given, hashes)


def to_keys(event_ids: pa.Array, conversion_ids: pa.Array) -> Keys:
    """One 128-bit key for each pair of event and conversion id, neither null; `tw-<pixel>-<event>` is `<event>`."""
    events = pc.replace_substring_regex(event_ids, "^tw-[0-9a-z]+-", "")
    pairs = pc.binary_join_element_wise(events, conversion_ids, "\0")  # an event id has no NUL
    return np.frombuffer(_digests(pairs, KEY.itemsize), KEY)


def to_fingerprints(columns: Sequence[pa.Array], texts: Sequence[pa.Array]) -> pa.Array:
    """A uint64 for each row: the normalizer's version in the upper 8 bits, BLAKE2b of the row's values in the others.

    ``columns`` become text and must not contain NUL nor be empty; ``texts`` may contain anything, which is why their
    lengths are hashed too. Null, for which nothing is hashed, differs from every value.
    """
    fields = [_plain_text(column) for column in (*columns, *map(pc.binary_length, texts))]
    rows = pc.binary_join_element_wise(*fields, *texts, "\0", null_handling="replace", null_replacement="")
    digests = np.frombuffer(_digests(rows, 8), ">u8").astype(np.uint64)
    version = np.uint64(NORMALIZER_VERSION << (64 - _VERSION_BITS))
    return pa.array(digests >> np.uint64(_VERSION_BITS) | version)


def _plain_text(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())  # with their zone the cast to text would be 30 times slower
    return column.cast(pa.string())


def _digests(texts: pa.Array, size: int) -> bytes:
    return b"".join([blake2b(text, digest_size=size).digest() for text in texts.cast(pa.binary()).to_pylist()])
