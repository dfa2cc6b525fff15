"""`xcapi held`: what an operator must decide about, and the decision."""

import json
import sys
from collections.abc import Sequence
from typing import Any, cast

import click
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from xcapi_dagster import resources
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.operator import at, ledger_of, operator, plain, why_option
from xcapi_dagster.cli.tables import output
from xcapi_dagster.delivery.doubt import Doubt, Resolution, doubts, resolve
from xcapi_dagster.delivery.standing import Policy
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.parquet import parquet_file
from xcapi_dagster.settings import Settings

_ORDERS_OF = ["order_id", "conversion_id", "event_id", "conversion_time", "value", "currency", "state", "request_id"]


@click.group()
def held() -> None:
    """Orders of which nobody but you can say whether X has them."""


@held.command("list")
@instance_options
@click.option("--partition", metavar="KEY", help="Only of this partition.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(instance: ChosenInstance, partition: str | None, *, as_json: bool) -> None:
    """List the requests with orders that wait for a decision, the oldest first."""
    with ledger_of(instance) as (ledger, settings):
        found, now = doubts(ledger, _policy(settings), partition), ledger.now()
    if as_json:
        click.echo(json.dumps([_as_json(doubt) for doubt in found]))
    elif not found:
        click.echo("Nothing is held.")
    else:
        output().print(_table(found, now))
        click.echo(
            f"Look at the days in Ads Manager, then: xcapi held resolve{instance.options} REQUEST "
            "--as accepted|lost|resend --why …"
        )


@held.command()
@click.argument("request", type=int)
@instance_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(request: int, instance: ChosenInstance, *, as_json: bool) -> None:
    """Show one request, and its orders as the results of its partition name them."""
    with ledger_of(instance) as (ledger, settings):
        doubt = _chosen(doubts(ledger, _policy(settings)), [request])[0]
        orders = _orders_of(doubt, resources.outputs_of(settings))
    if as_json:
        click.echo(json.dumps(_as_json(doubt) | {"orders": orders}, default=str))
        return
    told = doubt.request
    click.echo(f"request {told.id} of partition {told.partition}: {doubt.conversions} orders, {plain(doubt.why)}")
    status, debug_id = told.http_status or "none", told.debug_id or "none"
    click.echo(f"first sent {at(told.first_sent_at)}, status {status}, debug id {debug_id}")
    for order in orders:
        click.echo(f"  {plain(order['order_id'])}  {order['value']} {order['currency']}  {order['conversion_time']}")


@held.command("resolve")
@click.argument("requests", type=int, nargs=-1)
@instance_options
@click.option("--all", "everything", is_flag=True, help="All that `xcapi held list` shows.")
@click.option("--partition", metavar="KEY", help="All of this partition.")
@click.option(
    "--as",
    "resolution",
    required=True,
    type=click.Choice(["accepted", "lost", "resend"]),
    help="X has them; X never got them, send them as new; nobody knows, send them once more with the same ids.",
)
@why_option
def resolve_(
    requests: Sequence[int],
    instance: ChosenInstance,
    *,
    everything: bool,
    partition: str | None,
    resolution: str,
    why: str,
) -> None:
    """Decide what became of held orders. Sends nothing: the next sync does."""
    if sum([bool(requests), everything, partition is not None]) != 1:
        raise click.UsageError("give request numbers, --partition or --all")
    with ledger_of(instance) as (ledger, settings):
        found = doubts(ledger, _policy(settings), partition)
        chosen = _chosen(found, requests) if requests else found
        count = resolve(ledger, chosen, cast("Resolution", resolution), by=operator(), why=why)
    click.echo(f"{count} orders of {len(chosen)} requests: {resolution}.")
    for key in sorted({doubt.request.partition for doubt in chosen}):
        click.echo(f"Next: xcapi sync{instance.options} --partition {key}")
    sys.exit(0 if chosen else 1)


def _policy(settings: Settings) -> Policy:
    return resources.terms_of(settings, is_history=False).policy


def _chosen(found: Sequence[Doubt], requests: Sequence[int]) -> list[Doubt]:
    by_id = {doubt.request.id: doubt for doubt in found}
    if unknown := [str(request) for request in requests if request not in by_id]:
        raise ConfigurationError(f"request {', '.join(unknown)} is not held; see `xcapi held list`")
    return [by_id[request] for request in requests]


def _orders_of(doubt: Doubt, outputs: Outputs) -> list[dict[str, Any]]:
    """The orders whose latest request it is, as the partition's results say; empty where these are not there."""
    path = outputs.path("upload_results", doubt.request.partition)
    if not path.exists():
        return []
    with parquet_file(path) as parquet:
        results = parquet.read(columns=_ORDERS_OF)
    rows: list[dict[str, Any]] = results.filter(pc.equal(results["request_id"], doubt.request.id)).to_pylist()
    return rows


def _as_json(doubt: Doubt) -> dict[str, Any]:
    told = doubt.request
    return {
        "request_id": told.id,
        "partition": told.partition,
        "orders": doubt.conversions,
        "state": told.state,
        "first_sent_at": told.first_sent_at,
        "http_status": told.http_status,
        "debug_id": told.debug_id,
        "why": doubt.why,
    }


def _table(found: Sequence[Doubt], now: float) -> Table:
    table = Table(title="Held for your decision")
    for heading in ("request", "partition", "orders", "first sent", "hours ago", "why"):
        table.add_column(heading, justify="right" if heading in ("request", "orders", "hours ago") else "left")
    for doubt in found:
        told = doubt.request
        hours = f"{(now - told.first_sent_at) / 3600:,.1f}"
        row = (told.id, told.partition, doubt.conversions, at(told.first_sent_at), hours, doubt.why)
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table
