"""Opening the ledger's database: where it may be, who may read it, and what is said when it cannot be used."""

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from xcapi_dagster.delivery.database import Database, _Task
from xcapi_dagster.delivery.engines import _configure_sqlite, check_ledger_url
from xcapi_dagster.delivery.tables import meta
from xcapi_dagster.errors import ConfigurationError, DeliveryHaltedError, LedgerError

NOTED = "SELECT name FROM meta WHERE value = 'noted'"

Query = Callable[..., list[Any]]


Connect = Callable[..., Database]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open databases, which are closed after the test."""
    with ExitStack() as stack:

        def connected(url: str, *clock: Callable[[], float]) -> Database:
            database = Database(url, *clock)
            stack.callback(database.close)
            return database

        yield connected


def mode(path: Path) -> int:
    """The permission bits of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_ledger_has_this_schema_version_and_a_salt_of_its_own(
    ledger_url: str, query: Query, connect: Connect
) -> None:
    """On first use the tables are made, at schema version 6, with 16 random bytes; later uses find them."""
    first, again = connect(ledger_url), connect(ledger_url)
    facts = dict(query(ledger_url, "SELECT name, value FROM meta"))
    assert facts["schema_version"] == "6"
    assert first.key_digest.salt == again.key_digest.salt == bytes.fromhex(facts["salt"])
    assert len(first.key_digest.salt) == 16


def test_two_ledgers_have_different_salts(tmp_path: Path, connect: Connect) -> None:
    """Keys of one ledger mean nothing in another."""
    databases = [connect(f"sqlite:///{tmp_path}/{name}.db") for name in "ab"]
    assert len({database.key_digest.salt for database in databases}) == 2


def test_files_are_for_their_owner_alone(tmp_path: Path, connect: Connect) -> None:
    """The folder is 0700 and every file of the ledger 0600, whatever the umask allows."""
    old = os.umask(0)
    try:
        database = connect(f"sqlite:///{tmp_path}/ledger/ledger.db")
        with database.transaction() as connection:
            database.next_revision(connection)
            modes = {path.name: mode(path) for path in (tmp_path / "ledger").iterdir()}
    finally:
        os.umask(old)
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert mode(tmp_path / "ledger") == 0o700


def test_commits_survive_a_power_cut(sqlite_url: str, connect: Connect) -> None:
    """SQLite writes ahead and synchronizes every commit, and checks references."""
    database = connect(sqlite_url)
    with database.transaction() as connection:
        values = {
            pragma: connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
            for pragma in ("journal_mode", "synchronous", "fullfsync", "foreign_keys")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1, "foreign_keys": 1}


def test_a_newer_schema_is_refused(ledger_url: str, query: Query, connect: Connect) -> None:
    """What a newer version of this package wrote is neither read nor changed, and the message names both versions."""
    connect(ledger_url).close()
    query(ledger_url, "UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(LedgerError, match=r"version 99.*reads 6"):
        Database(ledger_url)


def test_a_table_of_somebody_else_is_refused(ledger_url: str, query: Query) -> None:
    """A database whose `meta` is not the ledger's is left alone."""
    if ledger_url.startswith("sqlite"):
        Path(sa.make_url(ledger_url).database).parent.mkdir()
    query(ledger_url, "CREATE TABLE meta (name varchar(64), value text)")
    with pytest.raises(LedgerError, match="another application"):
        Database(ledger_url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///ledger.db",
        "sqlite:///file:x?mode=memory&uri=true",
        "mysql://user:hunter2@host/db",
        "duckdb:////tmp/ledger.db",
        "postgresql://user:hunter2@host:port/db",
    ],
)
def test_a_url_that_names_no_ledger_is_refused(url: str) -> None:
    """One line names the setting and shows nothing of a password; a ledger in memory is no ledger."""
    with pytest.raises(ConfigurationError, match="XCAPI_LEDGER_URL") as raised:
        Database(url)
    assert "\n" not in str(raised.value)
    assert "hunt" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_check_creates_nothing(ledger_url: str, query: Query, tmp_path: Path) -> None:
    """A ledger that may be made is fine, and is not made by asking."""
    check_ledger_url(ledger_url)
    assert list(tmp_path.iterdir()) == []
    if not ledger_url.startswith("sqlite"):
        assert query(ledger_url, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'meta'") == [(0,)]


def test_a_check_takes_a_ledger_that_is_there(ledger_url: str, connect: Connect) -> None:
    """Also while it is in use."""
    connect(ledger_url)
    check_ledger_url(ledger_url)


def test_a_check_refuses_what_can_be_no_ledger(tmp_path: Path) -> None:
    """A file of another kind, a folder, a path below a file, a server that is not there: the setting is named."""
    (tmp_path / "file").write_text("orders,of,last,week")
    paths = (tmp_path / "file", tmp_path, tmp_path / "file" / "ledger.db")
    for url in (*(f"sqlite:///{path}" for path in paths), "postgresql://user:hunter2@127.0.0.1:9/ledger"):
        with pytest.raises(ConfigurationError, match="XCAPI_LEDGER_URL") as raised:
            check_ledger_url(url)
        assert "hunter2" not in str(raised.value)


def test_what_is_not_a_matter_of_time_is_not_waited_for(tmp_path: Path) -> None:
    """A file that cannot be written fails at once, and not after the minute that a busy one gets."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id)")
    began = time.monotonic()
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        _configure_sqlite(connection, None)
    assert time.monotonic() - began < 10


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A path below a file, or that is a folder, cannot hold a ledger, and the message says where."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "ledger.db", tmp_path / "folder"):
        with pytest.raises(LedgerError, match=str(path)):
            Database(f"sqlite:///{path}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    """A read-only folder cannot hold a ledger."""
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerError, match="cannot be written"):
        Database(f"sqlite:///{tmp_path}/ledger.db")


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    """A damaged or foreign file is reported and stays as it is."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"orders,of,last,week\n" * 300)
    with pytest.raises(LedgerError, match="damaged or no SQLite database"):
        Database(f"sqlite:///{path}")
    assert path.read_bytes() == b"orders,of,last,week\n" * 300


def told_without_canaries(url: str) -> str:
    """What opening ``url`` ends with: one line, in which nothing is that the URL has of user, password and place."""
    with pytest.raises(LedgerError) as raised:
        Database(url)
    assert "canary" not in str(raised.value)
    assert "canary" not in str(raised.value.__context__)  # which a debugger or an error tracker shows
    assert "\n" not in str(raised.value)
    assert raised.value.__suppress_context__
    return str(raised.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://canary-user:canary-pass@127.0.0.1:9/canary-name", "no server answers"),
        ("postgresql://canary-user:pa@canary-pass@127.0.0.1:9/canary-name", "percent-encode"),
        ("postgresql://canary-user:canary-pass@canary-host.invalid:9/canary-name", "its host is unknown"),
        ("postgresql://canary-user:canary-pass@canary-host..invalid:9/canary-name", "its host is unknown"),
        ("postgresql://canary-user:canary-pass@127.0.0.1:99999/canary-name", "cannot be read"),
        ("postgresql://canary-user:canary-pass@127.0.0.1:9/x?canary_option=canary-value", "cannot be read"),
        ("postgresql://canary-user:canary-pass@127.0.0.1:9/x?connect_timeout=canary-value", "cannot be read"),
        ("postgresql://canary-user:canary-pass@/x?service=canary-service", "does not accept the connection"),
    ],
)
def test_an_unreachable_server_is_reported_in_words_of_ours(url: str, told: str) -> None:
    """The driver quotes what it takes for the host, which is the end of the password where that holds an "@"."""
    assert told in told_without_canaries(url)


def test_a_postgresql_that_refuses_is_reported_in_words_of_ours(postgresql_ledger_url: str) -> None:
    """The server quotes the names of users and databases that it does not know."""
    server = sa.make_url(postgresql_ledger_url)
    unknown = {"no database of this name": {"database": "canary-name"}, "this user": {"username": "canary-user"}}
    for told, part in unknown.items():
        assert told in told_without_canaries(server.set(**part).render_as_string(hide_password=False))


def test_a_parameter_that_names_a_plugin_is_refused() -> None:
    """SQLAlchemy would look for it by name before anything else."""
    with pytest.raises(ConfigurationError, match="XCAPI_LEDGER_URL") as raised:
        Database("postgresql://user:hunter2@127.0.0.1:9/x?plugin=canary")
    assert "canary" not in str(raised.value)


def test_a_proxy_that_refuses_later_is_reported_in_words_of_ours(postgresql_ledger_url: str, connect: Connect) -> None:
    """One that pools connections signs in to the server when the first statement comes, and quotes the user then."""
    database = connect(postgresql_ledger_url)
    says = "server login failed: password authentication failed for user canary-user"
    for state in ("08P01", "28P01"):
        refuses = f"DO $$ BEGIN RAISE EXCEPTION '{says}' USING ERRCODE = '{state}'; END $$"
        with pytest.raises(LedgerError, match="this user or password") as raised, database.transaction() as connection:
            connection.exec_driver_sql(refuses)
        assert "canary" not in str(raised.value)


def test_a_failing_statement_shows_no_parameters(ledger_url: str, connect: Connect) -> None:
    """A database error becomes a LedgerError of one line, without the values that were to be written."""
    database = connect(ledger_url)
    with pytest.raises(LedgerError) as raised, database.transaction() as connection:
        connection.execute(sa.text("INSERT INTO nowhere VALUES (:secret)"), {"secret": "hunter2"})
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in str(raised.value.__context__)  # which a debugger or an error tracker shows
    assert "\n" not in str(raised.value)


def test_a_failed_transaction_leaves_nothing(ledger_url: str, query: Query, connect: Connect) -> None:
    """What was written before an exception is not there after it, and the database goes on."""
    database = connect(ledger_url)

    def fail() -> None:
        with database.transaction() as connection:
            database.next_revision(connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.transaction() as connection:
        assert database.next_revision(connection) == 1
    assert query(ledger_url, "SELECT value FROM meta WHERE name = 'revision'") == [("1",)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, sqlite3.OperationalError("disk I/O error")])
def test_a_commit_that_fails_leaves_nothing(
    ledger_url: str, query: Query, connect: Connect, error: type[BaseException] | Exception
) -> None:
    """Nor is the next transaction one within it, as after Ctrl-C in that instant."""
    database = connect(ledger_url)

    def fail(_: sa.Connection) -> None:
        raise error

    sa.event.listen(database._engine, "commit", fail)
    with pytest.raises((KeyboardInterrupt, sqlite3.OperationalError, LedgerError)):
        database.grouped(noting("undone"))
    sa.event.remove(database._engine, "commit", fail)
    assert database.grouped(noting("done")) == "done"
    assert query(ledger_url, NOTED) == [("done",)]


def count_at_once(databases: Sequence[Database]) -> list[int]:
    """The revisions that eight threads on ``databases`` have counted, ten each, in order."""
    seen: list[int] = []

    def count(database: Database) -> None:
        for _ in range(10):
            with database.transaction() as connection:
                seen.append(database.next_revision(connection))

    with ThreadPoolExecutor(8) as pool:
        for counted in [pool.submit(count, database) for database in list(databases) * (8 // len(databases))]:
            counted.result()
    return sorted(seen)


def test_transactions_of_all_connections_and_threads_follow_each_other(ledger_url: str, connect: Connect) -> None:
    """Eight threads on two connections count to 80 without losing one."""
    assert count_at_once([connect(ledger_url), connect(ledger_url)]) == list(range(1, 81))


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_stricter_isolation_by_default_stops_nobody_on_postgresql(
    postgresql_ledger_url: str, query: Query, connect: Connect, level: str
) -> None:
    """Who waited for its turn sees what was written meanwhile, whatever the database's default is."""
    name = sa.make_url(postgresql_ledger_url).database
    query(postgresql_ledger_url, f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    assert query(postgresql_ledger_url, "SHOW transaction_isolation") == [(level,)]
    assert count_at_once([connect(postgresql_ledger_url) for _ in range(4)]) == list(range(1, 81))


# four processes of one, because importing is slow; each begins when the last of them is there
_OPEN_AT_ONCE = """
import os, sys
from xcapi_dagster.delivery.database import Database, _Task
start, go = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        os.close(go)
        os.read(start, 1)
        salt = Database(sys.argv[1]).key_digest.salt
        os.write(1, f"{salt.hex()}\\n".encode())  # at once, so that no other line gets into it
        os._exit(0)
os.close(go)
for _ in range(4):
    os.wait()
"""


def test_four_processes_may_open_a_new_ledger_at_once(ledger_url: str, query: Query) -> None:
    """All find the same tables, made once."""
    command = [sys.executable, "-W", "ignore", "-c", _OPEN_AT_ONCE, ledger_url]
    salts = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout.split()
    assert salts == 4 * [dict(query(ledger_url, "SELECT name, value FROM meta"))["salt"]]


def test_sqlite_follows_the_clock_it_was_given(sqlite_url: str, connect: Connect) -> None:
    """The ledger's time on one machine is that machine's, which a test may set."""
    database = connect(sqlite_url, lambda: 1234.5)
    with database.transaction() as connection:
        assert database.now(connection) == database.now() == 1234.5


def test_postgresql_follows_its_own_clock(postgresql_ledger_url: str, connect: Connect) -> None:
    """On several machines the server's clock counts, whatever theirs say, and it goes on within a transaction."""
    database = connect(postgresql_ledger_url, lambda: 1234.5)
    with database.transaction() as connection:
        before, first = time.time(), database.now(connection)
        assert before - 1 < first < time.time() + 1  # the server's, which is on this machine
        assert database.now(connection) > first
    assert database.now() > first


def test_postgresql_is_not_asked_for_the_time_of_every_answer(postgresql_ledger_url: str, connect: Connect) -> None:
    """It goes on since the last transaction, so that no answer of X's is lost because the server is away."""
    database = connect(postgresql_ledger_url, lambda: 1234.5)
    before = time.time()
    assert before - 1 < database.now() < time.time() + 1
    asked: list[str] = []
    sa.event.listen(database._engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    first, began = database.now(), time.monotonic()
    while (later := database.now()) == first:
        pass  # until its clock has gone on
    assert first < later < first + 1 + time.monotonic() - began
    assert asked == []


def test_nobody_waits_for_ever_on_postgresql(postgresql_ledger_url: str, connect: Connect) -> None:
    """A process that stands still within a transaction stops the others for a minute at most."""
    database = connect(postgresql_ledger_url)
    with database.transaction() as connection:
        for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
            assert connection.exec_driver_sql(f"SHOW {setting}").scalar_one() == "1min"


def in_threads(
    database: Database, works: Sequence[Callable[[sa.Connection], Any]], meanwhile: Callable[[], None] = lambda: None
) -> list[Any]:
    """What each work returns or raises, all of them asked for while another transaction is under way.

    ``meanwhile`` is done once they all wait.
    """
    with ThreadPoolExecutor(len(works)) as pool:
        with database.transaction():
            asked: list[Future[Any]] = []
            for work in works:
                asked.append(pool.submit(database.grouped, work))
                while len(database._waiting) < len(asked):  # for this transaction, in their order
                    assert not any(each.done() for each in asked)
            meanwhile()
        return [each.exception() or each.result() for each in asked]


def noting(name: str) -> Callable[[sa.Connection], str]:
    """Work that writes a fact of that name, which it returns."""

    def work(connection: sa.Connection) -> str:
        connection.execute(sa.insert(meta).values(name=name, value="noted"))
        return name

    return work


def fails(connection: sa.Connection) -> None:
    """Work that goes wrong in the database."""
    connection.exec_driver_sql("SELECT * FROM no_such_table")


def test_works_that_wait_share_a_commit(ledger_url: str, connect: Connect, query: Query) -> None:
    """Each returns what it made, all of it durable, in one transaction."""
    database = connect(ledger_url)
    commits: list[int] = []
    sa.event.listen(database._engine, "commit", lambda _: commits.append(1))
    names = [f"note {number}" for number in range(8)]
    assert in_threads(database, [noting(name) for name in names]) == names
    assert len(commits) == 2  # the one that was waited for, and theirs
    assert sorted(query(ledger_url, NOTED)) == [(name,) for name in names]


def test_a_refusal_disturbs_no_other_work(ledger_url: str, connect: Connect, query: Query) -> None:
    """Work that may not be done says so to who asked for it; the others' is kept."""
    database = connect(ledger_url)

    def refused(_: sa.Connection) -> int:
        raise DeliveryHaltedError("the lease is lost")

    one, two, three = in_threads(database, [noting("one"), refused, noting("three")])
    assert [one, three] == ["one", "three"]
    assert isinstance(two, DeliveryHaltedError)
    assert sorted(query(ledger_url, NOTED)) == [("one",), ("three",)]


def test_all_changes_of_a_transaction_bear_one_number(ledger_url: str, connect: Connect) -> None:
    """It is counted once, also by works that share a commit; the next transaction's is greater."""
    database = connect(ledger_url)
    with database.transaction() as connection:
        assert [database.next_revision(connection), database.next_revision(connection)] == [1, 1]
        assert database.revision(connection) == 1
    with database.transaction() as connection:
        assert [database.revision(connection), database.next_revision(connection)] == [1, 2]
    assert in_threads(database, [database.next_revision] * 3) == [3, 3, 3]
    assert connect(ledger_url).stamp().revision == 3


def test_a_failure_undoes_all_and_all_are_told(ledger_url: str, connect: Connect, query: Query) -> None:
    """Nobody takes for durable what is not; who comes after it is not concerned."""
    database = connect(ledger_url)

    one, two, three = in_threads(database, [noting("one"), fails, noting("three")])
    assert (type(one), type(two), three) == (LedgerError, LedgerError, "three")
    assert query(ledger_url, NOTED) == [("three",)]


def test_who_does_the_work_of_others_does_its_own_after_a_failure(
    ledger_url: str, connect: Connect, query: Query
) -> None:
    """In another transaction than that of the work before it, which fails."""
    database = connect(ledger_url)

    first = _Task(fails)
    database._waiting.append(first)
    assert database.grouped(noting("mine")) == "mine"
    assert isinstance(first.error, LedgerError)
    assert query(ledger_url, NOTED) == [("mine",)]


def test_all_who_wait_for_what_cannot_begin_are_told(ledger_url: str, connect: Connect, query: Query) -> None:
    """A connection that is gone is gone for all of them; the next transaction begins on another one."""
    database = connect(ledger_url)

    def is_gone(_: sa.Connection) -> None:
        raise database._driver_error("gone")

    told = in_threads(
        database,
        [noting(name) for name in "abc"],
        meanwhile=lambda: sa.event.listen(database._engine, "begin", is_gone),
    )
    assert [type(each) for each in told] == [LedgerError] * 3
    sa.event.remove(database._engine, "begin", is_gone)
    assert database.grouped(noting("d")) == "d"
    assert query(ledger_url, NOTED) == [("d",)]
