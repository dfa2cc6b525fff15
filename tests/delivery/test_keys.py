"""The keys of conversions, and the index from keys to requests, against a dict."""

import subprocess
import sys
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.siphash import mixed, siphash_2_4
from xcapi_dagster.delivery import key_index
from xcapi_dagster.delivery.key_index import KeyIndex
from xcapi_dagster.delivery.keys import KEY, KEY_DIGESTS, Entries, KeyDigest, Keys, conversion_keys, zeros
from xcapi_dagster.delivery.sorted_keys import SortedKeys

SALT = bytes(range(16))

ADD_MILLIONS = """
import re
import numpy as np
from xcapi_dagster.delivery.key_index import KeyIndex
from xcapi_dagster.delivery.keys import KEY

def told(what):
    return 1024 * int(re.search(what + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])

def add(index, number):
    keys = np.frombuffer(random.bytes(50_000 * KEY.itemsize), KEY)
    index.add(keys, np.full(50_000, number, np.uint64), np.full(50_000, number, np.uint32))
    return keys

random, index = np.random.default_rng(0), KeyIndex()
first = add(index, 1)
before = told("VmRSS")
for number in range(2, 62):
    last = add(index, number)
held, most = told("VmRSS") - before, told("VmHWM") - before
print(held / 3_000_000, most / 3_000_000, *(set(index.find(keys).requests.tolist()) for keys in (first, last)))
"""

# few different halves, so that keys come again and share their upper half
HALVES = st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 1])
ENTRIES = st.lists(
    st.lists(st.tuples(HALVES, HALVES, st.integers(0, 2**64 - 1), st.integers(1, 2**32 - 1)), max_size=12), max_size=12
)


def as_keys(halves: list[tuple[int, int]]) -> Keys:
    """An array of keys from their upper and lower halves."""
    return np.array(halves, KEY)


def as_entries(batch: list[tuple[int, int, int, int]]) -> Entries:
    """Upper and lower half, fingerprint and request of each."""
    keys = as_keys([(high, low) for high, low, _, _ in batch])
    fingerprints = np.array([fingerprint for _, _, fingerprint, _ in batch], np.uint64)
    return Entries(keys, fingerprints, np.array([request for _, _, _, request in batch], np.uint32))


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an index grow with its 683rd key."""
    monkeypatch.setattr(key_index, "_LEAST_BITS", 10)


@given(ENTRIES, st.integers(0, 12), st.lists(st.tuples(HALVES, HALVES), max_size=40))
@settings(max_examples=300, deadline=None)
def test_index_is_a_dict(
    batches: list[list[tuple[int, int, int, int]]], loaded: int, probes: list[tuple[int, int]]
) -> None:
    """The latest entry of every key is found, loaded or added, in any order of probes, and nothing else is."""
    size = sum(map(len, batches[:loaded]))
    index, model = KeyIndex(SortedKeys(map(as_entries, batches[:loaded]), size)), {}
    for number, batch in enumerate(batches):
        if number >= loaded:
            index.add(*as_entries(batch))
        model |= {(high, low): (request, fingerprint) for high, low, fingerprint, request in batch}
    found = index.find(as_keys(probes))
    assert list(zip(found.requests.tolist(), found.fingerprints.tolist(), strict=True)) == [
        model.get(probe, (0, 0)) for probe in probes
    ]
    some = {request for request, _ in list(model.values())[::2]}
    entries = index.of_requests(np.array(sorted(some), np.uint32))
    assert entries.keys.dtype == KEY  # in the order of bytes in which they are written down
    listed = [(*key, *told) for key, *told in zip(*(column.tolist() for column in entries), strict=True)]
    assert sorted(listed) == sorted(
        (*key, fingerprint, request) for key, (request, fingerprint) in model.items() if request in some
    )


@pytest.mark.usefixtures("early")
def test_index_of_many_batches_keeps_the_latest_and_stays_compact() -> None:
    """Each of 20,000 keys, half of them added twice, is found with its later request, and no other key is."""
    generator = np.random.default_rng(1)
    keys = generator.integers(0, 2**63, (20_000, 2), np.uint64).view(KEY).reshape(-1)
    order = np.concatenate([generator.permutation(20_000), generator.permutation(20_000)[:10_000]])
    index = KeyIndex()
    for request, part in enumerate(np.array_split(order, 600), start=1):
        index.add(keys[part], np.zeros(len(part), np.uint64), np.full(len(part), request, np.uint32))
    latest = {int(key): request for request, part in enumerate(np.array_split(order, 600), 1) for key in part}
    assert index.find(keys).requests.tolist() == [latest[position] for position in range(20_000)]
    assert len(index) < 1.5 * 20_000
    others = generator.integers(0, 2**63, (20_000, 2), np.uint64).view(KEY).reshape(-1)
    assert not index.find(others).requests.any()


@pytest.mark.usefixtures("early")
def test_a_key_that_was_added_twice_at_once_is_one_when_the_index_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found with the later request, before and after that, also where its two entries part."""
    monkeypatch.setattr(key_index, "_ENTERED_AT_ONCE", 7)
    keys = np.random.default_rng(2).integers(0, 2**63, (5000, 2), np.uint64).view(KEY).reshape(-1)
    index = KeyIndex()
    index.add(np.repeat(keys[:300], 2), np.zeros(600, np.uint64), np.arange(1, 601, dtype=np.uint32))
    assert np.array_equal(index.find(keys[:300]).requests, np.arange(2, 601, 2))
    index.add(keys[300:], np.zeros(4700, np.uint64), np.full(4700, 601, np.uint32))
    assert np.array_equal(index.find(keys[:300]).requests, np.arange(2, 601, 2))


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize("size", [1, 2, *range(680, 686), *range(1362, 1368)])
def test_an_index_has_room_for_as_many_as_are_added(size: int) -> None:
    """All at once, or after so many others."""
    keys = np.random.default_rng(size).integers(0, 2**63, (size + 1, 2), np.uint64).view(KEY).reshape(-1)
    requests = np.arange(1, size + 2, dtype=np.uint32)
    fingerprints = requests.astype(np.uint64)
    for index in (KeyIndex(), KeyIndex(SortedKeys([Entries(keys[1:], fingerprints[1:], requests[:-1])], size))):
        index.add(keys[:size], fingerprints[:size], requests[:size])
        index.add(keys[size:], fingerprints[size:], requests[size:])
        assert np.array_equal(index.find(keys).requests, requests)


@pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc")
def test_what_an_index_needed_while_it_grew_is_given_back() -> None:
    """Three million keys take at most 45 bytes each at any time, of which 28 are the entries."""
    added = subprocess.run([sys.executable, "-c", ADD_MILLIONS], capture_output=True, text=True, check=True)
    held, most, *requests = added.stdout.split()
    assert requests == ["{1}", "{61}"]
    assert 28 < float(held) <= float(most) <= 45


@pytest.mark.parametrize("size", [0, 1, 2**17 - 1, 2**17, 2**17 + 1])
@pytest.mark.parametrize("kind", [np.uint64, np.int32])
def test_zeros_are_as_many_as_were_asked_for(size: int, kind: Any) -> None:
    """Few as many, of the type, and nobody else's."""
    numbers, others = zeros(size, kind), zeros(size, kind)
    assert (numbers.dtype, numbers.shape, numbers.any()) == (kind, (size,), False)
    numbers += 1
    assert not others.any()


def test_a_look_up_keeps_what_it_was_given() -> None:
    """Later additions do not change what an earlier look-up returned."""
    index = KeyIndex()
    index.add(as_keys([(1, 1)]), np.array([7], np.uint64), np.array([1], np.uint32))
    found = index.find(as_keys([(1, 1)]))
    index.add(as_keys([(1, 1)]), np.array([8], np.uint64), np.array([2], np.uint32))
    assert found.requests.tolist() == [1]
    assert index.find(as_keys([(1, 1)])).requests.tolist() == [2]


@given(st.text(), st.text(), st.lists(st.text(), min_size=1, max_size=5))
def test_keys_are_128_bit_digests_of_scope_event_and_conversion(scope: str, event: str, ids: list[str]) -> None:
    """Half a key each is SipHash of event and conversion id, parted by NUL; its secrets are of salt and scope."""
    secrets = blake2b(scope.encode(), digest_size=32, key=SALT).digest()
    event = "o87ne" + event.replace("-", "")
    texts = [f"{event}\0{conversion}".encode() for conversion in ids]
    expected = [[mixed(siphash_2_4(secret, text)) for secret in (secrets[:16], secrets[16:])] for text in texts]
    keys = conversion_keys(KeyDigest("siphash", SALT), scope, [event] * len(ids), ids)
    assert np.array_equal(keys, as_keys([(high, low) for high, low in expected]))


def test_keys_of_older_ledgers() -> None:
    """A key is the keyed BLAKE2b of scope, short event id and conversion id, parted by NUL."""
    keys = conversion_keys(KeyDigest("blake2b", SALT), "ads-api.x.com|o8z6j", ["o87ne"], ["A-17"])
    assert keys.tobytes() == blake2b(b"ads-api.x.com|o8z6j\0o87ne\0A-17", digest_size=16, key=SALT).digest()


@pytest.mark.parametrize("name", KEY_DIGESTS)
def test_both_forms_of_an_event_id_give_one_key(name: str) -> None:
    """`o87ne` and `tw-o8z6j-o87ne` are one event, in lists as in columns."""
    digest = KeyDigest(name, SALT)
    short, long = conversion_keys(digest, "scope", ["o87ne", "tw-o8z6j-o87ne"], ["A-17", "A-17"])
    assert short == long
    column = pa.chunked_array([["o87ne"], ["tw-o8z6j-o87ne"]])
    assert conversion_keys(digest, "scope", column, pa.array(["A-17", "A-17"])).tolist() == [short.tolist()] * 2
    assert len(conversion_keys(digest, "scope", [], [])) == 0


@pytest.mark.parametrize("name", KEY_DIGESTS)
def test_every_part_counts(name: str) -> None:
    """Another salt, scope, event or conversion is another key."""
    keys = [
        conversion_keys(KeyDigest(name, salt), scope, [event], [conversion]).tobytes()
        for salt in (SALT, bytes(16))
        for scope in ("host|a", "host|b")
        for event in ("e1", "e2")
        for conversion in ("1", "2", "Ä", "1 ")
    ]
    assert len(set(keys)) == 2 * 2 * 2 * 4
