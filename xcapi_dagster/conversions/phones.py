"""Phone numbers as E.164: what the `phonenumbers` library answers, a column at a time.

A number is taken if the library can parse it in its region and calls it *possible*; it need not be valid, because
X's own example, +11234567890, is not. What the library reads, we read: separators, brackets, "(0)", trunk prefixes,
each region's prefix for calls abroad, full-width and Arabic digits; extensions are dropped. As in the library, the
area code may be missing where one may dial without it ("253-0000" in the US).

The library also guesses, and here a wrong number is a wrong person. So:

* Letters are refused: vanity numbers, words, exponents (4.15E9), and masked numbers such as 031111xxxx, which the
  library completes to one that looks real. Allowed are a "tel:" in front and, at the end, the label of an extension
  that the library recognizes ("x55", "ext. 55", ";ext=55").
* Other signs of a masked number, which the library would skip, are refused as well: * _ ? • … and the like, and ##.
* Digits with nothing but zeros behind one full stop are refused: 4155552671.0 was a floating-point number.
* A leading 00, the prefix that ITU-T E.164 recommends, is read as the plus sign where the region's own rule gives no
  possible number, and where there is no region.
* Without a region, or with one that the library does not know, every other number that it could read in some region
  has no country, also 00 without an assigned calling code behind it. What it could read in none (a single digit,
  two numbers joined by "&") is invalid.
* A text of more than 250 characters is invalid, as in the library.

Most numbers are settled column-wise with the library's own metadata. Whatever is not provably the same there goes to
the library, one by one.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from phonenumbers import NumberParseException, PhoneNumberFormat

from xcapi_dagster.conversions.phone_metadata import (
    Flags,
    calling_codes,
    plan_of_calling_code,
    plan_of_region,
    without_international_prefix,
)
from xcapi_dagster.conversions.texts import (
    contains_any,
    flags,
    is_not_ascii,
    map_distinct,
    matches,
    replace_where,
    to_bools,
)

# What most numbers look like: digits between the library's commonest punctuation, at most one plus sign in front,
# and not only zeros behind the last full stop.
_GAP = r"- ()\[\]/\x{00A0}\x{2010}-\x{2015}"
_PLAIN_TEL = "tel:"
_OTHER_DIGITS = "[\u0660-\u0669\u06f0-\u06f9\uff10-\uff19]"  # Arabic, eastern Arabic and full-width ones
_TO_ASCII = {zero + digit: str(digit) for zero in (0x0660, 0x06F0, 0xFF10) for digit in range(10)}
# An extension as most write it, which the library drops too.
_PLAIN_EXTENSION = r"(?i)(?:;ext=| ext\.? ?| ?x ?)[0-9]{1,6}$"
_PLAIN = rf"^[ (\[]*\+?(?:[.0-9{_GAP}]*(?:[{_GAP}]|\.0*[1-9]))?[0-9]+$"
_MAX_CHARACTERS = 250  # the library's limit
_MIN_DIGITS = 3  # of shorter ones the library also judges the punctuation

# \uff.. are the full-width forms.
_TEL = re.compile(r"^\W*tel:", re.IGNORECASE)
_LABEL = r"ext|extn|extension|extensi(?:ó|o\u0301)n|xtn?|anexo|доб|int|x"
_WIDE_LABEL = r"\uff45?\uff58\uff54\uff4e?|\uff49\uff4e\uff54|\uff58"
_EXTENSION = re.compile(rf"(?:;ext=|(?:{_LABEL}|{_WIDE_LABEL})[:.\uff0e]?[ \u00a0\t,-]*)\d+\W*$", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
_MASK = re.compile(r"[*_?•●·█…\uff0a\uff1f]|##")
_FLOAT = re.compile(r"[-+]?\d+\.0+")
_PLUS_FIRST = re.compile(r"[^\d+\uff0b]*[+\uff0b]")
_ZEROS_FIRST = re.compile(r"(?:[^\d+\uff0b]*[0\uff10\u0660\u06f0]){2}")

Rows = npt.NDArray[np.intp]


class E164(NamedTuple):
    """For each row its number ("+", calling code, national number) or null, and why there is none.

    ``no_country``: a national number without a region to read it in. ``invalid``: a text without a possible number.
    A row without text is neither.
    """

    values: pa.Array
    no_country: pa.Array
    invalid: pa.Array


class Dialed(NamedTuple):
    """Some rows and the ASCII digits of their numbers, without the plus sign."""

    rows: Rows
    digits: pa.Array

    def where(self, mask: Flags) -> "Dialed":
        """Only the rows with a true flag."""
        return Dialed(self.rows[mask], self.digits.filter(pa.array(mask)))

    def by(self, keys: pa.Array) -> Iterator[tuple[Any, "Dialed"]]:
        """The rows of each key; ``keys`` holds one for every row."""
        encoded = keys.dictionary_encode("encode")
        of_rows = encoded.indices.to_numpy()
        order = np.argsort(of_rows, kind="stable")
        rows, digits = self.rows[order], self.digits.take(pa.array(order))
        start = 0
        for key, size in zip(encoded.dictionary.to_pylist(), np.bincount(of_rows).tolist(), strict=True):
            yield key, Dialed(rows[start : start + size], digits.slice(start, size))
            start += size


class Settled(NamedTuple):
    """Some rows and their final numbers, null where there is none; ``no_country``: because a region is missing."""

    rows: Rows
    values: pa.Array
    no_country: Flags

    def where(self, mask: Flags) -> "Settled":
        """Only the rows with a true flag."""
        return Settled(self.rows[mask], self.values.filter(pa.array(mask)), self.no_country[mask])


def to_e164(numbers: pa.Array, regions: pa.Array) -> E164:
    """Each number in E.164; a national one is read in its row's region.

    ``numbers`` are texts without white space at the ends, ``regions`` ISO 3166 alpha-2 in upper case, both strings
    and nullable. No text raises.
    """
    has_text = to_bools(flags(pc.greater(pc.binary_length(numbers), 0)))
    settled = list(settle_by_columns(numbers, regions))
    left = has_text.copy()
    for part in settled:
        left[part.rows] = False
    settled.append(_settle_by_library(numbers, regions, np.flatnonzero(left)))
    return _in_order(settled, has_text)


def settle_by_columns(numbers: pa.Array, regions: pa.Array) -> Iterator[Settled]:
    """The rows that can be settled column-wise, in parts that do not overlap; the others need the library."""
    fits = pc.less_equal(pc.binary_length(numbers), _MAX_CHARACTERS)
    numbers = _as_most_write(numbers)
    plain = flags(pc.and_(fits, pc.match_substring_regex(numbers, _PLAIN)))
    texts = numbers.filter(plain)
    dialed = Dialed(np.flatnonzero(to_bools(plain)), _digits_of(texts))
    has_plus = to_bools(pc.match_substring(texts, "+"))
    yield from _settle_international(dialed.where(has_plus))
    national = dialed.where(~has_plus & _has_enough(dialed.digits))
    maybe_abroad: list[Dialed] = []
    for region, group in national.by(regions.take(pa.array(national.rows))):
        at_home, with_prefix, with_zeros = _settle_in_region(region, group)
        yield at_home
        maybe_abroad += [with_prefix, with_zeros]
    for part in _settle_international(_together(maybe_abroad)):  # of all regions at once: each step has its price
        yield part.where(to_bools(part.values.is_valid()))


def _as_most_write(numbers: pa.Array) -> pa.Array:
    """The same numbers, but in ASCII digits, without a "tel:" in front, and without an extension."""
    numbers = replace_where(is_not_ascii(numbers), numbers, _with_ascii_digits)
    has_tel, length = pc.starts_with(numbers, _PLAIN_TEL), len(_PLAIN_TEL)
    numbers = replace_where(has_tel, numbers, lambda some: pc.utf8_slice_codeunits(some, length))
    may_have_extension = contains_any(numbers, "xX")
    return replace_where(
        may_have_extension, numbers, lambda some: pc.replace_substring_regex(some, _PLAIN_EXTENSION, "")
    )


def _with_ascii_digits(texts: pa.Array) -> pa.Array:
    has_others = matches(texts, _OTHER_DIGITS)
    return replace_where(has_others, texts, lambda some: map_distinct(some, lambda text: text.translate(_TO_ASCII)))


def _digits_of(texts: pa.Array) -> pa.Array:
    """The ASCII digits of each text, none of which is null: all texts at once, byte by byte."""
    _, offsets, characters = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    held = np.frombuffer(characters or b"", np.uint8)[bounds[0] : bounds[-1]]
    is_digit = held - ord("0") < 10  # what is less wraps around
    ends = np.concatenate([[0], np.cumsum(is_digit)])[bounds - bounds[0]].astype(np.int32)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(held[is_digit]))


def _together(parts: list[Dialed]) -> Dialed:
    rows = np.concatenate([np.empty(0, np.intp), *(part.rows for part in parts)])
    return Dialed(rows, pa.concat_arrays([pa.array([], pa.string()), *(part.digits for part in parts)]))


def _settle_international(dialed: Dialed) -> Iterator[Settled]:
    """Numbers that begin with an assigned calling code; others are left out."""
    dialed = dialed.where(_has_enough(dialed.digits))
    first_three = pc.utf8_slice_codeunits(dialed.digits, 0, 3).cast(pa.int16())
    for code, group in dialed.by(pa.array(calling_codes()[first_three])):
        if code:
            national = pc.utf8_slice_codeunits(group.digits, len(str(code)))
            yield _settled(group.rows, plan_of_calling_code(code).e164(national))


def _settle_in_region(region: str | None, dialed: Dialed) -> tuple[Settled, Dialed, Dialed]:
    """Numbers without a plus sign: those at home settled, then those that may be abroad without what stands before.

    First those behind the region's prefix for calls abroad, then those behind a 00 that is not its prefix.
    """
    plan = plan_of_region(region)
    rest, is_abroad = without_international_prefix(dialed.digits, plan)
    home = dialed.where(~is_abroad)
    values = plan.e164_of_domestic(home.digits) if plan else pa.nulls(len(home.rows), pa.string())
    maybe_abroad = to_bools(pc.and_(pc.starts_with(home.digits, "00"), values.is_null()))
    rows, digits = home.where(maybe_abroad)
    return (
        _settled(home.rows, values, no_country=plan is None).where(~maybe_abroad),
        Dialed(dialed.rows, rest).where(is_abroad),
        Dialed(rows, pc.utf8_slice_codeunits(digits, 2)),
    )


def _settle_by_library(numbers: pa.Array, regions: pa.Array, rows: Rows) -> Settled:
    taken = pa.array(rows)
    pairs = list(zip(numbers.take(taken).to_pylist(), regions.take(taken).to_pylist(), strict=True))
    answers = {pair: _ask_library(*pair) for pair in set(pairs)}
    values = pa.array([answers[pair][0] for pair in pairs], pa.string())
    return Settled(rows, values, np.array([answers[pair][1] for pair in pairs], np.bool_))


def _ask_library(text: str, region: str | None) -> tuple[str | None, bool]:
    """The number in E.164, if it is possible, and whether a region is all that it lacks."""
    if len(text) > _MAX_CHARACTERS:
        return None, False
    text = _TEL.sub("", text)
    if _LETTER.search(_EXTENSION.sub("", text)) or _MASK.search(text) or _FLOAT.fullmatch(text):
        return None, False
    known_region = region if region in phonenumbers.SUPPORTED_REGIONS else None
    number, lacks_code = _parse(text, known_region)
    if number is None and (zeros := _ZEROS_FIRST.match(text)):
        number, unassigned = _parse("+" + text[zeros.end() :], None)
        lacks_code = lacks_code and unassigned
    return number, lacks_code and known_region is None and not _PLUS_FIRST.match(text)


def _parse(text: str, region: str | None) -> tuple[str | None, bool]:
    """The number in E.164, if it is possible, and whether the library found no calling code for it."""
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        return None, error.error_type == NumberParseException.INVALID_COUNTRY_CODE
    has_vanity_letters = _LETTER.search(text) and not number.extension
    if has_vanity_letters or not phonenumbers.is_possible_number(number):
        return None, False
    return phonenumbers.format_number(number, PhoneNumberFormat.E164), False


def _has_enough(digits: pa.Array) -> Flags:
    return to_bools(pc.greater_equal(pc.binary_length(digits), _MIN_DIGITS))


def _settled(rows: Rows, values: pa.Array, *, no_country: bool = False) -> Settled:
    return Settled(rows, values, np.full(len(rows), no_country))


def _in_order(parts: list[Settled], has_text: Flags) -> E164:
    rows = np.concatenate([part.rows for part in parts])
    position = np.full(len(has_text), -1)
    position[rows] = np.arange(len(rows))
    values = pa.concat_arrays([part.values for part in parts]).take(pa.array(position, mask=position < 0))
    no_country = np.zeros(len(has_text), np.bool_)
    no_country[rows] = np.concatenate([part.no_country for part in parts])
    invalid = has_text & to_bools(values.is_null()) & ~no_country
    return E164(values, pa.array(no_country), pa.array(invalid))
