"""E-mail addresses, phones and hashes as X documents them, with published hashes as witnesses."""

import hashlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.hashing import to_sha256
from xcapi_dagster.conversions.normalize import (
    Normalized,
    normalize_email,
    normalize_hash,
    normalize_phone,
)


def column(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def only(normalized: Normalized) -> str | None:
    """The one value, or else the reason why there is none."""
    reasons = [code for code, rows in normalized.faults.items() if rows.to_pylist() == [True]]
    (value,) = normalized.values.to_pylist()
    assert len(reasons) <= 1
    assert value is None or not reasons
    return reasons[0] if reasons else value


def email(raw: str | None) -> str | None:
    return only(normalize_email(column(raw)))


def hash_of(value: str | None) -> str | None:
    digest: str | None = to_sha256(column(value))[0].as_py()
    return digest


def phone(raw: str | None, country: str | None = None, default: str | None = None) -> str | None:
    return only(normalize_phone(column(raw), column(country), default))


# X's guide (business.x.com, docs.x.com): its own examples
TEST_TWITTER = "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"
TEST_EMAIL = "e586883b2b4faf78d48300a79e0e15138d664cdf796ffb86e533170a9893eda8"
X_PHONE = "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231"


@pytest.mark.parametrize(
    ("raw", "digest"),
    [
        ("test@twitter.com", TEST_TWITTER),
        ("  Test@Twitter.COM \n", TEST_TWITTER),
        # Some language editions print d360… beside this address, after a search and replace of "twitter".
        ("test@x.com", "5806dc6b2f04fb728708a8f7b81c14edcd4fba36f77914cf0c9368d9a3a25f76"),
        ("test-email@test.com", TEST_EMAIL),
        ("TEST-EMAIL@TEST.COM", TEST_EMAIL),
        ("\u00a0test-email@test.com\u200b", TEST_EMAIL),
        ("\ufeff\u200etest-email@test.com\t\r\n", TEST_EMAIL),
        ("first.last+tag@gmail.com", "a3997a3fbbd1a0839c1eb9240489103ddc167f6b5cfa1c429c48ff2190346a4f"),
        ("jörg@exämple.de", "86794a47d88d151aa79340d3c90568d4267567296309e2da68daacd22c7f0df6"),
        # examples of Google, Snap and Meta, where their rule is the same
        ("  ALEXZ@EXAMPLE.com ", "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"),
        ("Person@Example.com", "542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345"),
        ("John_Smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        # Google takes the dots out, X does not
        ("Jefferson.Loves.hiking@gmail.com", "509dd4aaa1f05ca65540d59db001a87efb037e13ff33b628cf34ca7f468dd09e"),
    ],
)
def test_published_email_hashes(raw: str, digest: str) -> None:
    """What X and others publish for an address is what is sent."""
    assert hash_of(email(raw)) == digest


def test_nothing_else_is_done_to_addresses() -> None:
    """No dots, tags or mail hosts are changed, no Unicode is normalized, no domain becomes Punycode."""
    kept = ["j.a.n.e@gmail.com", "jane+x@googlemail.com", "jose\u0301@example.com", "josé@example.com", "a@bücher.de"]
    kept += ["o'neil@example.com", "!#$%&*+/=?^_`{|}~-@a-b.c_d.example", "имя@пример.рф", "a@दूरसंचार.भारत"]
    assert [email(address) for address in kept] == kept
    assert hash_of("jose\u0301@example.com") != hash_of("josé@example.com")


@pytest.mark.parametrize("raw", [None, "", "   ", "\u200b\n"])
def test_a_blank_address_is_none(raw: str | None) -> None:
    """Nothing given is nothing sent and nothing reported, and never the hash of the empty text."""
    assert email(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        "marie.example.com",
        "marie@@example.com",
        "a@b@example.com",
        "marie curie@example.com",
        "marie@exam ple.com",
        "marie@\u00a0example.com",
        "ma\nrie@example.com",
        "ma\x00rie@example.com",
        "@example.com",
        "marie@",
        "marie@localhost",
        "marie@example..com",
        "marie@.com",
        "marie@example.com.",
        "Marie <marie@example.com>",
        "marie@example.com,pierre@example.com",
        "mailto:marie@example.com",
        '"marie@example.com"',
        "'marie@example.com'",
        "(marie@example.com)",
        "marie@example.com/",
        "marie@exam|ple.com",
        "mari\ufffd@example.com",
        "x" * 250 + "@x.de",
        "\ufffd",
        "d41d8cd98f00b204e9800998ecf8427e",
        TEST_TWITTER,
    ],
)
def test_what_is_no_address_is_refused(raw: str) -> None:
    """Inner white space is not removed, and a hash in the raw column is not hashed again."""
    assert email(raw) == "email_invalid"


def test_the_longest_address_passes() -> None:
    """254 characters, of whatever script."""
    assert email("é" * 249 + "@x.de") == "é" * 249 + "@x.de"


@pytest.mark.parametrize(
    "raw",
    [
        *("null", "NULL", "None", "nan", "NaN", "N/A", "unknown", "-", r"\N", "<NA>", "(null)"),
        *("test@test.com", "None@None.com", "noemail@shop.com"),
    ],
)
def test_placeholders_are_no_addresses(raw: str) -> None:
    """What programs and people write where there is no address; X's own examples are not among them."""
    assert email(raw) == "email_placeholder"


@given(st.lists(st.none() | st.text(max_size=20) | st.emails(), max_size=10))
@settings(max_examples=60)
def test_emails_are_python_s_strip_and_lower(raws: list[str | None]) -> None:
    """Whatever passes is what `str.strip` and `str.lower` make of ASCII, and has exactly one at-sign."""
    normalized = normalize_email(pa.array(raws, pa.string()))
    for raw, value in zip(raws, normalized.values.to_pylist(), strict=True):
        if value is not None:
            assert raw is not None
            assert value.count("@") == 1
            assert not raw.isascii() or value == raw.strip().lower()


@pytest.mark.parametrize(
    ("raw", "country", "e164"),
    [
        ("+11234567890", None, "+11234567890"),  # X's example, which is possible but not valid
        ("+1 (123) 456-7890", None, "+11234567890"),
        ("001 123 456 7890", None, "+11234567890"),
        ("1-800-555-0100", "US", "+18005550100"),
        ("+44 844 412 4653", None, "+448444124653"),
        ("(650)555-1212", "us ", "+16505551212"),
        ("020 7031 3000", "GB", "+442070313000"),
        ("06 698 12345", "IT", "+390669812345"),
        ("+1 415 555 2671 x55", None, "+14155552671"),
        ("\u202a+49 30 123456\u202c", "US", "+4930123456"),
    ],
)
def test_phones_become_e164(raw: str, country: str | None, e164: str) -> None:
    """The plus and the country's code, read in the row's country or in none."""
    assert phone(raw, country) == e164


def test_published_phone_hashes() -> None:
    """X hashes the plus sign; the digits alone, as for Meta and Snap, are other people to it."""
    assert hash_of(phone("+1 (123) 456-7890")) == X_PHONE
    assert hash_of(phone("1-800-555-0100", "US")) == "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"
    assert hash_of(phone("+44 844 412 4653")) == "11f9231a47ccfd680a60606f73702bc2c0fb065a7f55c482269e51d9f9e868ae"
    not_for_x = {
        "11234567890": "cf14fe3c9d73fcb3574d2643988efb2db605b1c224725bd322d7d2350467b4dc",
        "1234567890": "c775e7b757ede630cd0aa1113bd102661ab38829ca52a6422ab782862f268646",
        "448444124653": "dc008fda46e2e64002cf2f82a4906236282d431c4f75e5b60bfe79fc48546383",
        "16505551212": "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176",
    }
    for digits, digest in not_for_x.items():
        assert hashlib.sha256(digits.encode()).hexdigest() == digest
        assert hash_of(phone("+" + digits)) != digest


def test_the_country_is_given_never_guessed() -> None:
    """The row's country, else the default; where the row names one that is none, not the default in its place."""
    national = "07700 900123"
    assert phone(national) == "phone_no_country"
    assert phone(national, None, "GB") == "+447700900123"
    assert phone(national, " ", "GB") == "+447700900123"
    assert phone(national, "Germany", "GB") == "phone_no_country"
    assert phone(national, "\ufffd", "GB") == "phone_no_country"
    assert phone("+447700900123", "Germany", "US") == "+447700900123"


@pytest.mark.parametrize(
    "raw", ["1-800-FLOWERS", "031111xxxx", "call me", "null", "12", "4155552671.0", "4.15E9", "\ufffd"]
)
def test_what_is_no_phone_is_refused(raw: str) -> None:
    """Letters are not digits, masked numbers and traces of floating point are nobody's."""
    assert phone(raw, "US") == "phone_invalid"


def test_hashes_pass_in_lower_case() -> None:
    """64 hexadecimal digits with or without white space, as they are but for case: never hashed again."""
    assert only(normalize_hash(column(TEST_TWITTER))) == TEST_TWITTER
    assert only(normalize_hash(column(f" {TEST_TWITTER.upper()}\n"))) == TEST_TWITTER
    assert only(normalize_hash(column(X_PHONE))) == X_PHONE
    assert only(normalize_hash(column(" "))) is None


@pytest.mark.parametrize(
    "raw",
    [
        TEST_TWITTER[:63],
        TEST_TWITTER + "0",
        "g" * 64,
        hashlib.md5(b"x").hexdigest(),
        hashlib.sha1(b"x").hexdigest(),
        hashlib.sha512(b"x").hexdigest(),
        "marie@example.com",
        "null",
    ],
)
def test_what_is_no_sha256_is_refused(raw: str) -> None:
    """MD5, SHA-1, SHA-512, a raw address: none of them can match anybody."""
    assert only(normalize_hash(column(raw))) == "hash_invalid"


@pytest.mark.parametrize(
    "text",
    ["", "null", "none", "nan", "n/a", "unknown", "None", "NaN", "NULL", "N/A", r"\N", "Unknown", "test@test.com"],
)
def test_hashes_of_nothing_are_refused(text: str) -> None:
    """Where somebody hashed the placeholder, it is one still."""
    assert only(normalize_hash(column(hashlib.sha256(text.encode()).hexdigest()))) == "hash_placeholder"


def test_the_hash_of_the_empty_text_is_the_known_one() -> None:
    """e3b0c442…, the most frequent hash in hashed columns."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert only(normalize_hash(column(empty))) == "hash_placeholder"
