"""Orders that somebody asked to be forgotten: the ledger keeps tombstones of them, so that none is sent or kept again.

A tombstone is a request that was decided and never sent: it has who and when, and keys instead of ids. What X had
accepted stays accepted besides, since that is the last word on a conversion.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.keys import KEY, Entries, Keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.records import Request
from xcapi_dagster.delivery.sorted_keys import SortedKeys
from xcapi_dagster.delivery.tables import request
from xcapi_dagster.delivery.view import LedgerView

_ANY_EVENT = ""  # no event's id: with it an order has a key of its own, whatever it is sent as
_NO_PARTITION = ""
_WHY = "somebody asked that it be forgotten"


class Forgotten:
    """The orders of one pixel that are forgotten, and those that a component instance has forgotten of an earlier one.

    A tombstone has keys of the pixel that the instance sent to when it was left: for another one they are others.
    """

    def __init__(self, tombstones: Mapping[Ledger | LedgerView, Keys]) -> None:
        """``tombstones`` are the keys of those of each pixel, by a ledger or a view that makes its keys."""
        self._of_pixels = {ledger: _sorted(keys) for ledger, keys in tombstones.items()}

    @classmethod
    def of(cls, database: Database, scope: str, instance: str) -> Self:
        """Those that the ledger in ``database`` knows now; nothing else of it is read. Raises LedgerError."""
        is_of = (request.c.scope == scope) | (request.c.instance == instance)
        tombstones = select(request.c.scope, request.c["keys"]).where(request.c.state == "forgotten", is_of)
        keys: dict[str, list[bytes]] = {}
        with database.transaction() as connection:
            for row in connection.execute(tombstones):
                keys.setdefault(row.scope, []).append(row.keys)
        views = {LedgerView(each, database.key_digest): b"".join(found) for each, found in keys.items()}
        return cls({view: np.frombuffer(found, KEY) for view, found in views.items()})

    @classmethod
    def known_to(cls, ledger: Ledger | LedgerView) -> Self:
        """Those of its pixel that ``ledger`` has learned of."""
        return cls({ledger: ledger.memory.entries_of("forgotten").keys})

    def __len__(self) -> int:
        """How many tombstones there are: no fewer than before, since none is ever removed."""
        return sum(map(len, self._of_pixels.values()))

    def among(self, order_ids: Sequence[str | None]) -> NDArray[np.bool_]:
        """Which of these orders are forgotten; one without an id cannot be."""
        is_given = np.array([order_id is not None for order_id in order_ids], np.bool_)
        given = [order_id for order_id in order_ids if order_id is not None]
        is_forgotten = np.zeros(len(given), np.bool_)
        for ledger, tombstones in self._of_pixels.items():
            is_forgotten |= tombstones.find(_own_keys(ledger, given)).requests > 0
        is_given[is_given] = is_forgotten
        return is_given


def leave_tombstone(ledger: Ledger, order_id: str, conversions: Iterable[tuple[str, str]], *, by: str) -> None:
    """Leave a tombstone of the order, and of the ``conversions`` (event id, conversion id) that it was or may be.

    ``by`` and the time are kept. Other runs learn of it before they claim anything more.
    """
    event_ids, conversion_ids = zip((_ANY_EVENT, order_id), *conversions, strict=True)
    ledger.adopt(_NO_PARTITION, ledger.keys(event_ids, conversion_ids), "forgotten", by=by, why=_WHY)


def tombstone_of(ledger: LedgerView, order_id: str) -> Request | None:
    """The tombstone of the order, None when it is not forgotten."""
    known = ledger.memory.look_up(_own_keys(ledger, [order_id]))
    return ledger.memory.requests.get(int(known.requests[0]))


def _sorted(keys: Keys) -> SortedKeys:
    return SortedKeys([Entries(keys, np.zeros(len(keys), np.uint64), np.ones(len(keys), np.uint32))], len(keys))


def _own_keys(ledger: Ledger | LedgerView, order_ids: Iterable[str]) -> Keys:
    ids = list(order_ids)
    return ledger.keys([_ANY_EVENT] * len(ids), ids)
