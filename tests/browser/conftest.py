"""Pages as people see them: Chromium without a window, five days of the demo, and a watch on what is fetched."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

_SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PATIENCE = 60_000  # milliseconds: the machine may be busy
expect.set_options(timeout=_PATIENCE)


@pytest.fixture(scope="module")  # while Playwright runs, an event loop does, which Dagster's own runs do not bear
def browser() -> Iterator[Browser]:
    """Debian's Chromium. `dev.py test` installs it where apt-get can; elsewhere these tests are skipped, not in CI."""
    program = shutil.which("chromium")
    if program is None:
        reason = "there is no chromium on the path, and `python3 dev.py test` could not install it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_SWITCHES, timeout=2 * _PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new window of its own, whose script errors fail the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: errors.append(f"a dialog: {dialog.message}"))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def fetched(page: Page) -> list[str]:
    """Everything that the page asked for, its own file included."""
    requests: list[str] = []

    def note(request: Request) -> None:
        requests.append(request.url)

    page.on("request", note)
    return requests


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder after the first five days of the demo, synced once for all test processes."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    home = folder / "demo"
    with (folder / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            command = [sys.executable, "-m", "xcapi_dagster.cli", "sync", "--from", "2026-10-20", "--to", "2026-10-24"]
            environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XCAPI_HOME": str(home)}
            done = subprocess.run(
                command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=300
            )
            assert done.returncode == 0, done.stderr
            (home / "done").touch()
    return home
