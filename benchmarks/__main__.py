"""What sending costs, beside the script that most would write.

    python -m benchmarks                     200,000 orders, for the script too
    python -m benchmarks --orders 1000000 --growth 5000000
    python -m benchmarks --repeats 1         quicker and less certain
    python -m benchmarks --keep              let the result be what later ones are compared with

The receiver, the product and the script run in processes of their own on this machine. First a small number of orders
is sent and what arrived is compared with what the script makes of them, conversion by conversion: only a right result
is timed. CPU time of all threads counts, without the receiver's; it swings less than wall time, but a busy machine
makes it longer too, so the machine's load is told and ratios come from runs that alternate.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.correctness import check
from benchmarks.orders import write_orders

RESULT = Path(__file__).parent / "result.json"
_CHECKED = 5_000
_COMPARED = 200_000  # at most: the script would take minutes for more, and costs the same for each


def main() -> None:
    """Check, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--growth", type=int, help="measure so many orders too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="xcapi-benchmark-") as name:
        folder = Path(name)
        write_orders(folder / "few.duckdb", _CHECKED)
        console.print(check(folder / "few.duckdb", folder))
        result = measured(folder, given.orders, given.repeats, given.growth)
    console.print(told(result, json.loads(RESULT.read_text()) if RESULT.exists() else {}))
    if given.keep:
        RESULT.write_text(json.dumps(result, indent=2) + "\n")


def measured(folder: Path, orders: int, repeats: int, growth: int | None) -> dict[str, float]:
    """All figures by what they are: microseconds of CPU and bytes for each order, ratios, megabytes."""
    write_orders(folder / "some.duckdb", min(orders, _COMPARED))
    write_orders(folder / "orders.duckdb", orders)
    load = os.getloadavg()[0]
    pairs = [(script(folder / "some.duckdb"), product(folder / "some.duckdb")) for _ in range(repeats)]
    whole = [product(folder / "orders.duckdb") for _ in range(repeats)]
    figures = {f"{stage}, µs an order": median(per_order(run, stage) for run in whole) for stage in whole[0]["cpu"]}
    figures |= {
        "CPU, µs an order": median(per_order(run) for run in whole),
        "orders a second, from warehouse to files": median(run["read"] / sum(run["wall"].values()) for run in whole),
        "orders a second, from claim to settled": median(run["read"] / run["wall"]["upload"] for run in whole),
        "peak memory, MB": max(run["peak_bytes"] for run in whole) / 2**20,
        "script: CPU, µs an order": median(per_order(slow) for slow, _ in pairs),
        "script: times the CPU": median(per_order(slow) / per_order(fast) for slow, fast in pairs),
        "script: times as long": median(sum(s["wall"].values()) / sum(f["wall"].values()) for s, f in pairs),
        "orders": orders,
        "load of the machine before": load,
    }
    if growth:
        write_orders(folder / "many.duckdb", growth)
        many = product(folder / "many.duckdb")
        figures["CPU an order, times that of fewer"] = per_order(many) / figures["CPU, µs an order"]
        figures["memory, bytes for each further order"] = (
            many["peak_bytes"] - max(run["peak_bytes"] for run in whole)
        ) / (growth - orders)
    return {name: round(figure, 2) for name, figure in figures.items()}


def told(result: Mapping[str, float], kept: Mapping[str, float]) -> Table:
    """The figures as a table, beside those that were kept."""
    table = Table(title=f"{result['orders']:,.0f} orders")
    for heading in ("", "now", "kept"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, figure in result.items():
        before = kept.get(name)
        table.add_row(name, f"{figure:,.2f}", "" if before is None else f"{before:,.2f}")
    return table


def per_order(run: Mapping[str, Any], stage: str | None = None) -> float:
    """Microseconds of CPU for each order that was read."""
    seconds: float = run["cpu"][stage] if stage else sum(run["cpu"].values())
    return seconds / run["read"] * 1e6


def product(orders: Path) -> dict[str, Any]:
    """One run of the product, in a home of its own; raises RuntimeError when it did not send everything."""
    with tempfile.TemporaryDirectory(prefix="xcapi-benchmark-") as home, receiver() as (url, received):
        run = json_of("benchmarks.product", str(orders), home, url)
        counts = run["counts"]
        if run["halted"] or counts["accepted"] != received()["conversions"] or not counts["accepted"]:
            raise RuntimeError(f"the product did not send what it should: {counts}")
    return run | {"read": counts["read"]}


def script(orders: Path) -> dict[str, Any]:
    """One run of the straightforward script."""
    with receiver() as (url, _):
        return json_of("benchmarks.straightforward", str(orders), url)


@contextmanager
def receiver(*options: str) -> Iterator[tuple[str, Any]]:
    """Where to send during the block, and what tells what came."""
    command = [sys.executable, "-m", "benchmarks.receiver", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        port = process.stdout.readline().strip()

        def received() -> dict[str, Any]:
            print(file=process.stdin, flush=True)
            told: dict[str, Any] = json.loads(process.stdout.readline()) if process.stdout else {}
            return told

        yield f"http://127.0.0.1:{port}", received
        process.stdin.close()


def json_of(module: str, *arguments: str) -> dict[str, Any]:
    """What a module prints, run in a process of its own."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


if __name__ == "__main__":
    main()
