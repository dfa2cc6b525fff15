"""The assets in Dagster: what they materialize, show and check, and how they fail."""

import os
from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from xcapi_dagster import Sandbox, Settings, build_x_conversions_assets, from_environment, resources
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.delivery.deliver import Delivery
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.settings import DEMO

CANARIES = ("canary.person@example.com", "4155550142", "canary-secret-token")
COUNTS = list(Counts().as_dict())


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def settings(tmp_path: Path, sandbox: Sandbox) -> Settings:
    """Three days of orders in DuckDB, sent to the sandbox."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("""
            CREATE TABLE orders AS
            SELECT 'order-' || n AS order_id,
                   TIMESTAMP '2026-11-01 06:00:00' + INTERVAL (n) HOUR AS ordered_at,
                   'person' || n || '@example.com' AS email, 10 + n AS value, 'USD' AS currency, true AS consent
            FROM range(72) AS t(n)
        """)
    return from_environment(
        {},
        home=tmp_path / "home",
        warehouse_url=f"duckdb:///{tmp_path}/shop.duckdb",
        api_url=sandbox.url,
        start_date=date(2026, 11, 1),
        **{name: value for name, value in DEMO.items() if name not in ("demo", "unknown_consent")},
    )


def run(settings: Settings, partition: str | tuple[str, str]) -> tuple[dg.ExecuteInProcessResult, dg.DagsterInstance]:
    """Materialize one partition or a range of them, in an instance that ends with the test."""
    instance = dg.DagsterInstance.ephemeral(tempdir=str(settings.home.parent / "dagster"))
    assets = [a for a in build_x_conversions_assets(settings) if isinstance(a, dg.AssetsDefinition)]
    if isinstance(partition, str):
        return dg.materialize(assets, partition_key=partition, instance=instance, raise_on_error=False), instance
    tags = dict(zip(("start", "end"), partition, strict=True))
    tags = {f"dagster/asset_partition_range_{end}": key for end, key in tags.items()}
    return dg.materialize(assets, tags=tags, instance=instance, raise_on_error=False), instance


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dict[str, Any]]:
    """Metadata of an asset's materializations, by partition."""
    events = [event.materialization for event in result.get_asset_materialization_events()]
    return {
        str(event.partition): {name: value.value for name, value in event.metadata.items()}
        for event in events
        if event.asset_key == dg.AssetKey(["purchases", asset])
    }


def test_one_partition_shows_its_counts(settings: Settings, sandbox: Sandbox) -> None:
    """Results and report carry every count as a number, under the same keys whatever happened."""
    result, _ = run(settings, "2026-11-02")
    assert result.success
    for asset in ("upload_results", "rejection_report"):
        metadata = shown(result, asset)["2026-11-02"]
        assert {name: metadata[name] for name in COUNTS} == {
            **dict.fromkeys(COUNTS, 0),
            "read": 24,
            "accepted": 24,
            "requests": 1,
        }
        assert Path(metadata["path"]).exists()
    prepared = shown(result, "conversions")["2026-11-02"]
    assert (prepared["dagster/partition_row_count"], prepared["with_hashed_email"]) == (24, 24)
    assert {received.conversion["conversion_id"] for received in sandbox.received} == {
        f"order-{n}" for n in range(18, 42)
    }


def test_a_range_has_the_numbers_of_each_partition(settings: Settings) -> None:
    """One run over three days emits a materialization for each, with that day's own counts."""
    result, _ = run(settings, ("2026-11-01", "2026-11-04"))
    assert result.success
    metadata = shown(result, "rejection_report")
    assert {key: values["read"] for key, values in metadata.items()} == {
        "2026-11-01": 18,
        "2026-11-02": 24,
        "2026-11-03": 24,
        "2026-11-04": 6,
    }
    assert all(values["read"] == values["accepted"] for values in metadata.values())


def test_a_day_without_orders_is_a_day_of_zeros(settings: Settings, sandbox: Sandbox) -> None:
    """Nothing to read is nothing to send: files, zeros, no request."""
    result, _ = run(settings, "2026-11-10")
    assert result.success
    assert {shown(result, "rejection_report")["2026-11-10"][name] for name in COUNTS} == {0}
    assert sandbox.requests == []


def test_columns_are_those_of_the_documentation(settings: Settings, tmp_path: Path) -> None:
    """The files' columns, in their order."""
    run(settings, "2026-11-02")
    folder = tmp_path / "home" / "output" / "purchases"
    assert (
        pq.read_schema(folder / "upload_results" / "2026-11-02.parquet").names
        == (
            "order_id conversion_id event_id conversion_time value currency state reason_code request_id http_status "
            "debug_id first_sent_at settled_at"
        ).split()
    )
    assert (
        pq.read_schema(folder / "rejection_report" / "2026-11-02.parquet").names
        == (
            "order_id conversion_time stage severity reason_code column detail fix value currency isolated_by "
            "request_id debug_id"
        ).split()
    )


def test_a_halted_upload_leaves_its_report(settings: Settings, sandbox: Sandbox) -> None:
    """X refuses the credentials: the step fails, the report says what is pending, no result is claimed."""
    sandbox.script([{"match": {"next": 1}, "do": {"status": 401}}])
    result, _ = run(settings, ("2026-11-02", "2026-11-03"))
    assert not result.success
    assert {key: values["pending"] for key, values in shown(result, "rejection_report").items()} == {
        "2026-11-02": 24,
        "2026-11-03": 24,
    }
    assert shown(result, "upload_results") == {}
    assert len(sandbox.requests) == 1
    again, _ = run(settings, ("2026-11-02", "2026-11-03"))
    assert {values["accepted"] for values in shown(again, "upload_results").values()} == {24}


def test_a_halt_in_the_middle_leaves_the_results_of_the_partitions_before(settings: Settings, sandbox: Sandbox) -> None:
    """X refuses the credentials at the second of three days: the first is done, and shows that."""
    sandbox.script([{"match": {"conversion_id": "order-42"}, "do": {"status": 401}}])
    result, instance = run(settings, ("2026-11-02", "2026-11-04"))
    assert not result.success
    reported = {key: (told["accepted"], told["pending"]) for key, told in shown(result, "rejection_report").items()}
    assert reported == {"2026-11-02": (24, 0), "2026-11-03": (0, 24), "2026-11-04": (0, 6)}
    assert {key: told["accepted"] for key, told in shown(result, "upload_results").items()} == {"2026-11-02": 24}
    results = dg.AssetKey(["purchases", "upload_results"])
    assert instance.get_materialized_partitions(results) == {"2026-11-02"}


def test_an_interrupted_run_leaves_a_page_that_says_what_the_report_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal when all was answered: the overview, which is written anew, does not contradict the page."""

    def interrupted(self: Delivery, *arguments: Any) -> None:
        deliver(self, *arguments)
        raise dg.DagsterExecutionInterruptedError

    deliver = Delivery.deliver
    monkeypatch.setattr(Delivery, "deliver", interrupted)
    assert not run(settings, "2026-11-02")[0].success
    for page in ("2026-11-02", "index"):
        path = resources.outputs_of(settings).overview.with_name(f"{page}.html")
        assert "All 24 orders reached X." in path.read_text()


def test_a_range_that_is_interrupted_tells_of_the_partitions_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal at the second of three days: Dagster, and so the command line, know what the first one sent."""

    def interrupted(self: Delivery, key: str, *arguments: Any) -> None:
        if key == "2026-11-03":
            raise dg.DagsterExecutionInterruptedError
        deliver(self, key, *arguments)

    deliver = Delivery.deliver
    monkeypatch.setattr(Delivery, "deliver", interrupted)
    result, instance = run(settings, ("2026-11-02", "2026-11-04"))
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.error
    assert failure.error.cls_name == "DagsterExecutionInterruptedError"
    for asset in ("upload_results", "rejection_report"):
        assert {key: values["accepted"] for key, values in shown(result, asset).items()} == {"2026-11-02": 24}
        assert instance.get_materialized_partitions(dg.AssetKey(["purchases", asset])) == {"2026-11-02"}


def test_a_range_that_fails_in_the_middle_tells_of_the_partitions_before(settings: Settings, tmp_path: Path) -> None:
    """The second of three days cannot be written: the first was sent, and says so; nothing is said of the others."""
    (tmp_path / "home" / "output" / "purchases" / "rejection_report" / "2026-11-03.csv").mkdir(parents=True)
    result, instance = run(settings, ("2026-11-02", "2026-11-04"))
    assert not result.success
    for asset in ("upload_results", "rejection_report"):
        assert {key: values["accepted"] for key, values in shown(result, asset).items()} == {"2026-11-02": 24}
        assert instance.get_materialized_partitions(dg.AssetKey(["purchases", asset])) == {"2026-11-02"}
    assert shown(result, "rejection_report")["2026-11-02"]["headline"] == "All 24 orders reached X."


def test_an_overview_that_cannot_be_written_does_not_hide_why_the_run_failed(
    settings: Settings, tmp_path: Path
) -> None:
    """The first error is told, whatever else fails after it; without another, that is told."""
    folder = tmp_path / "home" / "output" / "purchases"
    for blocked in ("rejection_report/index.html", "upload_results/2026-11-02.parquet"):
        (folder / blocked).mkdir(parents=True)
    for day, told in (("2026-11-02", "upload_results"), ("2026-11-03", "rejection_report")):
        result, _ = run(settings, day)
        (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        assert f"{folder / told} cannot be written" in str(failure.user_failure_data)


def test_a_file_that_cannot_be_deleted_keeps_nothing_from_being_sent(
    settings: Settings, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is told in the run's log."""
    expired = Path(str(resources.outputs_of(settings).path("conversions", "2026-10-01")))
    expired.mkdir(parents=True)
    os.utime(expired, (0, 0))
    result, _ = run(settings, "2026-11-02")
    assert result.success
    assert sandbox.received
    assert f"{expired} cannot be deleted (is a directory), though it was kept as long as" in capfd.readouterr().err


def test_the_checks_are_part_of_the_steps(settings: Settings) -> None:
    """Coverage, sums and rejection rate are evaluated in the run, without steps of their own."""
    result, _ = run(settings, "2026-11-02")
    evaluations = result.get_asset_check_evaluations()
    verdicts = {each.check_name: each.passed for each in evaluations if each.asset_key.path[-1] != "event_tags"}
    assert verdicts == dict.fromkeys(
        (
            "identifier_coverage",
            "steady_identifier_coverage",
            "counts_add_up",
            "rejection_rate",
            "some_consent",
            "no_new_reasons",
            "no_missing_orders",
        ),
        True,
    )


def test_the_report_tells_its_headline_and_where_its_page_is(settings: Settings, tmp_path: Path) -> None:
    """In words, as a table of reasons with value at stake and fix, as numbers to plot, and as links."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("UPDATE orders SET email = NULL WHERE order_id IN ('order-18','order-19')")
        connection.execute("UPDATE orders SET email = 'nobody' WHERE order_id = 'order-20'")
    served = settings.model_copy(update={"reports_url": "https://reports.example.com/x/"})
    for given in (settings, served):
        result, _ = run(given, "2026-11-02")
        metadata = shown(result, "rejection_report")["2026-11-02"]
        pages = "purchases/rejection_report"
        root = "https://reports.example.com/x" if given is served else (tmp_path / "home" / "output").as_uri()
        assert metadata["report"] == f"{root}/{pages}/2026-11-02.html"
        assert metadata["overview"] == f"{root}/{pages}/index.html"
        assert metadata["headline"] == "21 of 24 orders reached X. 3 are lost, worth USD 87."
        reasons = [record.data for record in metadata["reasons"].records]
        assert [(each["reason"], each["orders"], each["value at stake"]) for each in reasons] == [
            ("no_identifier", 3, "USD 87"),
            ("email_invalid", 1, "USD 30"),
        ]
        assert reasons[0]["how to fix it"] == REASONS["no_identifier"].fix
        assert metadata["rejection_rate"] == 0.125
        assert metadata["match_readiness"] == round(70 * 21 / 24 * 0.9, 1)
    folder = tmp_path / "home" / "output" / "purchases" / "rejection_report"
    assert {path.name for path in folder.iterdir()} == {
        "2026-11-02.csv",
        "2026-11-02.html",
        "2026-11-02.parquet",
        "2026-11-02.summary.json",
        "index.html",
    }


def test_bad_rows_fail_the_rate_and_not_the_run(settings: Settings, tmp_path: Path) -> None:
    """A quarter of negative values is a warning that names the partition; the others are sent."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("UPDATE orders SET value = -1 WHERE order_id IN ('order-18','order-19','order-20')")
    result, _ = run(settings, "2026-11-02")
    rate = next(each for each in result.get_asset_check_evaluations() if each.check_name == "rejection_rate")
    assert result.success
    assert (rate.passed, rate.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "2026-11-02: 12.5%" in str(rate.description)


def test_the_upload_has_a_pool_and_the_assets_a_policy(settings: Settings) -> None:
    """One pool for each ads account; a backfill of 30 days is one run."""
    _, conversions, upload, _ = build_x_conversions_assets(settings)
    assert isinstance(conversions, dg.AssetsDefinition)
    assert isinstance(upload, dg.AssetsDefinition)
    assert upload.op.pool == f"x_ads_{settings.account_id}"
    assert conversions.op.pool is None
    assert upload.backfill_policy == conversions.backfill_policy == dg.BackfillPolicy.multi_run(30)


def test_a_warehouse_that_fails_halfway_sends_nothing(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> None:
    """A query that breaks on a late row fails the run before any claim; after the mend, a re-run completes."""
    path = tmp_path / "orders.sql"
    path.write_text(
        "SELECT * REPLACE (CASE WHEN order_id = 'order-41' THEN error('x') ELSE email END AS email) FROM orders"
    )
    broken = settings.model_copy(update={"orders": str(path)})
    result, _ = run(broken, "2026-11-02")
    assert not result.success
    assert sandbox.requests == []
    assert not (tmp_path / "home" / "output" / "purchases" / "conversions" / "2026-11-02.parquet").exists()
    path.write_text("SELECT * FROM orders;")
    again, _ = run(broken, "2026-11-02")
    assert shown(again, "upload_results")["2026-11-02"]["accepted"] == 24


def test_no_identifier_and_no_secret_is_left_anywhere(
    settings: Settings,
    sandbox: Sandbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Planted addresses, numbers and a token are in no file, event, log or output, whatever column they stand in."""
    email, phone, token = CANARIES
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("ALTER TABLE orders ADD COLUMN phone VARCHAR")
        connection.execute("ALTER TABLE orders ADD COLUMN hashed_email VARCHAR")
        connection.execute("ALTER TABLE orders ADD COLUMN description VARCHAR")
        connection.execute("ALTER TABLE orders ADD COLUMN country VARCHAR")
        connection.execute("ALTER TABLE orders ADD COLUMN event_id VARCHAR")
        connection.execute("UPDATE orders SET email = ?, phone = ?, country = 'US'", [email, phone])
        connection.execute("UPDATE orders SET hashed_email = email WHERE order_id < 'order-30'")
        connection.execute("UPDATE orders SET description = 'write to ' || email WHERE order_id > 'order-25'")
        connection.execute(
            "UPDATE orders SET country = 'XX', email = email || ' ' || email WHERE order_id = 'order-21'"
        )
        connection.execute("UPDATE orders SET event_id = 'onotset' WHERE order_id = 'order-22'")
    (tmp_path / "shop.duckdb").rename(tmp_path.parent / f"{tmp_path.name}.duckdb")
    settings = settings.model_copy(update={"warehouse_url": f"duckdb:///{tmp_path.parent}/{tmp_path.name}.duckdb"})
    caplog.set_level("DEBUG")
    result, instance = run(settings, "2026-11-02")
    assert result.success
    wrong_token = type(settings.pixel_token)(token)
    failed, failing = run(settings.model_copy(update={"pixel_token": wrong_token}), "2026-11-03")
    assert not failed.success
    events = "".join(
        str(record)
        for each, run_id in ((instance, result.run_id), (failing, failed.run_id))
        for record in each.all_logs(run_id)
    )
    texts = [caplog.text, events, *capfd.readouterr()]
    files = [path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert len(files) > 8
    for canary in CANARIES:
        assert not any(canary in text for text in texts)
        assert not any(canary.encode() in file for file in files)
    for path in (tmp_path / "home").rglob("*.parquet"):
        content = str(pq.read_table(path).to_pylist())
        assert not any(canary in content for canary in CANARIES)
    reports = tmp_path / "home" / "output" / "purchases" / "rejection_report"
    assert {path.suffix for path in reports.iterdir()} == {".csv", ".html", ".json", ".parquet"}
    for path in reports.iterdir():  # nor hashed, nor what X repeated
        content = str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_text()
        assert "order-22" in content or path.name in ("index.html", "2026-11-02.summary.json") or "11-03" in path.name
        assert sha256(email.encode()).hexdigest() not in content
        assert sha256(f"+1{phone}".encode()).hexdigest() not in content
        assert "onotset" not in content
