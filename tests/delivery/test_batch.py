"""How conversions are cut into requests."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from xcapi_dagster.conversions.payload import Events
from xcapi_dagster.delivery.batch import Budget, Chunk, batches, originals
from xcapi_dagster.delivery.keys import KEY

MakeEvents = Callable[[Sequence[dict[str, Any]]], Events]


def chunk_of(size: int) -> Chunk:
    """So many conversions, of which key and fingerprint are the position; they are rendered elsewhere."""
    keys = np.zeros(size, KEY)
    keys["low"] = np.arange(size)
    return Chunk(keys, np.arange(size, dtype=np.uint64), np.zeros(size, np.int64), render=lambda _: None)


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(0, 500, []), (1, 500, [1]), (500, 500, [500]), (1001, 9999, [500, 500, 1]), (60, 25, [25, 25, 10])],
)
def test_a_request_has_at_most_500_conversions(events: MakeEvents, count: int, size: int, expected: list[int]) -> None:
    """Or fewer, when asked; X's limit holds whatever is asked."""
    made = batches(events([{}] * count), chunk_of(count), np.arange(count), np.zeros(count, np.uint32), size)
    assert [len(batch) for batch in made] == expected


def test_a_request_has_at_most_4_000_000_bytes(events: MakeEvents) -> None:
    """Events of 1.5 MB go out in twos, and one that is too large by itself goes alone."""
    sizes = [1_500_000, 1_500_000, 1_500_000, 5_000_000, 10, 10]
    members = [{"description": "x" * size} for size in sizes]
    made = list(batches(events(members), chunk_of(6), np.arange(6), np.zeros(6, np.uint32), 500))
    assert [len(batch) for batch in made] == [2, 1, 1, 2]
    assert [len(batch.body()) <= 4_000_000 for batch in made] == [True, True, False, True]


def test_bodies_and_keys_belong_together(events: MakeEvents) -> None:
    """Of the conversions at some positions of a chunk, each batch has the events, keys and what is known, in order."""
    todo = np.array([3, 5, 6, 9])
    known = np.arange(10, dtype=np.uint32)
    first, second = batches(events([{"n": int(n)} for n in todo]), chunk_of(10), todo, known, 3)
    assert first.body() == b'{"conversions":[{"n": 3},{"n": 5},{"n": 6}]}'
    assert second.body() == b'{"conversions":[{"n": 9}]}'
    assert (first.keys["low"].tolist(), first.known.tolist()) == ([3, 5, 6], [3, 5, 6])
    part = first.at(np.array([0, 2]))
    assert part.body() == b'{"conversions":[{"n": 3},{"n": 6}]}'
    assert part.texts() == [b'{"n": 3}', b'{"n": 6}']
    assert (part.keys["low"].tolist(), part.fingerprints.tolist()) == ([3, 6], [3, 6])


def test_conversions_of_one_request_stay_together() -> None:
    """Parted by request, older ones first, each part in its order."""
    requests = np.array([9, 0, 4, 9, 4, 0], np.uint32)
    parts = [(request, part.tolist()) for request, part in originals(requests, np.array([0, 2, 3, 4, 5]))]
    assert parts == [(0, [5]), (4, [2, 4]), (9, [0, 3])]


def test_a_budget_is_39_posts_beside_the_first() -> None:
    """It is taken whole or not at all."""
    budget = Budget()
    assert [budget.take(posts) for posts in (38, 2, 1, 1)] == [True, False, True, False]
