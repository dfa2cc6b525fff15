"""`xcapi purge`."""

from datetime import UTC, datetime

import click

from xcapi_dagster import resources
from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.delivery.engines import may_exist
from xcapi_dagster.outputs import is_there
from xcapi_dagster.partitions.purge import expired, purge_details
from xcapi_dagster.partitions.purge import purge as purge_files
from xcapi_dagster.reports.pages import write_overview


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@instance_options
def purge(*, dry_run: bool, instance: ChosenInstance) -> None:
    """Delete what has been kept for as long as the settings XCAPI_KEEP_… say: files, and details in the ledger.

    The ledger keeps knowing what X accepted: nothing is sent again because something is gone.
    """
    settings = instance.settings()
    outputs, keep, now = resources.outputs_of(settings), resources.keep_of(settings), datetime.now(UTC)
    if dry_run:
        paths = list(expired(outputs, keep, now))
        for path in paths:
            click.echo(path.name)
        click.echo(f"{len(paths)} files would be deleted.")
    else:
        deleted = purge_files(outputs, keep, now)
        click.echo(f"{deleted} files were deleted.")
        if deleted and is_there(outputs.overview):
            write_overview(outputs)  # or it would go on telling of reports that are gone
        if keep.details and may_exist(settings.ledger_url):
            with resources.operators_ledger_of(settings) as ledger:
                click.echo(f"{purge_details(ledger, keep)} requests in the ledger were stripped of their details.")
