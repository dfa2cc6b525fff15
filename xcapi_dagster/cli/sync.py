"""`xcapi sync`."""

import sys

import click

from xcapi_dagster import resources
from xcapi_dagster.assets import latest_stamps
from xcapi_dagster.cli.forecasts import tell_dry_run
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.outcomes import run, tell, told
from xcapi_dagster.cli.repair import begin_repair
from xcapi_dagster.dry_run import forecasts
from xcapi_dagster.killed_runs import ending_killed_runs
from xcapi_dagster.machines import check_ledger_is_shared
from xcapi_dagster.runs import BUNDLED_PROJECT, Project, dagster_instance

_PARTITIONS_PER_RUN = 30


@click.command()
@click.option("--partition", "key", metavar="KEY", help="The partition to sync, such as 2026-11-20.")
@click.option("--from", "first", metavar="KEY", help="The first of several partitions.")
@click.option("--to", "last", metavar="KEY", help="The last of several partitions.")
@click.option(
    "--reason", metavar="CODE", help="Only partitions in which orders were lost for this reason, once mended."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each partition.")
@click.option("--dry-run", is_flag=True, help="Do everything but the claim and the POST, and keep nothing of it.")
@instance_options
def sync(
    key: str | None,
    first: str | None,
    last: str | None,
    reason: str | None,
    *,
    as_json: bool,
    dry_run: bool,
    instance: ChosenInstance,
) -> None:
    """Send what is new in some partitions, and write down what became of each order."""
    if (key is None) == (first is None or last is None) or (key is not None and (first or last)):
        raise click.UsageError("give either --partition, or both --from and --to")
    if reason and dry_run:
        raise click.UsageError("--reason reopens what X refused, which a --dry-run must not")
    settings = instance.settings()
    if settings.demo:
        told.print("Nothing is configured: these are the demo's orders, sent to a sandbox on this machine.")
    project = Project(instance.module or BUNDLED_PROJECT, instance.name)
    partitions = project.partitions(first or str(key), last or str(key))
    resources.check(settings)
    if dry_run:
        tell_dry_run(list(forecasts(settings, project.windows(partitions))), settings, as_json=as_json)
        return
    repair = begin_repair(reason, partitions, settings) if reason else None
    with dagster_instance(settings) as dagster, ending_killed_runs(dagster, settings):
        check_ledger_is_shared(settings, dagster)
        resources.check_ledger_knows(settings, latest_stamps(dagster, settings.name))
        if repair:
            outcomes = run(project, repair.partitions, dagster, per_run=1)  # they need not follow one another
        else:
            outcomes = run(project, partitions, dagster, per_run=_PARTITIONS_PER_RUN)
    tell(outcomes, settings, as_json=as_json, recovered=repair.end() if repair else None)
    sys.exit(0 if all(ran.is_done for ran in outcomes) else 1)
