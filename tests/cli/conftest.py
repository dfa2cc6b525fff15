"""An instance's environment, its ledger and results as runs left them, and `xcapi` in this process."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from xcapi_dagster import resources
from xcapi_dagster.cli import main
from xcapi_dagster.conversions.schema import UPLOAD_RESULTS
from xcapi_dagster.delivery.ledger import Claim, Ledger
from xcapi_dagster.delivery.records import RequestState, Settlement
from xcapi_dagster.partitions.stamp import write_stamp
from xcapi_dagster.settings import DEMO, VARIABLES, Settings, from_environment

DAY = "2026-11-20"


class Instance:
    """What runs left of one component instance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def sent(self, state: RequestState, *orders: str, message: str | None = None) -> int:
        """A request with these orders that ended so, and the results that say it; returns the request's id."""
        with resources.operators_ledger_of(self.settings) as ledger:
            keys = ledger.keys([self.settings.event_id] * len(orders), orders)
            fingerprints = np.full(len(keys), (1 << 56) + 1, np.uint64)
            known = ledger.memory.look_up(keys).heard
            claim = ledger.claim(DAY, keys, fingerprints, known, parent=None, share=1.0)
            assert isinstance(claim, Claim)
            assert claim.request is not None
            ledger.settle(claim.request, keys, fingerprints, Settlement(state, 200, "d-1", message))
            self._write(ledger, claim.request.id, "accepted" if state == "accepted" else "held", orders)
        return claim.request.id

    def state_of(self, order: str) -> str | None:
        """The state of the latest request with the order."""
        with resources.operators_ledger_of(self.settings) as ledger:
            keys = ledger.keys([self.settings.event_id], [order])
            told = ledger.memory.requests.get(int(ledger.memory.look_up(keys).requests[0]))
        return told.state if told else None

    def lose_ledger(self) -> None:
        """The volume is gone."""
        for path in (self.settings.home / "ledger").iterdir():
            path.unlink()

    def _write(self, ledger: Ledger, request_id: int, state: str, orders: Sequence[str]) -> None:
        outputs = resources.outputs_of(self.settings)
        rows = [
            {"order_id": order, "conversion_id": order, "event_id": self.settings.event_id, "state": state}
            | {"request_id": request_id, "currency": "USD"}
            for order in orders
        ]
        outputs.write_table("upload_results", DAY, pa.Table.from_pylist(rows, schema=UPLOAD_RESULTS))
        write_stamp(outputs, ledger.stamp())


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A complete configuration, set in this process."""
    given = {
        "home": str(tmp_path / "home"),
        "warehouse_url": f"duckdb:///{tmp_path}/shop.duckdb",
        "pixel_also_fires": "false",
        "api_url": "http://127.0.0.1:9",
        **{name: str(DEMO[name]) for name in ("account_id", "pixel_id", "event_id", "pixel_token")},
    }
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    variables = {VARIABLES[name]: value for name, value in given.items()}
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    return variables


@pytest.fixture
def instance(environ: dict[str, str]) -> Instance:
    """Its files and its ledger, which do not exist yet."""
    return Instance(from_environment(environ))


@pytest.fixture
def xcapi() -> Iterator[Callable[..., Result]]:
    """Run a command and return how it ended."""
    yield lambda *words: CliRunner().invoke(main, words, catch_exceptions=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "dagster_project"]:
        del sys.modules[name]  # it was loaded with this test's environment


@pytest.fixture
def xcapi_json(xcapi: Callable[..., Result]) -> Callable[..., Any]:
    """Run a command that ends well, and read the JSON that it prints."""

    def run(*words: str) -> Any:
        done = xcapi(*words, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    return run
