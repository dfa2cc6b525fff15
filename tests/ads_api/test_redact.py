"""X's words survive, nobody's values do."""

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.ads_api.redact import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("At least one user identifier must be provided", "At least one user identifier must be provided"),
        ("Something is wrong, try again.", "Something is wrong, try again."),
        ("The field can't be parsed", "The field can't be parsed"),
        ("UNAUTHORIZED_CLIENT_APPLICATION", "UNAUTHORIZED_CLIENT_APPLICATION"),
        ("twclid (23opevjt88psuo13lu8d020qkn) is not valid", "twclid *** is not valid"),
        ("twclid (abcdefghij) is not valid", "twclid *** is not valid"),
        ('Expected Double, got "John Doe" for value', "Expected Double, got *** for value"),
        ("Expected Double, got 'John Doe' for value", "Expected Double, got *** for value"),
        ("got “John Doe” for value", "got *** for value"),
        ('got "John "the" Doe" for value', "got *** for value"),
        ('got "John Doe for value', "got ***"),
        ('got "John"Doe for value', "got *** for value"),
        ("user_agent (Mozilla/5.0 (Mac) Safari (x)) is long", "user_agent *** is long"),
        ('"john doe"@example.com is wrong', "*** is wrong"),
        ("john{doe@example.com is wrong", "***"),
        ("no mail to john.doe@example.com, please", "no mail to *** please"),
        ("number +44 20 7946 0958 is wrong", "number *** is wrong"),
        ("from 192.0.2.1 and 2001:db8::1", "from *** and ***"),
        ("the hash abcdefabcdefabcdefabcdefabcdefabcdefabcd has no digit", "the hash *** has no digit"),
        ("twclid zyopevjtqqpsuwozludxzcqykn is unknown", "twclid *** is unknown"),
        ("twclid is zyopevjtqqpsuwozludxzcqykn.", "twclid is ***"),
        ("the IDENTIFIER_that-is_unmistakable", "the IDENTIFIER_that-is_unmistakable"),
        ("field=value", "***"),
        ("jörg", "***"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_keeps_words_and_masks_the_rest(text: str, shown: str) -> None:
    """Each kind of value that a message may hold, and the words around it."""
    assert redact(text) == shown


def test_is_short() -> None:
    """A message is cut to what fits a line of a report."""
    assert redact("word " * 1000) == ("word " * 60)[:300]


_WORDS = st.lists(st.sampled_from(["is", "not", "valid", "got", "for", "event_id", "(", ")", '"', "'", ":", ","]))
_EMAILS = st.emails()
_PHONES = st.from_regex(r"\+?[0-9]{1,3}[ ().-]{0,2}[0-9]{2,4}[ .-]?[0-9]{3,4}[ .-]?[0-9]{3}", fullmatch=True)
_HASHES = st.binary().map(lambda content: hashlib.sha256(content).hexdigest())
_ADDRESSES = st.ip_addresses().map(str)


@settings(max_examples=300)
@given(_WORDS, st.one_of(_EMAILS, _PHONES, _HASHES, _ADDRESSES), st.sampled_from(["{}", "({})", '"{}"', "{}."]), _WORDS)
def test_no_planted_identifier_survives(before: list[str], value: str, form: str, after: list[str]) -> None:
    """Wherever an e-mail address, number, hash or IP address stands in a message, nothing of it is shown."""
    shown = redact(" ".join([*before, form.format(value), *after]))
    assert not re.search(r"[0-9@]", shown)
    allowed = {"is", "not", "valid", "got", "for", "event_id"}
    assert set(re.findall(r"[A-Za-z_]+", shown)) <= allowed


@settings(max_examples=200)
@given(st.text())
def test_takes_any_text(text: str) -> None:
    """Whatever X answers gives one short line of ASCII without digits."""
    shown = redact(text)
    assert len(shown) <= 300
    assert shown.isascii()
    assert not re.search(r"[0-9@\r\n\t\x00]", shown)
