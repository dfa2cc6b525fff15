"""What the event tags mean for the conversions that are sent: verdicts in words, from what X says."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xcapi_dagster.ads_api.tag_plan import wanted_tags
from xcapi_dagster.ads_api.tag_values import EventTag
from xcapi_dagster.reports.event_tags import EVENT_TAGS, Snapshot, Verdict, verdicts

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WANTED = {"type": "SIGN_UP", "click_window": 30, "view_through_window": 1, "retargeting_enabled": False}


def tag(**changes: Any) -> EventTag:
    """A purchase tag that works."""
    values: dict[str, Any] = {
        "name": "Purchase",
        "view_through_window": 1,
        "click_window": 30,
        "embed_code": "<script></script>",
        "id": "o87ne",
        "retargeting_enabled": False,
        "last_tracked_at": NOW - timedelta(hours=3),
        "status": "TRACKING",
        "type": "PURCHASE",
        "website_tag_id": "ny87n",
        "deleted": False,
    }
    return EventTag(**values | changes)


def judged(
    *tags: EventTag, event_id: str = "o87ne", wanted: Any = (), oldest: Mapping[str, timedelta] | None = None
) -> dict[str, Verdict]:
    """The verdicts on these tags."""
    snapshot = Snapshot("18ce55gze09", tags, NOW)
    return dict(verdicts(snapshot, [event_id], wanted_tags(wanted), lambda _: oldest or {}))


def failing(*tags: EventTag, **options: Any) -> dict[str, str]:
    return {name: verdict.told for name, verdict in judged(*tags, **options).items() if not verdict.passed}


@pytest.mark.parametrize(("event_id", "as_what"), [("o87ne", "id"), ("ny87n", "website_tag_id")])
def test_a_tag_that_works_is_found_by_either_id(event_id: str, as_what: str) -> None:
    """Everything passes, and both ids are told, since X's pages differ in which of them it is."""
    told = judged(tag(), event_id=event_id)
    assert all(verdict.passed for verdict in told.values())
    assert "(id o87ne, website_tag_id ny87n)" in told["event_ids_in_account"].told
    assert told["event_ids_in_account"].told.endswith(f"found as {as_what}")
    assert "TRACKING, last tracked 3 h ago" in told["event_tags_tracking"].told


def test_an_id_of_nothing_in_the_account() -> None:
    """The account is named, and the tags that may have been meant."""
    others = [tag(id=f"o{n}", name=f"Shop {n}") for n in range(5)]
    told = failing(*others, tag(id="ocart", type="ADD_TO_CART"), event_id="onone")
    assert set(told) == {"event_ids_in_account"}
    for words in (
        "onone: no event tag of ads account 18ce55gze09",
        "mistyped or another account's",
        "Shop 2",
        "2 more",
    ):
        assert words in told["event_ids_in_account"]
    assert "ocart" not in told["event_ids_in_account"]
    assert "is none" in failing(event_id="onone")["event_ids_in_account"]


def test_a_deleted_tag_is_known_and_useless() -> None:
    """That is one fault, not five."""
    told = failing(tag(deleted=True, status="UNVERIFIED", type="CUSTOM"))
    assert set(told) == {"event_ids_not_deleted"}
    assert "X refuses conversions with it" in told["event_ids_not_deleted"]


def test_of_two_tags_the_living_one_counts() -> None:
    """A deleted tag may have as its id what is another's website_tag_id."""
    assert failing(tag(deleted=True), tag(id="onew", website_tag_id="o87ne")) == {}


def test_the_type_is_that_of_a_purchase_unless_the_yaml_says_otherwise() -> None:
    """By its id there, by its other id, or by the name."""
    sign_up = tag(type="SIGN_UP", name="Join")
    assert "is of type SIGN_UP, not PURCHASE" in failing(sign_up)["event_types_as_expected"]
    for entry in ({"name": "Join"}, {"name": "Join", "id": "o87ne"}, {"name": "Join", "id": "ny87n"}):
        assert failing(sign_up, wanted=[WANTED | entry]) == {}
    assert "SIGN_UP" in failing(tag(name="Join"), wanted=[WANTED | {"name": "Join"}])["event_types_as_expected"]


def test_an_unverified_tag_is_told_with_its_age() -> None:
    """As is one that has been tracked and is not any more."""
    assert (
        "UNVERIFIED, last tracked never"
        in failing(tag(status="UNVERIFIED", last_tracked_at=None))["event_tags_tracking"]
    )
    old = NOW - timedelta(days=40)
    assert "last tracked 40 days ago" in failing(tag(status="UNVERIFIED", last_tracked_at=old))["event_tags_tracking"]


@pytest.mark.parametrize("by", ["o87ne", "ny87n"])
def test_orders_older_than_the_click_window(by: str) -> None:
    """Either id may be what the orders were sent with; as old as the window is not older."""
    assert failing(tag(), oldest={by: timedelta(days=30)}) == {}
    told = failing(tag(), oldest={by: timedelta(days=45, hours=3)})
    assert set(told) == {"click_windows_long_enough"}
    assert "click window of 30 days, and orders were up to 46 days old" in told["click_windows_long_enough"]


@pytest.mark.parametrize("age", [timedelta(days=7, milliseconds=1), timedelta(days=7, hours=9), timedelta(days=8)])
def test_ages_above_the_click_window_are_told_as_such(age: timedelta) -> None:
    """By however little: "up to 7 days old" would fit into 7 days."""
    told = failing(tag(click_window=7), oldest={"o87ne": age})["click_windows_long_enough"]
    assert "click window of 7 days, and orders were up to 8 days old" in told


def test_ages_are_asked_for_beyond_the_shortest_window_alone() -> None:
    """Of the configured event; another tag's window is nobody's business here."""
    asked: list[timedelta] = []

    def oldest_beyond(window: timedelta) -> Mapping[str, timedelta]:
        asked.append(window)
        return {}

    snapshot = Snapshot("18ce55gze09", (tag(click_window=14), tag(id="o2", website_tag_id="ny2", click_window=1)), NOW)
    verdicts(snapshot, ["o87ne"], [], oldest_beyond)
    assert asked == [timedelta(days=14)]


def test_what_should_exist_and_does_not_is_named() -> None:
    """The plan says what differs."""
    wanted = [WANTED | {"name": "Join"}, WANTED | {"name": "Purchase", "type": "PURCHASE", "click_window": 7}]
    assert failing(tag(), wanted=wanted)["event_tags_as_configured"].startswith("Join, Purchase: ")


def test_the_table_holds_what_x_says() -> None:
    """Every tag, the deleted ones too, in the documented columns."""
    table = Snapshot("18ce55gze09", (tag(), tag(id="o2", deleted=True, last_tracked_at=None, type=None)), NOW).table()
    assert table.schema.equals(EVENT_TAGS)
    assert table.to_pylist()[1] == {
        "id": "o2", "website_tag_id": "ny87n", "name": "Purchase", "type": None, "status": "TRACKING",
        "click_window": 30, "view_through_window": 1, "retargeting_enabled": False, "last_tracked_at": None,
        "deleted": True, "read_at": NOW,
    }  # fmt: skip
    assert len(Snapshot("18ce55gze09", (), NOW).table()) == 0
