"""The items of orders become X's `contents`, whole or not at all."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.conversions.items import to_contents

ITEM = pa.struct(
    [
        ("content_id", pa.string()),
        ("content_group_id", pa.int32()),
        ("content_name", pa.string()),
        ("content_price", pa.decimal128(18, 3)),
        ("content_type", pa.dictionary(pa.int8(), pa.string())),
        ("num_items", pa.int16()),
        ("warehouse", pa.string()),
    ]
)
BLANKET = {
    "content_id": "1",
    "content_group_id": 123,
    "content_name": 'A "soft" blanket\n',
    "content_price": Decimal("100.990"),
    "content_type": "Pet supplies",
    "num_items": 1,
    "warehouse": "B",
}
BLANKET_SENT = {
    "content_id": "1",
    "content_group_id": "123",
    "content_name": 'A "soft" blanket',
    "content_price": "100.99",
    "content_type": "Pet supplies",
    "num_items": 1,
}


def contents(column: pa.Array) -> list[Any]:
    """The contents of each order, or the name of what is wrong with them."""
    found = to_contents(column)
    return [
        "invalid" if invalid else "has_email" if has_email else text and json.loads(text)
        for text, invalid, has_email in zip(*(each.to_pylist() for each in found), strict=True)
    ]


@pytest.mark.parametrize("build", [pa.list_, pa.large_list, pa.list_view, pa.large_list_view])
def test_lists_of_structs(build: Any) -> None:
    """In any kind of list: known fields in the documented order, whole numbers as text, no nulls, no empty items."""
    orders = [[BLANKET, {"content_id": "2"}], None, [], [None, {}, {"content_name": " "}], [{"num_items": 3}]]
    column = pa.array(orders, build(ITEM))
    expected = [[BLANKET_SENT, {"content_id": "2"}], None, None, None, [{"num_items": 3}]]
    assert contents(column) == expected
    assert contents(column.slice(1)) == expected[1:]
    assert list(json.loads(to_contents(column).values[0].as_py())[0]) == list(BLANKET_SENT)


def test_a_null_list_may_hide_items() -> None:
    """What lies below a null in Arrow's buffers shifts nothing."""
    items = pa.array([{"content_id": "hidden"}, {"content_id": "seen"}])
    column = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), items, mask=pa.array([True, False]))
    assert contents(column) == [None, [{"content_id": "seen"}]]


def test_fixed_size_lists_and_other_widths() -> None:
    """Two items in every order, with fewer fields and other types."""
    item = pa.struct([("content_price", pa.float64()), ("content_id", pa.int64())])
    column = pa.array([[{"content_price": 0.1 + 0.2}, {"content_id": 7}], None], pa.list_(item, 2))
    assert contents(column) == [[{"content_price": "0.30"}, {"content_id": "7"}], None]


@pytest.mark.parametrize(
    "item",
    [
        {"content_price": Decimal(-1)},
        {"num_items": 0},
        {"num_items": -2},
    ],
)
def test_one_bad_item_spoils_the_list(item: dict[str, Any]) -> None:
    """No order is sent with some of its items; the other orders keep theirs."""
    assert contents(pa.array([[BLANKET, item], [BLANKET]], pa.list_(ITEM))) == ["invalid", [BLANKET_SENT]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"content_id": 1, "content_price": 12.5, "num_items": 2}]',
         [{"content_id": "1", "content_price": "12.50", "num_items": 2}]),
        ('[{"content_price": "1234.5"}, {"content_price": 33.333333333333336}, {"content_price": 1e3}]',
         [{"content_price": "1234.50"}, {"content_price": "33.333333"}, {"content_price": "1000.00"}]),
        ('[{"content_name": "\\u00e9\\ud83d\\ude00 \\"x\\" \\\\ \\u0000"}]', [{"content_name": 'é😀 "x" \\ \x00'}]),
        ('[{"content_id": null, "sku": "1"}, null, {}]', None),
        ('"[{\\"content_id\\": 1.0}]"', [{"content_id": "1"}]),
        ("[]", None),
        ("null", None),
        ('"null"', None),
        ('"a"', "invalid"),
        ("5", "invalid"),
        (" ", None),
        (None, None),
        ("{}", "invalid"),
        ("[1]", "invalid"),
        ('["a"]', "invalid"),
        ("not json", "invalid"),
        ("[" * 100_000, "invalid"),
        ('[{"content_price": NaN}]', "invalid"),
        ('[{"content_price": 1e400000}]', "invalid"),
        ('[{"content_price": "12,50"}]', "invalid"),
        ('[{"content_price": -0.01}]', "invalid"),
        ('[{"content_id": true}]', "invalid"),
        ('[{"content_id": {"a": 1}}]', "invalid"),
        ('[{"content_id": "\\ud800"}]', "invalid"),
        ('[{"num_items": 1.5}]', "invalid"),
        ('[{"content_name": "for marie@example.com"}]', "has_email"),
    ],
)  # fmt: skip
def test_json_text(text: str | None, expected: Any) -> None:
    """An array of objects, in which numbers are what most programs mean by them; anything else is invalid."""
    assert contents(pa.array([text, None], pa.string())) == [expected, None]


@pytest.mark.parametrize("field", ["content_id", "content_name", "content_price", "num_items"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.list_(pa.string()), ["x"]),
        (pa.large_list(pa.string()), ["x"]),
        (pa.list_(pa.string(), 1), ["x"]),
        (pa.list_view(pa.string()), ["x"]),
        (pa.struct([("a", pa.string())]), {"a": "x"}),
        (pa.struct([]), {}),
        (pa.map_(pa.string(), pa.string()), [("a", "x")]),
        (pa.dense_union([pa.field("a", pa.string())]), None),
    ],
)
def test_a_field_of_any_type_spoils_no_more_than_its_order(field: str, kind: pa.DataType, value: object) -> None:
    """Where it is null it says nothing, elsewhere its order's items cannot be sent; nothing is raised."""
    if isinstance(kind, pa.UnionType):
        fields = pa.UnionArray.from_dense(
            pa.array([0, 0], pa.int8()), pa.array([0, 1], pa.int32()), [pa.array(["x", "y"])]
        )
    else:
        fields = pa.array([value, None], kind)
    items = pa.StructArray.from_arrays([pa.array(["1", "2"]), fields], ["content_type", field])
    found = contents(pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), items))
    assert found[0] == "invalid"
    assert found[1] in ("invalid", [{"content_type": "2"}])


@pytest.mark.parametrize("kind", [pa.decimal32(5, 2), pa.decimal64(9, 2), pa.decimal256(40, 2)])
def test_decimals_of_any_width_are_prices(kind: pa.DataType) -> None:
    """As DuckDB and others give them."""
    item = pa.struct([("content_price", kind), ("num_items", kind)])
    assert contents(
        pa.array([[{"content_price": Decimal("12.25"), "num_items": Decimal("2.00")}]], pa.list_(item))
    ) == [[{"content_price": "12.25", "num_items": 2}]]


def test_other_types_are_invalid() -> None:
    """A list of texts, a map, a number: invalid where there is something, nothing where there is not."""
    columns = [
        pa.array([["a"], None]),
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())),
        pa.array([1, None]),
        pa.array([BLANKET, None], ITEM),
    ]
    for column in columns:
        assert contents(column) == ["invalid", None]
    assert contents(pa.array([[], None], pa.list_(pa.string()))) == [None, None]
    assert contents(pa.nulls(2)) == [None, None]
    assert contents(pa.array([], pa.list_(ITEM))) == []


TEXTS = ("content_id", "content_name", "content_type")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="@\ufffd"), max_size=8)
FIELDS = st.fixed_dictionaries({}, optional=dict.fromkeys(TEXTS, st.none() | TEXT))


@given(st.lists(st.none() | st.lists(FIELDS, max_size=3), max_size=6))
@settings(max_examples=60)
def test_texts_arrive_unharmed(orders: list[list[dict[str, str | None]] | None]) -> None:
    """Whatever is in the texts, what is parsed from the contents is the stripped items, in both forms."""
    expected = []
    for items in orders:
        stripped = [{k: v.strip() for k, v in item.items() if v and v.strip()} for item in items or []]
        expected.append([item for item in stripped if item] or None)
    structs = pa.array(orders, pa.list_(pa.struct([(name, pa.string()) for name in TEXTS])))
    assert contents(structs) == expected
    assert (
        contents(pa.array([None if items is None else json.dumps(items) for items in orders], pa.string())) == expected
    )


def test_of_long_json_a_few_texts_are_read_at_a_time() -> None:
    """Ten orders of 36,000 items: as Python's objects they would take more than 130 MB at once."""
    texts = [json.dumps([{"content_id": f"{number}-{item}"} for item in range(36_000)]) for number in range(10)]
    column = pa.array(texts)
    tracemalloc.start()
    contents = to_contents(column)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert json.loads(contents.values[9].as_py()) == json.loads(texts[9])
    assert most < 65_000_000
