"""Plant bugs in a copy of the package, one after the other, and see the tests that are named for each fail.

python -m tests.proofs.bugs                 all of them
python -m tests.proofs.bugs "isolation"     those whose names have that in them

Ends with 1 when a bug survives a test, or can no longer be planted.
"""

import sys
from collections.abc import Sequence

from tests.proofs.bugs.plant import planted, survivors, untouched
from tests.proofs.bugs.table import BUGS


def main(arguments: Sequence[str]) -> int:
    """Plant the chosen bugs; returns the exit status."""
    chosen = [bug for bug in BUGS if not arguments or any(part in bug.name for part in arguments)]
    if not chosen:
        sys.stdout.write("No bug has that in its name\n")
        return 1
    with planted() as folder:
        if failing := untouched(folder, chosen):
            sys.stdout.write(f"Without any bug these fail already: {failing}\n")
            return 1
        alive = 0
        for bug in chosen:
            missed = survivors(folder, bug)
            alive += bool(missed)
            sys.stdout.write(f"{'ALIVE in ' + ', '.join(missed) if missed else 'dead'}: {bug.name}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - alive} of {len(chosen)} bugs are dead\n")
    return int(alive > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
