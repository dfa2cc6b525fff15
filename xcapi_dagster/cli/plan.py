"""`xcapi plan`."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from xcapi_dagster import resources
from xcapi_dagster.ads_api.tag_plan import of_id
from xcapi_dagster.cli.forecasts import duration, print_table, total_of
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.tables import output
from xcapi_dagster.contract import (
    EVENTS_PER_WINDOW,
    EVENTS_PER_WINDOW_MAX,
    REQUESTS_PER_MINUTE,
    REQUESTS_PER_MINUTE_MAX,
    short_event_id,
)
from xcapi_dagster.delivery.throttle import Limits
from xcapi_dagster.dry_run import forecasts
from xcapi_dagster.errors import AdsApiError, ConfigurationError
from xcapi_dagster.partitions.forecast import Forecast, seconds_at
from xcapi_dagster.reports.pages.plan import plan_page
from xcapi_dagster.runs import BUNDLED_PROJECT, Project
from xcapi_dagster.settings import Settings

_LEDGER_BYTES = 25  # for a conversion, measured with 5,000,000 of them in requests of 500
_EVENTS_WINDOW = Limits(1, 1).window


def _writable(_context: click.Context, _option: click.Parameter, target: Path | None) -> Path | None:
    """The path, if a file can be written there: to be told after the work would be late."""
    with suppress(OSError):  # of a path that cannot even be looked at
        if target is None or os.access(target if target.exists() else target.absolute().parent, os.W_OK):
            return target
    raise click.BadParameter(f"{target} cannot be written")


@click.command()
@click.option("--from", "first", metavar="KEY", required=True, help="The first partition.")
@click.option("--to", "last", metavar="KEY", required=True, help="The last partition.")
@click.option("--click-window", type=click.IntRange(1, 365), metavar="DAYS", help="Instead of the event tag's.")
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_writable,
    help="Write a page with a chart to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@instance_options
def plan(
    first: str, last: str, click_window: int | None, *, page: Path | None, as_json: bool, instance: ChosenInstance
) -> None:
    """Say what sending some partitions would take, before anything is sent. Nothing is claimed or kept."""
    settings = instance.settings()
    project = Project(instance.module or BUNDLED_PROJECT, instance.name)
    windows = project.windows(project.partitions(first, last))
    resources.check(settings)
    days = click_window or _click_window(settings)
    prepared = forecasts(settings, windows, timedelta(days=days) if days else None)
    stderr = Console(stderr=True)
    found = list(track(prepared, "partitions", total=len(windows), console=stderr, transient=not stderr.is_terminal))
    total = total_of(found)
    times = {name: seconds_at(limits, total["would_send"], total["requests"]) for name, limits in _limits(settings)}
    facts = _facts(total, times, days)
    if page:
        _write_page(page, plan_page(settings.name, [each.as_dict() for each in found], facts))
    if as_json:
        click.echo(json.dumps(_as_json(found, total, times, days), indent=2))
    else:
        print_table(found, "What is to be sent")
        _tell(facts)


def _click_window(settings: Settings) -> int | None:
    """The days of the event tag's click window, None where X does not tell."""
    try:
        with resources.event_tags_of(settings) as event_tags:
            tags = of_id(short_event_id(settings.event_id), event_tags.find().tags)
    except (AdsApiError, ConfigurationError):
        return None
    return tags[0].click_window if tags else None


def _limits(settings: Settings) -> list[tuple[str, Limits]]:
    return [
        ("as configured", resources.limits_of(settings)),
        ("X's smaller limit", Limits(EVENTS_PER_WINDOW, REQUESTS_PER_MINUTE)),
        ("X's larger limit", Limits(EVENTS_PER_WINDOW_MAX, REQUESTS_PER_MINUTE_MAX)),
    ]


def _as_json(
    found: Sequence[Forecast], total: Mapping[str, int], times: Mapping[str, float], days: int | None
) -> dict[str, object]:
    return {
        "partitions": [{k: v for k, v in each.as_dict().items() if k != "first_conversion"} for each in found],
        "total": total,
        "click_window_days": days,
        "seconds": times,
        "quota_windows": {name: _windows(total, seconds) for name, seconds in times.items()},
        "ledger_bytes": total["would_send"] * _LEDGER_BYTES,
    }


def _windows(total: Mapping[str, int], seconds: float) -> int:
    """In how many of X's windows of 15 minutes something is sent."""
    return int(seconds // _EVENTS_WINDOW) + 1 if total["would_send"] else 0


def _facts(total: Mapping[str, int], times: Mapping[str, float], days: int | None) -> list[tuple[str, str]]:
    """What sending takes, each thing in words."""
    if not total["would_send"]:
        return [("to be sent", "nothing")]
    facts = [("to be sent", f"{total['would_send']:,} conversions in {total['requests']:,} requests")]
    for name, seconds in times.items():
        windows = _windows(total, seconds)
        facts.append(
            (name, f"{duration(seconds)}, {windows:,} {'window' if windows == 1 else 'windows'} of 15 minutes")
        )
    if total["past_deduplication"]:
        older = f"{total['past_deduplication']:,} are older than 48 hours: X could not tell them from a pixel's copies"
        facts.append(("deduplication", older))
    if days is None:
        facts.append(("click window", "not known: give --click-window, or sign in with `xcapi auth login`"))
    else:
        facts.append(("click window", f"{total['past_click_window']:,} are older than its {days} days"))
    return [*facts, ("ledger", f"grows by about {total['would_send'] * _LEDGER_BYTES / 1e6:,.1f} MB")]


def _tell(facts: Sequence[tuple[str, str]]) -> None:
    table = Table(show_header=False, box=None)
    for fact in facts:
        table.add_row(*fact)
    output().print(table)


def _write_page(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--page: {target} cannot be written ({error.strerror})") from None
