"""Which ledger wrote an instance's files: a lost or restored one is found out before it sends anything again."""

import json
import time
from collections.abc import Callable

from xcapi_dagster.delivery.database import Stamp
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.errors import LedgerError
from xcapi_dagster.outputs import Outputs

_FILE = "ledger.json"
_EVERY_SECONDS = 60.0


class StampBefore:
    """Writes down, before something is sent, that the ledger is to know of it.

    A run that is killed writes nothing afterwards: a copy of the ledger that was made before it, and put back, would
    pass for the right one. One made while the run was under way is found out if this was written again since.
    """

    def __init__(self, outputs: Outputs, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds."""
        self._outputs = outputs
        self._ledger = ledger
        self._clock = clock
        self._written_at: float | None = None

    def __call__(self) -> None:
        """Write it down, unless that was done a moment ago. Raises XConversionsError when it cannot be."""
        now = self._clock()
        if self._written_at is None or now - self._written_at >= _EVERY_SECONDS:
            write_stamp(self._outputs, self._ledger.new_stamp())
            self._written_at = now


def write_stamp(outputs: Outputs, stamp: Stamp) -> None:
    """Write down which ledger it is that sends, and how far it has come, unless it is written that it came further.

    Of two runs that write at once the slower may write less than the other. What was written is a lower bound all the
    same, the next run raises it, and each run's materialization tells of its own.
    """
    before = read_stamp(outputs)
    if before and before.ledger_id == stamp.ledger_id and before.revision >= stamp.revision:
        return
    outputs.write_own(_FILE, json.dumps(stamp._asdict()) + "\n")


def read_stamp(outputs: Outputs) -> Stamp | None:
    """What was written last; None before the first run. Raises LedgerError for a file that says nothing readable."""
    try:
        if (text := outputs.read_own(_FILE)) is None:
            return None
        facts = json.loads(text)
        return Stamp(str(facts["ledger_id"]), int(facts["revision"]))
    except (ValueError, TypeError, KeyError):
        raise LedgerError(
            f"{outputs.own_path(_FILE)} does not say which ledger wrote the files beside it: put back a copy, or "
            "delete it and run `xcapi ledger status` to see that the ledger is the right one"
        ) from None
