"""Partitions materialized through Dagster in this process: the runs are in the user's Dagster instance and its UI."""

import importlib
import os
import shutil
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg

from xcapi_dagster.ads_api.tag_plan import WantedTag
from xcapi_dagster.assets import settings_key
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.event_tags import INSTANCE_TAG, WANTED, wanted_event_tags
from xcapi_dagster.killed_runs import end_killed_runs, process_tags
from xcapi_dagster.loading import load
from xcapi_dagster.machines import dagster_home, opening_instance
from xcapi_dagster.metadata import WITHOUT_TIME
from xcapi_dagster.partitions import Partition
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.settings import Settings
from xcapi_dagster.windows import windows_of

try:
    import fcntl
except ImportError:  # on Windows, where two first runs at once are left to chance
    fcntl = None  # type: ignore[assignment]

BUNDLED_PROJECT = "dagster_project.definitions"
_LOOK_SECONDS = 1.0  # between looks at a run's log
_STOPPED = "the run was stopped: run it again to send the rest"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run did: counts of each partition that it got to, and what went wrong, in the user's words."""

    counts: dict[str, Counts]
    failures: tuple[str, ...]
    failed_checks: tuple[str, ...]
    warnings: tuple[str, ...] = ()  # of checks that do not fail a run
    without_time: int = 0  # orders that belong to no partition

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do and nothing failed."""
        return not self.failures and not self.failed_checks and all(each.is_done for each in self.counts.values())

    @property
    def is_stopped(self) -> bool:
        """Whether somebody stopped it, as by Ctrl-C or `kill`, so that no other is to be begun."""
        return _STOPPED in self.failures


class Project:
    """The assets of one component instance in a module of Dagster definitions."""

    def __init__(self, module: str, name: str) -> None:
        """Load ``module``. Raises ConfigurationError when it cannot be loaded or has no instance called ``name``."""
        self._definitions = load(module)
        specs = [spec for spec in self._definitions.resolve_all_asset_specs() if spec.tags.get(INSTANCE_TAG) == name]
        partitioned = [spec for spec in specs if spec.partitions_def]
        if not partitioned:
            raise ConfigurationError(f"-m {module}: no assets of an instance called {name} are in it")
        self._name = name
        self._specs = specs
        self._keys = [spec.key for spec in partitioned]
        self._partitions = partitioned[0].partitions_def

    def settings(self) -> Settings:
        """The instance's settings. Raises ConfigurationError where its assets do not say them."""
        for asset in self._definitions.resolve_asset_graph().assets_defs:
            if definition := asset.resource_defs.get(settings_key(self._name)):
                found = definition(dg.build_init_resource_context())
                assert isinstance(found, Settings)  # noqa: S101 - what `build_x_conversions_assets` put there
                return found
        raise ConfigurationError(f"the assets of {self._name} do not carry their settings: make them with this package")

    def wanted_event_tags(self) -> tuple[str, list[WantedTag]]:
        """The ads account, and the event tags that should exist there. Raises ConfigurationError without the asset."""
        found = next((spec for spec in self._specs if WANTED in spec.metadata), None)
        if found is None:
            raise ConfigurationError(f"the asset {self._name}/event_tags, which says what should exist, is not there")
        return wanted_event_tags(found)

    def partitions(self, first: str, last: str) -> Sequence[str]:
        """The keys from ``first`` to ``last``, both included. Raises ConfigurationError for one that does not exist."""
        existing = self._partitions.get_partition_keys() if self._partitions else []
        for key in (first, last):
            if key not in existing:
                known = (
                    f"those that have ended run from {existing[0]} to {existing[-1]}"
                    if existing
                    else "there is none yet"
                )
                raise ConfigurationError(
                    f"{key[:40]!r} is no partition of {self._name}: {known}; XCAPI_START_DATE sets the first"
                )
        if existing.index(first) > existing.index(last):
            raise ConfigurationError(f"--from {first} is after --to {last}")
        return existing[existing.index(first) : existing.index(last) + 1]

    def latest(self, count: int, among: Container[str] | None = None) -> Sequence[str]:
        """The keys of the latest ``count`` partitions that have ended, of all or of those ``among`` them."""
        existing = self._partitions.get_partition_keys() if self._partitions else []
        return [key for key in existing if among is None or key in among][-count:]

    def windows(self, partitions: Sequence[str]) -> list[Partition]:
        """The windows of these partitions."""
        assert isinstance(self._partitions, dg.TimeWindowPartitionsDefinition)  # noqa: S101 - of `build_x_conversions_assets`
        return windows_of(self._partitions, partitions)

    def materialize(
        self, partitions: Sequence[str], instance: dg.DagsterInstance, tell: Callable[[str], None] = lambda _line: None
    ) -> Ran:
        """Run the instance's assets for ``partitions``, which follow one another, in one run.

        ``tell`` is told each line that they write to the run's log, soon after. What a run did that Dagster could not
        write down is in the ledger alone, and the run counts as failed.
        """
        job = self._definitions.resolve_implicit_global_asset_job_def()
        tags = dict(process_tags())
        if len(partitions) > 1:
            tags["dagster/asset_partition_range_start"] = partitions[0]
            tags["dagster/asset_partition_range_end"] = partitions[-1]
        run_id = str(uuid4())
        try:
            with _followed(run_id, instance, tell):
                result = job.execute_in_process(
                    partition_key=partitions[0] if len(partitions) == 1 else None,
                    tags=tags,
                    asset_selection=self._keys,
                    instance=instance,
                    raise_on_error=False,
                    run_config=_QUIET,
                    run_id=run_id,
                )
        except Exception as error:  # noqa: BLE001 - its storages may raise anything, and show values
            return Ran({}, (_unkept(partitions, error),), ())
        report = dg.AssetKey([self._name, "rejection_report"])
        return Ran(
            _counts(result, report),
            failures=tuple(_failures(result)),
            failed_checks=tuple(_failed_checks(result, dg.AssetCheckSeverity.ERROR)),
            warnings=tuple(_failed_checks(result, dg.AssetCheckSeverity.WARN)),
            without_time=_without_time(result),
        )


@contextmanager
def _followed(run_id: str, instance: dg.DagsterInstance, tell: Callable[[str], None]) -> Iterator[None]:
    """Tell of the run, while the block lasts and once after it, what its steps write to its log or wait for."""
    stopped = threading.Event()
    cursor: str | None = None

    def look() -> None:
        nonlocal cursor
        with suppress(Exception):  # a look that fails is not worth a run
            found = instance.get_records_for_run(run_id, cursor=cursor)
            cursor = found.cursor
            for line in filter(None, (_line_of(record.event_log_entry) for record in found.records)):
                tell(line)

    def follow() -> None:
        while not stopped.wait(_LOOK_SECONDS):
            look()

    thread = threading.Thread(target=follow, name="xcapi-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        look()


def _line_of(entry: dg.EventLogEntry) -> str | None:
    """What a step wrote, or for which pool it waits: runs that were killed elsewhere keep their places."""
    event = entry.dagster_event
    if event is None:
        return entry.user_message
    if event.is_engine_event and "blocked by" in (event.message or ""):
        return f"{event.message}: in Dagster's UI, Deployment, Concurrency shows its runs, and frees their places"
    return None


def dagster_instance(settings: Settings) -> dg.DagsterInstance:
    """The user's Dagster instance; without DAGSTER_HOME, one in the home folder with the bundled settings.

    Dagster fails when two processes create an instance's databases at once, so they are created behind a lock.
    """
    home = dagster_home(settings)
    _make_folder(settings.home, "XCAPI_HOME")
    _make_folder(home, "DAGSTER_HOME")
    with _locked(home):
        if not os.environ.get("DAGSTER_HOME"):
            _give_settings(home)
            os.environ["DAGSTER_HOME"] = str(home)
        with opening_instance(home):
            instance = dg.DagsterInstance.get()
            instance.get_asset_keys(limit=1)
        end_killed_runs(instance, settings)
        return instance


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    path = home / ".xcapi.lock"
    try:
        lock = path.open("w")
    except OSError as error:
        raise ConfigurationError(f"DAGSTER_HOME: {path} cannot be used ({error.strerror})") from None
    with lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_folder(path: Path, setting: str) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be made ({error.strerror})") from None
    if not os.access(path, os.W_OK):
        raise ConfigurationError(f"{setting}: {path} cannot be written by this user")


def _give_settings(home: Path) -> None:
    path = home / "dagster.yaml"
    if path.exists():
        return
    bundled = importlib.import_module("dagster_project").__file__
    unfinished = home / ".dagster.yaml"
    try:
        shutil.copy(Path(str(bundled)).parent / "dagster.yaml", unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise ConfigurationError(f"XCAPI_HOME: {path} cannot be written ({error.strerror})") from None


def _unkept(partitions: Sequence[str], error: Exception) -> str:
    what = " … ".join(dict.fromkeys([partitions[0], partitions[-1]]))
    return (
        f"Dagster cannot run {what} and write down that it does ({type(error).__name__}): look at DAGSTER_HOME, or "
        "`dagster instance info`, and run it again"
    )


def _counts(result: dg.ExecuteInProcessResult, report: dg.AssetKey) -> dict[str, Counts]:
    """The counts that the rejection report's materializations carry, by partition."""
    names = [field.name for field in fields(Counts)]
    counts: dict[str, Counts] = {}
    for event in result.get_asset_materialization_events():
        told = event.materialization
        if told.asset_key == report and told.partition is not None:
            counts[told.partition] = Counts(**{name: _number(told.metadata[name]) for name in names})
    return counts


def _without_time(result: dg.ExecuteInProcessResult) -> int:
    """How many orders the warehouse has that belong to no partition, as the conversions' materializations say."""
    told = [event.materialization.metadata.get(WITHOUT_TIME) for event in result.get_asset_materialization_events()]
    return max((_number(number) for number in told if number), default=0)


def _number(value: Any) -> int:
    return int(value.value)


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            by_user = data.user_failure_data and data.user_failure_data.description
            error = data.error.cause if data.error and data.error.cause else data.error
            is_stopped = error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__
            yield by_user or (_STOPPED if is_stopped else error.message.strip() if error else "a step failed")


def _failed_checks(result: dg.ExecuteInProcessResult, severity: dg.AssetCheckSeverity) -> Iterator[str]:
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed and evaluation.severity == severity:
            yield f"{evaluation.check_name}: {evaluation.description}"
