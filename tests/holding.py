"""Requests that X holds until a test lets them go, and runs that tell once they know that they are to stop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from xcapi_dagster.sandbox import Do, Fault, Match, Sandbox

# Before the code of a process: it makes the file that HALTED names as soon as a run of it begins no other request.
TELLS_OF_A_HALT = """
import os
from pathlib import Path
from xcapi_dagster.delivery.deliver import Delivery

def halt_and_tell(delivery, reason, halt=Delivery._halt):
    halt(delivery, reason)
    Path(os.environ["HALTED"]).touch()

Delivery._halt = halt_and_tell
"""
XCAPI_TELLING_OF_A_HALT = f"{TELLS_OF_A_HALT}\nfrom xcapi_dagster.cli import main\nmain()"


@dataclass(frozen=True)
class Held:
    """What X holds: whether it came, and whether it may go."""

    came: threading.Event = field(default_factory=threading.Event)
    may_go: threading.Event = field(default_factory=threading.Event)

    def hold(self, _seconds: float) -> None:
        """In the place of a delay, of which nobody can say that it is long enough."""
        self.came.set()
        self.may_go.wait()


@contextmanager
def holding(sandbox: Sandbox, match: Match) -> Iterator[Held]:
    """Let X hold the requests that ``match`` names, and do nothing else untoward, until the block ends."""
    held, api = Held(), sandbox._api
    delay, api._wait = api._wait, held.hold
    sandbox.script([Fault(match, Do(delay=1))])
    try:
        yield held
    finally:
        held.may_go.set()
        sandbox.script([])
        api._wait = delay


def until(is_so: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it is so. The time ends a test that hangs, and measures nothing."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
