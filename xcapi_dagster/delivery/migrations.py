"""Older ledgers brought to this version's shape, a version at a time, in the transaction of the caller."""

import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, bindparam, func, insert, select, text, update

from xcapi_dagster.delivery.keys import KEY_DIGESTS, KeyDigest, conversion_keys
from xcapi_dagster.delivery.records import checksum_of
from xcapi_dagster.delivery.sqlite_file import RESTORE
from xcapi_dagster.delivery.tables import SCHEMA_VERSION, gap, instance, meta, metadata, predecessor, request
from xcapi_dagster.errors import LedgerError

_DAMAGED = f"the ledger is damaged (its id or its salt is not as it was written): {RESTORE}"


def create(connection: Connection) -> None:
    """Make the tables of a new ledger."""
    metadata.create_all(connection)
    facts = {
        "schema_version": str(SCHEMA_VERSION),
        "id": secrets.token_hex(16),
        "salt": secrets.token_hex(16),
        "revision": "0",
        "key_digest": "siphash",
    }
    facts |= {"checksum": _checksum_of(facts), "key_probe": _key_probe_of(facts)}
    connection.execute(insert(meta), [{"name": name, "value": value} for name, value in facts.items()])


def version_of(facts: Mapping[str, str]) -> int:
    """The version of a ledger with these rows in `meta`. Raises LedgerError for one that this package cannot use."""
    version = facts.get("schema_version", "")
    if not version.isdecimal() or "salt" not in facts:
        raise LedgerError("XCAPI_LEDGER_URL names a database that has another application's table `meta`")
    if not 1 <= int(version) <= SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger has schema version {version} and this package reads {SCHEMA_VERSION}: "
            "install the version of xcapi-dagster that wrote it, or a newer one"
        )
    return int(version)


def migrate(connection: Connection, version: int) -> None:
    """Bring a ledger of ``version`` to SCHEMA_VERSION."""
    for older in range(version, SCHEMA_VERSION):
        _STEPS[older](connection)
    connection.execute(update(meta).where(meta.c.name == "schema_version").values(value=str(SCHEMA_VERSION)))


def facts_of(connection: Connection) -> dict[str, str]:
    """The rows of `meta`."""
    return {row.name: row.value for row in connection.execute(select(meta))}


def check_facts(facts: Mapping[str, str]) -> None:
    """Raises LedgerError when the id, the salt or the digest is not as it was written: nothing would be known."""
    _check_checksum(facts)
    if facts.get("key_digest") not in KEY_DIGESTS:
        raise LedgerError(_DAMAGED)
    if facts.get("key_probe") != _key_probe_of(facts):
        raise LedgerError(
            "this version of pandas digests in another way than the one with which the ledger was begun, so that every "
            "order would seem new: install an older one"
        )


def key_digest_of(facts: Mapping[str, str]) -> KeyDigest:
    """How the ledger with these rows in `meta` makes keys."""
    return KeyDigest(facts["key_digest"], bytes.fromhex(facts["salt"]))


def _key_probe_of(facts: Mapping[str, str]) -> str:
    """The key that no conversion has."""
    return conversion_keys(key_digest_of(facts), "", [""], [""]).tobytes().hex()


def _check_checksum(facts: Mapping[str, str]) -> None:
    if facts.get("checksum") != _checksum_of(facts):
        raise LedgerError(_DAMAGED)


def _checksum_of(facts: Mapping[str, str]) -> str:
    return str(zlib.crc32(f"{facts.get('id')} {facts['salt']}".encode()))


def _to_2(connection: Connection) -> None:
    """Operators decide, instances are remembered, and a ledger can be told from its copies."""
    connection.execute(text("ALTER TABLE request ADD COLUMN decided_by VARCHAR(255)"))
    metadata.create_all(connection, [instance])
    connection.execute(
        text(
            "CREATE TABLE predecessor (ledger_id VARCHAR(32) PRIMARY KEY, revision BIGINT NOT NULL, "
            "accepted_by VARCHAR(255) NOT NULL, accepted_why TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)"
        )
    )
    connection.execute(insert(meta).values(name="id", value=secrets.token_hex(16)))


def _to_3(connection: Connection) -> None:
    """What must never change has checksums."""
    connection.execute(insert(meta).values(name="checksum", value=_checksum_of(facts_of(connection))))
    connection.execute(text("ALTER TABLE request ADD COLUMN checksum BIGINT DEFAULT 0 NOT NULL"))
    rows = connection.execute(select(request.c.id, request.c["keys"], request.c.fingerprints, request.c.first_sent_at))
    sums = [{"of": row.id, "sum": checksum_of(row.keys, row.fingerprints, row.first_sent_at)} for row in rows]
    if sums:
        connection.execute(
            update(request).where(request.c.id == bindparam("of")).values(checksum=bindparam("sum")), sums
        )


def _to_4(connection: Connection) -> None:
    """Requests are an instance's, where one can tell whose, and so is the word that a ledger takes another's place."""
    connection.execute(text("ALTER TABLE request ADD COLUMN instance VARCHAR(255) DEFAULT '' NOT NULL"))
    scopes = connection.execute(select(instance.c.scope, func.count(), func.min(instance.c.name)).group_by("scope"))
    for scope, instances, name in scopes.all():
        if instances == 1:
            connection.execute(update(request).where(request.c.scope == scope).values(instance=name))
    words = connection.execute(
        text(
            "SELECT p.ledger_id, i.host, i.name, -1 AS known, p.revision, p.accepted_by, p.accepted_why, p.at "
            "FROM predecessor p CROSS JOIN instance i"
        )
    )
    rows = [dict(row) for row in words.mappings()]
    connection.execute(text("DROP TABLE predecessor"))
    metadata.create_all(connection, [predecessor])
    if rows:
        connection.execute(insert(predecessor), rows)


# column -> the tables in which it is a place, as of version 4
_PLACES_OF_4: Mapping[str, Sequence[str]] = {
    "account": ("request", "spending", "allowance"),
    "scope": ("request", "verdict", "instance"),
    "host": ("instance", "predecessor"),
}


def _to_5(connection: Connection) -> None:
    """A copy never comes to the revisions of what it is a copy of. Hosts with long names have room.

    SQLite holds no text to a length.
    """
    metadata.create_all(connection, [gap])
    if connection.dialect.name == "sqlite":
        return
    for column, tables in _PLACES_OF_4.items():
        for table in tables:
            connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE VARCHAR(512)"))


def _to_6(connection: Connection) -> None:
    """Keys are made in more than one way. Raises LedgerError for a salt that would make none that is known."""
    facts = facts_of(connection) | {"key_digest": "blake2b"}
    _check_checksum(facts)
    added = {"key_digest": facts["key_digest"], "key_probe": _key_probe_of(facts)}
    connection.execute(insert(meta), [{"name": name, "value": value} for name, value in added.items()])


_STEPS: Mapping[int, Callable[[Connection], None]] = {1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5, 5: _to_6}
