"""The report as pages: one for each partition, one over all of them. Each is a single file of HTML.

It opens from a disk or an object store, without a network: styles, script and charts are in it, and a policy in it
forbids everything else.
"""

from upath import UPath

from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports.history import History, list_summaries
from xcapi_dagster.reports.pages.overview import overview_page
from xcapi_dagster.reports.pages.partition import partition_page
from xcapi_dagster.reports.pages.samples import rows_to_show
from xcapi_dagster.reports.summary import Summary

_ATTEMPTS = 5


def write_page(summary: Summary, history: History, outputs: Outputs) -> None:
    """Write the page of a partition, whose report and summary are there; ``history`` is what it is compared with."""
    rows = rows_to_show(outputs.path("rejection_report", summary.partition), summary)
    page = partition_page(summary, history.before(summary.partition), rows, outputs)
    outputs.write_text(outputs.path("rejection_page", summary.partition), page)


def write_range(first: str, last: str, history: History, outputs: Outputs) -> UPath:
    """Write a page like the overview over the partitions from ``first`` to ``last`` alone, and say where it is."""
    target = outputs.range_page(first, last)
    outputs.write_text(target, overview_page(history.all, outputs, first, last))
    return target


def write_overview(outputs: Outputs) -> None:
    """Write the overview anew from all summaries.

    Another run may add a summary meanwhile and have written its overview before this one. So it is written until no
    summary has changed since they were read: whoever is last has seen everything.
    """
    for _ in range(_ATTEMPTS):
        seen = list_summaries(outputs)
        outputs.write_text(outputs.overview, overview_page(History.of(outputs).all, outputs))
        if list_summaries(outputs) == seen:
            return
