"""Which ledger wrote an instance's files: a lost or restored one is found out before it sends anything again."""

import json

from xcapi_dagster.delivery.database import Stamp
from xcapi_dagster.errors import LedgerError
from xcapi_dagster.outputs import Outputs

_FILE = "ledger.json"


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
