"""Partitions run with progress shown, and what became of their orders, for people or for programs."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence

import click
import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from xcapi_dagster.cli.tables import output
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.resources import outputs_of
from xcapi_dagster.runs import Project, Ran
from xcapi_dagster.settings import Settings

told = Console(stderr=True)  # what is for people; results go to standard output


def run(project: Project, partitions: Sequence[str], instance: dg.DagsterInstance, *, per_run: int) -> list[Ran]:
    """Materialize ``partitions``, some in each run, showing progress; a run that is stopped is the last."""
    runs = [partitions[start : start + per_run] for start in range(0, len(partitions), per_run)]
    outcomes: list[Ran] = []
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=told, transient=not told.is_terminal) as progress:
        task = progress.add_task("partitions", total=len(partitions), rate="")
        started, orders = time.monotonic(), 0
        for run in runs:
            progress.update(task, description=run[0] if len(run) == 1 else f"{run[0]} … {run[-1]}")
            outcomes.append(project.materialize(run, instance, lambda line: progress.update(task, description=line)))
            orders += sum(counts.read for counts in outcomes[-1].counts.values())
            rate = f"{orders:,} orders, {orders / (time.monotonic() - started):,.0f}/s"
            progress.update(task, advance=len(run), rate=rate)
            if outcomes[-1].is_stopped:
                break
    return outcomes


def tell(
    outcomes: Sequence[Ran], settings: Settings, *, as_json: bool, recovered: Mapping[str, int] | None = None
) -> None:
    """Print what became of the orders, and where the files are; what went wrong goes to standard error.

    ``recovered`` tells of a repair how many of the lost orders X has accepted, by partition.
    """
    counts = {key: counted for ran in outcomes for key, counted in ran.counts.items()}
    if as_json:
        for key, counted in counts.items():
            told_of_repair = {} if recovered is None else {"recovered": recovered.get(key, 0)}
            click.echo(json.dumps({"partition": key, **counted.as_dict(), **told_of_repair}))
    elif counts:
        output().print(_table(counts))
        outputs = outputs_of(settings)
        told.print(f"Files: {settings.output_url}/{settings.name}", soft_wrap=True, markup=False)
        if recovered is not None:
            told.print(f"Recovered: {sum(recovered.values()):,} orders")
        told.print(f"Report: {outputs.address(outputs.overview)}", soft_wrap=True, markup=False)
    for note in _notes(outcomes, list(counts.values()), settings):
        click.echo(f"xcapi: {note}", err=True)


def _notes(outcomes: Sequence[Ran], counts: Sequence[Counts], settings: Settings) -> Iterator[str]:
    """What somebody should know or do about it."""
    if without_time := max((ran.without_time for ran in outcomes), default=0):
        yield f"{without_time} orders have no ordered_at that can be read: no partition has them; see `xcapi doctor`"
    if too_late := sum(counted.too_late for counted in counts):
        yield (
            f"{too_late:,} orders are so old that X could not tell them from the pixel's, and were not sent: if "
            "no pixel reported them, set XCAPI_PIXEL_ALSO_FIRES=false"
        )
    if doubtful := sum(counted.unknown + counted.held for counted in counts):
        is_resent = settings.on_unknown == "resend" and not any(counted.held for counted in counts)
        todo = "sync again to send them once more, with the same ids" if is_resent else "see `xcapi held list`"
        yield f"of {doubtful:,} orders nobody knows whether X has them: {todo}"
    for ran in outcomes:
        yield from (f"warning: {warning}" for warning in ran.warnings)
        yield from (*ran.failures, *ran.failed_checks)


def _table(counts: Mapping[str, Counts]) -> Table:
    """One row for each partition and a sum; columns in which nothing happened anywhere are left out."""
    table = Table(title="What became of the orders")
    table.add_column("partition", no_wrap=True, min_width=max(map(len, counts)))
    total = {name: sum(each.as_dict()[name] for each in counts.values()) for name in Counts().as_dict()}
    shown = [name for name, number in total.items() if number or name in ("read", "accepted", "requests")]
    for name in shown:
        table.add_column(name.replace("_", " "), justify="right")
    for key, counted in counts.items():
        table.add_row(key, *(f"{counted.as_dict()[name]:,}" for name in shown))
    table.add_section()
    table.add_row("all", *(f"{total[name]:,}" for name in shown), style="bold")
    return table
