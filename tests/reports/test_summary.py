"""The summary of a partition: every order once in its state, and in each of its reasons."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.conversions.schema import UPLOAD_RESULTS
from xcapi_dagster.reports.rejections import validation_rejections
from xcapi_dagster.reports.summary import AGE_EDGES, LOST, Summary, SummaryTally, merged, order_states

CODES = ("no_identifier", "negative_value", "consent_denied", "duplicate_order", "email_invalid")


MakeTable = Callable[..., pa.Table]


@pytest.fixture(scope="session")
def summary_of(rejections: MakeTable) -> Callable[..., Summary]:
    """Make the summary of orders that the first stage rejected."""

    def summary(*rows: dict[str, object]) -> Summary:
        table, tally = rejections(*rows), SummaryTally()
        report = validation_rejections(table)
        tally.add(order_states(table), UPLOAD_RESULTS.empty_table(), report, table["row"].to_numpy())
        return tally.summary(partition="2026-11-01")

    return summary


@given(orders=st.dictionaries(st.integers(0, 20), st.sets(st.sampled_from(CODES), min_size=1), max_size=10))
def test_every_order_has_the_first_state_that_holds(rejections: MakeTable, orders: dict[int, set[str]]) -> None:
    """A duplicate is nothing else; without consent nothing is lost; degraded is what is sent all the same."""
    table = rejections(*({"row": row, "reason_code": code} for row, codes in orders.items() for code in sorted(codes)))
    expected = Counter(
        "duplicate" if "duplicate_order" in codes
        else "suppressed" if "consent_denied" in codes
        else "invalid" if codes & {"no_identifier", "negative_value"}
        else "degraded"
        for codes in orders.values()
    )  # fmt: skip
    states = order_states(table)
    assert Counter(states["state"].to_pylist()) == expected
    assert states["row"].to_pylist() == sorted(orders)


def test_an_order_with_two_reasons_is_lost_once(summary_of: Callable[..., Summary]) -> None:
    """It is in both reasons, is brought back by neither alone, and its value counts once at the top."""
    summary = summary_of(
        {"row": 1, "reason_code": "no_identifier"},
        {"row": 1, "reason_code": "invalid_currency", "currency": None},
        {"row": 2, "reason_code": "no_identifier"},
        {"row": 2, "reason_code": "email_invalid"},
    )
    reasons = {each.code: each for each in summary.reasons}
    assert summary.of(LOST).orders == 2
    assert summary.states.keys() == {"invalid"}
    assert (reasons["no_identifier"].worth.orders, reasons["no_identifier"].alone) == (2, 1)
    assert (reasons["invalid_currency"].worth.unvalued, reasons["invalid_currency"].alone) == (1, 0)
    assert reasons["email_invalid"].alone == 0
    assert summary.degraded.orders == 0


def test_without_consent_no_order_is_lost(summary_of: Callable[..., Summary]) -> None:
    """Of three, one is faulty besides and one would go with less: only the fourth, which has consent, is lost."""
    summary = summary_of(
        {"row": 1, "reason_code": "consent_denied"},
        {"row": 2, "reason_code": "consent_denied"},
        {"row": 2, "reason_code": "no_identifier", "column": "email", "detail": "7 characters"},
        {"row": 3, "reason_code": "consent_denied"},
        {"row": 3, "reason_code": "email_invalid"},
        {"row": 4, "reason_code": "no_identifier"},
    )
    assert {state: worth.orders for state, worth in summary.states.items()} == {"suppressed": 3, "invalid": 1}
    assert {each.code: (each.worth.orders, each.alone, each.shapes) for each in summary.reasons} == {
        "consent_denied": (3, 2, {}),
        "no_identifier": (1, 1, {}),
    }
    assert summary.rows == 6


def test_results_have_their_states_and_ages(results: MakeTable, report: MakeTable) -> None:
    """Accepted by whichever run; the age is from the order to when it was first sent."""
    ordered = datetime(2026, 11, 1, 12, tzinfo=UTC)
    tally = SummaryTally()
    known = results(
        {"state": "accepted", "conversion_time": ordered, "first_sent_at": ordered + timedelta(hours=47)},
        {"state": "accepted", "conversion_time": ordered, "first_sent_at": ordered + timedelta(hours=48)},
        {"state": "rejected", "conversion_time": ordered, "first_sent_at": ordered - timedelta(minutes=1),
         "settled_at": ordered + timedelta(hours=50), "value": None, "currency": None},
        {"state": "pending", "conversion_time": ordered},
    )  # fmt: skip
    told = report({"reason_code": "api_value", "detail": "no", "isolated_by": "bisection"})
    tally.add(known, known, told, np.arange(1))
    summary = tally.summary(partition="2026-11-01")
    assert {state: worth.orders for state, worth in summary.states.items()} == {
        "accepted": 2,
        "pending": 1,
        "rejected": 1,
    }
    assert dict(zip(AGE_EDGES, summary.ages, strict=True)) == dict.fromkeys(AGE_EDGES, 0) | {0: 1, 44: 1, 48: 1}
    assert summary.last_settled_at == ordered + timedelta(hours=50)
    (reason,) = summary.reasons
    assert (reason.code, reason.alone, reason.shapes, reason.isolated_by) == (
        "api_value",
        1,
        {"no": 1},
        {"bisection": 1},
    )


def test_an_order_in_doubt_is_held_and_nothing_else(
    rejections: MakeTable, results: MakeTable, report: MakeTable
) -> None:
    """It was sent before and is invalid now: two rows of the report, one state, and neither reason alone."""
    table, tally = rejections({"row": 7, "reason_code": "no_identifier"}), SummaryTally()
    orders = order_states(table)
    orders = orders.set_column(orders.column_names.index("state"), "state", pa.array(["held"]))
    rows = report({"reason_code": "no_identifier"}, {"reason_code": "unknown_outcome"})
    tally.add(orders, results({"state": "held"}), rows, np.array([7, 7]))
    summary = tally.summary(partition="2026-11-01")
    assert {state: worth.orders for state, worth in summary.states.items()} == {"held": 1}
    assert {each.code: (each.worth.orders, each.alone) for each in summary.reasons} == {
        "no_identifier": (1, 0),
        "unknown_outcome": (1, 0),
    }


def test_a_summary_comes_back_from_its_file(summary_of: Callable[..., Summary]) -> None:
    """As JSON, with exact amounts."""
    summary = summary_of({"row": 1, "reason_code": "no_identifier", "value": Decimal("0.100001")})
    again = Summary.model_validate_json(summary.model_dump_json())
    assert again == summary
    assert again.read.amounts["USD"].total == Decimal("0.100001")


def test_many_different_shapes_are_few_in_the_summary(summary_of: Callable[..., Summary]) -> None:
    """The most frequent are kept, whatever a column holds."""
    rows = [{"row": n, "reason_code": "email_invalid", "detail": f"{n} characters"} for n in range(3000)]
    (reason,) = summary_of(
        *rows, *({"row": n, "reason_code": "email_invalid", "detail": "often"} for n in range(9))
    ).reasons
    assert len(reason.shapes) == 5
    assert reason.shapes["often"] == 9


@pytest.mark.parametrize("empty", [[], [Summary(partition="2026-11-01")]])
def test_nothing_together_is_nothing(empty: list[Summary]) -> None:
    """No partition, or one without orders."""
    assert merged(empty).read.orders == 0


def test_partitions_together_are_their_sum(summary_of: Callable[..., Summary]) -> None:
    """States, reasons and amounts."""
    one = summary_of({"row": 1, "reason_code": "no_identifier"}, {"row": 2, "reason_code": "email_invalid"})
    two = summary_of({"row": 1, "reason_code": "no_identifier", "currency": "JPY"})
    total = merged([one, two])
    reasons = {each.code: each.worth for each in total.reasons}
    assert total.read.orders == 2
    assert total.degraded.orders == 1
    assert {currency: int(amount.total) for currency, amount in reasons["no_identifier"].amounts.items()} == {
        "USD": 10,
        "JPY": 10,
    }


def test_sums_of_what_is_listed_are_said_to_be_the_least(summary_of: Callable[..., Summary]) -> None:
    """A detail that is sixth in one partition is missing from its sum; where all are listed, sums are exact."""
    often = [{"row": n, "reason_code": "phone_invalid", "column": "phone", "detail": f"{n // 2}"} for n in range(10)]
    one = summary_of(*often, {"row": 10, "reason_code": "phone_invalid", "column": "phone", "detail": "9"})
    two = summary_of(*({"row": n, "reason_code": "phone_invalid", "detail": "9"} for n in range(3)))
    (reason,) = merged([one, two]).reasons
    assert reason.shapes["9"] == 3  # of four
    assert reason.columns == {"phone": 11}
    assert reason.at_least == ("shapes",)
    assert merged([two, two]).reasons[0].at_least == ()
    assert one.reasons[0].at_least == ()


def test_details_that_were_dropped_in_between_are_said_to_be_the_least(summary_of: Callable[..., Summary]) -> None:
    """Of thousands of different ones only the most frequent are remembered."""
    rows = [{"row": n, "reason_code": "email_invalid", "column": "email", "detail": f"{n} a"} for n in range(3000)]
    assert [each.at_least for each in summary_of(*rows).reasons] == [("shapes",)]


def test_every_severity_and_stage_is_summed(summary_of: Callable[..., Summary]) -> None:
    """Each reason of the catalogue finds its place."""
    summary = summary_of(*({"row": n, "reason_code": code} for n, code in enumerate(REASONS)))
    assert {each.code for each in summary.reasons} == set(REASONS)
