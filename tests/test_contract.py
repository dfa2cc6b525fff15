"""The contract, held against the messages that X's pages show."""

import re

import pytest

from xcapi_dagster import contract

# (message on X's pages, our name for it, the value that X echoes)
DOCUMENTED = [
    ("event_id (o6dkt) is not a single event tag (SET)", "not_a_single_event_tag", "o6dkt"),
    ("Event_id (o6dkt) is not a Single Event Tag (SET)", "not_a_single_event_tag", "o6dkt"),
    ("At least one user identifier must be provided", "missing_identifier", None),
    ("hashed_email (abc) is not a valid SHA-256 hash", "bad_hashed_email", "abc"),
    ("Hashed_email is not a valid SHA-256 hash", "bad_hashed_email", None),
    (
        'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "2022-06-16T01:14:00.603" for conversion_time',
        "bad_conversion_time",
        "2022-06-16T01:14:00.603",
    ),
    ("event_id (abc) does not belong to provided account", "event_of_another_account", "abc"),
    ("event_id abc does not belong to provided account", "event_of_another_account", "abc"),
    ("Conversion count limit is 500", "too_many_conversions", "500"),
    ("Event ID was not found", "missing_event_id", None),
    ('Expected Long, got "x" for tweet_ids', "type_mismatch", "x"),
    ("The requested resource could not be found", "route_not_found", None),
    ("Version 5.0 is not available.", "version_not_available", "5.0"),
    ("This request is not properly authenticated", "not_authenticated", None),
]


@pytest.mark.parametrize(("message", "name", "value"), DOCUMENTED)
def test_documented_messages_are_recognized(message: str, name: str, value: str | None) -> None:
    """Every message that X's pages or recorded answers show has its name and gives up its value."""
    found = contract.recognize(message)
    assert found is not None
    assert (found[0].name, found[1].get("value") or None) == (name, value)


@pytest.mark.parametrize("message", contract.ERROR_MESSAGES, ids=lambda message: message.name)
def test_every_template_is_recognized_as_itself(message: contract.ErrorMessage) -> None:
    """What the sandbox says, the client understands: a hostile value in the middle changes nothing."""
    text = re.sub(r"\{\w+\}", "7", message.template)
    found = contract.recognize(text)
    assert found is not None
    assert found[0].name == message.name


def test_unknown_messages_stay_unknown() -> None:
    """Nothing is guessed."""
    assert contract.recognize("Something new happened") is None


def test_both_forms_of_an_event_id_name_one_event() -> None:
    """`o87ne` and `tw-o8z6j-o87ne` are the same event (X's reference)."""
    assert contract.short_event_id("tw-o8z6j-o87ne") == contract.short_event_id("o87ne") == "o87ne"


def test_the_documented_currencies_are_known() -> None:
    """All currencies of X's own page are known."""
    on_the_page = """AED VEF PKR IDR HKD QAR PHP NZD INR EUR ARS THB MXN EGP DZD SAR LBP COP TRY SGD MAD AUD USD MYR CAD
        BRL GBP VND KRW CLP JPY KWD IQD BHD TND""".split()
    assert set(on_the_page) <= contract.CURRENCIES
