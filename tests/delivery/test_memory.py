"""What a run remembers, against histories told one request at a time."""

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.keys import KEY, Keys
from xcapi_dagster.delivery.ledger import Claim, Ledger
from xcapi_dagster.delivery.memory import LONG_AGO, Memory
from xcapi_dagster.delivery.news import News
from xcapi_dagster.delivery.records import Request, RequestState, Settlement
from xcapi_dagster.delivery.throttle import Limits

ORDERS = 6
ANY_KEYS = st.lists(st.integers(0, ORDERS - 1), min_size=1, max_size=3, unique=True)
STATES = st.sampled_from(["accepted", "unknown", "refused", "not_processed", "held"])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), ANY_KEYS),
        st.tuples(st.just("settle"), STATES, st.randoms(use_true_random=False)),
        st.tuples(st.just("look"), ANY_KEYS),
    ),
    max_size=30,
)


def keys_of(orders: list[int]) -> Keys:
    """Keys of which two share their upper half."""
    return np.array([(order // 2, order) for order in orders], KEY)


def halves(high: ArrayLike) -> Keys:
    """Keys with these upper halves."""
    keys = np.zeros(np.size(high), KEY)
    keys["high"] = np.asarray(high, np.uint64)
    return keys


def request(number: int, state: RequestState, size: int) -> Request:
    """A request of the run's own."""
    return Request(
        id=number, state=state, partition="p", run_id="r", owner_id=1, size=size, first_sent_at=1.0, settled_at=2.0
    )


@given(EVENTS)
@settings(max_examples=300, deadline=None)
def test_no_news_is_certain(events: list[tuple[object, ...]]) -> None:
    """Where there is no news since a moment, what was heard then is still so."""
    memory, ids, flying = Memory("scope"), itertools.count(1), list[tuple[int, Keys]]()
    looks = []
    for event in events:
        if event[0] == "claim":
            claimed = (next(ids), keys_of(event[1]))  # type: ignore[arg-type]
            memory.claim(request(claimed[0], "in_flight", len(claimed[1])), claimed[1])
            flying.append(claimed)
        elif event[0] == "settle" and flying:
            number, keys = flying.pop(event[2].randrange(len(flying)))  # type: ignore[attr-defined]
            memory.settle(request(number, event[1], len(keys)), keys, np.zeros(len(keys), np.uint64), [])  # type: ignore[arg-type]
        elif event[0] == "look":
            keys = keys_of(event[1])  # type: ignore[arg-type]
            looks.append((keys, memory.look_up(keys)))
    for keys, known in looks:
        if not memory.has_news(keys, known.moment):
            assert memory.look_up(keys).heard.tolist() == known.heard.tolist()


@given(EVENTS)
@settings(max_examples=300, deadline=None)
def test_the_last_word_counts_however_late_it_is_looked_up(events: list[tuple[object, ...]]) -> None:
    """What X accepted is the last word, else the latest request that says anything: by a plain dictionary."""
    memory, ids, flying = Memory("scope"), itertools.count(1), dict[int, list[int]]()
    words: dict[int, tuple[bool, int]] = {}  # order -> whether it was accepted, by which request
    for event in events:
        if event[0] == "claim":
            number = next(ids)
            flying[number] = event[1]  # type: ignore[assignment]
            memory.claim(request(number, "in_flight", len(flying[number])), keys_of(flying[number]))
        elif event[0] == "settle" and flying:
            number = event[2].choice(sorted(flying))  # type: ignore[attr-defined]
            state, orders = event[1], flying.pop(number)
            keys = keys_of(orders)
            memory.settle(request(number, state, len(keys)), keys, np.zeros(len(keys), np.uint64), [])  # type: ignore[arg-type]
            if state in ("accepted", "unknown", "held"):
                word = (state == "accepted", number)
                words |= {order: max(word, words.get(order, word)) for order in orders}
        elif event[0] == "look":
            memory.look_up(keys_of([0]))  # so that the rest of the history is told in parts
    flies = {order: number for number, orders in sorted(flying.items()) for order in orders}
    expected = [flies.get(order) or words.get(order, (False, 0))[1] for order in range(ORDERS)]
    assert memory.look_up(keys_of(list(range(ORDERS)))).heard.tolist() == expected


MANY_KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=5)


@given(st.lists(MANY_KEYS, max_size=10), MANY_KEYS)
@settings(deadline=None)
def test_nothing_that_was_heard_is_no_news(parts: list[list[int]], asked: list[int]) -> None:
    """Of what was added at a moment or later, there is news since that moment, and since long ago of anything."""
    news, heard = News(), list[tuple[int, set[int]]]()
    for part in parts:
        heard.append((news.add(halves(part)), set(part)))
        news.next_moment()
    for since in range(news.moment + 1):
        if any(moment >= since and not each.isdisjoint(asked) for moment, each in heard):
            assert news.concern(halves(asked), since)
    assert news.concern(halves(asked), LONG_AGO) or not asked


def test_little_is_news_by_chance() -> None:
    """Of batches that nothing was heard of while 50,000 other keys were, few are looked up in vain; afterwards none."""
    news, keys = News(), halves(np.random.default_rng(1).integers(0, 2**64, 150_000, np.uint64))
    since = news.moment
    news.add(keys[:50_000])
    batches = keys[50_000:].reshape(-1, 500)
    assert sum(news.concern(batch, since) for batch in batches) < len(batches) / 10
    assert not any(news.concern(batch, news.next_moment()) for batch in batches)


def test_what_another_run_did_is_news(tmp_path: Path) -> None:
    """A claim that goes by what was looked up before another run sent the same leaves it out."""
    limits = Limits(events=10_000, requests=100)
    one, other = (
        Ledger(Database(f"sqlite:///{tmp_path}/ledger.db"), account="a", scope="s", run_id=run, limits=limits)
        for run in ("one", "other")
    )
    keys, fingerprints = keys_of([1, 2, 4]), np.zeros(3, np.uint64)
    with one, other:
        known = one.memory.look_up(keys)
        taken = other.claim("p", keys[:2], fingerprints[:2], known.heard[:2], parent=None, share=1.0)
        assert isinstance(taken, Claim)
        assert taken.request
        other.settle(taken.request, keys[:2], fingerprints[:2], Settlement("accepted"))
        left = one.claim("p", keys, fingerprints, known.heard, parent=None, share=1.0, moment=known.moment)
        assert isinstance(left, Claim)
        assert left.kept.tolist() == [2]


def test_a_key_that_a_file_holds_twice_is_sent_once() -> None:
    """As when somebody has edited it: the first of each counts, of keys with a common half each."""
    memory, keys = Memory("scope"), keys_of([3, 2, 3, 0, 2, 2, 1])
    moment = memory.look_up(keys).moment
    nothing = np.zeros(len(keys), np.uint32)
    assert memory.unchanged(keys, nothing, moment).tolist() == [0, 1, 3, 6]
    assert memory.unchanged(keys, nothing, LONG_AGO).tolist() == [0, 1, 3, 6]
