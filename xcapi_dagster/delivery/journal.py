"""The rows that requests leave in the ledger: written when they are claimed or decided, changed once to settle them.

Each function works within its caller's transaction.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, insert, select, update

from xcapi_dagster.delivery.keys import Keys
from xcapi_dagster.delivery.records import RequestState, Settlement, Verdict, columns_of
from xcapi_dagster.delivery.statement import Statement
from xcapi_dagster.delivery.tables import request, verdict

_TOLD = (
    "id", "parent_id", "run_id", "state", "size", "http_status", "debug_id", "first_sent_at", "claimed_at",
    "settled_at", "message", "decided_by",
)  # fmt: skip
_OUTCOME = ("state", "settled_at", "revision", "message", "http_status", "debug_id")
_WRITTEN = [column.name for column in request.columns if column is not request.c.id]
_CERTAIN = ("accepted", "held")
_SETTLED_FOR_GOOD = ("accepted", "refused", "not_processed", "lost")
_DOUBTFUL = ("unknown", "held", "resend")
_LAST_WORDS = ("accepted", "lost")

_WRITE = Statement(insert(request).returning(request.c.id), _WRITTEN)
_SETTLE = Statement(
    update(request)
    .where(request.c.id == bindparam("request_id"))
    .where((request.c.state == "in_flight") | (request.c.state == bindparam("or_in")))
    .values({name: bindparam(name) for name in _OUTCOME})
)


def write(connection: Connection, row: Mapping[str, Any]) -> int:
    """Write a request down; returns its id. What ``row`` does not tell is not known."""
    known: dict[str, Any] = dict.fromkeys(_WRITTEN)
    return int(_WRITE.row(connection, **(known | dict(row)))[0])


def settle(
    connection: Connection, request_id: int, settlement: Settlement, *, revision: int, now: float
) -> RequestState:
    """Record how a request in flight ended; returns the state that stands.

    When its run lost the lease meanwhile, the request is unknown to all, and only a certain outcome changes that.
    """
    outcome = {
        "request_id": request_id,
        "or_in": "unknown" if settlement.state in _CERTAIN else "in_flight",
        "state": settlement.state,
        "settled_at": now,
        "revision": revision,
        "message": settlement.message,
        "http_status": settlement.http_status,
        "debug_id": settlement.debug_id,
    }
    is_open = _SETTLE.run(connection, **outcome) > 0
    return settlement.state if is_open else "unknown"


def rule(
    connection: Connection, scope: str, keys: Keys, verdicts: Iterable[tuple[int, Verdict]], *, revision: int
) -> None:
    """Write down what became of single conversions, given by their positions among ``keys``."""
    rows = [
        {"revision": revision, "scope": scope, "key": keys[position].tobytes(), **columns_of(ruling)}
        for position, ruling in verdicts
    ]
    if rows:
        connection.execute(insert(verdict), rows)


def give_up(connection: Connection, request_ids: Sequence[int], *, revision: int, now: float) -> None:
    """Requests in flight whose owner is gone were possibly sent: they are unknown, never pending."""
    values = {"state": "unknown", "settled_at": now, "revision": revision, "message": "the run that sent it ended"}
    connection.execute(update(request).where(request.c.id.in_(request_ids)).values(values))


def drop_details(connection: Connection, scope: str, instance: str, before: float) -> int:
    """Forget X's words and debug ids, and why somebody decided, of what was settled ``before``; returns how many.

    Requests in doubt keep theirs, which an operator needs, until all their conversions are accepted or decided. Who
    decided stays, and what was accepted or refused.
    """
    has_some = request.c.debug_id.is_not(None) | request.c.message.is_not(None)
    is_old = _is_of(scope, instance) & (request.c.settled_at < before) & has_some
    doubtful = select(request.c.id, request.c.size).where(is_old, request.c.state.in_(_DOUBTFUL))
    decided = _decided(connection, scope, connection.execute(doubtful).all())
    without = update(request).values(debug_id=None, message=None)
    dropped = connection.execute(without.where(is_old, request.c.state.in_(_SETTLED_FOR_GOOD))).rowcount
    if decided:
        connection.execute(without.where(request.c.id == bindparam("of")), [{"of": each} for each in decided])
    is_of = verdict.c.request_id.in_(select(request.c.id).where(_is_of(scope, instance)))
    has_detail = (verdict.c.scope == scope) & (verdict.c.at < before) & verdict.c.detail.is_not(None) & is_of
    connection.execute(update(verdict).where(has_detail).values(detail=None))
    return dropped + len(decided)


def _decided(connection: Connection, scope: str, doubtful: Sequence[Any]) -> list[int]:
    """Those of the ``doubtful`` requests, by id and size, about all of whose conversions a later one is the last word.

    What carried a request's conversions again is its child, or a child of that, and each in one of them at a time.
    """
    if not doubtful:
        return []
    children = select(request.c.id, request.c.parent_id, request.c.state, request.c.size)
    is_child = (request.c.scope == scope) & request.c.parent_id.is_not(None)
    certain = Counter[int]()  # the conversions of each request of which one knows now
    for child in connection.execute(children.where(is_child).order_by(request.c.id.desc())):  # children first
        certain[child.parent_id] += child.size if child.state in _LAST_WORDS else certain[child.id]
    return [each.id for each in doubtful if certain[each.id] >= each.size]


def of_partition(connection: Connection, scope: str, instance: str, partition: str) -> list[dict[str, Any]]:
    """Every request with conversions of an instance's ``partition``, oldest first, by the ledger's column names."""
    told = select(*[request.c[name] for name in _TOLD])
    is_of = _is_of(scope, instance) & (request.c.partition == partition)
    return [dict(row) for row in connection.execute(told.where(is_of).order_by(request.c.id)).mappings()]


def _is_of(scope: str, instance: str) -> ColumnElement[bool]:
    """Whether a request is the instance's, or may be."""
    return (request.c.scope == scope) & request.c.instance.in_(("", instance))
