"""Event tags and their plan as tables, for people; nothing in a name can change the terminal."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from xcapi_dagster import contract
from xcapi_dagster.ads_api.tag_plan import Step
from xcapi_dagster.ads_api.tag_values import EventTag, TagValues
from xcapi_dagster.cli.operator import plain

_BOTH_IDS = (
    "X's pages differ in which of both ids is the event id of conversions: take the one that Events Manager shows."
)
_LONG_WINDOWS = "Windows of 60 and 90 days come from Events Manager; X's API cannot write them."


def tags_table(tags: Sequence[EventTag], now: datetime) -> Table:
    """One row for each tag."""
    table = Table(title="Web event tags", caption=_caption(tags), caption_justify="left")
    for name in ("id", "website_tag_id", "name", "type", "click", "view", "retarget", "status"):
        table.add_column(name, overflow="fold", no_wrap=name in ("id", "click", "view"))
    for tag in tags:
        windows = _days(tag.click_window), _days(tag.view_through_window)
        status = (
            "deleted" if tag.deleted else f"{tag.status}, {tag.last_seen(now)}" if tag.last_tracked_at else tag.status
        )
        cells = (tag.id, tag.website_tag_id, tag.name, _type(tag.type), *windows, _yes(tag.retargeting_enabled), status)
        table.add_row(*map(_plain, cells))
    return table


def tag_table(tag: EventTag, now: datetime) -> Table:
    """Everything about one tag, a row for each thing."""
    table = Table(show_header=False, caption=_caption([tag]), caption_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    told = tag.as_json()
    shown: dict[str, object] = {
        "id": tag.id,
        "website_tag_id": tag.website_tag_id,
        "name": tag.name,
        "type": _type(tag.type),
        "click window": _days(tag.click_window),
        "view through window": _days(tag.view_through_window),
        "retargeting": _yes(tag.retargeting_enabled),
        "status": tag.status,
        "last tracked": f"{told['last_tracked_at']} ({tag.last_seen(now)})" if tag.last_tracked_at else "never",
        "deleted": _yes(tag.deleted),
        "embed code": tag.embed_code,
    }
    for name, value in shown.items():
        table.add_row(name, _plain(value))
    return table


def changes_table(changes: Mapping[str, tuple[Any, Any]]) -> Table:
    """What a change would do to a tag."""
    table = Table("", "is", "will be")
    for name, (before, after) in changes.items():
        table.add_row(name.replace("_", " "), _plain(before), _plain(after))
    return table


def plan_table(steps: Sequence[Step]) -> Table:
    """What is to be done for each wanted tag."""
    table = Table("name", "id", "what is to be done", title="Event tags that should exist")
    for step in steps:
        ids = ", ".join(tag.id for tag in step.tags) or step.wanted.id
        table.add_row(_plain(step.wanted.name), _plain(ids), _plain(to_do(step)))
    return table


def to_do(step: Step) -> str:
    """What is to be done for a wanted tag, in words."""
    changes = "; ".join(
        f"{name.replace('_', ' ')}: {_said(before)}, should be {_said(after)}"
        for name, (before, after) in step.changes.items()
    )
    return {
        "none": "nothing",
        "create": "create it",
        "update": f"change {changes}",
        "choose": "say which of these is meant: give its id in defs.yaml",
        "missing": "correct the id: the ads account has no such event tag",
        "deleted": "it is deleted, which cannot be undone: take the id out of defs.yaml to have another one created",
    }[step.action]


def command(step: Step) -> str | None:
    """The command line that does what a step asks for; None when no command can."""
    if step.action == "create":
        return f"xcapi tags create {_options(step.wanted.values)}"
    if step.action == "update":
        changed = TagValues(**{name: after for name, (_, after) in step.changes.items()})
        return f"xcapi tags update {step.tags[0].id} {_options(changed)}"
    return None


def _options(values: TagValues) -> str:
    told = {name: value for name, value in values.given().items() if name != "retargeting_enabled"}
    options = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in told.items()]
    if values.retargeting_enabled is not None:
        options.append("--retargeting" if values.retargeting_enabled else "--no-retargeting")
    return " ".join(options)


def _caption(tags: Sequence[EventTag]) -> str:
    windows = {days for tag in tags for days in (tag.click_window, tag.view_through_window)}
    is_long = windows & {*contract.WINDOWS_OF_EVENTS_MANAGER_ALONE}
    return f"{_BOTH_IDS} {_LONG_WINDOWS}" if is_long else _BOTH_IDS


def _type(name: str | None) -> str | None:
    shown = contract.EVENT_TAG_TYPES_IN_EVENTS_MANAGER.get(name or "")
    return f"{name} (“{shown}”)" if shown else name


def _days(days: int | None) -> str | None:
    return None if days is None else f"{days} d"


def _yes(value: bool | None) -> str | None:  # noqa: FBT001 - a value of data
    return None if value is None else "yes" if value else "no"


def _said(value: object) -> str:
    return "unknown" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _plain(value: object) -> Text:
    """``value`` without markup and without what a terminal would obey."""
    return Text("" if value is None else plain(value))
