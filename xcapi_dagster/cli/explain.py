"""`xcapi explain`."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from xcapi_dagster import resources
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.operator import at, plain
from xcapi_dagster.delivery.forgotten import tombstone_of
from xcapi_dagster.partitions.story import Sighting, story_of
from xcapi_dagster.reports.pages.formats import amount

_LONGEST = 200  # characters of what somebody else wrote


@click.command()
@click.argument("order_id")
@instance_options
@click.option("--json", "as_json", is_flag=True, help="Print an array with an object for each partition it was in.")
def explain(order_id: str, instance: ChosenInstance, *, as_json: bool) -> None:
    """Tell the whole story of one order: where it was seen, what was found, what X said, what comes next.

    Exit status 0: some file or the ledger tells of it; 1: nothing does, it was in no partition that was synced, or is
    forgotten.
    """
    settings = instance.settings()
    policy = resources.terms_of(settings, is_history=False).policy
    order_id = order_id.strip()
    if not order_id:
        raise click.UsageError("give the id of an order")
    ledger = resources.ledger_view_of(settings)
    now, outputs = datetime.now(UTC).timestamp(), resources.outputs_of(settings)
    found = story_of(order_id, outputs, ledger, policy, now, settings.event_id)
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in found], indent=2, default=str))
    elif found:
        click.echo("\n\n".join("\n".join(_lines(each, order_id)) for each in found))
    elif (tombstone := tombstone_of(ledger, order_id)) and tombstone.settled_at:
        click.echo(f"It was forgotten on {at(tombstone.settled_at)} by {plain(tombstone.decided_by)}.")
    elif (forgotten := resources.forgotten_of(settings)) and forgotten.among([order_id])[0]:
        click.echo("It was forgotten while the instance sent to another pixel.")
    else:
        click.echo(
            f"No file tells of {plain(order_id)[:_LONGEST]}: `xcapi sync` the day of the order; if that was done, look "
            "whether the query gives it, under this id and with an ordered_at that can be read. If it was sent with a "
            "conversion_id of its own and is in no query any more, ask for that: the ledger knows no other id"
        )
    sys.exit(0 if found else 1)


def _as_json(sighting: Sighting) -> dict[str, object]:
    reasons, told = sighting.reasons, sighting.result
    return {"partition": sighting.partition, **told, "reasons": reasons, "ledger": sighting.ledger} | {
        "next_run": sighting.next_run
    }


def _lines(sighting: Sighting, order_id: str) -> Iterator[str]:
    told = sighting.result
    yield f"{plain(order_id)[:_LONGEST]} in {plain(sighting.partition)}: {sighting.state}"
    if told["conversion_time"]:
        worth = f", {amount(told['currency'], told['value'])}" if told["value"] is not None else ""
        yield f"  ordered    {told['conversion_time']:%Y-%m-%d %H:%M:%S} UTC{worth}"
    if told["conversion_id"]:
        event = f", event {plain(told['event_id'])}" if told["event_id"] else ""
        yield f"  conversion {plain(told['conversion_id'])[:_LONGEST]}{event}"
    for reason in sighting.reasons:
        yield f"  {reason['severity']:<10} {reason['reason_code']}: {reason['meaning']}"
        where = ", ".join(plain(reason[name])[:_LONGEST] for name in ("column", "detail") if reason[name])
        if where:
            yield f"  {'':<10} {where}"
        yield f"  {'':<10} {reason['fix']}"
    if told["request_id"]:
        sent = f", first sent {told['first_sent_at']:%Y-%m-%d %H:%M:%S} UTC" if told["first_sent_at"] else ""
        yield f"  request    {told['request_id']}, status {told['http_status'] or 'none'}{sent}"
        yield f"  debug id   {plain(told['debug_id'] or 'none')}"
    if known := sighting.ledger:
        by = f", decided by {plain(known['decided_by'])}" if known.get("decided_by") else ""
        first = f", first sent {at(known['first_sent_at'])}" if known.get("first_sent_at") else ""
        yield f"  ledger     {known['state']} (request {known['request_id']}){first}{by}"
    else:
        yield "  ledger     was never sent"
    yield f"  next run   {sighting.next_run}"
