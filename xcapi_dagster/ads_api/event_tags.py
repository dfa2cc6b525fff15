"""The web event tags of an ads account: X's five calls, checked before they are made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xcapi_dagster.ads_api.account import AdsAccount, Document, Explain
from xcapi_dagster.ads_api.responses import Answer
from xcapi_dagster.ads_api.tag_values import (
    EventTag,
    TagValues,
    check_change,
    check_id,
    check_listing,
    check_new,
    read_tag,
)
from xcapi_dagster.contract import EVENT_TAGS_PATH
from xcapi_dagster.errors import AdsApiError

MAX_PAGES = 2_000  # X answers as many reads in 15 minutes
_ENDLESS = "X's list of event tags does not end, its pages repeat: ask again later, or for some ids alone"
_NO_SUCH_TAG = frozenset({"WEB_EVENT_TAG_NOT_FOUND", "NOT_FOUND", "INVALID_ID_ILLEGAL_CHARACTERS"})
_RULES: Mapping[str, str] = {
    "click_window": "the click window must be 1, 7, 14 or 30 days",
    "view_through_window": "the view through window must be 0, 1, 7, 14 or 30 days and at most the click window",
    "type": "the type must be one that X documents for event tags, in capitals",
    "name": "the name must be one that X takes",
    "count": "the count must be from 1 to 1000",
    "cursor": "the list changed while it was read: read it again",
    "sort_by": "X does not sort event tags by this attribute",
    "web_event_tag_ids": "the ids must be those of event tags, at most 200",
}


@dataclass(frozen=True, slots=True)
class Found:
    """The event tags of a list, each once, in X's order; ``total_count`` is X's when it was asked for."""

    tags: tuple[EventTag, ...]
    total_count: int | None = None


class EventTags:
    """What can be asked and changed.

    Every method raises ConfigurationError before any request when X documents that it would refuse, and when it does
    refuse; AdsApiError when X cannot be asked or contradicts its documentation.
    """

    def __init__(self, account: AdsAccount) -> None:
        self._account = account
        self._path = EVENT_TAGS_PATH.format(version=account.api_version, account_id=account.account_id)

    def find(
        self,
        *,
        ids: Sequence[str] = (),
        count: int | None = None,
        sort_by: str | None = None,
        with_deleted: bool = False,
        with_total_count: bool = False,
    ) -> Found:
        """All event tags, or those of ``ids``; ``count`` is how many X puts on a page (200 unless it is told)."""
        check_listing(ids, count, sort_by)
        given = {
            "web_event_tag_ids": ",".join(ids),
            "count": "" if count is None else str(count),
            "sort_by": sort_by or "",
            "with_deleted": "true" if with_deleted else "",
        }
        parameters = {name: value for name, value in given.items() if value}
        tags: dict[str, EventTag] = {}
        total_count = None
        for page in self._pages(parameters, with_total_count=with_total_count):
            total_count = page.get("total_count", total_count)
            before = len(tags)
            for tag in _tags(page):
                tags.setdefault(tag.id, tag)
            if page.get("next_cursor") and len(tags) == before:
                raise AdsApiError(_ENDLESS)
        return Found(tuple(tags.values()), total_count if type(total_count) is int else None)

    def get(self, tag_id: str, *, with_deleted: bool = False) -> EventTag:
        """The event tag of this id; a deleted one only ``with_deleted``."""
        check_id(tag_id)
        parameters = {"with_deleted": "true"} if with_deleted else {}
        return _tag(self._account.read(f"{self._path}/{tag_id}", parameters, self._explainer(tag_id)))

    def create(self, values: TagValues) -> EventTag:
        """A new event tag with these values, all of which are needed.

        When X's answer does not come, a tag that has just these values and was never tracked is taken for the new
        one; only when there is none it is made again.
        """
        check_new(values)

        def look() -> EventTag | None:
            untouched = (tag for tag in self.find().tags if not tag.last_tracked_at and not tag.deleted)
            return next((tag for tag in untouched if not values.differences(tag)), None)

        return self._account.write(
            "POST",
            self._path,
            values.parameters(),
            self._explainer(),
            take=_tag,
            look=look,
        )

    def update(self, tag_id: str, values: TagValues) -> EventTag:
        """The event tag with those of its values changed that are given."""
        check_id(tag_id)
        check_change(values)

        def look() -> EventTag | None:
            tag = self.get(tag_id)
            return None if values.differences(tag) else tag

        return self._account.write(
            "PUT", f"{self._path}/{tag_id}", values.parameters(), self._explainer(tag_id), take=_tag, look=look
        )

    def delete(self, tag_id: str) -> EventTag:
        """The event tag that was deleted; X keeps it as such."""
        check_id(tag_id)

        def look() -> EventTag | None:
            return next((tag for tag in self.find(ids=[tag_id], with_deleted=True).tags if tag.deleted), None)

        return self._account.write(
            "DELETE", f"{self._path}/{tag_id}", {}, self._explainer(tag_id), take=_tag, look=look
        )

    def _pages(self, parameters: Mapping[str, str], *, with_total_count: bool) -> Iterator[Document]:
        """Every page of a list. The total comes with the first: X does not take it together with a cursor."""
        asked = {**parameters, "with_total_count": "true"} if with_total_count else dict(parameters)
        cursors: set[str] = set()
        while len(cursors) < MAX_PAGES:
            page = self._account.read(self._path, asked, self._explainer())
            yield page
            cursor = page.get("next_cursor")
            if not cursor:
                return
            if not isinstance(cursor, str) or cursor in cursors:
                break
            cursors.add(cursor)
            asked = {**parameters, "cursor": cursor}
        raise AdsApiError(_ENDLESS)

    def _explainer(self, tag_id: str | None = None) -> Explain:
        """Words for a refusal that is about event tags, the one with ``tag_id`` or all."""

        def explain(answer: Answer) -> str | None:
            codes = {error.code for error in answer.errors if error.message_name is None}
            if tag_id is not None and codes & _NO_SUCH_TAG:
                return (
                    f"ads account {self._account.account_id} has no event tag {tag_id}, or it is deleted: "
                    f"`xcapi tags list --with-deleted` shows all ({answer.status})"
                )
            broken = [(error.template, _RULES.get(error.parameter or "")) for error in answer.errors]
            told = "; ".join(f"{template}: {rule}" for template, rule in broken if rule)
            return f"X refused: {told} ({answer.status})" if told and answer.kind == "refused" else None

        return explain


def _tags(page: Document) -> Iterator[EventTag]:
    """The tags of a page; X says that a single one may stand in the place of a list."""
    data = page["data"]
    for entry in data if isinstance(data, list) else [data]:
        yield _read(entry)


def _tag(document: Document) -> EventTag:
    """The one tag of an answer."""
    data = document["data"]
    return _read(data[0] if isinstance(data, list) and len(data) == 1 else data)


def _read(entry: Any) -> EventTag:
    tag = read_tag(entry)
    if tag is None:
        raise AdsApiError(
            "X's answer holds something else than event tags with their ids: does X_ADS_API_URL lead to it?"
        )
    return tag
