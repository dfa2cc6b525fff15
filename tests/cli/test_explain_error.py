"""`xcapi explain-error`: whatever an answer or a report shows can be asked for."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xcapi_dagster.ads_api.catalogue import EXPLANATIONS
from xcapi_dagster.cli import main
from xcapi_dagster.conversions.reasons import REASONS


def explained(*arguments: str) -> Result:
    """How `xcapi explain-error` ends."""
    return CliRunner().invoke(main, ["explain-error", *arguments], env={"COLUMNS": "200"})


def asked(code: str) -> dict[str, Any]:
    """The object that is printed for a code."""
    done = explained(code, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_a_code_of_x_is_told_whole() -> None:
    """Meaning, what to do, who must do it, the status and X's own words."""
    done = explained("UNAUTHORIZED_CLIENT_APPLICATION")
    assert done.exit_code == 0
    for part in (
        "HTTP 403",
        "no access to the Ads API",
        "ask X for it",
        "the owner of the app",
        "advertiser-api access",
    ):
        assert part in done.stdout


@pytest.mark.parametrize("code", [name for each in EXPLANATIONS for name in each.names] + list(REASONS))
def test_everything_can_be_asked_for(code: str) -> None:
    """Each name of the catalogue and each reason code answers, with something to do and somebody to do it."""
    told = asked(code)
    assert told["code"].lower() == code.lower()
    assert told["meaning"]
    assert told["fix"]
    assert told["who"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("unauthorized_access", "UNAUTHORIZED_ACCESS"),
        (" 89 ", "89"),
        ("404", "HTTP 404"),
        ("http 503", "HTTP 503"),
        ("302", "HTTP 3xx"),
        ("507", "HTTP 5xx"),
        ("415", "415"),
        ("http 415", "HTTP 415"),
        ("event_id (o6dkt) is not a single event tag (SET)", "not_a_single_event_tag"),
        ("User 2417045708 does not have access to account 18ce552mlaq. Type 'sn", "user_without_access"),
        ("phone_no_country", "phone_no_country"),
    ],
)
def test_it_is_found_as_it_is_met(text: str, code: str) -> None:
    """Any case, statuses, and messages as X words them, values included."""
    assert asked(text)["code"] == code


@pytest.mark.parametrize(
    ("code", "others"),
    [
        ("NOT_FOUND", {"event_of_another_account", "user_without_access"}),
        ("INVALID", {"version_not_available"}),
        ("415", {"HTTP 415"}),
        ("api_hashed_email", {"bad_hashed_email"}),
        ("api_event_id", {"not_a_single_event_tag", "event_of_another_account", "missing_event_id"}),
    ],
)
def test_what_shares_a_name_is_pointed_to(code: str, others: set[str]) -> None:
    """A code that may mean several things names them."""
    assert set(asked(code)["see_also"]) == others


@pytest.mark.parametrize(
    ("code", "who"),
    [
        ("consent_denied", "nobody"),
        ("forgotten", "nobody"),
        ("consent_unknown", "whoever writes the orders' query"),
        ("api_value", "whoever writes the orders' query"),
        ("api_unrecognised", "whoever sets up the sync"),
    ],
)
def test_who_must_act_is_who_can(code: str, who: str) -> None:
    """Nobody where nothing is to be done; the query cannot mend what X does not explain."""
    assert asked(code)["who"] == who


@pytest.mark.parametrize("arguments", [("NO_SUCH_CODE",), ("600",), ("",), ("jane.doe@example.com", "--json")])
def test_an_unknown_one_is_said_to_be(arguments: tuple[str, ...]) -> None:
    """Status 2, one line, and what was asked for is not repeated: it may be a value from somebody's message."""
    done = explained(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "no error that X documents" in done.stderr
    assert not arguments[0] or arguments[0] not in done.stderr


def test_a_slip_is_put_right() -> None:
    """The nearest code is suggested."""
    assert "UNAUTHORIZED_ACCESS" in explained("UNAUTHORISED_ACCESS").stderr


def test_without_a_code_all_are_listed() -> None:
    """As a table for people, as an array for programs."""
    table, array = explained(), explained("--json")
    names = {name for each in EXPLANATIONS for name in each.names if not name.islower()} | set(REASONS)
    assert {name for name in names if name not in table.stdout} == set()
    assert {each["code"] for each in json.loads(array.stdout)} == {each.names[0] for each in EXPLANATIONS} | set(
        REASONS
    )
