"""What would keep conversions from arriving, found before the first is sent.

`here` looks at this side: settings, warehouse, ledger, files. `at_x` asks X, which sends no conversion. Each check
stands alone, so that one broken thing hides no other; what cannot be looked at because of another says so.
"""

import time
from collections.abc import Callable, Iterator

from xcapi_dagster.doctor import at_x, here
from xcapi_dagster.doctor.at_x import ReadWanted
from xcapi_dagster.doctor.finding import Finding, Status
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.settings import Settings

__all__ = ["Finding", "Status", "examine", "exit_status"]


def examine(
    read_settings: Callable[[], Settings],
    read_wanted: ReadWanted = tuple,
    *,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """A finding for each check of an instance, as each is made. Nothing is sent, claimed or created.

    ``read_settings`` raises ConfigurationError where they are incomplete. ``read_wanted`` gives the event tags that
    should exist, and may raise it too; ``clock`` gives this machine's time in Unix seconds, to be compared with X's.
    """
    try:
        settings = read_settings()
    except ConfigurationError as error:
        yield Finding("settings", "broken", str(error), "set or correct what is named: README, “Settings”")
        for check in (*here.CHECKS, *at_x.CHECKS):
            yield Finding(check, "not checked", "the settings come first")
        return
    yield Finding("settings", "ok", "these are the demo's" if settings.demo else "all that is needed, and well-formed")
    yield from here.examine(settings)
    yield from at_x.examine(settings, read_wanted, clock)


def exit_status(findings: list[Finding]) -> int:
    """0: nothing is broken; 1: something is that may pass by itself, such as an outage; 2: somebody must mend it."""
    broken = [finding for finding in findings if finding.status == "broken"]
    if not broken:
        return 0
    return 1 if all(finding.may_pass for finding in broken) else 2
