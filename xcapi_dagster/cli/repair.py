"""`xcapi sync --reason`: what was lost for one reason, sent after the warehouse was mended."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from xcapi_dagster import resources
from xcapi_dagster.cli.operator import operator
from xcapi_dagster.cli.outcomes import told
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.partitions.repair import Lost, lost_for, recovered, reopen
from xcapi_dagster.reports.pages import write_overview
from xcapi_dagster.reports.repairs import Repaired, note
from xcapi_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class Repair:
    """The partitions to sync again, and what of them was lost before."""

    code: str
    lost: Sequence[Lost]
    settings: Settings

    @property
    def partitions(self) -> list[str]:
        """Their keys."""
        return [each.partition for each in self.lost]

    def end(self) -> Mapping[str, int]:
        """How many of the lost orders X has accepted by now, by partition; the overview shows it from now on."""
        outputs = resources.outputs_of(self.settings)
        counts = recovered(self.lost, outputs)
        today = datetime.now(UTC).date().isoformat()
        if self.lost:
            lines = [
                Repaired(today, self.code, each.partition, each.total, counts[each.partition]) for each in self.lost
            ]
            note(outputs, lines)
            write_overview(outputs)
        return counts


def begin_repair(code: str, partitions: Sequence[str], settings: Settings) -> Repair:
    """Find what was lost for the reason ``code``, and reopen what X had refused of it: that word of yours is kept.

    Raises ConfigurationError for a code that is none.
    """
    if code not in REASONS:
        like = difflib.get_close_matches(code, REASONS, 1) or sorted(REASONS)
        raise ConfigurationError(f"--reason {code[:40]!r} is no reason code; there are {', '.join(like)}")
    outputs = resources.outputs_of(settings)
    lost = lost_for(code, partitions, outputs)
    orders = sum(each.total for each in lost)
    told.print(f"{orders:,} orders in {len(lost):,} of {len(partitions):,} partitions were lost for {code}.")
    if lost and REASONS[code].stage == "api":
        with resources.operators_ledger_of(settings) as ledger:
            why = f"xcapi sync --reason {code}"
            reopened = reopen(code, lost, ledger, outputs, by=operator(), why=why)
        told.print(f"{reopened:,} of them X had refused: they are sent again.")
    return Repair(code, lost, settings)
