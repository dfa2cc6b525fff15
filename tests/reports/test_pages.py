"""What the pages of one partition and of all say, and where their links lead."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from upath import UPath

from xcapi_dagster.conversions.schema import REJECTION_REPORT
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions.forecast import Forecast
from xcapi_dagster.reports.history import History
from xcapi_dagster.reports.pages import write_overview, write_page
from xcapi_dagster.reports.pages.overview import overview_page
from xcapi_dagster.reports.pages.partition import partition_page
from xcapi_dagster.reports.pages.plan import plan_page
from xcapi_dagster.reports.repairs import Repaired, note
from xcapi_dagster.reports.summary import ReasonSummary, Summary
from xcapi_dagster.reports.worth import Worth

STATES = (
    "accepted", "changed", "duplicate", "held", "invalid", "pending", "rejected", "suppressed", "too_late", "unknown"
)  # fmt: skip
CODES = {
    "held": "unknown_outcome",
    "invalid": "no_identifier",
    "suppressed": "consent_denied",
    "too_late": "too_late_to_deduplicate",
}


@pytest.fixture
def details(tmp_path: Path, write_partition: Callable[..., tuple[Outputs, Summary]]) -> Outputs:
    """Two partitions: of six details of the first one, the least frequent is the only one of the second."""
    six = [{"reason_code": "email_invalid", "detail": f"{n} characters"} for n in range(1, 7) for _ in range(n, 8)]
    write_partition(tmp_path, "2026-11-01", *six)
    outputs, _ = write_partition(
        tmp_path, "2026-11-02", *[{"reason_code": "email_invalid", "detail": "6 characters"}] * 4
    )
    return outputs


def test_the_overview_says_which_counts_are_the_least(details: Outputs) -> None:
    """Six of a kind, of which a page of a partition hides two and shows four: the overview says at least four."""
    write_overview(details)
    overview = details.overview.read_text(encoding="utf-8")
    assert '6 characters</bdi> <span class="muted">\N{MULTIPLICATION SIGN} at least 4</span>' in overview
    history = History.of(details)
    write_page(history.all[1], history, details)
    page = details.path("rejection_page", "2026-11-02").read_text(encoding="utf-8")
    assert '6 characters</bdi> <span class="muted">\N{MULTIPLICATION SIGN} 4</span>' in page


def some(*states: str) -> Summary:
    """A partition with an order in each of these states, and the reasons that these have."""
    reasons = [ReasonSummary(code=CODES[state], worth=Worth(orders=1)) for state in states if state in CODES]
    return Summary(
        partition="2026-11-20", states=dict.fromkeys(states, Worth(orders=1)), reasons=tuple(reasons), ages=(1,) * 11
    )


def dead_links(page: str) -> set[str]:
    """The places in the page itself that its links name and that are not there."""
    links = set(re.findall(r'href="#([^"]*)"', page))
    assert "main" in links
    return links - set(re.findall(r'\sid="([^"]+)"', page))


@pytest.mark.parametrize("states", [(), ("accepted",), ("pending",), ("pending", "held"), STATES], ids="-".join)
def test_every_link_within_a_page_leads_somewhere(tmp_path: Path, states: tuple[str, ...]) -> None:
    """Whatever became of the orders, on both pages; orders that wait for the next run have no reason."""
    outputs, summary = Outputs(UPath(tmp_path), "purchases"), some(*states)
    rows = REJECTION_REPORT.empty_table()
    for earlier in ([], [summary.model_copy(update={"partition": "2026-11-19"})]):
        assert dead_links(partition_page(summary, earlier, rows, outputs)) == set()
        assert dead_links(overview_page([*earlier, summary], outputs)) == set()


def test_links_of_pages_without_partitions_lead_somewhere(tmp_path: Path) -> None:
    """An overview before the first sync, and a plan."""
    assert dead_links(overview_page([], Outputs(UPath(tmp_path), "purchases"))) == set()
    assert dead_links(plan_page("purchases", [Forecast(partition="2026-11-20").as_dict()], [])) == set()


def test_what_was_recovered_leads_to_pages_that_are_there(tmp_path: Path) -> None:
    """What a repair brought back is told for longer than a report may be kept."""
    outputs, summary = Outputs(UPath(tmp_path), "purchases"), some("accepted")
    note(outputs, [Repaired("2026-11-30", "no_identifier", day, 4, 3) for day in ("2026-01-01", summary.partition)])
    page = overview_page([summary], outputs)
    recovered = page[page.index('id="recovered"') :].partition("</table>")[0]
    assert re.findall('href="([^"]*)"', recovered) == ["2026-11-20.html"]
    assert "2026-01-01" in recovered


def test_orders_that_were_too_late_are_in_the_table_of_partitions(tmp_path: Path) -> None:
    """A partition of history that was left to the pixel is not one of which nothing became."""
    page = overview_page([some("too_late")], Outputs(UPath(tmp_path), "purchases"))
    table = page[page.index('id="partition-table"') :].partition("</table>")[0]
    headings = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', table)
    cells = dict(zip(headings[1:], re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", table, re.DOTALL), strict=True))
    told = {name: cells[name] for name in ("Read", "Delivered", "Lost", "Waiting", "Too late", "Withheld")}
    assert told == dict.fromkeys(told, "0") | {"Read": "1", "Too late": "1"}
    assert "Too late" not in overview_page([some("accepted")], Outputs(UPath(tmp_path), "purchases"))
