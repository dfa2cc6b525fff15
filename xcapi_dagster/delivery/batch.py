"""Conversions as delivery sees them: a chunk of a partition, and the batch that one request carries."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xcapi_dagster.contract import MAX_BODY_BYTES, MAX_CONVERSIONS_PER_REQUEST
from xcapi_dagster.conversions.payload import Events
from xcapi_dagster.delivery.isolate import GROUP_SIZE, MAX_POSTS_PER_BATCH
from xcapi_dagster.delivery.keys import Fingerprints, Keys
from xcapi_dagster.delivery.memory import LONG_AGO
from xcapi_dagster.delivery.records import Request
from xcapi_dagster.delivery.standing import SENDABLE, Standing, Standings

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of a partition's conversions, column-wise; ``render`` gives the JSON of those at some positions."""

    keys: Keys
    fingerprints: Fingerprints
    times: NDArray[np.int64]  # milliseconds since 1970
    render: Callable[[Positions], Events]


@dataclass(slots=True)
class Budget:
    """The POSTs that the isolation of one original batch may still cost, its own not counted."""

    posts: int = MAX_POSTS_PER_BATCH - 1

    def take(self, posts: int) -> bool:
        """Take so many, if that many are left."""
        if self.posts < posts:
            return False
        self.posts -= posts
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one request is to carry: positions into rendered events, with their keys in the same order."""

    events: Events
    positions: Positions
    keys: Keys
    fingerprints: Fingerprints
    times: NDArray[np.int64]  # milliseconds since 1970
    known: NDArray[np.uint32]  # the request last heard of each conversion when this batch was made
    moment: int = LONG_AGO  # when that was, by the run's memory
    parent: Request | None = None
    may_be_late: bool = False  # an operator wants them sent, however long ago they first were
    attempts: int = 0
    throttled: int = 0
    waited: float = 0.0  # seconds, because X asked for it
    refused_since: int = 0  # the request with which X began to refuse these, 0 before that
    suspected_since: int = 0  # the one since which a row of these is suspected, 0 when none is
    budget: Budget = field(default_factory=Budget)

    def __len__(self) -> int:
        return len(self.positions)

    def body(self) -> bytes:
        """The request's JSON."""
        first, last = int(self.positions[0]), int(self.positions[-1])
        is_run = last - first + 1 == len(self.positions)
        return self.events.body(slice(first, last + 1) if is_run else self.positions)

    def texts(self) -> list[bytes]:
        """Each event's JSON."""
        return [self.events.text_of(int(position)) for position in self.positions]

    def at(self, kept: Positions) -> Self:
        """The conversions at these positions of this batch alone."""
        if len(kept) == len(self):
            return self
        return replace(
            self,
            positions=self.positions[kept],
            keys=self.keys[kept],
            fingerprints=self.fingerprints[kept],
            times=self.times[kept],
            known=self.known[kept],
        )

    def again(self) -> Self:
        """The same conversions for one more attempt."""
        return replace(self, attempts=self.attempts + 1)

    def following(self, unsure: Request) -> Self:
        """The same conversions, of which that request is what was heard last."""
        return replace(self, parent=unsure, known=np.full(len(self), unsure.id, np.uint32))

    def suspected(self, refused: Request) -> Self:
        """The same conversion, which X refused alone, to be tried once more after others."""
        return replace(self.following(refused), suspected_since=refused.id)

    def halves(self, parent: Request) -> list[Self]:
        """Two batches of half the size each, of what ``parent`` carried in vain."""
        middle = len(self) // 2
        positions = np.arange(len(self))
        return [replace(self.at(half), parent=parent) for half in (positions[:middle], positions[middle:])]

    def after_refusal(self, refused: Request) -> Self:
        """The same conversions, to be sent in parts."""
        return replace(self, refused_since=self.refused_since or refused.id)


class Portion(NamedTuple):
    """What of a chunk may be sent, stands alike and was in one request, cut to those that are to carry it now."""

    standing: Standing
    request_id: int  # 0: it was in none
    positions: Positions  # in the chunk
    batches: Iterator[Batch]


def portions(chunk: Chunk, found: Standings, largest: int) -> Iterator[Portion]:
    """What of ``chunk`` may be sent, in the order of SENDABLE; what was in one request stays in one.

    A request has at most ``largest`` conversions.
    """
    of_all, known = found
    for standing in SENDABLE:
        size = min(largest, GROUP_SIZE) if standing == Standing.GROUPED else largest
        for request_id, part in originals(known.requests, np.flatnonzero(of_all == standing)):
            cut = batches(chunk.render(part), chunk, part, known.heard, size, known.moment)
            yield Portion(standing, request_id, part, cut)


def batches(
    events: Events, chunk: Chunk, todo: Positions, known: NDArray[np.uint32], size: int, moment: int = LONG_AGO
) -> Iterator[Batch]:
    """The conversions of ``chunk`` at ``todo``, of which ``events`` are the JSON, cut to requests that X takes.

    ``known`` is the request last heard of each conversion of the chunk, at that ``moment`` of the run's memory.
    """
    positions, keys, fingerprints = np.arange(len(todo)), chunk.keys[todo], chunk.fingerprints[todo]
    times, heard = chunk.times[todo], known[todo]
    for cut in _cuts(events.ends, min(size, MAX_CONVERSIONS_PER_REQUEST)):
        yield Batch(
            events=events,
            positions=positions[cut],
            keys=keys[cut],
            fingerprints=fingerprints[cut],
            times=times[cut],
            known=heard[cut],
            moment=moment,
        )


def _cuts(ends: NDArray[np.int64], size: int) -> Iterator[slice]:
    """Runs of at most ``size`` events and of at most X's bytes; one event that alone is longer is a run."""
    start, count = 0, len(ends) - 1
    while start < count:
        fitting = int(ends.searchsorted(ends[start] + MAX_BODY_BYTES - 100, side="right")) - 1
        end = min(max(fitting, start + 1), start + size, count)
        yield slice(start, end)
        start = end


def originals(requests: Sequence[int] | NDArray[np.uint32], todo: Positions) -> Iterator[tuple[int, Positions]]:
    """``todo`` parted by the request it comes from, older ones first, each part in order."""
    of_todo = np.asarray(requests)[todo]
    for request_id in np.unique(of_todo):
        yield int(request_id), todo[of_todo == request_id]
