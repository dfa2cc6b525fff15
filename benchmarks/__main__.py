"""What sending costs, beside the script that most would write.

    python -m benchmarks                     200,000 orders
    python -m benchmarks --orders 1000000 --growth 5000000    the script alone takes minutes
    python -m benchmarks --repeats 1         quicker and less certain
    python -m benchmarks --keep              let the result be what later ones are compared with

The receiver, the product and the script run in processes of their own on this machine. First a small number of orders
is sent and what arrived is compared with what the script makes of them, conversion by conversion, and after each timed
run a digest of all that arrived; that of --growth is counted alone. A result is told only when it is right. CPU time of
all threads counts, without the receiver's; it swings less than wall time, but a busy machine makes it longer, so the
machine's load is told and ratios come from runs that alternate. A result is compared with the one that was kept of as
many orders. Below some 200,000 orders memory still fills up to what is in flight, so that --growth says little.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.correctness import check
from benchmarks.orders import write_orders

RESULT = Path(__file__).parent / "result.json"
STAGES = ("start", "prepare", "upload")
_CHECKED = 5_000
_KEPT = 200_000  # at least: of fewer, what a process does once counts too much


def main() -> None:
    """Check, measure, tell."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=positive, default=200_000, help="how many; 200,000 if not given")
    parser.add_argument("--growth", type=positive, help="measure so many too, once, for what each further order costs")
    parser.add_argument("--repeats", type=positive, default=3, help="pairs of script and product, of which the median")
    parser.add_argument("--keep", action="store_true", help=f"write the result to {RESULT.name}")
    given = parser.parse_args()
    if given.keep and given.orders < _KEPT:
        parser.error(f"--keep needs --orders {_KEPT} or more")
    if given.growth and given.growth <= given.orders:
        parser.error("--growth needs more than --orders")
    console = Console(width=110)
    try:
        with tempfile.TemporaryDirectory(prefix="xcapi-benchmark-") as name:
            folder = Path(name)
            write_orders(folder / "few.duckdb", _CHECKED)
            console.print(check(folder / "few.duckdb", folder))
            result = measured(folder, given.orders, given.repeats, given.growth)
    except RuntimeError as error:
        sys.exit(f"No figures: {error}")
    except KeyboardInterrupt:
        sys.exit("No figures: interrupted")
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    console.print(told(result, kept.get(str(given.orders), {})))
    if given.keep:
        RESULT.write_text(json.dumps(kept | {str(given.orders): result}, indent=2) + "\n")


def measured(folder: Path, orders: int, repeats: int, growth: int | None) -> dict[str, float]:
    """All figures by what they are: microseconds of CPU and bytes for each order, ratios, megabytes.

    Raises RuntimeError when what arrives is not, conversion by conversion, what the script sends of the same orders.
    """
    write_orders(folder / "orders.duckdb", orders)
    load = os.getloadavg()[0]
    pairs = [(script(folder / "orders.duckdb"), product(folder / "orders.duckdb")) for _ in range(repeats)]
    compare([run["digest"] for pair in pairs for run in pair])
    whole = [ours for _, ours in pairs]
    figures = {
        "orders": orders,
        "of them accepted": median(run["counts"]["accepted"] for run in whole),
        "cores": os.cpu_count() or 1,
        "load of the machine before": load,
    }
    figures |= {f"CPU to {stage}, µs an order": median(per_order(run, stage) for run in whole) for stage in STAGES}
    figures |= {
        "CPU in all, µs an order": median(per_order(run) for run in whole),
        "orders a second, from warehouse to files": median(run["read"] / _seconds(run) for run in whole),
        "conversions a second, from claim to settled": median(
            run["counts"]["accepted"] / run["wall"]["upload"] for run in whole
        ),
        "peak memory, MB": max(run["peak_bytes"] for run in whole) / 1e6,
        "the script, CPU, µs an order": median(per_order(theirs) for theirs, _ in pairs),
        "times the CPU": median(per_order(theirs) / per_order(ours) for theirs, ours in pairs),
        "times as long": median(_seconds(theirs) / _seconds(ours) for theirs, ours in pairs),
    }
    if growth:
        write_orders(folder / "many.duckdb", growth)
        many = product(folder / "many.duckdb", is_compared=False)
        figures[f"CPU an order of {growth:,}, times that"] = per_order(many) / figures["CPU in all, µs an order"]
        figures["peak memory then, MB"] = many["peak_bytes"] / 1e6
        further = many["peak_bytes"] - max(run["peak_bytes"] for run in whole)
        figures["bytes of it for each further order"] = further / (growth - orders)
    return {name: round(figure, 2) for name, figure in figures.items()}


def _seconds(run: Mapping[str, Any]) -> float:
    return sum(run["wall"].values())


def compare(digests: Sequence[int]) -> None:
    """Raise RuntimeError unless all are the same."""
    if len(set(digests)) > 1:
        raise RuntimeError("the product sent other conversions than the script")


def told(result: Mapping[str, float], kept: Mapping[str, float]) -> Table:
    """The figures as a table, beside those that were kept of as many orders, and how many times those they are."""
    table = Table(caption=None if kept else f"Nothing was kept of {result['orders']:,} orders to compare with.")
    for heading in ("", "now", "kept", "now / kept"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, figure in result.items():
        before = kept.get(name)
        beside = ("", "") if not before else (_written(before), f"{figure / before:.2f}")
        table.add_row(name, _written(figure), *beside)
    return table


def _written(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 or figure == int(figure) else f"{figure:,.2f}"


def positive(text: str) -> int:
    """A whole number above zero; argparse names the argument of any other."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def per_order(run: Mapping[str, Any], stage: str | None = None) -> float:
    """Microseconds of CPU for each order that was read."""
    seconds: float = run["cpu"][stage] if stage else sum(run["cpu"].values())
    return seconds / run["read"] * 1e6


def product(
    orders: Path, *options: str, receiver_options: Sequence[str] = (), is_compared: bool = True
) -> dict[str, Any]:
    """One run of the product, in a home of its own; raises RuntimeError when it lost orders or did not send them."""
    with (
        tempfile.TemporaryDirectory(prefix="xcapi-benchmark-") as home,
        receiver(*receiver_options) as (url, received),
    ):
        run = json_of("benchmarks.product", str(orders), home, url, *options)
        counts, told = run["counts"], received("digest" if is_compared else "count")
    became = sum(count for state, count in counts.items() if state not in ("read", "requests"))
    if run["halted"] or counts["accepted"] != told["conversions"] or counts["read"] != became:
        raise RuntimeError(f"the product did not send what it should: {counts}")
    return run | {"read": counts["read"], "digest": told.get("digest")}


def script(orders: Path) -> dict[str, Any]:
    """One run of the straightforward script."""
    with receiver() as (url, received):
        return json_of("benchmarks.straightforward", str(orders), url) | {"digest": received("digest")["digest"]}


@contextmanager
def receiver(*options: str) -> Iterator[tuple[str, Any]]:
    """Where to send during the block, and what tells what came."""
    command = [sys.executable, "-m", "benchmarks.receiver", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        port = process.stdout.readline().strip()

        def received(question: str) -> dict[str, Any]:
            print(question, file=process.stdin, flush=True)
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
