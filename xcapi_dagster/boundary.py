"""Where this package ends and Dagster begins: what a step may let out when it fails."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from xcapi_dagster.errors import ConfigurationError, ContractError, DeliveryHaltedError, XConversionsError

_PACKAGE = Path(__file__).parent


@contextmanager
def sanitized() -> Iterator[None]:
    """Lets nothing out but this package's own messages: other exceptions may hold values of rows.

    What somebody must mend is not retried. An unexpected exception is told by its type, and by the line of this package
    that it came through last, alone.
    """
    try:
        yield
    except XConversionsError as error:
        can_retry = not isinstance(error, ConfigurationError | DeliveryHaltedError)
        raise dg.Failure(str(error), allow_retries=can_retry) from None
    except KeyboardInterrupt:  # from where Dagster's own handler of signals has no say
        raise dg.DagsterExecutionInterruptedError from None
    except (dg.DagsterExecutionInterruptedError, dg.DagsterError):
        raise
    except Exception as error:  # noqa: BLE001 - the boundary
        told = f"unexpected {type(error).__name__} at {_place(error)}"
        raise ContractError(f"{told}; its message is kept back because it may hold personal data") from None


def _place(error: Exception) -> str:
    """File and line of this package; those of a library say nothing about what was being done."""
    paths = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    path, line = [(path, line) for path, line in paths if path.is_relative_to(_PACKAGE)][-1]
    return f"{path.relative_to(_PACKAGE)}:{line}"
