"""The address of the page: sent only when asked for, as a URL, without anything personal."""

import json
from dataclasses import replace
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conversions.conftest import RULES
from xcapi_dagster.conversions.normalize import normalize_event_source_url
from xcapi_dagster.conversions.payload import to_events
from xcapi_dagster.conversions.prepare import prepare


def page(url: str | None) -> str | None:
    """The address that is sent, or else the reason why there is none."""
    normalized = normalize_event_source_url(pa.array([url], pa.string()), is_sent=True)
    (value,) = normalized.values.to_pylist()
    reasons = [code for code, rows in normalized.faults.items() if rows.to_pylist() == [True]]
    assert value is None or not reasons
    return reasons[0] if reasons else value


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://shop.example/thanks", "https://shop.example/thanks"),
        ("  http://shop.example:8080/a/b;c=1 ", "http://shop.example:8080/a/b;c=1"),
        ("https://shop.example/thanks?order=7&email=a@b.example", "https://shop.example/thanks"),
        ("https://shop.example/thanks#a@b.example", "https://shop.example/thanks"),
        ("https://shop.example?twclid=2", "https://shop.example"),
        ("https://shop.example/caf\u00e9 au lait", "https://shop.example/caf%C3%A9%20au%20lait"),
        ("https://shop.example/100%25", "https://shop.example/100%25"),
        ('https://shop.example/"quoted"', "https://shop.example/%22quoted%22"),
        (None, None),
        ("", None),
        ("shop.example/thanks", "invalid_url"),
        ("javascript:alert(1)", "invalid_url"),
        ("https://", "invalid_url"),
        ("https://user:word@shop.example/", "invalid_url"),
        ("https://shop.example/of/canary@example.com", "text_has_identifier"),
        ("https://shop.example/of/canary%40example.com", "text_has_identifier"),
        ("https://shop.example/" + "a" * 100_000, "text_too_long"),
    ],
)
def test_pages(given: str | None, sent: str | None) -> None:
    """RFC 3986 without query and fragment; what is no page, or has an address in it, is left out with its reason."""
    assert page(given) == sent


@given(st.text(), st.text())
def test_what_is_sent_is_a_url_without_a_query(host: str, rest: str) -> None:
    """Whatever stands there, only printable ASCII leaves, without a question mark or a number sign."""
    sent = page(f"https://{host}/{rest}")
    if sent and sent.startswith("https://"):
        assert sent.isascii()
        assert sent.isprintable()
        assert not {"?", "#", '"', " "} & set(sent)
        assert urlsplit(sent).query == ""


def order() -> pa.Table:
    return pa.table(
        {
            "order_id": ["1"],
            "ordered_at": pa.array([RULES.now]),
            "email": ["a@b.example"],
            "event_source_url": ["https://shop.example/thanks?q=1"],
        }
    )


@pytest.mark.parametrize(("is_sent", "sent"), [(True, "https://shop.example/thanks"), (False, None)])
def test_it_is_off_unless_asked_for(is_sent: bool, sent: str | None) -> None:  # noqa: FBT001
    prepared = prepare(order(), 0, replace(RULES, send_event_source_url=is_sent, unknown_consent="send"))
    assert json.loads(to_events(prepared.conversions).text_of(0)).get("event_source_url") == sent


def test_asking_for_it_changes_no_order_that_was_accepted() -> None:
    """The fingerprint, by which a changed order is found, leaves it out."""
    fingerprints = {
        prepare(order(), 0, replace(RULES, send_event_source_url=is_sent, unknown_consent="send"))
        .conversions["fingerprint"][0]
        .as_py()
        for is_sent in (True, False)
    }
    assert len(fingerprints) == 1


def test_files_of_before_it_was_known_can_be_sent() -> None:
    """They have no such column."""
    conversions = prepare(order(), 0, replace(RULES, unknown_consent="send")).conversions
    assert json.loads(to_events(conversions.drop_columns(["event_source_url"])).text_of(0))["conversion_id"] == "1"
