"""What the files of results and reports hold, whatever has happened: `tests.shop` proves all that it reads."""

from xcapi_dagster.conversions.frame_contract import Contract, is_in
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.conversions.schema import REJECTION_REPORT, UPLOAD_RESULTS

STATES = ("accepted", "changed", "held", "pending", "rejected", "suppressed", "too_late", "unknown")
STAGES = ("api", "consent", "delivery", "validate")
SEVERITIES = ("degraded", "held", "rejected", "suppressed")

_GIVEN = {"is_given": lambda values: values.is_valid()}

# No time of an order that was sent, is in doubt, and has none now that can be read.
UploadResults = Contract(
    UPLOAD_RESULTS,
    {"conversion_id": _GIVEN, "event_id": _GIVEN, "state": _GIVEN | {"is_state": is_in(STATES)}},
)
RejectionReport = Contract(
    REJECTION_REPORT,
    {
        "stage": _GIVEN | {"is_stage": is_in(STAGES)},
        "severity": _GIVEN | {"is_severity": is_in(SEVERITIES)},
        "reason_code": _GIVEN | {"is_reason": is_in(REASONS)},
        "fix": _GIVEN,
    },
)
CONTRACTS = {"upload_results": UploadResults, "rejection_report": RejectionReport}
