"""Phone numbers become what the phonenumbers library says, except where the module's docstring says otherwise."""

import hashlib
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat

from xcapi_dagster.conversions import phones

Row = tuple[str | None, str | None]
Answer = tuple[str | None, bool, bool]  # the number, no_country, invalid

NOTHING: Answer = (None, False, False)
NO_COUNTRY: Answer = (None, True, False)
INVALID: Answer = (None, False, True)

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CALLING_CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
PLUS = "+\uff0b"
ZEROS = "0\uff10\u0660\u06f0"
EXTENSION_LABELS = {"ext", "extn", "extension", "extensión", "xt", "xtn", "anexo", "доб", "int", "x"}


def converted(rows: Sequence[Row]) -> list[Answer]:
    numbers = pa.array([number for number, _ in rows], pa.string())
    regions = pa.array([region for _, region in rows], pa.string())
    return list(zip(*(column.to_pylist() for column in phones.to_e164(numbers, regions)), strict=True))


def reference(text: str | None, region: str | None) -> Answer:
    """The answer for one value, with nothing but the library and the documented exceptions."""
    if not text:
        return NOTHING
    is_long, text = len(text) > 250, re.sub(r"(?i)^\W*tel:", "", text)
    if is_long or is_float(text) or is_masked(text) or not is_any_letter_a_label(text):
        return INVALID
    known = region if region in phonenumbers.SUPPORTED_REGIONS else None
    number, error = by_library(text, known)
    signs = [sign for sign in text if sign in PLUS or sign.isdecimal()]
    if number is None and len(signs) > 1 and signs[0] in ZEROS and signs[1] in ZEROS:
        number, error = by_library("+" + text.split(signs[0], 1)[1].split(signs[1], 1)[1], None)
    if number is not None:
        return number, False, False
    is_national = error == NumberParseException.INVALID_COUNTRY_CODE and signs[0] not in PLUS
    return NO_COUNTRY if known is None and is_national else INVALID


def by_library(text: str, region: str | None) -> tuple[str | None, int | None]:
    """What the library makes of the text without guessing letters, else the type of its parse error, if it is one."""
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        return None, error.error_type
    is_spelled = any(sign.isalpha() for sign in text) and not number.extension
    if is_spelled or not phonenumbers.is_possible_number(number):
        return None, None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164), None


def is_float(text: str) -> bool:
    whole, dot, fraction = text.removeprefix("-").removeprefix("+").partition(".")
    return whole.isdecimal() and dot == "." and fraction != "" and set(fraction) == {"0"}


def is_masked(text: str) -> bool:
    return "##" in text or any(sign in "*_?•●·█…\uff0a\uff1f" for sign in text)


def is_any_letter_a_label(text: str) -> bool:
    """Whether there are no letters but those of one label of an extension, with only its digits behind."""
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", text))
    if not words:
        return True
    before, word, after = unicodedata.normalize("NFC", text).rpartition(words[-1])
    if before.endswith(";") and word.casefold() == "ext" and re.fullmatch(r"=\d+\W*", after):
        return len(words) == 1
    is_label = unicodedata.normalize("NFKC", word).casefold() in EXTENSION_LABELS
    return len(words) == 1 and is_label and bool(re.fullmatch(r"[:.\uff0e]?[ \u00a0\t,-]*\d+\W*", after))


def full_width(text: str) -> str:
    return text.translate({ord(sign): ord(sign) - ord("!") + ord("\uff01") for sign in "+0123456789"})


def arabic(text: str) -> str:
    return text.translate({ord("0") + digit: 0x0660 + digit for digit in range(10)})


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+11234567890", None, "+11234567890"),
        ("+1 (123) 456-7890", None, "+11234567890"),
        ("001 123 456 7890", None, "+11234567890"),
        ("001 123 456 7890", "US", "+11234567890"),
        ("1234567890", "US", "+11234567890"),
        ("1-800-555-0100", "US", "+18005550100"),
        ("+44 844 412 4653", None, "+448444124653"),
        ("020 7031 3000", "GB", "+442070313000"),
        ("0044 20 7031 3000", "GB", "+442070313000"),
        ("+44 (0)20 7031 3000", None, "+442070313000"),
        ("+4407911123456", None, "+447911123456"),
        ("03-1234-5678", "JP", "+81312345678"),
        ("06 698 12345", "IT", "+390669812345"),
        ("+1 415 555 2671 x55", None, "+14155552671"),
        ("(415) 555-2671 ext. 55", "US", "+14155552671"),
        ("tel:+14155552671;ext=55", None, "+14155552671"),
        (full_width("0044 20 7031 3000"), "GB", "+442070313000"),
        (full_width("+44 20 7031 3000"), None, "+442070313000"),
        (arabic("020 7031 3000"), "GB", "+442070313000"),
        ("0000000000", "US", "+10000000000"),
        ("+442070313000", "XX", "+442070313000"),
        ("011 44 20 7031 3000", "US", "+442070313000"),
        ("001 415 555 2671 x55", "US", "+14155552671"),
        ("+49 30" + 238 * " " + "123456", None, "+4930123456"),
    ],
)
def test_documented_numbers(text: str, region: str | None, expected: str) -> None:
    """The vectors of X, Google and Snap and the observed cases of the users study give their E.164 form."""
    assert converted([(text, region)]) == [(expected, False, False)]


def test_the_published_hash_of_the_example_of_x() -> None:
    """The digest X publishes is of the number with its plus sign."""
    [(number, _, _)] = converted([("+1 (123) 456-7890", None)])
    assert number is not None
    digest = hashlib.sha256(number.encode()).hexdigest()
    assert digest == "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231"


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("031111xxxx", "JP"),
        ("03-1111-xxx1", "JP"),
        ("031111xxxx", None),
        ("1-800-FLOWERS", "US"),
        ("Call 415 555 2671", "US"),
        ("030 12345 電話", "DE"),
        ("****5678", "DE"),
        ("030****5678", "DE"),
        ("0151 2345????", "DE"),
        ("+44 7911 12____", "GB"),
        ("••••5678", "DE"),
        ("###-###-5678", "DE"),
        ("4155552671.0", "US"),
        ("20703130.00", "GB"),
        ("+14155552671.0", None),
        ("4.155552671E9", "US"),
        ("4.155552671e+09", "US"),
        ("+999 123 4567", None),
        ("+44 20", None),
        ("0044 20", None),
        ("12", "US"),
        ("030 123456 & 789", "DE"),
        ("020 7031 3000;phone-context=+44", "GB"),
        ("n/a", "US"),
        ("---", None),
        ("+", None),
        ("1", None),
        ("\0", None),
        ("📞", "DE"),
        ("+49 30" + 239 * " " + "123456", None),
        ("1" * 10_000, None),
        ("+" * 10_000, "US"),
        ("x1" * 5_000, "US"),
    ],
)
def test_what_is_no_number(text: str, region: str | None) -> None:
    """Masked, spelled, floating-point, impossible and foreign texts are invalid, with or without a region."""
    assert converted([(text, region)]) == [INVALID]


@pytest.mark.parametrize("region", [None, "XX", "UK", "001", ""])
@pytest.mark.parametrize(
    "text", ["415-555-2671", "0000000000", "00210 123 456", "020 7031 3000 x5", full_width("2070313000")]
)
def test_a_national_number_without_a_known_region(text: str, region: str | None) -> None:
    """A national number is never given a country by guess."""
    assert converted([(text, region)]) == [NO_COUNTRY]


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("011 15 2345-6789", "AR"),  # the 15 of mobiles becomes a 9 before the area code
        ("0 15 11 98765-4321", "BR"),  # a carrier's code between trunk prefix and area code
        ("464-1234", "AG"),  # the area code is added
        ("440 1534 123456", "JE"),  # the own calling code and a trunk prefix, without a plus sign
        ("44000394327", "JE"),  # two trunk prefixes, stripped by two regions' rules
        ("8 10 44 20 7031 3000", "RU"),  # a prefix for calls abroad that begins like a trunk prefix
        ("00 39 06 698 12345", "SM"),
        ("0800 1111", "GB"),
        ("253-0000", "US"),
    ],
)
def test_rules_of_single_regions(text: str, region: str) -> None:
    """Numbers that a region writes in its own way are read as the library reads them."""
    assert reference(text, region)[0] is not None
    assert converted([(text, region)]) == [reference(text, region)]


def test_every_row_keeps_its_place() -> None:
    """Rows that are settled column-wise, by the library and not at all come back in the order they came in."""
    rows: list[Row] = [
        (None, "US"),
        ("030 123456", "DE"),
        ("+1 415 555 2671 x55", None),
        ("", None),
        ("415-555-2671", None),
        ("030 123456", "DE"),
        ("n/a", "DE"),
        ("+442070313000", None),
        (None, None),
    ]
    expected: list[Answer] = [
        NOTHING,
        ("+4930123456", False, False),
        ("+14155552671", False, False),
        NOTHING,
        NO_COUNTRY,
        ("+4930123456", False, False),
        INVALID,
        ("+442070313000", False, False),
        NOTHING,
    ]
    assert converted(rows) == expected


@pytest.mark.parametrize("length", [0, 3])
def test_columns_without_text(length: int) -> None:
    """Empty and all-null columns give columns of the same length and of the documented types."""
    nulls = pa.nulls(length, pa.string())
    result = phones.to_e164(nulls, nulls)
    assert [column.type for column in result] == [pa.string(), pa.bool_(), pa.bool_()]
    assert [column.to_pylist() for column in result] == [[None] * length, [False] * length, [False] * length]


def test_a_slice_of_a_column() -> None:
    """A column that starts within another one's buffers is read from its own start."""
    numbers = pa.array(["+442070313000", "020 7031 3000", None, "415-555-2671"]).slice(1)
    regions = pa.array(["FR", "GB", "GB", None]).slice(1)
    assert phones.to_e164(numbers, regions).values.to_pylist() == ["+442070313000", None, None]


class Writer:
    """Writes telephone numbers of every region in many ways, right and wrong ones, always the same for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def rows(self) -> list[Row]:
        """Every region's numbers, and every calling code's of every length."""
        by_region = [self.row(region) for region in REGIONS for _ in range(120)]
        return by_region + [(f"+{code}{self.digits(count)}", None) for code in CALLING_CODES for count in range(2, 19)]

    def row(self, region: str) -> Row:
        text = self.number(region)
        if self.random.random() < 0.6:
            gaps = [" ", "-", ".", "/", "(", ")", " (", "\u00a0", "\u2011", "[", "]"]
            text = "".join(self.random.choice(gaps) * (self.random.random() < 0.25) + digit for digit in text)
        if self.random.random() < 0.08:
            text += self.random.choice(
                [" x12", " ext. 5", ";ext=55", " #3", "xxx", ".0", ".00", ",,5", "*", " a", "&1"]
            )
        if self.random.random() < 0.03:
            text = self.random.choice([full_width, arabic])(text)
        others = [None, "XX", self.random.choice(REGIONS)]
        return text, region if self.random.random() < 0.85 else self.random.choice(others)

    def number(self, region: str) -> str:
        metadata = PhoneMetadata.metadata_for_region(region)
        code, any_code = str(metadata.country_code), str(self.random.choice(CALLING_CODES))
        trunk = metadata.national_prefix or self.random.choice("018")
        abroad = self.random.choice(["00", "011", "0011", "010", "810", "001", "009", "119", "000"])
        before = ["", "", "", trunk, trunk, code, code + trunk, "+" + code, "+" + code, f"+{code}0", f"+{code}(0)"]
        return self.random.choice([*before, "+" + any_code, abroad + code, abroad + any_code]) + self.national(region)

    def national(self, region: str) -> str:
        kind = self.random.randrange(11)  # phonenumbers.PhoneNumberType
        example = phonenumbers.example_number_for_type(region, kind)
        digits = (
            phonenumbers.national_significant_number(example) if example else self.digits(self.random.randint(1, 17))
        )
        cut = self.random.choice([len(digits)] * 3 + [-1, 1])
        return digits[:cut] + self.digits(self.random.choice([0, 0, 0, 1, 2]))

    def digits(self, count: int) -> str:
        return "".join(self.random.choices("0123456789", k=count))


def test_every_region_as_the_library() -> None:
    """Over all regions and calling codes and in many ways of writing, the column's answers are the library's."""
    rows = Writer(seed=20_221_027).rows()
    answers = converted(rows)
    assert [(row, answer) for row, answer in zip(rows, answers, strict=True) if answer != reference(*row)] == []
    kinds = Counter("number" if number else "no_country" if lacks else "invalid" for number, lacks, _ in answers)
    assert min(kinds[kind] for kind in ("number", "no_country", "invalid")) > 1_000


def test_most_rows_need_no_call_of_the_library() -> None:
    """The column-wise path alone settles most of those rows, numbers of every region and calling code among them."""
    rows = Writer(seed=20_221_027).rows()
    parts = list(
        phones.settle_by_columns(pa.array([text for text, _ in rows]), pa.array([region for _, region in rows]))
    )
    settled = [int(row) for part in parts for row in part.rows]
    assert len(settled) == len(set(settled)) > len(rows) * 0.7
    with_number = {
        int(row) for part in parts for row in part.rows[part.values.is_valid().to_numpy(zero_copy_only=False)]
    }
    assert {rows[row][1] for row in with_number} >= set(REGIONS)
    numbers = [phonenumbers.parse(number) for part in parts for number in part.values.drop_null().to_pylist()]
    assert {number.country_code for number in numbers} == set(CALLING_CODES)


@pytest.mark.parametrize(
    "text",
    [
        "tel:+14155552671", "tel:415-555-2671", "(415) 555-2671 ext. 55", "415.555.2671x55", "+1-415-555-2671x5512",
        "001-415-555-2671 x 890", "415-555-2671X1", arabic("(415) 555-2671"), arabic("tel:+1 415-555-2671 x55"),
    ],
)  # fmt: skip
def test_links_extensions_and_arabic_digits_need_no_call_of_the_library(text: str) -> None:
    """As numbers are written in links, by test data and in Arabic: one by one they take longer than a whole order."""
    (part,) = (part for part in phones.settle_by_columns(pa.array([text]), pa.array(["US"])) if len(part.rows))
    assert part.values.to_pylist() == ["+14155552671"]


SIGNS = st.text("01234567890123456789+-() ./,;#xXextns:=tl*~\u00a0\u2010\uff0b\uff10\u0663²", max_size=24)
PREFIXED = st.builds(
    lambda prefix, rest: prefix + rest, st.sampled_from(["", "+1", "+49", "00", "0", "1", "tel:"]), SIGNS
)
ROWS = st.tuples(
    st.one_of(PREFIXED, st.text(max_size=300)), st.sampled_from([None, "XX", "US", "GB", "DE", "JP", "AR", "BR"])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, max_size=20))
def test_any_text_as_the_library(rows: list[Row]) -> None:
    """Whatever the text, nothing raises and the answers are the library's."""
    assert converted(rows) == [reference(*row) for row in rows]
