"""A copy of the repository in which bugs are planted, one at a time, and the tests that are run there."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.proofs.bugs.table import Bug

ROOT = Path(__file__).parents[3]
COPIED = ("xcapi_dagster", "dagster_project", "tests", "sample_data", "pyproject.toml", "README.md")
_FAILED = re.compile(r"^FAILED (\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)
_times = count(1_000_000_000)  # of changes, so that no compiled file is taken for a newer one's


@contextmanager
def planted() -> Iterator[Path]:
    """A copy of the package and its tests."""
    with tempfile.TemporaryDirectory(prefix="xcapi-bugs-") as name:
        folder = Path(name)
        for each in COPIED:
            copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy
            copy(ROOT / each, folder / each)
        yield folder


def survivors(folder: Path, bug: Bug) -> list[str]:
    """The tests that do not fail of ``bug``. Raises ValueError when it cannot be planted."""
    file = folder / "xcapi_dagster" / bug.file
    good = file.read_text()
    if good.count(bug.old) != 1:
        raise ValueError(f"{bug.name}: {bug.file} has {bug.old!r} {good.count(bug.old)} times")
    _write(file, good.replace(bug.old, bug.new))
    try:
        failed = failing(folder, bug.tests)
    finally:
        _write(file, good)
    return [test for test in bug.tests if not any(each.startswith(test) for each in failed)]


def untouched(folder: Path, bugs: Sequence[Bug]) -> Collection[str]:
    """The tests of ``bugs`` that fail without any."""
    return failing(folder, sorted({test for bug in bugs for test in bug.tests}))


def failing(folder: Path, tests: Sequence[str]) -> set[str]:
    """Those of ``tests`` that fail with the package as it is in ``folder``."""
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--no-header", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "400"}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    if ended.returncode not in (0, 1):  # anything but tests that pass or fail
        raise ValueError(f"pytest ended with {ended.returncode}:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
    return set(_FAILED.findall(ended.stdout))


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    os.utime(file, (now := next(_times), now))
