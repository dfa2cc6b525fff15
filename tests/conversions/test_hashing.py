"""Digests of columns: SHA-256 as X publishes it, keys and fingerprints that tell orders apart."""

import hashlib
from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.siphash import mixed, siphash_2_4
from xcapi_dagster.conversions.hashing import (
    NORMALIZER_VERSION,
    is_sha256,
    sha256_digits,
    siphash,
    to_fingerprints,
    to_keys,
    to_numbers,
    to_sha256,
)
from xcapi_dagster.conversions.texts import drop_where


@given(st.lists(st.none() | st.text(max_size=30), max_size=20))
@settings(max_examples=50)
def test_sha256_is_that_of_the_utf_8(texts: list[str | None]) -> None:
    """64 lower-case hexadecimal digits without salt, null for null, in the texts' order."""
    column = pa.array([None, *texts], pa.string()).slice(1)
    expected = [None if text is None else hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert to_sha256(column).to_pylist() == expected
    assert to_sha256(column.drop_null()).to_pylist() == [digest for digest in expected if digest]


HASH = hashlib.sha256(b"").hexdigest()
ALMOST = [HASH.upper(), HASH[:-1], HASH + "0", HASH[:-1] + "g", HASH[:-1] + "/", HASH[:-1] + ":", HASH[:-2] + "é", ""]


@given(st.lists(st.sampled_from([None, HASH, HASH[::-1], *ALMOST]), max_size=6), st.integers(0, 2))
@settings(max_examples=150)
def test_only_hashes_are_taken_for_hashes(texts: list[str | None], skipped: int) -> None:
    """Whatever else is in the column: the whole one is looked at first."""
    column = pa.array(texts, pa.string()).slice(skipped)
    expected = [None if text is None else text not in ALMOST for text in texts[skipped:]]
    assert is_sha256(column).to_pylist() == expected


def test_a_hash_under_a_null_is_none() -> None:
    """Nor may it move the others."""
    hashes = pa.array([HASH[::-1], HASH, HASH[::-1]])
    masked = drop_where(pa.array([False, True, False]), hashes)
    digits = sha256_digits(masked)
    assert digits is not None
    assert [bytes(each).decode() for each in digits] == [HASH[::-1]] * 2
    assert is_sha256(masked).to_pylist() == [True, None, True]


def test_both_forms_of_an_event_have_one_key() -> None:
    """`tw-o8z6j-o87ne` is `o87ne`; another event or conversion is another key."""
    events = pa.array(["o87ne", "tw-o8z6j-o87ne", "ol288", "o87ne"])
    keys = to_keys(events, pa.array(["1", "1", "1", "2"]))
    assert keys[0] == keys[1]
    assert len(np.unique(keys)) == 3
    assert keys.itemsize == 16


ROWS = st.lists(st.none() | st.sampled_from(["a", "b", "\0", "1", "", "a\0b", "\0a", "10"]), min_size=2, max_size=2)


@given(ROWS, ROWS)
@settings(max_examples=150)
def test_other_texts_have_another_fingerprint(one: list[str | None], other: list[str | None]) -> None:
    """Text that moves from one column to the next, NULs and lengths in the text, and null for "" change it."""
    columns = [pa.array([first, second], pa.string()) for first, second in zip(one, other, strict=True)]
    fingerprints = to_fingerprints([pa.array([1, 1])], columns).to_pylist()
    assert (fingerprints[0] == fingerprints[1]) == (one == other)


def test_a_fingerprint_is_of_its_row_alone() -> None:
    """However many rows there are, and wherever among them it is."""
    numbers, texts = pa.array(range(9_000)), pa.array([f"text {number}" for number in range(9_000)])
    together = to_fingerprints([numbers], [texts]).to_pylist()
    assert len(set(together)) == 9_000
    for row in (0, 4_095, 4_096, 8_999):
        assert to_fingerprints([numbers.slice(row, 1)], [texts.slice(row, 1)]).to_pylist() == [together[row]]
    assert to_fingerprints([numbers.slice(0, 0)], [texts.slice(0, 0)]).to_pylist() == []


def test_null_is_another_value_in_plain_columns_too() -> None:
    """A value that goes, comes or moves to the next column changes the fingerprint."""
    left = pa.array([5, None, 5, None])
    right = pa.array([None, 5, 5, None])
    assert len(set(to_fingerprints([left, right], [left.cast(pa.string())]).to_pylist())) == 4


def test_fingerprints_carry_the_version_of_the_normalizer() -> None:
    """In the upper 8 bits, so that one of another version can be told from a change."""
    fingerprints = to_fingerprints([pa.array([1, 2, 3])], [pa.array(["a", "b", None])])
    assert {fingerprint >> 56 for fingerprint in fingerprints.to_pylist()} == {NORMALIZER_VERSION}


# SipHash-2-4 of the bytes 00 01 02 … with the key 00 01 … 0f: its authors' vectors, which begin like this.
SIPHASH_VECTORS = (
    "310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785", "b7877127e09427cf",
    "8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab", "6224939a79f5f593", "b0e4a90bdf82009e",
)  # fmt: skip


def test_siphash_is_the_published_one() -> None:
    """Whatever version pandas has: with another hash, every order that X has accepted would seem to have changed."""
    texts = [bytes(range(length)) for length in range(len(SIPHASH_VECTORS))]
    secret = bytes(range(16))
    published = [int.from_bytes(bytes.fromhex(vector), "little") for vector in SIPHASH_VECTORS]
    assert [siphash_2_4(secret, text) for text in texts] == published
    assert siphash(np.array(texts, object), secret).tolist() == [mixed(number) for number in published]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.binary(min_size=16, max_size=16))
def test_siphash_takes_any_secret(texts: list[bytes], secret: bytes) -> None:
    """Also bytes that are no text."""
    expected = [mixed(siphash_2_4(secret, text)) for text in texts]
    assert siphash(np.array(texts, object), secret).tolist() == expected


def test_texts_have_their_numbers() -> None:
    """The same text the same, in any column; another one another."""
    texts = ["a", "b", "a", ""]
    numbers = to_numbers(pa.array(texts)).tolist()
    assert len(set(numbers)) == 3
    assert to_numbers(pa.array(["x", *texts]).slice(1)).tolist() == numbers


def test_what_is_under_a_null_is_not_hashed() -> None:
    """Arrow leaves there what was there before."""
    numbers, nothing = pa.array([5, 6, None]), pa.array([None, None, None], pa.int64())
    masked = pa.Array.from_buffers(pa.int64(), 3, [nothing.buffers()[0], numbers.buffers()[1]])
    assert to_fingerprints([masked], []).equals(to_fingerprints([nothing], []))


def test_fingerprints_are_the_same_everywhere() -> None:
    """Those of a ledger are compared with ones from other machines and later versions: these were kept."""
    kept = [0x4B279481327D96C, 0x49C4746CEFB28B2]  # the version above the digest
    columns = [pa.array([1, None]), pa.array([Decimal("2.50"), None], pa.decimal128(38, 6))]
    texts = [pa.array(["o87ne", "Café"]), pa.array([None, ""])]
    assert to_fingerprints(columns, texts).to_pylist() == kept
    assert (
        to_fingerprints([each.slice(1) for each in columns], [each.slice(1) for each in texts]).to_pylist() == kept[1:]
    )


def test_nothing_is_hashed_of_nothing() -> None:
    """Empty and all-null columns."""
    assert to_sha256(pa.array([], pa.string())).to_pylist() == []
    assert to_sha256(pa.nulls(2, pa.string())).to_pylist() == [None, None]
