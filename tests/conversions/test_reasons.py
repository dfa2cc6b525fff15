"""The catalogue of reason codes: closed, complete, and fit to be read."""

import re

import pytest

from xcapi_dagster.contract import ERROR_MESSAGES
from xcapi_dagster.conversions.reasons import API_PARAMETERS, REASONS, Reason, reason

# The documented set; a code is never renamed, so that this list only grows.
DOCUMENTED = """
missing_order_id invalid_conversion_id duplicate_order invalid_time future_time invalid_value negative_value
missing_currency
invalid_currency invalid_event_id no_identifier needs_second_identifier
invalid_quantity invalid_items invalid_url text_unreadable text_too_long text_has_identifier email_invalid
email_placeholder phone_invalid phone_no_country hash_invalid hash_placeholder ip_not_ipv4 ip_not_public
consent_denied consent_unknown forgotten
api_unrecognised api_group_held unknown_outcome too_late_to_deduplicate changed_after_acceptance
""".split()


def test_the_set_is_the_documented_one() -> None:
    """Those named one by one, and one for each parameter that X may name."""
    assert REASONS.keys() == {*DOCUMENTED, *(f"api_{parameter}" for parameter in API_PARAMETERS)}
    assert all(code == reason(code).code for code in REASONS)


def test_every_parameter_of_a_documented_message_has_a_reason() -> None:
    """Of a row's message, that is."""
    named = {message.parameter for message in ERROR_MESSAGES if message.scope == "row"} - {"*"}
    assert named <= set(API_PARAMETERS)


def test_a_code_outside_the_set_is_a_mistake() -> None:
    """It is not made up."""
    with pytest.raises(KeyError):
        reason("email_ugly")


@pytest.mark.parametrize("told", REASONS.values(), ids=lambda told: told.code)
def test_texts_are_sentences(told: Reason) -> None:
    """They stand in tables of Markdown and HTML: whole sentences without signs that mean something there."""
    for text in (told.meaning, told.fix):
        assert re.fullmatch(r"[A-Za-z][^|<>*\n]+\.", text)
        assert len(text) < 140


def test_no_text_says_of_an_order_what_is_not_so() -> None:
    """An order whose id is an address or too long is not sent without it; a country may be there and be none."""
    for code in ("text_too_long", "text_has_identifier"):
        assert "unless it is the order_id" in reason(code).meaning
    assert "too long" in reason("missing_order_id").meaning
    assert "e-mail address" in reason("missing_order_id").meaning
    assert "no country says" not in reason("phone_no_country").meaning
    assert "GB" in reason("phone_no_country").fix


def test_the_stage_follows_from_the_code() -> None:
    """Consent and X are named in the codes; what is degraded is found in the order itself."""
    for code, told in REASONS.items():
        is_about_consent = code.startswith("consent_") or code == "forgotten"
        assert (told.stage == "consent") == is_about_consent == (told.severity == "suppressed")
        assert (told.stage == "api") == code.startswith("api_")
