"""`xcapi ledger`: what it knows, and an operator's word where it must not send without one."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from click.testing import Result

from xcapi_dagster import resources
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.safeguards import admit
from xcapi_dagster.errors import ConfigurationError, LedgerError
from xcapi_dagster.settings import Settings, from_environment

Xcapi = Callable[..., Result]
Instance = Any  # of conftest


def let_in(settings: Settings) -> None:
    """What a run does before it sends."""
    with closing(Database(settings.ledger_url)) as database:
        admit(database, resources.destination_of(settings), resources.stamps_of_files(settings))


def test_status_tells_what_the_ledger_knows(instance: Instance, xcapi: Xcapi, xcapi_json: Callable[..., Any]) -> None:
    """Requests and conversions by state, and that it knows all that was sent."""
    instance.sent("accepted", "A-1", "A-2")
    instance.sent("held", "A-3")
    told = xcapi_json("ledger", "status")
    assert told["requests"] == {"accepted": 1, "held": 1}
    assert told["conversions"] == {"accepted": 2, "held": 1}
    assert (told["runs_under_way"], told["blocked_until"], told["knows_all_that_was_sent"]) == (0, None, True)
    shown = " ".join(xcapi("ledger", "status").stdout.split())
    assert "conversions in them │ 2 accepted, 1 held" in shown
    assert "blocked until │ no" in shown
    assert "knows all that was sent │ yes" in shown


def test_another_pixel_needs_an_agreement(
    instance: Instance, xcapi: Xcapi, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """Refused with the command to run; agreed to, it is let in."""
    let_in(instance.settings)
    instance.sent("accepted", "A-1")
    monkeypatch.setenv("X_ADS_PIXEL_ID", "onew1")
    there = from_environment(environ | {"X_ADS_PIXEL_ID": "onew1"})
    with pytest.raises(ConfigurationError, match="xcapi ledger accept-scope"):
        let_in(there)
    done = xcapi("ledger", "accept-scope", "--why", "the shop has a new pixel")
    assert (done.exit_code, "onew1" in done.stdout) == (0, True)
    let_in(there)


def test_a_lost_ledger_learns_from_the_files(instance: Instance, xcapi: Xcapi) -> None:
    """A new one is refused, learns on demand what was accepted, and is let in; what was in doubt is held."""
    instance.sent("accepted", "A-1", "A-2")
    instance.lose_ledger()
    with pytest.raises(LedgerError, match="xcapi ledger accept-restored"):
        let_in(instance.settings)
    done = xcapi("ledger", "accept-restored", "--why", "the disk broke")
    assert (done.exit_code, done.stdout) == (
        0,
        "Learned from the files: 2 orders that X accepted, 0 in doubt, which are held.\n",
    )
    let_in(instance.settings)
    assert [instance.state_of(order) for order in ("A-1", "A-2", "A-3")] == ["accepted", "accepted", None]


def test_without_need_nothing_is_accepted(instance: Instance, xcapi: Xcapi) -> None:
    """A ledger that knows everything needs nobody's word."""
    instance.sent("accepted", "A-1")
    done = xcapi("ledger", "accept-restored", "--why", "to be sure")
    assert (done.exit_code, "nothing to accept" in done.stdout) == (0, True)


def test_files_of_an_unreadable_ledger_are_not_guessed_about(instance: Instance, xcapi: Xcapi) -> None:
    """A stamp that says nothing readable stops everything, with the way out."""
    instance.sent("accepted", "A-1")
    resources.outputs_of(instance.settings).own_path("ledger.json").write_text("{")
    done = xcapi("ledger", "status")
    assert (done.exit_code, "put back a copy" in done.stderr) == (2, True)
