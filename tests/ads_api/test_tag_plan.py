"""What differs between the event tags that should exist and those that do."""

from typing import Any

import pytest

from xcapi_dagster.ads_api.tag_plan import WantedTag, of_id, plan, wanted_tags
from xcapi_dagster.ads_api.tag_values import EventTag
from xcapi_dagster.errors import ConfigurationError

ENTRY = {
    "name": "Purchase",
    "type": "PURCHASE",
    "click_window": 30,
    "view_through_window": 1,
    "retargeting_enabled": False,
}


def tag(tag_id: str, **changes: Any) -> EventTag:
    """A tag as ENTRY wants it."""
    more = {"embed_code": None, "last_tracked_at": None, "status": "UNVERIFIED", "deleted": False}
    return EventTag(**ENTRY | {"id": tag_id, "website_tag_id": f"ny{tag_id}"} | more | changes)


def step(*tags: EventTag, **changes: Any) -> Any:
    """What is to be done for ENTRY, changed."""
    (only,) = plan(wanted_tags([ENTRY | changes]), tags)
    return only


def test_it_is_there_as_it_should_be() -> None:
    """By its name, or by either of its ids whatever its name."""
    assert step(tag("o1")).action == "none"
    for tag_id in ("o1", "nyo1"):
        assert step(tag("o1"), tag("o2"), id=tag_id).action == "none"


def test_every_value_that_differs_is_told() -> None:
    """What it is and what it should be; a window of Events Manager's as it is."""
    found = step(tag("o1", click_window=90, retargeting_enabled=True, type="CUSTOM"))
    assert (found.action, [each.id for each in found.tags]) == ("update", ["o1"])
    assert found.changes == {
        "type": ("CUSTOM", "PURCHASE"),
        "click_window": (90, 30),
        "retargeting_enabled": (True, False),
    }
    assert step(tag("o1", name="Old"), id="o1").changes == {"name": ("Old", "Purchase")}


def test_it_is_not_there() -> None:
    """A deleted one of the same name is none."""
    assert step().action == "create"
    assert step(tag("o1", name="purchase"), tag("o2", deleted=True)).action == "create"


def test_a_name_that_several_have_needs_an_id() -> None:
    """Which is meant nobody can tell."""
    found = step(tag("o1"), tag("o2"), tag("o3", deleted=True))
    assert (found.action, [each.id for each in found.tags]) == ("choose", ["o1", "o2"])


def test_an_id_that_several_have_as_website_tag_id_names_none_of_them() -> None:
    """As the tags of one pixel may: to change the first of them would change what nobody meant."""
    tags = [tag("o1", website_tag_id="ny1"), tag("o2", website_tag_id="ny1", click_window=7)]
    found = step(*tags, id="ny1", click_window=14)
    assert (found.action, [each.id for each in found.tags]) == ("choose", ["o1", "o2"])
    assert step(*tags, tag("ny1"), id="ny1").action == "none"


def test_a_tag_that_one_means_by_its_id_is_no_other_by_its_name() -> None:
    """Else what is renamed would be changed to what should be made, and back the next time."""
    old = tag("o1", name="Old", click_window=14)
    renamed, made = plan(wanted_tags([ENTRY | {"id": "o1"}, ENTRY | {"name": "Old", "click_window": 7}]), [old])
    assert (renamed.action, renamed.tags, made.action) == ("update", (old,), "create")

    tags = [tag("o1"), tag("o2", click_window=7)]
    steps = plan(wanted_tags([ENTRY | {"id": "nyo1"}, ENTRY | {"click_window": 7}]), tags)
    assert [(each.action, each.tags) for each in steps] == [("none", (tags[0],)), ("none", (tags[1],))]


def test_both_ids_of_one_tag_do_not_change_it_twice() -> None:
    """The second would undo what the first did."""
    entries = [ENTRY | {"id": "o1", "click_window": 7}, ENTRY | {"id": "nyo1", "click_window": 14}]
    assert [each.action for each in plan(wanted_tags(entries), [tag("o1")])] == ["choose", "choose"]


def test_an_id_that_is_deleted_or_unknown_cannot_be_made() -> None:
    """X gives the ids."""
    assert step(tag("o1", deleted=True), id="o1").action == "deleted"
    assert step(tag("o1"), id="o2").action == "missing"


def test_the_better_match_of_an_id_is_the_first() -> None:
    """`id` before `website_tag_id`, and a living tag before a deleted one."""
    tags = [tag("o1", deleted=True), tag("o2", website_tag_id="o1"), tag("o3", website_tag_id="o2")]
    assert [each.id for each in of_id("o1", tags)] == ["o2", "o1"]
    assert [each.id for each in of_id("o2", tags)] == ["o2", "o3"]


def test_a_wanted_tag_is_written_as_it_was_read() -> None:
    """What an asset keeps of it makes the same again."""
    for entry in (ENTRY, ENTRY | {"id": "o1"}):
        (wanted,) = wanted_tags([entry | {"id": entry.get("id")}])
        assert isinstance(wanted, WantedTag)
        assert wanted.as_entry() == entry


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([ENTRY | {"click_window": 60}], "event_tags, 'Purchase': the click window"),
        ([ENTRY | {"click_window": "30"}], "click_window must be a whole number of days"),
        ([ENTRY | {"click_window": True}], "click_window must be a whole number of days"),
        ([ENTRY | {"retargeting_enabled": "no"}], "retargeting_enabled must be true or false"),
        ([ENTRY | {"name": 7}], "name must be text"),
        ([ENTRY | {"retargeting": True}], "retargeting is unknown; an event tag has name, type"),
        ([ENTRY | {"name": None}], "needs name"),
        ([ENTRY | {"id": ""}], "no event tag's id"),
        ([ENTRY | {"id": 12345.0}], "no event tag's id"),
        ([ENTRY, ENTRY], "'Purchase' is there twice"),
        ([ENTRY | {"id": "o1"}, ENTRY | {"id": "o1", "name": "Other"}], "'o1' is there twice"),
    ],
)
def test_what_cannot_be_wanted_is_named(entries: list[dict[str, Any]], words: str) -> None:
    """One line that says which entry and what about it."""
    with pytest.raises(ConfigurationError) as raised:
        wanted_tags(entries)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
