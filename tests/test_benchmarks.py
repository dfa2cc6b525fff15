"""The benchmark times nothing that is wrong: what the product sends is what the straightforward script would send."""

from pathlib import Path

import pytest

from benchmarks.correctness import check
from benchmarks.orders import write_orders
from benchmarks.receiver import problem_of


@pytest.mark.slow
def test_a_thousand_orders_arrive_as_the_script_would_send_them(tmp_path: Path) -> None:
    """Phones of eight countries, click ids, items, orders that are bad in eight ways."""
    write_orders(tmp_path / "orders.duckdb", 1_000)
    assert "arrived once each" in check(tmp_path / "orders.duckdb", tmp_path)


def test_the_same_number_gives_the_same_orders(tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415

    told = []
    for name in ("one", "two"):
        write_orders(tmp_path / f"{name}.duckdb", 500)
        with duckdb.connect(str(tmp_path / f"{name}.duckdb"), read_only=True) as connection:
            told.append(connection.sql("SELECT * FROM orders").fetchall())
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "conversion",
    [
        {"identifiers": [], "conversion_time": "t", "event_id": "e", "conversion_id": "1"},
        {"identifiers": [{"twclid": "x"}], "event_id": "e", "conversion_id": "1"},
        {
            "identifiers": [{"twclid": "x"}],
            "conversion_time": "t",
            "event_id": "e",
            "conversion_id": "1",
            "value": "1.00",
        },
    ],
)
def test_the_receiver_refuses_what_x_would(conversion: dict[str, object]) -> None:
    assert problem_of([conversion]) is not None
