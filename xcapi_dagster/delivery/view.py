"""A look at the ledger that takes no part in it: no lease, no claim, nothing written."""

from collections.abc import Sequence
from typing import Self

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.keys import Keys, conversion_keys
from xcapi_dagster.delivery.memory import Memory

_NOBODY = -1  # no run's owner id
_NO_SALT = b"\0"  # of a ledger that is not there yet, and knows nothing


class LedgerView:
    """What a ledger knows of one pixel's conversions at one moment."""

    def __init__(self, scope: str, salt: bytes = _NO_SALT) -> None:
        """A ledger that is not there yet."""
        self.memory = Memory(scope)
        self._scope = scope
        self._salt = salt

    @classmethod
    def of(cls, database: Database, scope: str) -> Self:
        """The ledger in ``database``, as it is now. Raises LedgerError when that fails."""
        view = cls(scope, database.salt)
        with database.transaction() as connection:
            view.memory.catch_up(connection, database.revision(connection), _NOBODY)
        return view

    def keys(self, event_ids: Sequence[str], conversion_ids: Sequence[str]) -> Keys:
        """The keys of these conversions in this ledger."""
        return conversion_keys(self._salt, self._scope, event_ids, conversion_ids)
