"""What runs would do, for people or for programs: the dry run and the plan."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click
from rich.table import Table

from xcapi_dagster import resources
from xcapi_dagster.cli.tables import output
from xcapi_dagster.partitions.forecast import Forecast, seconds_at
from xcapi_dagster.settings import Settings

_NOT_COUNTS = ("partition", "first_conversion", "reasons")


def tell_dry_run(found: Sequence[Forecast], settings: Settings, *, as_json: bool) -> None:
    """Print what the runs would do, and the first payload."""
    limits = resources.limits_of(settings)
    if as_json:
        for each in found:
            seconds = seconds_at(limits, each.would_send, each.requests)
            click.echo(json.dumps(each.as_dict() | {"seconds": seconds}))
        return
    print_table(found, "What a run would do")
    reasons = sum((Counter(each.reasons) for each in found), Counter[str]())
    if reasons:
        told = ", ".join(f"{code} {count:,}" for code, count in reasons.most_common())
        click.echo(
            f"Why orders would not be sent: {told}. See docs/reasons.md, or `xcapi explain-error` with the code."
        )
    total = total_of(found)
    seconds = seconds_at(limits, total["would_send"], total["requests"])
    click.echo(
        f"{total['would_send']:,} conversions in {total['requests']:,} requests: {duration(seconds)} at "
        f"{settings.events_per_15_min:,} events in 15 minutes and {settings.requests_per_min:,} requests a minute."
    )
    if first := next((each.first_conversion for each in found if each.first_conversion), None):
        click.echo("The first of them, without its identifiers:")
        click.echo(json.dumps(first, indent=2, ensure_ascii=True))
    click.echo("Nothing was sent or claimed, and nothing is kept.")


def total_of(found: Sequence[Forecast]) -> dict[str, int]:
    """The sums of all counts."""
    counts = [{name: value or 0 for name, value in _counts(each).items()} for each in found]
    return {name: sum(each[name] for each in counts) for name in _counts(Forecast(partition=""))}


def duration(seconds: float) -> str:
    """How long that is at least, for people."""
    return "at once" if seconds == 0 else f"at least {timedelta(seconds=round(seconds))}"


def print_table(found: Sequence[Forecast], title: str) -> None:
    """One row for each partition and a sum; columns in which nothing is counted anywhere are left out."""
    total = total_of(found)
    shown = [name for name, count in total.items() if count or name in ("read", "would_send", "requests")]
    table = Table(title=title)
    table.add_column("partition", no_wrap=True)
    for name in shown:
        table.add_column(name.replace("_", " "), justify="right")
    for each in found:
        table.add_row(each.partition, *(f"{_counts(each)[name] or 0:,}" for name in shown))
    table.add_section()
    table.add_row("all", *(f"{total[name]:,}" for name in shown), style="bold")
    output().print(table)


def _counts(each: Forecast) -> dict[str, Any]:
    return {name: value for name, value in each.as_dict().items() if name not in _NOT_COUNTS}
