"""`xcapi doctor`."""

import json
import sys

import click
from rich.markup import escape
from rich.table import Table

from xcapi_dagster.cli.instances import ChosenInstance, instance_options
from xcapi_dagster.cli.operator import plain
from xcapi_dagster.cli.tables import output
from xcapi_dagster.doctor import Finding, examine, exit_status

_COLORS = {"ok": "green", "warning": "yellow", "broken": "red", "not checked": "dim"}


@click.command()
@instance_options
@click.option("--json", "as_json", is_flag=True, help="Print an array of objects.")
def doctor(instance: ChosenInstance, *, as_json: bool) -> None:
    """Look for what would keep conversions from arriving, and say how to mend it. Nothing is sent.

    Exit status 0: nothing is broken, though there may be warnings; 1: something is that may pass by itself, as an
    outage does; 2: somebody must mend something.
    """
    findings = list(examine(instance.settings, instance.wanted_event_tags))
    if as_json:
        told = [{"check": f.check, "status": f.status, "message": f.message, "mend": f.mend or None} for f in findings]
        click.echo(json.dumps(told, indent=2))
    else:
        output().print(_table(findings))
    sys.exit(exit_status(findings))


def _table(findings: list[Finding]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        told = escape(plain(finding.message)) + (
            f"\n[bold]→[/bold] {escape(plain(finding.mend))}" if finding.mend else ""
        )
        color = _COLORS[finding.status]
        table.add_row(f"[{color}]{finding.status}[/{color}]", finding.check, told)
    return table
