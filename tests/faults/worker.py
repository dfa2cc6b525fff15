"""Processes that run both stages of partitions, and what strikes them at a moment that a test names.

They are forked from a server that has imported everything, so that one costs milliseconds.
"""

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from sqlalchemy import Engine, event

from tests.shop import Shop
from xcapi_dagster.delivery import engines
from xcapi_dagster.partitions.upload import Uploaded

_PATIENCE_SECONDS = 120.0  # of a test with a process, on a machine that has much else to do
_LOADED = (
    "pytest",
    "tests.faults.worker",
    "sqlalchemy.dialects.postgresql.psycopg",
    "pandera.backends.pandas.register",  # what pandera itself loads late
    "pandera.backends.pandas.builtin_checks",
    "xcapi_dagster.cli.sync",
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
        told = self.told()
        assert isinstance(told, list), told
        self._join()
        assert self.process.exitcode == 0
        return told

    def failure(self) -> str:
        """What the process failed with."""
        told = self.told()
        assert isinstance(told, str), told
        self._join()
        return told

    def died(self) -> bool:
        """Whether the process ended by SIGKILL, once it has ended."""
        self._join()
        return bool(self.process.exitcode == -signal.SIGKILL)

    def has_told(self) -> None:
        """Wait until it has said something, which is still to be read."""
        assert self.pipe.poll(_PATIENCE_SECONDS), "the process says nothing"

    def ended(self) -> None:
        """Wait until it has, one way or the other."""
        self._join()

    def paused(self) -> None:
        """Wait until the process waits for leave to go on."""
        assert self.told() == "paused"

    def go_on(self) -> None:
        """Give that leave."""
        self.pipe.send("go on")

    def stand_still(self) -> None:
        """Stop it, as by Ctrl-Z; it has stopped when this returns."""
        self.send_signal(signal.SIGSTOP)
        while not _has_stopped(self.pid):
            time.sleep(0.01)

    def send_signal(self, number: int) -> None:
        """As `kill` does."""
        os.kill(self.pid, number)

    def end(self) -> None:
        """End it if it still lives."""
        self.process.kill()
        self._join()

    def told(self) -> Any:
        """What it says next."""
        self.has_told()
        return self.pipe.recv()

    def _join(self) -> None:
        self.process.join(_PATIENCE_SECONDS)
        assert self.process.exitcode is not None, "the process does not end"


def _has_stopped(pid: int) -> bool:
    if (told := Path(f"/proc/{pid}/stat")).exists():
        return told.read_text().rpartition(")")[2].split()[0] == "T"
    command = ["ps", "-o", "state=", "-p", str(pid)]  # of macOS
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("T")


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    stdout: str
    stderr: str


@dataclass
class Processes:
    """Starts processes; none outlives `end`."""

    started: list[Running] = field(default_factory=list)

    def xcapi(self, *arguments: str, environ: Mapping[str, str], act: Act | None = None) -> Said:
        """Run `xcapi` with nothing in its environment but ``environ``; ``act`` is done before it."""
        ended = self._begin(_command, arguments, dict(environ), act).told()
        assert isinstance(ended, Said), ended
        return ended

    def killed_xcapi(self, *arguments: str, environ: Mapping[str, str], act: Act) -> None:
        """The same with an ``act`` because of which the process is killed."""
        assert self._begin(_command, arguments, dict(environ), act).died()

    def start(
        self, shop: Shop, *strikes: Strike, keys: Sequence[str] = (), act: Act | None = None, **terms: Any
    ) -> Running:
        """A process that syncs the partitions ``keys`` of ``shop``, its own one by default, one after the other.

        ``act`` is done before anything else.
        """
        shop = replace(shop, run_id=shop.run_id or f"process-{len(self.started)}")
        return self._begin(_work, shop, keys or (shop.key,), strikes, act, terms)

    def _begin(self, work: Callable[..., None], *arguments: Any) -> Running:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*_LOADED])
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, *arguments), daemon=True)
        process.start()
        theirs.close()
        self.started.append(Running(process, ours))
        return self.started[-1]

    def end(self) -> None:
        """End all of them."""
        for running in self.started:
            running.end()


def _command(parent: Connection, arguments: Sequence[str], environ: dict[str, str], act: Act | None) -> None:
    from xcapi_dagster.cli import main  # noqa: PLC0415 - the other processes need no Dagster

    os.environ.clear()
    os.environ.update(environ | {"DAGSTER_DISABLE_TELEMETRY": "1"})
    if act:
        act(parent)
    ended = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    parent.send(Said(ended.exit_code, ended.stdout, ended.stderr))


def _work(
    parent: Connection,
    shop: Shop,
    keys: Sequence[str],
    strikes: Sequence[Strike],
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


def limit_files(beside: Path, parent: Connection) -> None:
    """Let no file of this process grow larger than this one is, as a quota does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (beside.stat().st_size, resource.RLIM_INFINITY))


def be_impatient(_parent: Connection) -> None:
    """Wait a second, not a minute, for a ledger that another process holds or that is away."""
    engines.BUSY_SECONDS = 1


def later(act: Callable[..., None], *arguments: Any) -> Act:
    """The act with its first arguments."""
    return partial(act, *arguments)
