"""An event tag as X has it, and the values that one may be given, checked as X documents them. Pure."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from xcapi_dagster import contract
from xcapi_dagster.errors import ConfigurationError

_LONGEST_ID = 40


@dataclass(frozen=True, slots=True)
class EventTag:
    """A web event tag of an ads account; the fields are X's. What X leaves out or writes otherwise is None.

    Windows are in days; those of 60 and 90, which Events Manager can set, occur.
    """

    name: str | None
    view_through_window: int | None
    click_window: int | None
    embed_code: str | None
    id: str
    retargeting_enabled: bool | None
    last_tracked_at: datetime | None
    status: str | None
    type: str | None
    website_tag_id: str | None
    deleted: bool | None

    @property
    def ids(self) -> tuple[str, ...]:
        """Both ids: X's pages differ in which of them is the event id of conversions."""
        return tuple(dict.fromkeys(each for each in (self.id, self.website_tag_id) if each))

    def last_seen(self, now: datetime) -> str:
        """How long ago X last tracked it, in words."""
        if self.last_tracked_at is None:
            return "never"
        hours = (now - self.last_tracked_at).total_seconds() / 3600
        return f"{hours / 24:.0f} days ago" if hours >= 48 else f"{max(hours, 0):.0f} h ago"

    def as_json(self) -> dict[str, Any]:
        """The tag as X writes it."""
        seen = self.last_tracked_at
        return asdict(self) | {"last_tracked_at": seen and f"{seen.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TagValues:
    """The values of an event tag that can be written; None leaves one as it is."""

    name: str | None = None
    type: str | None = None
    click_window: int | None = None
    view_through_window: int | None = None
    retargeting_enabled: bool | None = None

    def given(self) -> dict[str, str | int | bool]:
        """Those that are not None."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    def parameters(self) -> dict[str, str]:
        """Those that are given, as X takes them in a query."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in self.given().items()
        }

    def differences(self, tag: EventTag) -> dict[str, tuple[Any, Any]]:
        """For each given value that ``tag`` has otherwise: what it is and what it should be."""
        return {
            name: (getattr(tag, name), value) for name, value in self.given().items() if getattr(tag, name) != value
        }


def read_tag(entry: Any) -> EventTag | None:
    """The event tag that ``entry`` of an answer describes, None when it is none: it has no id."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or not _id_is_one(entry["id"]):
        return None
    return EventTag(
        name=_of(str, entry.get("name")),
        view_through_window=_of(int, entry.get("view_through_window")),
        click_window=_of(int, entry.get("click_window")),
        embed_code=_of(str, entry.get("embed_code")),
        id=entry["id"],
        retargeting_enabled=_of(bool, entry.get("retargeting_enabled")),
        last_tracked_at=_time(entry.get("last_tracked_at")),
        status=_of(str, entry.get("status")),
        type=_of(str, entry.get("type")),
        website_tag_id=_of(str, entry.get("website_tag_id")),
        deleted=_of(bool, entry.get("deleted")),
    )


def check_new(values: TagValues) -> None:
    """Raise ConfigurationError, naming all that is wrong, unless X takes ``values`` for a new event tag."""
    missing = [field.name.replace("_", " ") for field in fields(values) if getattr(values, field.name) is None]
    _raise([*([f"a new event tag needs {_listed(missing, 'and')}"] if missing else []), *_faults(values)])


def check_change(values: TagValues) -> None:
    """Raise ConfigurationError, naming all that is wrong, unless X takes ``values`` as a change of an event tag."""
    _raise(list(_faults(values)) if values.given() else ["there is nothing to change: give at least one value"])


def check_listing(ids: Sequence[str], count: int | None, sort_by: str | None) -> None:
    """Raise ConfigurationError, naming all that is wrong, unless X takes these parameters of a list."""
    faults = [_id_fault(each) for each in ids if not _id_is_one(each)]
    if len(ids) > contract.MAX_EVENT_TAG_IDS:
        faults.append(f"X takes at most {contract.MAX_EVENT_TAG_IDS} ids at once, not {len(ids)}: ask in parts")
    if count is not None and not 1 <= count <= contract.MAX_COUNT:
        faults.append(f"the count must be from 1 to {contract.MAX_COUNT}, not {count}")
    if sort_by is not None and not contract.SORT_BY.fullmatch(sort_by):
        faults.append("sort by an attribute followed by -asc or -desc, such as name-asc")
    _raise(faults)


def check_id(tag_id: str) -> None:
    """Raise ConfigurationError for what cannot be an event tag's id."""
    _raise([] if _id_is_one(tag_id) else [_id_fault(tag_id)])


def _raise(faults: list[str]) -> None:
    if faults:
        raise ConfigurationError("; ".join(faults))


def _faults(values: TagValues) -> Iterator[str]:
    if values.name is not None:
        yield from _name_faults(values.name)
    if values.type is not None and values.type not in contract.EVENT_TAG_TYPES:
        yield _type_fault(values.type)
    for name, allowed in (
        ("click_window", contract.CLICK_WINDOWS),
        ("view_through_window", contract.VIEW_THROUGH_WINDOWS),
    ):
        days = getattr(values, name)
        if days is not None and days not in allowed:
            yield _window_fault(name, days, allowed)
    click, view = values.click_window, values.view_through_window
    if click is not None and view is not None and view > click:
        yield f"the view through window ({view}) must be at most the click window ({click})"


def _name_faults(name: str) -> Iterator[str]:
    if not name.strip():
        yield "the name must not be empty"
    elif name != name.strip() or not name.isprintable():
        yield "the name must not begin or end with white space or hold a line break or control character"


def _type_fault(given: str) -> str:
    plain = given.strip().upper().replace(" ", "_").replace("-", "_")
    shown = {
        label.upper().replace(" ", "_"): name for name, label in contract.EVENT_TAG_TYPES_IN_EVENTS_MANAGER.items()
    }
    close = difflib.get_close_matches(plain, contract.EVENT_TAG_TYPES, n=1)
    if plain in shown:
        label = contract.EVENT_TAG_TYPES_IN_EVENTS_MANAGER[shown[plain]]
        hint = f"what Events Manager calls “{label}” is {shown[plain]}"
    elif close:
        hint = f"did you mean {close[0]}?"
    else:
        hint = f"it must be {_listed(contract.EVENT_TAG_TYPES, 'or')}"
    return f"{given[:40]!r} is no type of an event tag: {hint}"


def _window_fault(name: str, days: int, allowed: Sequence[int]) -> str:
    fault = f"the {name.replace('_', ' ')} must be {_listed(allowed, 'or')} days, not {days}"
    if days in contract.WINDOWS_OF_EVENTS_MANAGER_ALONE:
        return f"{fault}: Events Manager can set it, X's API cannot"
    return fault


def _id_is_one(tag_id: str) -> bool:
    return contract.PIXEL_ID.fullmatch(tag_id) is not None and len(tag_id) <= _LONGEST_ID


def _id_fault(tag_id: str) -> str:
    return f"{tag_id[:40]!r} is no event tag's id: lower-case letters and digits, such as o87ne"


def _listed(values: Sequence[object], word: str) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} {word} {last}" if first else last


def _of(kind: type, value: Any) -> Any:
    """``value`` when it is of this very kind: True is no number of days."""
    return value if type(value) is kind else None


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
