"""What a new or restored ledger can learn from the files: what they say was accepted is never sent again."""

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.delivery.keys import Keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.records import RequestState
from xcapi_dagster.outputs import Outputs, parquet_file

_COLUMNS = ["event_id", "conversion_id", "state"]
_ACCEPTED = ("accepted", "changed")
_IN_DOUBT = ("unknown", "held")


def relearn(ledger: Ledger, outputs: Outputs, *, by: str, why: str) -> tuple[int, int]:
    """Let the ledger take over what the instance's `upload_results` say and it does not know.

    Returns how many conversions count as accepted now, and how many are held because their answer never came.
    """
    accepted, held = 0, 0
    ledger.refresh()
    for partition in outputs.partitions("upload_results"):
        with parquet_file(outputs.path("upload_results", partition)) as parquet:
            for group in range(parquet.num_row_groups):
                results = parquet.read_row_group(group, columns=_COLUMNS)
                accepted += _adopt(ledger, partition, results, _ACCEPTED, "accepted", by=by, why=why)
                held += _adopt(ledger, partition, results, _IN_DOUBT, "held", by=by, why=why)
    return accepted, held


def _adopt(
    ledger: Ledger,
    partition: str,
    results: pa.Table,
    states: tuple[str, ...],
    state: RequestState,
    *,
    by: str,
    why: str,
) -> int:
    told = results.filter(pc.is_in(results["state"], pa.array(states)))
    keys: Keys = ledger.keys(told["event_id"].to_pylist(), told["conversion_id"].to_pylist())
    is_unknown = ledger.memory.look_up(keys).requests == 0
    ledger.adopt(partition, keys[is_unknown], state, by=by, why=why)
    return int(is_unknown.sum())
