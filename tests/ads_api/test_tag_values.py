"""What X documents of an event tag's values, held before any request, and what X says of one, read without trust."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster import contract
from xcapi_dagster.ads_api.tag_values import (
    EventTag,
    TagValues,
    check_change,
    check_id,
    check_listing,
    check_new,
    read_tag,
)
from xcapi_dagster.errors import ConfigurationError

# X's reference, the German page, with the code shortened
DOCUMENTED = {
    "name": "web event tag",
    "view_through_window": 7,
    "click_window": 7,
    "embed_code": '<script src="//platform.x.com/oct.js" type="text/javascript"></script>',
    "id": "o3bk1",
    "retargeting_enabled": False,
    "last_tracked_at": "2021-05-22T17:00:04Z",
    "status": "TRACKING",
    "type": "DOWNLOAD",
    "website_tag_id": "ny3od",
    "deleted": False,
}
WHOLE = TagValues(
    name="Purchase", type="PURCHASE", click_window=30, view_through_window=1, retargeting_enabled=False
)  # fmt: skip


def refusal(check, *arguments) -> str:
    """The message of a check that does not pass."""
    with pytest.raises(ConfigurationError) as raised:
        check(*arguments)
    return str(raised.value)


def changed(**values) -> TagValues:
    return TagValues(**WHOLE.given() | values)


@pytest.mark.parametrize("type_", contract.EVENT_TAG_TYPES)
def test_every_documented_type_passes(type_: str) -> None:
    """The fourteen types of X's reference."""
    assert len(contract.EVENT_TAG_TYPES) == 14
    check_new(changed(type=type_))


@pytest.mark.parametrize("click", [1, 7, 14, 30])
@pytest.mark.parametrize("view", [0, 1, 7, 14, 30])
def test_a_view_window_is_at_most_the_click_window(click: int, view: int) -> None:
    """All pairs of documented windows, and no others."""
    values = changed(click_window=click, view_through_window=view)
    if view <= click:
        check_new(values)
        check_change(values)
    else:
        assert f"({view}) must be at most the click window ({click})" in refusal(check_new, values)
        assert "at most" in refusal(check_change, values)


@pytest.mark.parametrize("days", [60, 90])
@pytest.mark.parametrize("name", ["click_window", "view_through_window"])
def test_windows_of_events_manager_are_refused_with_the_reason(name: str, days: int) -> None:
    """X's interface has 60 and 90 days, its API has not."""
    message = refusal(check_change, TagValues(**{name: days}))
    assert f"not {days}: Events Manager can set it, X's API cannot" in message
    assert name.replace("_", " ") in message


@pytest.mark.parametrize("days", [-1, 2, 31, 7000])
def test_other_windows_are_refused_with_the_list(days: int) -> None:
    """The message has what X takes."""
    assert "must be 1, 7, 14 or 30 days" in refusal(check_change, TagValues(click_window=days))
    assert "must be 0, 1, 7, 14 or 30 days" in refusal(check_change, TagValues(view_through_window=days))


@pytest.mark.parametrize(
    ("given_type", "hint"),
    [
        ("Page view", "SITE_VISIT"),
        ("PAGE_VIEW", "SITE_VISIT"),
        ("page-view", "SITE_VISIT"),
        ("Lead", "SIGN_UP"),
        ("LEAD", "SIGN_UP"),
        ("purchase", "did you mean PURCHASE?"),
        ("ADD_TO_CARD", "did you mean ADD_TO_CART?"),
        ("REFUND_XYZ", "it must be ADDED_PAYMENT_INFO, "),
        ("", "it must be ADDED_PAYMENT_INFO, "),
    ],
)
def test_a_wrong_type_gets_a_hint(given_type: str, hint: str) -> None:
    """The names that Events Manager shows, other spellings, and else the list."""
    assert hint in refusal(check_new, changed(type=given_type))


@pytest.mark.parametrize("name", ["", "  ", " x", "x\n", "a\x1b[2Jb", "a\tb"])
def test_a_name_that_nobody_can_see_or_find_again_is_refused(name: str) -> None:
    """Empty, or with what a terminal or a comparison would trip over."""
    assert "the name must not" in refusal(check_new, changed(name=name))


def test_all_that_is_missing_and_wrong_is_told_at_once() -> None:
    """One line, not one at a time."""
    message = refusal(check_new, TagValues(type="LEAD", click_window=60))
    for word in ("name", "view through window", "retargeting enabled", "SIGN_UP", "60"):
        assert word in message
    assert "\n" not in message
    assert "nothing to change" in refusal(check_change, TagValues())


@pytest.mark.parametrize("tag_id", ["", "O3BK1", "o3bk1/../x", "o3 bk1", "x" * 41, "\u0663", "tw-a-b"])
def test_an_id_is_base_36(tag_id: str) -> None:
    """Nothing else goes into a path."""
    assert "no event tag's id" in refusal(check_id, tag_id)


def test_lists_have_limits() -> None:
    """200 ids, 1 to 1,000 on a page, a sort order of X's form."""
    check_listing(["o1"] * 200, 1000, "created_at-asc")
    check_listing([], 1, None)
    assert "at most 200 ids at once, not 201" in refusal(check_listing, ["o1"] * 201, None, None)
    for count in (0, 1001, -5):
        assert "from 1 to 1000" in refusal(check_listing, [], count, None)
    for sort_by in ("name", "name-up", "name-asc&x=1", ""):
        assert "-asc or -desc" in refusal(check_listing, [], None, sort_by)


def test_the_documented_tag_is_read_and_written_as_it_is() -> None:
    """Every field of X's example, and back."""
    tag = read_tag(DOCUMENTED)
    assert tag is not None
    assert tag.last_tracked_at == datetime(2021, 5, 22, 17, 0, 4, tzinfo=UTC)
    assert tag.as_json() == DOCUMENTED
    assert tag.ids == ("o3bk1", "ny3od")


@pytest.mark.parametrize("days", [60, 90])
def test_windows_of_events_manager_are_read(days: int) -> None:
    """What X's interface has set is shown."""
    tag = read_tag(DOCUMENTED | {"click_window": days, "view_through_window": days})
    assert tag is not None
    assert (tag.click_window, tag.view_through_window) == (days, days)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(JSON | st.dictionaries(st.sampled_from(list(DOCUMENTED)), JSON))
def test_whatever_x_answers_is_a_tag_or_none(entry) -> None:
    """A tag has an id of X's form; every other field is of its kind or None."""
    tag = read_tag(entry)
    if tag is not None:
        assert contract.PIXEL_ID.fullmatch(tag.id)
        assert type(tag.click_window) in (int, type(None))
        assert type(tag.deleted) in (bool, type(None))
        assert tag.last_tracked_at is None or tag.last_tracked_at.tzinfo is not None
        tag.as_json()


def tag(**changes) -> EventTag:
    read = read_tag(DOCUMENTED | changes)
    assert read is not None
    return read


def test_differences_are_those_of_the_given_values() -> None:
    """False and 0 are values; None leaves one alone."""
    values = TagValues(name="web event tag", view_through_window=0, retargeting_enabled=False)
    assert values.differences(tag()) == {"view_through_window": (7, 0)}
    assert values.parameters() == {
        "name": "web event tag",
        "view_through_window": "0",
        "retargeting_enabled": "false",
    }


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("2021-05-22T17:00:04Z", "3 h ago"),
        ("2021-05-12T20:00:04Z", "10 days ago"),
        ("2021-05-23T20:00:04Z", "0 h ago"),
        (None, "never"),
        ("soon", "never"),
    ],
)
def test_age_in_words(seen, words: str) -> None:
    """Hours at first, then days; a clock that is ahead is no age below zero."""
    assert tag(last_tracked_at=seen).last_seen(datetime(2021, 5, 22, 20, 0, 4, tzinfo=UTC)) == words
