"""All 112 cases are here, and a guess is called one."""

import re
from collections import defaultdict
from pathlib import Path

# Those that the list of cases marks as guesses, in whole or in part.
GUESSES = {24, 30, 33, 38, 39, 42, 48, 50, 52, 56, 58, 59, 60, 75, 78, 95, 100, 103, 110}
EVIDENCE = {"documented", "verified", "observed", "required", "guess"}


def cases() -> dict[int, set[str]]:
    """The evidence that each number has in the marks of this folder's tests."""
    found = defaultdict(set)
    for path in Path(__file__).parent.glob("test_*.py"):
        for number, evidence in re.findall(r'\((\d{1,3}), "([a-z]+)"', path.read_text()):
            found[int(number)].add(evidence)
    return found


def test_every_case_is_a_test() -> None:
    """1 to 112, and no other."""
    assert sorted(cases()) == list(range(1, 113))


def test_guesses_are_called_guesses() -> None:
    """Exactly the cases that no page of X's confirms say so, and the words for evidence are these."""
    assert {number for number, evidence in cases().items() if "guess" in evidence} == GUESSES
    assert set().union(*cases().values()) == EVIDENCE
