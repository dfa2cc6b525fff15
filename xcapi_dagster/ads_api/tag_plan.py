"""What differs between the event tags that should exist and those that do. Pure: nothing is changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from xcapi_dagster.ads_api.tag_values import EventTag, TagValues, check_id, check_new
from xcapi_dagster.errors import ConfigurationError

_KINDS: Mapping[str, type] = {
    "name": str,
    "type": str,
    "click_window": int,
    "view_through_window": int,
    "retargeting_enabled": bool,
}
_WORDS: Mapping[type, str] = {str: "text", int: "a whole number of days", bool: "true or false"}

Action = Literal[
    "none",  # it is as it should be
    "create",  # no event tag has its name
    "update",  # `changes` says what is otherwise
    "choose",  # several may be meant, or one by two entries: which it is, the `id` of a tag must say
    "missing",  # no event tag has its id
    "deleted",  # X keeps the tag with its id as deleted, for ever
]


@dataclass(frozen=True, slots=True)
class WantedTag:
    """An event tag that should exist, with all its values. ``id`` may be either of its ids, None to go by its name."""

    values: TagValues
    id: str | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.values.name)

    def as_entry(self) -> dict[str, Any]:
        """What `wanted_tags` makes it of."""
        return self.values.given() | ({} if self.id is None else {"id": self.id})


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done for one wanted tag; ``changes`` holds what a value is and what it should be."""

    wanted: WantedTag
    action: Action
    tags: tuple[EventTag, ...] = ()
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


def wanted_tags(entries: Iterable[Mapping[str, Any]]) -> list[WantedTag]:
    """The event tags that ``entries`` describe, each by name, type, both windows, retargeting_enabled, perhaps an id.

    Raises ConfigurationError unless X would take each of them, and each is told apart from the others.
    """
    wanted = [_wanted(entry) for entry in entries]
    for marks in ([each.id for each in wanted if each.id], [each.name for each in wanted if not each.id]):
        if twice := next((mark for mark in marks if marks.count(mark) > 1), None):
            raise ConfigurationError(f"event_tags: {twice[:40]!r} is there twice; give each its own name or id")
    return wanted


def _wanted(entry: Mapping[str, Any]) -> WantedTag:
    values = {name: value for name, value in entry.items() if value is not None}
    tag_id = values.pop("id", None)
    faults = list(_shape_faults(values))
    if not faults:
        try:
            check_new(TagValues(**values))
            check_id("o" if tag_id is None else str(tag_id))
        except ConfigurationError as error:
            faults.append(str(error))
    if faults:
        raise ConfigurationError(f"event_tags, {str(values.get('name'))[:40]!r}: {'; '.join(faults)}")
    return WantedTag(TagValues(**values), None if tag_id is None else str(tag_id))


def _shape_faults(values: Mapping[str, Any]) -> Iterator[str]:
    if strange := [str(name)[:40] for name in values if name not in _KINDS]:
        yield f"{', '.join(strange)} is unknown; an event tag has {', '.join(_KINDS)} and id"
    for name, kind in _KINDS.items():
        if name in values and type(values[name]) is not kind:
            yield f"{name} must be {_WORDS[kind]}"


def plan(wanted: Iterable[WantedTag], tags: Sequence[EventTag]) -> list[Step]:
    """A step for each of ``wanted``; ``tags`` are all of the ads account, the deleted ones with them.

    What one entry means by an id, no other means by its name; so no two steps change one tag.
    """
    entries = list(wanted)
    by_id = [tag for each in entries if each.id for tag in matching(each, tags)[:1]]
    others = [tag for tag in tags if tag not in by_id]
    return [_step(each, tags if each.id else others, by_id) for each in entries]


def _step(wanted: WantedTag, tags: Sequence[EventTag], by_id: Sequence[EventTag]) -> Step:
    found = matching(wanted, tags)
    alive = tuple(tag for tag in found if not tag.deleted)
    if len(alive) > 1 and alive[0].id != wanted.id:
        return Step(wanted, "choose", alive)
    if alive and by_id.count(alive[0]) > 1:
        return Step(wanted, "choose", alive[:1])
    if alive:
        changes = wanted.values.differences(alive[0])
        return Step(wanted, "update" if changes else "none", alive[:1], changes)
    if wanted.id is None:
        return Step(wanted, "create")
    return Step(wanted, "deleted" if found else "missing", found)


def matching(wanted: WantedTag, tags: Sequence[EventTag]) -> tuple[EventTag, ...]:
    """The tags that ``wanted`` may mean: those of its id, or of its name when it has none."""
    if wanted.id is None:
        return tuple(tag for tag in tags if tag.name == wanted.name)
    return of_id(wanted.id, tags)


def of_id(tag_id: str, tags: Sequence[EventTag]) -> tuple[EventTag, ...]:
    """The tags with this id, the better match first: as `id`, then as `website_tag_id`; not deleted before deleted."""
    found = [tag for tag in tags if tag_id in tag.ids]
    return tuple(sorted(found, key=lambda tag: (bool(tag.deleted), tag.id != tag_id)))
