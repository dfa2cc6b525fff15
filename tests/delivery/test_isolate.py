"""Which rows a refusal is about, from X's words and the events alone."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster import contract
from xcapi_dagster.ads_api.api_errors import ApiError, read_errors
from xcapi_dagster.delivery import isolate
from xcapi_dagster.delivery.isolate import Suspicion, alone, reason_code

Event = Callable[..., dict[str, Any]]


def errors(*entries: tuple[str, str]) -> tuple[ApiError, ...]:
    """X's errors with these parameters and messages, as the client reads them."""
    document = {"errors": [{"code": "INVALID_PARAMETER", "parameter": p, "message": m} for p, m in entries]}
    return read_errors(document)


def suspects(errors: Sequence[ApiError], events: Sequence[dict[str, Any]]) -> dict[int, Suspicion]:
    """Of these events, written as JSON in one of the two usual ways."""
    texts = [json.dumps(event, ensure_ascii=False).encode() for event in events]
    found = isolate.suspects(errors, texts)
    assert found == isolate.suspects(errors, [json.dumps(event).encode() for event in events])
    return found


def refused_event_ids(errors: Sequence[ApiError], events: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Of these events."""
    return isolate.refused_event_ids(errors, [json.dumps(event).encode() for event in events])


@pytest.mark.parametrize(
    ("parameter", "message", "bad", "code"),
    [
        (
            "hashed_email",
            "hashed_email (no-hash) is not a valid SHA-256 hash",
            {"identifiers": [{"twclid": "t"}, {"hashed_email": "no-hash"}]},
            "api_hashed_email",
        ),
        (
            "hashed_phone_number",
            "hashed_phone_number (12) is not a valid SHA-256 hash",
            {"identifiers": [{"hashed_phone_number": "12"}]},
            "api_hashed_phone_number",
        ),
        (
            "conversion_time",
            'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "yesterday" for conversion_time',
            {"conversion_time": "yesterday"},
            "api_conversion_time",
        ),
        ("event_id", "event_id (nosuch) is not a single event tag (SET)", {"event_id": "nosuch"}, "api_event_id"),
        ("value", 'Expected Double, got "20" for value', {"value": "20"}, "api_value"),
        ("number_items", 'Expected positive Long, got "0" for number_items', {"number_items": 0}, "api_number_items"),
        (
            "content_price",
            'Expected Double, got "5" for content_price',
            {"contents": [{"content_id": "1"}, {"content_price": "5"}]},
            "api_content_price",
        ),
    ],
)
def test_an_echoed_value_names_its_rows(
    event: Event, parameter: str, message: str, bad: dict[str, Any], code: str
) -> None:
    """Every row that holds the echoed value under that name, at any depth, and no other."""
    found = suspects(errors((parameter, message)), [event("1"), event("2", **bad), event("3"), event("4", **bad)])
    assert sorted(found) == [1, 3]
    assert {(why.reason_code, why.isolated_by) for why in found.values()} == {(code, "echoed_value")}


def test_a_value_counts_under_its_own_name_alone(event: Event) -> None:
    """A description that reads like a refused price is not refused, nor is a price that begins like it."""
    members = [event("1", description="20"), event("2", value="20"), event("3", value="20.00")]
    assert list(suspects(errors(("value", 'Expected Double, got "20" for value')), [*members])) == [1]


def test_the_detail_holds_no_value(event: Event) -> None:
    """What is reported is X's message with the value masked."""
    found = suspects(
        errors(("hashed_email", "hashed_email (jane@example.com) is not a valid SHA-256 hash")),
        [event("1", identifiers=[{"hashed_email": "jane@example.com"}])],
    )
    assert "jane" not in found[0].detail
    assert "is not a valid SHA-256 hash" in found[0].detail


def test_a_row_with_two_errors_is_one_row(event: Event) -> None:
    """The first of X's errors that fits a row is its reason."""
    both = errors(
        ("event_id", "event_id (nosuch) does not belong to provided account"),
        ("event_id", "event_id (nosuch) is not a single event tag (SET)"),
    )
    found = suspects(both, [event("1"), event("2", event_id="nosuch")])
    assert list(found) == [1]
    assert "does not belong" in found[1].detail


def test_a_merged_error_names_all_its_rows(event: Event) -> None:
    """One message may stand for three rows with the same value."""
    members = [event(str(number), **({"value": "20"} if number % 2 else {})) for number in range(6)]
    assert sorted(suspects(errors(("value", 'Expected Double, got "20" for value')), [*members])) == [1, 3, 5]


def test_a_value_that_all_share_accuses_nobody(event: Event) -> None:
    """It may be right in all but one row; a row alone, or rows with a refused value each, are accused."""
    shared = errors(("price_currency", 'Expected ISO-4217 currency, got "USD" for price_currency'))
    members = [event(str(number), price_currency="USD") for number in range(3)]
    assert suspects(shared, [*members]) == {}
    assert list(suspects(shared, [members[0]])) == [0]
    emails = [event(name, identifiers=[{"hashed_email": name}]) for name in ("a", "b")]
    both = errors(*[("hashed_email", f"hashed_email ({name}) is not a valid SHA-256 hash") for name in ("a", "b")])
    assert sorted(suspects(both, [*emails])) == [0, 1]


def test_missing_identifiers_are_found_by_the_rule_itself(event: Event) -> None:
    """The message names nobody: rows whose identifiers cannot stand alone are meant."""
    members = [
        event("1"),
        event("2", identifiers=[]),
        event("3", identifiers=[{"ip_address": "1.2.3.4"}]),
        event("4", identifiers=[{"user_agent": "Firefox"}, {"twclid": " "}]),
        event("5", identifiers=[{"ip_address": "1.2.3.4", "user_agent": "Firefox"}]),
        event("6", identifiers=None),
        event("7", identifiers=[{"hashed_email": "x", "ip_address": "1.2.3.4"}]),
    ]
    found = suspects(errors(("", "At least one user identifier must be provided")), [*members])
    assert sorted(found) == [1, 2, 3, 5]
    assert {(why.reason_code, why.isolated_by) for why in found.values()} == {("api_identifiers", "local_rule")}


@pytest.mark.parametrize(
    "message",
    [
        "hashed_email is not a valid SHA-256 hash",
        "hashed_email (another-value) is not a valid SHA-256 hash",
        "Something new is wrong with hashed_email",
    ],
)
def test_without_a_value_that_is_there_nobody_is_suspected(event: Event, message: str) -> None:
    """A value that was left out, changed by X, or in words that nobody knows is no evidence."""
    assert suspects(errors(("hashed_email", message)), [event("1"), event("2")]) == {}


def test_an_event_without_echo_is_pinned_on_the_only_one(event: Event) -> None:
    """Where all rows have one event, an error about the event is about them all; in a mixture it is nobody's."""
    without_value = errors(("event_id", "event_id is not a single event tag (SET)"))
    same = [event("1", event_id="tw-odemo1-nosuch"), event("2", event_id="nosuch")]
    assert sorted(suspects(without_value, same)) == [0, 1]
    assert list(refused_event_ids(without_value, same)) == ["nosuch"]
    mixed = [event("1"), event("2", event_id="nosuch")]
    assert suspects(without_value, mixed) == {}
    assert refused_event_ids(without_value, mixed) == {}


@pytest.mark.parametrize("echoed", ["nosuch", "tw-odemo1-nosuch"])
@pytest.mark.parametrize("sent", ["nosuch", "tw-odemo1-nosuch"])
def test_both_forms_of_an_event_id_are_one(event: Event, echoed: str, sent: str) -> None:
    """X may echo either form."""
    refusal = errors(("event_id", f"event_id ({echoed}) is not a single event tag (SET)"))
    members = [event("1"), event("2", event_id=sent)]
    assert list(refused_event_ids(refusal, members)) == ["nosuch"]
    assert list(suspects(refusal, members)) == [1]


def test_reason_codes_are_those_of_x_s_parameters() -> None:
    """`api_` and the parameter, for those that X documents; anything else is unrecognised."""
    told = {
        ("hashed_email", "x"): "api_hashed_email",
        ("price_currency", "x"): "api_price_currency",
        ("content_group_id", "x"): "api_content_group_id",
        ("", "At least one user identifier must be provided"): "api_identifiers",
        ("event_id", "Event ID was not found"): "api_event_id",
        ("event_source_url", "x"): "api_event_source_url",
        ("favourite_color", "x"): "api_unrecognised",
    }
    for entry, code in told.items():
        assert reason_code(errors(entry)[0]) == code


def test_a_row_alone_has_x_s_first_reason() -> None:
    """The only row of a refused request is the one that is meant."""
    why = alone(errors(("value", 'Expected Double, got "secret" for value'), ("", "Another")), "bisection")
    assert (why.reason_code, why.isolated_by) == ("api_value", "bisection")
    assert "secret" not in why.detail


def test_every_documented_row_message_with_an_echo_is_matched(event: Event) -> None:
    """All messages of `contract` that echo a row's value lead back to the row."""
    for message in contract.ERROR_MESSAGES:
        if message.scope != "row":
            continue
        parameter = "value" if message.parameter == "*" else str(message.parameter)
        text = message.template.format(value="strange", type="Double", parameter=parameter)
        bad = event("2", **{parameter: "strange"})
        if parameter.startswith("hashed"):
            bad = event("2", identifiers=[{parameter: "strange"}])
        assert list(suspects(errors((parameter, text)), [event("1"), bad])) == [1], message.name


@given(
    st.lists(st.text(max_size=4), min_size=1, max_size=6),
    st.text(min_size=1, max_size=4).map(str.strip).filter(bool),
    st.sampled_from(["hashed_email", "content_name"]),
)
def test_any_value_is_found_however_it_is_written(values: list[str], echoed: str, parameter: str) -> None:
    """As the transform writes it, quotes, backslashes, controls and all: exactly the rows that hold it are accused."""
    error = replace(errors((parameter, "an echo follows"))[0], value=echoed)
    rows = [{"identifiers": [{"hashed_email": value}], "contents": [{"content_name": value}]} for value in values]
    expected = [position for position, value in enumerate(values) if value == echoed]
    if len(expected) == len(rows) > 1:
        expected = []
    assert sorted(suspects([error], rows)) == expected
