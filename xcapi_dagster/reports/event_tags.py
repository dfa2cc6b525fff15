"""What X says about the ads account's event tags, as a table, and whether that suits the conversions that are sent."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import pyarrow as pa

from xcapi_dagster.ads_api.tag_plan import WantedTag, matching, of_id, plan
from xcapi_dagster.ads_api.tag_values import EventTag
from xcapi_dagster.conversions.schema import REJECTIONS
from xcapi_dagster.conversions.times import MILLISECONDS

EVENT_TAGS = pa.schema(
    [
        ("id", pa.string()),
        ("website_tag_id", pa.string()),
        ("name", pa.string()),
        ("type", pa.string()),
        ("status", pa.string()),
        ("click_window", pa.int64()),
        ("view_through_window", pa.int64()),
        ("retargeting_enabled", pa.bool_()),
        ("last_tracked_at", MILLISECONDS),
        ("deleted", pa.bool_()),
        ("read_at", MILLISECONDS),
    ],
    metadata=REJECTIONS.metadata,  # the version of the files
)
EXPECTED_TYPE = "PURCHASE"  # of an event for which the component's YAML says nothing else

CheckName = Literal[
    "event_ids_in_account",
    "event_ids_not_deleted",
    "event_types_as_expected",
    "event_tags_tracking",
    "click_windows_long_enough",
    "event_tags_as_configured",
]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All event tags of ``account_id``, the deleted ones too, as X told them at ``read_at``."""

    account_id: str
    tags: tuple[EventTag, ...]
    read_at: datetime

    def table(self) -> pa.Table:
        """The tags, one row each."""
        names = [name for name in EVENT_TAGS.names if name != "read_at"]
        rows = [{name: getattr(tag, name) for name in names} | {"read_at": self.read_at} for tag in self.tags]
        return pa.Table.from_pylist(rows, schema=EVENT_TAGS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something is as it should be, and what is told about it either way."""

    passed: bool
    told: str


@dataclass(frozen=True, slots=True)
class _Event:
    """A configured event id with the tags that it may mean, the best first."""

    event_id: str
    tags: tuple[EventTag, ...]
    expected_type: str


def verdicts(
    snapshot: Snapshot,
    event_ids: Iterable[str],
    wanted: Sequence[WantedTag],
    oldest_beyond: Callable[[timedelta], Mapping[str, timedelta]],
) -> dict[CheckName, Verdict]:
    """A verdict for each check.

    ``event_ids`` are what conversions are sent with, in their short form, and ``wanted`` is what the component's YAML
    says should exist. ``oldest_beyond`` tells how old each event's orders were, for those older than a window.
    """
    ids = dict.fromkeys([*event_ids, *(each.id for each in wanted if each.id)])
    events = [_Event(each, of_id(each, snapshot.tags), _expected_type(each, wanted, snapshot.tags)) for each in ids]
    known = [event for event in events if event.tags]
    alive = [event for event in known if not event.tags[0].deleted]
    windows = [event.tags[0].click_window for event in alive if event.tags[0].click_window is not None]
    oldest = oldest_beyond(timedelta(days=min(windows))) if windows else {}
    return {
        "event_ids_in_account": _judged(events, lambda event: _in_account(event, snapshot)),
        "event_ids_not_deleted": _judged(known, _not_deleted),
        "event_types_as_expected": _judged(alive, _as_expected),
        "event_tags_tracking": _judged(alive, lambda event: _tracking(event, snapshot.read_at)),
        "click_windows_long_enough": _judged(alive, lambda event: _long_enough(event, oldest)),
        "event_tags_as_configured": _as_configured(wanted, snapshot),
    }


def _expected_type(event_id: str, wanted: Sequence[WantedTag], tags: Sequence[EventTag]) -> str:
    """The type that the component's YAML gives the event, by its id or by the name of its tag."""
    meant = of_id(event_id, tags)
    for each in wanted:
        if each.id == event_id or any(tag in meant for tag in matching(each, tags)):
            return str(each.values.type)
    return EXPECTED_TYPE


def _judged(events: Sequence[_Event], judge: Callable[[_Event], Verdict]) -> Verdict:
    """One verdict on all events: those at fault are told alone, else all are."""
    judged = [(event, judge(event)) for event in events]
    failing = [each for each in judged if not each[1].passed]
    told = "; ".join(f"{event.event_id}: {verdict.told}" for event, verdict in failing or judged)
    return Verdict(not failing, told or "no event id of the configuration is an event tag of the account")


def _in_account(event: _Event, snapshot: Snapshot) -> Verdict:
    if event.tags:
        return Verdict(passed=True, told="; ".join(f"{_named(tag)}, {_found_as(event, tag)}" for tag in event.tags))
    alive = [_named(tag) for tag in snapshot.tags if not tag.deleted and tag.type == event.expected_type]
    return Verdict(
        passed=False,
        told=f"no event tag of ads account {snapshot.account_id} has it as id or as website_tag_id: it is mistyped or "
        f"another account's; of type {event.expected_type} there {_there_are(alive)}",
    )


def _not_deleted(event: _Event) -> Verdict:
    tag = event.tags[0]
    deleted = "was deleted, X refuses conversions with it: create another one" if tag.deleted else "is not deleted"
    return Verdict(not tag.deleted, f"{_named(tag)} {deleted}")


def _as_expected(event: _Event) -> Verdict:
    tag = event.tags[0]
    expected = "" if tag.type == event.expected_type else f", not {event.expected_type}"
    return Verdict(not expected, f"{_named(tag)} is of type {tag.type}{expected}")


def _tracking(event: _Event, now: datetime) -> Verdict:
    tag = event.tags[0]
    hint = "" if tag.status == "TRACKING" else "; after the first conversions X takes up to 24 hours to say TRACKING"
    return Verdict(not hint, f"{_named(tag)} is {tag.status}, last tracked {tag.last_seen(now)}{hint}")


def _long_enough(event: _Event, oldest: Mapping[str, timedelta]) -> Verdict:
    tag = event.tags[0]
    window = f"{_named(tag)} has a click window of {tag.click_window} days"
    age = max((oldest[each] for each in tag.ids if each in oldest), default=timedelta())
    if tag.click_window is None or age <= timedelta(days=tag.click_window):
        return Verdict(passed=True, told=window)
    days = -(-age // timedelta(days=1))  # rounded up: beyond the window by however little
    return Verdict(
        passed=False,
        told=f"{window}, and orders were up to {days} days old when they were sent: X may "
        "attribute none of the older ones to a click",
    )


def _as_configured(wanted: Sequence[WantedTag], snapshot: Snapshot) -> Verdict:
    differing = [step.wanted.name for step in plan(wanted, snapshot.tags) if step.action != "none"]
    if differing:
        return Verdict(passed=False, told=f"{', '.join(differing)}: run `xcapi tags plan` to see what differs")
    return Verdict(passed=True, told="as event_tags says" if wanted else "event_tags asks for nothing")


def _named(tag: EventTag) -> str:
    return f"“{tag.name}” (id {tag.id}, website_tag_id {tag.website_tag_id})"


def _found_as(event: _Event, tag: EventTag) -> str:
    return f"found as {'id' if tag.id == event.event_id else 'website_tag_id'}"


def _there_are(names: Sequence[str]) -> str:
    if not names:
        return "is none"
    return f"are {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
