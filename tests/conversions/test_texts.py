"""Blank ends, lower case and e-mail addresses in columns of text."""

import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.texts import (
    before,
    contains_any,
    drop_where,
    has_email,
    keep_where,
    lower,
    map_distinct,
    match_distinct,
    replace_where,
    strip,
    strip_invisible,
    to_bools,
    whole,
)

CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_a_mask_is_the_same_in_numpy(values: list[bool], start: int) -> None:
    """Also where it is a part of a longer one."""
    assert to_bools(pa.array(values, pa.bool_()).slice(start)).tolist() == values[start:]


def test_strip_removes_what_python_strips() -> None:
    """Every character that `str.strip` removes is removed from both ends, and no other."""
    padded = pa.array([f"{character}x{character}" for character in CHARACTERS])
    assert strip(padded).to_pylist() == [f"{character}x{character}".strip() for character in CHARACTERS]


def test_strip_invisible_removes_format_characters_too() -> None:
    """Zero-width spaces, byte order marks and marks of direction go, in any mixture with white space; others stay."""
    removed = [c for c in CHARACTERS if c.isspace() or unicodedata.category(c) == "Cf"]
    padded = pa.array([f" {character} x\u200b{character}\n" for character in removed])
    assert set(strip_invisible(padded).to_pylist()) == {"x"}
    letters = [c for c in CHARACTERS if unicodedata.category(c)[0] in "LNS"]
    assert strip_invisible(pa.array(letters)).to_pylist() == letters


@pytest.mark.parametrize("function", [strip, strip_invisible])
def test_blank_becomes_null(function) -> None:  # type: ignore[no-untyped-def]
    """Nothing but white space is nothing."""
    assert function(pa.array(["", " ", "\t\r\n\u3000", None, "a b"])).to_pylist() == [None, None, None, None, "a b"]


def test_lower_is_pythons() -> None:
    """Every character becomes what `str.lower` makes of it."""
    assert lower(pa.array(CHARACTERS)).to_pylist() == [character.lower() for character in CHARACTERS]


@given(st.lists(st.text(max_size=20)))
@settings(max_examples=50)
def test_lower_is_pythons_for_texts(texts: list[str]) -> None:
    """Whole texts too, in which the end of a word matters (Σ) and one letter may become two (İ)."""
    assert lower(pa.array([*texts, "ΟΔΟΣ", "İ"], pa.string())).to_pylist() == [*map(str.lower, texts), "οδος", "i̇"]


def test_has_email_finds_addresses_inside_text() -> None:
    """An address anywhere counts; at-signs alone do not."""
    found = {
        "Gift for marie@example.com": True,
        "<Marie.Curie+x@mail.example.co.uk>": True,
        "c/o müller@exämple.de!": True,
        "2 @ 9.99 each": False,
        "follow @shop": False,
        "a@b": False,
        "": False,
    }
    assert has_email(pa.array(found)).to_pylist() == list(found.values())
    assert has_email(pa.array([None, None], pa.string())).to_pylist() == [False, False]


def test_replace_where_leaves_the_others_in_place() -> None:
    """Only rows where the mask is true are given to the function, and their results return to their places."""
    texts, mask = pa.array(["a", "b", None, "c"]), pa.array([True, False, None, True])
    replaced = replace_where(mask, texts, lambda some: map_distinct(some, str.upper))
    assert replaced.to_pylist() == ["A", "b", None, "C"]


def test_map_distinct_asks_once_for_each_text() -> None:
    """Equal texts are given to the function once."""
    asked: list[str] = []
    mapped = map_distinct(pa.array(["x", "y", "x"]), lambda text: asked.append(text) or text * 2)
    assert (mapped.to_pylist(), asked) == (["xx", "yy", "xx"], ["x", "y"])


def test_has_email_of_some_of_many() -> None:
    """Nulls and texts without an at-sign stay in their places; a column without any has no address."""
    texts = pa.array([None, "none here", "a@example.com", None, "@", "b@example.com"])
    assert has_email(texts).to_pylist() == [False, False, True, False, False, True]
    assert has_email(texts.slice(3)).to_pylist() == [False, False, True]
    assert has_email(texts.slice(0, 2)).to_pylist() == [False, False]
    assert has_email(pa.nulls(2, pa.string())).to_pylist() == [False, False]


@given(st.lists(st.none() | st.text("a@%é", max_size=5), max_size=8), st.integers(0, 2), st.sampled_from(["@", "%@"]))
@settings(max_examples=80)
def test_characters_are_found_wherever_they_are(texts: list[str | None], skipped: int, characters: str) -> None:
    """Any of them in any text, also in a slice of a column; none in null."""
    expected = [text is not None and any(each in text for each in characters) for text in texts]
    assert contains_any(pa.array(texts, pa.string()).slice(skipped), characters).to_pylist() == expected[skipped:]


def test_texts_end_before_a_separator() -> None:
    """The first one, where there is one."""
    texts = pa.array(["a&b&c", "a", "&a", "", None])
    assert before("&", texts).to_pylist() == ["a", "a", "", "", None]


ROWS = st.lists(st.tuples(st.none() | st.booleans(), st.none() | st.integers(0, 9)), max_size=20)


@given(ROWS, st.integers(0, 3), st.sampled_from([pa.string(), pa.int64(), pa.bool_(), pa.timestamp("us", "UTC")]))
@settings(max_examples=100)
def test_rows_are_kept_and_dropped_where_a_mask_says_so(
    rows: list[tuple[bool | None, int | None]], skipped: int, kind: pa.DataType
) -> None:
    """Null where it does not, or says nothing: in columns of any type, also in a slice of one."""
    mask = pa.array([is_true for is_true, _ in rows], pa.bool_()).slice(skipped)
    values = pa.array([number for _, number in rows], pa.int64()).cast(kind).slice(skipped)
    both = list(zip(mask.to_pylist(), values.to_pylist(), strict=True))
    assert keep_where(mask, values).to_pylist() == [value if is_true else None for is_true, value in both]
    assert drop_where(mask, values).to_pylist() == [None if is_true else value for is_true, value in both]
    whole = pa.concat_arrays([values])  # from its first row on
    assert keep_where(mask, whole).equals(keep_where(mask, values))


@pytest.mark.parametrize("values", [[[1], [2]], [{"a": 1}, {"a": 2}], [None, None]])
def test_nested_rows_are_kept_too(values: list[object]) -> None:
    """And nulls without a type."""
    assert keep_where(pa.array([False, True]), pa.array(values)).to_pylist() == [None, values[1]]


def test_distinct_texts_are_matched_once() -> None:
    """The answer is that for each text, null for null."""
    assert match_distinct(pa.array(["a1", "b", None, "a1"]), "^a[0-9]$").to_pylist() == [True, False, None, True]


def test_a_column_in_one_piece_is_not_copied() -> None:
    """As it mostly is; of several or none, one is made."""
    piece = pa.array(["a", "b", None])
    assert whole(piece) is piece
    assert whole(pa.chunked_array([piece])).buffers()[2].address == piece.buffers()[2].address
    assert whole(pa.chunked_array([piece, piece[1:]])).to_pylist() == ["a", "b", None, "b", None]
    assert whole(pa.chunked_array([], pa.string())).equals(pa.array([], pa.string()))
