"""What has served its time: files that hold hashed identifiers are kept for days, not for ever.

The ledger keeps knowing what was accepted, whatever files and details are left: it is never sent again.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from upath import UPath

from xcapi_dagster import stores
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.errors import XConversionsError
from xcapi_dagster.outputs import ABANDONED_AFTER, PRIVATE, FileKind, Outputs

_REPORTS: tuple[FileKind, ...] = (  # first what leads to the others
    "summary", "rejection_page", "rejection_csv", "rejection_report", "requests", "upload_results",
)  # fmt: skip


class Keep(NamedTuple):
    """How long files are kept after they were written, and details after a request was settled; None is for ever."""

    conversions: timedelta | None
    reports: timedelta | None
    details: timedelta | None = None


def expired(outputs: Outputs, keep: Keep, now: datetime) -> Iterator[UPath]:
    """The files that were written so long before ``now`` that they are not to be kept, or that were never finished."""
    for kinds, age in ((PRIVATE, keep.conversions), (_REPORTS, keep.reports)):
        if age is None:
            continue
        for kind in kinds:
            for partition in outputs.partitions(kind):
                path = outputs.path(kind, partition)
                if _is_older(path, now - age):
                    yield path
    yield from abandoned(outputs, now)


def abandoned(outputs: Outputs, now: datetime) -> Iterator[UPath]:
    """What processes that were killed have left of files."""
    return (path for path in outputs.unfinished() if _is_older(path, now - ABANDONED_AFTER))


def purge(outputs: Outputs, keep: Keep, now: datetime) -> int:
    """Delete the expired files; returns how many. Raises as `delete` does."""
    return delete(expired(outputs, keep, now))


def delete(paths: Iterable[UPath]) -> int:
    """Delete these files; returns how many, without those that somebody else deleted.

    Raises XConversionsError when one cannot be deleted, once the others are.
    """
    deleted, problems = 0, list[str]()
    for path in paths:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except Exception as error:
            if (why := stores.problem(error)) is None:
                raise
            problems.append(f"{path} cannot be deleted ({why})")
        else:
            deleted += 1
    if problems:
        raise XConversionsError(problems[0] if len(problems) == 1 else f"{problems[0]}, and {len(problems) - 1} more")
    return deleted


def _is_older(path: UPath, time: datetime) -> bool:
    """Whether the file was written before ``time``; one that is gone was not."""
    with suppress(FileNotFoundError):
        return bool(path.stat().st_mtime < time.timestamp())
    return False


def purge_details(ledger: Ledger, keep: Keep) -> int:
    """Let the entered ``ledger`` drop the details that are not to be kept; returns of how many requests."""
    return ledger.drop_details(ledger.now() - keep.details.total_seconds()) if keep.details else 0
