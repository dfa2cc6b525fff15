"""A hundred kills on each kind of ledger, by the command that also makes ten thousand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proofs.kills import MOMENTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KILLS = 100


@pytest.mark.parametrize("ledger_kind", ["sqlite", "postgresql"])
def test_whenever_processes_are_killed(ledger_kind: str, request: pytest.FixtureRequest) -> None:
    """One, two and four processes, restarted until all is done: what X took is what the ledger says, and once.

    In an interpreter of its own, since only a process without threads may fork.
    """
    url = request.getfixturevalue("postgresql_ledger_url") if ledger_kind == "postgresql" else ""
    command = [sys.executable, "-m", "tests.proofs.kills", "--kills", str(KILLS), "--ledger-url", url]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["kills"] >= KILLS
    assert set(told["at"]) == {*MOMENTS, "any instant"}
    assert told["orders"]["accepted"] > 1000
