"""Asset checks: of several partitions one verdict names those that fail, and says what to do."""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import median
from typing import Any

import dagster as dg

from xcapi_dagster.contract import DEDUPLICATION_HOURS
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.partitions.prepare import Prepared
from xcapi_dagster.partitions.watch import Ageing, Watched
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.reports.history import History, new_reasons
from xcapi_dagster.reports.identifiers import STRONG_IDENTIFIERS, Identifier, Identifiers
from xcapi_dagster.settings import BUNDLED_INSTANCE

COUNTS_ADD_UP = "counts_add_up"
REJECTION_RATE = "rejection_rate"
SOME_CONSENT = "some_consent"
NO_NEW_REASONS = "no_new_reasons"
NO_MISSING_ORDERS = "no_missing_orders"
IDENTIFIER_COVERAGE = "identifier_coverage"
STEADY_COVERAGE = "steady_identifier_coverage"
NO_LATE_ORDERS = "no_late_orders"
SENT_IN_TIME = "sent_in_time"

MOST_REJECTED = 0.1  # of the orders that had consent and were not duplicates
LEAST_WITHOUT_CONSENT = 20  # orders: that nobody agreed of fewer happens
LEAST_COVERAGE = 0.5  # of the conversions, for the most frequent strong identifier
LARGEST_FALL = 0.1  # of an identifier's coverage below what was usual
_USUAL_PARTITIONS = (3, 14)  # before one: the fewest that tell what is usual, and the most that are looked at
_DEVIATIONS = 3  # a fall of less could be chance


def specs_of_conversions(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of the conversions asset."""
    return [
        dg.AssetCheckSpec(
            IDENTIFIER_COVERAGE,
            asset=asset,
            description="Enough conversions have a click id, an e-mail address or a phone number that X can match.",
        ),
        dg.AssetCheckSpec(
            STEADY_COVERAGE,
            asset=asset,
            description="No identifier is on far fewer of the conversions than in the partitions before.",
        ),
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
        dg.AssetCheckSpec(SOME_CONSENT, asset=asset, description="Not all orders are left out for want of consent."),
        dg.AssetCheckSpec(
            NO_NEW_REASONS, asset=asset, description="No order has a reason that no earlier partition had."
        ),
        dg.AssetCheckSpec(
            NO_MISSING_ORDERS,
            asset=asset,
            description="The warehouse gave no fewer orders than when the partition was synced before.",
        ),
    ]


def specs_of_lateness(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of the upload results that look at what is not in them yet."""
    return [
        dg.AssetCheckSpec(
            NO_LATE_ORDERS,
            asset=asset,
            description="The warehouse has as many orders of the latest partitions as when they were synced.",
        ),
        dg.AssetCheckSpec(
            SENT_IN_TIME,
            asset=asset,
            description="No order is still unsent at 40 hours of age: X deduplicates it for 48.",
        ),
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


def steady_identifier_coverage(
    asset: dg.AssetKey, partitions: Mapping[str, Prepared], history: History
) -> dg.AssetCheckResult:
    """Whether every strong identifier is about as frequent as in the partitions before each."""
    known = {summary.partition: summary.identifiers for summary in history.all}
    known |= {key: prepared.identifiers for key, prepared in partitions.items()}
    falls = {
        key: _falls(prepared.identifiers, [known[earlier] for earlier in sorted(known) if earlier < key])
        for key, prepared in partitions.items()
    }
    return _result(
        asset,
        STEADY_COVERAGE,
        {key: fallen for key, fallen in falls.items() if fallen},
        "Find out what changed in the shop or in the query: an identifier is missing where it used to be. Coverage",
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
    failing = {
        key: f"{counts.rejection_rate:.1%} of the {counts.wanted:,} that were to be sent"
        for key, counts in partitions.items()
        if counts.rejection_rate > MOST_REJECTED
    }
    return _result(asset, REJECTION_RATE, failing, "Open the rejection report: it names each reason and its fix. Rates")


def some_consent(asset: dg.AssetKey, partitions: Mapping[str, Counts]) -> dg.AssetCheckResult:
    """Whether of each partition with some orders at least one is to be sent: nobody at all agreeing is a mistake."""
    failing = {
        key: f"{counts.suppressed:,} left out"
        for key, counts in partitions.items()
        if counts.suppressed >= LEAST_WITHOUT_CONSENT and not counts.wanted
    }
    return _result(
        asset, SOME_CONSENT, failing, "Look at consent in the query: the report says what is known of it. All orders"
    )


def no_new_reasons(asset: dg.AssetKey, partitions: Sequence[str], history: History) -> dg.AssetCheckResult:
    """Whether every reason was seen in an earlier partition; ``history`` has the summaries of these ones too."""
    new = new_reasons(history.all)
    failing = {
        key: " ".join(f"{code} ({REASONS[code].fix})" for code in sorted(new[key]) if code in REASONS)
        for key in partitions
        if new.get(key)
    }
    return _result(asset, NO_NEW_REASONS, failing, "Open the rejection report: something is wrong for the first time")


def no_missing_orders(
    asset: dg.AssetKey, partitions: Mapping[str, Counts], read_before: Mapping[str, int]
) -> dg.AssetCheckResult:
    """Whether every partition has at least as many orders as were ``read_before``, where it was synced before."""
    failing = {
        key: f"{read_before[key]:,} before, {counts.read:,} now"
        for key, counts in partitions.items()
        if counts.read < read_before.get(key, 0)
    }
    advice = "Find out why orders went: the report does not name them, and what X accepted of them stays there. Orders"
    return _result(asset, NO_MISSING_ORDERS, failing, advice)


def no_late_orders(asset: dg.AssetKey, watched: Iterable[Watched]) -> dg.AssetCheckResult:
    """Whether every partition that was synced has as many orders in the warehouse as it had then."""
    failing = {each.partition: each.told for each in watched if each.read is not None and each.difference}
    advice = f"Orders came late, moved or went: {_sync(asset, failing)}. What X accepted is not sent again. Now"
    return _result(asset, NO_LATE_ORDERS, failing, advice)


def sent_in_time(asset: dg.AssetKey, ageing: Iterable[Ageing]) -> dg.AssetCheckResult:
    """Whether no order that is 40 hours old or more is still unsent."""
    failing = {each.partition: each.told for each in ageing}
    advice = (
        f"Orders are not sent yet: {_sync(asset, failing)}, and see `xcapi held list` for those that wait for your "
        f"decision. After {DEDUPLICATION_HOURS} hours X cannot tell an order from a copy that the pixel sent. At 40 "
        "hours of age"
    )
    return _result(asset, SENT_IN_TIME, failing, advice)


def _sync(asset: dg.AssetKey, partitions: Iterable[str]) -> str:
    keys, name = sorted(partitions), asset.path[0]
    of = "" if name == BUNDLED_INSTANCE else f" -m … --name {name}"  # without, another one would be synced
    return f"run `xcapi sync{of} --from {keys[0]} --to {keys[-1]}`" if keys else ""


def _coverage(prepared: Prepared) -> float:
    return max(_share(prepared.identifiers, identifier) for identifier in STRONG_IDENTIFIERS) if prepared.ready else 1.0


def _share(found: Identifiers, identifier: Identifier) -> float:
    return found.carried(identifier) / max(found.conversions, 1)


def _falls(found: Identifiers, earlier: Sequence[Identifiers]) -> str:
    """Which identifiers are on far fewer conversions than usual; empty if none is, or if that cannot be told."""
    fewest, most = _USUAL_PARTITIONS
    before = [each for each in earlier if each.conversions][-most:]
    if not found.conversions or len(before) < fewest:
        return ""
    fallen = []
    for identifier in STRONG_IDENTIFIERS:
        usual, share = median(_share(each, identifier) for each in before), _share(found, identifier)
        chance = _DEVIATIONS * sqrt(usual * (1 - usual) / found.conversions)
        if usual - share > max(LARGEST_FALL, chance):
            fallen.append(f"{identifier} on {share:.0%} instead of {usual:.0%}")
    return ", ".join(fallen)


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
