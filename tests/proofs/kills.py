"""Processes that deliver, killed with SIGKILL again and again, at every failpoint and at any instant.

    python -m tests.proofs.kills --kills 10000
    python -m tests.proofs.kills --kills 1000 --ledger-url postgresql://user@host/database

What the receiving end took is compared with what the ledger says. Ends with 1 when one order was lost, sent again
without a reason, rejected though it is good, or left undone.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg  # noqa: F401 - loaded here, so that no process has to
import sqlalchemy as sa

from tests.proofs.receiver import BAD_EMAIL, receiving, taken
from xcapi_dagster.ads_api.auth import PixelToken
from xcapi_dagster.ads_api.client import AdsApiClient
from xcapi_dagster.conversions.payload import Events
from xcapi_dagster.delivery.batch import Chunk
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.deliver import Delivery, Terms
from xcapi_dagster.delivery.doubt import hold_what_changed
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.outcomes import outcomes
from xcapi_dagster.delivery.standing import Policy, standings
from xcapi_dagster.delivery.throttle import Limits

EVENT, DAY = "opurch1", "2026-11-20"
MOMENTS = ("commit", "after_claim", "after_post", "after_settle")
KILLS_PER_TRIAL = 25
BATCH = 4
ORDERS_PER_ROUND = 40  # for each process
ONE_BAD_IN = 31
_LATEST_NTH = 12
_LONGEST_LIFE_SECONDS = 0.25
_NO_LIMIT = Limits(events=10_000_000, requests=1_000_000)
_OLD = 3600


@dataclass
class Trial:
    """One ledger and one pixel, some processes, and deaths until there were enough."""

    url: str
    ledger_url: str
    pixel: str
    processes: int
    on_unknown: Any
    random: random.Random
    orders: int = 0
    started: int = 0
    deaths: Counter[str] = field(default_factory=Counter)

    def run(self, kills: int) -> None:
        """Kill so many processes, and let one end the work."""
        while self.deaths.total() < kills:
            self.orders += ORDERS_PER_ROUND * self.processes
            strikes = {self.start(strike): strike for strike in self.strikes()}
            for pid, (moment, _) in strikes.items():
                status = os.waitpid(pid, 0)[1]
                if os.WIFSIGNALED(status):
                    self.deaths[moment] += 1
                else:
                    assert os.waitstatus_to_exitcode(status) == 0, "a process failed: see above"
        assert os.waitstatus_to_exitcode(os.waitpid(self.start(None), 0)[1]) == 0, "the last process failed: see above"

    def strikes(self) -> Iterator[tuple[str, float]]:
        """What happens to each process of a round: the n-th of a moment, or any instant."""
        for _ in range(self.processes):
            moment = self.random.choice((*MOMENTS, "any instant", "any instant"))
            any_instant = self.random.uniform(0, _LONGEST_LIFE_SECONDS)
            yield moment, any_instant if moment == "any instant" else self.random.randint(1, _LATEST_NTH)

    def start(self, strike: tuple[str, float] | None) -> int:
        """Fork a process that delivers all orders that are not yet delivered; returns its number."""
        self.started += 1
        if (pid := os.fork()) != 0:
            return pid
        try:
            self.deliver(strike)
        except BaseException:  # noqa: BLE001 - nothing of this process may go on in the child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def deliver(self, strike: tuple[str, float] | None) -> None:
        """What a process does until it is killed."""
        failpoint = _failpoint(strike)
        database = Database(self.ledger_url)
        sa.event.listen(database._engine, "commit", lambda _connection: failpoint("commit"))
        with self.ledger(database, f"run-{self.started}") as ledger:
            client = AdsApiClient(self.url, "12", self.pixel, PixelToken("token"))
            terms = Terms(self.policy, EVENT, senders=2)
            delivery = Delivery(ledger, client, terms, failpoint=failpoint)
            hold_what_changed(ledger, DAY, self.chunks(ledger), self.policy)
            delivery.deliver(DAY, self.chunks(ledger))
            assert delivery.halted is None, delivery.halted

    def judge(self) -> Counter[str]:
        """Compare what was taken with what the ledger says; returns how many orders are in each state."""
        arrived, told, in_doubt = taken(self.url, self.pixel), self.told(), self.in_doubt()
        for name, state in told.items():
            copies = arrived[name]
            if is_bad(name):
                assert state != "accepted", f"accepted, and never taken: {name}"
                assert not copies
            else:
                assert state != "rejected", f"rejected, and it is good: {name}"
            if state == "accepted":
                assert copies, f"lost: {name}"
            if self.on_unknown == "resend":
                assert state in ("accepted", "rejected"), f"left undone: {name} is {state}"
                assert copies <= 1 + in_doubt[name], f"sent again: {name}, {copies} times, in doubt {in_doubt[name]}"
            else:
                assert state in ("accepted", "rejected", "unknown"), f"left undone: {name} is {state}"
                assert copies <= 1, f"sent again: {name}"
                assert state != "unknown" or in_doubt[name], f"{name} is unknown for no reason"
        assert set(arrived) <= set(told)
        assert len(told) == self.orders
        return Counter(told.values()) + Counter(again=arrived.total() - len(arrived))

    def told(self) -> dict[str, str]:
        """The state of each order by the ledger, as it is found by a new process."""
        told: dict[str, str] = {}
        with self.ledger(Database(self.ledger_url), "judge") as ledger:
            now = ledger.refresh()
            for chunk, names in zip(self.chunks(ledger), self.names(), strict=True):
                known = standings(ledger.memory, chunk.keys, chunk.fingerprints, chunk.times, self.policy, now)
                states = outcomes(ledger.memory, chunk.keys, known, "judge").state
                told |= dict(zip(names, states.tolist(), strict=True))
        return told

    def in_doubt(self) -> Counter[str]:
        """How many requests with each order nobody knows the end of, by the ledger's rows alone; none is in flight."""
        url = sa.make_url(self.ledger_url)
        engine = sa.create_engine(url if url.get_backend_name() == "sqlite" else url.set(drivername=_DRIVER))
        with engine.connect() as connection:
            if url.get_backend_name() == "sqlite":
                assert connection.execute(sa.text("PRAGMA integrity_check")).scalar() == "ok"
            rows = connection.execute(
                sa.text("SELECT state, keys FROM request WHERE scope = :scope AND state IN ('unknown', 'in_flight')"),
                {"scope": self.scope},
            ).all()
        engine.dispose()
        assert all(row.state == "unknown" for row in rows), "a request of the dead is still in flight"
        with self.ledger(Database(self.ledger_url), "judge") as ledger:
            names = [name for part in self.names() for name in part]
            name_of = dict(zip((key.tobytes() for key in self.keys(ledger, names)), names, strict=True))
        return Counter(name_of[bytes(row.keys[at : at + 16])] for row in rows for at in range(0, len(row.keys), 16))

    def ledger(self, database: Database, run_id: str) -> Ledger:
        """The trial's part of the ledger."""
        return Ledger(database, account=self.scope, scope=self.scope, run_id=run_id, limits=_NO_LIMIT)

    @property
    def scope(self) -> str:
        """The pixel at the receiving end."""
        return f"loopback|{self.pixel}"

    @property
    def policy(self) -> Policy:
        """What is done about what is in doubt."""
        return Policy(on_unknown=self.on_unknown, pixel_also_fires=False)

    def names(self) -> Iterator[list[str]]:
        """The orders, batch by batch."""
        for at in range(0, self.orders, BATCH):
            yield [f"order-{number}" for number in range(at, min(at + BATCH, self.orders))]

    def chunks(self, ledger: Ledger) -> Iterator[Chunk]:
        """The orders, each batch a chunk, so that a request has no more."""
        for names in self.names():
            yield Chunk(
                keys=self.keys(ledger, names),
                fingerprints=np.full(len(names), 1 << 56, np.uint64),
                times=np.full(len(names), int(1000 * (time.time() - _OLD)), np.int64),
                render=lambda positions, names=names: _events([names[at] for at in positions.tolist()]),  # type: ignore[misc]
            )

    @staticmethod
    def keys(ledger: Ledger, names: Sequence[str]) -> Any:
        """The keys of these orders."""
        return ledger.keys([EVENT] * len(names), names)


_DRIVER = "postgresql+psycopg"


def is_bad(name: str) -> bool:
    """Whether the receiving end refuses this order."""
    return int(name.rpartition("-")[2]) % ONE_BAD_IN == 7


def _events(names: Sequence[str]) -> Events:
    texts = [
        json.dumps(
            {
                "conversion_id": name,
                "event_id": EVENT,
                "conversion_time": "2026-11-20T10:00:00.000Z",
                "identifiers": [{"hashed_email": BAD_EMAIL} if is_bad(name) else {"twclid": f"click-{name}"}],
            }
        ).encode()
        + b","
        for name in names
    ]
    return Events(memoryview(b"".join(texts)), np.cumsum([0, *map(len, texts)], dtype=np.int64))


def _failpoint(strike: tuple[str, float] | None) -> Any:
    """What is called at each moment; an instant comes by itself."""
    moment, when = strike or ("never", 0)
    if moment == "any instant":
        threading.Thread(target=lambda: (time.sleep(when), _die()), daemon=True).start()
    seen = Counter[str]()
    lock = threading.Lock()

    def failpoint(name: str) -> None:
        with lock:
            seen[name] += 1
            if name == moment and seen[name] == when:
                _die()

    return failpoint


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials until there were enough kills; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ledger-url", default="", help="a PostgreSQL database; SQLite files unless given")
    options = parser.parse_args(arguments)
    deaths, states, began, number = Counter[str](), Counter[str](), time.monotonic(), 0
    with receiving() as url, tempfile.TemporaryDirectory(prefix="xcapi-kills-") as folder:
        while deaths.total() < options.kills:
            trial = Trial(
                url=url,
                ledger_url=options.ledger_url or f"sqlite:///{Path(folder)}/{number}/ledger.db",
                pixel=f"o{options.seed}x{number}",
                processes=(1, 2, 4)[number % 3],
                on_unknown="hold" if number % 4 == 3 else "resend",
                random=random.Random(f"{options.seed} {number}"),
            )
            trial.run(min(KILLS_PER_TRIAL, options.kills - deaths.total()))
            states += trial.judge()
            deaths += trial.deaths
            number += 1
    seconds = time.monotonic() - began
    sys.stdout.write(
        json.dumps({"kills": deaths.total(), "at": deaths, "orders": states, "seconds": round(seconds, 1)}) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
