"""What the pages of one partition and of all say, and where their links lead."""

from collections.abc import Callable
from pathlib import Path

import pytest

from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports.history import History
from xcapi_dagster.reports.pages import write_overview, write_page
from xcapi_dagster.reports.summary import Summary

Write = Callable[[Path, Summary], str]


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
    overview = details.overview.read_text()
    assert '6 characters</bdi> <span class="muted">\N{MULTIPLICATION SIGN} at least 4</span>' in overview
    history = History.of(details)
    write_page(history.all[1], history, details)
    page = details.path("rejection_page", "2026-11-02").read_text()
    assert '6 characters</bdi> <span class="muted">\N{MULTIPLICATION SIGN} 4</span>' in page
