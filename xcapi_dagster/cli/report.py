"""`xcapi report`."""

import json
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from upath import UPath

from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.tables import output
from xcapi_dagster.errors import ConfigurationError, XConversionsError
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports.history import History
from xcapi_dagster.reports.pages import write_overview, write_page, write_range
from xcapi_dagster.reports.pages.formats import more_currencies
from xcapi_dagster.reports.pages.partition import headline
from xcapi_dagster.reports.pages.reasons import SECTIONS, ReasonView, reason_views
from xcapi_dagster.reports.readiness import readiness
from xcapi_dagster.reports.rejections import write_csv
from xcapi_dagster.reports.summary import Summary, merged
from xcapi_dagster.reports.worth import Worth
from xcapi_dagster.resources import outputs_of
from xcapi_dagster.writing import UnwrittenError

_REASONS_SHOWN = 10
_AMOUNTS_SHOWN = 2


@click.command()
@click.option("--from", "first", metavar="KEY", help="The first partition; all without.")
@click.option("--to", "last", metavar="KEY", help="The last partition.")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each partition.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows to this file.")
@instance_options
def report(
    first: str | None, last: str | None, *, opens: bool, as_json: bool, csv_file: Path | None, instance: ChosenInstance
) -> None:
    """Build the pages of some partitions anew from their files, and one over all of them. Nothing is sent."""
    if (first is None) != (last is None):
        raise click.UsageError("give --from and --to, or neither")
    outputs = outputs_of(instance.settings())
    history = History.of(outputs)
    summaries = [each for each in history.all if not first or (first <= each.partition <= str(last))]
    if not summaries:
        raise ConfigurationError(_nothing_found(history, outputs, first, last))
    page = _build(summaries, history, outputs, first, last)
    if csv_file:
        _write_csv(summaries, outputs, csv_file)
        click.echo(f"The rows are in {csv_file}.", err=True)
    if as_json:
        for summary in summaries:
            click.echo(json.dumps(_as_json(summary)))
    else:
        _tell(merged(summaries), outputs.address(page))
    if opens and not webbrowser.open(outputs.address(page)):
        raise XConversionsError(f"no browser could be started; open {outputs.address(page)}")


def _nothing_found(history: History, outputs: Outputs, first: str | None, last: str | None) -> str:
    if not history.all:
        return f"there is no report yet in {outputs.overview.parent}: run `xcapi sync` first"
    known = history.all[0].partition, history.all[-1].partition
    return f"there is no report from {first} to {last}: there are some from {known[0]} to {known[1]}"


def _build(
    summaries: Sequence[Summary], history: History, outputs: Outputs, first: str | None, last: str | None
) -> UPath:
    """Write the pages; returns where the one over all of them is."""
    for summary in summaries:
        try:
            write_page(summary, history, outputs)
        except FileNotFoundError:
            path = outputs.path("rejection_report", summary.partition)
            raise XConversionsError(f"{path} is missing: sync that partition again") from None
    write_overview(outputs)
    return write_range(first, last, history, outputs) if first and last else outputs.overview


def _write_csv(summaries: Sequence[Summary], outputs: Outputs, target: Path) -> None:
    try:
        write_csv((outputs.path("rejection_report", summary.partition) for summary in summaries), target)
    except UnwrittenError as error:
        raise ConfigurationError(f"--csv: {error}") from None


def _as_json(summary: Summary) -> dict[str, Any]:
    """What became of a partition's orders, and why; amounts are exact, as text."""
    scores = readiness(summary)
    return {
        "partition": summary.partition,
        "headline": headline(summary),
        "states": {state: _worth(worth) for state, worth in summary.states.items()},
        "reasons": [
            {
                "code": view.reason.code,
                "severity": view.reason.severity,
                **_worth(next(each.worth for each in summary.reasons if each.code == view.reason.code)),
                "alone": view.alone,
                "fix": view.reason.fix,
            }
            for view in reason_views(summary.reasons, summary.read, set())
        ],
        "match_readiness": scores.by_count,
        "match_readiness_by_value": scores.by_value,
    }


def _worth(worth: Worth) -> dict[str, Any]:
    amounts = {currency: f"{amount.total:f}" for currency, amount in worth.amounts.items()}
    return {"orders": worth.orders, "worth": amounts, "of_unknown_value": worth.unvalued}


def _told_worth(view: ReasonView) -> list[str]:
    """Amounts that matter most, and how much is left out."""
    told, more = list(view.amounts[:_AMOUNTS_SHOWN]), len(view.amounts) - _AMOUNTS_SHOWN
    if more > 0:
        told.append(more_currencies(more))
    return [*told, f"{view.unvalued:,} of unknown value"] if view.unvalued else told


def _tell(total: Summary, address: str) -> None:
    """The headline and the reasons that cost most, for people."""
    console = output()
    console.print(headline(total), markup=False)
    table = Table()
    table.add_column("")
    table.add_column("reason", no_wrap=True)
    table.add_column("orders", justify="right")
    table.add_column("worth", no_wrap=True)
    table.add_column("fix", overflow="fold")
    views = reason_views(total.reasons, total.read, set())
    for view in views[:_REASONS_SHOWN]:
        worth = "\n".join(_told_worth(view))
        table.add_row(SECTIONS[view.section][0], view.reason.code, f"{view.orders:,}", worth, view.reason.fix)
    if table.row_count:
        console.print(table)
    if (more := len(views) - _REASONS_SHOWN) > 0:
        console.print(f"{more} more {'reason is' if more == 1 else 'reasons are'} in the report.")
    console.print(f"Report: {address}", soft_wrap=True, markup=False)
