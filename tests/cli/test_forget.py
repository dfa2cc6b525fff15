"""`xcapi forget`: asked first, then done, and told ever after."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xcapi_dagster import resources
from xcapi_dagster.cli import main
from xcapi_dagster.delivery.view import LedgerView

Xcapi = Callable[..., Result]
Instance = Any  # of conftest


def test_it_asks_first(instance: Instance, xcapi: Xcapi) -> None:
    """Anything but yes changes nothing; yes deletes the rows, and says that X keeps what it has."""
    instance.sent("accepted", "A-1", "A-2")
    for answer in ("n\n", ""):
        asked = CliRunner().invoke(main, ["forget", "A-1"], input=answer)
        assert asked.exit_code == 1
        assert "2026-11-20: 1 in upload_results" in asked.output
        assert "X has accepted it" in asked.output
        (told,) = json.loads(xcapi("explain", "A-1", "--json").stdout)
        assert told["state"] == "accepted"
        assert "forgotten" not in xcapi("explain", "A-1").stdout
    done = CliRunner().invoke(main, ["forget", "A-1"], input="y\n")
    assert done.exit_code == 0, done.output
    assert "It is forgotten" in done.output
    assert xcapi("explain", "A-1").stdout.startswith("It was forgotten on 20")
    outputs = resources.outputs_of(instance.settings)
    assert b"A-1" not in outputs.path("upload_results", "2026-11-20").read_bytes()
    assert instance.state_of("A-1") == instance.state_of("A-2") == "accepted"


def test_it_is_told_ever_after(instance: Instance, xcapi: Xcapi) -> None:
    """By whom and when, in place of that no file knows the order; again it is no error."""
    instance.sent("accepted", "A-1")
    for _ in range(2):
        done = xcapi("forget", " A-9 ", "--yes")
        assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "No file holds anything about it.")
    told = xcapi("explain", "A-9")
    assert told.exit_code == 1
    assert told.stdout.startswith("It was forgotten on 20")
    assert "@" in told.stdout


def test_the_event_can_be_named(instance: Instance, xcapi: Xcapi) -> None:
    """Where no file tells what the order was sent as."""
    instance.sent("accepted", "A-1")
    assert xcapi("forget", "A-9", "--event-id", "tw-odemo1-oother1", "--yes").exit_code == 0
    view: LedgerView = resources.ledger_view_of(instance.settings)
    known = view.memory.look_up(view.keys(["oother1", instance.settings.event_id], ["A-9", "A-9"])).requests
    assert (known > 0).tolist() == [True, False]


def test_runs_under_way_are_told_of(instance: Instance, xcapi: Xcapi) -> None:
    """They may have read the order before: exit status 1."""
    instance.sent("accepted", "A-1")
    with resources.operators_ledger_of(instance.settings):
        done = xcapi("forget", "A-1", "--yes")
    assert (done.exit_code, "Runs are under way" in done.stdout) == (1, True)


def test_files_that_killed_runs_left_are_deleted_or_told_of(instance: Instance, xcapi: Xcapi) -> None:
    """Those of a day ago nobody writes any more; one of today may be written, and may hold the order."""
    instance.sent("accepted", "A-1")
    outputs = resources.outputs_of(instance.settings)
    old, new = (
        outputs.path("conversions", "2026-11-20").with_name(f".2026-11-20.parquet.{digit * 32}") for digit in "ab"
    )
    old.parent.mkdir(parents=True, exist_ok=True)
    for path in (old, new):
        path.write_bytes(b"A-1")
    os.utime(old, (0, 0))
    done = xcapi("forget", "A-1", "--yes")
    assert (old.exists(), new.exists(), done.exit_code) == (False, True, 1)
    assert f"{new.name} is being written, or was left by a run that was killed" in done.stdout
    assert "Repeat this tomorrow" in done.stdout
    os.utime(new, (0, 0))
    assert xcapi("forget", "A-1", "--yes").exit_code == 0
    assert not new.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["  ", "--yes"], "give the id of an order"),
        (["A-1", "--yes", "--event-id", "NO event"], "no id of an event tag"),
    ],
)
def test_a_wrong_command_forgets_nothing(instance: Instance, xcapi: Xcapi, words: list[str], told: str) -> None:
    """One line that says what is wrong, and exit status 2."""
    instance.sent("accepted", "A-1")
    done = xcapi("forget", *words)
    assert (done.exit_code, told in done.stderr) == (2, True)
    assert not resources.forgotten_of(instance.settings)


def test_without_a_ledger_there_is_no_place_for_it(instance: Instance, xcapi: Xcapi) -> None:
    """And none is made."""
    done = xcapi("forget", "A-1", "--yes")
    assert (done.exit_code, "no ledger yet" in done.stderr) == (2, True)
    assert not instance.settings.home.exists()
