"""The web event tags of the sandbox's accounts: listed, made, changed and deleted as X's reference shows it.

The order of a list, what it can be sorted by and the statuses of errors that X shows without one are guesses.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from xcapi_dagster import contract
from xcapi_dagster.sandbox.answers import Answer, Error, Request, failure, of_status, to_json
from xcapi_dagster.sandbox.limits import Limits, Meter
from xcapi_dagster.sandbox.parameters import Parameters
from xcapi_dagster.sandbox.world import Account, EventTag, World

_SORTED_BY = ("click_window", "created_at", "deleted", "last_tracked_at", "name", "view_through_window")
_SORTS = tuple(f"{attribute}-{order}" for attribute in _SORTED_BY for order in ("asc", "desc"))
_VALUES = ("click_window", "name", "retargeting_enabled", "type", "view_through_window")
_EMBED_CODE = (
    '<script src="//platform.x.com/oct.js" type="text/javascript"></script><script type="text/javascript">'
    "twttr.conversion.trackPid('{id}',  {{ tw_sale_amount: 0, tw_order_quantity: 0 }});</script>"
)
_NOT_FOUND = Error(404, "WEB_EVENT_TAG_NOT_FOUND", "The web event tag could not be found", "web_event_tag_id")
_EXCLUSIVE = Error(400, "EXCLUSIVE_PARAMETERS", "cursor and with_total_count are exclusive", "with_total_count")


def _limits(requests: int, seconds: float) -> Limits:
    return Limits(requests, seconds, requests, seconds, header_families=contract.RATE_LIMIT_HEADERS)


class EventTags:
    """The tags of every account, as they are now.

    ``last_received`` gives when the last conversion of an event came, in Unix seconds: that is what tracks a tag.
    """

    def __init__(self, world: World, last_received: Callable[[str], float | None]) -> None:
        self._lock = threading.Lock()
        self._tags = {account.account_id: list(account.event_tags) for account in world.accounts}
        self._made: set[str] = set()
        self._last_received = last_received
        # X's page on limits: reads of an account, those of them with a total (REFERENCE), and writes
        self._reads, self._totals, self._writes = (
            Meter(_limits(*each)) for each in ((2000, 900), (200, 900), (450, 60))
        )

    def answer(self, request: Request, account_id: str, tag_id: str | None, now: float) -> Answer:
        """X's answer to a request for the list, or for the tag with ``tag_id``; the sender may do what it asks."""
        parameters = Parameters(request.parameters)
        meter = self._meter(request.method, parameters)
        quota = meter.take(account_id, 1, now)
        headers = meter.limits.headers(quota)
        if not quota.is_granted:
            return failure(of_status(429), account_id=account_id, headers=headers)
        with self._lock:
            match request.method, tag_id:
                case "GET", None:
                    found = self._list(account_id, parameters)
                case "POST", None:
                    found = self._create(account_id, parameters)
                case _:
                    found = self._with_one(request.method, account_id, str(tag_id), parameters)
        params = parameters.echo | ({} if tag_id is None else {"web_event_tag_id": tag_id}) | {"account_id": account_id}
        if parameters.errors:
            return failure(*parameters.errors, params=params, headers=headers)
        return Answer(200, to_json({"request": {"params": params}, **found}), headers=headers)

    def account_now(self, account: Account, pixel_id: str) -> Account:
        """The account with its tags as they are now: a new one is an event, of any pixel, and a deleted one is none.

        X's pages differ in which of a new tag's two ids is the event id, so both are taken.
        """
        with self._lock:
            tags = self._tags[account.account_id]
            gone = {tag.id for tag in tags if tag.deleted}
            made = {each for tag in tags if tag.id in self._made - gone for each in (tag.id, tag.website_tag_id)}
        pixels = {pixel: events - gone for pixel, events in account.pixels.items()}
        pixels[pixel_id] |= made
        return replace(account, pixels=pixels, other_tags=account.other_tags | gone)

    def _meter(self, method: str, parameters: Parameters) -> Meter:
        if method != "GET":
            return self._writes
        return self._totals if parameters.boolean("with_total_count") else self._reads

    def _list(self, account_id: str, parameters: Parameters) -> dict[str, Any]:
        count = parameters.integer("count", 1, contract.MAX_COUNT) or contract.DEFAULT_COUNT
        ids = parameters.listed("web_event_tag_ids", contract.MAX_EVENT_TAG_IDS) or []
        sort_by = parameters.one_of("sort_by", _SORTS)
        with_deleted = bool(parameters.boolean("with_deleted"))
        cursor = parameters.text("cursor")
        with_total_count = parameters.echo.get("with_total_count", False)
        if cursor and with_total_count:
            parameters.errors.append(_EXCLUSIVE)
        tags = [
            tag for tag in self._tags[account_id] if (with_deleted or not tag.deleted) and (not ids or tag.id in ids)
        ]
        tags = _sorted(tags, sort_by)
        mark = hashlib.blake2b(f"{ids}{sort_by}{with_deleted}".encode(), digest_size=4).hexdigest()
        start = _start(cursor, mark)
        if start is None:
            parameters.refuse("cursor", "the cursor of a list with the same parameters")
            return {}
        more = start + count < len(tags)
        page = {
            "next_cursor": f"{mark}{start + count:x}" if more else None,
            "data": [self._as_json(tag) for tag in tags[start : start + count]],
        }
        return page | ({"total_count": len(tags)} if with_total_count else {})

    def _create(self, account_id: str, parameters: Parameters) -> dict[str, Any]:
        parameters.require(*_VALUES)
        values = _values(parameters)
        _check_windows(values, parameters)
        if parameters.errors:
            return {}
        number = sum(map(len, self._tags.values()))
        tag = EventTag(f"onew{number}", f"nynew{number}", **values)
        self._tags[account_id].append(tag)
        self._made.add(tag.id)
        return {"data": self._as_json(tag)}

    def _with_one(self, method: str, account_id: str, tag_id: str, parameters: Parameters) -> dict[str, Any]:
        """Read, change or delete one tag."""
        tags = self._tags[account_id]
        with_deleted = method == "GET" and bool(parameters.boolean("with_deleted"))
        place = next((n for n, tag in enumerate(tags) if tag.id == tag_id and (with_deleted or not tag.deleted)), None)
        if place is None:
            parameters.errors.append(_NOT_FOUND)
            return {}
        changes: dict[str, Any] = {"deleted": True} if method == "DELETE" else {}
        if method == "PUT":
            changes = _values(parameters)
            _check_windows(asdict(tags[place]) | changes, parameters)
        if not parameters.errors:
            tags[place] = replace(tags[place], **changes)
        return {"data": self._as_json(tags[place])}

    def _as_json(self, tag: EventTag) -> dict[str, Any]:
        """The tag as X's reference shows it, fields in that order."""
        times = tag.last_tracked_at, self._last_received(tag.id), self._last_received(tag.website_tag_id)
        seen = max((time for time in times if time), default=None)
        return {
            "name": tag.name,
            "view_through_window": tag.view_through_window,
            "click_window": tag.click_window,
            "embed_code": _EMBED_CODE.format(id=tag.website_tag_id),
            "id": tag.id,
            "retargeting_enabled": tag.retargeting_enabled,
            "last_tracked_at": None if seen is None else f"{datetime.fromtimestamp(seen, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "status": "UNVERIFIED" if seen is None else "TRACKING",
            "type": tag.type,
            "website_tag_id": tag.website_tag_id,
            "deleted": tag.deleted,
        }


def _values(parameters: Parameters) -> dict[str, Any]:
    """The values of a tag that were given."""
    values = {
        "name": parameters.text("name"),
        "view_through_window": parameters.one_of("view_through_window", contract.VIEW_THROUGH_WINDOWS),
        "click_window": parameters.one_of("click_window", contract.CLICK_WINDOWS),
        "retargeting_enabled": parameters.boolean("retargeting_enabled"),
        "type": parameters.one_of("type", contract.EVENT_TAG_TYPES),
    }
    return {name: value for name, value in values.items() if value is not None}


def _check_windows(values: dict[str, Any], parameters: Parameters) -> None:
    click, view = values.get("click_window"), values.get("view_through_window")
    if click is not None and view is not None and view > click and not parameters.errors:
        parameters.refuse("view_through_window", "a value less than or equal to click_window")


def _sorted(tags: list[EventTag], sort_by: str | None) -> list[EventTag]:
    """The tags by an attribute, those without a value first; by their creation as they are."""
    attribute, _, order = (sort_by or "created_at-asc").partition("-")
    if attribute == "created_at":
        return tags[::-1] if order == "desc" else tags

    def key(tag: EventTag) -> tuple[bool, Any]:
        value = getattr(tag, attribute)
        return value is not None, value or 0 if not isinstance(value, str) else value

    return sorted(tags, key=key, reverse=order == "desc")


def _start(cursor: str | None, mark: str) -> int | None:
    """Where the page of ``cursor`` begins; None when the cursor is not of this list."""
    if cursor is None:
        return 0
    place = cursor.removeprefix(mark)
    try:
        return int(place, 16) if cursor.startswith(mark) else None
    except ValueError:
        return None
