"""Digests of columns: SHA-256 of identifiers for X, SipHash for our own keys and fingerprints.

The only loop over values in the transform, but for rare ones, is in here: no Arrow kernel hashes. SipHash-2-4 is made
for short texts and a secret; pandas has it for whole columns, many times faster than `hashlib` has anything.
"""

from binascii import hexlify
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array

from xcapi_dagster.contract import SHA256
from xcapi_dagster.conversions.texts import keep_where, replace_where, to_bools

KEY = np.dtype([("high", ">u8"), ("low", ">u8")])
Keys = npt.NDArray[np.void]  # of KEY
Fingerprints = npt.NDArray[np.uint64]

# Part of every fingerprint, in clear: raise it when the same order becomes another payload, or its fingerprint is
# computed in another way, for that is no change of the order.
NORMALIZER_VERSION = 4

_VERSION_BITS = 8
_DIGEST_DIGITS = 64
_ROWS_AT_ONCE = 4096  # of a chunk, so that what is hashed is in the processor's cache and its memory is used again

Secrets = tuple[bytes, bytes]  # 16 bytes each, one for each half of a key

# Where nothing that is digested is kept where others may read it, or what is kept is but a fingerprint.
_NO_SECRETS: Secrets = (b"xcapi.dagster/hi", b"xcapi.dagster/lo")


def to_sha256(texts: pa.Array) -> pa.Array:
    """The SHA-256 of each text as 64 lower-case hexadecimal digits, without salt; null stays null."""
    given = texts.drop_null()
    digits = b"".join(
        _sha256_of_each(given.slice(start, _ROWS_AT_ONCE)) for start in range(0, len(given), _ROWS_AT_ONCE)
    )
    is_given = to_bools(texts.is_valid())
    ends = np.concatenate([[0], np.cumsum(is_given, dtype=np.int32)], dtype=np.int32) * np.int32(_DIGEST_DIGITS)
    _, validity = pa.array(is_given).buffers()
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(digits), validity, texts.null_count)


def _sha256_of_each(texts: pa.Array) -> bytes:
    return hexlify(b"".join([sha256(text).digest() for text in _to_bytes(texts)]))


def is_sha256(texts: pa.Array) -> pa.Array:
    """Whether each text is 64 lower-case hexadecimal digits; null for null."""
    digits = sha256_digits(texts)
    if digits is None or not _are_hexadecimal(digits):
        return pc.match_substring_regex(texts, f"^{SHA256.pattern}$")
    return keep_where(texts.is_valid(), pa.repeat(True, len(texts)))


def sha256_digits(texts: pa.Array) -> npt.NDArray[np.uint8] | None:
    """The 64 characters of each text that is not null; None if one has more or fewer."""
    if texts.null_count == len(texts):
        return np.empty((0, _DIGEST_DIGITS), np.uint8)
    if pc.min_max(pc.binary_length(texts)).as_py() != {"min": _DIGEST_DIGITS, "max": _DIGEST_DIGITS}:
        return None
    _, offsets, characters = texts.buffers()
    start, end = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    if end - start != (len(texts) - texts.null_count) * _DIGEST_DIGITS:  # there is something under a null
        return sha256_digits(texts.drop_null())
    return np.frombuffer(characters, np.uint8, end - start, start).reshape(-1, _DIGEST_DIGITS)


def _are_hexadecimal(digits: npt.NDArray[np.uint8]) -> bool:
    parts = (digits[start : start + _ROWS_AT_ONCE] for start in range(0, len(digits), _ROWS_AT_ONCE))
    return all(((part - ord("0") < 10) | (part - ord("a") < 6)).all() for part in parts)  # what is less wraps around


def to_keys(event_ids: pa.Array, conversion_ids: pa.Array, secrets: Secrets = _NO_SECRETS) -> Keys:
    """One 128-bit key for each pair of event and conversion id, neither null; `tw-<pixel>-<event>` is `<event>`."""
    events = replace_where(pc.starts_with(event_ids, "tw-"), event_ids, _without_pixel)
    pairs = _to_bytes(pc.binary_join_element_wise(events, conversion_ids, "\0"))  # an event id has no NUL
    keys = np.empty(len(pairs), KEY)
    for half, secret in zip(KEY.names or (), secrets, strict=True):
        keys[half] = siphash(pairs, secret)
    return keys


def to_fingerprints(numbers: Sequence[pa.Array], texts: Sequence[pa.Array]) -> pa.Array:
    """A uint64 for each row: the normalizer's version in the upper 8 bits, a digest of the row's values in the others.

    ``numbers`` are of types with whole 64-bit words, ``texts`` may contain anything. What is hashed says of each value
    whether it is null, and of each text how long it is: no two rows that differ give the same bytes.
    """
    columns = [_heads(numbers, texts), *(text.cast(pa.binary()) for text in texts)]
    digests = [
        to_numbers(_joined([column.slice(start, _ROWS_AT_ONCE) for column in columns]))
        for start in range(0, len(columns[0]), _ROWS_AT_ONCE)
    ]
    version = np.uint64(NORMALIZER_VERSION << (64 - _VERSION_BITS))
    return pa.array(np.concatenate([np.empty(0, np.uint64), *digests]) >> np.uint64(_VERSION_BITS) | version)


def to_numbers(texts: pa.Array) -> npt.NDArray[np.uint64]:
    """A 64-bit digest of each text, none of which is null."""
    return siphash(_to_bytes(texts), _NO_SECRETS[0])


def _heads(numbers: Sequence[pa.Array], texts: Sequence[pa.Array]) -> pa.Array:
    """For each row, in little-endian bytes, the numbers, which of them are null, and the lengths of the texts."""
    columns = [
        *(_words(number) for number in numbers),
        *(to_bools(number.is_valid()) for number in numbers),
        *(pc.fill_null(pc.binary_length(text), -1).to_numpy() for text in texts),
    ]
    fields = [(f"{at}", column.dtype.newbyteorder("<"), column.shape[1:]) for at, column in enumerate(columns)]
    heads = np.empty(len(columns[0]), fields)
    for (name, *_), column in zip(fields, columns, strict=True):
        heads[name] = column
    kind = pa.binary(heads.itemsize)
    return pa.Array.from_buffers(kind, len(heads), [None, pa.py_buffer(heads)]).cast(pa.binary())


def _joined(columns: list[pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*columns, b"", null_handling="replace", null_replacement=b"")


def _words(numbers: pa.Array) -> npt.NDArray[np.int64]:
    """The 64-bit words of each number, zero for null, under which anything may be."""
    known = pc.fill_null(numbers, pa.scalar(0).cast(numbers.type))
    words = numbers.type.bit_width // 64
    held = np.frombuffer(known.buffers()[1], np.int64, len(known) * words, known.offset * words * 8)
    return held.reshape(-1, words)


def _without_pixel(event_ids: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(event_ids, "^tw-[0-9a-z]+-", "")


def siphash(values: npt.NDArray[np.object_], secret: bytes) -> npt.NDArray[np.uint64]:
    """SipHash-2-4 of each value, which is bytes, its bits then mixed once more, reversibly."""
    as_text = {"hash_key": secret.decode("latin-1"), "encoding": "latin-1"}  # each byte a character, and back
    digests: npt.NDArray[np.uint64] = hash_array(values, categorize=False, **as_text)
    return digests


def _to_bytes(texts: pa.Array) -> npt.NDArray[np.object_]:
    values: npt.NDArray[np.object_] = texts.cast(pa.binary()).to_numpy(zero_copy_only=False)
    return values
