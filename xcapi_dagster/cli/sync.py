"""`xcapi`: the command line. Exit status 0: nothing is left to do; 1: something is; 2: usage or configuration."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from xcapi_dagster import demo as the_demo
from xcapi_dagster import resources
from xcapi_dagster.errors import ConfigurationError, XConversionsError
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.runs import BUNDLED_PROJECT, Project, Ran, dagster_instance
from xcapi_dagster.sandbox import serve
from xcapi_dagster.settings import DEMO, VARIABLES, Settings, from_environment

_PARTITIONS_PER_RUN = 30

told = Console(stderr=True)  # what is for people; results go to standard output


class _Commands(click.Group):
    """Turns this package's errors into one line and an exit status."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ConfigurationError as error:
            click.echo(f"xcapi: {error}", err=True)
            context.exit(2)
        except XConversionsError as error:
            click.echo(f"xcapi: {error}", err=True)
            context.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="xcapi-dagster")
def main() -> None:
    """Deliver purchases to the X Ads Conversion API, and know what became of every order."""


@main.command()
@click.option("--partition", "key", metavar="KEY", help="The partition to sync, such as 2026-11-20.")
@click.option("--from", "first", metavar="KEY", help="The first of several partitions.")
@click.option("--to", "last", metavar="KEY", help="The last of several partitions.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each partition.")
@click.option("-m", "--module", default=BUNDLED_PROJECT, show_default=True, help="Your module of Dagster definitions.")
@click.option("--name", default="purchases", show_default=True, help="The component instance.")
def sync(key: str | None, first: str | None, last: str | None, *, as_json: bool, module: str, name: str) -> None:
    """Send what is new in some partitions, and write down what became of each order."""
    if (key is None) == (first is None or last is None) or (key is not None and (first or last)):
        raise click.UsageError("give --partition, or --from and --to")
    settings = from_environment(os.environ, name=name)
    if settings.demo:
        told.print("Nothing is configured: these are the demo's orders, sent to a sandbox on this machine.")
    project = Project(module, name)
    partitions = project.partitions(first or str(key), last or str(key))
    resources.check(settings)
    with dagster_instance(settings) as instance:
        outcomes = _run(project, partitions, instance, per_run=_PARTITIONS_PER_RUN)
    _tell(outcomes, settings, as_json=as_json)
    sys.exit(0 if all(ran.is_done for ran in outcomes) else 1)


@main.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".xcapi"),
    show_default=True,
    help="Folder for all that the demo writes.",
)
def demo(home: Path) -> None:
    """Send two weeks of sample orders to a sandbox on this machine. Nothing leaves it."""
    for variable in VARIABLES.values():
        os.environ.pop(variable, None)
    os.environ[VARIABLES["home"]] = str(home.absolute())
    settings = from_environment(os.environ)
    the_demo.build_warehouse(settings)
    with the_demo.running_sandbox(settings) as url:
        os.environ |= the_demo.environment(settings, url)
        told.print(f"A sandbox of the X Ads API answers at [bold]{url}[/], the orders are in {settings.warehouse_url}")
        project = Project(BUNDLED_PROJECT, settings.name)
        with dagster_instance(settings) as instance:
            outcomes = _run(project, the_demo.PARTITIONS, instance, per_run=1)
    _tell(outcomes, settings, as_json=False)
    told.print("Run it again: nothing is sent twice. To see the assets: [bold]dg dev[/] (README, “In Dagster”).")
    sys.exit(0 if all(ran.is_done for ran in outcomes) else 1)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8181, show_default=True, help="0 takes a free one.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Keep what is received in this file.")
def sandbox(port: int, record: Path | None) -> None:
    """Run an X Ads API on 127.0.0.1 that checks everything X documents and shows what it received."""
    try:
        serve("127.0.0.1", port, record=record, log=click.echo, ready=_tell_of_sandbox)
    except OSError as error:
        raise ConfigurationError(f"port {port} cannot be used: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"--record: {error}") from None


def _tell_of_sandbox(url: str) -> None:
    """What to set so that a project sends to the sandbox at ``url``."""
    click.echo(f"Answering at {url}; open it to see what was received. To send to it, set:")
    for field in ("account_id", "pixel_id", "event_id", "pixel_token"):
        click.echo(f"  export {VARIABLES[field]}={DEMO[field]}")
    click.echo(f"  export {VARIABLES['api_url']}={url}")


def _run(project: Project, partitions: Sequence[str], instance: dg.DagsterInstance, *, per_run: int) -> list[Ran]:
    """Materialize ``partitions``, some in each run, showing progress."""
    runs = [partitions[start : start + per_run] for start in range(0, len(partitions), per_run)]
    outcomes: list[Ran] = []
    columns = (
        TextColumn("{task.description}"),
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
            outcomes.append(project.materialize(run, instance))
            orders += sum(counts.read for counts in outcomes[-1].counts.values())
            rate = f"{orders:,} orders, {orders / (time.monotonic() - started):,.0f}/s"
            progress.update(task, advance=len(run), rate=rate)
    return outcomes


def _tell(outcomes: Sequence[Ran], settings: Settings, *, as_json: bool) -> None:
    counts = {key: counted for ran in outcomes for key, counted in ran.counts.items()}
    if as_json:
        for key, counted in counts.items():
            click.echo(json.dumps({"partition": key, **counted.as_dict()}))
    elif counts:
        output = Console()
        output.print(_table(counts), width=output.width if output.is_terminal else max(output.width, 160))
        told.print(f"Files: {settings.output_url}/{settings.name}", soft_wrap=True)
    for ran in outcomes:
        for failure in (*ran.failures, *ran.failed_checks):
            click.echo(f"xcapi: {failure}", err=True)


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


if __name__ == "__main__":
    main()
