"""Match readiness: the documented formula, by an independent calculation, and what would raise it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.reports.identifiers import Identifiers
from xcapi_dagster.reports.readiness import best_changes, readiness
from xcapi_dagster.reports.summary import AGE_EDGES, ReasonSummary, Summary
from xcapi_dagster.reports.worth import Amount, Worth


def worth(orders: int, usd: int | None = None) -> Worth:
    return (
        Worth(orders=orders, unvalued=orders)
        if usd is None
        else Worth(orders=orders, amounts={"USD": Amount(orders, Decimal(usd))})
    )


def partition(groups: dict[str, Worth], **fields: Any) -> Summary:
    """A partition whose conversions, all accepted, have these identifiers."""
    read = sum(groups.values(), Worth())
    found = Identifiers(groups=groups, **fields.pop("found", {}))
    return Summary(partition="2026-11-01", states={"accepted": read}, identifiers=found, **fields)


@pytest.mark.parametrize(
    ("group", "score"),
    [
        ("twclid", 95.0),
        ("hashed_email", 70.0),
        ("hashed_phone_number", 55.0),
        ("ip_address+user_agent", 15.0),
        ("user_agent", 0.0),
        ("hashed_email+hashed_phone_number", 86.5),  # 1 - 0.3 * 0.45
        ("hashed_email+ip_address+user_agent", 74.5),  # 1 - 0.3 * 0.85
        ("twclid+hashed_email+hashed_phone_number+ip_address+user_agent", 98.85),  # 1 - 0.05 * 0.3 * 0.45 * 0.85 …
    ],
)
def test_the_score_is_the_documented_one(group: str, score: float) -> None:
    """One minus the chance that every identifier fails."""
    exact = 100 * (1 - 0.05 * 0.3 * 0.45 * 0.85) if "twclid+" in group else score
    assert readiness(partition({group: worth(10)})).by_count == pytest.approx(exact)


def test_value_weighs_as_count_does() -> None:
    """One order of 90 with a click id, nine of 10 with a phone alone: half of the value, a tenth of the orders."""
    found = readiness(partition({"twclid": worth(1, 90), "hashed_phone_number": worth(9, 90)}))
    assert found.by_count == pytest.approx(95 * 0.1 + 55 * 0.9)
    assert found.by_value == pytest.approx(95 * 0.5 + 55 * 0.5)


def test_an_order_that_cannot_be_matched_counts_as_nothing() -> None:
    """It was rejected for want of an identifier: leaving it out would make the score better."""
    lost = ReasonSummary(code="no_identifier", worth=worth(10))
    assert readiness(partition({"twclid": worth(10)}, reasons=(lost,))).by_count == pytest.approx(95 / 2)


def test_a_shared_or_mistyped_address_counts_as_none() -> None:
    """Of ten e-mail addresses five are a shop's own and one is at gmial.com: four are left."""
    found = {"shared": {"hashed_email": 5}, "mistyped_domains": 1}
    assert readiness(partition({"hashed_email": worth(10)}, found=found)).by_count == pytest.approx(70 * 0.4)


def test_age_takes_a_little() -> None:
    """A twentieth from 24 hours on, a tenth from 48."""
    ages = tuple({0: 1, 24: 1, 48: 2}.get(age, 0) for age in AGE_EDGES)
    found = readiness(partition({"twclid": worth(4)}, ages=ages))
    assert found.by_count == pytest.approx(95 * (1 + 0.95 + 0.9 + 0.9) / 4)


def test_nothing_to_match_has_no_score() -> None:
    """A partition without orders, and one without values."""
    assert readiness(Summary(partition="2026-11-01")) == (None, None)
    assert best_changes(Summary(partition="2026-11-01")) == ()
    assert readiness(partition({"twclid": worth(1)})).by_value is None


def test_the_changes_are_those_that_bring_most() -> None:
    """Ten orders with a phone alone; four addresses were dropped as invalid: mending them, then giving the others."""
    dropped = ReasonSummary(code="email_invalid", worth=worth(4), columns={"email": 4})
    changes = best_changes(partition({"hashed_phone_number": worth(10)}, reasons=(dropped,)))
    gain = 100 * (0.865 - 0.55)  # of an e-mail address beside a phone number
    assert [(change.name, change.orders) for change in changes] == [
        ("give hashed_email", 6),
        ("mend hashed_email", 4),
        ("give twclid", 10),
    ]
    assert changes[0].points == pytest.approx(gain * 0.6 * 0.9)
    assert changes[1].points == pytest.approx(gain * 0.4)
    assert changes[2].points == pytest.approx(100 * (1 - 0.05 * 0.45 - 0.55) * 0.2)


def test_history_is_not_told_to_hurry() -> None:
    """Orders a month old were backfilled: no schedule could have sent them sooner."""
    late = {age: tuple(10 if edge == age else 0 for edge in AGE_EDGES) for age in (36, 720)}
    names = {
        age: [change.name for change in best_changes(partition({"twclid": worth(10)}, ages=late[age]))] for age in late
    }
    assert "send sooner" in names[36]
    assert "send sooner" not in names[720]


groups = st.dictionaries(
    st.sampled_from(["twclid", "hashed_email", "hashed_phone_number", "ip_address+user_agent", "user_agent"]),
    st.tuples(st.integers(1, 50), st.integers(1, 10_000)).map(lambda drawn: worth(*drawn)),
    min_size=1,
)


@given(groups, st.integers(0, 60))
def test_a_score_is_a_score_and_no_change_leaves_the_scale(groups: dict[str, Worth], shared: int) -> None:
    """From 0 to 100, whatever is shared; what a change promises fits between the score and 100."""
    summary = partition(groups, found={"shared": {"hashed_email": shared}, "mistyped_domains": shared})
    found = readiness(summary)
    assert 0 <= (found.by_count or 0) <= 100
    assert found.by_value is not None
    for change in best_changes(summary):
        assert 0 < change.points <= 100 - found.by_value + 1e-9
