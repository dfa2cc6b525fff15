"""Asset checks: one verdict for a run, which names the partitions that fail."""

import dagster as dg
import pytest

from xcapi_dagster import checks
from xcapi_dagster.partitions.prepare import Prepared
from xcapi_dagster.partitions.watch import Ageing, Watched
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.reports.history import History
from xcapi_dagster.reports.identifiers import Identifiers
from xcapi_dagster.reports.summary import ReasonSummary, Summary
from xcapi_dagster.reports.worth import Worth

ASSET = dg.AssetKey(["purchases", "rejection_report"])


def prepared(ready: int, **carried: int) -> Prepared:
    """A partition with ``ready`` conversions, so many of them with just this identifier, the others with none."""
    groups = {"": Worth(orders=ready - sum(carried.values()))}
    groups |= {identifier: Worth(orders=orders) for identifier, orders in carried.items()}
    return Prepared(ready=ready, identifiers=Identifiers(groups=groups))


def history(*codes: str, **carried: int) -> list[Summary]:
    """Five days of a hundred conversions with these identifiers, the reasons one a day."""
    found = prepared(100, **carried).identifiers
    return [
        Summary(
            partition=f"2026-11-0{day}",
            states={"accepted": Worth(orders=100)},
            identifiers=found,
            reasons=tuple(ReasonSummary(code=code, worth=Worth(orders=1)) for code in codes[day - 1 : day]),
        )
        for day in range(1, 6)
    ]


def test_a_lost_order_is_an_error_that_names_its_partition() -> None:
    """10 read and 9 counted do not add up; other partitions are not blamed."""
    counts = {"2026-11-01": Counts(read=10, accepted=10), "2026-11-02": Counts(read=10, accepted=8, invalid=1)}
    verdict = checks.counts_add_up(ASSET, counts)
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "2026-11-02: 10 read, 9 counted" in str(verdict.description)
    assert "2026-11-01" not in str(verdict.description)


@pytest.mark.parametrize(
    ("counts", "passed"),
    [
        (Counts(read=20, suppressed=20), False),
        (Counts(read=25, suppressed=20, duplicate=5), False),
        (Counts(read=21, suppressed=20, invalid=1), True),
        (Counts(read=19, suppressed=19), True),
        (Counts(read=20, duplicate=20), True),
        (Counts(), True),
    ],
)
def test_that_nobody_agreed_is_a_mistake_of_the_query(counts: Counts, *, passed: bool) -> None:
    """Of twenty orders or more; of some that are to be sent, whatever became of them, it is none."""
    verdict = checks.some_consent(ASSET, {"2026-11-01": Counts(read=30, accepted=30), "2026-11-02": counts})
    assert (verdict.passed, verdict.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert ("2026-11-02: 20 left out" in str(verdict.description)) is not passed


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
    assert "20.0% of the 5 that were to be sent" in str(verdict.description)
    assert checks.rejection_rate(ASSET, {"2026-11-02": Counts()}).passed


def test_coverage_is_that_of_the_best_identifier() -> None:
    """Half of the conversions with an e-mail address are enough; an IP address matches nobody."""
    assert checks.identifier_coverage(ASSET, {"d": prepared(10, hashed_email=5)}).passed
    assert not checks.identifier_coverage(ASSET, {"d": prepared(10, hashed_email=4, ip_address=6)}).passed
    assert checks.identifier_coverage(ASSET, {"d": prepared(0)}).passed


def test_an_identifier_that_vanishes_is_named_with_what_was_usual() -> None:
    """Phones fall from 60 % to 30 %: the verdict says which, where and from what."""
    day = {"2026-11-06": prepared(100, hashed_phone_number=30, twclid=70)}
    verdict = checks.steady_identifier_coverage(ASSET, day, History(history(hashed_phone_number=60, twclid=40)))
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "2026-11-06: hashed_phone_number on 30% instead of 60%" in str(verdict.description)
    assert "twclid" not in str(verdict.description)


def test_a_fall_that_could_be_chance_is_none() -> None:
    """Of ten conversions three instead of six have a phone; and of a hundred 51 instead of 60."""
    usual = History(history(hashed_phone_number=60))
    for day in (prepared(10, hashed_phone_number=3), prepared(100, hashed_phone_number=51), prepared(0)):
        assert checks.steady_identifier_coverage(ASSET, {"2026-11-06": day}, usual).passed


def test_partitions_of_one_run_are_compared_with_each_other() -> None:
    """In a backfill nothing has a summary yet; three partitions before one are enough, later ones do not count."""
    days = {f"2026-11-0{day}": prepared(100, hashed_email=90) for day in (1, 2, 3)}
    fallen = {"2026-11-04": prepared(100, hashed_email=50)}
    assert not checks.steady_identifier_coverage(ASSET, days | fallen, History()).passed
    assert checks.steady_identifier_coverage(ASSET, fallen, History(history(hashed_email=90)[3:])).passed


def test_a_new_reason_is_named_with_its_fix() -> None:
    """Seen on the fifth day and on none before; an old one on the sixth is not new."""
    summaries = history("no_identifier", "no_identifier", "email_invalid", "email_invalid", "negative_value")
    summaries.append(
        Summary(partition="2026-11-06", reasons=(ReasonSummary(code="no_identifier", worth=Worth(orders=1)),))
    )
    verdict = checks.no_new_reasons(ASSET, ["2026-11-05", "2026-11-06"], History(summaries))
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "2026-11-05: negative_value (Leave refunds" in str(verdict.description)
    assert "2026-11-06" not in str(verdict.description)
    assert checks.no_new_reasons(ASSET, ["2026-11-06"], History(summaries)).passed


def test_orders_that_went_are_told() -> None:
    """Fewer than before, not more, and not where nothing was read before."""
    counts = {f"2026-11-0{day}": Counts(read=100) for day in (1, 2, 3, 4)}
    before = {"2026-11-01": 101, "2026-11-02": 100, "2026-11-03": 99, "2026-10-31": 7}
    verdict = checks.no_missing_orders(ASSET, counts, before)
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(verdict.description).endswith("Orders: 2026-11-01: 101 before, 100 now")
    del before["2026-11-01"]
    assert checks.no_missing_orders(ASSET, counts, before).passed


@pytest.mark.parametrize(("name", "told"), [("purchases", "xcapi sync"), ("eu", "xcapi sync -m … --name eu")])
def test_what_to_run_is_about_the_instance(name: str, told: str) -> None:
    """Without its name another one would be synced."""
    asset = dg.AssetKey([name, "upload_results"])
    late = Watched(partition="2026-11-01", in_warehouse=2, read=1)
    old = Ageing("2026-11-01", 1, 0, is_synced=False)
    for verdict in (checks.no_late_orders(asset, [late]), checks.sent_in_time(asset, [old])):
        assert f"run `{told} --from 2026-11-01 --to 2026-11-01`" in str(verdict.description)
