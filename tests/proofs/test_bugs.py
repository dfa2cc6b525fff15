"""A share of the planted bugs; `python -m tests.proofs.bugs` plants them all."""

import pytest

from tests.proofs.bugs.plant import ROOT, planted, survivors
from tests.proofs.bugs.table import BUGS, QUICK, Bug


def test_names_tell_bugs_apart() -> None:
    """Each bug has a name of its own, by which the quick ones are chosen."""
    names = [bug.name for bug in BUGS]
    assert len(set(names)) == len(names) >= 25
    assert set(QUICK) <= set(names)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_bug_can_be_planted(bug: Bug) -> None:
    """Its line is in the package once: a bug that no longer applies proves nothing."""
    assert (ROOT / "xcapi_dagster" / bug.file).read_text().count(bug.old) == 1


@pytest.mark.slow
def test_planted_bugs_are_found() -> None:
    """Each of the tests that are named for a bug fails of it."""
    with planted() as folder:
        alive = {bug.name: missed for bug in BUGS if bug.name in QUICK and (missed := survivors(folder, bug))}
    assert alive == {}
