"""Where Dagster is, and where it starts runs and steps: on this machine, or on others that cannot see its files.

A ledger in a file is another ledger on every machine, and two ledgers send every order twice.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.settings import Settings

# Dagster's own; the last is that of `execute_in_process`, and so of `xcapi sync`.
_LOCAL_EXECUTORS = frozenset(
    {"in_process", "multiprocess", "multi_or_in_process_executor", "execute_in_process_executor"}
)


def dagster_home(settings: Settings) -> Path:
    """Where the user's Dagster instance is or will be. Raises ConfigurationError when that is no absolute path."""
    home = Path(os.environ.get("DAGSTER_HOME") or settings.dagster_home)
    if not home.is_absolute():
        raise ConfigurationError("DAGSTER_HOME must be an absolute path")
    return home


@contextmanager
def opening_instance(home: Path) -> Iterator[None]:
    """Raise ConfigurationError when Dagster cannot open its instance in ``home``: its own words may hold a password."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a dagster.yaml names may raise anything
        raise ConfigurationError(
            f"DAGSTER_HOME: Dagster cannot open its instance in {home} ({type(error).__name__}): correct its "
            "dagster.yaml, or what it names; `dagster instance info` tells more"
        ) from None


def check_ledger_is_shared(settings: Settings, instance: dg.DagsterInstance, executor: str | None = None) -> None:
    """Raise ConfigurationError when runs of ``instance``, or steps with ``executor``, may start where the ledger isn't.

    Launchers that are not Dagster's own (Kubernetes, Docker, ECS, Celery) and executors that leave the machine count
    as elsewhere.
    """
    if re.split("[+:]", settings.ledger_url)[0] != "sqlite":
        return
    if starter := _starter_elsewhere(instance, executor):
        raise ConfigurationError(
            f"{starter} starts work on other machines, and the ledger is a file on this one: each machine would have "
            "its own ledger and send every order again; set XCAPI_LEDGER_URL to a PostgreSQL database that all reach"
        )


def _starter_elsewhere(instance: dg.DagsterInstance, executor: str | None) -> str | None:
    """The name of what starts work elsewhere, None where all of it starts here."""
    with opening_instance(Path(instance.root_directory)):
        launcher = type(instance.run_launcher)
    if launcher.__module__.partition(".")[0] != "dagster":
        return launcher.__name__
    return None if executor is None or executor in _LOCAL_EXECUTORS else f"the executor {executor}"
