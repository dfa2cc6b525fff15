"""Older ledgers brought to this version's shape, a version at a time, in the transaction of the caller."""

import secrets
from collections.abc import Callable, Mapping

from sqlalchemy import Connection, insert, select, text, update

from xcapi_dagster.delivery.tables import SCHEMA_VERSION, instance, meta, metadata, predecessor
from xcapi_dagster.errors import LedgerError


def create(connection: Connection) -> None:
    """Make the tables of a new ledger."""
    metadata.create_all(connection)
    facts = {
        "schema_version": str(SCHEMA_VERSION),
        "id": secrets.token_hex(16),
        "salt": secrets.token_hex(16),
        "revision": "0",
    }
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


def _to_2(connection: Connection) -> None:
    """Operators decide, instances are remembered, and a ledger can be told from its copies."""
    connection.execute(text("ALTER TABLE request ADD COLUMN decided_by VARCHAR(255)"))
    metadata.create_all(connection, [instance, predecessor])
    connection.execute(insert(meta).values(name="id", value=secrets.token_hex(16)))


_STEPS: Mapping[int, Callable[[Connection], None]] = {1: _to_2}
