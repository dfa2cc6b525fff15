"""The example of alerting in the documentation, with real runs of the real assets and Dagster's own look at its log."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from tests.test_docs import ROOT, blocks
from xcapi_dagster import Sandbox, build_x_conversions_assets, from_environment
from xcapi_dagster.settings import DEMO

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str], None]:
    """Adds an order to the warehouse, at noon of a day."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE orders (order_id TEXT, ordered_at TIMESTAMPTZ, email TEXT, consent BOOLEAN)")

    def add(day: str) -> None:
        with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
            connection.execute(f"INSERT INTO orders VALUES (uuid(), '{day} 12:00:00+00', 'a@example.com', true)")

    return add


@pytest.fixture
def example() -> dict[str, Any]:
    """The names that the block of code on the page defines; what it tells is in the list `told`."""
    (code,) = blocks("python", (ROOT / "docs" / "history.md").read_text(encoding="utf-8"))
    names: dict[str, Any] = {"told": []}
    exec(code, names)
    names["tell"] = names["told"].append
    return names


@pytest.mark.slow
def test_it_tells_of_each_change_once(
    tmp_path: Path, sandbox: Sandbox, put: Callable[[str], None], example: dict[str, Any]
) -> None:
    """X refuses the credentials, twice; then it does not, twice; then it does again. Another day is its own."""
    settings = from_environment(
        {},
        home=tmp_path / "home",
        warehouse_url=f"duckdb:///{tmp_path}/shop.duckdb",
        api_url=sandbox.url,
        start_date=date(2026, 11, 1),
        **{name: value for name, value in DEMO.items() if name not in ("demo", "unknown_consent")},
    )
    assets = [asset for asset in build_x_conversions_assets(settings) if isinstance(asset, dg.AssetsDefinition)]
    daily = dg.define_asset_job("daily", dg.AssetSelection.assets(*assets[:2]))
    sensors = [example["purchases_fail"], example["purchases_work_again"]]
    definitions = dg.Definitions(assets, jobs=[daily], sensors=sensors)
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster"))
    cursors: dict[str, str | None] = {}

    def look() -> list[str]:
        """What the sensors tell of since the last look."""
        example["told"].clear()
        for sensor in sensors:
            context = dg.build_sensor_context(
                instance,
                cursors.get(sensor.name),
                repository_def=definitions.get_repository_def(),
                sensor_name=sensor.name,
            )
            with context:
                cursors[sensor.name] = sensor.evaluate_tick(context).cursor
        return list(example["told"])

    def run(day: str, *, refused: bool) -> list[str]:
        """A run of the day with a new order, and what is told of it."""
        put(day)
        if refused:
            sandbox.script([{"match": {"next": 1}, "do": {"status": 401}}])
        result = definitions.resolve_job_def("daily").execute_in_process(
            partition_key=day, instance=instance, raise_on_error=False, run_config=QUIET
        )
        assert result.success != refused
        return look()

    assert look() == []  # from here on
    assert run("2026-11-01", refused=False) == []
    (first,) = run("2026-11-02", refused=True)
    assert first.startswith("daily 2026-11-02 fails: ")
    assert "401" in first or "credentials" in first
    assert run("2026-11-02", refused=True) == []
    assert run("2026-11-01", refused=False) == []
    assert run("2026-11-02", refused=False) == ["daily 2026-11-02 works again"]
    assert run("2026-11-02", refused=False) == []
    assert run("2026-11-02", refused=True) == [first]
