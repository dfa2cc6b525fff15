"""Asset checks: one verdict for a run, which names the partitions that fail."""

import dagster as dg

from xcapi_dagster import checks
from xcapi_dagster.partitions.prepare import Prepared
from xcapi_dagster.reports.counts import Counts

ASSET = dg.AssetKey(["purchases", "rejection_report"])
IDENTIFIERS = ("twclid", "hashed_email", "hashed_phone_number", "ip_address", "user_agent")


def prepared(ready: int, **with_identifier: int) -> Prepared:
    """A partition with ``ready`` conversions, so many of them with each identifier."""
    return Prepared(ready=ready, with_identifier=dict.fromkeys(IDENTIFIERS, 0) | with_identifier)


def test_a_lost_order_is_an_error_that_names_its_partition() -> None:
    """10 read and 9 counted do not add up; other partitions are not blamed."""
    counts = {"2026-11-01": Counts(read=10, accepted=10), "2026-11-02": Counts(read=10, accepted=8, invalid=1)}
    verdict = checks.counts_add_up(ASSET, counts)
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "2026-11-02: 10 read, 9 counted" in str(verdict.description)
    assert "2026-11-01" not in str(verdict.description)


def test_every_count_counts() -> None:
    """All that can become of an order is in the sum, and requests are not."""
    each = {name: 1 for name in Counts().as_dict() if name not in ("read", "requests")}
    assert Counts(read=len(each), requests=7, **each).add_up
    assert checks.counts_add_up(ASSET, {"d": Counts(read=len(each), requests=7, **each)}).passed


def test_the_rate_leaves_out_what_nobody_wanted_sent() -> None:
    """Suppressed and duplicate orders are neither good nor bad: 1 invalid of 5 wanted is 20 %, not 1 of 10."""
    counts = Counts(read=10, suppressed=3, duplicate=2, invalid=1, accepted=4)
    verdict = checks.rejection_rate(ASSET, {"2026-11-02": counts})
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "20.0%" in str(verdict.description)
    assert checks.rejection_rate(ASSET, {"2026-11-02": Counts()}).passed


def test_coverage_is_that_of_the_best_identifier() -> None:
    """Half of the conversions with an e-mail address are enough; an IP address matches nobody."""
    assert checks.identifier_coverage(ASSET, {"d": prepared(10, hashed_email=5)}).passed
    assert not checks.identifier_coverage(ASSET, {"d": prepared(10, hashed_email=4, ip_address=10)}).passed
    assert checks.identifier_coverage(ASSET, {"d": prepared(0)}).passed
