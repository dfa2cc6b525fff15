"""The asset's page in Dagster's own web interface, after a sync of the demo."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.ports import reserved_port

pytestmark = pytest.mark.slow

DAY = "2026-10-24"
_PATIENCE_SECONDS = 420


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of the webserver."""
    with reserved_port() as port:
        yield port


@pytest.fixture(scope="module")
def dagster_ui(demo: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a `dagster-webserver` on the demo's instance, which ends with its whole process group."""
    folder = tmp_path_factory.mktemp("dagster-ui")
    program = str(Path(sys.executable).with_name("dagster-webserver"))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XCAPI_HOME": str(demo),
        "DAGSTER_HOME": str(demo / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    with (folder / "output.log").open("w+") as log:
        server = subprocess.Popen(
            [program, "--host", "127.0.0.1", "--port", str(port), "--module-name", "dagster_project.definitions"],
            cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}/server_info", server)
            yield f"http://127.0.0.1:{port}"
        except TimeoutError:
            log.seek(0)
            pytest.fail(f"dagster-webserver did not answer: {log.read()[-2000:]}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(url, timeout=30).ok:
                return
        time.sleep(0.2)
    raise TimeoutError(url)


def test_the_asset_page_has_headline_numbers_and_link(page: Page, demo: Path, dagster_ui: str) -> None:
    """The partition's metadata: in words, as a table, as numbers, and the way to the page."""
    page.goto(f"{dagster_ui}/assets/purchases/rejection_report?view=partitions&partition={DAY}")
    expect(page.get_by_text("395 of 402 orders reached X. 5 are lost")).to_be_visible()
    expect(page.get_by_role("cell", name="match_readiness", exact=True)).to_be_visible()
    expect(page.get_by_text("no_identifier").first).to_be_visible()
    report = demo / "output" / "purchases" / "rejection_report" / f"{DAY}.html"
    expect(page.locator(f'a[href="{report.as_uri()}"]').first).to_be_visible()


def test_the_checks_say_what_to_do(page: Page, dagster_ui: str) -> None:
    """The verdict on reasons never seen before names them, with the fix."""
    page.goto(f"{dagster_ui}/assets/purchases/rejection_report?view=checks&checkDetail=no_new_reasons")
    expect(page.get_by_text("Open the rejection report: something is wrong for the first time").first).to_be_visible()
    expect(page.get_by_text("needs_second_identifier (Give twclid").first).to_be_visible()
