"""Fifty numbered faults, each with a test of its number."""

import re
from pathlib import Path


def test_every_fault_has_a_test() -> None:
    """Their numbers are in the names: `pytest tests/faults -k fault_07` tries the seventh."""
    names = [name for path in Path(__file__).parent.glob("test_*.py") for name in _names(path)]
    numbers = {int(found[1]) for name in names if (found := re.fullmatch(r"test_fault_(\d\d)_\w+", name))}
    assert numbers == set(range(1, 51))
    assert len(names) == len(set(names))


def _names(path: Path) -> list[str]:
    return re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
