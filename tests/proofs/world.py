"""A shop, its runs and X on one clock, with the product's own ledger and sender between them.

Every POST is looked at as X gets it, against the ledger's file, which is read without the product's code, and against
what this world itself remembers; so is what the ledger says at the end of every run. Names of invariants are those of
`tests/test_invariants.py`.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from tests.proofs.x import BAD_EMAIL, CONTRADICTORY, DOUBTFUL, ENDING, THROTTLE_SECONDS, X
from xcapi_dagster.ads_api.responses import Answer
from xcapi_dagster.conversions.payload import Events
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.deliver import Delivery, Terms
from xcapi_dagster.delivery.doubt import doubts, hold_what_changed, resolve
from xcapi_dagster.delivery.keys import KeyDigest, conversion_keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.outcomes import outcomes
from xcapi_dagster.delivery.standing import Policy, standings
from xcapi_dagster.delivery.throttle import LONGEST_BLOCK_SECONDS, Limits

START = 1_790_000_000.0
HOUR = 3600.0
HORIZON = 44 * HOUR  # after this nothing that X may have is sent again
DEDUPLICATED = 48 * HOUR  # within this X tells the pixel's copy from a second order
LIMITS = Limits(events=40, requests=12)  # small, so that they are met
EVENT = "opurch1"
SCOPE = "loopback|odemo1"
NOBODY = 4_194_305  # greater than the greatest number of a process that Linux can be told to give
STATES = {"accepted", "changed", "rejected", "unknown", "held", "pending", "too_late"}


class Killed(BaseException):
    """The process of a run ends here: nothing more of it happens. Others can tell at once, or when its lease ends."""

    def __init__(self, *, is_seen: bool = True) -> None:
        self.owner: dict[str, Any] = {"pid": NOBODY} if is_seen else {"host": "another machine"}


def kill(*, is_seen: bool = True) -> None:
    """End the run under way."""
    raise Killed(is_seen=is_seen)


@dataclass(frozen=True, slots=True)
class Order:
    """One order as it now is."""

    version: int
    is_bad: bool
    ordered_at: float

    def event(self, name: str) -> bytes:
        """Its JSON, and the comma after it."""
        identifier = {"hashed_email": BAD_EMAIL} if self.is_bad else {"twclid": f"click-{name}"}
        members = {"conversion_id": name, "event_id": EVENT, "value": str(self.version), "identifiers": [identifier]}
        return json.dumps(members).encode() + b","


@dataclass
class Run:
    """One run of a partition: what strikes it, and what is known of it."""

    id: str
    strikes: dict[tuple[str, int], Callable[[], None]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    ends: bool = False  # X has said what must end it
    last: "Post | None" = None
    halted: str | None = None

    def moment(self, name: str) -> None:
        """Strike, if this is the moment."""
        self.seen[name] += 1
        if act := self.strikes.get((name, self.seen[name])):
            act()


@dataclass
class Post:
    """One request as X got it."""

    request_id: int
    names: list[str]
    fate: str = ""


@dataclass
class World:
    """Everything, and what must hold of it at every moment."""

    folder: Path
    policy: Policy = field(default_factory=lambda: Policy(on_unknown="resend", pixel_also_fires=False))
    deduplicates: bool = True
    limits: Limits = LIMITS
    batch: int = 3
    orders: dict[str, dict[str, Order]] = field(default_factory=lambda: defaultdict(dict))
    local: float = START  # this machine's clock, which can be set back
    elapsed: float = 0.0  # seconds that have passed, whatever the clocks say
    runs: int = 0
    posts: list[tuple[float, int]] = field(default_factory=list)  # when, and how many conversions
    open: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))  # possibly sent, and when
    versions: dict[str, str] = field(default_factory=dict)  # of each order, when it was last sent
    ever: set[str] = field(default_factory=set)  # all orders that there ever were
    accepted: set[str] = field(default_factory=set)  # X said so, and the run that heard it wrote it down
    doubted: set[str] = field(default_factory=set)  # ever in doubt
    released: set[str] = field(default_factory=set)  # an operator wants them sent once more
    stuck: set[str] = field(default_factory=set)  # X's answer contradicted itself: an operator must decide
    declared: set[str] = field(default_factory=set)  # accepted by an operator's word
    blocked_until: float = 0.0  # in seconds that have passed
    told: dict[str, dict[str, str]] = field(default_factory=dict)  # the states after the latest run of each partition

    def __post_init__(self) -> None:
        self.x = X(self.deduplicates, lambda: START + self.elapsed)
        self.url = f"sqlite:///{self.folder}/ledger/ledger.db"

    # What happens

    def put(self, partition: str, name: str, *, is_bad: bool = False, age: float = HOUR) -> None:
        """A new order, so many seconds old."""
        self.ever.add(name)
        self.orders[partition][name] = Order(1, is_bad, START + self.elapsed - age)

    def change(self, partition: str, name: str, *, is_bad: bool = False) -> None:
        """The order is another from now on."""
        before = self.orders[partition][name]
        self.orders[partition][name] = Order(before.version + 1, is_bad, before.ordered_at)

    def move(self, name: str, source: str, target: str) -> None:
        """The order is in another partition from now on."""
        self.orders[target][name] = self.orders[source].pop(name)

    def suppress(self, partition: str, name: str) -> None:
        """The order is no longer to be sent."""
        del self.orders[partition][name]

    @property
    def names(self) -> list[tuple[str, str]]:
        """The orders, each with its partition."""
        return [(partition, name) for partition, orders in sorted(self.orders.items()) for name in orders]

    def pass_time(self, seconds: float) -> None:
        """All clocks go on."""
        self.local += seconds
        self.elapsed += seconds

    def set_clock_back(self, seconds: float) -> None:
        """This machine's clock shows an earlier time.

        By more than X's windows last, the ledger takes what it counted and was told to wait for as written by a clock
        that was ahead, and lets nobody wait for it: for one window only X itself holds the limit.
        """
        self.local -= seconds
        if seconds > LONGEST_BLOCK_SECONDS:
            self.posts.clear()
            self.blocked_until = 0.0

    def run(self, partition: str, strikes: dict[tuple[str, int], Callable[[], None]] | None = None) -> Run:
        """One run from its beginning to its end, or until it is killed."""
        self.runs += 1
        run = Run(f"run-{self.runs}", strikes or {})
        database = Database(self.url, lambda: self.local)
        sa.event.listen(database._engine, "commit", lambda _connection: run.moment("commit"))
        ledger = self.ledger(database, run.id)
        try:
            ledger.__enter__()
            self._work(partition, run, ledger)
        except Killed as death:
            _stop_heart(ledger)
            database.close()
            self._doubt(run.last)
            self._bury(run, **death.owner)
        except BaseException:
            _stop_heart(ledger)
            raise
        else:
            run.strikes.clear()
            ledger.__exit__(None, None, None)
        return run

    def ledger(self, database: Database, run_id: str) -> Ledger:
        """The ledger as a run of that id has it."""
        return Ledger(
            database,
            account="loopback|acc",
            scope=SCOPE,
            run_id=run_id,
            limits=self.limits,
            steady=lambda: self.elapsed,
        )

    def decide(self, resolution: Any, nth: int = 0) -> int:
        """An operator's word on one request in doubt, if there is any; returns on how many conversions."""
        with self.ledger(Database(self.url, lambda: self.local), "operator") as ledger:
            found = doubts(ledger, self.policy)
            if not found:
                return 0
            chosen = found[nth % len(found)]
            doubtful = ledger.memory.entries_of("unknown", "held")
            names = self._names(doubtful.keys[doubtful.requests == chosen.request.id].tobytes())
            decided = resolve(ledger, [chosen], resolution, by="olga", why="she looked")
        assert decided == len(names)
        self.stuck -= set(names)
        if resolution == "lost":
            for name in names:
                self.open.pop(name, None)
        if resolution == "resend":
            self.released |= set(names)
        if resolution == "accepted":
            self.declared |= set(names)
        return decided

    def settle(self) -> None:
        """No more faults: one run of each partition leaves nothing to do, and a second one sends nothing (I10, I9)."""
        self.x.plan.clear()
        self.x.is_out_of_order = False
        self.local = START + self.elapsed
        self.pass_time(max(0.0, self.blocked_until - self.elapsed) + 1000.0)  # past leases and the limit's window
        for partition in sorted(self.orders):
            run = self.run(partition)
            assert run.halted is None, run.halted
        told = {}
        for partition in sorted(self.orders):
            self.run(partition)
            told[partition] = dict(self.told[partition])
            left = set(told[partition].values()) & {"pending", "unknown"}
            assert left <= ({"unknown"} if self.policy.on_unknown == "hold" else set()), told[partition]
        posts = len(self.posts)
        for partition in sorted(self.orders):
            self.run(partition)
            assert self.told[partition] == told[partition]
        assert len(self.posts) == posts, "a run had something to send that the run before it had not sent"

    # A run

    def _work(self, partition: str, run: Run, ledger: Ledger) -> None:
        delivery = Delivery(
            ledger,
            Client(self, run),
            Terms(self.policy, EVENT, senders=1),
            sleep=lambda seconds: self._sleep(ledger, seconds),
            jitter=lambda: 0.5,
            failpoint=partial(self._failpoint, run),
        )
        orders = dict(self.orders[partition])
        hold_what_changed(ledger, partition, self._chunks(ledger, orders), self.policy)
        delivery.deliver(partition, self._chunks(ledger, orders))
        run.halted = delivery.halted
        self._look(partition, ledger, orders, run.id)

    def _chunks(self, ledger: Ledger, orders: dict[str, Order]) -> list[Chunk]:
        return [self._chunk(ledger, {name: orders[name] for name in part}) for part in _parts([*orders], self.batch)]

    def _chunk(self, ledger: Ledger, orders: dict[str, Order]) -> Chunk:
        texts = [order.event(name) for name, order in orders.items()]
        return Chunk(
            keys=ledger.keys([EVENT] * len(orders), list(orders)),
            fingerprints=np.array([(1 << 56) + order.version for order in orders.values()], np.uint64),
            times=np.array([int(order.ordered_at * 1000) for order in orders.values()], np.int64),
            render=lambda positions: _events([texts[int(position)] for position in positions]),
        )

    def _sleep(self, ledger: Ledger, seconds: float) -> None:
        self.pass_time(seconds)
        ledger._lease.prolong()  # the heart beats every 15 s, which do not pass here

    def _failpoint(self, run: Run, moment: str) -> None:
        if moment == "after_settle":
            self._settled(run)
        run.moment(moment)

    # What must hold

    def check_post(self, run: Run, body: bytes, request_id: int) -> Post:
        """At every POST, before X has it."""
        sent = json.loads(body)["conversions"]
        names = [each["conversion_id"] for each in sent]
        assert len(set(names)) == len(names), "I12"
        now, keys = self.local, self._keys(names)
        with self.reading() as ledger:
            row = ledger.execute("SELECT * FROM request WHERE id = ?", [request_id]).fetchone()
            owner = ledger.execute("SELECT * FROM owner WHERE id = ?", [row["owner_id"]]).fetchone()
            others = ledger.execute(
                "SELECT request.keys, request.state, owner.lease_until, owner.pid FROM request"
                " JOIN owner ON owner.id = owner_id WHERE request.id <> ? AND state IN ('accepted', 'in_flight')",
                [request_id],
            ).fetchall()
        fingerprints = np.array([(1 << 56) + int(each["value"]) for each in sent], np.uint64).tobytes()
        assert (row["state"], row["keys"], row["fingerprints"]) == ("in_flight", b"".join(keys), fingerprints), "I1"
        assert owner["run_id"] == run.id, "I1: claimed by another run"
        assert owner["lease_until"] > now, "I1: the lease has run out"
        for other in others:
            shared = set(keys) & set(_split(other["keys"]))
            is_live = other["lease_until"] > now and other["pid"] != NOBODY
            assert not (shared and other["state"] == "accepted"), "I4: accepted before"
            assert not (shared and is_live), "I3: in flight elsewhere"
        versions = {each["conversion_id"]: each["value"] for each in sent}
        self._check_doubts(versions, row["first_sent_at"], now)
        self._check_pixel(sent)
        self._check_limits(run, len(names))
        for name in names:
            self.open[name][request_id] = row["claimed_at"]
        self.versions |= versions
        return Post(request_id, names)

    def _check_doubts(self, versions: dict[str, str], first_sent_at: float, now: float) -> None:
        for name, version in versions.items():
            assert name not in self.accepted, f"I4: {name} was accepted"
            times = self.open[name].values()
            if not times:
                assert not self.x.taken[name] or name in self.doubted, f"I4: X has {name}"
                continue
            assert first_sent_at <= min(times), "I5: it became younger"
            if name not in self.released:
                assert self.versions[name] == version, f"I6: {name} is another than the one in doubt"
                assert name not in self.stuck, f"I16: {name} waits for an operator"
                assert self.policy.on_unknown == "resend", f"I6: {name} is in doubt"
                assert now - min(times) <= HORIZON, f"I5: {name} was first sent {(now - min(times)) / HOUR:.0f} h ago"

    def _check_pixel(self, sent: Sequence[dict[str, Any]]) -> None:
        if not self.policy.pixel_also_fires:
            return
        times = {name: order.ordered_at for orders in self.orders.values() for name, order in orders.items()}
        for name in (each["conversion_id"] for each in sent):
            is_old = name in times and START + self.elapsed - times[name] > DEDUPLICATED
            assert not is_old or name in self.released, "I5: X could not tell it from the pixel's"

    def _check_limits(self, run: Run, size: int) -> None:
        assert not run.ends, "I13: X has said that no more may come"
        assert self.elapsed >= self.blocked_until - 0.001, "I15: X has asked to wait"
        self.posts.append((self.elapsed, size))
        in_window = [events for at, events in self.posts if at > self.elapsed - self.limits.window]
        in_minute = [at for at, _ in self.posts if at > self.elapsed - self.limits.request_window]
        assert sum(in_window) <= self.limits.events, "I15: too many events"
        assert len(in_minute) <= self.limits.requests, "I15: too many requests"

    def _settled(self, run: Run) -> None:
        """The run has written down what became of its last request."""
        post, run.last = run.last, None
        if post is None:  # the lease ran out between claim and POST
            return
        if post.fate == "taken":
            self.accepted |= set(post.names)
        if post.fate in DOUBTFUL:
            self._doubt(post)
            self.stuck |= set(post.names if post.fate in CONTRADICTORY else ())
        else:
            for name in post.names:
                self.open[name].pop(post.request_id, None)
                if (name, self.versions[name]) in self.x.refused:  # X took it from no earlier one either
                    self.open.pop(name)
        if post.fate == "429":
            self.blocked_until = max(self.blocked_until, self.elapsed + THROTTLE_SECONDS)

    def _doubt(self, post: Post | None) -> None:
        """Nobody will ever know what became of it, if there was one."""
        if post:
            self.doubted |= set(post.names)
            self.released -= set(post.names)

    def _look(self, partition: str, ledger: Ledger, orders: dict[str, Order], run_id: str) -> None:
        """What the ledger says at the end of a run, against what X has (I2, I7, I8)."""
        now, told = ledger.refresh(), {}
        parts = _parts(list(orders), self.batch)
        for chunk, names in zip(self._chunks(ledger, orders), parts, strict=True):
            known = standings(ledger.memory, chunk.keys, chunk.fingerprints, chunk.times, self.policy, now)
            told |= dict(zip(names, outcomes(ledger.memory, chunk.keys, known, run_id).state.tolist(), strict=True))
        assert list(told) == list(orders), "I8"
        assert set(told.values()) <= STATES, "I8"
        for name, state in told.items():
            order = orders[name]
            if state in ("accepted", "changed"):
                assert self.x.taken[name] or name in self.declared, f"I2: {name} is {state} and X never got it"
            if state == "rejected":
                assert (name, str(order.version)) in self.x.refused, f"I7: {name} was never refused"
            if state in ("pending", "too_late"):
                assert not self.x.taken[name] or self.open[name] or name in self.doubted, f"I2: X has {name}"
        self.told[partition] = told

    # The ledger's file

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The ledger's file, without the product's code."""
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection

    def _bury(self, run: Run, **owner: Any) -> None:
        """Let the process of a run be one that is no more, or one of which this machine cannot tell."""
        with self.reading() as ledger:
            for name, value in owner.items():
                ledger.execute(f"UPDATE owner SET {name} = ? WHERE run_id = ?", [value, run.id])

    def _keys(self, names: Sequence[str]) -> list[bytes]:
        with self.reading() as ledger:
            salt = bytes.fromhex(ledger.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()[0])
        return [
            key.tobytes() for key in conversion_keys(KeyDigest("siphash", salt), SCOPE, [EVENT] * len(names), names)
        ]

    def _names(self, keys: bytes) -> list[str]:
        known = sorted(self.ever)
        name_of = dict(zip(self._keys(known), known, strict=True))
        return [name_of[key] for key in _split(keys)]


@dataclass(frozen=True, slots=True)
class Client:
    """What the sender takes for the HTTP edge."""

    world: World
    run: Run

    def post_conversions(self, body: bytes, *, request_id: str, sent: int) -> Answer:
        """Let X have the request, with time before and after for something to happen."""
        post = self.run.last = self.world.check_post(self.run, body, int(request_id))
        self.run.moment("on its way")
        post.fate, answer = self.world.x.answer(body, sent)
        self.run.ends |= post.fate in ENDING
        self.run.moment("on its way back")
        return answer

    def correct_clock(self, seconds: float) -> None:
        """X's clock is this world's."""
        raise AssertionError


def _stop_heart(ledger: Ledger) -> None:
    """It ends with its process, here with its run; one that died early had none."""
    if ledger._heartbeat._thread.is_alive():
        ledger._heartbeat.stop()


def _split(keys: bytes) -> list[bytes]:
    return [keys[at : at + 16] for at in range(0, len(keys), 16)]


def _parts(names: list[str], size: int) -> list[list[str]]:
    return [names[at : at + size] for at in range(0, len(names), size)]


def _events(texts: Sequence[bytes]) -> Events:
    return Events(memoryview(b"".join(texts)), np.cumsum([0, *map(len, texts)], dtype=np.int64))
