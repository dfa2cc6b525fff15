"""Runs of `xcapi` that were killed: until somebody says that they failed, they keep their places in Dagster's pools.

Dagster's daemon says it where one runs. Without it, later runs would wait for those places for ever.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from types import SimpleNamespace

import dagster as dg

from xcapi_dagster.delivery.database import Database
from xcapi_dagster.delivery.engines import may_exist
from xcapi_dagster.delivery.lease import Heartbeat, is_gone, this_process
from xcapi_dagster.delivery.overview import lapsed_among
from xcapi_dagster.errors import XConversionsError
from xcapi_dagster.settings import Settings

_TAG = ".xcapi/"  # hidden in the UI
_EVERY_SECONDS = 60.0
_UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


def process_tags() -> Mapping[str, str]:
    """The tags of a run in this process, by which it is known later that it was killed."""
    return {f"{_TAG}{name}": str(value) for name, value in this_process().items()}


def end_killed_runs(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Say of runs that were killed that they failed, and give back their places.

    Of those of this machine their processes tell; of those of another, or of a container that is no more, their leases
    on the ledger, once they ran out.
    """
    runs = [run for run in instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED)) if run.tags.get(f"{_TAG}pid")]
    others = [run.run_id for run in runs if not is_gone(_process_of(run))]
    alive = {*others} - _lapsed(others, settings)
    for run in runs:
        if run.run_id not in alive:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            instance.report_run_failed(run, message="The process of this run ended before the run did.")


@contextmanager
def ending_killed_runs(instance: dg.DagsterInstance, settings: Settings) -> Iterator[None]:
    """The same every minute while the block lasts: a lease of which a run waits for the end lasts for some minutes."""

    def beat() -> None:
        with suppress(Exception):  # of Dagster's storages, which say so to the run itself
            end_killed_runs(instance, settings)

    heart = Heartbeat(beat, _EVERY_SECONDS)
    heart.start()
    try:
        yield
    finally:
        heart.stop()


def _process_of(run: dg.DagsterRun) -> SimpleNamespace:
    process = {name: run.tags.get(f"{_TAG}{name}", "") for name in this_process()}
    return SimpleNamespace(**process | {"pid": int(process["pid"])})


def _lapsed(run_ids: list[str], settings: Settings) -> set[str]:
    """Those of these runs whose leases ran out; none where the ledger does not tell."""
    with suppress(XConversionsError):
        if run_ids and may_exist(settings.ledger_url):
            with closing(Database(settings.ledger_url)) as database:
                return lapsed_among(database, run_ids)
    return set()
