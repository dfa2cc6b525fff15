"""`xcapi purge`."""

from datetime import UTC, datetime

import click

from xcapi_dagster import resources
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.partitions.purge import expired
from xcapi_dagster.partitions.purge import purge as delete


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@instance_options
def purge(*, dry_run: bool, instance: ChosenInstance) -> None:
    """Delete files that have been kept for as long as XCAPI_KEEP_CONVERSIONS_DAYS and XCAPI_KEEP_REPORTS_DAYS say.

    The ledger keeps knowing what X accepted: nothing is sent again because a file is gone.
    """
    settings = instance.settings()
    outputs, keep, now = resources.outputs_of(settings), resources.keep_of(settings), datetime.now(UTC)
    if dry_run:
        paths = list(expired(outputs, keep, now))
        for path in paths:
            click.echo(path.name)
        click.echo(f"{len(paths)} files would be deleted.")
    else:
        click.echo(f"{delete(outputs, keep, now)} files were deleted.")
