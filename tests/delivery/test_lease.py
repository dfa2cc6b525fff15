"""A heart that beats beside the work, and which processes are known to be gone."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xcapi_dagster.delivery.database import uptime
from xcapi_dagster.delivery.lease import Heartbeat, this_process
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.errors import LedgerError


def test_a_heart_goes_on_beating_after_a_failed_beat() -> None:
    """A ledger that is busy for a moment does not end the run; stopping ends the beats."""
    beats: list[int] = []
    is_third = threading.Event()

    def beat() -> None:
        beats.append(1)
        if len(beats) == 3:
            is_third.set()
        raise LedgerError("the ledger could not be written or read (database is locked)")

    heart = Heartbeat(beat, every=0.001)
    heart.start()
    assert is_third.wait(timeout=10)
    heart.stop()
    assert not any(thread.name == "xcapi-heartbeat" for thread in threading.enumerate())


def test_an_entered_ledger_has_a_heart_that_ends_with_it(sqlite_url: str, open_ledger: Callable[..., Ledger]) -> None:
    """The thread lives as long as the run's hold on the ledger."""
    ledger = open_ledger(sqlite_url)
    assert [thread.name for thread in threading.enumerate()].count("xcapi-heartbeat") == 1
    ledger.__exit__(None, None, None)
    assert "xcapi-heartbeat" not in [thread.name for thread in threading.enumerate()]


def test_a_process_is_told_from_others_on_its_machine() -> None:
    """Another process has another number, and the same host and boot."""
    code = "from xcapi_dagster.delivery.lease import this_process; print(*this_process().values())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True).stdout
    here = this_process()
    assert here["pid"] == os.getpid()
    assert other.split()[:-1] == f"{here['host']} {here['boot']}".split()
    assert int(other.split()[-1]) != os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which start of the machine this is")
def test_containers_of_one_machine_are_told_apart() -> None:
    """They share the machine's boot id; the number space of their processes is what differs."""
    assert str(Path("/proc/self/ns/pid").readlink()) in str(this_process()["boot"])


def test_uptime_goes_forward() -> None:
    """Whatever the wall clock does."""
    first = uptime()
    assert 0 < first <= uptime()


def test_uptime_is_told_where_the_system_has_one_such_clock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows, where Python's module `time` has none of these (its documentation: "Availability: Unix")."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC", "clock_gettime"):
        monkeypatch.delattr(time, name, raising=False)
    first = uptime()
    assert 0 < first <= uptime()
