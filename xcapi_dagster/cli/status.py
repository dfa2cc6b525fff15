"""`xcapi status`."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.table import Table

from xcapi_dagster import resources
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.tables import output
from xcapi_dagster.partitions.watch import Watched, watch
from xcapi_dagster.reports.history import History
from xcapi_dagster.runs import BUNDLED_PROJECT, Project

_LATEST = 14  # partitions, unless others are asked for


@click.command()
@click.option("--from", "first", metavar="KEY", help="The first partition; without, the latest 14 that have ended.")
@click.option("--to", "last", metavar="KEY", help="The last partition.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each partition.")
@instance_options
def status(first: str | None, last: str | None, *, as_json: bool, instance: ChosenInstance) -> None:
    """Show what is in the warehouse beside what was settled: late orders, fewer ones, what is open. Nothing is sent.

    Exit status 0: every partition is settled; 1: a sync would find something, or an operator has to decide; 2: a
    setting or the ledger is wrong, so that a sync would send nothing.
    """
    if (first is None) != (last is None):
        raise click.UsageError("give --from and --to, or neither")
    settings = instance.settings()
    resources.check(settings)
    project = Project(instance.module or BUNDLED_PROJECT, instance.name)
    summaries = History.of(resources.outputs_of(settings)).of_scope(resources.destination_of(settings).scope)
    kept = resources.keep_of(settings).reports
    kept_since = datetime.now(UTC) - kept if kept else None

    def watched(keys: Sequence[str]) -> list[Watched]:
        return list(watch(project.windows(keys), resources.warehouse_of(settings), summaries, kept_since))

    found = watched(project.partitions(first, last) if first and last else project.latest(_LATEST))
    synced = project.latest(_LATEST, among=summaries)
    if first is None and synced and all(each.is_empty for each in found):
        click.echo(
            f"The latest {len(found)} partitions have no orders: these are the latest that were synced.", err=True
        )
        found = watched(synced)
    if as_json:
        for each in found:
            click.echo(json.dumps(each.as_dict(), default=str))
    else:
        output().print(_table(found))
        _tell_differences([each for each in found if each.read is not None], instance)
    sys.exit(0 if all(each.is_settled for each in found) else 1)


def _tell_differences(synced: Sequence[Watched], instance: ChosenInstance) -> None:
    """What to do about orders that came or went since ``synced`` partitions were."""
    if late := [each.partition for each in synced if each.difference > 0]:
        click.echo(f"Late orders: xcapi sync{instance.options} --from {late[0]} --to {late[-1]}")
    if fewer := [each.partition for each in synced if each.difference < 0]:
        click.echo(
            f"Fewer orders than were synced, from {fewer[0]} to {fewer[-1]}: find out why they went, or whether they "
            "moved to another partition. What X accepted of them stays there"
        )


def _table(found: Sequence[Watched]) -> Table:
    table = Table(title="In the warehouse, and settled")
    table.add_column("partition", no_wrap=True)
    for heading in ("orders now", "synced", "accepted", "lost", "left out", "too late", "pending", "unknown", "held"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for each in found:
        counts = (each.accepted, each.lost, each.left_out, each.too_late, each.pending, each.unknown, each.held)
        numbers = (each.in_warehouse, each.read, *counts)
        table.add_row(each.partition, *("–" if number is None else f"{number:,}" for number in numbers), each.told)
    return table
