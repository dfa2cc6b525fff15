"""What one check found."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from xcapi_dagster.errors import AdsApiError, WarehouseError, XConversionsError

Status = Literal["ok", "warning", "broken", "not checked"]


class Finding(NamedTuple):
    """A check's verdict, in one line without anything secret or personal, and the mend where there is one."""

    check: str
    status: Status
    message: str
    mend: str = ""
    may_pass: bool = False  # what is broken may mend itself: an outage


def guarded(check: str, mend: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What ``look`` finds; where it raises one of this package's errors, that ``check`` is broken."""
    try:
        yield from look()
    except XConversionsError as error:
        yield Finding(check, "broken", str(error), mend, may_pass=isinstance(error, AdsApiError | WarehouseError))


def not_checked(checks: tuple[str, ...], why: str) -> Iterator[Finding]:
    """Of each of these checks, that it was not made."""
    return (Finding(check, "not checked", why) for check in checks)
