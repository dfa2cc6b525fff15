"""What the ledger says became of conversions, column-wise: the same after every run, whoever sent them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xcapi_dagster.delivery.keys import Keys
from xcapi_dagster.delivery.memory import Memory
from xcapi_dagster.delivery.records import Request
from xcapi_dagster.delivery.standing import Standing, Standings

_STATES: Mapping[Standing, tuple[str, str | None]] = {  # state, reason code
    Standing.NEW: ("pending", None),
    Standing.UNSURE: ("unknown", "unknown_outcome"),
    Standing.ACCEPTED: ("accepted", None),
    Standing.CHANGED: ("changed", "changed_after_acceptance"),
    Standing.UNKNOWN: ("unknown", "unknown_outcome"),
    Standing.HELD: ("held", "unknown_outcome"),
    Standing.REJECTED: ("rejected", None),
    Standing.ELSEWHERE: ("pending", None),
    Standing.TOO_LATE: ("too_late", "too_late_to_deduplicate"),
    Standing.GROUPED: ("pending", "api_group_held"),
    Standing.RELEASED: ("pending", None),
    Standing.FORGOTTEN: ("suppressed", "forgotten"),
}
# Of these no request told what became of them.
_UNSENT = (Standing.NEW, Standing.ELSEWHERE, Standing.TOO_LATE, Standing.RELEASED, Standing.FORGOTTEN)

Column = NDArray[np.object_]


class Outcomes(NamedTuple):
    """One entry per conversion in each column, null where there is nothing to say; times in seconds since 1970."""

    state: Column
    reason_code: Column
    column: Column  # the names of what is at fault in the order
    detail: Column
    isolated_by: Column
    request_id: pa.Array
    http_status: pa.Array
    debug_id: pa.Array
    first_sent_at: pa.Array
    settled_at: pa.Array
    by_this_run: NDArray[np.bool_]


def outcomes(memory: Memory, keys: Keys, standings: Standings, run_id: str) -> Outcomes:
    """What became of the conversions with these keys and standings, as seen by the run ``run_id``."""
    standing, known = standings
    states = np.array([_STATES[each][0] for each in Standing], object)
    reason_code = np.array([_STATES[each][1] for each in Standing], object)[standing]
    detail, isolated_by = np.full(len(keys), None, object), np.full(len(keys), None, object)
    is_ruled = np.isin(standing, (Standing.REJECTED, Standing.GROUPED))
    for position in np.flatnonzero(is_ruled).tolist():
        ruling = known.verdicts[position]
        detail[position], isolated_by[position] = ruling.detail, ruling.isolated_by
        if standing[position] == Standing.REJECTED:
            reason_code[position] = ruling.reason_code
    for position in np.flatnonzero(standing == Standing.HELD).tolist():
        detail[position] = memory.requests[int(known.requests[position])].message
    is_unsent = np.isin(standing, _UNSENT)
    of_request = _columns(memory, np.where(is_unsent, 0, np.where(is_ruled, known.heard, known.requests)))
    by_this_run = of_request(lambda request: request.run_id == run_id, pa.bool_())
    return Outcomes(
        state=states[standing],
        reason_code=reason_code,
        column=np.full(len(keys), None, object),
        detail=detail,
        isolated_by=isolated_by,
        request_id=of_request(lambda request: request.id, pa.int64()),
        http_status=of_request(lambda request: request.http_status, pa.int64()),
        debug_id=of_request(lambda request: request.debug_id, pa.string()),
        first_sent_at=of_request(lambda request: request.first_sent_at, pa.float64()),
        settled_at=of_request(lambda request: request.settled_at, pa.float64()),
        by_this_run=pc.fill_null(by_this_run, False).to_numpy(zero_copy_only=False),
    )


def _columns(
    memory: Memory, requests: NDArray[np.int64]
) -> Callable[[Callable[[Request], Any], pa.DataType], pa.Array]:
    """What makes a column of one fact about the request of each conversion: many share one, and it is asked once."""
    ids, which = np.unique(requests, return_inverse=True)
    of_requests = [memory.requests.get(request_id) for request_id in ids.tolist()]

    def column(fact: Callable[[Request], Any], kind: pa.DataType) -> pa.Array:
        facts = pa.array([fact(request) if request else None for request in of_requests], kind)
        return facts.take(pa.array(which))

    return column
