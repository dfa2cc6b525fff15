"""`xcapi purge`: what has expired goes, and what is left tells of nothing that went."""

import os
from collections.abc import Callable

import pytest
from click.testing import Result

from tests.cli.conftest import Instance
from xcapi_dagster import resources
from xcapi_dagster.reports.pages import write_overview
from xcapi_dagster.reports.summary import Summary
from xcapi_dagster.reports.worth import Worth

Xcapi = Callable[..., Result]


@pytest.mark.parametrize("words", [("--dry-run",), ()])
def test_the_overview_tells_of_no_report_that_is_gone(
    xcapi: Xcapi, instance: Instance, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Of two partitions the older one expires; a dry run leaves both."""
    outputs = resources.outputs_of(instance.settings)
    for day in ("2026-11-01", "2026-11-02"):
        summary = Summary(partition=day, states={"accepted": Worth(orders=10)})
        outputs.write_text(outputs.path("summary", day), summary.model_dump_json())
    os.utime(outputs.path("summary", "2026-11-01"), (0, 0))
    write_overview(outputs)
    monkeypatch.setenv("XCAPI_KEEP_REPORTS_DAYS", "30")

    assert xcapi("purge", *words).exit_code == 0
    told = outputs.overview.read_text(encoding="utf-8")
    assert ("2026-11-01.html" in told, "2026-11-02.html" in told) == (bool(words), True)
    assert ("All 20 orders reached X." in told, "All 10 orders reached X." in told) == (bool(words), not words)
