"""The JSON that goes to X: what a dictionary for each conversion would give, and one text that bodies are slices of."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.json_columns import escaped
from xcapi_dagster.conversions.payload import to_events
from xcapi_dagster.conversions.schema import CONVERSIONS
from xcapi_dagster.errors import ContractError

TIME = datetime(2022, 2, 18, 1, 14, 0, 603000, UTC)
EMAIL = "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"
PHONE = "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231"
AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36"
BLANKETS = [{"content_id": "1", "content_name": "Blankets", "content_price": "100.99", "num_items": 1}]

FULL: dict[str, Any] = {
    "row": 0,
    "order_id": "not sent",
    "conversion_id": "23294827",
    "event_id": "ol288",
    "conversion_time": TIME,
    "twclid": "23opevjt88psuo13lu8d020qkn",
    "hashed_email": EMAIL,
    "hashed_phone_number": PHONE,
    "ip_address": "1.0.0.0",
    "user_agent": AGENT,
    "value": Decimal("20.000000"),
    "currency": "USD",
    "number_items": 3,
    "description": "Pet supply purchases",
    "contents": json.dumps(BLANKETS, separators=(",", ":")),
    "fingerprint": 0,
}
LEAST = dict.fromkeys(FULL) | {name: FULL[name] for name in ("conversion_id", "event_id", "conversion_time", "twclid")}


def table(*conversions: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([LEAST | conversion for conversion in conversions], schema=CONVERSIONS)


def events(*conversions: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of conversions, parsed."""
    parsed: list[dict[str, Any]] = json.loads(to_events(table(*conversions)).body(slice(None)))["conversions"]
    return parsed


def as_dictionary(conversion: dict[str, Any]) -> dict[str, Any]:
    """The event of one conversion, made as the documents say and without any Arrow."""
    c = LEAST | conversion
    objects = [{name: c[name]} for name in ("twclid", "hashed_email", "hashed_phone_number") if c[name] is not None]
    pair = {name: c[name] for name in ("ip_address", "user_agent") if c[name] is not None}
    if len(pair) == 2:
        objects.append(pair)
    elif pair:
        objects[0] = pair | objects[0]
    event = {
        "conversion_time": c["conversion_time"].strftime("%Y-%m-%dT%H:%M:%S.")
        + f"{c['conversion_time'].microsecond // 1000:03d}Z",
        "event_id": c["event_id"],
        "identifiers": objects,
        "value": None if c["value"] is None else f"{c['value']:.2f}",
        "price_currency": c["currency"],
        "number_items": c["number_items"],
        "conversion_id": c["conversion_id"],
        "description": c["description"],
        "contents": c["contents"] and json.loads(c["contents"]),
    }
    return {name: value for name, value in event.items() if value is not None}


def as_text(value: Any) -> str:
    """A value as JSON without any space, and with no character escaped that need not be."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_the_event_of_the_documentation() -> None:
    """X's own example, byte by byte, but for its order of keys."""
    assert to_events(table(FULL)).body(slice(None)) == (
        b'{"conversions":[{"conversion_time":"2022-02-18T01:14:00.603Z","event_id":"ol288","identifiers":['
        b'{"twclid":"23opevjt88psuo13lu8d020qkn"},'
        b'{"hashed_email":"' + EMAIL.encode() + b'"},'
        b'{"hashed_phone_number":"' + PHONE.encode() + b'"},'
        b'{"ip_address":"1.0.0.0","user_agent":"' + AGENT.encode() + b'"}],'
        b'"value":"20.00","price_currency":"USD","number_items":3,"conversion_id":"23294827",'
        b'"description":"Pet supply purchases","contents":[{"content_id":"1","content_name":"Blankets",'
        b'"content_price":"100.99","num_items":1}]}]}'
    )


def test_nulls_are_left_out() -> None:
    """No key without a value."""
    assert events({}) == [
        {
            "conversion_time": "2022-02-18T01:14:00.603Z",
            "event_id": "ol288",
            "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
            "conversion_id": "23294827",
        }
    ]


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"hashed_email": EMAIL}, [{"hashed_email": EMAIL}]),
        ({"hashed_email": EMAIL, "ip_address": "1.0.0.0"}, [{"hashed_email": EMAIL, "ip_address": "1.0.0.0"}]),
        (
            {"hashed_email": EMAIL, "hashed_phone_number": PHONE, "user_agent": AGENT},
            [{"hashed_email": EMAIL, "user_agent": AGENT}, {"hashed_phone_number": PHONE}],
        ),
        ({"twclid": "x", "user_agent": AGENT, "hashed_phone_number": PHONE},
         [{"twclid": "x", "user_agent": AGENT}, {"hashed_phone_number": PHONE}]),
        ({"ip_address": "1.0.0.0", "user_agent": AGENT}, [{"ip_address": "1.0.0.0", "user_agent": AGENT}]),
        (
            {"hashed_phone_number": PHONE, "ip_address": "1.0.0.0", "user_agent": AGENT},
            [{"hashed_phone_number": PHONE}, {"ip_address": "1.0.0.0", "user_agent": AGENT}],
        ),
    ],
)  # fmt: skip
def test_identifiers(given_: dict[str, str], expected: list[dict[str, str]]) -> None:
    """Each alone, IP address and user agent together, a lone one of the two in the first object."""
    assert events({"twclid": None} | given_, {})[0]["identifiers"] == expected


TEXT = (
    st.none() | st.text(min_size=1, max_size=30) | st.sampled_from(['"', "\\", "\n\r\t", "\0", "\x7f", "\u2028", "😀"])
)
CONVERSION = st.fixed_dictionaries(
    {
        "conversion_id": st.text(min_size=1, max_size=10),
        "twclid": TEXT,
        "hashed_email": st.none() | st.just(EMAIL),
        "hashed_phone_number": st.just(PHONE),
        "ip_address": st.none() | st.just("1.0.0.0"),
        "user_agent": TEXT,
        "description": TEXT,
        "value": st.none() | st.decimals(0, 10**9, places=2),
        "number_items": st.none() | st.integers(1, 2**63 - 1),
        "contents": st.none() | st.just(FULL["contents"]),
        "conversion_time": st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
            lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
        ),
    }
)


@given(st.lists(CONVERSION, max_size=8))
@settings(max_examples=60)
def test_whatever_the_text_the_json_is_the_dictionarys(conversions: list[dict[str, Any]]) -> None:
    """Quotes, backslashes, line breaks, NUL, emoji: the same text that a dictionary for each row would become."""
    assert events(*conversions) == [as_dictionary(conversion) for conversion in conversions]
    texts = [as_text(as_dictionary(conversion)) for conversion in conversions]
    assert to_events(table(*conversions)).body(slice(None)).decode() == f'{{"conversions":[{",".join(texts)}]}}'


def test_ten_thousand_characters() -> None:
    """Long text is not cut."""
    text = "\"'\\\n😀é\0" * 1_500
    assert events({"conversion_id": text, "user_agent": text})[0]["conversion_id"] == text


@given(st.lists(TEXT | st.just("")), st.integers(0, 3), st.integers(0, 3))
def test_texts_are_escaped_one_by_one(texts: list[str | None], before: int, after: int) -> None:
    """Also those of a part of a column, whose bytes lie between those of others."""
    column = pa.array([*['"'] * before, *texts, *["\\"] * after], pa.string()).slice(before, len(texts))
    assert escaped(column).to_pylist() == [None if text is None else as_text(text)[1:-1] for text in texts]


@pytest.mark.parametrize("at", [0, 65_535, 65_536, 65_537, 99_999])
def test_what_is_to_be_escaped_is_found_in_long_columns(at: int) -> None:
    """Wherever it is."""
    texts = np.full(100_000, "a", object)
    texts[at] = "\n"
    assert pc.not_equal(escaped(pa.array(texts)), "a").to_numpy(zero_copy_only=False).nonzero()[0].tolist() == [at]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("20", "20.00"),
        ("0", "0.00"),
        ("1000", "1000.00"),
        ("1.234", "1.234"),
        ("0.000001", "0.000001"),
        ("9.9", "9.90"),
    ],
)
def test_values(value: str, text: str) -> None:
    """Decimal strings with a point, at least two decimals and no exponent."""
    assert events({"value": Decimal(value), "currency": "USD"})[0]["value"] == text


def test_bodies_are_slices() -> None:
    """All conversions, some in a row, any in any order, none."""
    made = to_events(table(*({"conversion_id": str(number)} for number in range(5))))

    def ids(positions: Any) -> list[str]:
        return [event["conversion_id"] for event in json.loads(made.body(positions))["conversions"]]

    assert len(made) == 5
    assert ids(slice(None)) == ["0", "1", "2", "3", "4"]
    assert ids(slice(1, 3)) == ["1", "2"]
    assert ids(slice(3, None)) == ["3", "4"]
    assert ids(np.array([4, 0, 2])) == ["4", "0", "2"]
    for nothing in (slice(2, 2), slice(3, 1), np.array([], np.intp)):
        assert made.body(nothing) == b'{"conversions":[]}'
    assert [json.loads(made.text_of(position))["conversion_id"] for position in range(5)] == ["0", "1", "2", "3", "4"]
    assert made.body(slice(None))[len(b'{"conversions":[') :] == bytes(made.text[: made.ends[-1] - 1]) + b"]}"


def test_columns_in_chunks_and_no_rows() -> None:
    """As they come out of Parquet files."""
    chunked = pa.concat_tables([table({"conversion_id": "1"}), table({"conversion_id": "2"})])
    assert len(to_events(chunked)) == 2
    assert to_events(CONVERSIONS.empty_table()).body(slice(None)) == b'{"conversions":[]}'


def test_a_conversion_without_identifier_is_a_bug() -> None:
    """It never shifts the others by one."""
    with pytest.raises(ContractError):
        events({}, {"twclid": None})
