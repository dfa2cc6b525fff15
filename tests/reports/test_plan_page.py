"""The page of a plan: each order once in the chart and once in the table, however many partitions there are."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from xcapi_dagster.partitions.forecast import Forecast
from xcapi_dagster.reports.pages.plan import plan_page

HOSTILE = '<script>alert("1")</script>'


def forecasts(count: int) -> list[dict[str, Any]]:
    """Partitions of 18 orders, of which five would be sent."""
    return [
        Forecast(
            partition=f"{1000 + number}",
            read=18,
            invalid=1,
            suppressed=1,
            duplicate=1,
            already_accepted=3,
            would_send=5,
            rejected=1,
            unknown=1,
            held=1,
            too_late=2,
            changed=1,
            pending=1,
            requests=1,
        ).as_dict()
        for number in range(count)
    ]


def marks_of(page: str) -> list[str]:
    """What the chart's marks say."""
    svg = page[page.index("<svg") : page.index("</svg>") + len("</svg>")]
    return [str(mark.findtext("title")) for mark in ET.fromstring(svg).iter() if "mark" in mark.get("class", "")]


@pytest.mark.parametrize("count", [1, 7, 400, 401, 1827])  # the last: five years of days
def test_every_order_is_in_the_chart_once(count: int) -> None:
    """In five parts, of as many columns as can be told apart; the headline has the sums."""
    page = plan_page("shop", forecasts(count), [("a", "b")])
    told = [re.fullmatch(r"(.+): ([\d,]+) (.+)", words) for words in marks_of(page)]
    sums: dict[str, int] = {}
    for each in told:
        assert each
        sums[each[3]] = sums.get(each[3], 0) + int(each[2].replace(",", ""))
    assert sums == {
        "would be sent": 5 * count,
        "accepted already": 3 * count,
        "invalid or rejected": 2 * count,
        "in doubt, changed, or too late": 6 * count,
        "withheld, or a duplicate": 2 * count,
    }
    assert len(told) <= 5 * 400
    assert f"{5 * count:,} of {18 * count:,} orders would be sent, in {count:,} requests" in page
    assert ("stand together" in page) == (count > 400)


def test_hostile_names_stay_words() -> None:
    """A partition and a fact that hold markup."""
    rows = [row | {"partition": HOSTILE} for row in forecasts(2)]
    page = plan_page(HOSTILE, rows, [(HOSTILE, HOSTILE)])
    assert HOSTILE not in page
    assert page.count("<script>") == 1
