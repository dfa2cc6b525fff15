"""A ledger that knows less than its files, and an instance that sends elsewhere, are refused until somebody agrees."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xcapi_dagster.delivery.database import Database, Stamp
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.records import RequestState
from xcapi_dagster.delivery.safeguards import (
    Destination,
    accept_destination,
    accept_stamps,
    admit,
    unknown_stamps,
)
from xcapi_dagster.errors import ConfigurationError, LedgerError

HERE = Destination(host="ads-api.x.com", name="purchases", scope="ads-api.x.com|o8z6j", event_id="o87ne")
Query = Callable[..., list[Any]]


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    """A new ledger."""
    database = Database(ledger_url)
    yield database
    database.close()


@pytest.fixture
def accept(ledger_url: str, open_ledger: Callable[..., Ledger]) -> Callable[..., None]:
    """Let one order be accepted in a scope, or come to be in another state."""

    def accepted(scope: str, state: RequestState = "accepted") -> None:
        ledger = open_ledger(ledger_url, "run", scope=scope)
        ledger.adopt("p", ledger.keys(["o87ne"], ["A-1"]), state, by="x", why="y")

    return accepted


def test_the_first_run_is_let_in_and_remembered(database: Database, ledger_url: str, query: Query) -> None:
    """A new ledger and an instance without history have nothing to compare."""
    admit(database, HERE, [])
    admit(database, HERE, [database.stamp()])
    assert query(ledger_url, "SELECT host, name, scope, event_id, accepted_by FROM instance") == [
        ("ads-api.x.com", "purchases", "ads-api.x.com|o8z6j", "o87ne", None)
    ]


def test_looking_does_not_remember(database: Database, ledger_url: str, query: Query) -> None:
    """A check before a run decides nothing for it."""
    admit(database, HERE, [], remember=False)
    assert query(ledger_url, "SELECT * FROM instance") == []


@pytest.mark.parametrize("change", [{"scope": "ads-api.x.com|other"}, {"event_id": "o99zz"}])
def test_another_pixel_or_event_is_refused_while_orders_were_accepted(
    change: dict[str, str], database: Database, accept: Callable[..., None], ledger_url: str, query: Query
) -> None:
    """All of history would go out again; agreeing is recorded, and holds until the next change."""
    admit(database, HERE, [])
    accept(HERE.scope)
    there = replace(HERE, **change)
    with pytest.raises(ConfigurationError, match=r"sent 1 orders to the pixel o8z6j.*o87ne.*accept-scope"):
        admit(database, there, [])
    admit(database, HERE, [])
    accept_destination(database, there, by="ann@shop", why="a new pixel since November")
    admit(database, there, [])
    told = query(ledger_url, "SELECT scope, event_id, accepted_by, accepted_why FROM instance")
    assert told == [(there.scope, there.event_id, "ann@shop", "a new pixel since November")]
    accept(there.scope)
    with pytest.raises(ConfigurationError):
        admit(database, HERE, [])


@pytest.mark.parametrize("state", ["unknown", "held"])
def test_another_event_is_refused_while_x_may_have_orders(
    state: RequestState, database: Database, accept: Callable[..., None]
) -> None:
    """What is in doubt would be sent a second time, though the policy may be to hold it."""
    admit(database, HERE, [])
    accept(HERE.scope, state)
    with pytest.raises(ConfigurationError, match="sent 1 orders to the pixel"):
        admit(database, replace(HERE, event_id="o99zz"), [])


def test_another_pixel_before_anything_was_accepted_is_no_matter(
    database: Database, accept: Callable[..., None]
) -> None:
    """A mistyped pixel that never took an order is corrected without ceremony."""
    admit(database, HERE, [])
    accept(HERE.scope, "lost")
    admit(database, replace(HERE, scope="ads-api.x.com|corrected"), [])


def test_trials_against_a_sandbox_do_not_count(database: Database, accept: Callable[..., None]) -> None:
    """The sandbox is another host: going from it to X is no change of pixel."""
    admit(database, Destination("loopback", "purchases", "loopback|odemo1", "opurch1"), [])
    accept("loopback|odemo1")
    admit(database, HERE, [])


def test_another_way_to_x_is_refused_while_orders_were_accepted(
    database: Database, accept: Callable[..., None], ledger_url: str, query: Query
) -> None:
    """As a relay of the company's: keys are of a host, so that all of history would go out again by it."""
    admit(database, HERE, [])
    relay = replace(HERE, host="relay.shop.example", scope="relay.shop.example|o8z6j")
    admit(database, relay, [], remember=False)
    accept(HERE.scope)
    with pytest.raises(ConfigurationError, match=r"sent 1 orders to ads-api\.x\.com.*X_ADS_API_URL.*accept-scope"):
        admit(database, relay, [])
    admit(database, replace(relay, name="sign_ups"), [])
    admit(database, Destination("loopback", "purchases", "loopback|odemo1", "opurch1"), [])
    accept_destination(database, relay, by="ann@shop", why="another X")
    admit(database, relay, [])
    admit(database, HERE, [])


@pytest.mark.parametrize("trial", ["loopback", "ads-api-sandbox.x.com"])
def test_trials_are_no_other_way_to_x(trial: str, database: Database, accept: Callable[..., None]) -> None:
    """What a sandbox was sent, of this package or of X's, X has not."""
    admit(database, Destination(trial, "purchases", f"{trial}|o8z6j", "o87ne"), [])
    accept(f"{trial}|o8z6j")
    admit(database, HERE, [])


def test_instances_are_apart(database: Database, accept: Callable[..., None]) -> None:
    """Another instance with another pixel is no change of the first."""
    admit(database, HERE, [])
    accept(HERE.scope)
    admit(database, replace(HERE, name="sign_ups", scope="ads-api.x.com|other"), [])


def test_a_ledger_older_than_its_files_is_refused(database: Database) -> None:
    """It was restored from a copy: what was sent since would go out again."""
    newer = Stamp(database.id, database.stamp().revision + 1)
    with pytest.raises(LedgerError, match=r"older than the files.*accept-restored"):
        admit(database, HERE, [database.stamp(), newer])
    assert unknown_stamps(database, HERE, [newer, database.stamp()]) == [newer]


def test_another_ledger_than_the_files_is_refused(database: Database) -> None:
    """It was lost and made anew, or the setting leads elsewhere."""
    with pytest.raises(LedgerError, match="is not the one that sent before"):
        admit(database, HERE, [Stamp("f" * 32, 3)])


def test_an_agreement_holds_for_what_was_known_then(database: Database) -> None:
    """The old ledger's later work is unknown again: somebody goes on using it."""
    lost, older = Stamp("f" * 32, 3), Stamp(database.id, database.stamp().revision + 5)
    accept_stamps(database, HERE, [lost, older], by="ann@shop", why="the disk broke")
    admit(database, HERE, [lost, older, database.stamp()])
    assert database.stamp().revision > older.revision
    with pytest.raises(LedgerError):
        admit(database, HERE, [Stamp(lost.ledger_id, 4)])
    accept_stamps(database, HERE, [Stamp(lost.ledger_id, 4)], by="ann@shop", why="the same again")
    admit(database, HERE, [Stamp(lost.ledger_id, 4)])


def test_a_copy_never_comes_to_know_what_was_sent_after_it_was_made(
    tmp_path: Path, open_ledger: Callable[..., Ledger]
) -> None:
    """However many changes others make with it, or an operator does, who does not ask it for leave."""

    def run(*, changes: int) -> Stamp:
        ledger = open_ledger(f"sqlite:///{path}")
        for number in range(changes):
            ledger.adopt("p", ledger.keys(["o87ne"], [f"A-{number}"]), "accepted", by="x", why="y")
        return ledger.stamp()

    def admitted(*stamps: Stamp) -> bool:
        with closing(Database(f"sqlite:///{path}")) as database:
            return not unknown_stamps(database, HERE, stamps)

    path = tmp_path / "ledger" / "ledger.db"
    before = run(changes=3)
    copy = _copied(path)
    during = [run(changes=each) for each in (1, 5, 2)]
    assert admitted(before, *during)
    _put_back(copy, path)
    for _ in range(20):
        assert admitted(before, run(changes=4))
        assert not any(admitted(each) for each in during)


def test_a_copy_that_was_made_while_a_run_sent_knows_what_it_has(
    tmp_path: Path, open_ledger: Callable[..., Ledger]
) -> None:
    """Also of that very run: what it had claimed by then is known, and what came after is not."""
    path = tmp_path / "ledger" / "ledger.db"
    ledger, stamps = open_ledger(f"sqlite:///{path}"), []
    for number in range(4):
        ledger.adopt("p", ledger.keys(["o87ne"], [f"A-{number}"]), "accepted", by="x", why="y")
        stamps.append(ledger.stamp())
        if number == 1:
            copy = _copied(path)
    _put_back(copy, path)
    with closing(Database(f"sqlite:///{path}")) as database:
        assert unknown_stamps(database, HERE, stamps) == stamps[2:]
    for _ in range(5):
        again = open_ledger(f"sqlite:///{path}", "again")
        again.adopt("p", again.keys(["o87ne"], ["A-9"]), "accepted", by="x", why="y")
        with closing(Database(f"sqlite:///{path}")) as database:
            assert unknown_stamps(database, HERE, [*stamps, again.stamp()]) == stamps[2:]


def _copied(path: Path) -> Path:
    """A copy of the SQLite ledger as it is now, as a backup makes it."""
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def _put_back(copy: Path, path: Path) -> None:
    """The copy in place of the ledger; whoever has that open goes on with what nobody else sees."""
    for each in path.parent.glob("ledger.db*"):
        each.unlink()
    shutil.copy(copy, path)


def test_an_agreement_is_one_instance_s(database: Database) -> None:
    """What another sent, with a ledger that is lost or was put back, is not known yet: it is asked in its turn."""
    elsewhere = replace(HERE, name="sign_ups", event_id="o99zz")
    lost, older = Stamp("f" * 32, 3), Stamp(database.id, database.stamp().revision + 5)
    theirs = [Stamp(lost.ledger_id, 2), Stamp(database.id, older.revision - 1)]
    accept_stamps(database, HERE, [lost, older], by="ann@shop", why="the disk broke")
    admit(database, HERE, [lost, older])
    assert unknown_stamps(database, elsewhere, theirs) == theirs
    with pytest.raises(LedgerError):
        admit(database, elsewhere, theirs[:1])
    with pytest.raises(LedgerError, match="older than the files"):
        admit(database, elsewhere, theirs[1:])
    accept_stamps(database, elsewhere, theirs, by="ann@shop", why="these too")
    accept_stamps(database, elsewhere, theirs, by="ann@shop", why="said twice")
    admit(database, elsewhere, theirs)
    admit(database, elsewhere, [database.stamp()])
