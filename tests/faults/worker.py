"""Processes that run both stages of partitions, and what strikes them at a moment that a test names.

They are forked from a server that has imported everything, so that one costs milliseconds.
"""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from tests.shop import Shop
from xcapi_dagster.partitions.upload import Uploaded

_PATIENCE_SECONDS = 120.0  # of a test with a process, on a machine that has much else to do
_LOADED = (
    "pytest",
    "tests.faults.worker",
    "sqlalchemy.dialects.postgresql.psycopg",
    "pandera.backends.pandas.register",  # what pandera itself loads late
    "pandera.backends.pandas.builtin_checks",
)

Act = Callable[[Connection], None]


def kill(_parent: Connection) -> None:
    """The process ends, as after `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_within(seconds: float, seed: int, parent: Connection) -> None:
    """The process ends at some instant of the next so many seconds, and goes on until then."""
    wait = random.Random(seed).uniform(0, seconds)
    threading.Thread(target=lambda: (time.sleep(wait), kill(parent)), daemon=True).start()


def pause(parent: Connection) -> None:
    """The process tells that it has come so far, and waits for leave to go on."""
    parent.send("paused")
    parent.recv()


@dataclass
class Strike:
    """What happens to a process when it comes to a moment for the n-th time."""

    moment: str
    nth: int = 1
    act: Act = kill
    seen: int = 0

    def is_due(self, moment: str) -> bool:
        """Whether this is the moment; each time is counted."""
        self.seen += moment == self.moment
        return moment == self.moment and self.seen == self.nth


@dataclass
class Running:
    """A process that runs partitions of a shop."""

    process: Any
    pipe: Connection

    @property
    def pid(self) -> int:
        """Its number."""
        return int(self.process.pid)

    def uploaded(self) -> list[Uploaded]:
        """What became of the partitions, once the process has ended well."""
        told = self._told()
        assert isinstance(told, list), told
        self._join()
        assert self.process.exitcode == 0
        return told

    def failure(self) -> str:
        """What the process failed with."""
        told = self._told()
        assert isinstance(told, str), told
        self._join()
        return told

    def died(self) -> bool:
        """Whether the process ended by SIGKILL, once it has ended."""
        self._join()
        return bool(self.process.exitcode == -signal.SIGKILL)

    def ended(self) -> None:
        """Wait until it has, one way or the other."""
        self._join()

    def paused(self) -> None:
        """Wait until the process waits for leave to go on."""
        assert self._told() == "paused"

    def go_on(self) -> None:
        """Give that leave."""
        self.pipe.send("go on")

    def send_signal(self, number: int) -> None:
        """As `kill` does."""
        os.kill(self.pid, number)

    def end(self) -> None:
        """End it if it still lives."""
        self.process.kill()
        self._join()

    def _told(self) -> Any:
        assert self.pipe.poll(_PATIENCE_SECONDS), "the process says nothing"
        return self.pipe.recv()

    def _join(self) -> None:
        self.process.join(_PATIENCE_SECONDS)
        assert self.process.exitcode is not None, "the process does not end"


@dataclass
class Processes:
    """Starts processes; none outlives `end`."""

    started: list[Running] = field(default_factory=list)

    def start(
        self, shop: Shop, *strikes: Strike, keys: Sequence[str] = (), act: Act | None = None, **terms: Any
    ) -> Running:
        """A process that syncs the partitions ``keys`` of ``shop``, its own one by default, one after the other.

        ``act`` is done before anything else.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*_LOADED])
        ours, theirs = context.Pipe()
        shop = replace(shop, run_id=shop.run_id or f"process-{len(self.started)}")
        work = (shop, keys or (shop.key,), strikes, theirs, act, terms)
        process = context.Process(target=_work, args=work, daemon=True)
        process.start()
        theirs.close()
        self.started.append(Running(process, ours))
        return self.started[-1]

    def end(self) -> None:
        """End all of them."""
        for running in self.started:
            running.end()


def _work(
    shop: Shop,
    keys: Sequence[str],
    strikes: Sequence[Strike],
    parent: Connection,
    act: Act | None,
    terms: dict[str, Any],
) -> None:
    lock = threading.Lock()

    def failpoint(moment: str) -> None:
        with lock:
            due = [strike for strike in strikes if strike.is_due(moment)]
        for strike in due:  # other threads go on meanwhile
            strike.act(parent)

    event.listen(Engine, "commit", lambda _connection: failpoint("commit"))
    uploaded = []
    try:
        if act:
            act(parent)
        for shop.key in keys:
            uploaded.append(shop.sync(failpoint=failpoint, **terms))
    except Exception as error:  # noqa: BLE001 - the test says whether it was to be expected
        parent.send(f"{type(error).__name__}: {error}")
    else:
        parent.send(uploaded)


def fill_disk(beside: Path, parent: Connection) -> None:
    """Leave nothing of the disk that a file is on."""
    with (beside.parent / "filling").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def later(act: Callable[..., None], *arguments: Any) -> Act:
    """The act with its first arguments."""
    return partial(act, *arguments)
