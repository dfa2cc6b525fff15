"""`xcapi held`: what waits for an operator, and the decision."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from xcapi_dagster.cli.operator import operator

DAY = "2026-11-20"
Xcapi = Callable[..., Result]
Instance = Any  # of conftest


def test_what_is_held_is_listed_and_shown(instance: Instance, xcapi: Xcapi, xcapi_json: Callable[..., Any]) -> None:
    """Each request with how many orders wait and why; its orders by their ids, from the results."""
    instance.sent("accepted", "A-0")
    request = instance.sent("held", "A-1", "A-2", message="it processed 1 conversions of 2")
    (told,) = xcapi_json("held", "list")
    assert told | {"first_sent_at": 0} == {
        "request_id": request,
        "partition": DAY,
        "orders": 2,
        "state": "held",
        "first_sent_at": 0,
        "http_status": 200,
        "debug_id": "d-1",
        "why": "it processed 1 conversions of 2",
    }
    assert "it processed 1" in xcapi("held", "list").stdout
    assert xcapi_json("held", "list", "--partition", "2026-11-19") == []
    assert [order["order_id"] for order in xcapi_json("held", "show", str(request))["orders"]] == ["A-1", "A-2"]
    assert "A-2" in xcapi("held", "show", str(request)).stdout


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 12345"), OSError("No username set")])
def test_a_user_without_a_name_decides_by_its_number(
    error: Exception, instance: Instance, xcapi: Xcapi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the one of a container may be, for which Python has one error or, since 3.13, another."""

    def nobody() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", nobody)
    instance.sent("held", "A-1")
    assert xcapi("held", "resolve", "1", "--as", "accepted", "--why", "she looked").exit_code == 0
    assert operator().startswith(f"{os.getuid()}@")


@pytest.mark.parametrize("choice", [["1"], ["--all"], ["--partition", DAY]])
def test_a_decision_counts_and_says_what_is_next(instance: Instance, xcapi: Xcapi, choice: list[str]) -> None:
    """By number, by partition or all; nothing is held afterwards."""
    instance.sent("held", "A-1", "A-2")
    done = xcapi("held", "resolve", *choice, "--as", "accepted", "--why", "  Ads Manager\nshows both ")
    assert (done.exit_code, done.stdout) == (
        0,
        f"2 orders of 1 requests: accepted.\nNext: xcapi sync --partition {DAY}\n",
    )
    assert instance.state_of("A-2") == "accepted"
    assert xcapi("held", "list").stdout == "Nothing is held.\n"


def test_what_is_next_is_about_the_instance_that_was_chosen(instance: Instance, xcapi: Xcapi) -> None:
    """In its module: without, another one would be synced."""
    instance.sent("held", "A-1")
    chosen = ("-m", "dagster_project.definitions")
    said = "xcapi held resolve -m dagster_project.definitions REQUEST --as accepted|lost|resend --why …"
    assert said in xcapi("held", "list", *chosen).stdout
    done = xcapi("held", "resolve", "1", "--as", "accepted", "--why", "she looked", *chosen)
    assert done.stdout.endswith(f"Next: xcapi sync -m dagster_project.definitions --partition {DAY}\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list", "--name", "no name"], "plain name"),
        (["show", "7"], "request 7 is not held"),
        (["resolve", "7", "--as", "lost", "--why", "x"], "request 7 is not held"),
        (["resolve", "--as", "lost", "--why", "x"], "give request numbers"),
        (["resolve", "1", "--all", "--as", "lost", "--why", "x"], "give request numbers"),
        (["resolve", "1", "--as", "lost"], "--why"),
        (["resolve", "1", "--as", "lost", "--why", " "], "say why"),
        (["resolve", "1", "--as", "lost", "--why", "x" * 501], "longer than 500"),
        (["resolve", "1", "--as", "gone", "--why", "x"], "gone"),
        (["resolve", "one", "--as", "lost", "--why", "x"], "one"),
    ],
)
def test_a_wrong_command_decides_nothing(instance: Instance, xcapi: Xcapi, words: list[str], told: str) -> None:
    """One line that says what is wrong, and exit status 2."""
    instance.sent("held", "A-1")
    done = xcapi("held", *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert instance.state_of("A-1") == "held"


def test_looking_makes_no_ledger(instance: Instance, xcapi: Xcapi) -> None:
    """Before anything was sent there is nothing to look at, and nothing is made."""
    done = xcapi("held", "list")
    assert (done.exit_code, "no ledger yet" in done.stderr) == (2, True)
    assert not instance.settings.home.exists()
