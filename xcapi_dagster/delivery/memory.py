"""What one run knows of the ledger: the standing of each of its pixel's conversions, looked up in bulk.

Loaded once and then kept up to date with what other runs changed; a claim is checked against it inside the
transaction that makes it. To look a request's few keys up among millions costs more than to send them, so that a
claim only asks whether anything was heard of them since they were looked up with those of thousands of others.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, func, select

from xcapi_dagster.delivery.key_index import KeyIndex
from xcapi_dagster.delivery.keys import KEY, Entries, Fingerprints, Keys
from xcapi_dagster.delivery.news import News
from xcapi_dagster.delivery.records import Request, RequestState, Verdict, request_of, verdict_of
from xcapi_dagster.delivery.sorted_keys import SortedKeys
from xcapi_dagster.delivery.tables import request, verdict

# The requests that say something of their conversions; of the others only their children or verdicts do.
_TELLING = ("accepted", "unknown", "held", "lost", "resend", "forgotten")
_ROWS_AT_ONCE = 1000

LONG_AGO = -1  # a moment before all others


class Known(NamedTuple):
    """Per conversion: the request with which X has it or may have it (0: none), its fingerprint then, and any verdict.

    X has nothing of what it rejected for what the order is: the same order in a request before was refused as well.
    ``heard`` is the latest request that says anything of it, by its own outcome or by a verdict: as long as that stays
    the same, nothing has happened to the conversion. ``moment`` is when this was so, for `Memory.has_news`.
    """

    requests: NDArray[np.uint32]
    fingerprints: Fingerprints
    verdicts: Mapping[int, Verdict]  # position -> verdict, where it is newer than the request, which X did not accept
    heard: NDArray[np.uint32]
    moment: int


class Memory:
    """The requests and verdicts of one scope; `look_up` is its purpose. Safe for threads."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._lock = threading.Lock()
        self._index = KeyIndex()
        self._latest_indexed = 0  # the latest of the requests in it
        self._told: list[tuple[Request, Keys, Fingerprints]] = []  # newer than the index
        self._news = News()
        self._in_flight: dict[int, Keys] = {}
        self._claimed_at: dict[int, int] = {}  # the moment at which each of this run's own was news
        self._verdicts: dict[bytes, Verdict] = {}
        self.revision = -1  # of the ledger, up to which this knows everything
        self.last_accepted = 0  # the latest of all requests that X accepted
        self.requests: dict[int, Request] = {}

    def catch_up(self, connection: Connection, revision: int, owner_id: int) -> None:
        """Learn what was changed since the last time by anyone but ``owner_id``, up to ``revision``."""
        if self.revision < 0:
            self._load(connection)
        else:
            changed = connection.execute(
                select(request)
                .where(request.c.scope == self._scope, request.c.revision > self.revision)
                .where(request.c.owner_id != owner_id)
                .order_by(request.c.id)
            )
            for rows in changed.partitions(_ROWS_AT_ONCE):
                with self._lock:
                    self._learn(rows)
        ruled = connection.execute(
            select(verdict)
            .where(verdict.c.scope == self._scope, verdict.c.revision > self.revision)
            .order_by(verdict.c.id)
        ).all()
        with self._lock:
            keys = np.frombuffer(b"".join(row.key for row in ruled), KEY)
            self._rule(keys, enumerate(map(verdict_of, ruled)))
            self._news.add(keys)
            self.revision = revision

    def _load(self, connection: Connection) -> None:
        """Learn everything for the first time."""
        of_scope = request.c.scope == self._scope
        told = request.c.state.in_(_TELLING)
        size = connection.execute(select(func.coalesce(func.sum(request.c.size), 0)).where(of_scope, told)).scalar_one()
        with self._lock:
            self._index = KeyIndex(SortedKeys(map(self._note, self._rows(connection)), int(size)))
            self._latest_indexed = max(self.requests, default=0)

    def _rows(self, connection: Connection) -> Iterator[Sequence[Row[Any]]]:
        """All requests of the scope in the order in which they count: what X accepted is the last word."""
        stream = {"yield_per": _ROWS_AT_ONCE}
        of_scope = select(request).where(request.c.scope == self._scope).order_by(request.c.id)
        for of_state in (request.c.state != "accepted", request.c.state == "accepted"):
            yield from connection.execute(of_scope.where(of_state), execution_options=stream).partitions()

    def claim(self, claimed: Request, keys: Keys) -> None:
        """Take in one of this run's own requests."""
        with self._lock:
            self.requests[claimed.id] = claimed
            self._in_flight[claimed.id] = keys
            self._claimed_at[claimed.id] = self._news.add(keys)

    def settle(
        self, settled: Request, keys: Keys, fingerprints: Fingerprints, verdicts: Iterable[tuple[int, Verdict]]
    ) -> None:
        """Take in the outcome of one of this run's own requests; ``verdicts`` are on positions in it."""
        with self._lock:
            self._remember(settled)
            self._rule(keys, verdicts)
            if settled.state in _TELLING:
                self._told.append((settled, keys, fingerprints))
            if self._claimed_at.pop(settled.id, None) != self._news.moment:
                self._news.add(keys)
            self._in_flight.pop(settled.id, None)

    def has_news(self, keys: Keys, since: int) -> bool:
        """Whether anything may have been heard of these conversions since that moment; False is certain."""
        with self._lock:
            return self._news.concern(keys, since)

    def unchanged(self, keys: Keys, known: NDArray[np.uint32], moment: int) -> NDArray[np.intp]:
        """Which of these conversions may still be sent by what was ``known`` of them at that ``moment``, each once.

        Of the others something was heard since. A request that was given up for unknown may have been answered after
        all: it is the same, and tells something else.
        """
        first = _first_of_each(keys)
        if not self.has_news(keys, moment):
            return first
        now = self.look_up(keys)
        may_be_sent = (now.heard == known) & ~self.are(now.requests, "accepted", "held", "forgotten")
        kept: NDArray[np.intp] = first[may_be_sent[first]]
        return kept

    def look_up(self, keys: Keys) -> Known:
        """What is known of these conversions."""
        with self._lock:
            moment = self._news.next_moment()
            self._index_told()
            requests, fingerprints = self._index.find(keys)
            if self._in_flight:
                flying = _sorted(self._in_flight).find(keys).requests
                requests = np.where(flying > 0, flying, requests)
            if self._verdicts:
                requests[self.are(requests, "refused")] = 0
            verdicts = self._verdicts_on(keys, requests)
        heard = requests.copy()
        heard[list(verdicts)] = [ruling.request_id for ruling in verdicts.values()]
        return Known(requests, fingerprints, verdicts, heard, moment)

    def _verdicts_on(self, keys: Keys, requests: NDArray[np.uint32]) -> dict[int, Verdict]:
        if not self._verdicts:
            return {}
        verdicts = enumerate(self._verdicts.get(key.tobytes()) for key in keys)
        is_final = self.are(requests, "accepted")
        return {at: each for at, each in verdicts if each and each.request_id > requests[at] and not is_final[at]}

    def are(self, requests: NDArray[np.uint32], *states: RequestState) -> NDArray[np.bool_]:
        """Which of these requests, 0 for none, are in one of ``states``."""
        ids, which = np.unique(requests, return_inverse=True)
        told = [self.requests.get(request_id) for request_id in ids.tolist()]
        return np.array([each is not None and each.state in states for each in told], np.bool_)[which]

    def entries_of(self, *states: RequestState, instance: str | None = None, partition: str | None = None) -> Entries:
        """The conversions, of one instance or all and of one partition or all, whose latest request is so settled."""
        with self._lock:
            told = [
                each.id
                for each in self.requests.values()
                if each.state in states
                and (instance is None or each.instance in ("", instance))
                and partition in (None, each.partition)
            ]
            self._index_told()
            return self._index.of_requests(np.array(told, np.uint32))

    def _rule(self, keys: Keys, verdicts: Iterable[tuple[int, Verdict]]) -> None:
        """Take in verdicts on the conversions at these positions of ``keys``; some say that X has them from no request.

        Not one of a request that was given up as unknown before it was refused: what others did since counts more.
        """
        given = dict(verdicts)
        self._verdicts |= {keys[position].tobytes(): ruling for position, ruling in given.items()}
        certain = {at: ruling for at, ruling in given.items() if ruling.was_always_so and self._was_refused(ruling)}
        if not certain:
            return
        requests = np.array([ruling.request_id for ruling in certain.values()], np.uint32)
        fingerprints = np.array([ruling.fingerprint for ruling in certain.values()], np.uint64)
        self._index_told()
        self._tell(keys[list(certain)], fingerprints, requests)

    def _was_refused(self, ruling: Verdict) -> bool:
        told = self.requests.get(ruling.request_id)
        return told is not None and told.state == "refused"

    def _learn(self, rows: Sequence[Row[Any]]) -> None:
        for row in rows:
            self._news.add(np.frombuffer(row.keys, KEY))
        self._index_told()
        self._tell(*self._note(rows))

    def _index_told(self) -> None:
        """Let this run's own requests answer for their conversions: many at once cost little more than one."""
        if not self._told:
            return
        self._told.sort(key=lambda told: (told[0].state == "accepted", told[0].id))  # the last word last
        settled, keys, fingerprints = zip(*self._told, strict=True)
        requests = np.repeat(np.array([request.id for request in settled], np.uint32), [len(each) for each in keys])
        self._tell(np.concatenate(keys), np.concatenate(fingerprints), requests)
        self._told.clear()

    def _note(self, rows: Sequence[Row[Any]]) -> Entries:
        """Remember the requests themselves; returns what they say of their conversions, the last word last."""
        for row in rows:
            self._remember(request_of(row))
            if row.state == "in_flight":
                self._in_flight[row.id] = np.frombuffer(row.keys, KEY)
            else:
                self._in_flight.pop(row.id, None)
        told = sorted((row for row in rows if row.state in _TELLING), key=lambda row: row.state == "accepted")
        return Entries(
            np.frombuffer(b"".join(row.keys for row in told), KEY),
            np.frombuffer(b"".join(row.fingerprints for row in told), np.uint64),
            np.repeat(np.array([row.id for row in told], np.uint32), [row.size for row in told]),
        )

    def _remember(self, told: Request) -> None:
        self.requests[told.id] = told
        if told.state == "accepted" and told.decided_by is None:
            self.last_accepted = max(self.last_accepted, told.id)

    def _tell(self, keys: Keys, fingerprints: Fingerprints, requests: NDArray[np.uint32]) -> None:
        """Let requests answer for their conversions: what X accepted is the last word, else the latest request is.

        A request that a run was given up with may be found accepted after another was sent in its place.
        """
        is_accepted = self.are(requests, "accepted")
        counts = is_accepted & (requests > self._latest_indexed)  # which is most of them: what was before is no matter
        others = np.flatnonzero(~counts)
        before = self._index.find(keys[others]).requests
        is_as_good = self.are(before, "accepted") == is_accepted[others]
        counts[others] = np.where(is_as_good, before <= requests[others], is_accepted[others])
        self._index.add(keys[counts], fingerprints[counts], requests[counts])
        self._latest_indexed = max(self._latest_indexed, int(requests.max(initial=0)))


def _first_of_each(keys: Keys) -> NDArray[np.intp]:
    """Where each key is for the first time: a file that somebody has edited may hold one twice."""
    in_order = np.sort(keys["high"].astype(np.uint64))
    if (in_order[1:] != in_order[:-1]).all():
        return np.arange(len(keys))
    return np.sort(np.unique(keys, return_index=True)[1])


def _sorted(flying: Mapping[int, Keys]) -> SortedKeys:
    parts = [
        Entries(keys, np.zeros(len(keys), np.uint64), np.full(len(keys), request_id, np.uint32))
        for request_id, keys in flying.items()
    ]
    return SortedKeys(parts, sum(map(len, flying.values())))
