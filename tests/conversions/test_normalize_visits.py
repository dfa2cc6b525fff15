"""What a visit leaves behind: X's click id in a landing URL, and the visitor's address."""

import re
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.normalize import Normalized, normalize_ip_address, normalize_twclid

# What JavaScript, Python, pandas, SQL and people write where there is nothing.
NOTHING = (
    *("null", "undefined", "none", "nan", "nil", "n/a", "na", "unknown", "-"),
    *(r"\n", "<na>", "#n/a", "[null]", "(null)", "<null>"),
)


def column(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def only(normalized: Normalized) -> str | None:
    """The one value, or else the reason why there is none."""
    reasons = [code for code, rows in normalized.faults.items() if rows.to_pylist() == [True]]
    (value,) = normalized.values.to_pylist()
    assert len(reasons) <= 1
    assert value is None or not reasons
    return reasons[0] if reasons else value


@pytest.mark.parametrize(
    ("url", "twclid"),
    [
        ("https://shop.example.com/?twclid=2azje9kuu29li4xqi4eq6te39x", "2azje9kuu29li4xqi4eq6te39x"),
        ("https://shop.example.com/?a=1&twclid=AbC&b=2#top", "AbC"),
        ("https://shop.example.com/?twclid=first&twclid=second", "first"),
        ("https://shop.example.com/?twclid=&twclid=second", "second"),
        ("https://shop.example.com/?twclid=%20a%2Bb+c%20", "a+b c"),
        ("https://shop.example.com/?twclid=%C3%A9%F0%9F%98%80", "é😀"),
        ("/landing?twclid=x", "x"),
        ("https://shop.example.com/#?twclid=x", None),
        ("https://shop.example.com/#/?a=1&twclid=x", None),
        ("https://shop.example.com/?a=b?twclid=x", None),
        ("https://shop.example.com/?xtwclid=x&twclidx=y", None),
        ("https://shop.example.com/twclid=x", None),
        ("https://shop.example.com/?TWCLID=x", None),
        ("https://shop.example.com/?twclid=%20", None),
        ("twclid=x", None),
        ("", None),
        (None, None),
    ],
)
def test_twclid_in_landing_urls(url: str | None, twclid: str | None) -> None:
    """The first value in the query, decoded and trimmed, never hashed, never in lower case."""
    assert only(normalize_twclid(column(None), column(url))) == twclid


@given(st.lists(st.tuples(st.sampled_from(["twclid", "a", "b"]), st.text(max_size=6)), max_size=4), st.text(max_size=4))
@settings(max_examples=80)
def test_twclid_is_what_python_parses(pairs: list[tuple[str, str]], fragment: str) -> None:
    """`parse_qs` finds the same value."""
    query = "&".join(f"{name}={quote(value)}" for name, value in pairs)
    url = f"https://shop.example.com/?{query}#{quote(fragment)}"
    expected = parse_qs(urlsplit(url).query).get("twclid", [""])[0].strip() or None
    if expected and expected.lower() in NOTHING:
        expected = None
    found = only(normalize_twclid(column(None), column(url)))
    assert found == expected or found == "text_has_identifier" or expected == "\ufffd"


# "twclid" in the query, not behind "#", right behind the first "?" or an "&", with a value: in Python's own words.
TWCLID = re.compile(r"[^?#]*\?(?:[^#]*?&)??twclid=([^&#]+)", re.DOTALL)


@given(st.lists(st.lists(st.sampled_from(["twclid=", "?", "&", "#", "a", "=", "\n", ""]), max_size=8), max_size=6))
@settings(max_examples=300)
def test_twclid_is_found_wherever_it_stands(urls: list[list[str]]) -> None:
    """In odd URLs too, each beside others."""
    texts = [None, *("".join(pieces) for pieces in urls)]
    matches = [TWCLID.match(text) if text else None for text in texts]
    expected = [(match and match[1].strip()) or None for match in matches]
    assert normalize_twclid(pa.nulls(len(texts), pa.string()), column(*texts)).values.to_pylist() == expected


def test_the_twclid_column_goes_before_the_url() -> None:
    """A blank or unreadable one leaves it to the URL."""
    url = column("https://shop.example.com/?twclid=url")
    assert only(normalize_twclid(column(" ClickId "), url)) == "ClickId"
    assert only(normalize_twclid(column("  "), url)) == "url"
    assert only(normalize_twclid(column("\ufffd"), url)) == "url"


def test_an_unreadable_landing_url_is_told_where_its_click_id_is_missed(prepare_order: Any) -> None:
    """Beside a click id in its own column it is of no use."""
    prepared = prepare_order(twclid=pa.array([None, "ClickId"]), landing_url=b"/caf\xe9?twclid=url", email="a@b.de")
    (told,) = prepared.rejections.to_pylist()
    assert (told["row"], told["reason_code"], told["column"]) == (0, "text_unreadable", "landing_url")
    assert prepared.conversions["twclid"].to_pylist() == [None, "ClickId"]


@pytest.mark.parametrize("word", NOTHING)
def test_what_stands_for_no_click_id_is_none(word: str) -> None:
    """In the column it leaves the order to the URL; in neither place is it a fault, or sent."""
    words = column(word, f" {word.upper()}\t", word.title(), f"{word}1")
    nowhere, somewhere = (column(*[url] * 4) for url in (None, "https://shop.example.com/?twclid=url"))
    assert normalize_twclid(words, nowhere).values.to_pylist() == [None, None, None, f"{word}1"]
    assert normalize_twclid(words, somewhere).values.to_pylist() == ["url", "url", "url", f"{word}1"]
    urls = column(*(f"https://shop.example.com/?twclid={each}" for each in (word, f"%20{word}+&b=1", f"{word} ")))
    found = normalize_twclid(column(None, None, None), urls)
    assert found.values.to_pylist() == [None] * 3
    assert not any(any(rows.to_pylist()) for rows in found.faults.values())


@pytest.mark.parametrize("word", [*NOTHING, "NULL", " undefined "])
def test_what_stands_for_no_user_agent_makes_no_pair(prepare_order: Any, word: str) -> None:
    """An IP address beside it identifies nobody; beside a real one it does."""
    prepared = prepare_order(twclid=None, ip_address="8.25.197.25", user_agent=column(word, "Mozilla/5.0"))
    assert prepared.rejections["reason_code"].to_pylist() == ["needs_second_identifier"]
    assert prepared.conversions["user_agent"].to_pylist() == ["Mozilla/5.0"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("1.0.0.0", "1.0.0.0"),  # X's examples
        (" 8.25.197.25\n", "8.25.197.25"),
        ("2600:1700::5:8", "ip_not_ipv4"),
        ("::ffff:8.25.197.25", "ip_not_ipv4"),
        ("8.25.197.256", "ip_not_ipv4"),
        ("8.25.197", "ip_not_ipv4"),
        ("8.25.197.25.1", "ip_not_ipv4"),
        ("08.25.197.25", "ip_not_ipv4"),
        ("8.25.197.25:443", "ip_not_ipv4"),
        ("8.25.197.25, 10.0.0.1", "ip_not_ipv4"),
        ("135872793", "ip_not_ipv4"),
        ("\uff11.0.0.0", "ip_not_ipv4"),
        ("", None),
        (None, None),
    ],
)
def test_ip_addresses(raw: str | None, expected: str | None) -> None:
    """Dotted IPv4 alone, trimmed."""
    assert only(normalize_ip_address(column(raw))) == expected


NETWORKS = ["0", "10", "100.64", "100.127", "100.63", "127", "169.254", "172.15", "172.16", "172.31", "172.32", "192.0"]
NETWORKS += [
    "192.0.0",
    "192.0.2",
    "192.168",
    "198.17",
    "198.18",
    "198.19",
    "198.51.100",
    "203.0.113",
    "224",
    "255",
    "1",
]


@given(st.sampled_from(NETWORKS), st.lists(st.integers(0, 255), min_size=4, max_size=4))
@settings(max_examples=300)
def test_public_is_what_python_calls_global(network: str, octets: list[int]) -> None:
    """But for 192.0.0.0/24, of which newer editions of Python call two addresses global."""
    address = ".".join([*network.split("."), *map(str, octets)][:4])
    found = IPv4Address(address)
    is_public = found.is_global and not found.is_multicast and not address.startswith("192.0.0.")
    assert only(normalize_ip_address(column(address))) == (address if is_public else "ip_not_public")
