"""The sentence that is read first: it claims nothing that nobody knows, and calls nothing lost that is not."""

from decimal import Decimal

import pytest

from xcapi_dagster.reports.pages.partition import headline, tiles
from xcapi_dagster.reports.pages.reasons import SECTIONS, section_of
from xcapi_dagster.reports.summary import Summary
from xcapi_dagster.reports.worth import Amount, Worth


def worth(orders: int) -> Worth:
    return Worth(orders=orders, amounts={"USD": Amount(orders, Decimal(10 * orders))})


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ({}, "There were no orders to read."),
        ({"accepted": 1}, "The one order reached X."),
        ({"accepted": 8, "changed": 1}, "All 9 orders reached X."),
        ({"accepted": 8, "invalid": 1, "rejected": 1}, "8 of 10 orders reached X. 2 are lost, worth USD 20."),
        ({"accepted": 8, "pending": 2}, "8 of 10 orders reached X. 2 are waiting for the next run."),
        (
            {"unknown": 8, "held": 1, "invalid": 1},
            "0 of 10 orders are known to have reached X. One is lost, worth USD 10. 9 are in doubt.",
        ),
        (
            {"accepted": 4, "too_late": 6},
            "4 of 10 orders reached X. 6 are too late to be told from the pixel's, and left to it.",
        ),
        (
            {"accepted": 7, "suppressed": 1},
            "7 of 8 orders reached X. One is withheld, without consent or forgotten.",
        ),
        (
            {"accepted": 2, "duplicate": 1, "pending": 2},
            "2 of 5 orders reached X. 2 are waiting for the next run. One is replaced by a newer version.",
        ),
    ],
)
def test_the_headline_says_what_is_known(states: dict[str, int], told: str) -> None:
    """Doubt is not loss, and neither is what the pixel has reported."""
    summary = Summary(partition="2026-11-20", states={state: worth(orders) for state, orders in states.items()})
    assert headline(summary) == told


def test_what_is_too_late_has_a_place_of_its_own() -> None:
    """Only where there is some; it is not among what is lost."""
    late = Summary(partition="2026-11-20", states={"accepted": worth(1), "too_late": worth(6)})
    assert {tile.name: tile.orders for tile in tiles(late, "fate")} == {
        "Delivered": 1,
        "Lost": 0,
        "Waiting": 0,
        "Too late": 6,
        "Withheld": 0,
        "Field left out": 0,
    }
    assert section_of("too_late_to_deduplicate") == "late"
    assert section_of("changed_after_acceptance") == "changed"
    assert "Too late" not in [
        tile.name for tile in tiles(Summary(partition="d", states={"accepted": worth(1)}), "fate")
    ]


def test_nothing_is_called_sent_that_may_not_be() -> None:
    """Orders without a field count whatever became of them, here too late and waiting: the words say no more."""
    unsent = Summary(partition="2026-11-20", states={"too_late": worth(3), "pending": worth(2)}, degraded=worth(5))
    assert {tile.name for tile in tiles(unsent, "fate") if tile.orders} == {"Waiting", "Too late", "Field left out"}
    heading, meaning = SECTIONS[section_of("email_invalid")]
    assert "Sent" not in heading + meaning
    assert "whatever became of them" in meaning


def test_the_section_of_what_is_withheld_is_true_of_forgotten_orders() -> None:
    """They had consent, for all that is known: heading and words name both."""
    assert section_of("forgotten") == section_of("consent_denied") == "withheld"
    heading, meaning = SECTIONS["withheld"]
    assert heading == "Withheld"
    assert "agreed" in meaning
    assert "forgotten" in meaning
