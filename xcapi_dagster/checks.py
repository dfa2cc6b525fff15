"""Asset checks, evaluated inside the steps: of several partitions in a run, one verdict names those that fail."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from xcapi_dagster.partitions.prepare import Prepared
from xcapi_dagster.reports.counts import Counts

COUNTS_ADD_UP = "counts_add_up"
REJECTION_RATE = "rejection_rate"
IDENTIFIER_COVERAGE = "identifier_coverage"

STRONG_IDENTIFIERS = ("twclid", "hashed_email", "hashed_phone_number")
MOST_REJECTED = 0.1  # of the orders that had consent and were not duplicates
LEAST_COVERAGE = 0.5  # of the conversions, for the most frequent strong identifier


def specs_of_conversions(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of the conversions asset."""
    return [
        dg.AssetCheckSpec(
            IDENTIFIER_COVERAGE,
            asset=asset,
            description="Enough conversions have a click id, an e-mail address or a phone number that X can match.",
        )
    ]


def specs_of_report(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of the rejection report, which is there also when the upload fails."""
    return [
        dg.AssetCheckSpec(
            COUNTS_ADD_UP,
            asset=asset,
            blocking=True,
            description="Every order that was read is in exactly one count: none was lost, none was counted twice.",
        ),
        dg.AssetCheckSpec(REJECTION_RATE, asset=asset, description="Few orders are invalid or rejected by X."),
    ]


def identifier_coverage(asset: dg.AssetKey, partitions: Mapping[str, Prepared]) -> dg.AssetCheckResult:
    """Whether, in every partition with conversions, some strong identifier is on at least half of them."""
    failing = {key: _coverage(prepared) for key, prepared in partitions.items() if _coverage(prepared) < LEAST_COVERAGE}
    return _result(
        asset,
        IDENTIFIER_COVERAGE,
        {key: f"{coverage:.0%}" for key, coverage in failing.items()},
        "Look at the query: is a column missing, renamed or empty? Coverage of the best identifier",
    )


def counts_add_up(asset: dg.AssetKey, partitions: Mapping[str, Counts]) -> dg.AssetCheckResult:
    """Whether every order of every partition is in exactly one count."""
    failing = {
        key: f"{counts.read} read, {counts.settled} counted" for key, counts in partitions.items() if not counts.add_up
    }
    advice = "This is a defect of xcapi_dagster: nothing is lost from the ledger, please report it. Counts"
    return _result(asset, COUNTS_ADD_UP, failing, advice, severity=dg.AssetCheckSeverity.ERROR)


def rejection_rate(asset: dg.AssetKey, partitions: Mapping[str, Counts]) -> dg.AssetCheckResult:
    """Whether at most a tenth of each partition's orders are invalid or rejected."""
    rates = {key: _rate(counts) for key, counts in partitions.items()}
    failing = {key: f"{rate:.1%}" for key, rate in rates.items() if rate > MOST_REJECTED}
    return _result(asset, REJECTION_RATE, failing, "Open the rejection report: it names each reason and its fix. Rates")


def _coverage(prepared: Prepared) -> float:
    if not prepared.ready:
        return 1.0
    return max(prepared.with_identifier[identifier] for identifier in STRONG_IDENTIFIERS) / prepared.ready


def _rate(counts: Counts) -> float:
    wanted = counts.read - counts.suppressed - counts.duplicate
    return (counts.invalid + counts.rejected) / wanted if wanted else 0.0


def _result(
    asset: dg.AssetKey,
    name: str,
    failing: Mapping[str, str],
    advice: str,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"failing_partitions": len(failing)}
    named = ", ".join(f"{key}: {what}" for key, what in failing.items())
    return dg.AssetCheckResult(
        passed=not failing,
        asset_key=asset,
        check_name=name,
        severity=severity,
        description=f"{advice}: {named}" if failing else None,
        metadata=metadata,
    )
