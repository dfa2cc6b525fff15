"""`xcapi ledger`: what the ledger knows, and an operator's word where it must not send without one."""

import json
from contextlib import closing

import click
from rich.table import Table

from xcapi_dagster import resources
from xcapi_dagster.assets import latest_stamps
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.operator import at, ledger_of, operator, why_option
from xcapi_dagster.cli.tables import output
from xcapi_dagster.delivery.database import Database, Stamp
from xcapi_dagster.delivery.overview import overview
from xcapi_dagster.delivery.safeguards import accept_destination, accept_stamps, unknown_stamps
from xcapi_dagster.partitions.relearn import relearn
from xcapi_dagster.partitions.stamp import write_stamp
from xcapi_dagster.runs import dagster_instance
from xcapi_dagster.settings import Settings

_LABELS = {"conversions": "conversions in them"}  # one that is sent again is in two requests


@click.group()
def ledger() -> None:
    """The memory of what was sent."""


@ledger.command()
@instance_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(instance: ChosenInstance, *, as_json: bool) -> None:
    """Show what the ledger knows: requests, runs under way, the limit, where instances send."""
    settings = instance.settings()
    resources.check_ledger(settings)
    with closing(Database(settings.ledger_url)) as database:
        told = overview(database)
        behind = unknown_stamps(database, resources.destination_of(settings), _stamps(settings))
    facts = told._asdict() | {"knows_all_that_was_sent": not behind}
    if as_json:
        click.echo(json.dumps(facts))
        return
    table = Table(title="The ledger", show_header=False)
    for fact, value in facts.items():
        table.add_row(_LABELS.get(fact, fact.replace("_", " ")), _shown(value))
    output().print(table)


@ledger.command("accept-scope")
@instance_options
@why_option
def accept_scope(instance: ChosenInstance, why: str) -> None:
    """Agree that the instance sends to the pixel and default event that are set now."""
    settings = instance.settings()
    resources.check_ledger(settings)
    destination = resources.destination_of(settings)
    with closing(Database(settings.ledger_url)) as database:
        accept_destination(database, destination, by=operator(), why=why)
    click.echo(
        f"{settings.name} sends to the pixel {settings.pixel_id}, default event {destination.event_id}, from now on."
    )


@ledger.command("accept-restored")
@instance_options
@why_option
def accept_restored(instance: ChosenInstance, why: str) -> None:
    """Agree that this ledger takes the place of one that was lost or is newer.

    It learns from the instance's files what was accepted. What was sent after the last file was written, and what the
    latest results do not list since the query gave fewer orders, it cannot know: such orders would go out again, with
    the same conversion ids.
    """
    settings = instance.settings()
    destination = resources.destination_of(settings)
    with closing(Database(settings.ledger_url)) as database:
        unknown = unknown_stamps(database, destination, _stamps(settings))
        if not unknown:
            click.echo("The ledger knows all that was sent: there is nothing to accept.")
            return
    outputs = resources.outputs_of(settings)
    with ledger_of(instance) as (entered, _):
        accepted, held = relearn(entered, outputs, by=operator(), why=why)
        with closing(Database(settings.ledger_url)) as database:
            accept_stamps(database, destination, unknown, by=operator(), why=why)
        write_stamp(outputs, entered.stamp())
    click.echo(f"Learned from the files: {accepted:,} orders that X accepted, {held:,} in doubt, which are held.")


def _stamps(settings: Settings) -> list[Stamp]:
    """What files and materializations say of the ledger that they were written with."""
    with dagster_instance(settings) as instance:
        return [*resources.stamps_of_files(settings), *latest_stamps(instance, settings.name)]


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{number:,} {what}" for what, number in value.items()) or "none"
    if isinstance(value, list):
        return "\n".join(map(str, value)) or "none"
    if isinstance(value, float):
        return at(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
