"""A look at the ledger that takes no part in it: no lease, no claim, nothing written."""

from typing import Self

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.keys import KeyDigest, Keys, Texts, conversion_keys
from xcapi_dagster.delivery.memory import Memory

_NOBODY = -1  # no run's owner id
_NO_DIGEST = KeyDigest("siphash", b"\0")  # of a ledger that is not there yet, and knows nothing


class LedgerView:
    """What a ledger knows of one pixel's conversions at one moment."""

    def __init__(self, scope: str, digest: KeyDigest = _NO_DIGEST) -> None:
        """A ledger that is not there yet."""
        self.memory = Memory(scope)
        self._scope = scope
        self._digest = digest

    @classmethod
    def of(cls, database: Database, scope: str) -> Self:
        """The ledger in ``database``, as it is now. Raises LedgerError when that fails."""
        view = cls(scope, database.key_digest)
        with database.transaction() as connection:
            view.memory.catch_up(connection, database.revision(connection), _NOBODY)
        return view

    def keys(self, event_ids: Texts, conversion_ids: Texts) -> Keys:
        """The keys of these conversions in this ledger."""
        return conversion_keys(self._digest, self._scope, event_ids, conversion_ids)
