"""Where this package ends and Dagster begins: what a step may let out when it fails."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from xcapi_dagster.errors import ConfigurationError, ContractError, DeliveryHaltedError, XConversionsError


@contextmanager
def sanitized() -> Iterator[None]:
    """Lets nothing out but this package's own messages: other exceptions may hold values of rows.

    What somebody must mend is not retried. An unexpected exception is told by its type and place alone.
    """
    try:
        yield
    except XConversionsError as error:
        can_retry = not isinstance(error, ConfigurationError | DeliveryHaltedError)
        raise dg.Failure(str(error), allow_retries=can_retry) from None
    except (dg.DagsterExecutionInterruptedError, dg.DagsterError):
        raise
    except Exception as error:  # noqa: BLE001 - the boundary
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = f"unexpected {type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        raise ContractError(f"{told}; its message is kept back because it may hold personal data") from None
