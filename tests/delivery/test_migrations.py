"""Older ledgers: brought up to date with all that they know, after a copy was put aside."""

import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.view import LedgerView
from xcapi_dagster.errors import LedgerError

Query = Callable[..., list[Any]]

# The tables of version 1 that the migration touches, as that version made them.
VERSION_1 = (
    "CREATE TABLE meta (name VARCHAR(64) NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name))",
    "INSERT INTO meta VALUES ('schema_version', '1'), ('salt', '00112233445566778899aabbccddeeff'), ('revision', '7')",
    """CREATE TABLE owner (id INTEGER NOT NULL PRIMARY KEY, run_id VARCHAR(64) NOT NULL, host VARCHAR(255) NOT NULL,
    boot VARCHAR(64) NOT NULL, pid BIGINT NOT NULL, lease_until DOUBLE PRECISION NOT NULL)""",
    """CREATE TABLE request (id INTEGER NOT NULL PRIMARY KEY, revision BIGINT NOT NULL, account VARCHAR(64) NOT NULL,
    scope VARCHAR(255) NOT NULL, partition VARCHAR(255) NOT NULL, run_id VARCHAR(64) NOT NULL,
    owner_id INTEGER NOT NULL, parent_id INTEGER, state VARCHAR(16) NOT NULL, size INTEGER NOT NULL,
    keys {bytes} NOT NULL, fingerprints {bytes} NOT NULL, first_sent_at DOUBLE PRECISION NOT NULL,
    claimed_at DOUBLE PRECISION NOT NULL, settled_at DOUBLE PRECISION, http_status INTEGER, debug_id VARCHAR(64),
    message TEXT)""",
    """CREATE TABLE verdict (id INTEGER NOT NULL PRIMARY KEY, revision BIGINT NOT NULL, scope VARCHAR(255) NOT NULL,
    key {bytes} NOT NULL, fingerprint BIGINT NOT NULL, request_id INTEGER NOT NULL, since INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL, reason_code VARCHAR(64) NOT NULL, detail TEXT, isolated_by VARCHAR(16),
    at DOUBLE PRECISION NOT NULL)""",
    """CREATE TABLE spending (account VARCHAR(64) NOT NULL, slice BIGINT NOT NULL, events BIGINT NOT NULL,
    requests BIGINT NOT NULL, PRIMARY KEY (account, slice))""",
    """CREATE TABLE allowance (account VARCHAR(64) NOT NULL PRIMARY KEY, blocked_until DOUBLE PRECISION NOT NULL,
    requests_left BIGINT, resets_at DOUBLE PRECISION)""",
    "INSERT INTO owner VALUES (1, 'r', 'h', 'b', 1, 0)",
    """INSERT INTO request (id, revision, account, scope, partition, run_id, owner_id, state, size, keys, fingerprints,
    first_sent_at, claimed_at) VALUES (1, 7, 'a', 's', '2026-09-21', 'r', 1, 'accepted', 0, {empty}, {empty}, 5, 5)""",
)


def make_version_1(url: str, query: Query) -> None:
    """A ledger as version 1 left it."""
    is_sqlite = url.startswith("sqlite")
    words = {"bytes": "BLOB", "empty": "x''"} if is_sqlite else {"bytes": "BYTEA", "empty": "''::bytea"}
    if is_sqlite:
        Path(str(sa.make_url(url).database)).parent.mkdir(mode=0o700)
    for statement in VERSION_1:
        query(url, statement.format(**words))


def become_older(url: str, query: Query, version: int) -> None:
    """Let a ledger say that it is of an older version, without what `meta` has since version 6."""
    query(url, f"UPDATE meta SET value = '{version}' WHERE name = 'schema_version'")
    query(url, "DELETE FROM meta WHERE name IN ('key_digest', 'key_probe')")


def test_version_1_is_brought_up_to_date(ledger_url: str, query: Query) -> None:
    """Its salt, revision and requests stay, it gets an id, and opening it again changes nothing more."""
    make_version_1(ledger_url, query)
    first = Database(ledger_url)
    assert first.key_digest.salt.hex() == "00112233445566778899aabbccddeeff"
    assert first.stamp().revision == 7
    assert query(ledger_url, "SELECT id, instance, partition, state, decided_by FROM request") == [
        (1, "", "2026-09-21", "accepted", None)
    ]
    told = query(ledger_url, "SELECT * FROM request")
    assert zlib.crc32(b"5.0") in told[0]  # of the time it was first sent, before the keys, of which it has none
    assert query(ledger_url, "SELECT * FROM instance") == query(ledger_url, "SELECT * FROM predecessor") == []
    again = Database(ledger_url)
    assert again.stamp() == first.stamp()
    first.close()
    again.close()


def test_a_copy_is_put_aside_before(sqlite_url: str, query: Query) -> None:
    """As it was, and for its owner alone."""
    make_version_1(sqlite_url, query)
    Database(sqlite_url).close()
    copy = Path(str(sa.make_url(sqlite_url).database)).with_name("ledger.db.version-1")
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() == ("1",)
        assert connection.execute("SELECT count(*) FROM request").fetchone() == (1,)


def test_version_3_learns_whose_its_requests_are(ledger_url: str, query: Query) -> None:
    """An instance's where it alone sent to the pixel; a word for all instances becomes one for each."""
    Database(ledger_url).close()
    for statement in (
        "ALTER TABLE request DROP COLUMN instance",
        "DROP TABLE predecessor",
        """CREATE TABLE predecessor (ledger_id VARCHAR(32) PRIMARY KEY, revision BIGINT NOT NULL,
        accepted_by VARCHAR(255) NOT NULL, accepted_why TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)""",
        "INSERT INTO predecessor VALUES ('lost', 7, 'ann', 'the disk broke', 5)",
        """INSERT INTO instance (host, name, scope, event_id, at) VALUES ('h', 'purchases', 'h|p', 'e', 1),
        ('h', 'leads', 'h|shared', 'e', 1), ('h', 'sign_ups', 'h|shared', 'f', 1)""",
        "INSERT INTO owner (id, run_id, host, boot, pid, lease_until) VALUES (1, 'r', 'h', 'b', 1, 0)",
    ):
        query(ledger_url, statement)
    become_older(ledger_url, query, 3)
    empty = "x''" if ledger_url.startswith("sqlite") else "''::bytea"
    for number, scope in enumerate(("h|p", "h|shared", "h|gone"), start=1):
        query(
            ledger_url,
            f"""INSERT INTO request (id, revision, account, scope, partition, run_id, owner_id, state, size, keys,
            fingerprints, first_sent_at, checksum, claimed_at)
            VALUES ({number}, 7, 'a', '{scope}', 'd', 'r', 1, 'accepted', 0, {empty}, {empty}, 5, 0, 5)""",
        )
    Database(ledger_url).close()
    assert query(ledger_url, "SELECT scope, instance FROM request ORDER BY id") == [
        ("h|p", "purchases"),
        ("h|shared", ""),
        ("h|gone", ""),
    ]
    words = query(ledger_url, "SELECT ledger_id, name, known, revision, accepted_by FROM predecessor ORDER BY name")
    assert words == [("lost", name, -1, 7, "ann") for name in ("leads", "purchases", "sign_ups")]


def test_version_4_has_room_for_long_hosts_afterwards(ledger_url: str, query: Query) -> None:
    """Also in what was there; SQLite had it before."""
    Database(ledger_url).close()
    lengths = {
        "account": (64, "request", "spending", "allowance"),
        "scope": (255, "request", "verdict", "instance"),
        "host": (255, "instance", "predecessor"),
    }
    if not ledger_url.startswith("sqlite"):
        for column, (length, *tables) in lengths.items():
            for table in tables:
                query(ledger_url, f"ALTER TABLE {table} ALTER COLUMN {column} TYPE VARCHAR({length})")
    query(ledger_url, "INSERT INTO allowance (account, blocked_until) VALUES ('h|a', 5)")
    become_older(ledger_url, query, 4)
    Database(ledger_url).close()
    host = "h" * 260
    query(ledger_url, f"UPDATE allowance SET account = '{host}|a' WHERE account = 'h|a'")
    query(ledger_url, f"INSERT INTO spending VALUES ('{host}|a', 1, 1, 1)")
    query(
        ledger_url, f"INSERT INTO instance (host, name, scope, event_id, at) VALUES ('{host}', 'n', '{host}|p', 'e', 1)"
    )
    query(ledger_url, f"INSERT INTO predecessor VALUES ('lost', '{host}', 'n', 7, 7, 'ann', 'the disk broke', 5)")
    assert query(ledger_url, "SELECT account, blocked_until FROM allowance") == [(f"{host}|a", 5)]
    Database(ledger_url).close()
    assert dict(query(ledger_url, "SELECT name, value FROM meta"))["schema_version"] == "6"


def test_version_5_knows_its_orders_afterwards(ledger_url: str, query: Query) -> None:
    """It goes on with the keys that it has: what was accepted before is not sent again."""
    first = Database(ledger_url)
    salt = first.key_digest.salt
    first.close()
    become_older(ledger_url, query, 5)
    key = blake2b(b"h|p\0o87ne\0A-17", digest_size=16, key=salt).digest()
    blob = "x'{}'" if ledger_url.startswith("sqlite") else "'\\x{}'::bytea"
    told = (blob.format(key.hex()), blob.format(bytes(8).hex()), 5, zlib.crc32(b"5.0" + key + bytes(8)))
    query(ledger_url, "INSERT INTO owner (id, run_id, host, boot, pid, lease_until) VALUES (1, 'r', 'h', 'b', 1, 0)")
    query(
        ledger_url,
        f"""INSERT INTO request (id, revision, account, scope, instance, partition, run_id, owner_id, state, size, keys,
        fingerprints, first_sent_at, checksum, claimed_at)
        VALUES (1, 7, 'a', 'h|p', 'n', 'd', 'r', 1, 'accepted', 1, {", ".join(map(str, told))}, 5)""",
    )
    for _ in range(2):
        database = Database(ledger_url)
        view = LedgerView.of(database, "h|p")
        database.close()
        assert view.memory.look_up(view.keys(["o87ne", "o87ne"], ["A-17", "A-18"])).requests.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("fact", "words"), [("key_probe", "this version of pandas digests in another way"), ("key_digest", "is damaged")]
)
def test_a_ledger_with_other_keys_is_refused(fact: str, words: str, ledger_url: str, query: Query) -> None:
    """By them none of its orders would be known, and all would be sent again."""
    Database(ledger_url).close()
    query(ledger_url, f"UPDATE meta SET value = '00' WHERE name = '{fact}'")
    with pytest.raises(LedgerError, match=words):
        Database(ledger_url)


@pytest.mark.parametrize(
    "damage",
    [
        "value = 'zz' || substr(value, 3) WHERE name = 'salt'",
        "value = '00112233445566778899aabbccddeeff' WHERE name = 'salt'",
        "name = 'iD' WHERE name = 'id'",
    ],
)
@pytest.mark.parametrize("version", [5, 6])
def test_a_damaged_ledger_is_told_as_such_and_not_changed(
    version: int, damage: str, ledger_url: str, query: Query
) -> None:
    """Also while it is of an older version: by another salt no order would be known."""
    Database(ledger_url).close()
    if version < 6:
        become_older(ledger_url, query, version)
    query(ledger_url, f"UPDATE meta SET {damage}")
    damaged = query(ledger_url, "SELECT name, value FROM meta ORDER BY name")
    with pytest.raises(LedgerError, match="is damaged"):
        Database(ledger_url)
    assert query(ledger_url, "SELECT name, value FROM meta ORDER BY name") == damaged
