"""`xcapi tags`."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from xcapi_dagster import contract
from xcapi_dagster.ads_api.event_tags import EventTags
from xcapi_dagster.ads_api.tag_plan import Step
from xcapi_dagster.ads_api.tag_plan import plan as planned
from xcapi_dagster.ads_api.tag_values import EventTag, TagValues, check_change, check_id, check_listing, check_new
from xcapi_dagster.cli import tag_tables
from xcapi_dagster.cli.tables import output
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.resources import event_tags_of
from xcapi_dagster.runs import BUNDLED_PROJECT, Project
from xcapi_dagster.settings import OAUTH_FIELDS, AccountSettings, account_from_environment

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def _value_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that give an event tag its values."""
    for option in reversed(
        (
            click.option("--name", help="What it is called."),
            click.option("--type", help="What it counts, such as PURCHASE."),
            click.option("--click-window", type=int, metavar="DAYS", help="1, 7, 14 or 30 days after a click."),
            click.option(
                "--view-through-window", type=int, metavar="DAYS", help="0, 1, 7, 14 or 30 days after a view."
            ),
            click.option(
                "--retargeting/--no-retargeting", "retargeting_enabled", default=None, help="Whether X may retarget."
            ),
        )
    ):
        command = option(command)
    return command


@click.group()
def tags() -> None:
    """Read and change the web event tags of the ads account: what X counts a conversion as, and for how long.

    Needs X_ADS_ACCOUNT_ID and the four variables of OAuth 1.0a; a pixel token can only send conversions.
    """


@tags.command("list")
@click.option("--ids", "given_ids", multiple=True, metavar="ID,ID", help="Only these, at most 200.")
@click.option("--count", type=int, metavar="NUMBER", help="How many X puts on a page, up to 1000; all pages are read.")
@click.option("--sort-by", metavar="ATTRIBUTE-asc|desc", help="Such as name-asc. X does not say what it sorts by.")
@click.option("--with-deleted", is_flag=True, help="Deleted ones too.")
@click.option("--with-total-count", is_flag=True, help="Ask X how many there are; it answers that 200 times in 15 min.")
@_json_option
def list_(
    given_ids: Sequence[str],
    count: int | None,
    sort_by: str | None,
    *,
    with_deleted: bool,
    with_total_count: bool,
    as_json: bool,
) -> None:
    """List the event tags."""
    ids = [contract.short_event_id(each.strip()) for given in given_ids for each in given.split(",") if each.strip()]
    check_listing(ids, count, sort_by)
    with _event_tags() as event_tags:
        found = event_tags.find(
            ids=ids, count=count, sort_by=sort_by, with_deleted=with_deleted, with_total_count=with_total_count
        )
    if as_json:
        click.echo(json.dumps([tag.as_json() for tag in found.tags], indent=2))
    else:
        output().print(tag_tables.tags_table(found.tags, datetime.now(UTC)))
    if found.total_count is not None:
        click.echo(f"X counts {found.total_count} event tags.", err=True)
    if unknown := [each for each in ids if each not in {tag.id for tag in found.tags}]:
        click.echo(f"X lists none with the id {', '.join(unknown)}.", err=True)


@tags.command()
@click.argument("tag_id", metavar="ID")
@click.option("--with-deleted", is_flag=True, help="Also when it is deleted.")
@_json_option
def show(tag_id: str, *, with_deleted: bool, as_json: bool) -> None:
    """Show one event tag, with the code to embed."""
    tag_id = _short(tag_id)
    with _event_tags() as event_tags:
        tag = event_tags.get(tag_id, with_deleted=with_deleted)
    _tell(tag, as_json=as_json)


@tags.command()
@_value_options
@_json_option
def create(*, as_json: bool, **given: Any) -> None:
    """Create an event tag; all its values are needed."""
    values = TagValues(**given)
    check_new(values)
    with _event_tags() as event_tags:
        tag = event_tags.create(values)
    _tell(tag, as_json=as_json)


@tags.command()
@click.argument("tag_id", metavar="ID")
@_value_options
@_yes_option
@_json_option
def update(tag_id: str, *, yes: bool, as_json: bool, **given: Any) -> None:
    """Change an event tag; what is not given stays. At a terminal it shows what would change, and asks."""
    tag_id, values = _short(tag_id), TagValues(**given)
    check_change(values)
    with _event_tags() as event_tags:
        if sys.stdin.isatty() and not yes:
            changes = values.differences(event_tags.get(tag_id))
            output(is_result=False).print(tag_tables.changes_table(changes))
            click.confirm(f"Change event tag {tag_id}?", abort=True, err=True)
        tag = event_tags.update(tag_id, values)
    _tell(tag, as_json=as_json)


@tags.command()
@click.argument("tag_id", metavar="ID")
@_yes_option
@_json_option
def delete(tag_id: str, *, yes: bool, as_json: bool) -> None:
    """Delete an event tag, which cannot be undone: X then refuses conversions with its id."""
    tag_id = _short(tag_id)
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here whether to delete: give --yes")
    with _event_tags() as event_tags:
        if not yes:
            output(is_result=False).print(tag_tables.tag_table(event_tags.get(tag_id), datetime.now(UTC)))
            click.confirm(f"Delete event tag {tag_id} for good?", abort=True, err=True)
        tag = event_tags.delete(tag_id)
    _tell(tag, as_json=as_json)


@tags.command()
@click.option("-m", "--module", default=BUNDLED_PROJECT, show_default=True, help="Your module of Dagster definitions.")
@click.option("--name", default="purchases", show_default=True, help="The component instance.")
@click.option("--exit-code", is_flag=True, help="End with status 1 when something is to be done.")
@_json_option
def plan(*, module: str, name: str, exit_code: bool, as_json: bool) -> None:
    """Compare the event tags with what `event_tags` in the component's YAML says; changes nothing."""
    project = Project(module, name)
    settings, (account_id, wanted) = project.settings(), project.wanted_event_tags()
    with _event_tags(settings) as event_tags:
        steps = planned(wanted, event_tags.find(with_deleted=True).tags)
    commands = [line for step in steps if (line := tag_tables.command(step))]
    if as_json:
        click.echo(json.dumps({"account_id": account_id, "event_tags": [_as_json(step) for step in steps]}, indent=2))
    elif steps:
        output().print(tag_tables.plan_table(steps))
        for line in commands:
            click.echo(line)
    else:
        click.echo("Nothing is asked for: the component's YAML has no event_tags.")
    if commands and not _is_as_in_environment(settings):
        click.echo(f"These commands go by the environment: set X_ADS_… in it to what {name} has first.", err=True)
    sys.exit(1 if exit_code and any(step.action != "none" for step in steps) else 0)


def _is_as_in_environment(settings: AccountSettings) -> bool:
    """Whether commands that know the environment alone ask the same ads account, in the same user's name."""
    try:
        others = account_from_environment(os.environ)
    except ConfigurationError:
        return False
    return all(getattr(settings, name) == getattr(others, name) for name in ("api_url", "account_id", *OAUTH_FIELDS))


@contextmanager
def _event_tags(settings: AccountSettings | None = None) -> Iterator[EventTags]:
    """The event tags of the environment's ads account, or of that in an instance's ``settings``."""
    settings = settings or account_from_environment(os.environ)
    if settings.demo:
        click.echo("Nothing is configured: these are the demo's event tags, which its sandbox forgets.", err=True)
    with event_tags_of(settings) as event_tags:
        yield event_tags


def _short(tag_id: str) -> str:
    """The id itself, where `tw-<pixel>-<id>` is given. Raises ConfigurationError for what is no id."""
    found = contract.EVENT_ID.fullmatch(tag_id)
    check_id(found["event"] if found else tag_id)
    return contract.short_event_id(tag_id)


def _tell(tag: EventTag, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(tag.as_json(), indent=2))
    else:
        output().print(tag_tables.tag_table(tag, datetime.now(UTC)))


def _as_json(step: Step) -> dict[str, Any]:
    changes = {name: {"is": before, "should_be": after} for name, (before, after) in step.changes.items()}
    return {
        "name": step.wanted.name,
        "action": step.action,
        "to_do": tag_tables.to_do(step),
        "ids": [tag.id for tag in step.tags],
        "changes": changes,
        "command": tag_tables.command(step),
    }
