"""`xcapi demo`."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.markup import escape

from xcapi_dagster import demo as the_demo
from xcapi_dagster.cli.outcomes import run, tell, told
from xcapi_dagster.runs import BUNDLED_PROJECT, Project, dagster_instance
from xcapi_dagster.settings import VARIABLES, Settings, from_environment

# On the demo's orders: one that never reached X, what a run would send, and what a range would take.
_TO_TRY = (
    "xcapi explain IT-102553",
    "xcapi sync --partition 2026-10-26 --dry-run",
    "xcapi plan --from 2026-10-20 --to 2026-11-02",
)


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".xcapi"),
    show_default=True,
    help="Folder for all that the demo writes.",
)
def demo(home: Path) -> None:
    """Send two weeks of sample orders to a sandbox on this machine. Nothing leaves it."""
    # In an instance of Dagster that is not its own, the demo's ledger would be taken for the user's.
    variables = (*VARIABLES.values(), "DAGSTER_HOME")
    given = [variable for variable in variables if os.environ.pop(variable, None)]
    os.environ[VARIABLES["home"]] = str(home.absolute())
    settings = from_environment(os.environ)
    the_demo.build_warehouse(settings)
    with the_demo.running_sandbox(settings) as url:
        os.environ |= the_demo.environment(settings, url)
        orders = escape(settings.warehouse_url)
        told.print(f"A sandbox of the X Ads API answers at [bold]{url}[/], the orders are in {orders}")
        project = Project(BUNDLED_PROJECT, settings.name)
        with dagster_instance(settings) as instance:
            outcomes = run(project, the_demo.PARTITIONS, instance, per_run=1)
    tell(outcomes, settings, as_json=False)
    told.print("Run it again: nothing is sent twice. More to try, also [bold]dg dev[/] (README, “In Dagster”):")
    for command in (*_to_tell_of(settings, given), *_TO_TRY):
        told.print(f"  [bold]{escape(command)}[/]", highlight=False, soft_wrap=True)
    sys.exit(0 if all(ran.is_done for ran in outcomes) else 1)


def _to_tell_of(settings: Settings, given: Sequence[str]) -> Iterator[str]:
    """What makes the commands that follow in a shell be about the demo, where these variables are ``given``."""
    if others := [variable for variable in given if variable not in (VARIABLES["home"], "DAGSTER_HOME")]:
        yield f"unset {' '.join(others)}"
    homes = {VARIABLES["home"]: settings.home, "DAGSTER_HOME": settings.dagster_home}
    yield "export " + " ".join(f"{variable}={shlex.quote(str(path))}" for variable, path in homes.items())
