"""`xcapi forget`."""

import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

import click

from xcapi_dagster import resources
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.operator import ledger_of, operator, plain
from xcapi_dagster.contract import EVENT_ID
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.overview import runs_under_way
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.partitions.forget import Traces, traces_of
from xcapi_dagster.partitions.forget import forget as forget_order
from xcapi_dagster.partitions.purge import abandoned, delete


@click.command()
@click.argument("order_id")
@click.option("--event-id", metavar="EVENT", help="What it was sent as, if no file tells and it is not X_ADS_EVENT_ID.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@instance_options
def forget(order_id: str, event_id: str | None, *, yes: bool, instance: ChosenInstance) -> None:
    """Delete what the files hold about one order, and never send or keep it again.

    The ledger keeps a tombstone: who, when, and hashes instead of ids. If X had accepted the order, the ledger goes on
    knowing that too. Exit status 1: runs under way may write it once more, or one that was killed left a file that may
    hold it, so repeat the command as it says.
    """
    order_id = order_id.strip()
    if not order_id:
        raise click.UsageError("give the id of an order")
    if event_id and not EVENT_ID.fullmatch(event_id):
        raise ConfigurationError("--event-id is no id of an event tag, such as o87ne or tw-o8z6j-o87ne")
    with ledger_of(instance) as (ledger, settings):
        outputs = resources.outputs_of(settings)
        _tell(traces_of(order_id, outputs))
        if not yes:
            click.confirm(f"Forget {plain(order_id)[:100]} for good?", abort=True)
        forget_order(order_id, event_id or settings.event_id, ledger, outputs, by=operator())
    click.echo("It is forgotten: no run sends it or keeps anything about it.")
    delete(abandoned(outputs, datetime.now(UTC)))
    unfinished = outputs.unfinished()
    for path in unfinished:
        click.echo(f"{path.name} is being written, or was left by a run that was killed, and may hold it.")
    with closing(Database(settings.ledger_url)) as database:
        if runs_under_way(database):
            click.echo("Runs are under way that may have read it before: repeat this when they have ended.")
            sys.exit(1)
    if unfinished:
        click.echo("Repeat this tomorrow: what nobody has written for a day is deleted.")
        sys.exit(1)


def _tell(found: Sequence[Traces]) -> None:
    """What there is, before anything is done."""
    if not found:
        click.echo("No file holds anything about it.")
    for each in found:
        files = ", ".join(f"{len(rows)} in {kind}" for kind, rows in each.rows.items())
        click.echo(f"{plain(each.partition)}: {files}")
    if any(each.is_accepted for each in found):
        click.echo("X has accepted it. What X holds is not deleted by this: its API has no way to.")
