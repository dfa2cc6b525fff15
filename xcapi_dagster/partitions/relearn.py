"""What a new or restored ledger can learn from the files: what they say was accepted is never sent again."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.delivery.keys import Keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.records import RequestState
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.parquet import parquet_file

_COLUMNS = ["event_id", "conversion_id", "state", "first_sent_at"]
# By the state in a file: what the ledger is to hold it for, and the states in which it knows as much already. An old
# copy may know of an order's first request only, and the file of its last.
_NEWS: Mapping[str, tuple[RequestState, tuple[RequestState, ...]]] = {
    "accepted": ("accepted", ("accepted",)),
    "changed": ("accepted", ("accepted",)),
    "held": ("held", ("accepted", "held")),
    "unknown": ("held", ("accepted", "held", "unknown", "in_flight")),
}


def relearn(ledger: Ledger, outputs: Outputs, *, by: str, why: str) -> tuple[int, int]:
    """Let the ledger take over what the instance's `upload_results` say and it does not know.

    Returns how many conversions count as accepted now, and how many are held because their answer never came.
    """
    learned: Counter[str] = Counter()
    ledger.refresh()
    for partition in outputs.partitions("upload_results"):
        with parquet_file(outputs.path("upload_results", partition)) as parquet:
            for group in range(parquet.num_row_groups):
                results = parquet.read_row_group(group, columns=_COLUMNS)
                for told, (state, known) in _NEWS.items():
                    of_state = results.filter(pc.equal(results["state"], told))
                    learned[state] += _adopt(ledger, partition, of_state, state, known, by=by, why=why)
    return learned["accepted"], learned["held"]


def _adopt(
    ledger: Ledger,
    partition: str,
    told: pa.Table,
    state: RequestState,
    known: tuple[RequestState, ...],
    *,
    by: str,
    why: str,
) -> int:
    keys: Keys = ledger.keys(told["event_id"], told["conversion_id"])
    is_news = ~ledger.memory.are(ledger.memory.look_up(keys).requests, *known)
    first = pc.min(told["first_sent_at"].filter(pa.array(is_news))).as_py()  # X's 48 hours count from then
    ledger.adopt(partition, keys[is_news], state, by=by, why=why, first_sent_at=first and first.timestamp())
    return int(is_news.sum())
