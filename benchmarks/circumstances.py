"""What sending takes where something is unusual, at some number of orders and at three times as many.

    python -m benchmarks.circumstances [--orders 200000]

Memory must be bounded by what is in flight, whatever the orders are and however the receiver answers: what each
further order adds is what must be remembered of it. Below some 200,000 orders memory still fills up to that bound.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.__main__ import per_order, positive, product
from benchmarks.orders import write_orders


@dataclass(frozen=True, slots=True)
class Circumstance:
    """How the orders are written, how the receiver behaves, and with how many senders."""

    name: str
    write: Callable[[Path, int], None] = write_orders
    receiver: tuple[str, ...] = ()
    senders: int = 4


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=positive, default=200_000)
    given = parser.parse_args()
    print(f"{given.orders:,} orders, and {3 * given.orders:,}, of which CPU, rate and what became of them are told;")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for circumstance in CIRCUMSTANCES:  # each takes a while, so it is told at once
        print(f"\n{circumstance.name}", *measured(circumstance, given.orders), sep="\n  ", flush=True)


def measured(circumstance: Circumstance, orders: int) -> list[str]:
    """Lines to be printed; raises RuntimeError when orders were lost or did not arrive."""
    fewer, more = (run(circumstance, number) for number in (orders, 3 * orders))
    further = (more["peak_bytes"] - fewer["peak_bytes"]) / (2 * orders)
    became = {state: count for state, count in more["counts"].items() if count and state not in ("read", "requests")}
    accepted = more["counts"]["accepted"]
    return [
        f"{per_order(more):.1f} µs of CPU an order, {accepted / more['wall']['upload']:,.0f} accepted a second",
        f"peak {fewer['peak_bytes'] / 1e6:.0f} and {more['peak_bytes'] / 1e6:.0f} MB: {further:.0f} bytes an order",
        ", ".join(f"{count:,} {state}" for state, count in became.items()),
    ]


def run(circumstance: Circumstance, orders: int) -> dict[str, Any]:
    """One run of the product."""
    with tempfile.TemporaryDirectory(prefix="xcapi-benchmark-") as name:
        path = Path(name) / "orders.duckdb"
        circumstance.write(path, orders)
        senders = ("--senders", str(circumstance.senders))
        return product(path, *senders, receiver_options=circumstance.receiver, is_compared=False)


def every_order_bad(path: Path, orders: int) -> None:
    """No order has an event that X could know."""
    write_orders(path, orders)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE orders SET event_id = 'not an id'")


def many_items(path: Path, orders: int) -> None:
    """Fifty items in each order."""
    write_orders(path, orders, items=50)


CIRCUMSTANCES = (
    Circumstance("nothing unusual"),
    Circumstance("every order is bad", every_order_bad),
    Circumstance("50 items an order", many_items),
    Circumstance("one of 500 refused, its id echoed", receiver=("--refuse", "echoing")),
    Circumstance("one of 500 refused, without a word", receiver=("--refuse", "silently")),
    Circumstance("answers take 250 ms, 32 senders", receiver=("--delay", "0.25"), senders=32),
)

if __name__ == "__main__":
    main()
